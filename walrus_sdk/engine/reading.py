"""Reading a site, and not believing a node that is behind what this home has seen of it (C7)."""

from __future__ import annotations

from typing import Protocol

from walrus_sdk.errors import BlockchainError
from walrus_sdk.model.site import SiteSnapshot
from walrus_sdk.model.units import ObjectId
from walrus_sdk.ports import Chain, Journal, Sleep

__all__ = ["PAUSES", "current_site"]

PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between reads of a node that lags behind."""


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
    for pause in PAUSES:
        if pause:
            await world.sleep(pause)
        site = await world.chain.site(site_id, known=known)
        if (site is None and not least) or (site is not None and site.version >= least):
            return site
    if site is None:
        return None  # destroyed
    text = f"the node shows version {site.version} of site {site_id}, which was at {least} before"
    raise BlockchainError("chain_unavailable", text, site_id=str(site_id))
