"""Disk images that a power cut could leave, made in thousands and opened one by one.

The journal's own SQL runs once on a file system layer that notes every write, truncation, sync and deletion. At every
point of that record the power may be cut: what was synced is there; each write that was not is lost, kept, torn at
sectors or garbage, whatever became of earlier ones. Each image must open, be sound, and hold every commit that had
been acknowledged by then, each whole or not at all. Bytes next to a write are taken to be safe from it, as SQLite
takes them to be (the "powersafe overwrite" of disks).
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import astuple, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, cast

import apsw

from walrus_sdk.journal import database, schema
from walrus_sdk.journal.writer import put_row
from walrus_sdk.ports import Put

__all__ = ["Figures", "run"]

_SECTOR = 512
_COMMITS = 40
_SHM = "-shm"


@dataclass(frozen=True, slots=True)
class Figures:
    """How many images were opened, how many of them were not sound, and how many lacked an acknowledged commit."""

    images: int
    corrupt: int
    lost: int
    seconds: float


# ── the record ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Op:
    """One line of the record. `kind`: write, truncate, sync, delete; `suffix` tells the file."""

    kind: str
    suffix: str
    offset: int = 0
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Contents:
    """What the journal must hold after a commit: numbers of events, operations' attempts, entries."""

    events: int
    attempts: int
    entries: int


@dataclass(slots=True)
class Record:
    """What went to disk, in order, and where in it each commit was acknowledged."""

    ops: list[Op] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    """For each commit the number of ops before its acknowledgement."""
    contents: list[Contents] = field(default_factory=list)


