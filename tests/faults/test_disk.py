"""The disk and the state on it (group D of the faults).

D3 (power cuts) is in `tests/torture`, the other half of D6 and the size limit of D1 in `tests/journal`.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from tests.faults.failing_disk import EIO_FSYNC, EIO_READ, EIO_WRITE, FULL, Disk, failing_disk
from tests.torture import images
from walrus_sdk.errors import StateError
from walrus_sdk.journal import schema
from walrus_sdk.journal.check import check
from walrus_sdk.journal.database import Database
from walrus_sdk.journal.mark import mark_path
from walrus_sdk.journal.mounts import file_system, lock_warning
from walrus_sdk.journal.reader import Reader
from walrus_sdk.journal.store import SqliteJournal, journal_path, open_journal
from walrus_sdk.machine.clock import SystemClock
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change, Ownership, Put

pytestmark = pytest.mark.anyio

ONE = DeploymentId("deploy_1800000000001_00000001")
BESIDE = ("", "-wal", "-shm")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def disk() -> Iterator[Disk]:
    with failing_disk() as found:
        if found is None:
            pytest.skip("the SQLite library of this Python cannot be reached")
        yield found


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[tuple[SqliteJournal, Ownership]]:
    async with open_journal(home, SystemClock()) as journal:
        yield journal, await journal.claim(ONE)


def some(text: str) -> list[Change]:
    """An append of two events and rows, large enough for several pages."""
    put = Put("operations", {"chain": "c", "kind": "store", "name": text}, {"facts": "y" * 5000})
    return [Change("first", {"text": text}, (put,)), Change("second", {"text": text})]


async def texts(journal: SqliteJournal) -> list[str]:
    """What is there, by append; fails when one is there in part."""
    events = await journal.events(ONE)
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    found = [event.data["text"] for event in events]
    assert found[::2] == found[1::2], "each append whole or not at all"
    assert {row["name"] for row in await journal.rows("operations")} == set(found)
    return found[::2]


def refused(path: Path) -> str:
    """The code with which a journal is refused; empty when it opens."""
    try:
        Database(path).close()
    except StateError as error:
        return error.code
    return ""


async def filled(home: Path, count: int = 5) -> Path:
    """Make a journal, close it, and return where it is."""
    async with opened(home) as (journal, owner):
        for number in range(count):
            await journal.append(owner, some(str(number)))
    return journal_path(home)


def copied(source: Path, target: Path, suffixes: Sequence[str]) -> Path:
    """Copy some files of a journal, as it is now, into another home."""
    target.mkdir(mode=0o700, parents=True)
    for suffix in suffixes:
        shutil.copy(f"{source}{suffix}", target / f"{source.name}{suffix}")
    return target / source.name


# ── D1: no room ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("file", ["journal.db-wal", "journal.db"])
async def test_d1_a_disk_that_is_full_at_any_write_fails_one_append_whole(home: Path, disk: Disk, file: str) -> None:
    async with opened(home) as (journal, owner):
        journal._database._db.execute("pragma wal_autocheckpoint = 8")  # type: ignore[union-attr]
        acknowledged: list[str] = []
        codes: list[str] = []
        for number in range(1, 25):
            left = [number]

            def answer(call: str, name: str, left: list[int] = left) -> int:
                left[0] -= call == "write" and name == file
                return FULL if left[0] <= 0 and call == "write" and name == file else 0

            disk.answer = answer
            try:
                await journal.append(owner, some(f"{number}"))
                acknowledged.append(f"{number}")
            except StateError as error:
                codes.append(error.code)
            assert await texts(journal) == acknowledged, "old rows can be read on a full disk"
            disk.answer = lambda _call, _name: 0
            await journal.append(owner, some(f"{number} again"))
            acknowledged.append(f"{number} again")
        assert await texts(journal) == acknowledged
        assert set(codes) <= {"state_full"}
        assert len(codes) > 3 or file == "journal.db", "a full disk while the log is carried over fails nobody"
    assert check(journal_path(home)) == []


async def test_d1_a_journal_that_may_not_grow_can_be_read_and_goes_on_when_it_may(home: Path) -> None:
    async with opened(home) as (journal, owner):
        await journal.append(owner, some("before"))
        connection = journal._database._db
        assert connection is not None
        (pages,) = connection.execute("pragma page_count").fetchone()
        connection.execute(f"pragma max_page_count = {pages}")
        with pytest.raises(StateError) as caught:
            await journal.append(owner, [Change("large", {"text": "x" * 9000})] * 50)
        assert caught.value.code == "state_full"
        assert [event.type for event in await journal.events(ONE)][:2] == ["first", "second"]
        connection.execute("pragma max_page_count = 100000")
        await journal.append(owner, [Change("after")])
        assert (await journal.events(ONE))[-1].type == "after"


# ── D2: reads, writes and syncs that fail ─────────────────────────────────────────────────────────────────────────


async def test_d2_after_a_failed_sync_the_file_is_opened_again_before_anything_goes_on(home: Path, disk: Disk) -> None:
    async with opened(home) as (journal, owner):
        await journal.append(owner, some("a"))
        before = journal._database._db
        disk.answer = lambda call, name: EIO_FSYNC if (call, name) == ("sync", "journal.db-wal") else 0
        with pytest.raises(StateError) as caught:
            await journal.append(owner, some("b"))
        assert caught.value.code == "state_io"
        assert await texts(journal) == ["a"]
        disk.answer = lambda _call, _name: 0
        await journal.append(owner, some("c"))
        assert journal._database._db is not before
        assert await texts(journal) == ["a", "c"]
    assert check(journal_path(home)) == []


async def test_d2_while_the_disk_fails_everything_is_refused_and_what_was_there_can_be_read(
    home: Path, disk: Disk
) -> None:
    async with opened(home) as (journal, owner):
        await journal.append(owner, some("a"))
        disk.answer = lambda call, name: EIO_FSYNC if call == "sync" and name.startswith("journal") else 0
        for _ in range(3):
            with pytest.raises(StateError) as caught:
                await journal.append(owner, some("b"))
            assert caught.value.code == "state_io"
            assert await texts(journal) == ["a"]
        with pytest.raises(StateError):
            await journal.claim(DeploymentId("deploy_1800000000001_00000002"))
        disk.answer = lambda _call, _name: 0
        assert (await journal.append(owner, some("c")))[0].number == 3
        await journal.claim(DeploymentId("deploy_1800000000001_00000002"))


@pytest.mark.parametrize(("call", "failure"), [("write", EIO_WRITE), ("sync", EIO_FSYNC), ("read", EIO_READ)])
async def test_d2_a_failure_at_any_call_loses_nothing_and_leaves_nothing_in_part(
    home: Path, disk: Disk, call: str, failure: int
) -> None:
    async with opened(home) as (journal, owner):
        journal._database._db.execute("pragma wal_autocheckpoint = 8")  # type: ignore[union-attr]
        acknowledged: list[str] = []
        codes: list[str] = []
        for number in range(1, 25):
            left = [number if call == "write" else 1 + number % 4]

            def answer(asked: str, name: str, left: list[int] = left) -> int:
                left[0] -= asked == call and name.startswith("journal.db")
                return failure if left[0] == 0 and asked == call else 0

            disk.answer = answer
            try:
                await journal.append(owner, some(f"{number}"))
                acknowledged.append(f"{number}")
            except StateError as error:
                codes.append(error.code)
            disk.answer = lambda _call, _name: 0
            assert await texts(journal) == acknowledged
            await journal.append(owner, some(f"{number} again"))
            acknowledged.append(f"{number} again")
        assert set(codes) <= {"state_io"}
        assert len(codes) > 3 or call == "read"
    async with opened(home) as (journal, owner):
        assert await texts(journal) == acknowledged
    assert check(journal_path(home)) == []


async def test_d2_what_a_dead_process_left_in_its_log_is_carried_over_before_anything_is_written(
    home: Path, tmp_path: Path
) -> None:
    """A log whose sync failed can be read and is not on disk: nothing may be written behind it."""
    async with opened(home) as (journal, owner):
        await journal.append(owner, some("a"))
        left = copied(journal_path(home), tmp_path / "dead" / "state", ("", "-wal"))
        alone = copied(left, tmp_path / "before", ("",))
        assert refused(alone) == ""
    with closing(Reader(alone)) as reader:
        assert reader.events(ONE) == [], "it was in the log only"
    database = Database(left)
    alone = copied(left, tmp_path / "after", ("",))
    database.close()
    with closing(Reader(alone)) as reader:
        assert [event.type for event in reader.events(ONE)] == ["first", "second"]


# ── D3: power cuts ────────────────────────────────────────────────────────────────────────────────────────────────


def test_d3_a_power_cut_loses_nothing_that_was_acknowledged() -> None:
    figures = images.run(150, seed=4)
    assert (figures.corrupt, figures.lost) == (0, 0)


# ── D5: not ours to write ─────────────────────────────────────────────────────────────────────────────────────────

_AS_NOBODY = """
import os, sys
from pathlib import Path
import anyio
from walrus_sdk.errors import StateError
from walrus_sdk.journal.store import open_journal, journal_path
from walrus_sdk.machine.clock import SystemClock
home, prepare = Path(sys.argv[1]), sys.argv[2]
async def use(home=home):
    async with open_journal(home, SystemClock()):
        pass
