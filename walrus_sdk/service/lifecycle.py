"""A deployment from its first row to its last: begun, carried out, its failure recorded, given up."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from walrus_sdk.engine.context import Context
from walrus_sdk.engine.executor import Executor
from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import BlockchainError, DeploymentStopped, OwnershipError, WalrusError
from walrus_sdk.model import events
from walrus_sdk.model.deployment import PUBLISHING, EffectState, Status, may_move
from walrus_sdk.model.options import DeployOptions, DeployResult
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.units import DeploymentId, SuiAddress
from walrus_sdk.planning.plan_json import canonical, dump
from walrus_sdk.planning.request import thawed
from walrus_sdk.planning.state import can_resume, is_failure, is_same_site, is_unfinished
from walrus_sdk.ports import Change, Folder, Ownership, Put
from walrus_sdk.service import requests
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.sampling import sampled

__all__ = [
    "Unfinished",
    "adopted_site",
    "as_planned",
    "begin",
    "carry_out",
    "entry_rows",
    "first_row",
    "give_up",
    "inherited",
    "matters",
    "status_of",
    "told_by",
    "untold",
    "withdraw",
]

_NEW_MS = 12 * 3_600_000
"""How long what a cleanup told may be unread: who runs it again after its death does so sooner, a daily one later."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A deployment that is to go on: whose it is now, its frozen plan, its status."""

    owner: Ownership
    plan: Plan
    status: Status


def as_planned(options: DeployOptions, plan: Plan) -> DeployOptions:
    """Return the options with what the plan has decided already, and the limits that it was made under."""
    return thawed(options, plan.options)


async def begin(connection: Connection, plan: Plan, scan_s: float | None = None) -> Ownership:
    """Make a deployment of a plan durable and become its owner; `scan_s` are the seconds that reading its files took.

    Raises `OwnershipError` ``deployment_owned`` when somebody began one of the same site in the meantime.
    """
    deployment = connection.ids.deployment_id()
    owner = await connection.journal.claim(deployment, new=True)
    try:
        changes = _first_rows(connection, deployment, plan, scan_s)
        adopted = await adopted_site(connection, deployment, plan)
        in_vain = await inherited(connection, deployment, plan)
        await connection.journal.append(owner, [*changes, *adopted, *in_vain])
        await _yield_to_older(connection, owner, plan)
    except BaseException:
        await connection.journal.release(owner)
        raise
    return owner


async def inherited(connection: Connection, deployment: DeploymentId, plan: Plan) -> list[Change]:
    """Return events that make `deployment` tell what others of its site may have paid in vain, and no result told yet.

    They are read from the journal, so that no death between the end of one deployment and the next loses them. A
    cleanup that came to nothing may know of all that it forgot.
    """
    target, names = plan.target, set[str]()
    rows = await connection.journal.rows("deployments", {"chain": plan.chain_id, "owner": str(target.owner)})
    for row in reversed(rows):
        its_own = is_same_site(row, target.site_id, target.name) or row["site_name"] == target.name
        is_over = row["status"] == Status.COMPLETED.value
        if row["verb"] in PUBLISHING and its_own and is_over:
            break
        if is_over or not (row["verb"] == "cleanup" or (row["verb"] in PUBLISHING and its_own)):
            continue
        names |= await _in_vain(connection, DeploymentId(row["id"]))
    return told_by(names - await _in_vain(connection, deployment))


async def untold(
    connection: Connection, chain_id: str, owner: SuiAddress, forgotten: Collection[DeploymentId]
) -> set[str]:
    """Return what may have been paid in vain, and no result tells when deployments of the wallet are `forgotten`.

    A result that is forgotten may have died with its process before anybody was told; that of a cleanup is told once
    more only if it is new, else each cleanup would tell again what the one before it told.
    """
    told, names = set[str](), set[str]()
    since = connection.clock.wall_ms() - _NEW_MS
    for row in await connection.journal.rows("deployments", {"chain": chain_id, "owner": str(owner)}):
        deployment = DeploymentId(row["id"])
        if row["status"] != Status.COMPLETED.value:
            names |= await _in_vain(connection, deployment)
            continue
        its_own = set(json.loads(row["result"] or "{}").get("possibly_paid_in_vain", ()))
        may_be_unread = row["verb"] in PUBLISHING or (row["finished_ms"] or 0) >= since
        if deployment in forgotten and may_be_unread:
            names |= its_own
        else:
            told |= its_own
    return names - told


