"""History as DataFrames: what typing costs over reading, and a question over its SQL.

A journal of 1,000 deployments with 1,000 files each is written row by row (no deployment runs); see README.md.
"""

from __future__ import annotations

import gc
import json
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, interleaved
from walrus_sdk.frames.history import History
from walrus_sdk.frames.load import JournalSource
from walrus_sdk.frames.tables import SCHEMAS
from walrus_sdk.journal.schema import migrate

__all__ = ["history_frames", "write_journal"]

_ROUNDS = 5
_DEPLOYMENTS, _FILES, _STORES = 1000, 1000, 16
_T0, _HOUR_MS = 1_760_000_000_000, 3_600_000
_CHAIN = "4c78adac"

_ENTRIES = "select deployment, path, size, sha256, state, operation from entries order by rowid"
"""What the frame `files` shows of a row, as it is stored; its other columns are looked up by operation."""
_BY_WEEK = """
select date(d.created_ms / 1000, 'unixepoch', 'weekday 0', '-6 days') week, count(*), sum(status = 'completed'),
    sum(status = 'failed'), sum(status = 'cancelled'), sum(f.files), sum(f.bytes)
from deployments d left join (
    select deployment, count(*) files, sum(size) bytes
    from entries where operation is not null group by deployment) f on f.deployment = d.id
group by week order by week
"""


def write_journal(path: Path, deployments: int = _DEPLOYMENTS, files: int = _FILES, stores: int = _STORES) -> None:
    """Write a journal with so many deployments of so many files, two thirds of them stored anew."""
    chance = random.Random(7)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = off")
        migrate(db)
        db.execute("begin")
        for number in range(deployments):
            _write_deployment(db, chance, number, files, stores)
        db.execute("commit")


def _write_deployment(db: sqlite3.Connection, chance: random.Random, number: int, files: int, stores: int) -> None:
    at = _T0 + number * _HOUR_MS
    name = f"deploy_{at:013}_{number:08x}"
    status = chance.choices(("completed", "failed", "cancelled"), (90, 7, 3))[0]
    db.execute(
        "insert into deployments (id, verb, status, chain, network, site_name, created_ms, updated_ms, finished_ms,"
        " can_resume) values (?, 'deploy', ?, ?, 'testnet', 'shop', ?, ?, ?, 0)",
        (name, status, _CHAIN, at, at + 60_000, at + 60_000),
    )
    plan = json.dumps({"cost_frost": str(37_000 * stores), "epochs": 5, "end_epoch": 9})
    db.execute("insert into events values (?, 1, 1, ?, 0.0, 'deployment.planned', ?)", (name, at, plan))
    for store in range(1, stores + 1):
        blob, key = f"{number * stores + store:043x}", f"store-{store:04}"
        outcome = json.dumps({"cost_frost": "37000", "already_certified": False})
        db.execute(
            "insert into operations (chain, kind, name, deployment, operation, state, attempts, facts, outcome)"
            " values (?, 'store', ?, ?, ?, 'done', 1, '{\"size\": 700000}', ?)",
            (_CHAIN, blob, name, key, outcome),
        )
        db.execute(
            "insert into attempts (deployment, operation, n, kind, name, started_ms, finished_ms, outcome, frost)"
            " values (?, ?, 1, 'store', ?, ?, ?, 'done', 37000)",
            (name, key, blob, at + store * 100, at + 2000 + store * 120),
        )
    rows = (
        (
            name, f"/assets/chunk-{file:05}.js", chance.randrange(100, 90_000), f"{chance.getrandbits(256):064x}",
            None if file % 3 == 0 else f"store-{1 + file % stores:04}", "stored",
        )
        for file in range(files)
    )  # fmt: skip
    db.executemany("insert into entries values (?, ?, ?, ?, ?, ?)", rows)


def _timed(work: Callable[[], Any]) -> Callable[[], float]:
    def once() -> float:
        gc.collect()
        began = time.perf_counter()
        kept = work()
        took = time.perf_counter() - began
        del kept
        return took

    return once


def _adbc(path: Path, query: str) -> Callable[[], Any]:
    """Read a query into Arrow in this process, as ADBC does by itself: no live journal is at stake here."""
    import adbc_driver_sqlite.dbapi as adbc

    def work() -> Any:
        with adbc.connect(f"{path.as_uri()}?mode=ro") as connection, connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": "65536"})
            cursor.execute(query)
            return cursor.fetch_arrow_table()

    return work


def _sql(path: Path, query: str) -> Callable[[], Any]:
    def work() -> Any:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            return db.execute(query).fetchall()

    return work


def _row(quantity: str, against: str, samples: dict[str, list[float]], **more: Any) -> Row:
    ours, theirs = (statistics.median(samples[name]) for name in ("ours", "theirs"))
    return Row(quantity, against, ours, theirs, "s", ours / theirs, samples=samples, **more)


def history_frames() -> Iterator[Row]:
    """Measure a million file rows as a typed DataFrame, and success by week."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        write_journal(path)
        source = JournalSource(path)
        files = SCHEMAS["files"]
        read = {"ours": _timed(lambda: source.read(["files"])), "theirs": _timed(_adbc(path, _ENTRIES))}
        note = f"{_DEPLOYMENTS * _FILES:,} rows, {len(files.columns)} columns typed; theirs: the stored ones"
        yield _row("files as a typed DataFrame", "ADBC to Arrow", interleaved(read, _ROUNDS), limit=2.0, aim=1.5,
                   at_most=True, note=note)  # fmt: skip
        plain = JournalSource(path, fast_rows=10**12)
        slow = {"ours": read["ours"], "theirs": _timed(lambda: plain.read(["files"]))}
        yield _row("files as a typed DataFrame", "the same by sqlite3", interleaved(slow, 2), at_most=True)
        rates = {"ours": _timed(lambda: History(source).success_rate()), "theirs": _timed(_sql(path, _BY_WEEK))}
        yield _row("success by week", "the bare SQL", interleaved(rates, 2 * _ROUNDS), limit=1.2, at_most=True)
