"""Where the simulated world keeps its state: named tables of bytes, staged and then committed together."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeAlias

__all__ = ["MemoryTables", "SqliteTables", "Tables", "Value"]

Value: TypeAlias = bytes | Callable[[], bytes]
"""Bytes, or what makes them of a frozen value: tables in memory make them when somebody reads them, which is seldom."""


def _made(value: Value) -> bytes:
    return value if isinstance(value, bytes) else value()


class Tables(Protocol):
    """Named tables of keys and values; what was put is there for `get` and `items` at once, and durable at `commit`."""

    def items(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield all rows of a table, in order of their keys."""
        ...

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return one value."""
        ...

    def put(self, table: str, key: bytes, value: Value) -> None:
        """Set one value."""
        ...

    def delete(self, table: str, key: bytes) -> None:
        """Remove one value; nothing happens when there is none."""
        ...

    def commit(self) -> None:
        """Make everything durable."""
        ...


class MemoryTables:
    """Tables that die with the process."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[bytes, Value]] = {}

    def items(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield all rows of a table, in order of their keys."""
        for key, value in sorted(self._tables.get(table, {}).items(), key=lambda row: row[0]):
            yield key, _made(value)

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return one value."""
        value = self._tables.get(table, {}).get(key)
        return None if value is None else _made(value)

    def put(self, table: str, key: bytes, value: Value) -> None:
        """Set one value."""
        self._tables.setdefault(table, {})[key] = value

    def delete(self, table: str, key: bytes) -> None:
        """Remove one value."""
        self._tables.get(table, {}).pop(key, None)

    def commit(self) -> None:
        """Do nothing: there is nothing more durable here."""


class SqliteTables:
    """Tables in one SQLite file (WAL, ``synchronous=FULL``, mode 0600), written before each answer."""

    def __init__(self, path: Path) -> None:
        # SQLite would make the file by umask; its log and shared memory follow the mode that the file has.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.execute(
            "create table if not exists rows (name text, key blob, value blob, primary key (name, key)) without rowid"
        )

    def items(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield all rows of a table, in order of their keys."""
        yield from self._db.execute("select key, value from rows where name = ? order by key", (table,)).fetchall()

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return one value."""
        row = self._db.execute("select value from rows where name = ? and key = ?", (table, key)).fetchone()
        return None if row is None else bytes(row[0])

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("begin immediate")

    def put(self, table: str, key: bytes, value: Value) -> None:
        """Set one value."""
        self._begin()
        self._db.execute("insert or replace into rows values (?, ?, ?)", (table, key, _made(value)))

    def delete(self, table: str, key: bytes) -> None:
        """Remove one value."""
        self._begin()
        self._db.execute("delete from rows where name = ? and key = ?", (table, key))

    def commit(self) -> None:
        """Make everything durable."""
        if self._db.in_transaction:
            self._db.execute("commit")

    def close(self) -> None:
        """Close the file; what was not committed is gone."""
        self._db.close()
