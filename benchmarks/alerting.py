"""What alerts and metrics cost: CPU seconds of those who watch a home while a deployment runs, against its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import urlopen

from benchmarks.house import House, open_house, scratch, write_site
from benchmarks.rows import Row

__all__ = ["alerting"]

_FILES, _SIZE, _ROUNDS = 10_000, 2_000, 5
_SHAPE: dict[str, Any] = {"latency_s": 1.0, "bytes_per_s": 12_500_000}
_SCRAPE_S = 15.0
_LIMIT = 0.03
_PROGRAM = "import sys; from walrus_sdk.cli.main import run; sys.exit(run())"
_RULES = "[alerts.full]\nkind = 'disk'\nbelow_bytes = 1e30\n"
"""Beside those that are on by default, one that fires at once: its line says that the first look was taken."""


def alerting(rounds: int = _ROUNDS) -> Iterator[Row]:
    """10,000 files of 2 KB on the local network (1 s a store, 100 Mbit/s), beside both commands.

    The page of metrics is read every 15 seconds. Who watches was started before, as it is in use; what its start takes
    is not counted. Each deployment is a process of its own with new content.
    """
    with scratch() as place, open_house(**_SHAPE) as house, _watchers(place, house) as watchers:
        ours, theirs = list[float](), list[float]()
        for number in range(rounds):
            before = [_cpu_s(one) for one in watchers]
            theirs.append(_deploy(place, house, number))
            ours.append(sum(_cpu_s(one) for one in watchers) - sum(before))
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    yield Row(
        f"CPU seconds of alerts --watch and metrics --serve beside a deployment of {_FILES:,} files",
        "the deployment",
        median(ours),
        median(theirs),
        "s",
        median(ratios),
        _LIMIT,
        at_most=True,
        note=f"{rounds} rounds, ratios {min(ratios):.3f} to {max(ratios):.3f}",
        samples={"watching": ours, "deploying": theirs},
    )


@contextmanager
def _watchers(place: Path, house: House) -> Iterator[Sequence[int]]:
    """Start both for the length of a block; gives their process ids when both have looked once."""
    rules = place / "rules.toml"
    rules.write_text(_RULES, encoding="utf-8")
    over = threading.Event()
    with (
        _program(house, "metrics", "--serve", "--port", "0") as metrics,
        _program(house, "alerts", "--watch", "--rules", str(rules)) as alerts,
    ):
        assert metrics.stdout is not None
        assert alerts.stdout is not None
        url = json.loads(metrics.stdout.readline())["url"]
        alerts.stdout.readline()
        scraper = threading.Thread(target=_scrape, args=(url, over))
        scraper.start()
        try:
            yield metrics.pid, alerts.pid
        finally:
            over.set()
            scraper.join()
            alerts.terminate()
            metrics.terminate()


def _program(house: House, *args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _PROGRAM, *args, "--json", "--home", str(house.home)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _scrape(url: str, over: threading.Event) -> None:
    while True:
        with urlopen(url) as page:
            page.read()
        if over.wait(_SCRAPE_S):
            return


def _cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process so far (proc(5): fields 14 and 15)."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _deploy(place: Path, house: House, number: int) -> float:
    """Deploy a new folder; returns the CPU seconds of the process."""
    name = f"site-{number}"
    folder = write_site(place / name, _FILES, _SIZE, name)
    args = ["deploy", str(folder), "--site-name", name, "--network", "local", "--yes"]
    with _program(house, *args) as process:
        assert process.stdout is not None
        process.stdout.read()
        _, status, spent = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the deployment ended with {process.returncode}")
    return spent.ru_utime + spent.ru_stime
