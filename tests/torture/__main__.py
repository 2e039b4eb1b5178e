"""The proof, at length: `python -m tests.torture quick|ci|long`; `make torture` is the long one.

Prints the figures of each part and ends with an exit code of 1 when anything was found that must not be, or when a
planted bug was not found. Parts run in as many processes as there are processors.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context

from tests.torture import crashes, images, kills, planted
from walrus_sdk.testing.simulation import SITUATIONS, run_seed

__all__ = ["PROFILES", "Profile", "main"]

_CHUNK = 50


@dataclass(frozen=True, slots=True)
class Profile:
    """How much is tried.

    Seeds; every which pair of deaths at the boundaries of effects, and at commits of the journal besides (0: none);
    images after a power cut; kills of real processes, and of such at a system call. Planted bugs are hunted in each.
    """

    seeds: int
    pair_step: int
    commit_step: int
    images: int
    kills: int
    calls: int = 0


PROFILES = {
    "quick": Profile(seeds=100, pair_step=17, commit_step=61, images=300, kills=10),
    # Pairs of deaths and kills at system calls are tried by `make test`, which the gate runs besides.
    "ci": Profile(seeds=10_000, pair_step=0, commit_step=0, images=20_000, kills=200),
    "long": Profile(seeds=50_000, pair_step=1, commit_step=1, images=200_000, kills=2_000, calls=60),
}


@dataclass(slots=True)
class Seeds:
    """What a number of seeds came to."""

    seeds: int = 0
    deaths: int = 0
    payments: int = 0
    in_vain: int = 0
    transactions: int = 0
    virtual_days: float = 0.0


def live(first: int, count: int) -> tuple[Seeds, Counter[str], list[str]]:
    """Live some seeds; returns figures, situations met, and what went wrong."""
    found, met, wrong = Seeds(), Counter[str](), []
    for seed in range(first, first + count):
        try:
            outcome = run_seed(seed)
        except BaseException as error:
            wrong.append(f"seed {seed}: {type(error).__name__}: {error}")
            continue
        found.seeds += 1
        found.deaths += outcome.deaths
        found.payments += outcome.payments
        found.in_vain += outcome.in_vain
        found.transactions += outcome.transactions
        found.virtual_days += outcome.virtual_s / 86_400
        met += outcome.met
    return found, met, wrong


def _collect_rarely() -> None:
    """Let a process look for garbage a few times in a hundred lives: whole worlds are thrown away, at 50 MB more."""
    gc.freeze()
    gc.set_threshold(300_000, 10, 10)


def _chunks(total: int) -> Iterator[tuple[int, int]]:
    for first in range(0, total, _CHUNK):
        yield first, min(_CHUNK, total - first)


class _Report:
    """Prints the figures and remembers what went wrong."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self._start = time.perf_counter()

    def say(self, text: str) -> None:
        """Print a line with the time."""
        sys.stdout.write(f"{time.perf_counter() - self._start:7.0f} s  {text}\n")
        sys.stdout.flush()

    def bad(self, problems: Sequence[str]) -> None:
        """Remember and print what went wrong."""
        for text in problems[:20]:
            self.say(f"WRONG: {text}")
        self.wrong += problems


def _seeds(report: _Report, pool: ProcessPoolExecutor, total: int) -> None:
    whole, met = Seeds(), Counter[str]()
    for found, seen, wrong in pool.map(live, *zip(*_chunks(total), strict=True)):
        for name, value in asdict(found).items():
            setattr(whole, name, getattr(whole, name) + value)
        met += seen
        report.bad(wrong)
        if total >= 10_000 and whole.seeds % (total // 10) < _CHUNK:
            report.say(f"{whole.seeds} of {total} seeds")
    report.say("simulation: " + ", ".join(f"{value:.0f} {name}" for name, value in asdict(whole).items()))
    never = [name for name in SITUATIONS if not met[name]]
    report.say(f"situations met: {len(SITUATIONS) - len(never)} of {len(SITUATIONS)}")
    if never and total >= 1000:
        report.bad([f"never met: {', '.join(never)}"])


def _pairs(report: _Report, pool: ProcessPoolExecutor, step: int, *, commits: bool) -> None:
    parts = os.cpu_count() or 1
    running = {
        name: [pool.submit(crashes.run, name, step, commits, part, parts) for part in range(parts)]
        for name in crashes.VERBS
    }
    for name, futures in running.items():
        try:
            found = [future.result() for future in futures]
        except BaseException as error:
            report.bad([f"{name}: {type(error).__name__}: {error} {getattr(error, '__notes__', '')}"])
            continue
        every = "all pairs" if step == 1 else f"one pair in {step}"
        where = "effects and commits" if commits else "effects"
        pairs = sum(part.pairs for part in found)
        report.say(f"deaths in {name}, at {where}: {found[0].points} points, {every}: {pairs}")


def _images(report: _Report, pool: ProcessPoolExecutor, total: int) -> None:
    parts = os.cpu_count() or 1
    found = list(pool.map(images.run, [total // parts] * parts, range(parts)))
    corrupt, lost = sum(part.corrupt for part in found), sum(part.lost for part in found)
    report.say(f"power cuts: {sum(part.images for part in found)} images, {corrupt} corrupt, {lost} lost")
    if corrupt or lost:
        report.bad([f"power cuts: {corrupt} corrupt, {lost} lost"])


def _kills(report: _Report, running: Future[kills.Figures], *, calls: bool = False) -> None:
    found = running.result()
    report.say(
        ("kill -9 at system calls: " if calls else "kill -9: ")
        + ", ".join(f"{value:g} {name}" for name, value in asdict(found).items() if name != "notes")
    )
    zero = (
        "lost_acknowledgements", "paid_for_recorded", "unreported", "wrong_content", "second_sites", "unsound",
        "failed",
    )  # fmt: skip
    report.bad([f"kill -9: {getattr(found, name)} {name}" for name in zero if getattr(found, name)])
    if found.paid_in_vain > found.bound:
        report.bad([f"kill -9: {found.paid_in_vain} paid in vain, at most {found.bound} may be"])


def _planted(report: _Report) -> None:
    found = 0
    for bug in planted.BUGS:
        try:
            report.say(f"planted: {planted.title(bug)}: {planted.hunt(bug)}")
            found += 1
        except AssertionError as error:
            report.bad([str(error)])
    report.say(f"planted bugs found: {found} of {len(planted.BUGS)}")


def main(name: str) -> int:
    """Run a profile; returns the exit code."""
    profile, report = PROFILES[name], _Report()
    report.say(f"profile {name}: {profile}")
    alone = ProcessPoolExecutor(1, mp_context=get_context("spawn"))  # it forks, so it has no threads
    with alone, ProcessPoolExecutor(os.cpu_count(), initializer=_collect_rarely) as pool:
        killing = alone.submit(kills.run, profile.kills, 1)  # beside the rest: its children wait a good deal
        if profile.pair_step:
            _pairs(report, pool, profile.pair_step, commits=False)
            _pairs(report, pool, profile.commit_step, commits=True)
        _images(report, pool, profile.images)
        _seeds(report, pool, profile.seeds)
        _kills(report, killing)
        if profile.calls and shutil.which("strace") is None:
            report.say("kill -9 at system calls: not tried, as strace is not installed")
        elif profile.calls:
            _kills(report, alone.submit(partial(kills.run, calls=True), profile.calls, 1), calls=True)
    _planted(report)
    report.say("everything held" if not report.wrong else f"{len(report.wrong)} things are wrong")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1] if len(sys.argv) > 1 else "quick"))
