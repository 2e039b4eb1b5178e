"""What watching costs: CPU seconds of a deployment with somebody who watches it, and without, in pairs."""

from __future__ import annotations

import dataclasses
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import anyio

import walrus_sdk as ws
from benchmarks.house import House, open_house, scratch, write_site
from benchmarks.rows import Row

__all__ = ["watching"]

_FILES, _SIZE, _PAIRS = 10_000, 2_000, 10
_SHAPE = {"latency_s": 1.0, "bytes_per_s": 12_500_000}
_LIMIT = 1.03


@dataclasses.dataclass(frozen=True, slots=True)
class _Round:
    """CPU seconds of the deploying process, and of those that watched it."""

    deploy_s: float
    watch_s: float = 0.0


def watching(pairs: int = _PAIRS) -> Iterator[Row]:
    """10,000 files of 2 KB on the local network (1 s a store, 100 Mbit/s): watched against not watched, in pairs.

    Watched: samples are written, and `walrus-sdk monitor` draws its whole screen on a terminal, while
    it stores. Not watched: neither. Each deployment is a process of its own with new content; of a pair the other one
    goes first each time. The ratio is the median of those of the pairs.
    """
    with scratch() as place, open_house(**_SHAPE) as house:
        rounds: list[tuple[_Round, _Round]] = []
        for number in range(pairs):
            order = (True, False) if number % 2 else (False, True)
            found = {watched: _round(place, house, number, watched=watched) for watched in order}
            rounds.append((found[True], found[False]))
    name = f"CPU seconds of a deployment of {_FILES:,} files, watched"
    yield _row(f"{name}: the deploying process", rounds, 0.0)
    yield _row(f"{name}: with the monitor's own", rounds, 1.0)


def _row(name: str, rounds: Sequence[tuple[_Round, _Round]], share: float) -> Row:
    ours = [watched.deploy_s + share * watched.watch_s for watched, _ in rounds]
    theirs = [alone.deploy_s for _, alone in rounds]
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    note = f"{len(rounds)} pairs, ratios {min(ratios):.3f} to {max(ratios):.3f}"
    return Row(name, "not watched", median(ours), median(theirs), "s", median(ratios), _LIMIT, at_most=True, note=note,
               samples={"watched": ours, "not watched": theirs})  # fmt: skip


def _round(place: Path, house: House, number: int, *, watched: bool) -> _Round:
    name = f"{'watched' if watched else 'alone'}-{number}"
    folder = write_site(place / name, _FILES, _SIZE, name)
    command = [sys.executable, "-m", "benchmarks.watching", str(house.home), str(folder), name, str(int(watched))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it is planned, and begins
        watch = _Monitor(house.home) if watched else None
        process.stdout.read()
        _, status, spent = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the deployment ended with {process.returncode}")
    return _Round(spent.ru_utime + spent.ru_stime, watch.cpu_s() if watch is not None else 0.0)


class _Monitor:
    """`walrus-sdk monitor` on a terminal of its own."""

    def __init__(self, home: Path) -> None:
        code = "import sys; from walrus_sdk.cli.main import run; sys.exit(run())"
        ours, theirs = pty.openpty()
        environment = {**os.environ, "WALRUS_DEPLOYMENT_HOME": str(home), "TERM": "xterm-256color", "LINES": "50",
                       "COLUMNS": "120"}  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, "monitor"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
        )
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
        return spent.ru_utime + spent.ru_stime


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
