"""Where a read stands: which bytes are still wanted, whichever address they come from."""

from __future__ import annotations

import re
from collections.abc import Callable

from walrus_sdk.errors import ProtocolError, StorageError
from walrus_sdk.http.client import Reading, too_large

__all__ = ["Cursor"]

_HOLD = 1024 * 1024
"""Bytes of an answer of unknown length that are held back until it is whole: one of too many is then undone."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")


class Cursor:
    """Feeds the wanted bytes of one blob to a sink, in order and once, over one or more answers.

    `start` and `length` are bytes of the blob (`length` unknown until an answer announces it); `delivered` counts
    the bytes that the sink has. An answer that breaks off is resumed at another address where it ended.
    """

    def __init__(self, sink: Callable[[bytes], object], span: tuple[int, int] | None, max_size: int) -> None:
        self._sink = sink
        self._max_size = max_size
        self._is_span = span is not None
        self._start = 0 if span is None else span[0]
        self._length: int | None = None if span is None else span[1]
        assert self._start >= 0, "a span starts inside the blob"
        assert self._length is None or self._length >= 0, "a span has a length"
        self._position = 0
        self._held: bytearray | None = None
        self.delivered = 0

    @property
    def done(self) -> bool:
        """Whether all wanted bytes are delivered, as far as is known."""
        return self._length is not None and self.delivered >= self._length

    @property
    def range(self) -> str | None:
        """The Range field for what is still wanted; `None` to ask for all. Both ends: servers refuse open ranges."""
        if self._length is None or (not self._is_span and self.delivered == 0):
            return None
        return f"bytes={self._start + self.delivered}-{self._start + self._length - 1}"

    def begin(self, reading: Reading) -> None:
        """Take an answer's head (200 or 206). Raises ``bad_answer`` or ``answer_too_large``."""
        self._held = None
        if reading.status == 206:
            self._position = self._part_start(reading)
            return
        self._position = 0
        if self._is_span:
            return
        announced = reading.length
        if announced is None:
            self._held = bytearray() if self._length is None else None
            return
        if self._length is not None and self._length != announced:
            raise _bad(reading, f"{self._length} bytes expected, found {announced}")
        if announced > self._max_size:
            raise too_large(reading.endpoint, self._max_size)
        self._length = announced

    def _part_start(self, reading: Reading) -> int:
        found = _CONTENT_RANGE.fullmatch(reading.headers.get("content-range", ""))
        if found is None or self.range != f"bytes={found[1]}-{found[2]}":
            raise _bad(reading, f"Content-Range for {self.range} expected")
        return int(found[1])

    def take(self, chunk: bytes, endpoint: str) -> bool:
        """Take the next bytes of the answer, drop those not wanted; returns `done`. Raises ``answer_too_large``."""
        wanted = self._start + self.delivered
        skip = min(max(wanted - self._position, 0), len(chunk))
        self._position += len(chunk)
        left = None if self._length is None else self._length - self.delivered
        rest = chunk[skip:] if left is None else chunk[skip : skip + left]
        if self.delivered + len(self._held or b"") + len(rest) > self._max_size:
            raise too_large(endpoint, self._max_size)
        if self._held is not None:
            self._held += rest
            if len(self._held) <= _HOLD:
                return False
            rest, self._held = bytes(self._held), None
        self._deliver(rest)
        return self.done

    def _deliver(self, rest: bytes) -> None:
        if rest:
            self.delivered += len(rest)
            self._sink(rest)

    def end(self, reading: Reading) -> None:
        """Take the end of the answer. Raises ``range_not_satisfiable`` or ``bad_answer`` when bytes are missing."""
        if self._held is not None:
            self._deliver(bytes(self._held))
        if self._length is None or self.done:
            self._length = self.delivered
            return
        if self._is_span and reading.status == 200:
            message = f"{reading.endpoint}: the blob ends before the range {self.range}"
            raise StorageError("range_not_satisfiable", message, endpoint=reading.endpoint)
        raise _bad(reading, f"{self._length} bytes expected, found {self.delivered}")


def _bad(reading: Reading, why: str) -> ProtocolError:
    message = f"{reading.endpoint}: the aggregator's answer cannot be used: {why}"
    return ProtocolError("bad_answer", message, endpoint=reading.endpoint, http_status=reading.status)
