"""The file: opened safely, and its failures as errors of the tree."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from walrus_sdk.errors import StateError
from walrus_sdk.journal.schema import migrate

__all__ = ["FileIdentity", "failures", "make_folder", "open_database", "open_reader"]

FileIdentity = tuple[int, int]
"""Device and inode: the file that was opened, whatever stands at its path later."""

_BUSY_MS = 10_000
_PAUSE_MS = 20


def make_folder(path: Path) -> Path:
    """Make a private folder (0700) with its parents, and check that nobody else can write to it.

    Raises `StateError` ``state_unwritable`` or ``state_unsafe``.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = path.stat()
    except OSError as error:
        raise StateError("state_unwritable", f"{path}: {error.strerror}", path=str(path)) from error
    _check_owner(path, info)
    if not os.access(path, os.W_OK | os.X_OK):
        raise StateError("state_unwritable", f"{path}: not writable", path=str(path))
    return path


def _check_owner(path: Path, info: os.stat_result) -> None:
    if info.st_uid != os.geteuid():
        raise StateError("state_unsafe", f"{path} belongs to user {info.st_uid}", path=str(path))
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StateError("state_unsafe", f"{path} can be written by others", path=str(path))


def _touch(path: Path) -> FileIdentity:
    """Make the file with mode 0600 where it is missing (SQLite would use the umask); no link is followed."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        code = "state_unsafe" if error.errno == errno.ELOOP else "state_unwritable"
        what = "is a link" if error.errno == errno.ELOOP else error.strerror
        raise StateError(code, f"{path}: {what}", path=str(path)) from error
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise StateError("state_unsafe", f"{path} is not a regular file", path=str(path))
        _check_owner(path, info)
        return info.st_dev, info.st_ino
    finally:
        os.close(descriptor)


def open_database(path: Path) -> tuple[sqlite3.Connection, FileIdentity]:
    """Open the journal for writing: WAL, every commit on disk before it is acknowledged."""
    identity = _touch(path)
    with failures(path):
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000)
        try:
            _prepare(db)
        except BaseException:
            db.close()
            raise
    return db, identity


def _prepare(db: sqlite3.Connection) -> None:
    """Set the mode and bring the schema up to date.

    Changing the mode of a new file does not wait for another process that does the same: SQLite says "busy" at once.
    """
    for _ in range(_BUSY_MS // _PAUSE_MS):
        try:
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = full")
            db.execute("pragma foreign_keys = on")
            migrate(db)
        except sqlite3.OperationalError as error:
            if (error.sqlite_errorcode & 0xFF) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            time.sleep(_PAUSE_MS / 1000)
        else:
            return
    raise StateError("state_busy", "another process holds the journal")


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the journal for reading only; works beside a writer in any process."""
    with failures(path):
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        db.execute("pragma query_only = on")
    return db


@contextmanager
def failures(path: Path) -> Iterator[None]:
    """Raise SQLite's failures as `StateError`."""
    try:
        yield
    except sqlite3.Error as error:
        _raise(path, error)


_CODES = {
    sqlite3.SQLITE_FULL: "state_full",
    sqlite3.SQLITE_IOERR: "state_io",
    sqlite3.SQLITE_CORRUPT: "state_damaged",
    sqlite3.SQLITE_NOTADB: "state_damaged",
    sqlite3.SQLITE_BUSY: "state_busy",
    sqlite3.SQLITE_LOCKED: "state_busy",
    sqlite3.SQLITE_READONLY: "state_unwritable",
    sqlite3.SQLITE_CANTOPEN: "state_unwritable",
    sqlite3.SQLITE_PERM: "state_unwritable",
}


def _raise(path: Path, error: sqlite3.Error) -> NoReturn:
    number = getattr(error, "sqlite_errorcode", None)
    code = _CODES.get(number & 0xFF) if number is not None else None
    if code is None and isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        code = "state_damaged"
    raise StateError(code or "state_io", f"{path}: {error}", path=str(path)) from error
