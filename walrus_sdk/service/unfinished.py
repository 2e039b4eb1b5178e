"""Deployments of the same site that have not come to their end: the same request goes on, another one is settled.

Before a new plan is made, what an older one may have done is brought to its end: its stores are looked up until
they are found or settled, its transactions too, so that a site is never made twice.
"""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from walrus_sdk.engine.deletes import Deletes
from walrus_sdk.engine.executor import Executor
from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import BlockchainError, CodecError, ConfigurationError, StateError
from walrus_sdk.model.deployment import PUBLISHING, Status
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.units import DeploymentId, ObjectId, SuiAddress
from walrus_sdk.planning.cost import check_spending
from walrus_sdk.planning.plan_json import data_digest, load_plan
from walrus_sdk.planning.state import is_same_site, is_unfinished
from walrus_sdk.ports import Folder, Journal, Ownership
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.lifecycle import Unfinished, as_planned, give_up, inherited, matters
from walrus_sdk.service.nowhere import NoFolder
from walrus_sdk.service.survey import Request, recorded_site

__all__ = [
    "HANDOVER_S",
    "SUPERSEDED",
    "check_world",
    "claim",
    "end_cleanup",
    "end_cleanups",
    "plan_in",
    "plan_of",
    "row_of",
    "settle_and_end",
    "site_of",
    "take_up",
]

SUPERSEDED = "superseded"
"""The reason of what was settled and ended for a newer deployment."""

HANDOVER_S = 5.0
"""Seconds, beside the time of grace, that a live owner has to let go before it is fenced off."""


async def take_up(
    connection: Connection,
    request: Request,
    folder: Folder,
    options: DeployOptions,
    feed: Feed,
    *,
    only: str | None = None,
) -> Unfinished | None:
    """Return the unfinished deployment of the same request, if there is one, and settle and end all others.

    `only` is the digest of the one plan that may go on.

    Raises `OwnershipError` ``deployment_owned`` while another process works on one, `LimitError` when what goes on
    is more than the options allow now.
    """
    await end_cleanups(connection, request.chain_id, request.owner, options, feed)
    rows = [row for row in await _of_site(connection, request) if await matters(connection, row)]
    going = [row for row in rows if is_unfinished(row) and not options.fresh]
    same = [row for row in going if row["request_digest"] == request.digest and only in (None, row["plan_digest"])]
    for row in rows:
        if row not in same[-1:]:
            await settle_and_end(connection, row, folder, options, feed)
    if not same:
        return None
    plan = await plan_of(connection, same[-1])
    check_spending(plan.cost, as_planned(options, plan))  # that pages may go was allowed when it began
    owner, row = await claim(connection, same[-1])
    if is_unfinished(row):
        in_vain = await inherited(connection, owner.deployment, plan)
        if in_vain:
            await connection.journal.append(owner, in_vain)
        return Unfinished(owner, plan, Status(row["status"]))
    await connection.journal.release(owner)  # it came to its end between the look and the lock
    return await take_up(connection, request, folder, options, feed, only=only)


async def end_cleanups(
    connection: Connection, chain_id: str, owner: SuiAddress, options: DeployOptions, feed: Feed
) -> None:
    """End cleanups that were interrupted, before anything counts on a blob that one of them may still delete."""
    for row in await connection.journal.rows("deployments", {"chain": chain_id, "owner": str(owner)}):
        is_live = connection.is_live(DeploymentId(row["id"]))
        if row["verb"] == "cleanup" and not is_live and await matters(connection, row):
            await end_cleanup(connection, row, options, feed)


async def end_cleanup(connection: Connection, row: Mapping[str, Any], options: DeployOptions, feed: Feed) -> None:
    """Bring what a cleanup has sent to its end; what it only signed is dropped."""
    owner = await connection.journal.claim(DeploymentId(row["id"]))
    try:
        context = connection.context(owner, NoFolder(), options, feed)
        await Deletes(context, await plan_of(connection, row)).settle()
        await give_up(connection, owner, SUPERSEDED)
    finally:
        await connection.journal.release(owner)


