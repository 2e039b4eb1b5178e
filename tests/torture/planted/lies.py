"""What a tool may say without doing it, and what must be true: rollback, resume, skipped files, figures, cleanup."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

from tests.torture.planted.hunting import Bug, dies, in_a_world, replaced
from walrus_sdk.engine import executor
from walrus_sdk.engine.deletes import Deletes
from walrus_sdk.engine.effect import Done
from walrus_sdk.engine.perform import Performer
from walrus_sdk.errors import StorageError, WalrusError
from walrus_sdk.model.options import DeployOptions, DeployResult
from walrus_sdk.model.original import DeploymentProgress, DeploymentResult, DeploymentState
from walrus_sdk.model.reports import DeploymentReport
from walrus_sdk.model.units import BlobId, ObjectId
from walrus_sdk.planning.results import load_result
from walrus_sdk.service import cleanup, rollback, unfinished
from walrus_sdk.testing import SimulatedWorld, lost
from walrus_sdk.testing.invariants import Violation

__all__ = ["BUGS"]

# ── what finds them ───────────────────────────────────────────────────────────────────────────────────────────────


@in_a_world()
async def a_rollback_that_does_nothing(world: SimulatedWorld) -> None:
    """Version 1, version 2, rollback: visitors must get version 1."""
    first = world.published()
    await world.deploy()
    world.files["about.html"] = b"second"
    await world.deploy()
    await world.session.rollback("simulated")
    if await world.served() != first:
        raise Violation("CONTENT-4", "a rollback changed nothing for visitors")


@in_a_world()
async def resume_keeps_the_id(world: SimulatedWorld) -> None:
    """A deployment that died goes on under its id."""
    await dies(world, "store.do.before")
    (left,) = await world.session.list()
    result = await world.deploy()
    if result.deployment_id != left.deployment_id:
        raise Violation("CONTENT-5", "resume made a new deployment")


def _lose(world: SimulatedWorld) -> None:
    """Another tool of the wallet deletes all blobs."""
    for blob_id in world.paid():
        for found in world.net.blobs.registrations(blob_id):
            world.net.chain.system_transaction([], [ObjectId.parse(found.object_id)])


@in_a_world()
async def what_was_stored_is_gone(world: SimulatedWorld) -> None:
    """A deployment dies when all is stored, the blobs are deleted from elsewhere, and it goes on."""
    await dies(world, "transaction.do.before", deletable=True)
    _lose(world)
    try:
        await world.deploy(deletable=True)
    except StorageError as error:
        raise Violation("CONTENT-3", f"a file was skipped that is not stored: {error}") from error


@in_a_world()
async def what_is_kept_is_gone(world: SimulatedWorld) -> None:
    """A site's blobs are deleted from elsewhere; then a page is added, again and again until that succeeds."""
    asked: dict[str, Any] = {"deletable": True, "max_quilt_files": 1}
    await world.deploy(**asked)
    _lose(world)
    world.files["new.html"] = b"new"
    for _ in range(4):
        with suppress(StorageError):
            await world.deploy(**asked)
            break
    try:
        served = await world.served()
    except WalrusError as error:
        raise Violation("SERVE-5", f"it was complete, and visitors do not get it: {error}") from error
    assert served == world.published()


@in_a_world(sites=2)
async def figures_of_a_deployment(world: SimulatedWorld) -> None:
    """Another home has stored some of it before, and the answer to one store is lost: nothing is as planned."""
    asked: dict[str, Any] = {"max_quilt_files": 1}
    await world.elsewhere().deploy(site_name="other", **asked)
    world.files |= {"lost.html": b"lost" * 50, "new.html": b"new" * 50}
    bought: list[BlobId] = []
    world.store.paying = lambda request, _: bought.append(request.blob_id)
    answers = [lost()]
    world.store.faults = lambda moment, blob_id: (
        answers.pop() if moment == "certified" and blob_id in bought and answers else None
    )
    stores, sent = len(world.net.blobs.ledger()), world.chain.executed
    result = await world.deploy(**asked)
    rows = world.net.blobs.ledger()[stores:]
    assert {row["paid"] for row in rows} == {True, False}
    assert not answers
    report = await world.session.status(result.deployment_id)
    told, state, progress = DeploymentResult.of(report), DeploymentState.of(report), DeploymentProgress.of(report)
    frost, files = sum(row["cost_frost"] for row in rows), len(world.files)
    gas = sum(world.net.chain.records[digest].gas.net for digest in result.digests)
    _compare(
        ("FROST", result.cost.frost.units, frost),
        ("FROST of the report", told.cost.units, frost),
        ("FROST of its stores", sum(store.cost.units for store in state.walrus_operations.uploads), frost),
        ("stores", result.cost.requests, len(rows)),
        ("bytes stored", result.cost.stored_bytes, sum(row["bytes_received"] for row in rows)),
        ("MIST", result.cost.gas.units, gas),
        ("MIST of the report", told.gas.units, gas),
        ("transactions", result.cost.transactions, world.chain.executed - sent),
        ("files of the report", progress.stored_files, files),
        ("bytes of the report", progress.stored_bytes, sum(map(len, world.files.values()))),
        ("files of its stores", state.progress.uploaded_files, files),
    )


def _compare(*figures: tuple[str, int, int]) -> None:
    """Hold figures that were told against those of ledger and chain."""
    wrong = [f"{name}: {told} are told, {true} were" for name, told, true in figures if told != true]
    if wrong:
        raise Violation("STATE-4", "; ".join(wrong))


