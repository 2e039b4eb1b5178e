"""The journal's file: killed, full, replaced, damaged, newer, unsafe (faults P1, P8, D1, D5, D6, D8, D9)."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
import zstandard

from walrus_sdk.errors import CODES, OwnershipError, StateError
from walrus_sdk.journal import blocking, database, mark, ownership, schema, store, writer
from walrus_sdk.journal.checkpoints import pack, read_checkpoint, write_checkpoint
from walrus_sdk.journal.database import make_folder
from walrus_sdk.journal.mark import Mark
from walrus_sdk.journal.reader import Reader
from walrus_sdk.journal.store import CheckpointFiles, SqliteJournal, journal_path, open_journal
from walrus_sdk.machine.clock import SystemClock
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change, JsonText, Ownership, Put
from walrus_sdk.service.unwrap import one_error

ONE = DeploymentId("deploy_1800000000001_00000001")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def child(code: str, home: Path) -> subprocess.Popen[str]:
    """Start a process that runs `code` with the home as its argument; it says when it is ready."""
    return subprocess.Popen(
        [sys.executable, "-c", _PROLOGUE + code, str(home)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )


_PROLOGUE = """
import sys, anyio
from pathlib import Path
from typing import Any
from walrus_sdk.journal.store import open_journal
from walrus_sdk.machine.clock import SystemClock
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change
ONE = DeploymentId("deploy_1800000000001_00000001")
home = Path(sys.argv[1])
"""


@pytest.mark.processes
@pytest.mark.anyio
async def test_what_was_acknowledged_survives_kill_9(home: Path) -> None:
    writing = child(
        """
async def main():
    async with open_journal(home, SystemClock()) as journal:
        owner = await journal.claim(ONE, new=True)
        while True:
            (event,) = await journal.append(owner, [Change("a")])
            print(event.number, flush=True)
anyio.run(main)
""",
        home,
    )
    with writing:
        assert writing.stdout is not None
        last = 0
        while last < 25:
            last = int(await anyio.to_thread.run_sync(writing.stdout.readline))
        writing.kill()
        rest = writing.stdout.read().split()
        last = max([last, *(int(text) for text in rest if text.isdigit())])
    async with open_journal(home, SystemClock()) as journal:
        found = await journal.events(ONE)
        assert [event.number for event in found] == list(range(1, len(found) + 1))
        assert len(found) >= last
        owner = await journal.claim(ONE)
        assert owner.incarnation == 2, "the kernel let the dead owner's lock go"


@pytest.mark.processes
@pytest.mark.anyio
async def test_a_live_owner_in_another_process_is_named(home: Path) -> None:
    owning = child(
        """
async def main():
    async with open_journal(home, SystemClock()) as journal:
        await journal.claim(ONE, new=True)
        print("ready", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)
