"""Bugs on the disk: the journal's commits and owners, and how the site's folder is read."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anyio
from anyio import to_thread

from tests.torture import images
from tests.torture.planted.hunting import Bug, Scenario, in_a_folder, replaced
from walrus_sdk.errors import OwnershipError, StateError, ValidationError
from walrus_sdk.journal import database, ownership, writer
from walrus_sdk.journal.store import SqliteJournal, journal_path, open_journal
from walrus_sdk.machine.clock import SystemClock
from walrus_sdk.model.plan import FileStat, Snapshot
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change, Ownership, ScanRules
from walrus_sdk.sites.paths import site_path
from walrus_sdk.source import walk
from walrus_sdk.source.folder import SiteFolder
from walrus_sdk.source.stat_cache import StatCache
from walrus_sdk.testing.invariants import Violation
from walrus_sdk.testing.machine import InlineThreads

__all__ = ["BUGS"]

_ONE = DeploymentId("deploy_1800000000001_00000001")
_HOUR_MS = 3_600_000
_TURNS = 50
"""Turns of the event loop in which whatever does not wait for anything is done."""


class _Clock(SystemClock):
    """The system's clocks, with the one on the wall set so many milliseconds ahead."""

    def __init__(self, ahead_ms: int) -> None:
        super().__init__()
        self._ahead_ms = ahead_ms

    def wall_ms(self) -> int:
        return super().wall_ms() + self._ahead_ms


# ── what finds them: the journal ──────────────────────────────────────────────────────────────────────────────────

_CUTS = 300
_IMAGES = 600


