"""The log of a home: a file that lines are added to, of bounded size."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from walrus_sdk.journal.database import make_folder

__all__ = ["MAX_SIZE", "LogFile", "LogTail", "aside", "log_path"]

MAX_SIZE = 16 * 1024 * 1024
"""Bytes after which the file is set aside as ``.1``; so the log takes twice this at most."""


def log_path(home: Path) -> Path:
    """Return where a home keeps its log."""
    return home / "logs" / "deployment.log"


def aside(path: Path) -> Path:
    """Return where a log is that was set aside."""
    return path.with_suffix(".log.1")


class LogFile:
    """``logs/deployment.log`` of a home (0600). Several processes may write: each line goes in with one write.

    A log that cannot be written never holds a deployment up: the journal is what counts.
    """

    def __init__(self, home: Path, redact: Callable[[str], str]) -> None:
        self._path = log_path(home)
        self._redact = redact
        make_folder(self._path.parent)

    def write(self, lines: Sequence[str]) -> None:
        """Add lines, with secrets taken out."""
        data = "".join(f"{self._redact(line)}\n" for line in lines).encode()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path, flags, 0o600)
            try:
                os.write(descriptor, data)
                written = os.fstat(descriptor)
            finally:
                os.close(descriptor)
            if written.st_size > MAX_SIZE and os.path.samestat(written, self._path.lstat()):
                self._path.replace(aside(self._path))  # unless somebody was faster
        except OSError:
            return


class LogTail:
    """Reads the log of a home, whoever writes it: what is there, then what is added. Blocks; holds no file open."""

    def __init__(self, home: Path) -> None:
        self._path = log_path(home)
        self._file: os.stat_result | None = None
        self._at = 0

    def read(self) -> list[str]:
        """Return the whole lines that were added since the last call; at first, those of both files.

        A line whose end is not written yet is left for the next time. No log is an empty one.
        """
        start = self._start(self._path)
        if start is not None:
            return self._more(self._path, start)
        # What was read so far may have been set aside since; of a file that was never seen all is new.
        older = aside(self._path)
        lines = self._more(older, self._start(older) or 0)
        return lines + self._more(self._path, 0)

    def _start(self, path: Path) -> int | None:
        """Return from where on a file is new: its begin when it was truncated; `None` when it is not what was read."""
        try:
            now = path.stat()
        except OSError:
            return None
        if self._file is None or not os.path.samestat(self._file, now):
            return None
        return self._at if now.st_size >= self._at else 0

    def _more(self, path: Path, start: int) -> list[str]:
        try:
            with path.open("rb") as file:
                opened = os.fstat(file.fileno())
                file.seek(start)
                data = file.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._file, self._at = opened, start + len(whole)
        return whole.decode("utf-8", "replace").splitlines()