anyio.run(main)
""",
        home,
    )
    with owning:
        assert owning.stdout is not None
        assert (await anyio.to_thread.run_sync(owning.stdout.readline)).strip() == "ready"
        async with open_journal(home, SystemClock()) as journal:
            assert journal.locks.is_held(ONE)
            with pytest.raises(OwnershipError) as caught:
                await journal.claim(ONE)
        assert caught.value.fields["pid"] == owning.pid
        assert f"process {owning.pid}" in caught.value.message
        owning.communicate("\n")


@pytest.mark.anyio
async def test_another_reader_sees_commits_and_notices_them(home: Path) -> None:
    async with open_journal(home, SystemClock()) as journal:
        owner = await journal.claim(ONE, new=True)
        await journal.append(owner, [Change("a")])
        reader = Reader(journal_path(home))
        before = reader.data_version()
        await journal.append(owner, [Change("b")])
        assert reader.data_version() != before
        assert [event.type for event in reader.events(ONE)] == ["a", "b"]
        reader.close()


@pytest.mark.anyio
async def test_one_callers_bad_rows_do_not_sink_the_others_of_its_batch(home: Path) -> None:
    async with open_journal(home, SystemClock()) as journal:
        owner = await journal.claim(ONE, new=True)
        failed: list[BaseException] = []

        async def bad() -> None:
            try:
                await journal.append(owner, [Change("bad", {}, (Put("sites", {"chain": "c"}, {}),))])
            except AssertionError as error:
                failed.append(error)

        async with anyio.create_task_group() as tasks:
            for index in range(6):
                tasks.start_soon(bad if index == 3 else _append(journal, owner))
        assert len(failed) == 1
        assert [event.type for event in await journal.events(ONE)] == ["good"] * 5


def _append(journal: SqliteJournal, owner: Ownership) -> Callable[[], Coroutine[Any, Any, None]]:
    async def good() -> None:
        await journal.append(owner, [Change("good")])

    return good


@pytest.mark.anyio
async def test_sixteen_workers_share_a_commit_and_none_is_told_before_it(home: Path) -> None:
    async with open_journal(home, SystemClock()) as journal:
        owner = await journal.claim(ONE, new=True)
        commit, goes_on, batches, told = journal.writer._commit, threading.Event(), [], []

        def held(batch: Any) -> None:
            batches.append(len(batch))
            if len(batches) == 1:
                goes_on.wait(20)
            commit(batch)

        journal.writer._commit = held  # type: ignore[method-assign]

        async def worker(number: int) -> None:
            await journal.append(owner, [Change("stored", {"number": number})])
            told.append(number)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker, 0)
            await anyio.wait_all_tasks_blocked()
            for number in range(1, 16):
                tasks.start_soon(worker, number)
            await anyio.wait_all_tasks_blocked()  # not one of them holds the loop up, or is told anything
            assert told == []
            assert await journal.events(ONE) == [], "readers do not wait for the commit either"
            goes_on.set()
        assert batches == [1, 15]
        assert sorted(told) == list(range(16))


@pytest.mark.anyio
async def test_a_cancelled_caller_leaves_its_rows_in_the_queue_and_the_writer_alive(home: Path) -> None:
    async with open_journal(home, SystemClock()) as journal:
        owner = await journal.claim(ONE, new=True)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await journal.append(owner, [Change("cancelled")])
        await journal.append(owner, [Change("after")])
        assert [event.type for event in await journal.events(ONE)] == ["cancelled", "after"]


@pytest.mark.parametrize("steps", range(8))
@pytest.mark.anyio
async def test_a_journal_whose_opening_is_cancelled_leaves_no_writer_behind(home: Path, steps: int) -> None:
    async with anyio.create_task_group() as tasks:

        async def open_and_stay() -> None:
            async with open_journal(home, SystemClock()):
                opened.set()
                await anyio.sleep_forever()

        opened = anyio.Event()
        tasks.start_soon(open_and_stay)
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        if steps == 7:
            await opened.wait()
        tasks.cancel_scope.cancel()
    async with open_journal(home, SystemClock()) as journal:
        await journal.claim(ONE, new=True)


@pytest.mark.anyio
async def test_files_are_private_from_the_beginning(home: Path) -> None:
    before = os.umask(0)
    try:
        async with open_journal(home, SystemClock()) as journal:
            await journal.append(await journal.claim(ONE, new=True), [Change("a")])
            await journal.cache("k", b"v")
            files = [path for path in home.rglob("*") if path.is_file()]
            folders = [path for path in (home, *home.rglob("*")) if path.is_dir()]
            assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
            assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    finally:
        os.umask(before)


@pytest.mark.anyio
async def test_a_home_that_others_may_write_to_is_refused(home: Path) -> None:
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    with pytest.raises(StateError) as caught:
        async with open_journal(home, SystemClock()):
            pass
    assert caught.value.code == "state_unsafe"


@pytest.mark.anyio
async def test_a_link_in_the_journals_place_is_refused(home: Path, tmp_path: Path) -> None:
    (home / "state").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    (tmp_path / "target").touch()
    journal_path(home).symlink_to(tmp_path / "target")
    with pytest.raises(StateError) as caught:
        async with open_journal(home, SystemClock()):
            pass
    assert caught.value.code == "state_unsafe"


@pytest.mark.parametrize("how", ["removed", "replaced"])
@pytest.mark.anyio
async def test_a_journal_that_is_no_longer_there_acknowledges_nothing(home: Path, how: str) -> None:
    async with open_journal(home, SystemClock()) as journal:
        owner = await journal.claim(ONE, new=True)
        journal_path(home).unlink()
        if how == "replaced":
            journal_path(home).touch()
        with pytest.raises(StateError) as caught:
            await journal.append(owner, [Change("a")])
        assert caught.value.code == "state_replaced"


@pytest.mark.anyio
async def test_a_journal_that_could_not_be_sealed_for_want_of_memory_opens_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Mark) -> str:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Mark, "_digest", fail)
        async with open_journal(home, SystemClock()):
            pass
    with anyio.fail_after(5):
        async with open_journal(home, SystemClock()) as journal:
            assert await journal.rows("deployments") == []


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's table of locks")
@pytest.mark.parametrize("inside", ["a commit", "the seal"])
@pytest.mark.anyio
async def test_a_process_that_is_stopped_while_it_holds_the_journal_is_named_with_what_to_do(
    home: Path, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_MS", 200)
    monkeypatch.setattr(mark, "_BUSY_S", 0.2)
    async with open_journal(home, SystemClock()) as journal:
        await journal.claim(ONE, new=True)
    sleeper = child(
        f"""
