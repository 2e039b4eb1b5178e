"""The drill: a user's own site through deaths and lost answers, in a simulated world; what it would have cost.

    report = drill({"index.html": b"home"})

Nothing of it touches a network or a home. The site is deployed once undisturbed; then once for each hook point with a
death there, and once for each moment of a store with a lost answer; each time the same command is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from walrus_sdk.errors import WalrusError
from walrus_sdk.model.units import BlobId, Frost
from walrus_sdk.testing.death import at_point, is_death
from walrus_sdk.testing.invariants import Violation, Watcher
from walrus_sdk.testing.store import MOMENTS, lost
from walrus_sdk.testing.virtual import VirtualClock, run
from walrus_sdk.testing.world import SimulatedWorld

__all__ = ["DrillReport", "drill", "read_folder"]

_LARGEST_WITH_10_SHARDS = 1_500_000
_SITE = "drill"


@dataclass(frozen=True, slots=True)
class DrillReport:
    """What a drill came to.

    `runs` with `deaths` and `lost_answers`; `cost` of an undisturbed deployment, `most_extra` the most that one run
    paid beside it; `unreported` payments beyond the first that no result named; `broken` runs after which visitors did
    not get the whole site, `stuck` runs that did not come to their end. The last three must be 0.
    """

    files: int
    stores: int
    transactions: int
    runs: int
    deaths: int
    lost_answers: int
    cost: Frost
    most_extra: Frost
    paid_again: int
    unreported: int
    broken: int
    stuck: int

    @property
    def good(self) -> bool:
        """Whether everything was as it must be."""
        return not (self.unreported or self.broken or self.stuck)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "files": self.files, "stores": self.stores, "transactions": self.transactions, "runs": self.runs,
            "deaths": self.deaths, "lost_answers": self.lost_answers, "cost_frost": str(self.cost.units),
            "most_extra_frost": str(self.most_extra.units), "paid_again": self.paid_again,
            "unreported": self.unreported, "broken": self.broken, "stuck": self.stuck, "good": self.good,
        }  # fmt: skip


def read_folder(place: Path) -> dict[str, bytes]:
    """Return the files of a folder by their relative POSIX path; links and dot folders are left out."""
    files = [path for path in sorted(place.rglob("*")) if path.is_file() and not path.is_symlink()]
    shown = [path for path in files if not any(part.startswith(".") for part in path.relative_to(place).parts)]
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in shown}


def drill(
    files: Mapping[str, bytes], *, points: int = 60, listen: Callable[[str], object] = lambda _: None
) -> DrillReport:
    """Run the drill over `files`; `points` limits the deaths, spread evenly. `listen` is told of each run."""

    async def main() -> DrillReport:
        return await _Drill(files, points, listen).run()

    return run(main)


class _Drill:
    def __init__(self, files: Mapping[str, bytes], points: int, listen: Callable[[str], object]) -> None:
        self._files = files
        self._points = points
        self._listen = listen
        largest = max(map(len, files.values()), default=0)
        self._shards = 10 if largest <= _LARGEST_WITH_10_SHARDS else 1000
        self._paid_again = self._unreported = self._broken = self._stuck = 0
        self._most = 0

    async def run(self) -> DrillReport:
        whole = self._world()
        result = await self._deploy(whole)
        assert result is not None, "undisturbed"
        total, cost = len(whole.life.points), _spent(whole)
        step = max(1, total // self._points)
        deaths = 0
        for number in range(1, total + 1, step):
            await self._one(f"death at point {number} of {total}", cost, partial(_die, number))
            deaths += 1
        for moment in MOMENTS:
            await self._one(f"answer lost when {moment}", cost, partial(_lose, moment))
        return DrillReport(
            files=len(self._files), stores=result.cost.requests, transactions=len(result.digests),
            runs=1 + deaths + len(MOMENTS), deaths=deaths, lost_answers=len(MOMENTS), cost=Frost(cost),
            most_extra=Frost(self._most), paid_again=self._paid_again, unreported=self._unreported,
            broken=self._broken, stuck=self._stuck,
        )  # fmt: skip

    def _world(self) -> SimulatedWorld:
        return SimulatedWorld(self._files, n_shards=self._shards, clock=VirtualClock())

    async def _deploy(self, world: SimulatedWorld) -> Any:
        for _ in range(4):
            try:
                return await world.deploy(site_name=_SITE)
            except WalrusError as error:
                if not error.fields.get("resumable"):
                    raise
            except BaseException as error:
                if not is_death(error):
                    raise
                world.revive()
        return None

    async def _one(self, what: str, cost: int, hurt: Callable[[SimulatedWorld], None]) -> None:
        world = self._world()
        watcher = Watcher(world)
        hurt(world)
        result = await self._deploy(world)
        extra = _spent(world) - cost
        self._most = max(self._most, extra)
        self._paid_again += sum(times - 1 for times in world.paid().values())
        if result is None:
            self._stuck += 1
        elif await world.served() != world.published():
            self._broken += 1
        try:
            await watcher.check(1)
        except Violation:
            self._unreported += 1
        self._listen(f"{what}: {extra} FROST beside the plan")


def _die(number: int, world: SimulatedWorld) -> None:
    world.life.die_when(at_point(number))


def _lose(moment: str, world: SimulatedWorld) -> None:
    answers = [lost()]

    def fault(now: str, _: BlobId) -> Exception | None:
        return answers.pop() if now == moment and answers else None

    world.store.faults = fault


def _spent(world: SimulatedWorld) -> int:
    return sum(int(row["cost_frost"]) for row in world.net.blobs.ledger())
