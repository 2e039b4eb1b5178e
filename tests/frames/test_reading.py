"""Reading beside a deployment, after a crash, by either way; never writing, never taking a lock away."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import walrus_sdk as ws
from walrus_sdk.cli.main import run
from walrus_sdk.errors import StateError
from walrus_sdk.frames import fast, load
from walrus_sdk.frames.history import History
from walrus_sdk.frames.load import JournalSource
from walrus_sdk.frames.tables import SCHEMAS
from walrus_sdk.journal.check import check
from walrus_sdk.journal.schema import MIGRATIONS
from walrus_sdk.localnet.faults import Fault
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.sui.signers import KeySigner

from .conftest import T0, Journal


def same(left: History, right: History) -> None:
    """Both have the same frames, dtypes and order included."""
    one, other = left.read(), right.read()
    for name in SCHEMAS:
        pd.testing.assert_frame_equal(one[name], other[name], check_categorical=True)


def both(path: Path) -> tuple[History, History]:
    return History(JournalSource(path, fast_rows=0)), History(JournalSource(path))


@pytest.fixture
def only_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fast path that fails is a failure of the test."""

    def never(*_: Any) -> None:
        raise AssertionError("the fast path was not taken, or failed")

    monkeypatch.setattr(load, "_plain", never)


@pytest.mark.processes
def test_both_ways_give_the_same_frames(real_home: Path) -> None:
    same(*both(real_home / "state" / "journal.db"))


@pytest.mark.processes
@pytest.mark.usefixtures("only_fast")
def test_the_fast_way_reads_every_frame_of_a_journal(real_home: Path) -> None:
    found = History(JournalSource(real_home / "state" / "journal.db", fast_rows=0)).read()
    assert len(found["deployments"]) == 11


@pytest.mark.processes
@pytest.mark.usefixtures("only_fast")
def test_columns_that_begin_with_many_nulls_keep_their_type(journal: Journal) -> None:
    name = journal.deployment()
    rows = [(name, f"/{n:06}", n, "", None if n < 70_000 else "store-1", "stored") for n in range(70_002)]
    journal.db.execute("begin")
    journal.db.executemany("insert into entries values (?, ?, ?, ?, ?, ?)", rows)
    journal.db.execute("commit")
    files = History(JournalSource(journal.path, fast_rows=1)).files
    assert files["operation"].notna().sum() == 2
    assert list(files["path"][:2]) == ["/000000", "/000001"]
    assert files["size"].iloc[-1] == 70_001


@pytest.mark.processes
@pytest.mark.usefixtures("only_fast")
def test_an_empty_journal_can_be_read_the_fast_way(journal: Journal) -> None:
    frame = History(JournalSource(journal.path, fast_rows=0)).files
    assert {str(n): str(d) for n, d in frame.dtypes.items()} == dict(SCHEMAS["files"].dtypes)