import os, signal
from walrus_sdk.journal.database import Database
from walrus_sdk.journal.mark import Mark
def stop(*arguments):
    os.kill(os.getpid(), signal.SIGSTOP)
    return ""
database = Database(home / "state" / "journal.db")
if {inside == "a commit"}:
    with database.transaction():
        stop()
Mark._digest = stop
database.close()
""",
        home,
    )
    with sleeper:
        try:
            await anyio.to_thread.run_sync(os.waitid, os.P_PID, sleeper.pid, os.WSTOPPED | os.WNOWAIT)
            with pytest.raises(StateError) as caught, one_error():
                async with open_journal(home, SystemClock()) as journal:
                    await journal.claim(ONE)
        finally:
            sleeper.kill()
    assert caught.value.code == "state_busy"
    assert (caught.value.fields["pid"], caught.value.fields["is_stopped"]) == (sleeper.pid, True)
    assert f"kill -CONT {sleeper.pid}" in caught.value.message


def test_a_process_that_waits_for_a_sealed_journal_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"x")
    Mark(path).close(seal=True)
    other = os.open(mark.mark_path(path), os.O_RDWR)  # another one between its two looks
    fcntl.flock(other, fcntl.LOCK_SH)

    held_up = []

    def meanwhile(_: float) -> None:
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held_up.append(False)
        except BlockingIOError:
            held_up.append(True)
        fcntl.flock(other, fcntl.LOCK_UN)

    monkeypatch.setattr(time, "sleep", meanwhile)
    Mark(path).close(seal=True)
    os.close(other)
    assert held_up == [False]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's table of locks")
def test_nobody_is_named_for_a_lock_of_another_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, table = tmp_path / "journal.db", tmp_path / "locks"
    path.touch()
    monkeypatch.setattr(blocking, "_LOCKS", table)
    info = path.stat()
    found = []
    for minor in (os.minor(info.st_dev), os.minor(info.st_dev) ^ 1):
        device = f"{os.major(info.st_dev):02x}:{minor:02x}"
        table.write_text(f"1: POSIX  ADVISORY  WRITE {os.getppid()} {device}:{info.st_ino} 0 EOF\n")
        found.append(blocking.busy(path).fields.get("pid"))
    assert found == [os.getppid(), None]


def test_only_a_writer_that_waited_says_how_long(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_BUSY_MS", 100)
    path = make_folder(home) / "journal.db"
    with closing(database.Database(path)) as writer, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(StateError, match=r"for more than 0\.1 s") as waited, writer.transaction():
            pass
        other.execute("rollback")
        other.execute("begin")
        other.execute("select * from meta").fetchall()
        with writer.transaction():
            pass
        with pytest.raises(StateError, match="holds the journal") as at_once, database.failures(path, wait_s=0.1):
            other.execute("delete from meta")  # what it has read is no longer the newest: there is nothing to wait for
    assert (waited.value.code, at_once.value.code) == ("state_busy", "state_busy")


@pytest.mark.anyio
async def test_a_damaged_journal_is_named_as_such(home: Path) -> None:
    async with open_journal(home, SystemClock()):
        pass
    journal_path(home).write_bytes(b"not a database" * 100)
    for beside in ("-wal", "-shm"):
        Path(f"{journal_path(home)}{beside}").unlink(missing_ok=True)
    with pytest.raises(StateError) as caught:
        async with open_journal(home, SystemClock()):
            pass
    assert caught.value.code == "state_damaged"


@pytest.mark.anyio
async def test_a_journal_of_a_newer_program_is_left_alone(home: Path) -> None:
    async with open_journal(home, SystemClock()):
        pass
    with sqlite3.connect(journal_path(home)) as db:
        db.execute(f"pragma user_version = {schema.VERSION + 1}")
    db.close()
    with pytest.raises(StateError) as caught:
        async with open_journal(home, SystemClock()):
            pass
    assert caught.value.code == "state_newer"


@pytest.mark.anyio
async def test_a_cache_of_garbage_is_made_anew(home: Path) -> None:
    async with open_journal(home, SystemClock()) as journal:
        await journal.cache("k", b"v")
    (home / "state" / "cache.db").write_bytes(b"garbage" * 1000)
    async with open_journal(home, SystemClock()) as journal:
        assert await journal.cache("k") is None
        await journal.cache("k", b"again")
        assert await journal.cache("k") == b"again"


@pytest.mark.processes
def test_a_full_disk_fails_one_append_whole_and_later_ones_succeed(home: Path) -> None:
    """A limit on file sizes stands for a disk without room (D1): SQLite rolls back by itself then."""
    filling = child(
        """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
