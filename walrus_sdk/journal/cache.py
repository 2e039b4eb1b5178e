"""The cache: a file that may be deleted at any time, and is made anew when anything is wrong with it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

__all__ = ["Cache"]


class Cache:
    """Keys and values. All methods block, and none of them fails for the file's sake."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=5)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = off")
            self._db.execute("create table if not exists entries (key text primary key, value blob) strict")
        return self._db

    def get(self, key: str) -> bytes | None:
        """Return an entry; `None` when there is none or the file is unusable."""
        try:
            row = self._open().execute("select value from entries where key = ?", (key,)).fetchone()
        except (sqlite3.Error, OSError):
            self._start_anew()
            return None
        return None if row is None else bytes(row[0])

    def put(self, key: str, value: bytes) -> None:
        """Set an entry, if the file can be used."""
        try:
            self._open().execute("insert or replace into entries values (?, ?)", (key, value))
        except (sqlite3.Error, OSError):
            self._start_anew()

    def _start_anew(self) -> None:
        self.close()
        for suffix in ("", "-wal", "-shm"):
            try:
                os.unlink(f"{self._path}{suffix}")  # noqa: PTH108  # the names are not paths of their own
            except OSError:
                continue

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
            self._db = None