def _cut() -> None:
    for seed in range(_IMAGES // _CUTS):
        found = images.run(_CUTS, seed)
        if found.corrupt:
            raise Violation("STATE-2", f"{found.corrupt} of {_CUTS} journals are damaged by a power cut")
        if found.lost:
            raise Violation("STATE-1", f"{found.lost} of {_CUTS} journals lost what was acknowledged in a power cut")


power_cuts = Scenario("power_cuts", _cut)
"""Some hundred power cuts, in as many moments."""


@contextmanager
def _busy(home: Path) -> Iterator[None]:
    """Keep everybody else from committing."""
    with closing(sqlite3.connect(journal_path(home), isolation_level=None)) as db:
        db.execute("begin immediate")
        yield
        db.execute("rollback")


@in_a_folder
async def the_power_goes_at_an_acknowledgement(folder: Path) -> None:
    """Commits cannot be made for a while, and the power is cut meanwhile."""
    home, copy = folder / "home", folder / "copy"
    told: list[int] = []
    async with open_journal(home, SystemClock()) as journal, anyio.create_task_group() as tasks:
        owner = await journal.claim(_ONE, new=True)

        async def write() -> None:
            await journal.append(owner, [Change("a")])
            told.append(1)

        with _busy(home):
            tasks.start_soon(write)
            for _ in range(_TURNS):
                await anyio.lowlevel.checkpoint()
            shutil.copytree(home, copy)
            acknowledged = len(told)
    async with open_journal(copy, SystemClock()) as found:
        there = len(await found.events(_ONE))
    if there < acknowledged:
        raise Violation("STATE-1", f"{acknowledged} event was acknowledged, and {there} are there")
    assert told, "once they can be made, it is acknowledged"


@in_a_folder
async def the_journal_is_exchanged(folder: Path) -> None:
    """Somebody puts another file in the journal's place while it is open."""
    async with open_journal(folder / "home", SystemClock()) as journal:
        owner = await journal.claim(_ONE, new=True)
        journal_path(folder / "home").unlink()
        journal_path(folder / "home").touch(mode=0o600)
        try:
            await journal.append(owner, [Change("a")])
        except StateError as error:
            if error.code == "state_replaced":
                return
            raise
    raise Violation("STATE-6", "a commit was acknowledged that went to a file without a name")


@in_a_folder
async def an_owner_wakes_after_a_takeover(folder: Path) -> None:
    """An owner is stopped, another process takes over and works, the first one wakes and writes."""
    async with open_journal(folder / "home", SystemClock()) as one, open_journal(folder / "home", SystemClock()) as two:
        old = await one.claim(_ONE, new=True)
        await one.append(old, [Change("a")])
        new = await two.claim(_ONE, take_over=True)
        await two.append(new, [Change("b")])
        if await _could_write(one, old):
            raise Violation("ONE-3", "an owner that was fenced off could write")


async def _could_write(journal: SqliteJournal, owner: Ownership) -> bool:
    try:
        await journal.append(owner, [Change("late")])
    except OwnershipError:
        return False
    return True


@in_a_folder
async def an_owner_that_is_slow(folder: Path) -> None:
    """A live owner's lock is an hour old, by the clock on the wall, when somebody else comes."""
    home = folder / "home"
    async with open_journal(home, _Clock(-_HOUR_MS)) as one, open_journal(home, SystemClock()) as two:
        await one.claim(_ONE, new=True)
        try:
            await two.claim(_ONE)
        except OwnershipError:
            return
    raise Violation("ONE-1", "two processes own one deployment")


# ── what finds them: the folder ───────────────────────────────────────────────────────────────────────────────────


async def _scan(folder: Path, cache: StatCache | None = None) -> tuple[Snapshot, StatCache]:
    """Scan a folder an hour later, so that nothing in it is young."""
    site = SiteFolder(folder, InlineThreads(), _Clock(_HOUR_MS), cache)
    try:
        found = await site.scan(ScanRules(lambda _: False, site_path=site_path), lambda _: None)
    finally:
        site.close()
    return found, StatCache.load(site.cache.dump())


@in_a_folder
async def a_change_that_keeps_the_time(folder: Path) -> None:
    """A build tool writes a file anew, of the same size, and gives it the time that all of its files have."""
    page = folder / "index.html"
    found = b""
    cache: StatCache | None = None
    for text in ("one", "two"):
        page.write_text(text)
        os.utime(page, ns=(10**18, 10**18))
        snapshot, cache = await _scan(folder, cache)
        if snapshot.files[0].sha256 == found:
            raise Violation("CONTENT-2", "a file changed, and counts as what it was")
        found = snapshot.files[0].sha256


@in_a_folder
async def a_folder_that_cannot_be_read(folder: Path) -> None:
    """One of a site's folders is another user's."""
    (folder / "index.html").write_text("home")
    private = folder / "private"
    private.mkdir()
    (private / "page.html").write_text("page")
    usual = os.listdir

    def listdir(place: Any) -> Sequence[str]:
        if os.path.samestat(os.fstat(place), private.stat()):
            raise PermissionError(13, "Permission denied")
        return usual(place)

    with patch.object(os, "listdir", listdir):
        try:
            found, _ = await _scan(folder)
        except ValidationError as error:
            if error.code == "file_unreadable":
                return
            raise
    raise Violation("CONTENT-3", f"of two files {len(found.files)} would be published, and nobody would know")


# ── how they are planted ──────────────────────────────────────────────────────────────────────────────────────────

_usual_lock = ownership.Locks._lock
_LEASE_S = 600


def _modes(synchronous: str) -> tuple[str, ...]:
    return tuple(mode.replace("synchronous = full", f"synchronous = {synchronous}") for mode in database.MODES)


async def _acknowledges_first(self: writer.Writer) -> None:
    """Tell everybody that it is done, and do it."""
    with anyio.CancelScope(shield=True):
        while self._queue or not self._closing:
            if not self._queue:
                self._wake = anyio.Event()
                await self._wake.wait()
                continue
            batch, self._queue = self._queue, []
            for job in batch:
                job.done.set()
            await to_thread.run_sync(self._commit, batch, limiter=self.limiter)


def _nothing(*args: Any) -> None:
    """Check nothing, tell nothing."""


def _leased(self: ownership.Locks, path: Path, deployment: DeploymentId, *, take_over: bool) -> int:
    """Take a lock for given up when it is ten minutes old."""
    text = path.read_text() if path.exists() else ""
    old = bool(text) and time.time() - json.loads(text)["since_ms"] / 1000 > _LEASE_S
    return _usual_lock(self, path, deployment, take_over=take_over or old)


def _by_time(stat: FileStat) -> tuple[int, ...]:
    return 0, stat.inode, 0, stat.mtime_ns, 0


BUGS = (
    Bug(4, "synchronous NORMAL", "STATE-1", replaced(database, "MODES", _modes("normal")), power_cuts),
    Bug(5, "synchronous OFF", "STATE-2", replaced(database, "MODES", _modes("off")), power_cuts),
    Bug(
        6,
        "acknowledged before the commit",
        "STATE-1",
        replaced(writer.Writer, "run", _acknowledges_first),
        the_power_goes_at_an_acknowledgement,
    ),
    Bug(
        7,
        "no check of the inode",
        "STATE-6",
        replaced(database.Database, "_check_files", _nothing),
        the_journal_is_exchanged,
    ),
    Bug(
        10,
        "a lock is a lease by the wall clock",
        "ONE-1",
        replaced(ownership.Locks, "_lock", _leased),
        an_owner_that_is_slow,
    ),
    Bug(
        11,
        "no fence after a takeover",
        "ONE-3",
        replaced(writer, "_check_fence", _nothing),
        an_owner_wakes_after_a_takeover,
    ),
    Bug(
        14,
        "unchanged-check by time alone",
        "CONTENT-2",
        replaced(StatCache, "_key", staticmethod(_by_time)),
        a_change_that_keeps_the_time,
    ),
    Bug(
        17,
        "what cannot be read is left out",
        "CONTENT-3",
        replaced(walk._Walk, "_unreadable", _nothing),
        a_folder_that_cannot_be_read,
    ),
)