async def main():
    async with open_journal(home, SystemClock()) as journal:
        owner = await journal.claim(ONE, new=True)
        await journal.append(owner, [Change("before")])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
        try:
            await journal.append(owner, [Change("large", {"text": "x" * 2_000_000})])
        except Exception as error:
            print(error.code)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await journal.append(owner, [Change("after")])
        print(*[event.type for event in await journal.events(ONE)])
anyio.run(main)
""",
        home,
    )
    out, _ = filling.communicate(timeout=60)
    code, kinds = out.splitlines()
    assert code in ("state_full", "state_io")
    assert kinds == "before after"


def test_descriptors_of_the_journal_do_not_reach_children(home: Path) -> None:
    async def main() -> str:
        async with open_journal(home, SystemClock()) as journal:
            await journal.claim(ONE, new=True)
            code = (
                "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if n > '2'])"
            )
            done = await anyio.run_process([sys.executable, "-c", code], check=False)
            return done.stdout.decode()

    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc here to look at")
    assert str(home) not in anyio.run(main)


def test_every_primary_code_of_sqlite_has_an_error_of_the_tree() -> None:
    names = [name for name in dir(sqlite3) if name.startswith("SQLITE_")]
    codes = {getattr(sqlite3, name) for name in names if isinstance(getattr(sqlite3, name), int)}
    for code in sorted({code & 0xFF for code in codes} - {sqlite3.SQLITE_OK}):
        error = sqlite3.OperationalError("it failed")
        error.sqlite_errorcode = code
        with pytest.raises(StateError) as caught, database.failures(Path("journal.db")):
            raise error
        assert caught.value.code in CODES


# ── checkpoints ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_checkpoint_is_read_as_it_was_written(home: Path) -> None:
    name = write_checkpoint(home, ONE, 3, "upload-30", {"plan": {"x": [1, "ü"]}})
    path = home / "checkpoints" / str(ONE) / name
    assert name == "03-upload-30.json.zst"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = read_checkpoint(path)
    assert (found["plan"], found["moment"], found["format"]) == ({"x": [1, "ü"]}, "upload-30", 1)


def test_what_is_json_already_goes_into_a_checkpoint_as_it_is(home: Path) -> None:
    data = {"plan": JsonText('{"x": [1, "ü"], "y": null}'), "errors": [{"b": 1}], "a": "{}"}
    name = write_checkpoint(home, ONE, 3, "upload-30", data)
    found = read_checkpoint(home / "checkpoints" / str(ONE) / name)
    assert found == {
        "plan": {"x": [1, "ü"], "y": None}, "errors": [{"b": 1}], "a": "{}", "format": 1, "moment": "upload-30",
    }  # fmt: skip


@pytest.mark.anyio
async def test_checkpoints_pack_what_they_have_in_common_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[str] = []

    def counted(text: str) -> bytes:
        packed.append(text)
        return pack(text)

    monkeypatch.setattr(store, "pack", counted)
    files, plan = CheckpointFiles(home), JsonText('{"x": "' + "y" * 100_000 + '"}')
    names = [await files.write(ONE, number, f"transaction-{number}", {"plan": plan, "n": number}) for number in (1, 2)]
    found = [read_checkpoint(home / "checkpoints" / str(ONE) / name) for name in names]
    assert [(one["plan"], one["n"]) for one in found] == [({"x": "y" * 100_000}, 1), ({"x": "y" * 100_000}, 2)]
    assert packed == [plan]


def test_a_checkpoint_that_ends_after_one_of_its_frames_is_refused(home: Path) -> None:
    plan = JsonText('{"x": "' + "y" * 1000 + '"}')
    path = home / "checkpoints" / str(ONE) / write_checkpoint(home, ONE, 1, "manifest", {"a": 1, "plan": plan, "z": 2})
    data, ends = path.read_bytes(), []
    while data:
        frame = zstandard.ZstdDecompressor().decompressobj()
        frame.decompress(data)
        data = frame.unused_data
        ends.append(path.stat().st_size - len(data))
    assert len(ends) == 3
    whole = path.read_bytes()
    for end in ends[:-1]:
        path.write_bytes(whole[:end])
        with pytest.raises(StateError) as caught:
            read_checkpoint(path)
        assert caught.value.code == "checkpoint_invalid"


@pytest.mark.parametrize("data", [b"", b"garbage", b"(\xb5/\xfd\x04\x00\x11\x00\x00[]\x9e"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "01-manifest.json.zst"
    path.write_bytes(data)
    with pytest.raises(StateError) as caught:
        read_checkpoint(path)
    assert caught.value.code == "checkpoint_invalid"


# ── what is on disk before it is believed ─────────────────────────────────────────────────────────────────────────


@pytest.mark.anyio
async def test_rows_of_one_kind_are_each_held_against_what_they_expect(home: Path) -> None:
    def row(name: str, expect: dict[str, Any] | None) -> Put:
        return Put("operations", {"chain": "c", "kind": "store", "name": name}, {"state": "intent"}, expect)

    async with open_journal(home, SystemClock()) as journal:
        owner = await journal.claim(ONE, new=True)
        await journal.append(owner, [Change("a", {}, (row("there", None),))])
        with pytest.raises(OwnershipError) as caught:
            await journal.append(owner, [Change("b", {}, (row("one", {}), row("two", None), row("there", {})))])
        assert caught.value.code == "row_changed"
        rows = await journal.rows("operations")
        assert [found["name"] for found in rows] == ["there"]
        assert [event.type for event in await journal.events(ONE)] == ["a"]


@pytest.mark.anyio
async def test_many_rows_are_few_statements(home: Path) -> None:
    """Each statement waits for the interpreter, however little it does, while another thread computes."""
    puts = tuple(Put("entries", {"deployment": str(ONE), "path": f"/{n}"}, {"state": "stored"}) for n in range(1000))
    statements: list[str] = []
    async with open_journal(home, SystemClock()) as journal:
        owner = await journal.claim(ONE, new=True)
        connection = journal._database._db
        assert connection is not None
        connection.set_trace_callback(statements.append)
        await journal.append(owner, [Change("a", {}, puts)])
        assert len(await journal.rows("entries")) == 1000
    assert 1 <= sum("entries" in statement for statement in statements) <= 20


def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that the inode of everything that is synced goes to."""
    done: list[int] = []
    for name in ("fsync", "fdatasync"):
        usual = getattr(os, name)

        def sync(descriptor: int, usual: Callable[[int], None] = usual) -> None:
            done.append(os.fstat(descriptor).st_ino)
            usual(descriptor)

        monkeypatch.setattr(os, name, sync)
    return done


