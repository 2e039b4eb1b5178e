"""Deploy: a folder surveyed, planned, and its plan carried out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio

from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import BlockchainError, ConfigurationError, DeploymentStopped, ValidationError
from walrus_sdk.model import events
from walrus_sdk.model.chain import ObjectRef
from walrus_sdk.model.deployment import EffectState, Status
from walrus_sdk.model.options import DeployOptions, DeployResult
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.progress import Phase
from walrus_sdk.model.units import DeploymentId, Digest, ObjectId
from walrus_sdk.planning import build, cost
from walrus_sdk.planning.agreed import beyond
from walrus_sdk.planning.request import asked_again, is_answered
from walrus_sdk.planning.state import is_unfinished
from walrus_sdk.ports import Folder, ScanRules
from walrus_sdk.service import locks, prepass
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.lifecycle import Unfinished, as_planned, begin, carry_out, matters
from walrus_sdk.service.pricing import priced
from walrus_sdk.service.survey import Request, Survey, doubted, facts_of, locate, scan_report, survey
from walrus_sdk.service.unfinished import SUPERSEDED, site_of, take_up
from walrus_sdk.sites.paths import site_path

__all__ = ["apply", "check_files", "deadline_of", "deploy", "plan", "until"]


async def plan(connection: Connection, place: Path, options: DeployOptions, feed: Feed) -> Plan:
    """Return what a deployment of the folder `place` would do; nothing is spent and nothing is written."""
    async with connection.folder(place) as folder:
        sight = await prepass.look(connection, folder, place, feed)
        recalled = await prepass.recall(connection, folder, place, options, sight, feed)
        if recalled is not None and (frozen := await recalled.confirmed(connection)) is not None:
            return _within_limits(frozen, options)
        found = await survey(connection, folder, place, options, feed)
        return await _plan(connection, folder, found, place, options, sight)


async def deploy(connection: Connection, place: Path, options: DeployOptions, feed: Feed) -> DeployResult:
    """Deploy the folder `place`: go on with an unfinished deployment of the same request, or plan and begin one."""
    deadline = deadline_of(options)
    async with connection.folder(place) as folder:
        with until(deadline):
            sight = await prepass.look(connection, folder, place, feed)
            recalled = await prepass.recall(connection, folder, place, options, sight, feed)
            if recalled is not None:
                found, request = None, recalled.request
            else:
                found = await survey(connection, folder, place, options, feed)
                request = found.request
            await locks.check(connection, request.chain_id, await site_of(connection, request))
            unfinished = await take_up(connection, request, folder, options, feed)
            if unfinished is None:
                frozen = await recalled.confirmed(connection) if recalled is not None else None
                if frozen is None:
                    found = found or await survey(connection, folder, place, options, feed)
                    frozen = await _plan(connection, folder, found, place, options, sight)
                await locks.check(connection, frozen.chain_id, frozen.target.site_id)
                scan_s = found.scan_s if found is not None else None
                unfinished = Unfinished(await begin(connection, frozen, scan_s), frozen, Status.PENDING)
        return await carry_out(connection, unfinished, folder, options, feed, deadline)


async def apply(connection: Connection, frozen: Plan, options: DeployOptions, feed: Feed) -> DeployResult:
    """Carry out a plan that was made before, if its files, its site and its chain are still as they were.

    Any other unfinished deployment of the site is settled first and ends as superseded; what it has done of the plan
    already is not done again. A plan that is stale without it is refused before anything is ended.
    Raises `ValidationError` ``file_changed`` with the list of files that are not, `BlockchainError` ``site_changed``
    or ``chain_mismatch``, `ConfigurationError` ``key_invalid`` for another owner's plan.
    """
    deadline = deadline_of(options)
    cost.check_limits(frozen, options)
    await _check_plan(connection, frozen)
    await locks.check(connection, frozen.chain_id, frozen.target.site_id)
    async with connection.folder(Path(frozen.root)) as folder:
        with until(deadline):
            feed.phase(Phase.SCAN)
            await check_files(connection, folder, Path(frozen.root), frozen, feed)
            request = Request.of_plan(frozen)
            options = as_planned(options, frozen)
            await _check_stale(connection, frozen, options)
            unfinished = await take_up(connection, request, folder, options, feed, only=frozen.digest)
            if unfinished is None:
                frozen = await _after_older(connection, frozen, folder, options, feed)
                unfinished = Unfinished(await begin(connection, frozen), frozen, Status.PENDING)
        return await carry_out(connection, unfinished, folder, options, feed, deadline)


async def _check_stale(connection: Connection, frozen: Plan, options: DeployOptions) -> None:
    """Refuse a plan that is stale, whatever becomes of older deployments, before any of them is ended."""
    try:
        await _check_site(connection, frozen)
    except BlockchainError as error:
        if error.code != "site_changed":
            raise
        begun = await connection.journal.rows("deployments", {"plan_digest": frozen.digest})
        if any(is_unfinished(row) for row in begun) and not options.fresh:
            return
        (now,) = await connection.chain.objects([ObjectId.parse(error.fields["site_id"])])
        if frozen.verb != "deploy" or now is None or not await _is_by_older(connection, frozen.chain_id, now.ref):
            raise


async def _after_older(
    connection: Connection, agreed: Plan, folder: Folder, options: DeployOptions, feed: Feed
) -> Plan:
    """Return the plan; where an older deployment that was just settled has changed the site, what is left of the plan.

    Raises `BlockchainError` ``site_changed`` when that is more than was agreed to, or somebody else's change, and
    `ValidationError` ``file_changed`` when the folder asks for something else by now.
    """
    try:
        await _check_site(connection, agreed)
    except BlockchainError as error:
        if error.code != "site_changed" or agreed.verb != "deploy":
            raise
        again, place = asked_again(options, agreed), Path(agreed.root)
        found = await survey(connection, folder, place, again, feed)
        if not is_answered(agreed, found.entries, found.rules, again):
            text = "files, headers or rules (ws-resources.json) changed since the plan; nothing of it was done"
            raise ValidationError("file_changed", text, paths=[]) from error
        now = await _decide(connection, folder, found, place, again)
        await locks.check(connection, now.chain_id, now.target.site_id)
        target = now.target
        assert target.site_id is not None, "the site is there: it changed"
        assert target.version is not None
        assert target.digest is not None
        here = ObjectRef(target.site_id, target.version, target.digest)
        is_ours = await _is_by_older(connection, now.chain_id, here)
        more = beyond(agreed, now) if is_ours else "another deployment changed it"
        if more:
            error.message += f": {more}; nothing of the plan was done"
            raise
        cost.check_limits(now, options)
        return now
    return agreed


async def _is_by_older(connection: Connection, chain_id: str, site: ObjectRef) -> bool:
    """Return whether a site is what a deployment made of it that is unfinished, or was ended for a newer one."""
    here: list[object] = [str(site.id), site.version, str(site.digest)]
    for row in await connection.journal.rows("deployments", {"chain": chain_id, "site_id": str(site.id)}):
        if row["reason"] != SUPERSEDED and not await matters(connection, row):
            continue
        past = await connection.journal.events(DeploymentId(row["id"]))
        if any(e.type == events.EFFECT_DONE and e.data["outcome"].get("site_ref") == here for e in past):
            return True
        sent = {"deployment": row["id"], "kind": "transaction", "state": EffectState.RELEASED.value}
        for effect in await connection.journal.rows("operations", sent):
            outcome = await connection.chain.transaction(Digest.parse(effect["name"]))
            if outcome is not None and any(change.ref == site for change in outcome.changes):
                return True
    return False


async def _check_pieces(folder: Folder, frozen: Plan, feed: Feed) -> None:
    """Compare the files that a rollback stores again, which may lie at other places than the site has them."""
    wanted = {piece.source: piece.sha256 for operation in frozen.operations for piece in operation.pieces}
    rules = ScanRules(lambda path: path.removeprefix("/") not in wanted, frozenset(wanted))
    now = {file.source: file.sha256 for file in (await folder.scan(rules, scan_report(feed))).files}
    changed = sorted(source for source, sha256 in wanted.items() if now.get(source) != sha256)
    if changed:
        raise ValidationError(
            "file_changed", f"{len(changed)} files changed since the plan: {changed[0]}", paths=changed
        )


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Stop resumably at a deadline (the event loop's clock). Raises `DeploymentStopped` ``deadline_reached``."""
    with anyio.CancelScope(deadline=deadline) as scope:
        yield
    if scope.cancelled_caught:
        raise DeploymentStopped("deadline_reached", "the deadline passed before the deployment could go on")


