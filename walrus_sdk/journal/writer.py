"""The one writer: commits whatever has queued as soon as it is free, each caller's rows all or none."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from walrus_sdk.errors import OwnershipError, StateError, WalrusError
from walrus_sdk.journal.database import Database
from walrus_sdk.journal.schema import COLUMNS, KEYS
from walrus_sdk.model.deployment import Event
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import FREE_TABLES, Change, Clock, Drop, Ownership, Put

__all__ = ["Job", "Writer", "drop_rows", "put_row"]


def put_row(db: sqlite3.Connection, put: Put) -> None:
    """Insert or update one row: `key` finds it, `values` are set, columns not named keep their value."""
    columns = (*put.key, *put.values)
    assert put.table in COLUMNS, put.table
    assert set(columns) <= set(COLUMNS[put.table]), (put.table, columns)
    assert set(put.key) == set(KEYS[put.table]), (put.table, tuple(put.key))
    if put.expect is not None:
        _check_expected(db, put, put.expect)
    db.execute(_statement(put.table, columns, tuple(put.values), 1), (*put.key.values(), *put.values.values()))


def drop_rows(db: sqlite3.Connection, drop: Drop) -> None:
    """Delete the rows that are equal to `where`."""
    assert drop.where, "never a whole table"
    assert set(drop.where) <= set(COLUMNS[drop.table]), (drop.table, tuple(drop.where))
    where = " and ".join(f"{name} = ?" for name in drop.where)
    db.execute(f"delete from {drop.table} where {where}", tuple(drop.where.values()))  # noqa: S608  # as above


def _check_expected(db: sqlite3.Connection, put: Put, expect: Mapping[str, Any]) -> None:
    """Compare a row with what it must still be, in the transaction that writes it. Raises ``row_changed``."""
    assert set(expect) <= set(COLUMNS[put.table]), (put.table, tuple(expect))
    names = tuple(expect) or ("1",)
    where = " and ".join(f"{name} = ?" for name in put.key)
    text = f"select {', '.join(names)} from {put.table} where {where}"  # noqa: S608  # names are those of COLUMNS
    found = db.execute(text, tuple(put.key.values())).fetchone()
    if found != (tuple(expect.values()) or None):
        raise OwnershipError("row_changed", f"a row of {put.table} was changed by another deployment")


@lru_cache(maxsize=256)
def _statement(table: str, columns: tuple[str, ...], values: tuple[str, ...], rows: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    text = f"insert into {table} ({', '.join(columns)}) values {', '.join([row] * rows)}"  # noqa: S608  # by `put_row`
    if not KEYS[table]:
        return text
    updates = ", ".join(f"{name} = excluded.{name}" for name in values) or f"{columns[0]} = excluded.{columns[0]}"
    return f"{text} on conflict ({', '.join(KEYS[table])}) do update set {updates}"


_TOGETHER = 64
"""Rows of one statement. For each statement the thread gives Python's interpreter away and asks for it again, which
takes 5 ms whenever another thread computes: 10,000 rows one by one then take a minute, these a second (measured)."""


def _shape(put: Put) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    return put.table, tuple(put.key), tuple(put.values)


def _put_rows(db: sqlite3.Connection, puts: Sequence[Put]) -> None:
    """Write rows; runs of rows of one shape go to SQLite together."""
    start = 0
    while start < len(puts):
        first = puts[start]
        shape = _shape(first)
        stop = start + 1
        while stop < len(puts) and _shape(puts[stop]) == shape and puts[stop].expect is None:
            stop += 1
        put_row(db, first)
        for begin in range(start + 1, stop, _TOGETHER):
            rows = puts[begin : min(begin + _TOGETHER, stop)]
            text = _statement(first.table, (*first.key, *first.values), tuple(first.values), len(rows))
            db.execute(text, [item for put in rows for part in (put.key, put.values) for item in part.values()])
        start = stop


def _check_fence(db: sqlite3.Connection, owner: Ownership) -> None:
    (last,) = db.execute("select max(n) from incarnations where deployment = ?", (str(owner.deployment),)).fetchone()
    if last != owner.incarnation:
        text = f"{owner.deployment} is owned by incarnation {last} now, not {owner.incarnation}"
        raise OwnershipError("fenced", text, deployment_id=str(owner.deployment))


@dataclass(slots=True, eq=False)
class Job:
    """One caller's changes, and what became of them."""

    owner: Ownership | None
    changes: Sequence[Change]
    done: anyio.Event = field(default_factory=anyio.Event)
    events: Sequence[Event] = ()
    error: Exception | None = None


