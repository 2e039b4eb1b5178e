"""Deployments of the same site that have not come to their end: the same request goes on, another one is settled.

Before a new plan is made, what an older one may have done is brought to its end: its stores are looked up until
they are found or settled, its transactions too, so that a site is never made twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from walrus_sdk.engine.executor import Executor
from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import CodecError, StateError
from walrus_sdk.model import events
from walrus_sdk.model.deployment import Status
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.units import DeploymentId, ObjectId
from walrus_sdk.planning.plan_json import load_plan, plan_digest
from walrus_sdk.planning.state import is_unfinished
from walrus_sdk.ports import Change, Folder, Ownership, Put
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.lifecycle import Unfinished, as_planned, give_up
from walrus_sdk.service.survey import Request

__all__ = ["take_up"]


async def take_up(
    connection: Connection, request: Request, folder: Folder, options: DeployOptions, feed: Feed
) -> Unfinished | None:
    """Return the unfinished deployment of the same request, if there is one, and settle and end all others.

    Raises `OwnershipError` ``deployment_owned`` while another process works on one.
    """
    rows = [row for row in await _of_site(connection, request) if is_unfinished(row)]
    same = [row for row in rows if row["request_digest"] == request.digest and not options.fresh]
    for row in rows:
        if row not in same[-1:]:
            await _end(connection, row, folder, options, feed)
    if not same:
        return None
    owner = await connection.journal.claim(DeploymentId(same[-1]["id"]))
    try:
        return Unfinished(owner, await _plan(connection, same[-1]), Status(same[-1]["status"]))
    except BaseException:
        await connection.journal.release(owner)
        raise


async def _of_site(connection: Connection, request: Request) -> list[Mapping[str, Any]]:
    mine = {"chain": request.chain_id, "owner": str(request.owner)}
    named = await connection.journal.rows("sites", {**mine, "name": request.name})
    ids = {str(request.site_id)} if request.site_id is not None else {r["object_id"] for r in named if r["object_id"]}
    rows = await connection.journal.rows("deployments", mine)
    return [row for row in rows if row["site_name"] == request.name or row["site_id"] in ids]


async def _plan(connection: Connection, row: Mapping[str, Any]) -> Plan:
    """Return the frozen plan of a deployment. Raises `StateError` ``state_damaged`` when it is not what was frozen."""
    found = await connection.journal.rows("plans", {"digest": row["plan_digest"]})
    try:
        plan = load_plan(json.loads(found[0]["json"]))
    except (IndexError, ValueError, CodecError) as error:
        raise StateError("state_damaged", f"the plan of {row['id']} cannot be read") from error
    if plan_digest(plan) != row["plan_digest"]:
        raise StateError("state_damaged", f"the plan of {row['id']} is not the one that was frozen")
    return plan


async def _end(
    connection: Connection, row: Mapping[str, Any], folder: Folder, options: DeployOptions, feed: Feed
) -> None:
    """Settle what a deployment left open, keep what it made, and end it as superseded."""
    owner = await connection.journal.claim(DeploymentId(row["id"]))
    try:
        plan = await _plan(connection, row)
        feed.set(waiting=f"settling {row['id']}")
        context = connection.context(owner, folder, as_planned(options, plan), feed)
        executor = Executor(context, plan, Status(row["status"]))
        site_id = await executor.settle()
        if site_id is not None:
            await _keep_site(connection, owner, plan, site_id)
        await give_up(connection, owner, "superseded")
        feed.set(waiting="")
    finally:
        await connection.journal.release(owner)


async def _keep_site(connection: Connection, owner: Ownership, plan: Plan, site_id: ObjectId) -> None:
    key = {"chain": plan.chain_id, "owner": str(plan.target.owner), "name": plan.target.name}
    row = Put("sites", key, {"object_id": str(site_id), "deployment": str(owner.deployment)})
    data = {"site_id": str(site_id), "how": "made by a deployment that is superseded"}
    await connection.journal.append(owner, [Change(events.SITE_ADOPTED, data, (row,))])
