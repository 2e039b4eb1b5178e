"""Cleanup: what nothing refers to any more goes: old histories, versions beyond those that are kept, deletable blobs.

A cleanup that deletes is a deployment of its own (verb ``cleanup``): it begins only while no other deployment of the
wallet is under way, others do not begin beside it, and blobs are forgotten before they are deleted, so that no plan
counts on one that goes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from walrus_sdk.engine.deletes import Deletes
from walrus_sdk.engine.feed import Feed
from walrus_sdk.engine.journaling import Diary
from walrus_sdk.engine.reading import read_site
from walrus_sdk.errors import BlockchainError, ConfigurationError, OwnershipError, WalrusError
from walrus_sdk.model import events
from walrus_sdk.model.deployment import Status
from walrus_sdk.model.network import ChainState
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.plan import Cost, Plan, SiteChange, SiteTarget
from walrus_sdk.model.progress import Phase
from walrus_sdk.model.units import BlobId, DeploymentId, Digest, ObjectId, SuiAddress
from walrus_sdk.model.versions import CleanupReport
from walrus_sdk.planning.build import finish
from walrus_sdk.planning.cleanup import CleanupFacts, Decision, Extent, decide
from walrus_sdk.planning.history import kept
from walrus_sdk.planning.state import is_unfinished
from walrus_sdk.ports import Change, Drop, Ownership, Put
from walrus_sdk.service import requests
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.deploy import deadline_of, until
from walrus_sdk.service.lifecycle import begin, give_up, matters, told_by, untold
from walrus_sdk.service.nowhere import NoFolder
from walrus_sdk.service.sampling import sampled
from walrus_sdk.service.unfinished import end_cleanup, plan_of, row_of, settle_and_end
from walrus_sdk.service.versions import content_of

__all__ = ["cleanup"]

_OF_A_DEPLOYMENT = (
    "entries",
    "attempts",
    "samples",
    "checkpoints",
    "requests",
    "transactions",
    "incarnations",
    "events",
)
"""Tables that hold the history of one deployment; what it stored and published stays known."""


async def cleanup(
    connection: Connection,
    options: DeployOptions,
    feed: Feed,
    *,
    older_than_days: float = 7.0,
    keep_last: int = 3,
    only: DeploymentId | None = None,
    dry_run: bool = True,
) -> CleanupReport:
    """Return what is cleaned up, and do it unless `dry_run`.

    Histories of deployments that ended `older_than_days` ago go; of each site the last `keep_last` versions and pinned
    ones stay. Blobs that this home stored and nothing refers to are deleted where they can be, else listed with their
    end. With `only` nothing goes but such blobs that this deployment stored. Raises `OwnershipError`
    ``deployment_owned`` while another deployment of the wallet is under way, `ConfigurationError`
    ``deployment_not_found``, `DeploymentStopped` ``deadline_reached``.
    """
    deadline = deadline_of(options)
    state, owner = await connection.chain.state(), connection.signer().address
    extent = Extent(older_than_days, keep_last, only)
    if keep_last < 1 or not 0 <= older_than_days < math.inf:
        text = f"cleanup: expected keep_last from 1 and days from 0, found {keep_last} and {older_than_days}"
        raise ConfigurationError("option_invalid", text, option="cleanup")
    if only is not None:
        await row_of(connection, only)
    if not dry_run:
        await _settle_older(connection, owner, state, options, feed, only)
    decision = await _decide(connection, owner, state, options, extent)
    in_vain = await untold(connection, state.chain_id, owner, decision.deployments)
    if dry_run or decision.empty:
        return _report(decision, dry_run=dry_run, in_vain=in_vain)
    plan = _plan(connection, state, owner, decision)
    ownership = await begin(connection, plan)
    try:
        await _check_alone(connection, ownership, owner, state)
        if await _decide(connection, owner, state, options, extent) != decision:
            text = "something changed while it was decided what may go; run it again"
            raise OwnershipError("row_changed", text)
        async with requests.at_work(connection, ownership.deployment):
            with until(deadline):
                work = partial(_carry_out, connection, ownership, plan, decision, in_vain, options, feed)
                return await sampled(connection.sampler, ownership, feed, work)
    except WalrusError as error:
        error.fields |= {"deployment_id": str(ownership.deployment)}
        mine = {"deployment": str(ownership.deployment), "state": "released"}
        if not await connection.journal.rows("operations", mine):  # else the next cleanup looks it up first
            await give_up(connection, ownership, f"{error.code}: {error.message}")
        raise
    finally:
        await connection.journal.release(ownership)


def _report(
    decision: Decision,
    *,
    dry_run: bool,
    in_vain: Collection[str],
    of: DeploymentId | None = None,
    digests: Sequence[Digest] = (),
) -> CleanupReport:
    return CleanupReport(
        decision.deployments,
        tuple((site_id, number) for _, site_id, number in decision.versions),
        decision.deleted,
        decision.waiting,
        dry_run,
        of,
        tuple(digests),
        tuple(sorted(in_vain)),
    )


def _plan(connection: Connection, state: ChainState, owner: SuiAddress, decision: Decision) -> Plan:
    plan = Plan(
        digest="",
        request_digest="",
        chain_id=state.chain_id,
        network=connection.network.name,
        n_shards=state.n_shards,
        root="",
        target=SiteTarget("", owner, how="cleanup"),
        entries={},
        operations=(),
        known={},
        base={},
        change=SiteChange(),
        epochs=0,
        end_epoch=state.walrus_epoch,
        cost=Cost(),
        message="cleanup",
        verb="cleanup",
        deletes=tuple(blob.object_id for blob in decision.deleted if blob.object_id is not None),
        tags=(str(connection.clock.wall_ms()),),  # two cleanups of the same things are two plans
    )
    return finish(plan, Cost())


# ── deciding ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def _decide(
    connection: Connection, owner: SuiAddress, state: ChainState, options: DeployOptions, extent: Extent
) -> Decision:
    journal, mine = connection.journal, {"chain": state.chain_id}
    versions = await journal.rows("versions", mine)
    deployments = await journal.rows("deployments", {**mine, "owner": str(owner)})
    staying = [
        row
        for row in deployments
        if connection.is_live(DeploymentId(row["id"])) or not _is_over(row, options, extent.only)
    ]
    stay = kept(versions, extent.keep_last) if extent.only is None else versions
    facts = CleanupFacts(
        versions=versions,
        deployments=[row for row in deployments if not await _is_needed(connection, row)],
        recorded=await _recorded(connection, mine, extent.only),
        owned=await connection.chain.blobs(owner),
        needed=await _needed(connection, state.chain_id, owner, stay, staying),
        epoch=state.walrus_epoch,
        now_ms=connection.clock.wall_ms(),
        extent=extent,
    )
    return decide(facts)


async def _recorded(connection: Connection, mine: Mapping[str, Any], only: DeploymentId | None) -> set[BlobId]:
    """Return the blobs that this home stored, those included that a cleanup forgot and did not get to delete."""
    stores = await connection.journal.rows("operations", {**mine, "kind": "store"})
    done = {row["name"] for row in stores if row["state"] == "done"}
    done |= {row["blob_id"] for row in await connection.journal.rows("blobs", {**mine, "end_epoch": 0})}
    if only is not None:
        done &= {row["name"] for row in stores if row["deployment"] == str(only)}
    return {BlobId.parse(name) for name in done}


async def _is_needed(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Return whether a deployment is under way, can go on, or left something open that may still happen."""
    return connection.is_live(DeploymentId(row["id"])) or await matters(connection, row)


