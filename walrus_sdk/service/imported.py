"""A deployment from a checkpoint file alone: its plan, what it stored, what it left open; for another machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from walrus_sdk.errors import BlockchainError, CodecError, StateError
from walrus_sdk.model import events
from walrus_sdk.model.deployment import Status
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.planning.plan_json import canonical, data_digest, load_plan
from walrus_sdk.ports import Change, Put
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.lifecycle import adopted_site, entry_rows, first_row

__all__ = ["take_in"]


async def take_in(connection: Connection, data: Mapping[str, Any]) -> DeploymentId:
    """Make the deployment of a checkpoint one of this home; one that is here already stays as it is.

    Raises `StateError` ``checkpoint_invalid``.
    """
    try:
        deployment, plan = DeploymentId(data["deployment"]), _plan(data)
        puts = _rows(connection, deployment, plan, data)
        past = _transactions(deployment, plan, data)
        told = [(row, _operation(deployment, plan, row)) for row in data["operations"]]
        facts = {"last_event": int(data["last_event"]), "errors": len(data["errors"])}
    except (KeyError, TypeError, ValueError, CodecError) as error:
        raise StateError("checkpoint_invalid", f"the checkpoint cannot be used: {error}") from error
    if await connection.journal.rows("deployments", {"id": str(deployment)}):
        return deployment
    await _check_not_made(connection, plan, data)
    adopted = await adopted_site(connection, deployment, plan)
    owner = await connection.journal.claim(deployment, new=True)
    try:
        past += [change for row, put in told for change in await _operations(connection, row, put)]
        await connection.journal.append(owner, [Change(events.DEPLOYMENT_IMPORTED, facts, puts), *past, *adopted])
    finally:
        await connection.journal.release(owner)
    return deployment


def _plan(data: Mapping[str, Any]) -> Plan:
    plan = load_plan(data["plan"])
    if data_digest(data["plan"]) != data["plan_digest"]:
        raise ValueError("its plan is not the one that was frozen")
    return plan


def _rows(connection: Connection, deployment: DeploymentId, plan: Plan, data: Mapping[str, Any]) -> tuple[Put, ...]:
    operations, transactions = data["operations"], data["transactions"]
    status = Status.PROCESSING if transactions else Status.UPLOADING if operations else Status.PENDING
    facts = first_row(plan, connection.clock.wall_ms()) | {"status": status.value}
    frozen = {"request_digest": plan.request_digest, "json": canonical(data["plan"]).decode("utf-8", "surrogatepass")}
    return (
        Put("deployments", {"id": str(deployment)}, facts),
        Put("plans", {"digest": plan.digest}, frozen),
        *entry_rows(deployment, plan),
        *(put for row in transactions for put in _made(deployment, plan, row)),
    )


async def _check_not_made(connection: Connection, plan: Plan, data: Mapping[str, Any]) -> None:
    """Check that a site that the checkpoint knows nothing of is not there: the file may be older than what happened.

    Raises `BlockchainError` ``site_changed``.
    """
    if plan.target.site_id is not None or data["transactions"]:
        return
    state, owner = await connection.chain.state(), plan.target.owner
    if state.chain_id != plan.chain_id:
        return  # said when it is resumed
    found = [site_id for site_id, name in await connection.chain.sites(owner) if name == plan.target.name]
    if found:
        text = f"the checkpoint would make site {plan.target.name!r}, and {owner} has one of that name: {found[0]}"
        raise BlockchainError("site_changed", text, site_id=str(found[0]))


def _made(deployment: DeploymentId, plan: Plan, row: Mapping[str, Any]) -> tuple[Put, ...]:
    """Return the rows that know a site which one of the transactions made."""
    if row["expected_id"] is None or row["state"] != "final":
        return ()
    key = {"chain": plan.chain_id, "owner": str(plan.target.owner), "name": plan.target.name}
    return (
        Put("sites", key, {"object_id": row["expected_id"], "deployment": str(deployment)}),
        Put("deployments", {"id": str(deployment)}, {"site_id": row["expected_id"]}),
    )


_CERTAINTY = ("planned", "failed", "intent", "released", "done")
"""States of effects, each knows more than those before it, or must be minded more."""
_OF_A_STATE = {
    "intent": events.EFFECT_INTENT,
    "released": events.EFFECT_RELEASED,
    "done": events.EFFECT_DONE,
    "failed": events.EFFECT_FAILED,
}


async def _operations(connection: Connection, row: Mapping[str, Any], put: Put) -> list[Change]:
    """Return what the checkpoint tells of an effect, as an event with its row: rows are what the events tell.

    What this home knows of the effect wins, unless the checkpoint knows more: that it is done, or was begun.
    """
    known = await connection.journal.rows("operations", put.key)
    here = known[0] if known else None
    if here is not None:
        is_live = connection.is_live(DeploymentId(here["deployment"]))
        if is_live or _CERTAINTY.index(here["state"]) >= _CERTAINTY.index(row["state"]):
            return []
    seen = {} if here is None else {name: here[name] for name in ("deployment", "state", "attempts")}
    facts = {"kind": row["kind"], "name": row["name"], "operation": row["operation"], "how": "imported"}
    facts |= {"attempt": 1, "code": "imported", "message": "", "outcome": row["outcome"]}
    named = {"operation": row["operation"], "blob_id": row["name"]}
    names = [Change(events.STORE_NAMED, named)] if row["kind"] == "store" else []
    return [*names, Change(_OF_A_STATE[row["state"]], facts, (replace(put, expect=seen),))]


def _transactions(deployment: DeploymentId, plan: Plan, data: Mapping[str, Any]) -> list[Change]:
    """Return what the checkpoint tells of transactions, likewise."""
    changes = []
    for row in data["transactions"]:
        put = _transaction(deployment, plan, row)
        changes.append(Change(events.TRANSACTION_SIGNED, {"digest": row["digest"], "step": row["step"]}, (put,)))
        if row["state"] == "dead":
            changes.append(Change(events.TRANSACTION_DEAD, {"digest": row["digest"], "code": "imported"}))
    return changes


def _operation(deployment: DeploymentId, plan: Plan, row: Mapping[str, Any]) -> Put:
    key = {"chain": plan.chain_id, "kind": row["kind"], "name": row["name"]}
    values = {
        "deployment": str(deployment),
        "operation": row["operation"],
        "state": row["state"],
        "attempts": 0,
        "released_wall_ms": row["released_wall_ms"],
        "outcome": json.dumps(row["outcome"]) if row["outcome"] is not None else None,
    }
    return Put("operations", key, values)


def _transaction(deployment: DeploymentId, plan: Plan, row: Mapping[str, Any]) -> Put:
    """Return the row of a transaction without its signed bytes, which stay where they were signed."""
    key = {"chain": plan.chain_id, "digest": row["digest"]}
    values = {name: row[name] for name in ("step", "expires", "expected_id", "state")}
    return Put("transactions", key, {**values, "deployment": str(deployment)})