anyio.run(use, home.parent / "first")  # everything is imported: the other user may not be able to
if os.getuid() == 0:
    os.chown(home.parent, 65534, 65534)
    os.setgid(65534)
    os.setuid(65534)
anyio.run(use)
exec(prepare)
try:
    anyio.run(use)
    print("opened")
except StateError as error:
    print(error.code)
for path in [home, *home.rglob("*")]:
    path.chmod(0o700)
"""


@pytest.mark.processes
@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        ("journal_path(home).chmod(0o400)", "state_unwritable"),
        ("(home / 'state').chmod(0o500)", "state_unwritable"),
        ("home.chmod(0o500)", "state_unwritable"),
        ("(home / 'state' / 'journal.mark').chmod(0o400)", "state_unwritable"),
        ("journal_path(home).chmod(0o622)", "state_unsafe"),
        ("pass", "opened"),
    ],
)
def test_d5_a_state_that_cannot_be_written_is_said_before_anything_is_done(prepare: str, code: str) -> None:
    folder = Path(tempfile.mkdtemp())  # pytest's own can be entered by its user only
    try:
        run = subprocess.run(
            [sys.executable, "-c", _AS_NOBODY, str(folder / "home"), prepare],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert run.stdout.strip() == code, run.stderr
    finally:
        shutil.rmtree(folder)


async def test_d5_a_state_of_another_owner_is_refused(home: Path) -> None:
    path = await filled(home)
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(path, 65534, 65534)
    assert refused(path) == "state_unsafe"


# ── D6: replaced while running ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
@pytest.mark.parametrize("how", ["removed", "replaced"])
async def test_d6_a_log_that_is_no_longer_there_acknowledges_nothing(home: Path, suffix: str, how: str) -> None:
    async with opened(home) as (journal, owner):
        beside = Path(f"{journal_path(home)}{suffix}")
        beside.rename(home / "away")
        if how == "replaced":
            beside.touch()
        with pytest.raises(StateError) as caught:
            await journal.append(owner, some("a"))
        assert caught.value.code == "state_replaced"
        beside.unlink(missing_ok=True)
        (home / "away").rename(beside)
        await journal.append(owner, some("b"))
        assert await texts(journal) == ["b"]


async def test_d6_a_home_that_is_removed_acknowledges_nothing(home: Path) -> None:
    async with opened(home) as (journal, owner):
        shutil.rmtree(home)
        for _ in range(2):
            with pytest.raises(StateError) as caught:
                await journal.append(owner, some("a"))
            assert caught.value.code == "state_replaced"


@pytest.mark.processes
async def test_d6_a_second_opening_in_one_process_leaves_the_first_its_locks(home: Path) -> None:
    """Closing any descriptor of the file drops all of a process's locks on it; another process would take the log."""
    async with opened(home) as (journal, owner):
        await journal.append(owner, some("a"))
        async with open_journal(home, SystemClock()):
            pass
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('select * from meta').fetchall()"
        await anyio.run_process([sys.executable, "-c", code, str(journal_path(home))])
        await journal.append(owner, some("b"))
        assert await texts(journal) == ["a", "b"]


