"""Small files of one store: a hop to a thread costs more than reading one, so neighbours are read in one hop."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from walrus_sdk.errors import ValidationError
from walrus_sdk.ports import Content, Threads
from walrus_sdk.source.content import CHUNK, changed, unreadable
from walrus_sdk.source.walk import open_beneath

__all__ = ["SMALL", "Together"]

SMALL = 64 * 1024
"""Bytes up to which a file is read whole, with its neighbours."""


@dataclass(frozen=True, slots=True)
class _File:
    real: str
    size: int
    sha256: bytes
    doubt: Callable[[], None]


class Together:
    """Small files of one store, meant to be read in the order of `content` calls; at most 1 MiB of them is held.

    A file that has changed is an error of its own content only, when that is read.
    """

    def __init__(self, root: int, threads: Threads) -> None:
        self._root = root
        self._threads = threads
        self._files: list[_File] = []
        self._here: dict[int, bytes | ValidationError] = {}

    def content(self, real: str, size: int, sha256: bytes, doubt: Callable[[], None] = lambda: None) -> Content:
        """Return the bytes of the next file of the store, which must be those that were hashed.

        `doubt` is called when they are not.
        """
        self._files.append(_File(real, size, sha256, doubt))
        return _Content(self, len(self._files) - 1)

    async def take(self, n: int) -> bytes:
        """Return the bytes of file `n`; those after it are read with it. Raises `ValidationError`."""
        if n not in self._here:
            batch = self._batch(n)
            read = await self._threads.run(_read_all, self._root, batch)
            self._here = dict(enumerate(read, n))  # what is left of an earlier batch goes: somebody began anew
        found = self._here.pop(n)
        if isinstance(found, ValidationError):
            raise found
        return found

    def _batch(self, n: int) -> Sequence[_File]:
        end, size = n, 0
        while end < len(self._files) and (end == n or size + self._files[end].size <= CHUNK):
            size += self._files[end].size
            end += 1
        return self._files[n:end]


class _Content:
    def __init__(self, together: Together, n: int) -> None:
        self._together = together
        self._n = n

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once(self._together, self._n)


class _Once:
    """The only chunk of a file; of an empty one there is none."""

    def __init__(self, together: Together, n: int) -> None:
        self._together: Together | None = together
        self._n = n

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        together, self._together = self._together, None
        data = await together.take(self._n) if together is not None else b""
        if not data:
            raise StopAsyncIteration
        return data


def _read_all(root: int, files: Sequence[_File]) -> list[bytes | ValidationError]:
    return [_read(root, file) for file in files]


def _read(root: int, file: _File) -> bytes | ValidationError:
    try:
        descriptor = open_beneath(root, file.real)
        try:
            data = b""
            while len(data) <= file.size and (more := os.read(descriptor, file.size + 1 - len(data))):
                data += more  # in one piece, but where a file system gives less
        finally:
            os.close(descriptor)
    except OSError as error:
        return unreadable(file.real, error)
    if len(data) != file.size or hashlib.sha256(data).digest() != file.sha256:
        file.doubt()
        return changed(file.real)
    return data
