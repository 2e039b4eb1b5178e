"""The body of a paid request: all but its last bytes are sent, then checked and released, then the rest.

Publishers read the whole body before they store anything, so a body that was never whole was never stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio

from walrus_sdk.errors import ValidationError
from walrus_sdk.http.wire import Line, StopSending
from walrus_sdk.ports import Part, Release
from walrus_sdk.walrus.framing import Framing

__all__ = ["HELD_BYTES", "HeldBody"]

HELD_BYTES = 64 * 1024
"""At most this many bytes wait for the release."""

_CLOSE_S = 2.0


class HeldBody:
    """One sending of a framed body; not to be used twice.

    `sent` counts the bytes given to the connection, `released` says whether `release` has returned.
    """

    def __init__(self, framing: Framing, release: Release) -> None:
        self._framing = framing
        self._release = release
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
        """Yield the bytes, the last 64 KiB after the release.

        Before it, every part's size and SHA-256 must have been as planned (`ValidationError` ``file_changed``) and
        the service must not have answered (`StopSending`).
        """
        held = bytearray()
        free = max(self.size - HELD_BYTES, 0)
        async with aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                now = piece[: free - self.sent] if self.sent < free else b""
                held += piece[len(now) :]
                if now:
                    if await line.answered():
                        raise StopSending
                    self.sent += len(now)
                    yield now
        assert self.sent + len(held) == self.size, "the framing's size is not that of its pieces"
        if await line.settle():
            raise StopSending
        await self.release()
        self.sent = self.size
        if held:
            yield bytes(held)

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
            digest.update(chunk)
            if chunk:
                yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_S):
                await chunks.aclose()
    if seen != part.size:
        raise _changed(part, f"{seen} bytes")
    if digest.digest() != part.sha256:
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