# ── D7: the log is missing ────────────────────────────────────────────────────────────────────────────────────────


async def test_d7_a_journal_without_its_log_is_noticed(home: Path, tmp_path: Path) -> None:
    async with opened(home) as (journal, owner):
        await journal.append(owner, some("a"))
        alone = copied(journal_path(home), tmp_path / "copy", ("",))
        shutil.copy(mark_path(journal_path(home)), mark_path(alone))
        whole = copied(journal_path(home), tmp_path / "whole", ("", "-wal"))
        shutil.copy(mark_path(journal_path(home)), mark_path(whole))
    for _ in range(2):
        with pytest.raises(StateError) as caught:
            Database(alone)
        assert caught.value.code == "state_damaged"
        assert "journal.db-wal) is missing" in caught.value.message
        assert "is missing" in check(alone)[0]
    assert refused(whole) == ""
    mark_path(alone).unlink()
    assert refused(alone) == "", "whoever means it can say so"


async def test_d7_an_older_copy_in_the_journals_place_is_noticed(home: Path, tmp_path: Path) -> None:
    path = await filled(home)
    older = copied(path, tmp_path / "older", ("",))
    async with opened(home) as (journal, owner):
        await journal.append(owner, some("more"))
    shutil.copy(older, path)
    assert refused(path) == "state_damaged"


