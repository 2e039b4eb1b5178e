"""Locks of sites: a site that was rolled back takes no deploy until somebody says so."""

from __future__ import annotations

from walrus_sdk.errors import OwnershipError
from walrus_sdk.model.units import ObjectId
from walrus_sdk.model.versions import Lock
from walrus_sdk.ports import Change, Put
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.sites import find_site

__all__ = ["check", "lock", "lock_of", "unlock"]


async def lock(connection: Connection, site: str, reason: str) -> Lock:
    """Let later deploys of a site stop with `reason`."""
    site_id, now = await find_site(connection, site), connection.clock.wall_ms()
    await _write(connection, site_id, reason or "locked", now)
    return Lock(site_id, reason or "locked", now)


async def unlock(connection: Connection, site: str) -> Lock | None:
    """Let a site be deployed again; returns the lock that it had."""
    site_id = await find_site(connection, site)
    found = await lock_of(connection, (await connection.chain.state()).chain_id, site_id)
    if found is not None:
        await _write(connection, site_id, None, None)
    return found


async def _write(connection: Connection, site_id: ObjectId, reason: str | None, since_ms: int | None) -> None:
    chain_id = (await connection.chain.state()).chain_id
    key = {"chain": chain_id, "site_id": str(site_id)}
    put = Put("locks", key, {"reason": reason, "since_ms": since_ms, "deployment": None})
    await connection.journal.append(None, [Change("lock", {}, (put,))])


async def lock_of(connection: Connection, chain_id: str, site_id: ObjectId) -> Lock | None:
    """Return the lock of a site, if it has one."""
    rows = await connection.journal.rows("locks", {"chain": chain_id, "site_id": str(site_id)})
    if not rows or rows[0]["reason"] is None:
        return None
    return Lock(site_id, rows[0]["reason"], rows[0]["since_ms"])


async def check(connection: Connection, chain_id: str, site_id: ObjectId | None) -> None:
    """Raise `OwnershipError` ``site_locked`` when a site is locked."""
    found = await lock_of(connection, chain_id, site_id) if site_id is not None else None
    if found is not None:
        text = f"site {site_id} is locked: {found.reason}"
        raise OwnershipError("site_locked", text, site_id=str(site_id), reason=found.reason, since_ms=found.since_ms)
