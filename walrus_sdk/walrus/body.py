"""The body of a paid request: all but its last bytes are sent, then checked and released, then the rest.

Publishers read the whole body before they store anything, so a body that was never whole was never stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Protocol

import anyio

from walrus_sdk.errors import ValidationError
from walrus_sdk.http.wire import Line, StopSending
from walrus_sdk.ports import Part, Release
from walrus_sdk.walrus.framing import Framing

__all__ = ["CHUNK", "HELD_BYTES", "HeldBody", "Pace"]

HELD_BYTES = 64 * 1024
"""At most this many bytes wait for the release."""

CHUNK = 1024 * 1024
"""Small pieces are joined up to this many bytes: a write for each of a quilt's tiny files costs more than its bytes."""

_CLOSE_S = 2.0


class Pace(Protocol):
    """A limit of bytes a second that bodies share."""

    @property
    def portion(self) -> int:
        """Most bytes to take at once."""
        ...

    async def take(self, size: int, told: Callable[[float], object]) -> None:
        """Wait until `size` bytes may leave; `told` hears beforehand for how many seconds."""
        ...


class HeldBody:
    """One sending of a framed body; not to be used twice.

    `sent` counts the bytes given to the connection, `released` says whether `release` has returned. It is never
    assembled: memory is at most 4 chunks (4 MiB) x bodies under way, whatever their size: the chunk, what the event
    loop copies of it while the socket is full, and for small files those read together and those joined. Nothing is
    queued ahead: the kernel reads ahead of us, and its socket buffer is full while we read (docs/decisions/0023).
    """

    def __init__(self, framing: Framing, release: Release, pace: Pace | None = None) -> None:
        self._framing = framing
        self._release = release
        self._pace = pace
        self.sent = 0
        self.released = False

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return self._framing.size

    async def release(self) -> None:
        """Await the release, once."""
        if not self.released:
            await self._release()
            self.released = True

    async def chunks(self, line: Line) -> AsyncGenerator[bytes, None]:
        """Yield the bytes, the last 64 KiB (at a low pace: its portion) after the release.

        Before it, every part's size and SHA-256 must have been as planned (`ValidationError` ``file_changed``) and
        the service must not have answered (`StopSending`).
        """
        held = bytearray()
        last = HELD_BYTES if self._pace is None else min(HELD_BYTES, self._pace.portion)  # no line goes silent for long
        free = max(self.size - last, 0)
        async with aclosing(self._joined()) as chunks:
            async for chunk in chunks:
                now = chunk[: free - self.sent] if self.sent < free else b""
                held += chunk[len(now) :]
                for portion in self._portions(now):
                    await self._wait(len(portion), line)
                    if await line.answered():
                        raise StopSending
                    self.sent += len(portion)
                    yield portion
        assert self.sent + len(held) == self.size, "the framing's size is not that of its pieces"
        await self._wait(len(held), line)  # now: nothing waits between the release and the last bytes
        if await line.settle():
            raise StopSending
        await self.release()
        self.sent = self.size
        if held:
            yield bytes(held)

    def _portions(self, chunk: bytes) -> Iterator[bytes]:
        if self._pace is None or len(chunk) <= self._pace.portion:
            return iter((chunk,) if chunk else ())
        portion = self._pace.portion
        return (chunk[start : start + portion] for start in range(0, len(chunk), portion))

    async def _wait(self, size: int, line: Line) -> None:
        if self._pace is not None:
            await self._pace.take(size, line.held_up)

    async def _joined(self) -> AsyncGenerator[bytes, None]:
        """Yield the pieces, small ones joined."""
        small: list[bytes] = []
        size = 0
        async with aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                if small and size + len(piece) > CHUNK:
                    yield b"".join(small)
                    small, size = [], 0
                small.append(piece)
                size += len(piece)
                if size >= CHUNK:
                    yield b"".join(small)  # of one piece: the piece itself, nothing is copied
                    small, size = [], 0
        if small:
            yield b"".join(small)

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        for piece in self._framing.pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            async with aclosing(_checked(piece)) as chunks:
                async for chunk in chunks:
                    yield chunk


async def _checked(part: Part) -> AsyncGenerator[bytes, None]:
    seen, digest = 0, hashlib.sha256()
    chunks = aiter(part.content)
    try:
        async for chunk in chunks:
            seen += len(chunk)
            if seen > part.size:
                raise _changed(part, f"more than {part.size} bytes")
            if not part.verified:
                digest.update(chunk)
            if chunk:
                yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_S):
                await chunks.aclose()
    if seen != part.size:
        raise _changed(part, f"{seen} bytes")
    if not part.verified and digest.digest() != part.sha256:
        raise _changed(part, f"SHA-256 {digest.hexdigest()}")


def _changed(part: Part, found: str) -> ValidationError:
    expected = f"{part.size} bytes with SHA-256 {part.sha256.hex()}"
    name = part.identifier or "the content"
    return ValidationError(
        "file_changed",
        f"{name!r:.200} changed while it was sent: expected {expected}, found {found}",
        path=part.identifier[:200],
        expected=expected,
        found=found,
    )
