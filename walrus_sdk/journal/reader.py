"""Reading the journal: by its owner, or beside him from another process."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from walrus_sdk.errors import StateError
from walrus_sdk.journal.database import failures, open_reader
from walrus_sdk.journal.schema import COLUMNS, VERSION, check_version
from walrus_sdk.model.deployment import Event
from walrus_sdk.model.samples import Sample
from walrus_sdk.model.units import DeploymentId

__all__ = ["Reader"]


class Reader:
    """Reads one journal file. All methods block.

    Raises `StateError` ``state_newer`` or ``state_older`` for one of another schema: who only reads changes nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = open_reader(path)
        with failures(path):
            found = check_version(self._db)
        if 0 < found < VERSION:  # 0: somebody makes it just now
            self._db.close()
            text = f"{path}: the journal has schema {found}, this program reads {VERSION}"
            raise StateError("state_older", text, path=str(path), found=found)

    def events(self, deployment: DeploymentId, after: int = 0) -> Sequence[Event]:
        """Return the events of a deployment numbered above `after`, in order."""
        query = (
            "select n, incarnation, wall_ms, monotonic_s, type, data from events"
            " where deployment = ? and n > ? order by n"
        )
        with failures(self._path):
            rows = self._db.execute(query, (str(deployment), after)).fetchall()
        try:
            return [
                Event(deployment, n, i, wall, mono, kind, json.loads(data)) for n, i, wall, mono, kind, data in rows
            ]
        except ValueError as error:
            text = f"{self._path}: an event of {deployment} cannot be read"
            raise StateError("state_damaged", text, path=str(self._path)) from error

    def rows(
        self, table: str, where: Mapping[str, Any] | None = None, columns: Sequence[str] = ()
    ) -> Sequence[Mapping[str, Any]]:
        """Return rows of a table by equality, in the order in which they were inserted; only these columns, if any."""
        assert table in COLUMNS, table
        assert set(columns) <= set(COLUMNS[table]), (table, columns)
        names = tuple(columns) or COLUMNS[table]
        assert set(where or {}) <= set(COLUMNS[table]), (table, where)
        condition = " and ".join(f"{name} is ?" for name in where or {}) or "true"
        with failures(self._path):
            cursor: sqlite3.Cursor = self._db.execute(
                f"select {', '.join(names)} from {table} where {condition} order by rowid",  # noqa: S608  # as checked
                tuple((where or {}).values()),
            )
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def select(self, query: str, parameters: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]:
        """Return what a query gives; its text is the program's own."""
        with failures(self._path):
            return self._db.execute(query, tuple(parameters)).fetchall()

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Read one moment of the journal inside the block, whatever others write meanwhile; keep it short."""
        with failures(self._path):
            self._db.execute("begin")
        try:
            yield
        finally:
            with failures(self._path):
                self._db.execute("rollback")

    def samples(self, deployment: DeploymentId, after: int = 0) -> Sequence[Sample]:
        """Return the samples of a deployment numbered above `after`, in order."""
        query = "select rowid, wall_ms, data from samples where deployment = ? and rowid > ? order by rowid"
        return self._samples(deployment, query, (str(deployment), after))

    def latest(self, deployment: DeploymentId) -> Sample | None:
        """Return the last sample of a deployment."""
        query = (
            "select rowid, wall_ms, data from samples where deployment = ? order by wall_ms desc, rowid desc limit 1"
        )
        found = self._samples(deployment, query, (str(deployment),))
        return found[0] if found else None

    def _samples(self, deployment: DeploymentId, query: str, values: tuple[Any, ...]) -> Sequence[Sample]:
        with failures(self._path):
            rows = self._db.execute(query, values).fetchall()
        try:
            return [Sample.of(number, wall_ms, data) for number, wall_ms, data in rows]
        except ValueError as error:
            text = f"{self._path}: a sample of {deployment} cannot be read"
            raise StateError("state_damaged", text, path=str(self._path)) from error

    def data_version(self) -> int:
        """Return a number that differs when another connection has changed the file."""
        with failures(self._path):
            found: int = self._db.execute("pragma data_version").fetchone()[0]
        return found

    def close(self) -> None:
        """Close the file."""
        self._db.close()