async def _needed(
    connection: Connection,
    chain_id: str,
    owner: SuiAddress,
    versions: Sequence[Mapping[str, Any]],
    deployments: Sequence[Mapping[str, Any]],
) -> set[BlobId]:
    """Return the blobs that something refers to: sites on chain, versions that stay, deployments that can go on."""
    needed = {resource.blob_id for row in versions for resource in content_of(row).resources.values()}
    for site_id in await _sites(connection, owner, chain_id):
        site = await read_site(connection, chain_id, site_id)
        if site is None:
            text = f"site {site_id} cannot be read; if it was destroyed, `walrus-sdk doctor --repair` forgets it"
            raise BlockchainError("chain_unavailable", text, site_id=str(site_id))
        needed |= {resource.blob_id for resource in site.content.resources.values()}
    for row in deployments:
        if is_unfinished(row):
            plan = await plan_of(connection, row)
            needed |= {stored.blob_id for stored in plan.known.values()}
            needed |= {resource.blob_id for resource in plan.base.values()}
            stores = await connection.journal.rows("operations", {"deployment": row["id"], "kind": "store"})
            needed |= {BlobId.parse(store["name"]) for store in stores}
    return needed


async def _sites(connection: Connection, owner: SuiAddress, chain_id: str) -> set[ObjectId]:
    """Return the owner's sites: those that the chain lists, and those of this home, which a late list may not have."""
    rows = await connection.journal.rows("sites", {"chain": chain_id, "owner": str(owner)})
    known = {ObjectId.parse(row["object_id"]) for row in rows if row["object_id"]}
    return known | {site_id for site_id, _ in await connection.chain.sites(owner)}


