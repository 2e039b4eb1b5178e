"""The port `Folder` over a real directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio

from walrus_sdk.errors import ValidationError, WalrusError
from walrus_sdk.model.plan import Piece, Snapshot, SourceFile
from walrus_sdk.ports import Clock, Content, ScanProgress, ScanRules, Threads
from walrus_sdk.sites.paths import escaped, find_conflicts
from walrus_sdk.source.content import FileContent, Hashed, hash_file
from walrus_sdk.source.leaks import Finding, suspicious_name, warning_name
from walrus_sdk.source.small import SMALL, Together
from walrus_sdk.source.stat_cache import StatCache
from walrus_sdk.source.walk import Found, open_beneath, walk

__all__ = ["SiteFolder"]

_HASHERS = 4
"""Files hashed at once: SHA-256 is let out of the interpreter's lock, and four cover the reading between."""


class SiteFolder:
    """A folder on disk, held open by one descriptor from `open` to `close`.

    Raises `ValidationError` ``folder_missing`` when there is none. `cache` spares the hashing of files that did not
    change since the last scan; it holds what this scan knows afterwards.
    """

    def __init__(self, place: str | Path, threads: Threads, clock: Clock, cache: StatCache | None = None) -> None:
        self.place = Path(place)
        self.cache = cache or StatCache()
        self._threads = threads
        self._clock = clock
        self._real: dict[str, str] = {}
        try:
            # The folder itself may be named through a link: the user chose it.
            self._root = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            shown = escaped(str(place))
            raise ValidationError("folder_missing", f"no folder {shown}: {error.strerror}", path=shown) from error

    def close(self) -> None:
        """Let the folder go."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    async def scan(self, rules: ScanRules, progress: Callable[[ScanProgress], None]) -> Snapshot:
        """Walk, check and hash the folder; see the port. Cancellation leaves nothing behind."""
        started_ns = self._clock.wall_ms() * 1_000_000
        found, ignored = await self._threads.run(self._walk, rules)
        if not found:
            raise ValidationError("folder_empty", f"nothing to publish in {self.place}", path=str(self.place))
        paths = {item.relative: rules.site_path(item.relative) for item in found}
        conflicts = find_conflicts(paths.values())
        fatal = next((c for c in conflicts if c.fatal), None)
        if fatal is not None:
            raise ValidationError("path_conflict", f"{fatal.first} and {fatal.second} are one path", path=fatal.second)
        self._real = {item.relative: item.real for item in found}
        hashes = await self._hash(found, rules, started_ns, progress)
        files = sorted(
            (SourceFile(paths[f.relative], f.relative, f.stat, hashes[f.relative]) for f in found),
            key=lambda file: file.path,
        )
        warnings = [f"{c.first} and {c.second} differ in case only" for c in conflicts]
        warnings += [f"{f.relative}: {doubt}" for f in found if (doubt := warning_name(f.relative))]
        return Snapshot(str(self.place), tuple(files), tuple(sorted(ignored)), tuple(warnings))

    def _walk(self, rules: ScanRules) -> tuple[list[Found], list[tuple[str, str]]]:
        def leave_out(relative: str) -> str | None:
            if relative in rules.skip_files:
                return "configuration"
            return "ignore rule" if rules.ignore("/" + relative) else None

        return walk(self._root, os.path.realpath(self.place), leave_out)

    async def _hash(
        self, found: list[Found], rules: ScanRules, started_ns: int, progress: Callable[[ScanProgress], None]
    ) -> dict[str, bytes]:
        hashes: dict[str, bytes] = {}
        findings: list[Finding] = []
        state = {"hashed": 0, "bytes": 0}
        failures: list[WalrusError] = []
        pending = iter(found)

        async def worker() -> None:
            for item in pending:
                allowed = item.relative in rules.allow_files
                if suspicious_name(item.relative) and not allowed:
                    findings.append(Finding(escaped(item.relative), "its name"))
                try:
                    hashes[item.relative] = await self._hash_one(item, findings, started_ns, scan=not allowed)
                except WalrusError as error:
                    failures.append(error)
                    group.cancel_scope.cancel()
                    return
                state["hashed"] += 1
                state["bytes"] += item.stat.size
                progress(ScanProgress(len(found), state["hashed"], state["bytes"]))

        async with anyio.create_task_group() as group:
            for _ in range(_HASHERS):
                group.start_soon(worker)
        if failures:
            raise failures[0]
        if findings:
            raise _secrets(findings)
        return hashes

    async def _hash_one(self, item: Found, findings: list[Finding], started_ns: int, *, scan: bool) -> bytes:
        # A hash in the cache was looked into for secrets when it was made, or was allowed then; a file that is
        # no longer allowed by name is read again.
        known = self.cache.get(item.stat) if scan else None
        if known is None:
            hashed = await self._threads.run(_hash, self._root, item, scan)
            known = hashed.sha256
            if hashed.finding is not None:
                findings.append(Finding(escaped(item.relative), hashed.finding.kind, hashed.finding.line))
                return known
        if scan:
            self.cache.put(item.stat, known, started_ns)
        return known

    def content(self, source: str, size: int, sha256: bytes) -> Content:
        """Return a scanned file's bytes; see the port."""
        return FileContent(self._root, self._real.get(source, source), size, sha256, self._threads)

    def contents(self, pieces: Sequence[Piece]) -> Sequence[Content]:
        """Return the bytes of the files of one store; see the port."""
        together = Together(self._root, self._threads)
        return [
            together.content(real, piece.size, piece.sha256)
            if piece.size <= SMALL
            else FileContent(self._root, real, piece.size, piece.sha256, self._threads)
            for piece in pieces
            for real in (self._real.get(piece.source, piece.source),)
        ]

    async def read(self, source: str, *, max_size: int) -> bytes | None:
        """Read a small file whole; `None` when there is none. Raises ``file_unreadable`` when it is too large."""
        return await self._threads.run(self._read, source, max_size)

    def _read(self, source: str, max_size: int) -> bytes | None:
        try:
            descriptor = open_beneath(self._root, source)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ValidationError("file_unreadable", f"cannot read {source}: {error.strerror}", path=source) from error
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(max_size + 1)
        if len(data) > max_size:
            raise ValidationError("file_unreadable", f"{source}: expected at most {max_size} bytes", path=source)
        return data


def _hash(root: int, item: Found, scan: bool) -> Hashed:
    return hash_file(root, item.real, item.stat, scan=scan)


def _secrets(findings: list[Finding]) -> ValidationError:
    listed = ", ".join(str(finding) for finding in sorted(findings, key=str)[:10])
    more = f" and {len(findings) - 10} more" if len(findings) > 10 else ""
    return ValidationError(
        "secret_found", f"this looks secret: {listed}{more}", paths=sorted(finding.path for finding in findings)
    )
