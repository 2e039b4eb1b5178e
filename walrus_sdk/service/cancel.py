"""Cancel a deployment from anywhere: its owner is asked; where there is none, it is ended here."""

from __future__ import annotations

import json

from walrus_sdk.engine.executor import Executor
from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import ConfigurationError, OwnershipError, WalrusError
from walrus_sdk.model.deployment import PUBLISHING, Status
from walrus_sdk.model.options import DeployOptions, DeployResult
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.planning.results import load_result
from walrus_sdk.service import requests
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.lifecycle import as_planned, give_up, withdraw
from walrus_sdk.service.nowhere import NoFolder
from walrus_sdk.service.unfinished import plan_of

__all__ = ["cancel"]

_LOOK_S = 0.25


async def cancel(
    connection: Connection, deployment: DeploymentId, reason: str, options: DeployOptions, feed: Feed
) -> DeployResult | None:
    """Cancel a deployment; returns its result when it was complete before the request could be heard, else `None`.

    Nothing new begins; paid stores under way get their grace, and stay open to be looked up by name after that. Open
    transactions are brought to their end, because the chain gives the verdict. Cancelling twice is cancelling once.
    Raises `OwnershipError` ``illegal_move`` for a deployment that failed for good.
    """
    asked = False
    while True:
        status = await _status(connection, deployment)
        if status is Status.COMPLETED:
            return await _result(connection, deployment)
        if status is Status.CANCELLED:
            return None
        if not connection.is_live(deployment):
            try:
                await _end(connection, deployment, reason, options, feed)
            except OwnershipError as error:
                if error.code != "deployment_owned":
                    raise
                asked = False  # somebody took it up just now
            continue
        if not asked:
            await requests.ask(connection, deployment, requests.CANCEL, reason)
            asked = True
        feed.set(waiting="its owner stops")
        await connection.sleep(_LOOK_S)


async def _status(connection: Connection, deployment: DeploymentId) -> Status:
    rows = await connection.journal.rows("deployments", {"id": str(deployment)})
    if not rows:
        raise ConfigurationError("deployment_not_found", f"this home has no deployment {deployment}")
    return Status(rows[0]["status"])


async def _result(connection: Connection, deployment: DeploymentId) -> DeployResult | None:
    (row,) = await connection.journal.rows("deployments", {"id": str(deployment)})
    return load_result(json.loads(row["result"])) if row["verb"] in PUBLISHING else None


async def _end(
    connection: Connection, deployment: DeploymentId, reason: str, options: DeployOptions, feed: Feed
) -> None:
    owner = await connection.journal.claim(deployment)
    try:
        (row,) = await connection.journal.rows("deployments", {"id": str(deployment)})
        if Status(row["status"]) in (Status.COMPLETED, Status.CANCELLED):
            return  # it ended between the look and the lock
        if not await connection.journal.rows("transactions", {"deployment": str(deployment)}):
            await give_up(connection, owner, reason or "by request")  # nothing to ask the chain: works without it
            return
        plan = await plan_of(connection, row)
        context = connection.context(owner, NoFolder(), as_planned(options, plan), feed)
        await withdraw(connection, owner, Executor(context, plan, Status(row["status"])), reason or "by request")
    except WalrusError as error:
        error.fields |= {"deployment_id": str(deployment)}
        raise
    finally:
        await connection.journal.release(owner)
