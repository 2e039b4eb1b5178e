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
from walrus_sdk.model.deployment import Status
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.units import DeploymentId, ObjectId
from walrus_sdk.planning.cost import check_limits
from walrus_sdk.planning.plan_json import load_plan, plan_digest
from walrus_sdk.planning.state import is_same_site, is_unfinished
from walrus_sdk.ports import Folder
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.lifecycle import Unfinished, as_planned, give_up, matters
from walrus_sdk.service.survey import Request

__all__ = ["take_up"]


async def take_up(
    connection: Connection, request: Request, folder: Folder, options: DeployOptions, feed: Feed
) -> Unfinished | None:
    """Return the unfinished deployment of the same request, if there is one, and settle and end all others.

    Raises `OwnershipError` ``deployment_owned`` while another process works on one, `LimitError` when what goes on
    is more than the options allow now.
    """
    rows = [row for row in await _of_site(connection, request) if await matters(connection, row)]
    going = [row for row in rows if is_unfinished(row) and not options.fresh]
    same = [row for row in going if row["request_digest"] == request.digest]
    for row in rows:
        if row not in same[-1:]:
            await _end(connection, row, folder, options, feed)
    if not same:
        return None
    plan = await _plan(connection, same[-1])
    check_limits(plan, options)
    owner = await connection.journal.claim(DeploymentId(same[-1]["id"]))
    return Unfinished(owner, plan, Status(same[-1]["status"]))


async def _of_site(connection: Connection, request: Request) -> list[Mapping[str, Any]]:
    mine = {"chain": request.chain_id, "owner": str(request.owner)}
    site_id = request.site_id
    if site_id is None:
        named = await connection.journal.rows("sites", {**mine, "name": request.name})
        site_id = ObjectId.parse(named[0]["object_id"]) if named and named[0]["object_id"] else None
    rows = await connection.journal.rows("deployments", mine)
    return [row for row in rows if is_same_site(row, site_id, request.name)]


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
        await Executor(context, plan, Status(row["status"])).settle()
        await give_up(connection, owner, "superseded")
        feed.set(waiting="")
    finally:
        await connection.journal.release(owner)
