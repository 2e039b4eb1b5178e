"""Progress written in lines to a stream, for scripts that ask for no more."""

from __future__ import annotations

import sys
from typing import TextIO

from walrus_sdk.model.progress import Progress
from walrus_sdk.watch.progress import news

__all__ = ["LineWriter"]


class LineWriter:
    """A progress listener that writes lines to `stream` (default: the standard error stream)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._told: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        """Write a line when there is something new to tell."""
        text = news(self._told, progress)
        if text is not None:
            self._told = progress
            stream = self._stream or sys.stderr
            stream.write(text + "\n")
            stream.flush()
