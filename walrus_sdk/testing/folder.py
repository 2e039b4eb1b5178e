"""A site folder in memory."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

from walrus_sdk.errors import ValidationError
from walrus_sdk.model.plan import FileStat, Piece, Snapshot, SourceFile
from walrus_sdk.ports import Content, FolderLook, ScanProgress, ScanRules
from walrus_sdk.testing.death import Life
from walrus_sdk.testing.virtual import turn

__all__ = ["MemoryFolder"]


class MemoryFolder:
    """Implements `ports.Folder` over `files`, a dictionary from relative path to bytes."""

    def __init__(self, files: dict[str, bytes], life: Life, place: str = "/site") -> None:
        self.files = files
        self._life = life
        self._place = place

    async def scan(self, rules: ScanRules, progress: Callable[[ScanProgress], None]) -> Snapshot:
        """Hash everything that the rules do not leave out; see the port."""
        await turn()
        self._life.check()
        found = [
            SourceFile(rules.site_path(name), name, FileStat(len(data), 0, 0, 0, 0), hashlib.sha256(data).digest())
            for name, data in sorted(self.files.items())
            if name not in rules.skip_files and not rules.ignore("/" + name)
        ]
        if not found:
            raise ValidationError("folder_empty", f"nothing to publish in {self._place}", path=self._place)
        size = sum(file.size for file in found)
        progress(ScanProgress(len(found), len(found), size))
        return Snapshot(self._place, tuple(sorted(found, key=lambda file: file.path)))

    async def look(self) -> FolderLook | None:
        """Look at the folder; see the port. In memory nothing is young, and the look is at the bytes."""
        await turn()
        self._life.check()
        seen = repr(sorted((name, hashlib.sha256(data).hexdigest()) for name, data in self.files.items()))
        size = sum(map(len, self.files.values()))
        return FolderLook(hashlib.sha256(seen.encode()).digest(), len(self.files), size, settled=True)

    async def doubt(self, sources: Collection[str]) -> Mapping[str, bytes]:
        """Nothing is remembered here."""
        return {}

    def content(self, source: str, size: int, sha256: bytes) -> Content:
        """Return a file's bytes; see the port."""
        return _Content(self.files.get(source), source, sha256)

    def contents(self, pieces: Sequence[Piece]) -> Sequence[Content]:
        """Return the bytes of files; see the port."""
        return [self.content(piece.source, piece.size, piece.sha256) for piece in pieces]

    async def read(self, source: str, *, max_size: int) -> bytes | None:
        """Read a small file; see the port."""
        await turn()
        self._life.check()
        data = self.files.get(source)
        if data is not None and len(data) > max_size:
            raise ValidationError("file_unreadable", f"{source}: expected at most {max_size} bytes", path=source)
        return data


class _Content:
    def __init__(self, data: bytes | None, source: str, sha256: bytes) -> None:
        self._data = data
        self._source = source
        self._sha256 = sha256

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Chunks(self._checked())

    def _checked(self) -> bytes:
        if self._data is None or hashlib.sha256(self._data).digest() != self._sha256:
            raise ValidationError("file_changed", f"{self._source} changed while it was read", path=self._source)
        return self._data


class _Chunks:
    def __init__(self, data: bytes) -> None:
        self._rest = data

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await turn()
        if not self._rest:
            raise StopAsyncIteration
        chunk, self._rest = self._rest[:65_536], self._rest[65_536:]
        return chunk
