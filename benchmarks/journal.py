"""What durability costs: whole deployments with the journal on disk, against the same with a journal in memory."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anyio

import walrus_sdk as ws
from benchmarks.house import House, open_house, scratch, write_site
from benchmarks.rows import Row, interleaved
from walrus_sdk import local
from walrus_sdk.model.options import Verify
from walrus_sdk.ports import Clock
from walrus_sdk.service import session
from walrus_sdk.sui.signers import KeySigner, key_of_file
from walrus_sdk.testing.death import Life
from walrus_sdk.testing.journal import Disk, MemoryJournal

__all__ = ["journal_on_disk"]

_FILES, _SIZE = 10_000, 1_000
_PAIRS = 10


def journal_on_disk() -> Iterator[Row]:
    """10,000 files, 16 stores at once: CPU seconds of the deploying process, journal on disk against in memory.

    Each run is a process of its own and makes a site of its own on the same local network; nothing is read back, and
    what is stored is certified already, so that there is little beside the journal. Checkpoints and the log are
    written in both. About half a minute a run: the spread says how busy the machine was.
    """
    with scratch() as place, open_house(shards=1000, slots=16, queue=16) as house:
        folder = write_site(place / "site", _FILES, _SIZE)
        _cpu_s(house, folder, place, "memory", [])  # everything is certified from here on
        waits: dict[str, list[float]] = {"disk": [], "memory": []}
        runs = {kind: partial(_cpu_s, house, folder, place, kind, waits[kind]) for kind in waits}
        found = interleaved(runs, _PAIRS)
    ours, theirs = (statistics.median(found[kind]) for kind in ("disk", "memory"))
    ratios = [one / other for one, other in zip(found["disk"], found["memory"], strict=True)]
    longest = max(waits["disk"]) * 1000
    note = f"median of {_PAIRS} pairs' ratios; the longest wait for a commit was {longest:.0f} ms"
    yield Row("journal on disk, 10,000 files", "journal in memory, CPU of the process", ours, theirs, "s",
              statistics.median(ratios), 1.03, 1.01, at_most=True, note=note, samples=found)  # fmt: skip


def _cpu_s(house: House, folder: Path, place: Path, kind: str, waits: list[float]) -> float:
    """Deploy in a process of its own; returns its CPU seconds without those of other processes."""
    number = len(list(place.glob("home-*")))
    arguments = [str(house.home), str(folder), str(place / f"home-{number}"), kind, f"site-{number}"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.journal", *arguments], check=True, capture_output=True, text=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    waits.append(told["longest_s"])
    return float(told["cpu_s"])


# ── in the process that is measured ───────────────────────────────────────────────────────────────────────────────


class _Kept(MemoryJournal):
    """A journal in memory as a session takes it."""

    @property
    def locks(self) -> _Kept:
        """Who tells whether a deployment is held."""
        return self

    def is_held(self, deployment: object) -> bool:
        """Whether a deployment is held."""
        return str(deployment) in self.disk.held


@asynccontextmanager
async def _in_memory(home: Path, clock: Clock) -> AsyncIterator[_Kept]:
    yield _Kept(Disk(), clock, Life())


async def _deploy(network_home: Path, folder: Path, home: Path, name: str) -> float:
    """Deploy, and return the longest wait for a commit in seconds."""
    running = local.ensure_running(network_home)
    longest = 0.0
    signer = KeySigner(key_of_file(running.key_file))
    async with ws.open(home=home, network=running.network, signer=signer) as sites:
        journal: Any = sites._wiring.journal
        inner = journal.append

        async def append(owner: Any, changes: Any) -> Any:
            nonlocal longest
            began = anyio.current_time()
            done = await inner(owner, changes)
            longest = max(longest, anyio.current_time() - began)
            return done

        journal.append = append
        await sites.deploy(folder, site_name=name, verify=Verify.NONE)
    return longest


def _main(network_home: str, folder: str, home: str, kind: str, name: str) -> None:
    Path(home).mkdir(mode=0o700)
    kept = patch.object(session, "open_journal", _in_memory) if kind == "memory" else nullcontext()
    with kept:
        longest = anyio.run(_deploy, Path(network_home), Path(folder), Path(home), name)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "longest_s": longest}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
