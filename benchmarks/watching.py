"""What watching costs: CPU seconds of a deployment with somebody who watches it, and without, in pairs."""

from __future__ import annotations

import dataclasses
import json
import os
import pty
import resource
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import anyio

import walrus_sdk as ws
from benchmarks.house import House, open_house, scratch, write_site
from benchmarks.rows import Row

__all__ = ["watching"]

_FILES, _SIZE, _PAIRS = 10_000, 2_000, 10
_SHAPE: dict[str, Any] = {"latency_s": 1.0, "bytes_per_s": 12_500_000}
_LIMIT = 1.03
_SCRAPE_S = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Round:
    """CPU seconds of the deploying process, and of those that watched it."""

    deploy_s: float
    watch_s: float = 0.0


def watching(pairs: int = _PAIRS) -> Iterator[Row]:
    """10,000 files of 2 KB on the local network (1 s a store, 100 Mbit/s): watched against not watched, in pairs.

    Watched: samples are written, `walrus-sdk monitor` draws its whole screen on a terminal, and `walrus-sdk metrics
    --serve` is read every five seconds, all while it stores. Not watched: none of that. Each deployment is a process of
    its own with new content; of a pair the other one goes first each time. The ratio is the median of the pairs.
    The limit is that of the deploying process; what the watchers take by themselves is told beside it.
    """
    with scratch() as place, open_house(**_SHAPE) as house:
        rounds: list[tuple[_Round, _Round]] = []
        for number in range(pairs):
            order = (True, False) if number % 2 else (False, True)
            found = {watched: _round(place, house, number, watched=watched) for watched in order}
            rounds.append((found[True], found[False]))
    name = f"CPU seconds of a deployment of {_FILES:,} files, watched"
    yield _row(name, rounds, [watched.deploy_s for watched, _ in rounds], _LIMIT)
    both = [watched.deploy_s + watched.watch_s for watched, _ in rounds]
    yield _row(f"{name}, and those of monitor and metrics", rounds, both, None)


def _row(name: str, rounds: Sequence[tuple[_Round, _Round]], ours: Sequence[float], limit: float | None) -> Row:
    theirs = [alone.deploy_s for _, alone in rounds]
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    note = f"{len(rounds)} pairs, ratios {min(ratios):.3f} to {max(ratios):.3f}"
    return Row(name, "not watched", median(ours), median(theirs), "s", median(ratios), limit, at_most=True, note=note,
               samples={"watched": ours, "not watched": theirs})  # fmt: skip


def _round(place: Path, house: House, number: int, *, watched: bool) -> _Round:
    name = f"{'watched' if watched else 'alone'}-{number}"
    folder = write_site(place / name, _FILES, _SIZE, name)
    command = [sys.executable, "-m", "benchmarks.watching", str(house.home), str(folder), name, str(int(watched))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it is planned, and begins
        watchers: list[_Monitor | _Metrics] = [_Monitor(house.home), _Metrics(house.home)] if watched else []
        process.stdout.read()
        _, status, spent = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the deployment ended with {process.returncode}")
    return _Round(_cpu_s(spent), sum(watcher.cpu_s() for watcher in watchers))


def _cpu_s(spent: resource.struct_rusage) -> float:
    return spent.ru_utime + spent.ru_stime


def _start(home: Path, *words: str, **streams: Any) -> subprocess.Popen[bytes]:
    """Start a command that watches a home."""
    code = "import sys; from walrus_sdk.cli.main import run; sys.exit(run())"
    environment = {**os.environ, "WALRUS_DEPLOYMENT_HOME": str(home), "TERM": "xterm-256color", "LINES": "50",
                   "COLUMNS": "120"}  # fmt: skip
    return subprocess.Popen([sys.executable, "-c", code, *words], env=environment, **streams)


class _Metrics:
    """`walrus-sdk metrics --serve`, and somebody who reads it as Prometheus does."""

    def __init__(self, home: Path) -> None:
        self._process = _start(home, "metrics", "--serve", "--port", "0", "--json", stdout=subprocess.PIPE)
        self._over = threading.Event()
        self.read = 0
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        url = json.loads(self._process.stdout.readline())["url"]
        while not self._over.is_set():
            with urllib.request.urlopen(url) as answer:  # the address on loopback that was just told
                self.read += len(answer.read())
            self._over.wait(_SCRAPE_S)

    def cpu_s(self) -> float:
        """End it; returns its CPU seconds."""
        self._over.set()
        self._reader.join()
        self._process.terminate()
        _, status, spent = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        assert self._process.stdout is not None
        self._process.stdout.close()
        if not self.read:
            raise RuntimeError("nobody read the metrics")
        return _cpu_s(spent)


class _Monitor:
    """`walrus-sdk monitor` on a terminal of its own."""

    def __init__(self, home: Path) -> None:
        ours, theirs = pty.openpty()
        self._process = _start(home, "monitor", stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self._ours = ours
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.seen = 0

    def _read(self) -> None:
        """Take what is drawn, so that the terminal never holds the monitor up."""
        while True:
            try:
                data = os.read(self._ours, 65_536)
            except OSError:  # as a terminal tells that nobody has it open any more
                return
            if not data:
                return
            self.seen = len(data)

    def cpu_s(self) -> float:
        """Wait until it ends with the deployment; returns its CPU seconds."""
        _, status, spent = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._reader.join()
        os.close(self._ours)
        if self._process.returncode or not self.seen:
            raise RuntimeError(f"the monitor ended with {self._process.returncode}")
        return _cpu_s(spent)


async def _deploy(home: str, folder: str, name: str, *, watched: bool) -> None:
    async with ws.open(home=home, network="local") as sites:
        wiring = sites._wiring
        if not watched:  # no samples: as it would be without watching
            connection = await wiring.connection()
            wiring._connection = dataclasses.replace(connection, sampler=None)  # type: ignore[attr-defined]
        plan = await sites.plan(folder, site_name=name)
        begun = False

        def progress(now: ws.Progress) -> None:
            nonlocal begun
            if not begun and now.phase is ws.Phase.STORE:
                begun = True
                print("begun", flush=True)

        await sites.apply(plan, progress=progress)


if __name__ == "__main__":
    anyio.run(lambda: _deploy(*sys.argv[1:4], watched=sys.argv[4] == "1"))