async def _settle_older(
    connection: Connection,
    owner: SuiAddress,
    state: ChainState,
    options: DeployOptions,
    feed: Feed,
    only: DeploymentId | None,
) -> None:
    """End what is over: cleanups that were interrupted, and deployments of which nothing is to be kept."""
    for row in await connection.journal.rows("deployments", {"chain": state.chain_id, "owner": str(owner)}):
        if connection.is_live(DeploymentId(row["id"])) or not await matters(connection, row):
            continue
        if row["verb"] == "cleanup":
            await end_cleanup(connection, row, options, feed)
        elif _is_over(row, options, only):
            await settle_and_end(connection, row, NoFolder(), options, feed)


def _is_over(row: Mapping[str, Any], options: DeployOptions, only: DeploymentId | None) -> bool:
    """Return whether a deployment's uploads are not kept: it was cancelled, or it failed and they are not preserved."""
    if only is not None and row["id"] != str(only):
        return False
    status = Status(row["status"])
    return status is Status.CANCELLED or (status is Status.FAILED and not options.recovery.preserve_partial_uploads)


async def _check_alone(connection: Connection, ownership: Ownership, owner: SuiAddress, state: ChainState) -> None:
    """Check that no other deployment of the wallet is under way: it may count on what goes."""
    for row in await connection.journal.rows("deployments", {"chain": state.chain_id, "owner": str(owner)}):
        other = DeploymentId(row["id"])
        if other != ownership.deployment and is_unfinished(row) and connection.is_live(other):
            text = f"{other} is under way; nothing is cleaned up beside it"
            raise OwnershipError("deployment_owned", text, deployment_id=str(other))


# ── doing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _carry_out(
    connection: Connection,
    ownership: Ownership,
    plan: Plan,
    decision: Decision,
    in_vain: Collection[str],
    options: DeployOptions,
    feed: Feed,
) -> CleanupReport:
    context = connection.context(ownership, NoFolder(), options, feed)
    diary = Diary(context, plan, Status.PENDING)
    feed.phase(Phase.CHAIN)
    await diary.move(Status.PROCESSING, puts=_forgotten_blobs(plan, decision))
    forgotten = Change(events.NOTE, {"message": "forgotten"}, (), _drops(plan, decision))
    await connection.journal.append(ownership, [*_undone(plan, decision), *told_by(in_vain), forgotten])
    deletes = Deletes(context, plan)
    await deletes.run()
    for deployment in decision.deployments:
        await _forget(connection, deployment)
    report = _report(decision, dry_run=False, in_vain=in_vain, of=ownership.deployment, digests=deletes.digests)
    now = connection.clock.wall_ms()
    await diary.move(Status.COMPLETED, finished_ms=now, can_resume=0, result=json.dumps(report.to_json()))
    feed.phase(Phase.DONE)
    return report


def _forgotten_blobs(plan: Plan, decision: Decision) -> list[Put]:
    """Return the rows that say of each blob that it does not live, before it is deleted."""
    return [
        Put("blobs", {"chain": plan.chain_id, "blob_id": str(blob.blob_id)}, {"end_epoch": 0})
        for blob in decision.deleted
    ]


def _undone(plan: Plan, decision: Decision) -> list[Change]:
    """Return the events after which the stores of these blobs do not count as done any more."""
    changes = []
    for blob in decision.deleted:
        name = str(blob.blob_id)
        data = {"kind": "store", "name": name, "operation": "", "code": "cleaned_up", "message": "it is deleted"}
        key = {"chain": plan.chain_id, "kind": "store", "name": name}
        changes.append(Change(events.EFFECT_FAILED, data, (Put("operations", key, {"state": "failed"}),)))
    return changes


def _drops(plan: Plan, decision: Decision) -> tuple[Drop, ...]:
    chain = plan.chain_id
    names = [str(blob.blob_id) for blob in decision.deleted]
    return (
        *(Drop("patches", {"chain": chain, "blob_id": name}) for name in names),
        *(
            Drop("versions", {"chain": of, "site_id": str(site_id), "n": number})
            for of, site_id, number in decision.versions
        ),
    )


async def _forget(connection: Connection, deployment: DeploymentId) -> None:
    """Forget the history of a deployment; one that somebody took up meanwhile stays."""
    try:
        owner = await connection.journal.claim(deployment)
    except OwnershipError:
        return
    try:
        (row,) = await connection.journal.rows("deployments", {"id": str(deployment)})
        if not await matters(connection, row):
            drops = [Drop(table, {"deployment": str(deployment)}) for table in _OF_A_DEPLOYMENT]
            drops.append(Drop("deployments", {"id": str(deployment)}))
            shared = await connection.journal.rows("deployments", {"plan_digest": row["plan_digest"]})
            if len(shared) == 1:
                drops.append(Drop("plans", {"digest": row["plan_digest"]}))
            await connection.journal.append(owner, [Change(events.DEPLOYMENT_DROPPED, {}, (), tuple(drops))])
            await connection.checkpoints.remove(deployment)
    finally:
        await connection.journal.release(owner)
