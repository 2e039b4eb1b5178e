"""Rollback: a version comes back as a deployment of its own, by reference where its bytes live."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from walrus_sdk.engine.feed import Feed
from walrus_sdk.engine.reading import read_site
from walrus_sdk.errors import BlockchainError, ConfigurationError, StorageError, WalrusError
from walrus_sdk.model import events
from walrus_sdk.model.deployment import PUBLISHING, Status
from walrus_sdk.model.network import ChainState
from walrus_sdk.model.options import DeployOptions, DeployResult
from walrus_sdk.model.plan import Plan, SiteTarget, Stored
from walrus_sdk.model.site import Resource, SiteContent, SiteSnapshot
from walrus_sdk.model.units import BlobId, ObjectId, QuiltPatchId
from walrus_sdk.planning import cost, history
from walrus_sdk.planning.build import DEFAULT_EPOCHS
from walrus_sdk.planning.plan_json import load_plan
from walrus_sdk.planning.state import is_unfinished
from walrus_sdk.ports import BlobStore, Change, Ownership, Put, ScanRules
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.deploy import deadline_of, until
from walrus_sdk.service.lifecycle import Unfinished, as_planned, begin, carry_out
from walrus_sdk.service.nowhere import NoFolder
from walrus_sdk.service.pricing import priced
from walrus_sdk.service.sites import find_site
from walrus_sdk.service.survey import Request, lifetimes_of, retiring_of
from walrus_sdk.service.unfinished import take_up
from walrus_sdk.service.versions import content_of, rows_of

__all__ = ["after_bad_verify", "plan", "rollback"]


@dataclass(frozen=True, slots=True)
class _Goal:
    """The version to bring back, and whether the site is locked then."""

    number: int
    lock: bool
    is_begun: bool = False
    plan: str = ""
    """The digest of the plan of a rollback that was begun, which goes on."""

    def digest(self, chain_id: str, site_id: ObjectId) -> str:
        return history.rollback_digest(chain_id, site_id, self.number, self.lock)


async def plan(
    connection: Connection,
    site: str,
    options: DeployOptions,
    *,
    to: int | None = None,
    reason: str = "",
    lock: bool = True,
    source: Path | None = None,
) -> Plan:
    """Return what rolling a site back would change; nothing is spent. See `rollback`."""
    chain_id, now = await _own_site(connection, site)
    goal = await _goal(connection, chain_id, now, to, lock=lock)
    if goal.plan and not options.fresh:
        (row,) = await connection.journal.rows("plans", {"digest": goal.plan})
        frozen = load_plan(json.loads(row["json"]))
    else:
        frozen = await _plan(connection, now, goal, options, reason, source)
    cost.check_spending(frozen.cost, options)
    return frozen


async def rollback(
    connection: Connection,
    site: str,
    options: DeployOptions,
    feed: Feed,
    *,
    to: int | None = None,
    reason: str = "",
    lock: bool = True,
    source: Path | None = None,
) -> DeployResult:
    """Bring version `to` of a site back (default: the one before the current one).

    What its bytes live for is only referred to; what has lapsed is stored again from `source`, or from the folder that
    the version was deployed from, where the content is the same. `lock` keeps later deploys away until it is unlocked.
    Without `to`, one that is not finished goes on; with ``fresh`` it is planned anew, for the same version.
    Raises `ConfigurationError` ``version_not_found``, `ValidationError` ``content_lapsed`` before anything changes,
    and what deploying raises.
    """
    deadline = deadline_of(options)
    if not options.recovery.enable_rollback:
        raise ConfigurationError("option_invalid", "rollback is switched off (enable_rollback)", option="recovery")
    chain_id, now = await _own_site(connection, site)
    goal = await _goal(connection, chain_id, now, to, lock=lock)
    owner, digest = connection.signer().address, goal.digest(chain_id, now.site_id)
    request = Request(chain_id, owner, now.content.name, now.site_id, digest)
    with until(deadline):
        unfinished = await take_up(connection, request, NoFolder(), options, feed)
        if unfinished is None:  # what was settled may have changed the site, and which version is the one before
            chain_id, now = await _own_site(connection, site)
            goal = goal if goal.is_begun else await _goal(connection, chain_id, now, to, lock=lock)
            frozen = await _plan(connection, now, goal, options, reason, source)
            cost.check_spending(frozen.cost, options)
            unfinished = Unfinished(await begin(connection, frozen), frozen, Status.PENDING)
            if not lock:
                await _unlock(connection, unfinished.owner, frozen)
    chosen = as_planned(options, unfinished.plan)
    if not unfinished.plan.operations:
        return await carry_out(connection, unfinished, NoFolder(), chosen, feed, deadline)
    async with connection.folder(Path(unfinished.plan.root)) as folder:
        return await carry_out(connection, unfinished, folder, chosen, feed, deadline)


async def _goal(connection: Connection, chain_id: str, now: SiteSnapshot, to: int | None, *, lock: bool) -> _Goal:
    """Return what to go back to: where no version is named, what was begun; but no lock when none is wanted now."""
    begun = await _begun(connection, chain_id, now.site_id) if to is None else None
    if begun is None:
        return _Goal(await _choose(connection, now, to), lock)
    return replace(begun, lock=False, plan="") if begun.lock and not lock else begun


async def _unlock(connection: Connection, owner: Ownership, frozen: Plan) -> None:
    """Take away the lock of a rollback that this one supersedes; one that somebody set stays."""
    key = {"chain": frozen.chain_id, "site_id": str(frozen.target.site_id)}
    rows = await connection.journal.rows("locks", key)
    if rows and rows[0]["reason"] is not None and rows[0]["deployment"] is not None:
        free = Put("locks", key, {"reason": None, "since_ms": None, "deployment": None})
        await connection.journal.append(owner, [Change(events.NOTE, {"message": "unlocked"}, (free,))])


async def _begun(connection: Connection, chain_id: str, site_id: ObjectId) -> _Goal | None:
    """Return the goal of the site's last deployment when that is a rollback that can go on: asked again, it does.

    Raises `ConfigurationError` ``version_not_found`` when it is one that ended half-way: then "the one before" says
    nothing any more.
    """
    rows = await connection.journal.rows("deployments", {"chain": chain_id, "site_id": str(site_id)})
    last = [row for row in rows if row["verb"] in PUBLISHING][-1:]
    if not last or last[0]["verb"] != "rollback" or last[0]["status"] == Status.COMPLETED.value:
        return None
    if is_unfinished(last[0]):
        goals = (_Goal(row["n"], lock) for row in await rows_of(connection, site_id) for lock in (True, False))
        goal = next((goal for goal in goals if goal.digest(chain_id, site_id) == last[0]["request_digest"]), None)
        if goal is not None:
            return replace(goal, is_begun=True, plan=last[0]["plan_digest"])
        text = f"the version that rollback {last[0]['id']} brings back is not kept any more: resume or cancel it"
        raise ConfigurationError("version_not_found", text, deployment_id=last[0]["id"])
    if not await connection.journal.rows("transactions", {"deployment": last[0]["id"]}):
        return None  # it changed nothing
    text = f"the last rollback ({last[0]['id']}) ended half-way: name the version to bring back"
    raise ConfigurationError("version_not_found", text, deployment_id=last[0]["id"])


async def _own_site(connection: Connection, site: str) -> tuple[str, SiteSnapshot]:
    """Return the chain's id, and the site as it is now; it must be the key's."""
    site_id, chain_id = await find_site(connection, site), (await connection.chain.state()).chain_id
    now = await read_site(connection, chain_id, site_id)
    if now is None:
        raise BlockchainError("site_not_found", f"no site {site_id} on {connection.network.name}")
    if now.owner != connection.signer().address:
        text = f"site {site_id} belongs to {now.owner or 'no address'}, the key is that of another address"
        raise BlockchainError("site_not_owned", text, site_id=str(site_id))
    return chain_id, now


async def _choose(connection: Connection, now: SiteSnapshot, to: int | None) -> int:
    rows = await rows_of(connection, now.site_id)
    current = max((row["n"] for row in rows if row["digest"] == str(now.digest)), default=None)
    return history.choose([row["n"] for row in rows], current, to, f"site {now.site_id}")


async def _plan(
    connection: Connection,
    now: SiteSnapshot,
    goal: _Goal,
    options: DeployOptions,
    reason: str,
    source: Path | None,
) -> Plan:
    (row,) = [row for row in await rows_of(connection, now.site_id) if row["n"] == goal.number]
    wanted, state = content_of(row), await connection.chain.state()
    dead = await _dead(connection, wanted, options, state)
    lapsed = history.lapsed(wanted, dead)
    known = await _known(connection, lapsed.values(), state) if lapsed else {}
    missing = any(resource.blob_hash not in known for resource in lapsed.values())
    root, at_hand = await _at_hand(connection, row, source) if missing else ("", {})
    owner = connection.signer().address
    facts = history.RollbackFacts(
        network=connection.network,
        chain=state,
        target=SiteTarget(now.content.name, owner, now.site_id, now.version, now.digest, "version"),
        site=now,
        number=goal.number,
        wanted=wanted,
        dead=dead,
        at_hand=at_hand,
        known=known,
        root=root,
        retiring=await retiring_of(connection, row["deployment"]),
        options=options,
        epochs=options.epochs or connection.project.epochs or DEFAULT_EPOCHS,
        reason=reason,
        lock=goal.lock,
    )
    return await priced(connection, history.rollback(facts), now)


async def _known(connection: Connection, lapsed: Iterable[Resource], state: ChainState) -> dict[bytes, Stored]:
    """Return where the content of lapsed resources lives all the same: in a blob of another version."""
    wanted, now = {resource.blob_hash for resource in lapsed}, state.walrus_epoch
    ends = await lifetimes_of(connection, state.chain_id)
    found: dict[bytes, Stored] = {}
    for row in await connection.journal.rows("patches", {"chain": state.chain_id}):
        sha256, blob_id = bytes.fromhex(row["sha256"]), BlobId.parse(row["blob_id"])
        end = ends.get(blob_id)
        if sha256 in wanted and end is not None and end.number > now.number + 1:
            patch = QuiltPatchId.parse(row["patch_id"]) if row["patch_id"] else None
            best = found.get(sha256)
            if best is None or best.end_epoch is None or best.end_epoch.number < end.number:
                found[sha256] = Stored(sha256, blob_id, patch, end)
    return found


async def _dead(
    connection: Connection, wanted: SiteContent, options: DeployOptions, state: ChainState
) -> frozenset[BlobId]:
    """Return the blobs of a version that are gone: by their end epoch; what may be deleted is read, one byte each.

    Raises errors of the aggregators when none of them can tell.
    """
    now, ends = state.walrus_epoch, await lifetimes_of(connection, state.chain_id)
    store = connection.store(options)
    rows = await connection.journal.rows("blobs", {"chain": state.chain_id, "deletable": 1})
    doubtful = {BlobId.parse(row["blob_id"]) for row in rows}
    dead: set[BlobId] = set()
    for blob_id in {resource.blob_id for resource in wanted.resources.values()}:
        end = ends.get(blob_id)
        if (end is not None and end.number <= now.number) or (
            (end is None or blob_id in doubtful) and not await _reads(store, blob_id)
        ):
            dead.add(blob_id)
    return frozenset(dead)


async def _reads(store: BlobStore, blob_id: BlobId) -> bool:
    try:
        await store.read(blob_id, lambda _: None, span=(0, 1), max_size=1)
    except StorageError as error:
        if error.code != "blob_not_found":
            raise  # an aggregator that is down says nothing about the blob
        return False
    return True


async def _at_hand(
    connection: Connection, row: Mapping[str, Any], source: Path | None
) -> tuple[str, dict[bytes, tuple[str, int]]]:
    """Return a folder and what it holds by content: `source`, else the folder that the version was deployed from."""
    made = await connection.journal.rows("deployments", {"id": row["deployment"]})
    place = source or (Path(made[0]["folder"]) if made and made[0]["folder"] else None)
    if place is None:
        return "", {}
    async with connection.folder(place) as folder:
        try:
            found = await folder.scan(ScanRules(lambda _: False, _Anything()), lambda _: None)
        except WalrusError:
            if source is not None:
                raise
            return "", {}  # the folder of that time is not what it was
    return str(place), {file.sha256: (file.source, file.size) for file in found.files}


class _Anything:
    """Allows every file: what was published before may look like a secret."""

    def __contains__(self, _: object) -> bool:
        return True


async def after_bad_verify(connection: Connection, error: WalrusError, options: DeployOptions, feed: Feed) -> None:
    """Go back to the last version when a deployment that was just written is proven to serve wrong bytes.

    The error tells what came of it: ``rolled_back_to`` (a version's number), or a note why it could not be done.
    """
    site_id = error.fields.get("site_id")
    if not options.rollback_on_bad_verify or error.code != "verification_failed" or not error.fields.get("proven"):
        return
    mine = {"deployment": str(error.fields.get("deployment_id")), "state": "final"}
    if not await connection.journal.rows("transactions", mine):
        return  # it wrote nothing: what is served was there before
    reason = f"verification of {mine['deployment']} failed"
    try:
        _, now = await _own_site(connection, str(site_id))
        number = await _choose(connection, now, None)
        await rollback(connection, str(site_id), options, feed, to=number, reason=reason)
    except WalrusError as second:
        error.add_note(f"it could not be rolled back: {second}")
    else:
        error.fields |= {"rolled_back_to": number, "resumable": False}
