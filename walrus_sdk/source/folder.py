"""The port `Folder` over a real directory."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TypeAlias

import anyio

from walrus_sdk.errors import ValidationError, WalrusError
from walrus_sdk.model.plan import Piece, Snapshot, SourceFile
from walrus_sdk.ports import Clock, Content, FolderLook, ScanProgress, ScanRules, Threads
from walrus_sdk.sites.paths import escaped, find_conflicts
from walrus_sdk.source.content import FileContent, Hashed, hash_file
from walrus_sdk.source.leaks import Finding, suspicious_name, warning_name
from walrus_sdk.source.look import look
from walrus_sdk.source.small import SMALL, Together
from walrus_sdk.source.stat_cache import StatCache
from walrus_sdk.source.walk import Found, open_beneath, walk

__all__ = ["Remember", "SiteFolder"]

_HASHERS = 4
"""Batches hashed at once: SHA-256 is let out of the interpreter's lock, and four cover the reading between."""

_BATCH_FILES = 64
_BATCH_BYTES = 4 * 1024 * 1024
"""What one hop to a thread hashes at most, beside its last file: a hop costs as much as hashing a small file."""

Remember: TypeAlias = Callable[[bytes | None], Awaitable[bytes | None]]
"""Reads what was kept (given `None`), or keeps bytes."""


