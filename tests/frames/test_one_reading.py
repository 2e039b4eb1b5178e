"""Frames read tables, everything else folds events: of the same history both say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from walrus_sdk.journal.schema import COLUMNS
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.testing import SimulatedWorld
from walrus_sdk.watch.runs import Run, fold

pytestmark = pytest.mark.anyio

FILES = {"index.html": b"home", **{f"page-{n}.html": b"<p>%d</p>" % n for n in range(5)}}
OPTIONS: dict[str, Any] = {"max_quilt_files": 2, "concurrency": 2}


async def crash() -> SimulatedWorld:
    world = SimulatedWorld(FILES)
    await world.dies("store.do.after", lambda: world.deploy(**OPTIONS))
    await world.deploy(**OPTIONS)
    return world


async def imported() -> SimulatedWorld:
    world = SimulatedWorld(FILES)
    await world.dies("transaction.do.after", lambda: world.deploy(**OPTIONS))
    name = max(name for name in world.disk.checkpoints if "transaction" in name)
    world.net.chain.advance_sui_epoch(2)
    elsewhere = world.elsewhere()
    await elsewhere.session.resume(checkpoint=Path("/checkpoints") / name)
    return elsewhere


async def cleaned(*congested: bool) -> SimulatedWorld:
    world = SimulatedWorld(FILES)
    for number in range(3):
        world.files["index.html"] = b"home %d" % number * 9
        await world.deploy(**OPTIONS, deletable=True)
        world.clock.advance(86_400)
    answers = iter(congested)
    world.chain.congested = lambda: next(answers, False)
    done = await world.session.cleanup(keep_last=1, older_than_days=0.0, dry_run=False)
    assert done.deleted
    return world


async def congested() -> SimulatedWorld:
    return await cleaned(True, True)


async def runs(world: SimulatedWorld, journal: Any) -> dict[str, Run]:
    """Copy a journal in memory to one on a disk; returns what its events tell, by deployment."""
    found = {}
    for table in COLUMNS:
        for row in await world.journal.rows(table):
            journal.put(table, **{key: value for key, value in row.items() if key in COLUMNS[table]})
    for row in await world.journal.rows("deployments"):
        history = await world.journal.events(DeploymentId(row["id"]))
        for event in history:
            at = event.wall_ms
            journal.event(row["id"], event.number, event.type, 0, event.incarnation, **event.data)
            journal.db.execute("update events set wall_ms = ? where deployment = ? and n = ?",
                               (at, row["id"], event.number))  # fmt: skip
        found[row["id"]] = fold(row["id"], history)
    return found


def found_later(run: Run) -> set[str]:
    """The names of tries that had no answer, and whose effects were found: events say so beside, a row in its place."""
    doubtful = {one.name: one.operation for one in run.tries if one.outcome in ("unknown", "cut_off")}
    latest = {name: run.latest[operation] for name, operation in doubtful.items()}
    return {name for name, one in latest.items() if one.outcome == "done" and not one.number and one.name == name}


def same(value: Any) -> Any:
    """A cell of a frame as Python has it."""
    return None if pd.isna(value) else value


@pytest.mark.parametrize(
    ("lived", "mark"),
    [(crash, "taken_up"), (imported, '"imported"'), (cleaned, '"cleaned_up"'), (congested, "CONGESTION")],
)
async def test_frames_and_events_tell_the_same_tries_and_failures(lived: Any, mark: str, journal: Any) -> None:
    world = await lived()
    told = await runs(world, journal)
    assert any(mark in f"{kind} {data}" for kind, data in journal.db.execute("select type, data from events"))
    frames = journal.history
    final = frames.transactions.query("state == 'failed'")
    for name, run in told.items():
        attempts, errors = (frame[frame["deployment"] == name] for frame in (frames.attempts, frames.errors))
        charged = set(final[final["deployment"] == name]["digest"])
        settled = charged | found_later(run)
        expected = {
            (one.operation, one.number): (
                "done" if one.name in settled else None if one.outcome in ("", "cut_off") else one.outcome,
                None if one.name in charged else one.code or None,
            )
            for one in (*run.tries, *run.under_way)
            if one.number
        }
        shown = {(row.operation, row.attempt): (same(row.outcome), same(row.code)) for row in attempts.itertuples()}
        assert shown == expected
        failed = [(one.operation, one.code, one.message) for one in run.failures if one.name not in charged]
        of_effects = errors[errors["outcome"] != "ended"]
        assert list(of_effects[["operation", "code", "message"]].itertuples(index=False, name=None)) == failed
        report = await world.session.status(name)
        assert [(row["operation"], row["code"], row["message"]) for row in report.details["errors"]] == failed
        assert {one.name for one in run.failures if one.name in charged} == charged, "an answer, and a failure"
