"""Resume by id: a deployment goes on with its frozen plan, whichever verb made it; also from a checkpoint elsewhere."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import ConfigurationError, OwnershipError, ValidationError
from walrus_sdk.model import events
from walrus_sdk.model.deployment import PUBLISHING, Status
from walrus_sdk.model.options import DeployOptions, DeployResult
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.progress import Phase
from walrus_sdk.model.units import DeploymentId, ObjectId
from walrus_sdk.planning import cost
from walrus_sdk.planning.request import asked_again
from walrus_sdk.planning.results import load_result
from walrus_sdk.planning.state import is_unfinished
from walrus_sdk.ports import Folder
from walrus_sdk.service import locks, requests
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.deploy import check_files, deadline_of, deploy
from walrus_sdk.service.lifecycle import Unfinished, as_planned, carry_out
from walrus_sdk.service.nowhere import NoFolder
from walrus_sdk.service.unfinished import HANDOVER_S, check_world, end_cleanups, plan_of, row_of

__all__ = ["newest_unfinished", "resume"]

_LOOK_S = 0.25


async def resume(
    connection: Connection,
    deployment: DeploymentId,
    options: DeployOptions,
    feed: Feed,
    *,
    folder: Path | None = None,
    replan: bool = False,
    take_over: bool = False,
) -> DeployResult:
    """Go on with a deployment. One that is complete returns its result, and nothing is sent.

    `folder` is where its files are now, when that is not where they were; when everything is stored it is not read.
    `replan`: when files have changed, deploy them anew, with what was asked for then. `take_over`: a live owner is
    asked to stop, and fenced off when it does not answer.

    Raises `ValidationError` ``file_changed`` with the list, `OwnershipError` ``deployment_owned`` or ``illegal_move``,
    `BlockchainError` ``chain_mismatch``, and what deploying raises.
    """
    deadline, row = deadline_of(options), await row_of(connection, deployment)
    if row["verb"] not in PUBLISHING:
        text = f"{deployment} is no deployment of files but a record of {row['verb']}"
        raise OwnershipError("illegal_move", text, deployment_id=str(deployment))
    if Status(row["status"]) is Status.COMPLETED:
        return load_result(json.loads(row["result"]))
    if not is_unfinished(row):
        text = f"{deployment} is {row['status']} and cannot go on: {row['reason'] or 'it has ended'}"
        raise OwnershipError("illegal_move", text, deployment_id=str(deployment))
    plan = await plan_of(connection, row)
    await _check_world(connection, row, plan, options)
    await end_cleanups(connection, plan.chain_id, plan.target.owner, options, feed)
    place, wanted = folder or Path(plan.root), await _wants_files(connection, deployment, plan)
    wanted = wanted or (replan and plan.verb == "deploy")
    async with _folder(connection, place, wanted=wanted) as opened:
        if wanted:
            feed.phase(Phase.SCAN)
            try:
                await check_files(connection, opened, place, plan, feed)
            except ValidationError as error:
                if error.code != "file_changed" or not replan or plan.verb != "deploy":
                    error.fields |= {"deployment_id": str(deployment), "resumable": True}
                    raise
                return await deploy(connection, place, asked_again(as_planned(options, plan), plan), feed)
        await _hand_over(connection, deployment, take_over=take_over)
        owner = await connection.journal.claim(deployment, take_over=take_over)
        now = await row_of(connection, deployment)
        if is_unfinished(now):
            unfinished = Unfinished(owner, plan, Status(now["status"]))
            return await carry_out(connection, unfinished, opened, as_planned(options, plan), feed, deadline)
        await connection.journal.release(owner)
    # It came to its end between the look and the lock.
    return await resume(connection, deployment, options, feed)


async def _wants_files(connection: Connection, deployment: DeploymentId, plan: Plan) -> bool:
    """Return whether a file may have to be read: not when every store is named and recorded."""
    past = await connection.journal.events(deployment)
    named = {event.data["operation"] for event in past if event.type == events.STORE_NAMED}
    done = {event.data["operation"] for event in past if event.type == events.EFFECT_DONE}
    return any(operation.key not in named & done for operation in plan.operations)


@asynccontextmanager
async def _folder(connection: Connection, place: Path, *, wanted: bool) -> AsyncIterator[Folder]:
    """Open the folder of a deployment's files; one that is not needed any more may be gone."""
    async with AsyncExitStack() as stack:
        opened: Folder = NoFolder()
        try:
            opened = await stack.enter_async_context(connection.folder(place))
        except ValidationError:
            if wanted:
                raise
        yield opened


async def newest_unfinished(connection: Connection) -> DeploymentId:
    """Return the newest deployment of this home, chain and key that can go on and that nobody works on.

    Raises `ConfigurationError` ``deployment_not_found``.
    """
    mine = {"chain": (await connection.chain.state()).chain_id, "owner": str(connection.signer().address)}
    rows = await connection.journal.rows("deployments", mine)
    for row in reversed(rows):
        found = DeploymentId(row["id"])
        if is_unfinished(row) and row["verb"] in PUBLISHING and not connection.is_live(found):
            return found
    raise ConfigurationError("deployment_not_found", "no deployment of this home can be resumed")


async def _check_world(connection: Connection, row: Mapping[str, Any], plan: Plan, options: DeployOptions) -> None:
    """Check chain, key, limits and lock before anything is owned."""
    await check_world(connection, row)
    cost.check_spending(plan.cost, as_planned(options, plan))  # that pages may go was allowed when it began
    if plan.verb == "deploy":
        site_id = ObjectId.parse(row["site_id"]) if row["site_id"] else None
        await locks.check(connection, plan.chain_id, site_id)


async def _hand_over(connection: Connection, deployment: DeploymentId, *, take_over: bool) -> None:
    """Ask a live owner to let go, and give it a moment."""
    if not take_over or not connection.is_live(deployment):
        return
    await requests.ask(connection, deployment, requests.TAKE_OVER, "")
    waited = 0.0
    while connection.is_live(deployment) and waited < HANDOVER_S + connection.network.grace_s:
        await connection.sleep(_LOOK_S)
        waited += _LOOK_S
