"""Streams that never fail: a reader that went away does not end a deployment (P4)."""

from __future__ import annotations

import os
from typing import TextIO

__all__ = ["Stream", "printable"]


def printable(text: str) -> str:
    """Return one line of foreign text with control, bidirectional and zero-width characters shown as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class Stream:
    """A text stream on which writing never raises; after the first failure it takes everything and keeps nothing."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._terminal = _is_terminal(stream)

    @property
    def encoding(self) -> str:
        """The stream's encoding; characters that it lacks are replaced."""
        return self._encoding

    @property
    def broken(self) -> bool:
        """Whether nobody reads any more."""
        return self._stream is None

    def isatty(self) -> bool:
        """Return whether it was a terminal at the start."""
        return self._terminal

    def write(self, text: str) -> int:
        """Write a text; returns its length, whatever became of it."""
        if self._stream is not None:
            fit = text.encode(self._encoding, "replace").decode(self._encoding)
            try:
                self._stream.write(fit)
            except (OSError, ValueError):
                self._give_up()
        return len(text)

    def flush(self) -> None:
        """Hand on what is buffered."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._give_up()

    def _give_up(self) -> None:
        """Let the rest go nowhere, what the interpreter flushes at its end included."""
        stream, self._stream = self._stream, None
        assert stream is not None
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        except (OSError, ValueError, AttributeError):  # a stream without a descriptor is not flushed at the end
            return


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError):
        return False
