"""The mark beside the journal: how far it was at least, and what its file was when it was closed last.

It sees what the database cannot see by itself: a log that is missing (fault D7: the number went back), bits that
changed while nobody had the file open (D8: the seal does not match). It is written after what it speaks of is durable
and not waited for, so after a crash it lags behind; it never runs ahead.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
import zlib
from contextlib import suppress
from pathlib import Path

from walrus_sdk.errors import StateError
from walrus_sdk.journal.blocking import busy
from walrus_sdk.journal.failures import unwritable

__all__ = ["Mark", "mark_path", "noted"]

_SIZE = 96
"""Bytes of the file: less than a sector, always written whole."""
_PIECE = 1 << 20
_BUSY_S = 10.0


def mark_path(journal: Path) -> Path:
    """Return where the mark of a journal is."""
    return journal.with_suffix(".mark")


def _pack(commits: int, seal: str) -> bytes:
    body = f"{commits} {seal}".ljust(_SIZE - 10)
    return f"{zlib.crc32(body.encode()):08x} {body}\n".encode()


def _unpack(data: bytes) -> tuple[int, str]:
    """Return number and seal; a mark that a power cut left in pieces says nothing."""
    with suppress(ValueError):
        check, _, body = data.decode("ascii").removesuffix("\n").partition(" ")
        if len(data) == _SIZE and int(check, 16) == zlib.crc32(body.encode()):
            commits, _, seal = body.partition(" ")
            return int(commits), seal.strip()
    return 0, ""


def noted(journal: Path) -> int:
    """Return the number of the last commit that the mark beside a journal knows of; 0 without one."""
    with suppress(OSError):
        return _unpack(mark_path(journal).read_bytes())[0]
    return 0


def _pause_s() -> float:
    """Return 1 to 4 ms by the clock's last digits, so that processes do not try again in step."""
    return 1e-3 + time.monotonic_ns() % 3_000_000 * 1e-9


class Mark:
    """The mark of an open journal. Whoever has the journal open shares a lock on it; the last one seals it."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        path = mark_path(journal)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            self._commits = self._begin()
        except OSError as error:
            os.close(self._file)
            raise unwritable(path, error) from error
        except BaseException:
            os.close(self._file)
            raise

    def _read(self) -> tuple[int, str]:
        return _unpack(os.pread(self._file, _SIZE, 0))

    def _begin(self) -> int:
        """Check the seal and break it durably, if nobody else has the journal open; return the last commit's number."""
        with suppress(OSError):  # a file system without locks: never sealed, so nothing is to be checked
            until = time.monotonic() + _BUSY_S
            while not self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB):
                if self._lock(fcntl.LOCK_SH | fcntl.LOCK_NB) and not self._read()[1]:
                    return self._read()[0]  # whoever is at it has checked
                if time.monotonic() > until:  # P7: it was stopped while it seals the journal
                    raise busy(self._journal, waited_s=_BUSY_S)
                self._lock(fcntl.LOCK_UN)  # two that share it while they sleep would hold each other up
                time.sleep(_pause_s())
        commits, seal = self._read()
        if seal:
            self._check_seal(seal)
            os.pwrite(self._file, _pack(commits, ""), 0)
            os.fdatasync(self._file)  # before the journal changes: a seal on disk means that nothing was written since
        with suppress(OSError):
            self._lock(fcntl.LOCK_SH)
        return commits

    def _lock(self, how: int) -> bool:
        try:
            fcntl.flock(self._file, how)
        except BlockingIOError:
            return False
        return True

    def _check_seal(self, seal: str) -> None:
        if self._has_log():
            return  # somebody wrote through SQLite alone: its log is newer than the seal
        if self._digest() != seal:
            text = (
                f"{self._journal} is not the file that was closed last: it was damaged, exchanged or changed by"
                f" another program (if that is meant, remove {mark_path(self._journal).name} beside it)"
            )
            raise StateError("state_damaged", text, path=str(self._journal))

    def _has_log(self) -> bool:
        log = Path(f"{self._journal}-wal")
        return log.exists() and log.stat().st_size > 0

    def _digest(self) -> str:
        """Return what the whole file is. Only while nobody has it open: closing a descriptor drops SQLite's locks."""
        state = hashlib.blake2b(digest_size=16)
        with self._journal.open("rb") as file:
            while piece := file.read(_PIECE):
                state.update(piece)
        return state.hexdigest()

    def check(self, commits: int) -> None:
        """Compare how far the journal is with how far it was at least. Raises `StateError` ``state_damaged``."""
        if commits < self._commits:
            text = (
                f"{self._journal} ends with commit {commits} and had {self._commits}: its log"
                f" ({self._journal.name}-wal) is missing, or it is an older copy (if that is meant, remove"
                f" {mark_path(self._journal).name} beside it)"
            )
            raise StateError("state_damaged", text, path=str(self._journal), found=commits, expected=self._commits)

    def note(self, commits: int) -> None:
        """Write down the number of a commit that is durable. It is not waited for, and no failure matters."""
        if commits > self._commits:
            self._commits = commits
            with suppress(OSError):
                os.pwrite(self._file, _pack(commits, ""), 0)

    def close(self, *, seal: bool) -> None:
        """Let go; `seal`: the journal was closed in order, so its file is as it should be found again.

        Where there is no room or memory for a seal there is none; the lock is let go in any case.
        """
        try:
            with suppress(OSError, MemoryError):
                if seal and self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB) and not self._has_log():
                    os.pwrite(self._file, _pack(self._read()[0], self._digest()), 0)
        finally:
            os.close(self._file)
