"""The file: opened safely, and its failures as errors of the tree."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from walrus_sdk.errors import StateError
from walrus_sdk.journal.blocking import busy
from walrus_sdk.journal.failures import unwritable
from walrus_sdk.journal.mark import Mark
from walrus_sdk.journal.schema import check_version, migrate

__all__ = [
    "COUNT",
    "MODES",
    "Database",
    "commits_in",
    "failures",
    "make_folder",
    "open_reader",
    "sync_file",
    "sync_folder",
]

FileIdentity = tuple[int, int]
"""Device and inode: the file that was opened, whatever stands at its path later."""

_BUSY_MS = 10_000
_PAUSE_MS = 20
_BESIDE = ("-wal", "-shm")


def make_folder(path: Path) -> Path:
    """Make a private folder (0700) with its parents, durably, and check that nobody else can write to it.

    Raises `StateError` ``state_unwritable`` or ``state_unsafe``.
    """
    try:
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in made:
            with suppress(PermissionError):  # a parent that may be entered and not read
                sync_folder(folder.parent)
        info = path.stat()
    except OSError as error:
        raise unwritable(path, error) from error
    _check_owner(path, info)
    if not os.access(path, os.W_OK | os.X_OK):
        raise StateError("state_unwritable", f"{path}: not writable", path=str(path))
    return path


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Make a file durable that nobody has open."""
    _sync(path, os.O_RDWR)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_owner(path: Path, info: os.stat_result) -> None:
    if info.st_uid != os.geteuid():
        raise StateError("state_unsafe", f"{path} belongs to user {info.st_uid}", path=str(path))
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StateError("state_unsafe", f"{path} can be written by others", path=str(path))


def _touch(path: Path) -> None:
    """Make the file with mode 0600 where it is missing (SQLite would use the umask); no link is followed.

    A file that is there is not opened: closing a descriptor of it would drop the locks that another connection of
    this process holds.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise unwritable(path, error) from error
    info = path.lstat()
    if not stat.S_ISREG(info.st_mode):
        what = "is a link" if stat.S_ISLNK(info.st_mode) else "is not a regular file"
        raise StateError("state_unsafe", f"{path} {what}", path=str(path))
    _check_owner(path, info)
    if not os.access(path, os.R_OK | os.W_OK):
        raise StateError("state_unwritable", f"{path}: not writable", path=str(path))


def _refuse_lone_log(path: Path) -> None:
    """Refuse to start a new journal beside the log of one that is gone: SQLite would delete it."""
    log = Path(f"{path}-wal")
    if log.exists() and log.stat().st_size and not (path.exists() and path.stat().st_size):
        text = f"{path} is missing or empty, and its log is there: put it back (or remove {log.name} too)"
        raise StateError("state_damaged", text, path=str(path))


def _identity(path: Path | str) -> FileIdentity | None:
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino


class Database:
    """The journal's file, open for writing: WAL, every commit on disk before it is acknowledged.

    After a failed read, write or sync (fault D2) nothing of the connection is trusted any more: it is closed, and the
    next transaction opens the file again and reads how far it is. All methods block; one thread at a time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pid = os.getpid()
        _refuse_lone_log(path)
        _touch(path)
        self._file = _identity(path)
        _check_version(path)
        self._mark = Mark(path)
        self._db: sqlite3.Connection | None = None
        try:
            self._db = self._connect()
        except BaseException:
            self._mark.close(seal=False)
            raise

    def _connect(self) -> sqlite3.Connection:
        wait_s = _BUSY_MS / 1000
        with failures(self._path, wait_s=wait_s):
            db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=wait_s)
            try:
                _prepare(self._path, db)
                self._mark.check(commits_in(db))
                self._beside = {f"{self._path}{suffix}": _identity(f"{self._path}{suffix}") for suffix in _BESIDE}
            except BaseException:
                db.close()
                raise
        return db

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit at the end of the block, durably, or leave nothing of it. Raises `StateError`."""
        if os.getpid() != self._pid:  # P8: SQLite's connections do not survive a fork, and the owner is the parent
            text = f"{self._path} was opened by process {self._pid}: a forked child opens it anew"
            raise StateError("state_unsafe", text, path=str(self._path))
        with failures(self._path, wait_s=_BUSY_MS / 1000):
            self._check_files()
            if self._db is None:
                self._db = self._connect()
            try:
                self._db.execute("begin immediate")
                yield self._db
                (number,) = self._db.execute(COUNT).fetchone()
                self._check_files()
                self._db.execute("commit")
            except BaseException as error:
                self._undo(error)
                raise
        self._mark.note(int(number))

    def _undo(self, error: BaseException) -> None:
        assert self._db is not None
        trusted = not isinstance(error, sqlite3.Error) or _is_harmless(error)
        if trusted and self._db.in_transaction:  # SQLite may have rolled back by itself
            try:
                self._db.execute("rollback")
            except sqlite3.Error:
                trusted = False
        if not trusted:
            db, self._db = self._db, None
            db.close()

    def _check_files(self) -> None:
        """Refuse to acknowledge a commit to files that are no longer the journal: SQLite would not notice."""
        changed = [path for path, identity in self._beside.items() if _identity(path) != identity]
        if _identity(self._path) != self._file:
            changed.insert(0, str(self._path))
        if changed and (self._db is not None or changed[0] == str(self._path)):
            raise StateError("state_replaced", f"{changed[0]} was removed or replaced", path=changed[0])

    def close(self) -> None:
        """Close the file; when nobody else has it open, it is sealed."""
        if self._db is not None:
            self._db.close()
        self._mark.close(seal=self._db is not None and _identity(self._path) == self._file)


_COUNTED = "select cast(value as integer) from meta where key = 'commits'"
COUNT = (
    "insert into meta values ('commits', '1') on conflict (key) do update set value = cast(value as integer) + 1"
    " returning value"
)
"""Every commit has a number, so that it can be told from outside how far the journal was."""


def commits_in(db: sqlite3.Connection) -> int:
    """Return the number of the last commit."""
    row = db.execute(_COUNTED).fetchone()
    return row[0] or 0 if row is not None else 0


def _check_version(path: Path) -> None:
    """Look at the schema before anything is written: a newer program's journal is left as it is, bit for bit."""
    if not path.stat().st_size:
        return

    def look() -> None:
        with closing(_connect_reading(path)) as db:
            check_version(db)

    with failures(path):
        _patiently(path, look)