@in_a_world()
async def progress_of_an_interrupted_deployment(world: SimulatedWorld) -> None:
    """A deployment dies when two of its four files are stored."""
    seen = [0]

    def at(_: int, name: str) -> bool:
        seen[0] += name == "store.outcome.after"
        return seen[0] == 2

    await world.dies(at, lambda: world.deploy(max_quilt_files=1, concurrency=1))
    (left,) = await world.session.list()
    report = await world.session.status(left.deployment_id)
    progress, state = DeploymentProgress.of(report), DeploymentState.of(report)
    stored = [row["bytes_received"] for row in world.net.blobs.ledger()]
    assert len(stored) == 2
    _compare(
        ("files", progress.stored_files, len(stored)),
        ("bytes", progress.stored_bytes, sum(stored)),
        ("files of the state", len(state.progress.completed_files), len(stored)),
        ("transactions", progress.final_transactions, 0),
    )


def _living(world: SimulatedWorld) -> set[str]:
    return {name for name in world.paid() if world.net.blobs.certified(BlobId.parse(name)) is not None}


@in_a_world()
async def a_cleanup_is_taken_at_its_word(world: SimulatedWorld) -> None:
    """Three versions, of which one stays: what goes is what was named, before and after."""
    for number in range(3):
        world.files["about.html"] = b"version %d" % number
        await world.deploy(deletable=True)
        world.clock.advance(86_400)
    living, known = _living(world), _histories(world)
    would = await world.session.cleanup(DeployOptions(), keep_last=1, older_than_days=0.5)
    done = await world.session.cleanup(DeployOptions(), keep_last=1, older_than_days=0.5, dry_run=False)
    gone, forgotten = living - _living(world), known - _histories(world)
    for report in (would, done):
        blobs, histories = {str(blob.blob_id) for blob in report.deleted}, {str(name) for name in report.deployments}
        if blobs != gone:
            raise Violation("SERVE-4", f"{len(blobs)} blobs are said to be deleted, and {len(gone)} are")
        if histories != forgotten:
            raise Violation("SERVE-4", f"{len(histories)} histories are said to be gone, and {len(forgotten)} are")
    assert len(gone) == 1, "the others are in use"
    assert len(forgotten) == 2


def _histories(world: SimulatedWorld) -> set[str]:
    return {str(name) for (name,) in world.disk.tables["deployments"]}


# ── how they are planted ──────────────────────────────────────────────────────────────────────────────────────────

_usual_perform = Performer.perform
_usual_result = executor.Executor._result
_usual_report = cleanup._report
_usual_progress = DeploymentProgress.of


async def _nothing_done(connection: Any, site: str, options: DeployOptions, feed: Any, **more: Any) -> DeployResult:
    """Say that the last deployment was done again."""
    rows = await connection.journal.rows("deployments", {"status": "completed"})
    return load_result(json.loads(rows[-1]["result"]))


def _over(row: Any) -> bool:
    return False


async def _skipped(self: Performer, *args: Any, look_again: bool = False, **more: Any) -> Done:
    """Skip what is recorded as stored."""
    return await _usual_perform(self, *args, **more)


def _only_new(paths: Any, new: Any, verify: Any, seed: str) -> tuple[str, list[str]]:
    """Read back what was stored just now: the rest was there before."""
    return "all", sorted(new)


async def _as_planned(self: executor.Executor, *args: Any, **more: Any) -> DeployResult:
    return replace(await _usual_result(self, *args, **more), cost=self._plan.cost)


def _as_hoped(report: DeploymentReport) -> DeploymentProgress:
    """Count what was begun as stored."""
    found = _usual_progress(report)
    return replace(found, stored_files=found.total_files, stored_bytes=found.total_bytes)


async def _logged(self: Deletes) -> None:
    """Log what would be deleted."""


async def _kept(connection: Any, deployment: Any) -> None:
    """Log what would be forgotten."""


def _unnamed(decision: Any, **more: Any) -> Any:
    return replace(_usual_report(decision, **more), deleted=())


BUGS = (
    Bug(
        "lie: rollback",
        "a rollback that only says so",
        "CONTENT-4",
        replaced(rollback, "rollback", _nothing_done),
        a_rollback_that_does_nothing,
    ),
    Bug(
        "lie: resume",
        "resume makes a new deployment",
        "CONTENT-5",
        replaced(unfinished, "is_unfinished", _over),
        resume_keeps_the_id,
    ),
    Bug(
        "lie: skipped",
        "what is recorded is skipped without a look",
        "CONTENT-3",
        replaced(Performer, "perform", _skipped),
        what_was_stored_is_gone,
    ),
    Bug(
        "lie: skipped",
        "what was skipped is not read back",
        "SERVE-5",
        replaced(executor, "choose", _only_new),
        what_is_kept_is_gone,
    ),
    Bug(
        "lie: figures",
        "a result tells what was planned",
        "STATE-4",
        replaced(executor.Executor, "_result", _as_planned),
        figures_of_a_deployment,
    ),
    Bug(
        "lie: figures",
        "progress counts what was begun",
        "STATE-4",
        replaced(DeploymentProgress, "of", staticmethod(_as_hoped)),
        progress_of_an_interrupted_deployment,
    ),
    Bug(
        "lie: cleanup",
        "a cleanup that only logs",
        "SERVE-4",
        replaced(Deletes, "run", _logged),
        a_cleanup_is_taken_at_its_word,
    ),
    Bug(
        "lie: cleanup",
        "histories stay that are said to be gone",
        "SERVE-4",
        replaced(cleanup, "_forget", _kept),
        a_cleanup_is_taken_at_its_word,
    ),
    Bug(
        "lie: cleanup",
        "a cleanup does not say what it deleted",
        "SERVE-4",
        replaced(cleanup, "_report", _unnamed),
        a_cleanup_is_taken_at_its_word,
    ),
)