class _File(apsw.VFSFile):
    def __init__(self, record: Record, suffix: str, name: Any, flags: list[int]) -> None:
        self._record = record
        self._suffix = suffix
        super().__init__("", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:
        self._record.ops.append(Op("write", self._suffix, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._record.ops.append(Op("truncate", self._suffix, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self._record.ops.append(Op("sync", self._suffix))
        super().xSync(flags)


class _Recorder(apsw.VFS):
    def __init__(self, record: Record, path: Path) -> None:
        self._record = record
        self._path = str(path)
        super().__init__("recorder", "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        text = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        return _File(self._record, text.removeprefix(self._path), name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self._record.ops.append(Op("delete", filename.removeprefix(self._path), int(syncdir)))
        super().xDelete(filename, syncdir)


def _write(db: Any, chance: random.Random, number: int, last: Contents) -> Contents:
    """Write one append, of a size by chance: events, operations, sometimes entries."""
    events, attempts = chance.randint(1, 3), chance.randint(1, 9)
    entries = chance.choice((0, 0, 0, chance.randint(1, 60)))
    for index in range(events):
        row = ("one", last.events + index + 1, 1, 1, 1.0, "a", "x" * chance.choice((10, 10, 100, 100, 100, 6000)))
        db.execute("insert into events values (?, ?, ?, ?, ?, ?, ?)", row)
    key = {"chain": "c", "kind": "store", "name": str(number)}
    put_row(db, Put("operations", key, {"attempts": attempts, "facts": "y" * chance.choice((10, 300))}))
    for index in range(entries):
        put_row(db, Put("entries", {"deployment": "one", "path": f"/{number}/{index}"}, {"size": index}))
    db.execute(database.COUNT)
    return Contents(last.events + events, last.attempts + attempts, last.entries + entries)


def record(folder: Path, seed: int, synchronous: str = "") -> Record:
    """Run a journal from its making to its closing, and return what went to disk; `synchronous` plants another mode."""
    made = Record()
    chance = random.Random(seed)
    path = folder / "record.db"
    recorder = _Recorder(made, path)
    db = apsw.Connection(str(path), vfs="recorder")
    try:
        for mode in database.MODES:
            db.execute(mode)
        if synchronous:
            db.execute(f"pragma synchronous = {synchronous}")
        db.execute(f"pragma wal_autocheckpoint = {chance.choice((8, 16, 60))}")
        schema.migrate(cast(sqlite3.Connection, db))
        made.contents.append(Contents(0, 0, 0))
        made.acknowledged.append(len(made.ops))
        for number in range(1, _COMMITS + 1):
            db.execute("begin immediate")
            made.contents.append(_write(db, chance, number, made.contents[-1]))
            db.execute("commit")
            made.acknowledged.append(len(made.ops))
    finally:
        db.close()
        recorder.unregister()
    return made


# ── images ────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Disk:
    """The files of a record up to some point: what is certain, and what was done since the last sync."""

    def __init__(self) -> None:
        self._certain: dict[str, bytes] = {}
        self._open: dict[str, list[Op]] = {}

    def add(self, op: Op) -> None:
        """Go on by one op."""
        if op.kind == "sync":
            if op.suffix and op.suffix not in self._certain:  # SQLite syncs the folder with a log's first sync
                self._sync_folder()
            self._certain[op.suffix] = _apply(self._certain.get(op.suffix, b""), self._open.pop(op.suffix, []))
        elif op.kind == "delete" and op.offset:
            self._certain.pop(op.suffix, None)
            self._open.pop(op.suffix, None)
        else:
            self._open.setdefault(op.suffix, []).append(op)

    def _sync_folder(self) -> None:
        for suffix, ops in self._open.items():
            deleted = [index for index, op in enumerate(ops) if op.kind == "delete"]
            if deleted:
                self._certain.pop(suffix, None)
                del ops[: deleted[-1] + 1]

    def image(self, chance: random.Random) -> dict[str, bytes]:
        """Return the files after a power cut."""
        how = chance.choice(_WAYS)
        files = dict(self._certain)
        for suffix, ops in self._open.items():
            left = [one for op in ops for one in _fate(op, how, chance)]
            deleted = [index for index, op in enumerate(left) if op.kind == "delete"]
            if deleted:
                files.pop(suffix, None)
                left = left[deleted[-1] + 1 :]
            if left or suffix in files:
                files[suffix] = _apply(files.get(suffix, b""), left)
        return files


_WAYS = ("lost", "kept", "some", "late", "torn", "garbage")


def _fate(op: Op, how: str, chance: random.Random) -> Iterator[Op]:
    """Yield what is left of an op that no sync had covered."""
    if how == "kept" or (how == "late" and chance.random() < 0.9) or (how != "lost" and chance.random() < 0.5):
        yield op
    elif op.kind == "write" and how in ("torn", "garbage"):
        for start, piece in _sectors(op):
            fate = chance.random()
            if fate < 0.4:
                yield Op("write", op.suffix, start, piece)
            elif fate < 0.7 and how == "garbage":
                yield Op("write", op.suffix, start, chance.randbytes(len(piece)))


def _sectors(op: Op) -> Iterator[tuple[int, bytes]]:
    """Cut a write where the disk's sectors end."""
    start = op.offset
    end = op.offset + len(op.data)
    while start < end:
        stop = min(end, (start // _SECTOR + 1) * _SECTOR)
        yield start, op.data[start - op.offset : stop - op.offset]
        start = stop


def _apply(data: bytes, ops: list[Op]) -> bytes:
    if not ops:
        return data
    file = bytearray(data)
    for op in ops:
        if op.kind == "truncate":
            del file[op.offset :]
        elif op.kind == "write":
            if len(file) < op.offset:
                file.extend(bytes(op.offset - len(file)))
            file[op.offset : op.offset + len(op.data)] = op.data
        elif op.kind == "delete":
            file.clear()
    return bytes(file)


# ── looking at one ────────────────────────────────────────────────────────────────────────────────────────────────


def _found(path: str, files: dict[str, bytes], made: Record) -> int | None:
    """Return how many commits an image holds, -1 for not even the tables; `None` when it is not sound."""
    for suffix in ("", "-wal", "-journal", _SHM):
        if suffix in files:
            Path(path + suffix).write_bytes(files[suffix])
        else:
            Path(path + suffix).unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(path)) as db:
            if _SHM not in files:
                db.execute("pragma locking_mode = exclusive")  # faster: the index of the log is made in memory
            db.execute("pragma synchronous = off")
            if db.execute("pragma integrity_check").fetchall() != [("ok",)]:
                return None
            if db.execute("pragma user_version").fetchone()[0] < schema.VERSION:
                return -1
            number, *values, last = db.execute(_CONTENTS).fetchone()
    except sqlite3.Error:
        return None
    expected = made.contents[int(number or 0)]
    return int(number or 0) if (*values, last) == (*astuple(expected), expected.events) else None


_CONTENTS = (
    "select (select value from meta where key = 'commits'), (select count(*) from events),"
    " (select coalesce(sum(attempts), 0) from operations), (select count(*) from entries),"
    " (select coalesce(max(n), 0) from events)"
)


def _images(made: Record, chance: random.Random) -> Iterator[tuple[int, dict[str, bytes]]]:
    """Yield images of cuts at every point of a record, with the number of the last acknowledged commit."""
    disk, last = _Disk(), -1
    for point in range(len(made.ops) + 1):
        while last + 1 < len(made.acknowledged) and made.acknowledged[last + 1] <= point:
            last += 1
        files = disk.image(chance)
        if chance.random() < 0.1:
            files[_SHM] = chance.randbytes(32768)  # an index of the log that means nothing any more
        yield last, files
        if point < len(made.ops):
            disk.add(made.ops[point])


def run(images: int, seed: int, synchronous: str = "") -> Figures:
    """Open `images` images of power cuts, the same ones for the same seed."""
    chance = random.Random(f"{seed} {synchronous}")
    shm = Path("/dev/shm")  # memory where there is one
    start = time.perf_counter()
    done = corrupt = lost = 0
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as name:
        while done < images:
            folder = Path(name, str(done))
            folder.mkdir()
            made = record(folder, chance.randrange(2**32), synchronous)
            for acknowledged, files in islice(_images(made, chance), images - done):
                found = _found(f"{folder}/image.db", files, made)
                done += 1
                corrupt += found is None
                lost += found is not None and found < acknowledged
            shutil.rmtree(folder)
    return Figures(done, corrupt, lost, time.perf_counter() - start)


def main(arguments: list[str]) -> None:
    """Print figures: the number of images, then the seed, then another way of syncing, planted."""
    images, seed, synchronous = (*arguments, *("2000", "1", "")[len(arguments) :])[:3]
    figures = run(int(images), int(seed), synchronous)
    rate = figures.images / figures.seconds
    print(f"{figures.images} images, {figures.corrupt} corrupt, {figures.lost} with losses, {rate:.0f} images a second")


if __name__ == "__main__":
    main(sys.argv[1:])
