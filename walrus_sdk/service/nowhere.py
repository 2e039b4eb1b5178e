"""A folder for what needs none: settling and cancelling read no file of the site."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from walrus_sdk.errors import ValidationError
from walrus_sdk.model.plan import Piece, Snapshot
from walrus_sdk.ports import Content, FolderLook, ScanProgress, ScanRules

__all__ = ["NoFolder"]


class NoFolder:
    """Implements `ports.Folder` without files: reading one is an error that says so."""

    async def scan(self, rules: ScanRules, progress: Callable[[ScanProgress], None]) -> Snapshot:
        """Raise ``folder_missing``."""
        raise self._error()

    async def look(self) -> FolderLook | None:
        """There is nothing to see."""
        return None

    async def doubt(self, sources: Collection[str]) -> Mapping[str, bytes]:
        """Raise ``folder_missing``."""
        raise self._error()

    def content(self, source: str, size: int, sha256: bytes) -> Content:
        """Raise ``folder_missing``."""
        raise self._error()

    def contents(self, pieces: Sequence[Piece]) -> Sequence[Content]:
        """Raise ``folder_missing``."""
        raise self._error()

    async def read(self, source: str, *, max_size: int) -> bytes | None:
        """Raise ``folder_missing``."""
        raise self._error()

    def _error(self) -> ValidationError:
        return ValidationError("folder_missing", "this needs the site's folder, and none was given")