class Writer:
    """Writes through the connection. `run` is its task; it ends when `close` was called and the queue is empty."""

    def __init__(self, database: Database, path: Path, clock: Clock) -> None:
        self._database = database
        self._path = path
        self._clock = clock
        self._queue: list[Job] = []
        self._wake = anyio.Event()
        self._closing = False
        self.limiter = anyio.CapacityLimiter(1)

    async def run(self) -> None:
        """Commit until closed. Shielded for its whole life: outcomes are recorded while workers are cancelled."""
        with anyio.CancelScope(shield=True):
            while True:
                if not self._queue:
                    if self._closing:
                        return
                    self._wake = anyio.Event()
                    await self._wake.wait()
                    continue
                batch, self._queue = self._queue, []
                await to_thread.run_sync(self._commit, batch, limiter=self.limiter)
                for job in batch:
                    job.done.set()

    async def submit(self, job: Job) -> Sequence[Event]:
        """Queue changes and wait for their commit; a caller that is cancelled meanwhile leaves them in the queue."""
        if self._closing:
            raise StateError("state_io", "the journal is closed", path=str(self._path))
        self._queue.append(job)
        self._wake.set()
        await job.done.wait()
        if job.error is not None:
            raise job.error
        return job.events

    def close(self) -> None:
        """Let `run` end once everything that has queued is committed."""
        self._closing = True
        self._wake.set()

    # ── in the thread ─────────────────────────────────────────────────────────────────────────────────────────

    def _commit(self, batch: Sequence[Job]) -> None:
        try:
            with self._database.transaction() as db:
                for job in batch:
                    self._apply(db, job)
        except Exception as error:  # nothing of the batch is there: everybody is told
            for job in batch:
                job.error, job.events = job.error or error, ()

    def _apply(self, db: sqlite3.Connection, job: Job) -> None:
        """Carry out one job in a savepoint, so that its failure does not sink the others."""
        db.execute("savepoint job")
        try:
            job.events = self._changes(db, job.owner, job.changes)
            db.execute("release job")
        except (WalrusError, AssertionError) as error:
            db.execute("rollback to job")
            db.execute("release job")
            job.error = error

    def _changes(self, db: sqlite3.Connection, owner: Ownership | None, changes: Sequence[Change]) -> Sequence[Event]:
        if owner is None:
            puts = [put for change in changes for put in change.puts]
            assert all(put.table in FREE_TABLES for put in puts), "rows of a deployment are written by its owner"
            _put_rows(db, puts)
            return ()
        _check_fence(db, owner)
        return [self._change(db, owner, change) for change in changes]

    def _change(self, db: sqlite3.Connection, owner: Ownership, change: Change) -> Event:
        deployment = str(owner.deployment)
        (last,) = db.execute("select max(n) from events where deployment = ?", (deployment,)).fetchone()
        event = Event(
            DeploymentId(deployment),
            (last or 0) + 1,
            owner.incarnation,
            self._clock.wall_ms(),
            self._clock.monotonic(),
            change.type,
            change.data,
        )
        text = json.dumps(dict(change.data), separators=(",", ":"), ensure_ascii=False)
        row = (deployment, event.number, event.incarnation, event.wall_ms, event.monotonic_s, event.type, text)
        db.execute("insert into events values (?, ?, ?, ?, ?, ?, ?)", row)
        _put_rows(db, change.puts)
        for drop in change.drops:
            drop_rows(db, drop)
        return event