async def test_d7_a_journal_that_is_gone_is_not_silently_begun_anew(home: Path, tmp_path: Path) -> None:
    async with opened(home) as (journal, owner):
        await journal.append(owner, some("a"))
        log = copied(journal_path(home), tmp_path / "log", ("-wal",))
        assert refused(log) == "state_damaged", "the log of a journal that is gone is not deleted"
        assert Path(f"{log}-wal").stat().st_size > 0
    journal_path(home).unlink()
    assert refused(journal_path(home)) == "state_damaged"


@pytest.mark.parametrize("left", [b"", b"\0" * 96, b"garbage", b"ffffffff 99 \n".ljust(96)])
async def test_d7_a_mark_that_a_power_cut_left_in_pieces_raises_no_alarm(home: Path, left: bytes) -> None:
    path = await filled(home)
    mark_path(path).write_bytes(left)
    async with opened(home) as (journal, owner):
        await journal.append(owner, some("more"))


async def test_d7_an_older_mark_raises_no_alarm(home: Path) -> None:
    async with opened(home) as (journal, owner):
        await journal.append(owner, some("a"))
        older = mark_path(journal_path(home)).read_bytes()
        await journal.append(owner, some("b"))
        left = {suffix: Path(f"{journal_path(home)}{suffix}").read_bytes() for suffix in ("", "-wal")}
    for suffix, data in left.items():
        Path(f"{journal_path(home)}{suffix}").write_bytes(data)  # as a dead process leaves it
    mark_path(journal_path(home)).write_bytes(older)
    async with opened(home) as (journal, owner):
        assert await texts(journal) == ["a", "b"]


async def test_d7_a_journal_that_was_looked_at_with_sqlite_after_a_crash_raises_no_alarm(
    home: Path, tmp_path: Path
) -> None:
    await filled(home, 1)  # closed in order, so it is sealed
    async with opened(home) as (journal, owner):
        await journal.append(owner, some("more"))
        left = copied(journal_path(home), tmp_path / "left", ("", "-wal"))
        shutil.copy(mark_path(journal_path(home)), mark_path(left))
    with closing(sqlite3.connect(left)) as db:
        db.execute("select * from meta").fetchall()
    assert not Path(f"{left}-wal").exists(), "SQLite carried the log over and removed it"
    assert refused(left) == ""


async def test_d7_several_who_open_and_close_at_once_raise_no_alarm(home: Path) -> None:
    await filled(home, 1)

    def use(name: str) -> None:
        for number in range(15):
            database = Database(journal_path(home))
            with database.transaction() as db:
                db.execute("insert into meta values (?, 'x')", (f"{name} {number}",))
            database.close()

    async with anyio.create_task_group() as tasks:
        for name in "abcd":
            tasks.start_soon(to_thread.run_sync, use, name)
    with closing(Reader(journal_path(home))) as reader:
        assert len([row for row in reader.rows("meta") if row["value"] == "x"]) == 60
    assert check(journal_path(home)) == []


# ── D8: bits, pages, ends ─────────────────────────────────────────────────────────────────────────────────────────


