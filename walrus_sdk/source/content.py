"""Reading files: once to hash them, again to send them, and never a mixture of two states (invariant CONTENT-2).

The status is compared before and after hashing, through one descriptor. What is sent is hashed once more while it is
read, in the reading thread, and the last chunk is given out only when size and SHA-256 are those of the plan.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from walrus_sdk.errors import ValidationError
from walrus_sdk.model.plan import FileStat
from walrus_sdk.ports import Threads
from walrus_sdk.sites.paths import escaped
from walrus_sdk.source.leaks import MAX_SCANNED, Finding, look_inside
from walrus_sdk.source.walk import file_stat, open_beneath

__all__ = ["CHUNK", "FileContent", "Hashed", "hash_file"]

CHUNK = 1024 * 1024
"""Bytes read, and hashed, in one hop to a thread. Of 64 KiB each, hops cost more than reading; memory is one chunk."""


@dataclass(frozen=True, slots=True)
class Hashed:
    """A file's SHA-256, the status under which it was read, and a secret found in it, if any."""

    sha256: bytes
    stat: FileStat
    finding: Finding | None


def changed(relative: str) -> ValidationError:
    """Return the error for a file that is not what it was."""
    shown = escaped(relative)
    return ValidationError("file_changed", f"{shown} changed while it was read", path=shown)


def hash_file(root: int, real: str, expected: FileStat) -> Hashed:
    """Hash a file through one descriptor, and look for secrets in it where it is small enough to hold one.

    Raises `ValidationError` ``file_changed`` when it is not what the walk saw, or changes under the reading;
    ``file_unreadable``.
    """
    try:
        descriptor = open_beneath(root, real)
    except OSError as error:
        raise unreadable(real, error) from error
    digest, kept = hashlib.sha256(), bytearray()
    keep = expected.size <= MAX_SCANNED
    try:
        if file_stat(os.fstat(descriptor)) != expected:
            raise changed(real)
        while chunk := os.read(descriptor, CHUNK):
            digest.update(chunk)
            if keep:
                kept += chunk
            if len(kept) > MAX_SCANNED:
                raise changed(real)
        status = file_stat(os.fstat(descriptor))
    except OSError as error:
        raise unreadable(real, error) from error
    finally:
        os.close(descriptor)
    if status != expected:
        raise changed(real)
    return Hashed(digest.digest(), status, look_inside(real, bytes(kept)) if keep else None)


def unreadable(real: str, error: OSError) -> ValidationError:
    """Return the error for a file that cannot be read."""
    shown = escaped(real)
    return ValidationError("file_unreadable", f"cannot read {shown}: {error.strerror}", path=shown)


class FileContent:
    """A scanned file's bytes (port `Content`); every iteration opens the file anew.

    `doubt` is called when they are not those that were planned.
    """

    def __init__(
        self,
        root: int,
        real: str,
        size: int,
        sha256: bytes,
        threads: Threads,
        chunk: int = CHUNK,
        doubt: Callable[[], None] = lambda: None,
    ) -> None:
        self._root = root
        self._real = real
        self._size = size
        self._sha256 = sha256
        self._threads = threads
        self._chunk = chunk
        self._doubt = doubt

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Reading(self._root, self._real, self._size, self._sha256, self._threads, self._chunk, self._doubt)


class _Reading:
    """One pass over a file. A class, not a generator: those are not closed in time under trio when cancelled."""

    def __init__(
        self,
        root: int,
        real: str,
        size: int,
        sha256: bytes,
        threads: Threads,
        chunk: int,
        doubt: Callable[[], None],
    ) -> None:
        self._root, self._real, self._size, self._expected = root, real, size, sha256
        self._threads, self._chunk, self._doubt = threads, chunk, doubt
        self._descriptor: int | None = None
        self._digest = hashlib.sha256()
        self._read = 0
        self._done = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._done:
            raise StopAsyncIteration
        try:
            chunk = await self._threads.run(self._next)
        except BaseException:
            await self.aclose()
            raise
        if not chunk:
            raise StopAsyncIteration
        return chunk

    def _next(self) -> bytes:
        """Read and hash the next chunk, and with the last one see that the file ends there; runs in a thread."""
        try:
            if self._descriptor is None:
                self._descriptor = open_beneath(self._root, self._real)
            chunk = os.read(self._descriptor, self._chunk)
            self._read += len(chunk)
            self._done = self._read >= self._size or not chunk
            more = self._done and os.read(self._descriptor, 1)
        except OSError as error:
            raise unreadable(self._real, error) from error
        self._digest.update(chunk)
        if self._done:
            self._close()
            if more or self._read != self._size or self._digest.digest() != self._expected:
                self._doubt()
                raise changed(self._real)
        return chunk

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def aclose(self) -> None:
        """End the pass early."""
        self._done = True
        self._close()

    def __del__(self) -> None:
        self._close()