def told_by(names: Iterable[str]) -> list[Change]:
    """Return the events by which a deployment tells what others may have paid in vain."""
    return [Change(events.SECOND_PAYMENT_POSSIBLE, {"kind": "store", "name": name}) for name in sorted(names)]


async def _in_vain(connection: Connection, deployment: DeploymentId) -> set[str]:
    past = await connection.journal.events(deployment)
    return {str(event.data["name"]) for event in past if event.type == events.SECOND_PAYMENT_POSSIBLE}


def first_row(plan: Plan, now: int) -> dict[str, Any]:
    """Return the columns of a deployment that begins."""
    target = plan.target
    return {
        "verb": plan.verb,
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


def _first_rows(connection: Connection, deployment: DeploymentId, plan: Plan, scan_s: float | None) -> list[Change]:
    now = connection.clock.wall_ms()
    facts, most = first_row(plan, now), plan.options.get("max_cost")
    data = {
        "plan": plan.digest,
        "request": plan.request_digest,
        "site": plan.target.name,
        "files": len(plan.entries),
        "stores": len(plan.operations),
        "cost_frost": str(plan.cost.frost.units),
        "max_cost_frost": None if most is None else str(most),
        "gas_mist": str(plan.cost.gas.units),
        "store_bytes": plan.cost.stored_bytes,
        "skipped_bytes": plan.cost.skipped_bytes,
        "end_epoch": plan.end_epoch.number,
        "epochs": plan.epochs,
        "scan_s": scan_s,
    }
    frozen = {"request_digest": plan.request_digest, "json": canonical(dump(plan)).decode("utf-8", "surrogatepass")}
    puts = [
        Put("deployments", {"id": str(deployment)}, facts),
        Put("plans", {"digest": plan.digest}, frozen),
        *entry_rows(deployment, plan),
    ]
    return [Change(events.DEPLOYMENT_PLANNED, data, tuple(puts))]


async def _lock(connection: Connection, owner: Ownership, plan: Plan) -> None:
    """Lock the site where the plan says so, once and before anything is done; a lock that somebody set stays."""
    if not plan.lock or plan.target.site_id is None:
        return
    past = await connection.journal.events(owner.deployment)
    if any(event.type == events.SITE_LOCKED for event in past):
        return  # whoever unlocked it meanwhile meant it
    key = {"chain": plan.chain_id, "site_id": str(plan.target.site_id)}
    values = {"reason": plan.lock, "since_ms": connection.clock.wall_ms(), "deployment": str(owner.deployment)}
    there = await connection.journal.rows("locks", key)
    is_set = bool(there) and there[0]["reason"] is not None and there[0]["deployment"] is None
    puts = () if is_set else (Put("locks", key, values),)
    await connection.journal.append(owner, [Change(events.SITE_LOCKED, {"reason": plan.lock}, puts)])


async def adopted_site(connection: Connection, deployment: DeploymentId, plan: Plan) -> list[Change]:
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


def entry_rows(deployment: DeploymentId, plan: Plan) -> Sequence[Put]:
    """Return the rows of a plan's files."""
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
        if row["verb"] == "cleanup" and is_unfinished(row) and connection.is_live(DeploymentId(row["id"])):
            await give_up(connection, owner, "a cleanup of this wallet is under way")
            text = f"{row['id']} cleans up what the plan may count on"
            raise OwnershipError("deployment_owned", text, deployment_id=row["id"])
        if plan.verb != "cleanup" and is_same_site(row, target.site_id, target.name) and await matters(connection, row):
            await give_up(connection, owner, "another deployment of this site was begun first")
            text = f"{row['id']} was begun first and works on site {target.name!r}"
            raise OwnershipError("deployment_owned", text, deployment_id=row["id"])


async def matters(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Return whether a deployment can go on, or has left something open that may still happen."""
    if is_unfinished(row):
        return True
    status = Status(row["status"])
    if status not in (Status.FAILED, Status.CANCELLED):
        return False
    opened = await connection.journal.rows("operations", {"deployment": row["id"], "state": EffectState.RELEASED.value})
    if not opened or status is Status.FAILED:
        return bool(opened)
    told = await _in_vain(connection, DeploymentId(row["id"]))  # what was looked for in vain when it ended is over
    return any(effect["kind"] == "store" and effect["name"] not in told for effect in opened)


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
    feed.set(deployment=str(owner.deployment))
    try:
        context = connection.context(owner, folder, options, feed)
        executor = Executor(context, unfinished.plan, unfinished.status)
        await _check_recoveries(connection, owner, options)
        await _lock(connection, owner, unfinished.plan)
        return await _run(connection, context, executor, deadline)
    except WalrusError as error:
        error.fields |= {"deployment_id": str(owner.deployment), "resumable": can_resume(error)}
        await _record_failure(connection, owner, error, _forgotten(unfinished, error))
        if options.recovery.cleanup_on_failure and not error.fields["resumable"]:
            await connection.checkpoints.remove(owner.deployment)
        raise
    finally:
        await connection.journal.release(owner)


def _forgotten(unfinished: Unfinished, error: WalrusError) -> list[Change]:
    """Return the events that forget blobs which were twice not found where the site was written already.

    Then the plan is over: the next one stores their content anew, which is free where they live after all.
    """
    if error.code != "verification_failed" or unfinished.status not in (Status.PROCESSING, Status.FAILED):
        return []
    lost = error.fields.get("lost_blobs") or ()
    if lost:
        error.fields["resumable"] = False
    chain, changes = unfinished.plan.chain_id, []
    for name in lost:
        data = {"kind": "store", "name": name, "operation": "", "code": "blob_not_found", "message": "twice"}
        blob = Put("blobs", {"chain": chain, "blob_id": name}, {"end_epoch": 0})
        state = {"state": EffectState.FAILED.value}
        effect = Put("operations", {"chain": chain, "kind": "store", "name": name}, state)
        changes.append(Change(events.EFFECT_FAILED, data, (blob, effect)))
    return changes


async def _check_recoveries(connection: Connection, owner: Ownership, options: DeployOptions) -> None:
    """Give a deployment up that was taken up again too often. Raises `DeploymentStopped` ``recoveries_exhausted``.

    What only looks at it, or settles it, does not count.
    """
    most, past = options.recovery.max_recoveries, await connection.journal.events(owner.deployment)
    if owner.incarnation > 1:
        await connection.journal.append(owner, [Change(events.DEPLOYMENT_TAKEN_UP, {"incarnation": owner.incarnation})])
    if sum(event.type == events.DEPLOYMENT_TAKEN_UP for event in past) >= most and owner.incarnation > 1:
        raise DeploymentStopped("recoveries_exhausted", f"it was taken up again {most} times, and did not end")


async def _run(connection: Connection, context: Context, executor: Executor, deadline: float) -> DeployResult:
    """Run until the end, the deadline, or until somebody asks for something else."""
    owner = context.owner
    results: list[DeployResult] = []
    errors: list[Exception] = []
    told: list[str] = []

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope(deadline=deadline) as scope:

            async def listen() -> None:
                told.append(await _listen(connection, context))
                scope.cancel()

            tasks.start_soon(listen)
            try:
                results.append(await sampled(connection.sampler, owner, context.feed, executor.run))
            except Exception as error:  # carried out of the task group as it is, not as a group
                errors.append(error)
        tasks.cancel_scope.cancel()
    context.gate.open(connection.clock.monotonic())  # what is left open is brought to its end
    if errors:
        raise errors[0]
    if results:
        return results[0]
    if requests.CANCEL in told:
        return await _cancelled(connection, owner, executor)
    if told:
        raise DeploymentStopped("interrupted", "another process asked to take it over")
    raise DeploymentStopped("deadline_reached", "the deadline passed before the deployment's end")


async def _listen(connection: Connection, context: Context) -> str:
    """Close and open the gate as is asked, until somebody asks for an end; returns which (a cancel before all)."""
    heard: frozenset[str] = frozenset()
    while True:
        before, heard = heard, await connection.asked(context.owner, heard)
        for end in (requests.CANCEL, requests.TAKE_OVER):
            if end in heard:
                return end
        if (requests.PAUSE in heard) != (requests.PAUSE in before):
            await _pause(connection, context, requests.PAUSE in heard)


async def _pause(connection: Connection, context: Context, paused: bool) -> None:
    """Let nothing new begin, or everything again; the event is written while the gate is closed."""
    owner, change = context.owner, Change(events.DEPLOYMENT_CONTINUED)
    if paused:
        context.gate.close()
        reason = await requests.reason_of(connection, owner.deployment, requests.PAUSE)
        change = Change(events.DEPLOYMENT_PAUSED, {"reason": reason})
    context.feed.set(paused=paused)
    await connection.journal.append(owner, [change])
    if not paused:
        context.gate.open(connection.clock.monotonic())


async def _cancelled(connection: Connection, owner: Ownership, executor: Executor) -> DeployResult:
    """End as cancelled, or as complete when all of it is on chain already: one verdict, the chain's (SERVE-6).

    Raises `DeploymentStopped` ``cancelled``.
    """
    reason = await requests.reason_of(connection, owner.deployment, requests.CANCEL)
    async with requests.at_work(connection, owner.deployment):
        result = await withdraw(connection, owner, executor, reason or "by request")
    if result is None:
        raise DeploymentStopped("cancelled", f"the deployment was cancelled: {reason or 'by request'}")
    return result


async def withdraw(connection: Connection, owner: Ownership, executor: Executor, reason: str) -> DeployResult | None:
    """End a deployment as cancelled, or complete it when its last transaction was sent already."""
    try:
        committed = await executor.is_committed()
    except BlockchainError as error:
        if error.code not in ("site_changed", "site_not_found"):
            raise
        committed = False  # somebody else's site by now: nothing of ours can complete it
    if committed:
        return await executor.run()
    await give_up(connection, owner, reason)
    return None


async def _record_failure(
    connection: Connection, owner: Ownership, error: WalrusError, forgotten: Sequence[Change] = ()
) -> None:
    with anyio.CancelScope(shield=True):
        try:
            await _append_failure(connection, owner, error, forgotten)
        except WalrusError as second:  # the journal itself, or a new owner: what happened is told by the first error
            error.add_note(f"it could not be recorded: {second}")


async def _append_failure(
    connection: Connection, owner: Ownership, error: WalrusError, forgotten: Sequence[Change]
) -> None:
    reason = f"{error.code}: {error.message}"
    status = await status_of(connection, owner.deployment)
    values: dict[str, Any] = {"reason": reason, "can_resume": int(bool(error.fields["resumable"]))}
    if status in (Status.CANCELLED, Status.COMPLETED):
        return  # it has its verdict
    if is_failure(error) and may_move(status, Status.FAILED):
        data = {"from": status.value, "to": Status.FAILED.value, "code": error.code, "message": error.message}
        await _move(connection, owner, Status.FAILED, data, values, forgotten)
        return
    again = status is Status.FAILED and is_failure(error)  # before it could move on: it failed for another reason
    row = Put("deployments", {"id": str(owner.deployment)}, values)
    note = Change(events.NOTE, {"message": reason}, (row,) if again else ())
    await connection.journal.append(owner, [*(forgotten if again else ()), note])


async def give_up(connection: Connection, owner: Ownership, reason: str) -> None:
    """End a deployment as cancelled, for `reason`; one that has its verdict keeps it."""
    status = await status_of(connection, owner.deployment)
    if not may_move(status, Status.CANCELLED):
        return
    data = {"from": status.value, "to": Status.CANCELLED.value, "reason": reason}
    await _move(connection, owner, Status.CANCELLED, data, {"reason": reason, "can_resume": 0})


async def _move(
    connection: Connection,
    owner: Ownership,
    status: Status,
    data: dict[str, Any],
    values: dict[str, Any],
    more: Sequence[Change] = (),
) -> None:
    now = connection.clock.wall_ms()
    values = {**values, "status": status.value, "updated_ms": now, "finished_ms": now}
    row = Put("deployments", {"id": str(owner.deployment)}, values, {"status": data["from"]})
    await connection.journal.append(owner, [*more, Change(events.DEPLOYMENT_STATUS, data, (row,))])


async def status_of(connection: Connection, deployment: DeploymentId) -> Status:
    """Return the recorded status of a deployment."""
    (row,) = await connection.journal.rows("deployments", {"id": str(deployment)})
    return Status(row["status"])
