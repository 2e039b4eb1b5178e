"""A deployment from its first row to its last: begun, carried out, its failure recorded, given up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import anyio

from walrus_sdk.engine.executor import Executor
from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import DeploymentStopped, OwnershipError, WalrusError
from walrus_sdk.model import events
from walrus_sdk.model.deployment import EffectState, Status, may_move
from walrus_sdk.model.options import DeployOptions, DeployResult
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.planning.plan_json import canonical, dump
from walrus_sdk.planning.state import can_resume, is_failure, is_same_site, is_unfinished
from walrus_sdk.ports import Change, Folder, Ownership, Put
from walrus_sdk.service.connection import Connection

__all__ = ["Unfinished", "as_planned", "begin", "carry_out", "give_up", "matters", "status_of"]

VERB = "deploy"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A deployment that is to go on: whose it is now, its frozen plan, its status."""

    owner: Ownership
    plan: Plan
    status: Status


def as_planned(options: DeployOptions, plan: Plan) -> DeployOptions:
    """Return the options with what the plan has decided already."""
    return replace(options, deletable=bool(plan.options.get("deletable", False)))


async def begin(connection: Connection, plan: Plan) -> Ownership:
    """Make a deployment of a plan durable and become its owner.

    Raises `OwnershipError` ``deployment_owned`` when somebody began one of the same site in the meantime.
    """
    deployment = connection.ids.deployment_id()
    owner = await connection.journal.claim(deployment, new=True)
    try:
        changes = _first_rows(connection, deployment, plan)
        await connection.journal.append(owner, [*changes, *await _adopted(connection, deployment, plan)])
        await _yield_to_older(connection, owner, plan)
    except BaseException:
        await connection.journal.release(owner)
        raise
    return owner


def _first_rows(connection: Connection, deployment: DeploymentId, plan: Plan) -> list[Change]:
    target, now = plan.target, connection.clock.wall_ms()
    facts: dict[str, Any] = {
        "verb": VERB,
        "status": Status.PENDING.value,
        "chain": plan.chain_id,
        "network": plan.network,
        "owner": str(target.owner),
        "site_name": target.name,
        "site_id": str(target.site_id) if target.site_id is not None else None,
        "folder": plan.root,
        "plan_digest": plan.digest,
        "request_digest": plan.request_digest,
        "message": plan.message,
        "commit_id": plan.commit,
        "created_ms": now,
        "updated_ms": now,
        "can_resume": 1,
    }
    data = {
        "plan": plan.digest,
        "request": plan.request_digest,
        "site": target.name,
        "files": len(plan.entries),
        "stores": len(plan.operations),
        "cost_frost": str(plan.cost.frost.units),
    }
    frozen = {"request_digest": plan.request_digest, "json": canonical(dump(plan)).decode("utf-8", "surrogatepass")}
    puts = [
        Put("deployments", {"id": str(deployment)}, facts),
        Put("plans", {"digest": plan.digest}, frozen),
        *_entry_rows(deployment, plan),
    ]
    return [Change(events.DEPLOYMENT_PLANNED, data, tuple(puts))]


async def _adopted(connection: Connection, deployment: DeploymentId, plan: Plan) -> list[Change]:
    """Return the change that remembers a site by its name, where no other site of this home has the name.

    Whoever gave an object id meant that site, not that its name is to mean another one from now on.
    """
    target = plan.target
    if target.site_id is None:
        return []
    key = {"chain": plan.chain_id, "owner": str(target.owner), "name": target.name}
    rows = await connection.journal.rows("sites", key)
    if rows and rows[0]["object_id"]:
        return []
    row = Put("sites", key, {"object_id": str(target.site_id), "deployment": str(deployment)})
    return [Change(events.SITE_ADOPTED, {"site_id": str(target.site_id), "how": target.how}, (row,))]


def _entry_rows(deployment: DeploymentId, plan: Plan) -> Sequence[Put]:
    operations = {piece.sha256: operation.key for operation in plan.operations for piece in operation.pieces}
    kept = frozenset(plan.change.keep)
    return [
        Put(
            "entries",
            {"deployment": str(deployment), "path": path},
            {
                "size": entry.size,
                "sha256": entry.sha256.hex(),
                "operation": None if path in kept else operations.get(entry.sha256),
                "state": "planned" if entry.sha256 in operations and path not in kept else "stored",
            },
        )
        for path, entry in plan.entries.items()
    ]


