"""What happens before anything is sent: scan, hash and plan, in this process, of 10,000 files of 20 KB.

A simulated chain and store (no request is timed), the real folder, the real journal on disk, the real threads.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio

from benchmarks.house import scratch, write_site
from benchmarks.rows import Row, interleaved
from walrus_sdk.engine.feed import Feed
from walrus_sdk.journal.store import open_journal
from walrus_sdk.machine.clock import SystemClock
from walrus_sdk.machine.threads import open_threads
from walrus_sdk.model.options import DeployOptions, Verify
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import BlobStore, Folder, Ownership, ScanRules
from walrus_sdk.service import deploy, unfinished
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.resume import newest_unfinished, resume
from walrus_sdk.sites.paths import site_path
from walrus_sdk.source.commit import git_commit
from walrus_sdk.source.folder import SiteFolder
from walrus_sdk.source.stat_cache import RACY_NS
from walrus_sdk.testing.world import SimulatedWorld

__all__ = ["InProcess", "no_change", "planning_a_resume"]

_FILES, _SIZE = 10_000, 20_000
_ROUNDS = 9
_SHARDS = 100
"""Few, so that the one real deployment takes a minute and not ten; a plan of nothing to do does not depend on it."""

_OPTIONS = DeployOptions(site_name="measured", verify=Verify.NONE)


class _Begun(Exception):
    """A resume that is planned, and would send something now."""


@dataclass(frozen=True, slots=True)
class InProcess:
    """A folder, a home on disk, and a simulated network that lasts as long as this value; or another `store`."""

    folder: Path
    home: Path
    world: SimulatedWorld
    store: BlobStore | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        """Open the home, as a process does that begins."""
        clock = SystemClock()
        async with open_journal(self.home, clock) as journal, open_threads() as threads:

            @asynccontextmanager
            async def folder(place: Path) -> AsyncIterator[Folder]:
                opened = SiteFolder(place, threads, clock, remember=partial(journal.cache, f"stat:{place}"))
                try:
                    yield opened
                finally:
                    await opened.save()
                    opened.close()

            async def commit(place: Path) -> str:
                return await threads.run(git_commit, place)

            connection = replace(
                self.world.connection,
                journal=journal,
                threads=threads,
                clock=clock,
                folder=folder,
                commit=commit,
                is_live=journal.locks.is_held,
                asked=_nobody_asks,
            )
            store = self.store
            yield connection if store is None else replace(connection, store=lambda _: store)

    def timed(self, call: Callable[[Connection], Awaitable[object]]) -> float:
        """Return the seconds that a call takes in a home that was just opened."""

        async def main() -> float:
            async with self.connected() as connection:
                started = time.perf_counter()
                await call(connection)
                return time.perf_counter() - started

        return anyio.run(main)

    async def plan(self, connection: Connection, message: str = "") -> None:
        """Plan a deployment; another message makes another plan."""
        await deploy.plan(connection, self.folder, replace(_OPTIONS, message=message), Feed())

    async def deploy(self, connection: Connection) -> None:
        """Deploy the folder."""
        await deploy.deploy(connection, self.folder, _OPTIONS, Feed())


async def _nobody_asks(_: Ownership, __: frozenset[str]) -> frozenset[str]:
    await anyio.sleep_forever()
    raise AssertionError


@contextmanager
def _house() -> Iterator[InProcess]:
    with scratch() as place:
        folder = write_site(place / "site", _FILES, _SIZE)
        time.sleep(RACY_NS / 1e9 + 0.1)  # what is younger is hashed each time
        yield InProcess(folder, place / "home", SimulatedWorld({}, n_shards=_SHARDS))


def _hash_all(folder: Path) -> float:
    """Hash all files as fast as one thread does it with the standard library, and return the seconds."""
    started = time.perf_counter()
    for place, _, names in os.walk(folder):
        for name in names:
            digest, descriptor = hashlib.sha256(), os.open(f"{place}/{name}", os.O_RDONLY)
            while chunk := os.read(descriptor, 1 << 20):
                digest.update(chunk)
            os.close(descriptor)
            digest.digest()
    return time.perf_counter() - started


def _median(samples: list[float]) -> float:
    return statistics.median(samples)


def no_change() -> Iterator[Row]:
    """Scan and plan a deployed site of which nothing changed, and the same where only the plan is not remembered.

    Against hashing all of its files, with a warm page cache. The last row is the first plan of all, for comparison.
    """
    with _house() as house:
        first = house.timed(house.plan)
        house.timed(house.deploy)
        house.timed(house.plan)  # remembers the plan
        numbers = iter(range(1_000_000))

        def edited() -> float:
            page = house.folder / "000" / "00007.bin"
            page.write_bytes(b"%d" % next(numbers) + page.read_bytes()[8:])
            return house.timed(house.plan)

        hashing, anew, one = "hashing them all with sha256", "planned anew", "one file changed"
        hash_all = partial(_hash_all, house.folder)
        found = interleaved({hashing: hash_all, "ours": partial(house.timed, house.plan)}, _ROUNDS)

        def planned_anew() -> float:
            return house.timed(partial(house.plan, message=str(next(numbers))))

        slow = interleaved({hashing: hash_all, anew: planned_anew, one: edited}, 3)
    ours, theirs = _median(found["ours"]), _median(found[hashing])
    quantity = f"no-change scan and plan of {_FILES:,} files, in process"
    yield Row(quantity, hashing, ours * 1e3, theirs * 1e3, "ms", theirs / ours, 3.0, 6.0, samples=found)
    base = _median(slow[hashing])
    for name in (anew, one):
        mine = _median(slow[name])
        yield Row(f"the same, {name}", hashing, mine * 1e3, base * 1e3, "ms", base / mine, samples=slow)
    yield Row("the same, first plan", hashing, first * 1e3, base * 1e3, "ms", base / first, note="once")


def planning_a_resume() -> Iterator[Row]:
    """Plan a resume up to the moment when something would be sent, against a scan with all hashes remembered.

    Then, without a limit, when a file was touched since, so that the folder has to be scanned, and with no hash
    remembered, against a scan that hashes everything.
    """
    with _house() as house:
        house.timed(partial(_begin, house))
        contenders = {"scan": lambda: house.timed(partial(_scan, house)), "ours": lambda: _resume(house)}

        def touched(measure: Callable[[], float]) -> float:
            (house.folder / "index.html").touch()
            return measure()

        def cold(measure: Callable[[], float]) -> float:
            for path in (house.home / "state").glob("cache.db*"):
                path.unlink()
            return measure()

        found = {
            "": interleaved(contenders, 2 * _ROUNDS),  # they are short, and vary most
            ", a file touched": interleaved({n: partial(touched, call) for n, call in contenders.items()}, _ROUNDS),
            ", no hash remembered": interleaved({n: partial(cold, call) for n, call in contenders.items()}, 3),
        }
    for name, samples in found.items():
        ours, scan = _median(samples["ours"]), _median(samples["scan"])
        limit, aim = (None, None) if name else (2.0, 1.6)
        quantity = f"planning a resume of {_FILES:,} files{name}"
        yield Row(quantity, "wall time of the scan", ours * 1e3, scan * 1e3, "ms", ours / scan, limit, aim,
                  at_most=True, samples=samples)  # fmt: skip


def _stops(_: DeployOptions) -> BlobStore:
    raise _Begun


async def _begin(house: InProcess, connection: Connection) -> None:
    with suppress(_Begun):
        await house.deploy(replace(connection, store=_stops))


async def _scan(house: InProcess, connection: Connection) -> None:
    rules = ScanRules(lambda _: False, site_path=site_path)
    async with connection.folder(house.folder) as folder:
        await folder.scan(rules, lambda _: None)


def _resume(house: InProcess) -> float:
    """Return the seconds until a resume would send something, in a process that has read no plan yet."""
    unfinished._read.cache_clear()

    async def call(connection: Connection) -> None:
        found: DeploymentId = await newest_unfinished(connection)
        with suppress(_Begun):
            await resume(replace(connection, store=_stops), found, _OPTIONS, Feed())

    return house.timed(call)
