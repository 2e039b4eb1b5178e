"""Reading a site, and not believing a node that is behind what this home has seen of it (C7)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from walrus_sdk.errors import BlockchainError, CodecError
from walrus_sdk.model.site import SiteSnapshot
from walrus_sdk.model.units import ObjectId
from walrus_sdk.planning.plan_json import canonical, dump, load
from walrus_sdk.ports import Chain, Journal, Sleep

__all__ = ["PAUSES", "current_site", "least_version", "patiently", "read_site", "remember_site"]

PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between reads of a node that lags behind."""

T = TypeVar("T")


async def patiently(
    sleep: Sleep, read: Callable[[], Awaitable[T]], shows: Callable[[T], bool], pauses: Sequence[float] = PAUSES
) -> T:
    """Read until a node that lags behind shows what is looked for, or must by now; returns what was read last."""
    found = await read()
    for pause in pauses:
        if shows(found):
            break
        await sleep(pause)
        found = await read()
    return found


class Reading(Protocol):
    """What reading needs."""

    @property
    def chain(self) -> Chain:
        """The chain."""
        ...

    @property
    def journal(self) -> Journal:
        """The journal."""
        ...

    @property
    def sleep(self) -> Sleep:
        """Waits."""
        ...


async def least_version(journal: Journal, chain_id: str, site_id: ObjectId) -> int:
    """Return the newest version at which this home has seen a site; 0: never."""
    rows = await journal.rows("heights", {"chain": chain_id, "site_id": str(site_id)})
    return int(rows[0]["version"]) if rows else 0


async def current_site(
    world: Reading, chain_id: str, site_id: ObjectId, known: SiteSnapshot | None = None
) -> SiteSnapshot | None:
    """Return a site, at least as new as this home has seen it; `None`: there is none.

    Raises `BlockchainError` ``chain_unavailable`` while the node shows an older state.
    """
    least = await least_version(world.journal, chain_id, site_id)

    def shows(site: SiteSnapshot | None) -> bool:
        return not least if site is None else site.version >= least

    site = await patiently(world.sleep, lambda: world.chain.site(site_id, known=known), shows)
    if site is None or shows(site):
        return site  # `None`: never there, or destroyed
    text = f"the node shows version {site.version} of site {site_id}, which was at {least} before"
    raise BlockchainError("chain_unavailable", text, site_id=str(site_id))


async def read_site(world: Reading, chain_id: str, site_id: ObjectId) -> SiteSnapshot | None:
    """Return a site; one request when it is as this home saw it last. Raises what `current_site` does."""
    known = _snapshot(await world.journal.cache(_key(chain_id, site_id)))
    site = await current_site(world, chain_id, site_id, known)
    if site is not None and site is not known:
        await remember_site(world, chain_id, site)
    return site


async def remember_site(world: Reading, chain_id: str, site: SiteSnapshot) -> None:
    """Keep a site that was read, for `read_site`."""
    await world.journal.cache(_key(chain_id, site.site_id), canonical(dump(site)))


def _key(chain_id: str, site_id: ObjectId) -> str:
    return f"site:{chain_id}:{site_id}"


def _snapshot(data: bytes | None) -> SiteSnapshot | None:
    try:
        return load(SiteSnapshot, json.loads(data)) if data is not None else None
    except (ValueError, CodecError):
        return None  # the cache may be of another version, or damaged