class SiteFolder:
    """A folder on disk, held open by one descriptor from `open` to `close`.

    Raises `ValidationError` ``folder_missing`` when there is none. The stat cache spares the hashing of files that did
    not change since the last scan; `remember` reads it when it is first needed, and keeps it after each scan, also one
    that was cancelled.
    """

    def __init__(
        self,
        place: str | Path,
        threads: Threads,
        clock: Clock,
        cache: StatCache | None = None,
        remember: Remember | None = None,
    ) -> None:
        self.place = Path(place)
        self.cache = cache or StatCache()
        self._threads = threads
        self._clock = clock
        self._remember = remember
        self._is_loaded = remember is None
        self._found: dict[str, Found] = {}
        self._remembered: dict[str, bytes] = {}
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

    async def look(self) -> FolderLook | None:
        """Look at the folder without reading a file; see the port."""
        return await self._threads.run(look, self._root, self._now_ns())

    def _now_ns(self) -> int:
        return self._clock.wall_ms() * 1_000_000

    async def scan(self, rules: ScanRules, progress: Callable[[ScanProgress], None]) -> Snapshot:
        """Walk, check and hash the folder; see the port. Cancellation keeps the hashes that were made."""
        started_ns = self._now_ns()
        await self._load_cache()
        found, ignored = await self._threads.run(self._walk, rules)
        if not found:
            raise ValidationError("folder_empty", f"nothing to publish in {self.place}", path=str(self.place))
        paths = {item.relative: rules.site_path(item.relative) for item in found}
        conflicts = find_conflicts(paths.values())
        fatal = next((c for c in conflicts if c.fatal), None)
        if fatal is not None:
            raise ValidationError("path_conflict", f"{fatal.first} and {fatal.second} are one path", path=fatal.second)
        self._found = {item.relative: item for item in found}
        hashes = await self._hashes(found, rules, started_ns, progress)
        files = [SourceFile(paths[f.relative], f.relative, f.stat, hashes[f.relative]) for f in found]
        files.sort(key=attrgetter("path"))
        warnings = [f"{c.first} and {c.second} differ in case only" for c in conflicts]
        warnings += [f"{f.relative}: {doubt}" for f in found if (doubt := warning_name(f.relative))]
        return Snapshot(str(self.place), tuple(files), tuple(sorted(ignored)), tuple(warnings))

    def _walk(self, rules: ScanRules) -> tuple[list[Found], list[tuple[str, str]]]:
        def leave_out(relative: str) -> str | None:
            if relative in rules.skip_files:
                return "configuration"
            return "ignore rule" if rules.ignore("/" + relative) else None

        return walk(self._root, os.path.realpath(self.place), leave_out)

    # ── hashes ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _hashes(
        self, found: list[Found], rules: ScanRules, started_ns: int, progress: Callable[[ScanProgress], None]
    ) -> dict[str, bytes]:
        """Return the hash of each file: remembered, or made now. Raises ``secret_found``."""
        hashes: dict[str, bytes] = {}
        findings = [
            Finding(escaped(item.relative), "its name")
            for item in found
            if suspicious_name(item.relative) and item.relative not in rules.allow_files
        ]
        missing: list[Found] = []
        for item in found:
            known = self.cache.get(item.stat)
            if known is None:
                missing.append(item)
            else:
                hashes[item.relative] = known
                self.cache.put(item.stat, known, started_ns)
        self._remembered = dict(hashes)
        done = [len(hashes), sum(item.stat.size for item in found) - sum(item.stat.size for item in missing)]

        def note(batch: Sequence[Found], made: Sequence[Hashed]) -> None:
            for item, hashed in zip(batch, made, strict=True):
                hashes[item.relative] = hashed.sha256
                done[0] += 1
                done[1] += hashed.stat.size
                # What is kept was looked into for secrets, and nothing was found: a file that is allowed today may not
                # be tomorrow.
                if hashed.finding is None:
                    self.cache.put(item.stat, hashed.sha256, started_ns)
                elif item.relative not in rules.allow_files:
                    findings.append(Finding(escaped(item.relative), hashed.finding.kind, hashed.finding.line))
            progress(ScanProgress(len(found), *done))

        note((), ())
        try:
            await self._hash(missing, note)
            await self._save_cache(whole=True)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._save_cache(whole=False)
            raise
        if findings:
            raise _secrets(findings)
        return hashes

    async def _hash(self, files: Sequence[Found], note: Callable[[Sequence[Found], Sequence[Hashed]], None]) -> None:
        """Hash files in threads, some at once. Raises the first failure."""
        failures: list[WalrusError] = []
        pending = _batches(files)

        async def worker() -> None:
            for batch in pending:
                try:
                    note(batch, await self._threads.run(_hash_batch, self._root, batch))
                except WalrusError as error:
                    failures.append(error)
                    group.cancel_scope.cancel()
                    return

        if files:
            async with anyio.create_task_group() as group:
                for _ in range(_HASHERS):
                    group.start_soon(worker)
        if failures:
            raise failures[0]

    async def doubt(self, sources: Collection[str]) -> Mapping[str, bytes]:
        """Hash files again whose hash was only remembered; see the port. What is wrong is forgotten."""
        doubtful = [self._found[source] for source in sources if source in self._remembered]
        now: dict[str, bytes] = {}

        def note(batch: Sequence[Found], made: Sequence[Hashed]) -> None:
            now.update((item.relative, hashed.sha256) for item, hashed in zip(batch, made, strict=True))

        await self._hash(doubtful, note)
        wrong = {source: sha256 for source, sha256 in now.items() if sha256 != self._remembered[source]}
        for source in wrong:
            self._forget(source)
        await self._save_cache(whole=False)
        return wrong

    def _forget(self, source: str) -> None:
        if source in self._remembered:
            self.cache.drop(self._found[source].stat)

    async def save(self) -> None:
        """Keep what came to be known since the last scan: hashes that turned out to be wrong."""
        await self._save_cache(whole=False)

    async def _load_cache(self) -> None:
        if not self._is_loaded and self._remember is not None:
            self.cache = StatCache.load(await self._remember(None))
            self._is_loaded = True

    async def _save_cache(self, *, whole: bool) -> None:
        """Keep what is known; `whole`: every file was seen, and what was not seen is forgotten."""
        if self.cache.settle(whole=whole) and self._remember is not None:
            await self._remember(self.cache.dump())

    # ── content ───────────────────────────────────────────────────────────────────────────────────────────────

    def content(self, source: str, size: int, sha256: bytes) -> Content:
        """Return a scanned file's bytes; see the port."""
        return FileContent(
            self._root, self._real(source), size, sha256, self._threads, doubt=partial(self._forget, source)
        )

    def contents(self, pieces: Sequence[Piece]) -> Sequence[Content]:
        """Return the bytes of the files of one store; see the port."""
        together = Together(self._root, self._threads)
        return [
            together.content(
                self._real(piece.source), piece.size, piece.sha256, doubt=partial(self._forget, piece.source)
            )
            if piece.size <= SMALL
            else self.content(piece.source, piece.size, piece.sha256)
            for piece in pieces
        ]

    def _real(self, source: str) -> str:
        return self._found[source].real if source in self._found else source

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


def _hash_batch(root: int, batch: Sequence[Found]) -> list[Hashed]:
    return [hash_file(root, item.real, item.stat) for item in batch]


def _batches(files: Sequence[Found]) -> Iterator[list[Found]]:
    """Cut files into what one hop to a thread hashes."""
    batch: list[Found] = []
    size = 0
    for item in files:
        batch.append(item)
        size += item.stat.size
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _secrets(findings: list[Finding]) -> ValidationError:
    listed = ", ".join(str(finding) for finding in sorted(findings, key=str)[:10])
    more = f" and {len(findings) - 10} more" if len(findings) > 10 else ""
    return ValidationError(
        "secret_found", f"this looks secret: {listed}{more}", paths=sorted(finding.path for finding in findings)
    )