def test_a_checkpoint_is_on_disk_before_it_has_its_name_and_so_is_the_name(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = syncs(monkeypatch)
    usual = Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, to: (done.append(-1), usual(path, to))[1])
    name = write_checkpoint(home, ONE, 1, "manifest", {"a": 1})
    folder = home / "checkpoints" / str(ONE)
    named = done.index(-1)
    assert (folder / name).stat().st_ino in done[:named]
    assert folder.stat().st_ino in done[named:]
    assert {home.stat().st_ino, home.parent.stat().st_ino} <= set(done[:named]), "new folders have durable names"


@pytest.mark.anyio
async def test_that_a_home_is_in_use_again_is_on_disk_before_anything_is_written(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_journal(home, SystemClock()):
        pass
    marks = {path.stat().st_ino for path in home.rglob("*") if path.is_file() and path != journal_path(home)}
    done = syncs(monkeypatch)
    async with open_journal(home, SystemClock()):
        assert marks & set(done), "the mark of a closed home is taken back"


@pytest.mark.anyio
async def test_a_journal_that_goes_while_rows_are_written_acknowledges_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_journal(home, SystemClock()) as journal:
        owner = await journal.claim(ONE, new=True)
        usual = writer._check_fence

        def gone(*args: Any) -> None:
            usual(*args)
            journal_path(home).unlink()

        monkeypatch.setattr(writer, "_check_fence", gone)
        with pytest.raises(StateError) as caught:
            await journal.append(owner, [Change("a")])
        assert caught.value.code == "state_replaced"


def test_a_lock_file_that_was_removed_before_it_was_locked_does_not_count(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, taken = ownership._flock, []

    def late(descriptor: int) -> None:
        if not taken:
            (path,) = home.iterdir()
            path.unlink()  # somebody took it over just now
        taken.append(descriptor)
        usual(descriptor)

    monkeypatch.setattr(ownership, "_flock", late)
    folder = make_folder(home)
    locks = ownership.Locks(folder)
    try:
        locks.take(ONE, ownership.Holder(1, "here", 0))
        assert len(taken) == 2
    finally:
        locks.close()
