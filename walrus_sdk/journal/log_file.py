"""The log of a home: a file that lines are added to, of bounded size."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from walrus_sdk.journal.database import make_folder

__all__ = ["MAX_SIZE", "LogFile"]

MAX_SIZE = 16 * 1024 * 1024
"""Bytes after which the file is set aside as ``.1``; so the log takes twice this at most."""


class LogFile:
    """``logs/deployment.log`` of a home (0600). Several processes may write: each line goes in with one write.

    A log that cannot be written never holds a deployment up: the journal is what counts.
    """

    def __init__(self, home: Path, redact: Callable[[str], str]) -> None:
        self._path = home / "logs" / "deployment.log"
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
                size = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
            if size > MAX_SIZE:
                self._path.replace(self._path.with_suffix(".log.1"))
        except OSError:
            return
