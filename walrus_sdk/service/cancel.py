"""Cancel a deployment from anywhere: its owner is asked; where there is none, it is ended here."""

from __future__ import annotations

import json

from walrus_sdk.engine.deletes import Deletes
from walrus_sdk.engine.executor import Executor
from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import OwnershipError, WalrusError
from walrus_sdk.model.deployment import PUBLISHING, Status
from walrus_sdk.model.options import DeployOptions, DeployResult
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.planning.results import load_result
from walrus_sdk.planning.state import is_unfinished
from walrus_sdk.service import requests
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.lifecycle import as_planned, give_up, withdraw
from walrus_sdk.service.nowhere import NoFolder
from walrus_sdk.service.unfinished import HANDOVER_S, check_world, plan_of, row_of

__all__ = ["cancel"]

_LOOK_S = 0.25
_LONGEST_S = 600.0
"""Seconds that an owner may take for its open transactions as long as it shows that it is at work on them."""


async def cancel(
    connection: Connection, deployment: DeploymentId, reason: str, options: DeployOptions, feed: Feed
) -> DeployResult | None:
    """Cancel a deployment; returns its result when it was complete before the request could be heard, else `None`.

    Nothing new begins; paid stores under way get their grace, and stay open to be looked up by name after that. Open
    transactions are brought to their end, because the chain gives the verdict. Cancelling twice is cancelling once.
    An owner that does not answer is fenced off after its time of grace; one that shows that it is at work has more.
    Raises `OwnershipError` ``illegal_move`` for a deployment that failed for good, and for the record of another verb
    that is complete; `BlockchainError` ``chain_mismatch``.
    """
    asked, silent, waited, beat = 0, 0.0, 0.0, 0
    while True:
        row = await row_of(connection, deployment)
        status = Status(row["status"])
        if status is Status.COMPLETED and row["verb"] in PUBLISHING:
            return load_result(json.loads(row["result"]))
        if status is Status.CANCELLED:
            return None
        if status is Status.COMPLETED or not is_unfinished(row):
            text = f"{deployment} ({row['verb']}) is {status.value} and cannot be cancelled"
            raise OwnershipError("illegal_move", text, deployment_id=str(deployment), verb="cancel")
        is_live = connection.is_live(deployment)
        if not is_live or silent > HANDOVER_S + connection.network.grace_s or waited > _LONGEST_S:
            try:
                await _end(connection, deployment, reason, options, feed, take_over=is_live)
            except OwnershipError as error:
                if error.code != "deployment_owned":
                    raise
            continue
        newest = await requests.incarnation_of(connection.journal, deployment)
        if newest != asked:  # a later owner does not hear what an earlier one was asked
            await requests.ask(connection, deployment, requests.CANCEL, reason)
            asked, silent, waited = newest, 0.0, 0.0
        feed.set(waiting="its owner stops")
        await connection.sleep(_LOOK_S)
        before, beat = beat, await requests.last_beat(connection, deployment)
        silent, waited = silent + _LOOK_S if beat == before else 0.0, waited + _LOOK_S


async def _end(
    connection: Connection,
    deployment: DeploymentId,
    reason: str,
    options: DeployOptions,
    feed: Feed,
    *,
    take_over: bool,
) -> None:
    owner = await connection.journal.claim(deployment, take_over=take_over)
    try:
        row = await row_of(connection, deployment)
        if Status(row["status"]) in (Status.COMPLETED, Status.CANCELLED):
            return  # it ended between the look and the lock
        if not await connection.journal.rows("transactions", {"deployment": str(deployment)}):
            await give_up(connection, owner, reason or "by request")  # nothing to ask the chain: works without it
            return
        await check_world(connection, row)
        plan = await plan_of(connection, row)
        context = connection.context(owner, NoFolder(), as_planned(options, plan), feed)
        if row["verb"] not in PUBLISHING:
            await Deletes(context, plan).settle()
            await give_up(connection, owner, reason or "by request")
            return
        await withdraw(connection, owner, Executor(context, plan, Status(row["status"])), reason or "by request")
    except WalrusError as error:
        error.fields |= {"deployment_id": str(deployment)}
        raise
    finally:
        await connection.journal.release(owner)
