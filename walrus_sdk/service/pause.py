"""Pause a deployment that is under way, from anywhere, and let it go on: a request that its owner reads."""

from __future__ import annotations

from walrus_sdk.errors import ConfigurationError, OwnershipError
from walrus_sdk.model.deployment import PUBLISHING
from walrus_sdk.model.reports import DeploymentSummary
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.planning.state import is_unfinished
from walrus_sdk.service import reports, requests
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.unfinished import row_of

__all__ = ["pause", "unpause"]


async def pause(connection: Connection, deployment: DeploymentId | None, reason: str) -> DeploymentSummary:
    """Ask a deployment's owner to begin nothing new until `unpause`; returns the deployment as it is now.

    The owner hears it within a quarter of a second. Stores and transactions that are under way then come to their end
    and are recorded; reading back goes on, as it changes nothing. A pause is for the process that works on the
    deployment: `resume`, or the same deploy, goes on without it. Without an id it is the one that is under way; where
    that is paused already, it stays so.
    Raises `OwnershipError` ``illegal_move`` where nobody works on it, `ConfigurationError` ``deployment_not_found``.
    """
    chosen = await _under_way(connection, deployment, "running")
    await requests.ask(connection, chosen, requests.PAUSE, reason)
    return await _summary(connection, chosen)


async def unpause(connection: Connection, deployment: DeploymentId | None) -> DeploymentSummary:
    """Let a paused deployment go on; returns it as it is now. One that is not paused stays as it is.

    Without an id it is the one that is paused. Raises as `pause` does.
    """
    chosen = await _under_way(connection, deployment, "paused")
    if await requests.is_paused(connection.journal, chosen):
        await requests.take_back(connection, chosen, requests.PAUSE)
    return await _summary(connection, chosen)


async def _under_way(connection: Connection, deployment: DeploymentId | None, wanted: str) -> DeploymentId:
    """Return the deployment that is meant; a process works on it."""
    if deployment is None:
        return await _only(connection, wanted)
    row = await row_of(connection, deployment)
    if row["verb"] not in PUBLISHING or not is_unfinished(row) or not connection.is_live(deployment):
        text = f"nobody works on {deployment}, which is {row['status']}: there is nothing to pause, or to continue"
        raise OwnershipError("illegal_move", text, deployment_id=str(deployment), verb="pause")
    return deployment


async def _only(connection: Connection, wanted: str) -> DeploymentId:
    under_way: dict[str, list[DeploymentId]] = {"running": [], "paused": []}
    for row in await connection.journal.rows("deployments"):
        name = DeploymentId(row["id"])
        if row["verb"] in PUBLISHING and is_unfinished(row) and connection.is_live(name):
            is_paused = await requests.is_paused(connection.journal, name)
            under_way["paused" if is_paused else "running"].append(name)
    found = under_way.pop(wanted) or next(iter(under_way.values()))  # else it is as it was to become
    if len(found) == 1:
        return found[0]
    known = ", ".join(map(str, found)) or "none"
    text = f"without an id it is the one deployment that is {wanted}; there is {known}"
    raise ConfigurationError("deployment_not_found", text)


async def _summary(connection: Connection, deployment: DeploymentId) -> DeploymentSummary:
    return (await reports.report(connection.journal, deployment, connection.is_live)).summary