async def _yield_to_older(connection: Connection, owner: Ownership, plan: Plan) -> None:
    """End again when a deployment of the same site was begun just before: two would make two sites (K1)."""
    target = plan.target
    for row in await connection.journal.rows("deployments", {"chain": plan.chain_id, "owner": str(target.owner)}):
        if row["id"] == str(owner.deployment):
            return
        if is_same_site(row, target.site_id, target.name) and await matters(connection, row):
            await give_up(connection, owner, "another deployment of this site was begun first")
            text = f"{row['id']} was begun first and works on site {target.name!r}"
            raise OwnershipError("deployment_owned", text, deployment_id=row["id"])


async def matters(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Return whether a deployment can go on, or has left something open that may still happen."""
    if is_unfinished(row):
        return True
    if Status(row["status"]) is not Status.FAILED:
        return False
    mine = {"deployment": row["id"], "state": EffectState.RELEASED.value}
    return bool(await connection.journal.rows("operations", mine))


async def carry_out(
    connection: Connection,
    unfinished: Unfinished,
    folder: Folder,
    options: DeployOptions,
    feed: Feed,
    deadline: float = math.inf,
) -> DeployResult:
    """Carry a deployment on until its end, a failure, or `deadline` (the event loop's clock); then let it go.

    A failure is recorded, and carries ``deployment_id`` and ``resumable``. Cancellation leaves the status as it is.
    """
    owner = unfinished.owner
    try:
        context = connection.context(owner, folder, options, feed)
        executor = Executor(context, unfinished.plan, unfinished.status)
        with anyio.CancelScope(deadline=deadline) as scope:
            return await executor.run()
        assert scope.cancelled_caught
        raise DeploymentStopped("deadline_reached", "the deadline passed before the deployment's end")
    except WalrusError as error:
        error.fields |= {"deployment_id": str(owner.deployment), "resumable": can_resume(error)}
        await _record_failure(connection, owner, error)
        raise
    finally:
        await connection.journal.release(owner)


async def _record_failure(connection: Connection, owner: Ownership, error: WalrusError) -> None:
    with anyio.CancelScope(shield=True):
        try:
            await _append_failure(connection, owner, error)
        except WalrusError as second:  # the journal itself, or a new owner: what happened is told by the first error
            error.add_note(f"it could not be recorded: {second}")


async def _append_failure(connection: Connection, owner: Ownership, error: WalrusError) -> None:
    reason = f"{error.code}: {error.message}"
    status = await status_of(connection, owner.deployment)
    values: dict[str, Any] = {"reason": reason, "can_resume": int(can_resume(error))}
    if is_failure(error) and may_move(status, Status.FAILED):
        data = {"from": status.value, "to": Status.FAILED.value, "code": error.code, "message": error.message}
        await _move(connection, owner, Status.FAILED, data, values)
        return
    again = status is Status.FAILED and is_failure(error)  # before it could move on: it failed for another reason
    row = Put("deployments", {"id": str(owner.deployment)}, values)
    await connection.journal.append(owner, [Change(events.NOTE, {"message": reason}, (row,) if again else ())])


async def give_up(connection: Connection, owner: Ownership, reason: str) -> None:
    """End a deployment as cancelled, for `reason`."""
    status = await status_of(connection, owner.deployment)
    data = {"from": status.value, "to": Status.CANCELLED.value, "reason": reason}
    await _move(connection, owner, Status.CANCELLED, data, {"reason": reason, "can_resume": 0})


async def _move(
    connection: Connection, owner: Ownership, status: Status, data: dict[str, Any], values: dict[str, Any]
) -> None:
    now = connection.clock.wall_ms()
    values = {**values, "status": status.value, "updated_ms": now, "finished_ms": now}
    row = Put("deployments", {"id": str(owner.deployment)}, values)
    await connection.journal.append(owner, [Change(events.DEPLOYMENT_STATUS, data, (row,))])


async def status_of(connection: Connection, deployment: DeploymentId) -> Status:
    """Return the recorded status of a deployment."""
    (row,) = await connection.journal.rows("deployments", {"id": str(deployment)})
    return Status(row["status"])