MODES = (
    "pragma trusted_schema = off",
    "pragma journal_mode = wal",
    "pragma synchronous = full",
    "pragma foreign_keys = on",
    "pragma secure_delete = off",
)
"""How a journal is written: what is committed is on disk (the proof's power cuts run with these, too).

Some systems' SQLite overwrites what is deleted with zeros: here that would write each signed transaction once more when
it is over. The file is its owner's alone.
"""


def _prepare(path: Path, db: sqlite3.Connection) -> None:
    """Set the mode and bring the schema up to date.

    What a log from before holds is carried over into the file first: if a sync of it failed and its process died,
    it can be read and is not on disk, and whatever is written behind it would be lost with it.
    """

    def prepare() -> None:
        for mode in MODES:
            db.execute(mode)
        db.execute("pragma wal_checkpoint(passive)").fetchall()
        migrate(db)

    _patiently(path, prepare)


def _patiently(path: Path, work: Callable[[], object]) -> None:
    """Try again while SQLite says "busy" at once, as it does when two processes change the mode of a new file."""
    until = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            work()
        except sqlite3.OperationalError as error:
            if _primary(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            if time.monotonic() > until:
                raise busy(path, waited_s=_BUSY_MS / 1000) from error
            time.sleep(_PAUSE_MS / 1000)
        else:
            return


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the journal for reading only; works beside a writer in any process.

    It reads at once: from then on SQLite keeps its index of the log, whatever becomes of the writer's connection.
    Made anew from the log, the index would take in a commit that was refused because its sync had failed.
    Raises `StateError`, ``state_newer`` for a schema that this program does not know.
    """
    with failures(path):
        db = _connect_reading(path)
        try:
            check_version(db)
        except BaseException:
            db.close()
            raise
        return db


def _connect_reading(path: Path) -> sqlite3.Connection:
    place = f"{path.absolute().as_uri()}?mode=ro"
    db = sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False)
    try:
        db.execute("pragma trusted_schema = off")
        db.execute("pragma query_only = on")
        db.execute("pragma user_version").fetchone()
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def failures(path: Path, *, wait_s: float | None = None) -> Iterator[None]:
    """Raise SQLite's failures as `StateError`; `wait_s` is how long the connection waits for others before it fails."""
    try:
        yield
    except sqlite3.Error as error:
        _raise(path, error, wait_s)


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


_HARMLESS = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
}
"""Failures that say nothing against the connection: the transaction is undone, that is all."""


def _primary(error: sqlite3.Error) -> int | None:
    number = getattr(error, "sqlite_errorcode", None)
    return None if number is None else number & 0xFF


def _is_harmless(error: sqlite3.Error) -> bool:
    number = _primary(error)
    return number is None or number in _HARMLESS


def _raise(path: Path, error: sqlite3.Error, wait_s: float | None) -> NoReturn:
    number = _primary(error)
    code = _CODES.get(number) if number is not None else None
    if code is None and (number is None or not isinstance(error, sqlite3.OperationalError)):
        code = "state_damaged"  # no number: text that is no UTF-8, for one
    if code == "state_busy":
        waited = error.sqlite_errorcode == sqlite3.SQLITE_BUSY  # other kinds of "busy" and "locked" come at once
        raise busy(path, waited_s=wait_s if waited else None) from error
    raise StateError(code or "state_io", f"{path}: {error}", path=str(path)) from error