async def test_d8_any_bit_that_changes_while_the_journal_is_closed_is_noticed(home: Path) -> None:
    path = await filled(home)
    whole = path.read_bytes()
    chance = random.Random(8)
    for place in [0, 18, 24, 28, 60, 99, 100, *(chance.randrange(len(whole)) for _ in range(150))]:
        data = bytearray(whole)
        data[place] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        assert refused(path) in ("state_damaged", "state_newer"), place
    path.write_bytes(whole)
    assert refused(path) == ""


async def test_d8_the_seal_is_broken_while_anybody_has_the_journal_open(home: Path) -> None:
    mark = mark_path(await filled(home, 1))

    def parts() -> int:
        return len(mark.read_bytes().split())

    assert parts() == 3, "checksum, number, seal"
    first = Database(journal_path(home))
    assert parts() == 2
    Database(journal_path(home)).close()
    assert parts() == 2, "the other one still has it open"
    first.close()
    assert parts() == 3


async def test_d8_a_page_that_is_lost_is_noticed_also_without_the_seal(home: Path) -> None:
    path = await filled(home)
    whole = path.read_bytes()
    (size,) = sqlite3.connect(path).execute("pragma page_size").fetchone()
    mark_path(path).unlink()
    for start in range(0, len(whole), size):
        path.write_bytes(whole[:start] + bytes(size) + whole[start + size :])
        assert check(path) or refused(path), f"zeros at {start}"
        mark_path(path).unlink(missing_ok=True)
        path.write_bytes(whole[:start])
        assert check(path), f"cut off at {start}"