def deadline_of(options: DeployOptions) -> float:
    """Return the deadline that the options set, on the event loop's clock."""
    return math.inf if options.deadline_s is None else anyio.current_time() + options.deadline_s


async def _plan(
    connection: Connection,
    folder: Folder,
    found: Survey,
    place: Path,
    options: DeployOptions,
    sight: prepass.Sight,
) -> Plan:
    """Decide everything. Raises `LimitError` when a limit says no."""
    return _within_limits(await _decide(connection, folder, found, place, options, sight), options)


def _within_limits(frozen: Plan, options: DeployOptions) -> Plan:
    cost.check_limits(frozen, options)
    return frozen


async def _decide(
    connection: Connection,
    folder: Folder,
    found: Survey,
    place: Path,
    options: DeployOptions,
    sight: prepass.Sight | None = None,
) -> Plan:
    target, site = await locate(connection, found)
    found = await doubted(folder, found, site, options)
    commit = await connection.commit(place)
    facts = await facts_of(connection, found, target, site, options, commit)
    frozen = await priced(connection, build.draft(facts), site)
    await prepass.keep(connection, place, sight, found, facts, frozen)
    return frozen


async def _check_plan(connection: Connection, frozen: Plan) -> None:
    """Check that a plan is for this chain and this key."""
    state, owner = await connection.chain.state(), connection.signer().address
    if state.chain_id != frozen.chain_id:
        text = f"the plan is for chain {frozen.chain_id}, {connection.network.name} is chain {state.chain_id}"
        raise BlockchainError("chain_mismatch", text, expected=frozen.chain_id, found=state.chain_id)
    if owner != frozen.target.owner:
        raise ConfigurationError("key_invalid", f"the plan is for {frozen.target.owner}, the key is that of {owner}")