async def row_of(connection: Connection, deployment: DeploymentId) -> Mapping[str, Any]:
    """Return the row of a deployment. Raises `ConfigurationError` ``deployment_not_found``."""
    rows = await connection.journal.rows("deployments", {"id": str(deployment)})
    if not rows:
        raise ConfigurationError("deployment_not_found", f"this home has no deployment {deployment}")
    return rows[0]


async def check_world(connection: Connection, row: Mapping[str, Any]) -> None:
    """Check that the connected chain and the key are those of a deployment.

    Raises `BlockchainError` ``chain_mismatch``, `ConfigurationError` ``key_invalid``.
    """
    state, owner = await connection.chain.state(), connection.signer().address
    if state.chain_id != row["chain"]:
        text = f"it is for chain {row['chain']}, {connection.network.name} is chain {state.chain_id}"
        raise BlockchainError("chain_mismatch", text, expected=row["chain"], found=state.chain_id)
    if str(owner) != row["owner"]:
        raise ConfigurationError("key_invalid", f"it is for {row['owner']}, the key is that of {owner}")


async def claim(connection: Connection, row: Mapping[str, Any]) -> tuple[Ownership, Mapping[str, Any]]:
    """Become the owner of a deployment; returns its row as it is now."""
    owner = await connection.journal.claim(DeploymentId(row["id"]))
    try:
        (now,) = await connection.journal.rows("deployments", {"id": row["id"]})
    except BaseException:
        await connection.journal.release(owner)
        raise
    return owner, now


async def site_of(connection: Connection, request: Request) -> ObjectId | None:
    """Return the site that a request is about: the one that was given, else that of its name in this home."""
    if request.site_id is not None:
        return request.site_id
    return await recorded_site(connection, request.chain_id, request.owner, request.name)


async def _of_site(connection: Connection, request: Request) -> list[Mapping[str, Any]]:
    mine = {"chain": request.chain_id, "owner": str(request.owner)}
    site_id = await site_of(connection, request)
    rows = await connection.journal.rows("deployments", mine)
    return [row for row in rows if row["verb"] in PUBLISHING and is_same_site(row, site_id, request.name)]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile: reading a large plan makes none, and each look goes through all of it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@lru_cache(maxsize=1)
def _read(text: str, digest: str) -> tuple[Plan, bool]:
    """Read a plan and tell whether it is the one that `digest` names; a verb asks for the same one several times."""
    with _uncollected():
        data = json.loads(text)
        plan = load_plan(data)
    # What is stored is the form that the digest is taken of, but for the digest itself: no need to write it again.
    frozen = text.replace(f'"digest":"{digest}"', '"digest":""', 1).encode("utf-8", "surrogatepass")
    is_frozen = hashlib.sha256(frozen).hexdigest() == digest or data_digest(data) == digest
    return plan, is_frozen and plan.digest == digest


async def plan_of(connection: Connection, row: Mapping[str, Any]) -> Plan:
    """Return the frozen plan of a deployment; see `plan_in`."""
    return await plan_in(connection.journal, row)


async def plan_in(journal: Journal, row: Mapping[str, Any]) -> Plan:
    """Return the frozen plan of a deployment. Raises `StateError` ``state_damaged`` when it is not what was frozen."""
    found = await journal.rows("plans", {"digest": row["plan_digest"]})
    try:
        plan, is_frozen = _read(found[0]["json"], row["plan_digest"])
    except (IndexError, ValueError, CodecError) as error:
        raise StateError("state_damaged", f"the plan of {row['id']} cannot be read") from error
    if not is_frozen:
        raise StateError("state_damaged", f"the plan of {row['id']} is not the one that was frozen")
    return plan


async def settle_and_end(
    connection: Connection, row: Mapping[str, Any], folder: Folder, options: DeployOptions, feed: Feed
) -> None:
    """Settle what a deployment left open, keep what it made, and end it as superseded."""
    owner, row = await claim(connection, row)
    try:
        if not await matters(connection, row):
            return
        plan = await plan_of(connection, row)
        feed.set(waiting=f"settling {row['id']}")
        context = connection.context(owner, folder, as_planned(options, plan), feed)
        await Executor(context, plan, Status(row["status"])).settle()
        await give_up(connection, owner, SUPERSEDED)
        feed.set(waiting="")
    finally:
        await connection.journal.release(owner)