async def test_d8_damage_never_gives_a_wrong_answer_where_pages_lean_on_each_other(home: Path) -> None:
    """Bits of the file's skeleton, without the seal: every reading is right, or it is an error."""
    path = await filled(home)
    with closing(Reader(path)) as reader:
        truth = [(event.number, event.type) for event in reader.events(ONE)]
    whole = path.read_bytes()
    chance = random.Random(9)
    for _ in range(150):
        page = chance.randrange(len(whole) // 4096) * 4096
        data = bytearray(whole)
        data[page + chance.randrange(8) + (100 if page == 0 else 0)] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        with suppress(StateError), closing(Reader(path)) as reader:
            found = [(event.number, event.type) for event in reader.events(ONE)]
            assert found == truth or check(path), page


@pytest.mark.parametrize("magic", [b"SQLite format 2\0", b"\0" * 16, b"PK\x03\x04 not a database"])
async def test_d8_another_kind_of_file_is_no_journal(home: Path, magic: bytes) -> None:
    path = await filled(home)
    path.write_bytes(magic + path.read_bytes()[len(magic) :])
    mark_path(path).unlink()
    assert refused(path) == "state_damaged"
    assert check(path)


async def test_d8_a_damaged_log_never_hides_what_was_acknowledged(home: Path, tmp_path: Path) -> None:
    async with opened(home) as (journal, owner):
        for number in range(4):
            await journal.append(owner, some(str(number)))
        mark = mark_path(journal_path(home)).read_bytes()
        left = copied(journal_path(home), tmp_path / "left", ("", "-wal"))
    chance = random.Random(10)
    files = {suffix: Path(f"{left}{suffix}").read_bytes() for suffix in ("", "-wal")}
    for _ in range(60):
        log = bytearray(files["-wal"])
        place = chance.randrange(len(log))
        if chance.random() < 0.3:
            del log[place:]
        else:
            log[place] ^= 1 << chance.randrange(8)
        for suffix, data in (("", files[""]), ("-wal", bytes(log)), ("-shm", b"")):
            Path(f"{left}{suffix}").write_bytes(data)
        mark_path(left).write_bytes(mark)
        if not refused(left):
            with closing(Reader(left)) as reader:
                assert [event.number for event in reader.events(ONE)] == list(range(1, 9)), place


async def test_d8_an_event_that_cannot_be_read_is_an_error(home: Path) -> None:
    path = await filled(home)
    for damage in ("'{\"text'", "cast(x'ff' as text)"):
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(f"update events set data = {damage} where n = 1")
        with closing(Reader(path)) as reader, pytest.raises(StateError) as caught:
            reader.events(ONE)
        assert caught.value.code == "state_damaged"
    assert "event 1" in check(path)[0]


# ── D9: schemas ───────────────────────────────────────────────────────────────────────────────────────────────────


PATCHES = (("ff", "second"), ("aa", "first"))
"""Hashes and patch ids that the program of an older schema recorded."""


def old_journal(path: Path, version: int) -> None:
    """Make a journal as the program of an older schema left it."""
    path.parent.mkdir(mode=0o700, parents=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        path.chmod(0o600)
        db.execute("pragma journal_mode = wal")
        for script in schema.MIGRATIONS[:version]:
            db.executescript(script)
        db.execute(f"pragma user_version = {version}")
        if version:
            db.execute("insert into events values (?, 1, 1, 1, 1.0, 'a', '{}')", (str(ONE),))
            db.executemany("insert into patches values ('chain', ?, 'blob', ?, 5)", PATCHES)
            db.executemany(
                "insert into deployments (id, verb) values (?, ?)", [("site", "deploy"), ("gone", "cleanup")]
            )
            signed = [
                (f"{name} {state}", name, state) for name in ("site", "gone") for state in ("signed", "final", "dead")
            ]
            insert = "insert into transactions values ('chain', ?, ?, 1, x'ab', '[]', 9, null, ?)"
            db.executemany(insert, signed)


@pytest.mark.parametrize("version", range(1, schema.VERSION + 1))
async def test_d9_a_journal_of_an_older_program_is_brought_up_with_what_it_holds(home: Path, version: int) -> None:
    home.mkdir(mode=0o700)
    old_journal(journal_path(home), version)
    async with opened(home) as (journal, owner):
        await journal.append(owner, [Change("b")])
        assert [event.type for event in await journal.events(ONE)] == ["a", "b"]
        patches = await journal.rows("patches", columns=("sha256", "patch_id", "size"))
        assert [tuple(row.values()) for row in patches] == [(*patch, 5) for patch in PATCHES]
        signed = await journal.rows("transactions", columns=("digest", "bytes", "signatures"))
        kept = {row["digest"]: (row["bytes"] is not None, row["signatures"] is not None) for row in signed}
        if version < 6:
            over = {
                f"{name} {state}": (name == "gone", False) for name in ("site", "gone") for state in ("final", "dead")
            }
            assert kept == {"site signed": (True, True), "gone signed": (True, True), **over}
    assert check(journal_path(home)) == []


async def test_d9_a_newer_journal_is_left_as_it_is_bit_for_bit(home: Path) -> None:
    path = await filled(home)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"pragma user_version = {schema.VERSION + 1}")
        db.execute("pragma journal_mode = delete")
    before = {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}
    assert refused(path) == "state_newer"
    assert {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()} == before
    assert "knows" in check(path)[0]


_KILLED = """
import os, shutil, signal, sqlite3, sys
from pathlib import Path
from walrus_sdk.journal import schema
from walrus_sdk.journal.database import Database
path = Path(sys.argv[1])
before = path.read_bytes()
def tables(db):
    return sorted(row[0] for row in db.execute("select sql from sqlite_master where sql is not null"))
def wanted(version):
    db = sqlite3.connect(":memory:")
    for script in schema.MIGRATIONS[:version]:
        db.executescript(script)
    return tables(db)
seen, statement, status = set(), 0, 9
while status:
    statement += 1
    for beside in path.parent.iterdir():
        beside.unlink()
    path.write_bytes(before)
    path.chmod(0o600)
    child = os.fork()
    if child == 0:
        db = sqlite3.connect(path, isolation_level=None)
        left = [statement]
        def count(_):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
        db.set_trace_callback(count)
        schema.migrate(db)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    db = sqlite3.connect(path)
    (version,) = db.execute("pragma user_version").fetchone()
    assert tables(db) == wanted(version), (statement, version)
    db.close()
    seen.add(version)
    Database(path).close()
    assert sqlite3.connect(path).execute("pragma user_version").fetchone() == (schema.VERSION,)
print(statement, *sorted(seen))
"""


@pytest.mark.processes
@pytest.mark.parametrize("version", range(schema.VERSION))
def test_d9_a_migration_that_is_killed_at_any_statement_leaves_the_old_or_the_new_schema(
    tmp_path: Path, version: int
) -> None:
    path = tmp_path / "state" / "journal.db"
    old_journal(path, version)
    run = subprocess.run([sys.executable, "-c", _KILLED, str(path)], capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    statements, *seen = map(int, run.stdout.split())
    assert statements > 5
    assert seen == list(range(version, schema.VERSION + 1))


# ── D10: clocks ───────────────────────────────────────────────────────────────────────────────────────────────────


class Jumping(SystemClock):
    """A clock that is wrong by years, back and forth; the monotonic one stands still."""

    def __init__(self) -> None:
        self._chance = random.Random(11)

    def wall_ms(self) -> int:
        return self._chance.choice((0, 1, 946_684_800_000, 1_800_000_000_000, 9_999_999_999_999))

    def monotonic(self) -> float:
        return 5.0


async def test_d10_order_is_by_number_however_the_clocks_jump(home: Path) -> None:
    for life in range(3):
        async with open_journal(home, Jumping()) as journal:
            owner = await journal.claim(ONE)
            assert owner.incarnation == life + 1
            for number in range(10):
                await journal.append(owner, [Change("a", {"number": life * 10 + number})])
            await journal.release(owner)
    async with open_journal(home, Jumping()) as journal:
        events = await journal.events(ONE)
        assert [event.data["number"] for event in events] == list(range(30))
        assert any(one.wall_ms > two.wall_ms for one, two in pairwise(events)), "the clock did jump"
        assert [event.number for event in await journal.events(ONE, after=25)] == [26, 27, 28, 29, 30]
    assert check(journal_path(home)) == []


# ── D11: network file systems ─────────────────────────────────────────────────────────────────────────────────────

_MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home rw,relatime shared:2 - nfs4 server:/home rw,vers=4.2
31 30 8:2 / /home/fast rw shared:3 - xfs /dev/sdb1 rw
32 22 0:41 / /mnt/with\\040space rw - fuse.sshfs who@there:/ rw
33 22 0:42 / /mnt/twice rw - ext4 /dev/sdc1 rw
34 33 0:43 / /mnt/twice rw - cifs //server/share rw
not a line
"""


@pytest.mark.parametrize(
    ("path", "kind", "warned"),
    [
        ("/home/me/.walrus-deployment", "nfs4", True),
        ("/home/fast/x", "xfs", False),
        ("/homestead", "ext4", False),
        ("/mnt/with space/x", "fuse.sshfs", True),
        ("/mnt/twice", "cifs", True),
        ("/", "ext4", False),
    ],
)
def test_d11_a_network_file_system_is_warned_of(path: str, kind: str, warned: bool) -> None:
    assert file_system(Path(path), _MOUNTS) == kind
    warning = lock_warning(Path(path), _MOUNTS)
    assert (warning is not None) == warned
    assert warning is None or (kind in warning and path in warning)


def test_d11_a_system_that_tells_nothing_of_its_mounts_gives_no_warning(tmp_path: Path) -> None:
    assert lock_warning(tmp_path, "") is None
    lock_warning(tmp_path)


# ── D12: no inodes, no quota ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("made", ["mkdir", "open"])
def test_d12_a_disk_that_takes_no_new_file_is_said_to_be_full(
    home: Path, monkeypatch: pytest.MonkeyPatch, number: int, made: str
) -> None:
    def full(*_: Any, **__: Any) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, made, full)
        with pytest.raises(StateError) as caught:
            SqliteJournal(home, SystemClock())
    assert caught.value.code == "state_full"


# ── D13: a slow disk ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_d13_the_event_loop_lives_and_reads_while_a_sync_takes_long(home: Path, disk: Disk) -> None:
    waiting, gate = threading.Event(), threading.Event()

    def answer(call: str, name: str) -> int:
        if (call, name) == ("sync", "journal.db-wal"):
            waiting.set()
            gate.wait(60)
        return 0

    done: list[Any] = []
    async with opened(home) as (journal, owner):
        await journal.append(owner, some("before"))
        disk.answer = answer

        async def write(text: str) -> None:
            done.append(await journal.append(owner, some(text)))

        async with anyio.create_task_group() as tasks:
            try:
                tasks.start_soon(write, "slow")
                await to_thread.run_sync(waiting.wait, 60)
                tasks.start_soon(write, "queued")
                for _ in range(100):
                    await anyio.lowlevel.checkpoint()
                assert await texts(journal) == ["before"], "nothing is told before it is durable"
                assert done == []
            finally:
                gate.set()
        assert await texts(journal) == ["before", "slow", "queued"]
