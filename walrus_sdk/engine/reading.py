"""Reading a site, and not believing a node that is behind what this home has seen of it (C7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from walrus_sdk.errors import BlockchainError
from walrus_sdk.model.site import SiteSnapshot
from walrus_sdk.model.units import ObjectId
from walrus_sdk.ports import Chain, Journal, Sleep

__all__ = ["PAUSES", "current_site", "patiently"]

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


async def current_site(
    world: Reading, chain_id: str, site_id: ObjectId, known: SiteSnapshot | None = None
) -> SiteSnapshot | None:
    """Return a site, at least as new as this home has seen it; `None`: there is none.

    Raises `BlockchainError` ``chain_unavailable`` while the node shows an older state.
    """
    rows = await world.journal.rows("heights", {"chain": chain_id, "site_id": str(site_id)})
    least = int(rows[0]["version"]) if rows else 0

    def shows(site: SiteSnapshot | None) -> bool:
        return not least if site is None else site.version >= least

    site = await patiently(world.sleep, lambda: world.chain.site(site_id, known=known), shows)
    if site is None or shows(site):
        return site  # `None`: never there, or destroyed
    text = f"the node shows version {site.version} of site {site_id}, which was at {least} before"
    raise BlockchainError("chain_unavailable", text, site_id=str(site_id))