def test_small_journals_start_no_other_process(real_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: Any, **__: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(fast.subprocess, "Popen", started)
    assert len(History(JournalSource(real_home / "state" / "journal.db")).files) > 0


def test_when_the_fast_way_fails_the_other_is_taken(real_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fails(*_: Any) -> None:
        tried.append(1)
        raise StateError("state_io", "expected INT64 but got STRING")

    monkeypatch.setattr(load.fast, "read_tables", fails)
    same(*both(real_home / "state" / "journal.db"))
    assert tried


@pytest.mark.processes
def test_a_process_that_dies_is_an_error_of_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from walrus_sdk.frames import typed

    schema = SCHEMAS["files"]
    with pytest.raises(StateError, match="the fast path failed"):
        fast.read_tables(tmp_path / "no.db", [(schema.select(), ())], [typed.arrow_schema(schema.own)])


@pytest.mark.parametrize("error", [BlockingIOError(11, "no more processes"), PermissionError(13, ""), ValueError("")])
def test_where_no_process_can_be_started_the_other_way_is_taken(
    real_home: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tried = []

    def starts(*_: Any, **__: Any) -> None:
        tried.append(1)
        raise error

    monkeypatch.setattr(fast.subprocess, "Popen", starts)
    assert len(History(JournalSource(real_home / "state" / "journal.db", fast_rows=0)).deployments) == 11
    assert tried


def test_without_adbc_the_other_way_is_taken(real_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load.importlib.util.find_spec
    hidden = "adbc_driver_sqlite"
    monkeypatch.setattr(load.importlib.util, "find_spec", lambda name: None if name == hidden else found(name))
    assert len(History(JournalSource(real_home / "state" / "journal.db", fast_rows=0)).deployments) == 11


# ── beside others ─────────────────────────────────────────────────────────────────────────────────────────────────

WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("insert into samples values ('d', 1, '{}')")
print("written", flush=True)
sys.stdin.readline()
"""
LOCKED = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
try:
    db.execute("begin immediate")
    print("free")
except sqlite3.OperationalError as error:
    print(error)
"""


@contextmanager
def writer(path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        try:
            yield process
        finally:
            process.kill()


def prints(path: Path) -> dict[str, str]:
    """What the journal and its log are made of."""
    files = (path, Path(f"{path}-wal"))
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.exists()}


@pytest.mark.processes
@pytest.mark.parametrize("fast_rows", [0, 10**9], ids=["adbc", "sqlite3"])
def test_a_journal_is_read_while_another_process_writes_and_not_a_byte_of_it_changes(
    journal: Journal, fast_rows: int
) -> None:
    journal.deployment()
    with writer(journal.path):
        before = prints(journal.path)
        found = History(JournalSource(journal.path, fast_rows=fast_rows)).read()
        assert len(found["metrics"]) == 1
        assert prints(journal.path) == before


@pytest.mark.processes
@pytest.mark.parametrize("fast_rows", [0, 10**9], ids=["adbc", "sqlite3"])
@pytest.mark.parametrize("index_is_lost", [False, True])
def test_a_journal_is_read_after_a_crash(journal: Journal, fast_rows: int, index_is_lost: bool) -> None:
    journal.deployment()
    with writer(journal.path) as process:
        journal.db.close()
        process.kill()
        process.wait()
    if index_is_lost:
        Path(f"{journal.path}-shm").unlink()
    before = prints(journal.path)
    assert before[f"{journal.path.name}-wal"] != hashlib.sha256(b"").hexdigest()
    found = History(JournalSource(journal.path, fast_rows=fast_rows)).read()
    assert len(found["metrics"]) == 1
    assert prints(journal.path) == before


@pytest.mark.processes
def test_reading_takes_no_lock_away_from_a_deployment_in_the_same_process(journal: Journal) -> None:
    """A second SQLite in this process, as ADBC's is, would: closing its file would let go of ours."""
    journal.deployment()
    journal.db.execute("begin immediate")
    journal.put("samples", deployment="d", wall_ms=T0, data="{}")
    History(JournalSource(journal.path, fast_rows=0)).read()
    out = subprocess.run([sys.executable, "-c", LOCKED, str(journal.path)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "database is locked"
    journal.db.execute("commit")


@pytest.mark.processes
def test_a_deployment_that_is_under_way_in_this_process_is_there(tmp_path: Path) -> None:
    site, home = tmp_path / "site", tmp_path / "home"
    site.mkdir()
    (site / "index.html").write_text("<h1>hello</h1>")
    with LocalNetwork(n_shards=10) as net:
        net.faults.add(Fault("publisher.request", "stall"))
        network = replace(net.network, settle_s=0.1, grace_s=0.1)
        with ws.connect(home=home, network=network, signer=KeySigner(net.key)) as sites:
            handle = sites.deploy(site, site_name="slow")
            source = JournalSource(home / "state" / "journal.db")
            while History(source).attempts.empty:
                assert not handle.done
            found = History(JournalSource(home / "state" / "journal.db", fast_rows=0)).read()
            handle.cancel()
            with pytest.raises(ws.WalrusError):
                handle.wait()
    assert list(found["deployments"]["status"]) == ["uploading"]
    assert found["deployments"]["end"].isna().all()
    assert found["attempts"]["outcome"].isna().all()
    assert list(found["phases"]["phase"]) == ["prepare", "store"]
    assert check(home / "state" / "journal.db") == []


def test_a_reader_leaves_no_transaction_open(journal: Journal) -> None:
    found = journal.history
    found.read()
    journal.deployment()
    assert journal.db.execute("pragma wal_checkpoint(truncate)").fetchone()[0] == 0


def test_what_is_no_journal_is_an_error_of_the_tree(tmp_path: Path) -> None:
    path = tmp_path / "state" / "journal.db"
    path.parent.mkdir()
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(StateError) as damaged:
        History(JournalSource(path)).read()
    assert damaged.value.code == "state_damaged"


@pytest.mark.parametrize(("schema", "code"), [(1, "state_older"), (2, "state_older"), (99, "state_newer")])
def test_a_journal_of_another_version_is_one_clear_error(tmp_path: Path, schema: int, code: str) -> None:
    path = tmp_path / "state" / "journal.db"
    path.parent.mkdir()
    with sqlite3.connect(path, isolation_level=None) as db:
        for script in MIGRATIONS[:schema]:
            db.executescript(script)
        db.execute(f"pragma user_version = {schema}")
    db.close()
    for ask in (ws.history(tmp_path).read, lambda: ws.history(tmp_path).deployments, ws.history(tmp_path).success_rate):
        with pytest.raises(StateError) as other:
            ask()
        assert other.value.code == code


def test_a_journal_that_is_being_made_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "state" / "journal.db"
    path.parent.mkdir()
    path.touch()
    assert ws.history(tmp_path).deployments.empty


def test_an_older_journal_can_be_read_after_a_session_was_there(tmp_path: Path) -> None:
    path = tmp_path / "state" / "journal.db"
    path.parent.mkdir(mode=0o700)
    tmp_path.chmod(0o700)
    with sqlite3.connect(path, isolation_level=None) as db:
        db.executescript(MIGRATIONS[0])
        db.execute("pragma user_version = 1")
    db.close()
    path.chmod(0o600)
    with pytest.raises(StateError, match="schema 1"):
        ws.history(tmp_path).read()
    assert run(["list", "--home", str(tmp_path), "--json"]) == 0
    assert ws.history(tmp_path).attempts.empty


def test_a_reader_cannot_write(journal: Journal) -> None:
    from walrus_sdk.journal.reader import Reader

    reader = Reader(journal.path)
    with pytest.raises(StateError):
        reader.select("delete from meta")
    reader.close()
    assert sqlite3.sqlite_version_info >= (3, 35)
