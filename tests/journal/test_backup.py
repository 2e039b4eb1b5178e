"""Backups are one moment of the state, whole and checked; restoring overwrites nothing. The check sees what differs."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from walrus_sdk.errors import ConfigurationError, StateError
from walrus_sdk.journal.backup import backup, restore
from walrus_sdk.journal.check import check
from walrus_sdk.journal.checkpoints import read_checkpoint, write_checkpoint
from walrus_sdk.journal.store import SqliteJournal, journal_path, open_journal
from walrus_sdk.machine.clock import SystemClock
from walrus_sdk.model import events
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change, Ownership, Put

pytestmark = pytest.mark.anyio

ONE = DeploymentId("deploy_1800000000001_00000001")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[tuple[SqliteJournal, Ownership]]:
    async with open_journal(home, SystemClock()) as journal:
        yield journal, await journal.claim(ONE)


def effect(kind: str, state: str | None, name: str = "b", **data: Any) -> Change:
    """An event of an effect, with the row that it causes."""
    key = {"chain": "c", "kind": "store", "name": name}
    put = Put("operations", key, {"deployment": str(ONE)} | ({"state": state} if state else {}))
    return Change(kind, {"kind": "store", "name": name, "operation": "o"} | data, (put,))


PLANNED = Change(
    events.DEPLOYMENT_PLANNED, {}, (Put("deployments", {"id": str(ONE)}, {"chain": "c", "status": "pending"}),)
)


# ── backup ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_backup_of_a_journal_in_use_holds_everything_that_was_acknowledged(home: Path, tmp_path: Path) -> None:
    async with opened(home) as (journal, owner):
        await journal.append(owner, [PLANNED, Change("a")])
        write_checkpoint(home, ONE, 1, "manifest", {"x": 1})
        made = await to_thread.run_sync(backup, home, tmp_path / "copy")
        await journal.append(owner, [Change("later")])
    assert (made.checkpoints, made.left_out) == (1, ())
    assert check(tmp_path / "copy" / "journal.db") == []
    names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "copy").rglob("*")}
    assert names == {"journal.db": 0o600, "checkpoints": 0o700, str(ONE): 0o700, "01-manifest.json.zst": 0o600}
    await to_thread.run_sync(restore, tmp_path / "copy", tmp_path / "other")
    async with opened(tmp_path / "other") as (journal, owner):
        assert [event.type for event in await journal.events(ONE)] == [events.DEPLOYMENT_PLANNED, "a"]
        assert owner.incarnation == 2
        await journal.append(owner, [Change("b")])
    assert read_checkpoint(tmp_path / "other" / "checkpoints" / str(ONE) / "01-manifest.json.zst")["x"] == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


async def test_a_backup_into_a_folder_that_is_there_is_refused(home: Path, tmp_path: Path) -> None:
    async with opened(home):
        pass
    (tmp_path / "copy").mkdir()
    with pytest.raises(ConfigurationError) as caught:
        backup(home, tmp_path / "copy")
    assert caught.value.code == "option_invalid"


async def test_a_damaged_journal_is_not_taken_for_a_backup(home: Path, tmp_path: Path) -> None:
    async with opened(home) as (journal, owner):
        await journal.append(owner, [PLANNED])
    with closing(sqlite3.connect(journal_path(home), isolation_level=None)) as db:
        db.execute("update deployments set status = 'completed'")
        db.execute("update events set n = 7")
    with pytest.raises(StateError) as caught:
        backup(home, tmp_path / "copy")
    assert caught.value.code == "state_damaged"
    assert [path.name for path in tmp_path.iterdir()] == ["home"], "nothing is left of it"


def test_a_home_without_a_journal_has_nothing_to_back_up(home: Path, tmp_path: Path) -> None:
    with pytest.raises(StateError) as caught:
        backup(home, tmp_path / "copy")
    assert caught.value.code == "state_damaged"
    assert list(tmp_path.iterdir()) == []


async def test_a_checkpoint_that_cannot_be_read_is_left_out_and_named(home: Path, tmp_path: Path) -> None:
    async with opened(home):
        pass
    write_checkpoint(home, ONE, 1, "manifest", {})
    bad = home / "checkpoints" / str(ONE) / "02-finalization.json.zst"
    bad.write_bytes(b"garbage")
    (bad.parent / ".03-left").write_bytes(b"what a crash left")
    made = backup(home, tmp_path / "copy")
    assert (made.checkpoints, made.left_out) == (1, (f"{ONE}/{bad.name}",))


# ── restore ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("there", ["journal.db", "journal.db-wal"])
async def test_restoring_over_a_journal_or_the_log_of_one_is_refused(home: Path, tmp_path: Path, there: str) -> None:
    async with opened(home):
        pass
    backup(home, tmp_path / "copy")
    state = tmp_path / "other" / "state"
    state.mkdir(parents=True)
    (state / there).write_bytes(b"something")
    with pytest.raises(ConfigurationError):
        restore(tmp_path / "copy", tmp_path / "other")
    assert (state / there).read_bytes() == b"something"
    assert [path.name for path in state.iterdir()] == [there]


@pytest.mark.parametrize("damaged", ["journal.db", f"checkpoints/{ONE}/01-manifest.json.zst"])
async def test_a_damaged_backup_is_put_nowhere(home: Path, tmp_path: Path, damaged: str) -> None:
    async with opened(home) as (journal, owner):
        await journal.append(owner, [PLANNED])
    write_checkpoint(home, ONE, 1, "manifest", {})
    backup(home, tmp_path / "copy")
    file = tmp_path / "copy" / damaged
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(StateError):
        restore(tmp_path / "copy", tmp_path / "other")
    assert not (tmp_path / "other").exists()


async def test_a_home_whose_journal_was_lost_can_be_restored(home: Path, tmp_path: Path) -> None:
    async with opened(home) as (journal, owner):
        await journal.append(owner, [PLANNED])
        await to_thread.run_sync(backup, home, tmp_path / "copy")
        await journal.append(owner, [Change("later")])
    journal_path(home).unlink()
    restore(tmp_path / "copy", home)
    async with opened(home) as (journal, owner):
        assert len(await journal.events(ONE)) == 1


# ── check ─────────────────────────────────────────────────────────────────────────────────────────────────────────

SAGA = [
    PLANNED,
    effect(events.EFFECT_INTENT, "intent", attempt=1),
    effect(events.EFFECT_RELEASED, "released"),
    effect(events.EFFECT_UNKNOWN, None),
    effect(events.EFFECT_INTENT, None, attempt=2),
    effect(events.EFFECT_FAILED, None),
    effect(events.EFFECT_INTENT, None, attempt=3),
    effect(events.EFFECT_DONE, "done", outcome={}),
    effect(events.EFFECT_INTENT, "intent", "other", attempt=1),
    effect(events.EFFECT_FAILED, "failed", "other"),
]


@pytest.mark.parametrize("length", range(1, len(SAGA) + 1))
async def test_rows_that_follow_from_the_events_are_sound_at_any_moment(home: Path, length: int) -> None:
    async with opened(home) as (journal, owner):
        await journal.append(owner, SAGA[:length])
        assert await to_thread.run_sync(check, journal_path(home)) == [], "also while somebody writes"
    assert check(journal_path(home)) == []


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("update operations set state = 'released' where name = 'b'", "store b is released, and its events say done"),
        ("delete from operations where name = 'b'", "operation store b is in the events only"),
        (f"insert into operations (chain, kind, name, deployment) values ('c', 'store', 'x', '{ONE}')",
         "events say unknown"),
        ("update deployments set status = 'completed'", "is completed, and its events say failed"),
        ("delete from events where n = 3", "numbered from 1 to"),
        ("update events set data = '{}' where n = 2", "is not as this program writes it"),
        ("update events set data = 'x' where n = 2", "is not JSON"),
        ("update operations set facts = 'a' || char(0)", "has zeros in a text"),
        ("update events set incarnation = 2 where n = 2", "by an owner that had been replaced"),
        ("create table guest (x)", "guest is not as this program makes it"),
        ("drop index operations_by_deployment", "is not as this program makes it"),
        ("update meta set value = 1 where key = 'commits'", "its log is missing"),
        ("pragma user_version = 1", "schema is 1"),
    ],
)  # fmt: skip
async def test_what_does_not_follow_from_the_events_is_said(home: Path, statement: str, finding: str) -> None:
    failed = {"from": "pending", "to": "failed"}
    row = Put("deployments", {"id": str(ONE)}, {"status": "failed"})
    async with opened(home) as (journal, owner):
        for change in (*SAGA, Change(events.DEPLOYMENT_STATUS, failed, (row,))):
            await journal.append(owner, [change])
    assert check(journal_path(home)) == []
    with closing(sqlite3.connect(journal_path(home), isolation_level=None)) as db:
        db.execute(statement)
    assert finding in check(journal_path(home))[0]


@pytest.mark.parametrize(("ok", "state"), [(True, "final"), (False, "failed")])
async def test_a_transaction_follows_from_its_events(home: Path, ok: bool, state: str) -> None:
    key = {"chain": "c", "digest": "D"}
    done = {"kind": "transaction", "name": "D", "operation": "o", "how": "found", "outcome": {"ok": ok}}
    operation = Put("operations", {"chain": "c", "kind": "transaction", "name": "D"}, {"state": "done"})
    signed = Put("transactions", key, {"state": "signed", "deployment": str(ONE)})
    async with opened(home) as (journal, owner):
        await journal.append(owner, [PLANNED, Change(events.TRANSACTION_SIGNED, {"digest": "D", "step": 1}, (signed,))])
        assert await to_thread.run_sync(check, journal_path(home)) == []
        await journal.append(
            owner, [Change(events.EFFECT_DONE, done, (operation, Put("transactions", key, {"state": state})))]
        )
    assert check(journal_path(home)) == []
    with closing(sqlite3.connect(journal_path(home), isolation_level=None)) as db:
        db.execute("update transactions set state = 'dead'")
    assert check(journal_path(home)) == [f"transaction D is dead, and its events say {state}"]


async def test_a_deployment_whose_history_was_removed_tells_nothing(home: Path) -> None:
    async with opened(home) as (journal, owner):
        await journal.append(owner, SAGA)
    with closing(sqlite3.connect(journal_path(home), isolation_level=None)) as db:
        db.execute("delete from events")
        event = json.dumps({"kind": "store", "name": "b", "operation": "o", "attempt": 4})
        db.execute("insert into events values ('two', 1, 1, 1, 1.0, ?, ?)", (events.EFFECT_INTENT, event))
        db.execute("insert into deployments (id, chain) values ('two', 'c')")
        db.execute("update operations set deployment = 'two', state = 'released' where name = 'b'")
    assert check(journal_path(home)) == []


def test_a_journal_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert "is missing" in check(tmp_path / "journal.db")[0]