async def _check_site(connection: Connection, frozen: Plan) -> None:
    """Check that the site is as it was when the plan was made, before anything is paid."""
    target, owner = frozen.target, frozen.target.owner
    if target.site_id is not None:
        (now,) = await connection.chain.objects([target.site_id])
        found = (now.ref.version, now.ref.digest) if now is not None else None
        if found != (target.version, target.digest):
            text = f"site {target.site_id} is not what it was when the plan was made"
            raise BlockchainError("site_changed", text, site_id=str(target.site_id))
    else:
        key = {"chain": frozen.chain_id, "owner": str(owner), "name": frozen.target.name}
        rows = await connection.journal.rows("sites", key)
        if rows and rows[0]["object_id"]:
            text = f"the plan makes a new site {frozen.target.name!r}, which is {rows[0]['object_id']} by now"
            raise BlockchainError("site_changed", text, site_id=rows[0]["object_id"])


async def check_files(connection: Connection, folder: Folder, place: Path, frozen: Plan, feed: Feed) -> None:
    """Compare the folder at `place` with what the plan was made from.

    Raises `ValidationError` ``file_changed`` with the list.
    """
    if await prepass.is_as_planned(connection, folder, place, frozen, feed):
        return
    if frozen.verb != "deploy":
        await _check_pieces(folder, frozen, feed)
        return
    sources = frozenset(entry.source for entry in frozen.entries.values())
    rules = ScanRules(lambda path: path not in frozen.entries, sources, frozenset(), site_path)
    now = {file.path: file.sha256 for file in (await folder.scan(rules, scan_report(feed))).files}
    changed = sorted(path for path, entry in frozen.entries.items() if now.get(path) != entry.sha256)
    if changed:
        shown = ", ".join(changed[:5]) + (", …" if len(changed) > 5 else "")
        raise ValidationError("file_changed", f"{len(changed)} files changed since the plan: {shown}", paths=changed)
