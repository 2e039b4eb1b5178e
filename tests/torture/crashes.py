"""A death at every effect boundary and at every pair of them, for each verb that changes something.

    python -m tests.torture.crashes [STEP [commits]]    # every STEPth pair; 1 is all of them

With commits the points are also the moments before and after each commit of the journal and each checkpoint.

The first death hits the verb, the second the same verb when it is called again; then it is called once more and must
come to its end. Worlds have 10 shards and two patches a quilt, so that 8 files are several stores.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from walrus_sdk.errors import ConfigurationError, OwnershipError
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.testing import SimulatedWorld, at_point
from walrus_sdk.testing.invariants import Violation, Watcher

__all__ = ["VERBS", "Figures", "run"]

FILES = {"index.html": b"home", **{f"page-{n}.html": b"<p>%d</p>" % n for n in range(7)}}
OPTIONS = DeployOptions(site_name="simulated", max_quilt_files=2, concurrency=2, max_delete=1.0)
DELETABLE = DeployOptions(site_name="simulated", max_quilt_files=2, concurrency=2, max_delete=1.0, deletable=True)

Verb = Callable[[SimulatedWorld], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Figures:
    """What was tried: points of a whole run of a verb, pairs of deaths, seconds."""

    verb: str
    points: int
    pairs: int
    seconds: float


async def deploy(world: SimulatedWorld) -> object:
    """Deploy."""
    return await world.session.deploy("/site", OPTIONS)


async def resume(world: SimulatedWorld) -> object:
    """Resume the newest; once it is complete there is none."""
    try:
        return await world.session.resume(None, OPTIONS)
    except ConfigurationError:
        return await deploy(world)


async def rollback(world: SimulatedWorld) -> object:
    """Roll back to the first version."""
    return await world.session.rollback("simulated", OPTIONS, to=1, lock=False)


async def cancel(world: SimulatedWorld) -> object:
    """Cancel the newest."""
    return await world.session.cancel((await world.session.list())[0].deployment_id)


async def cleanup(world: SimulatedWorld) -> object:
    """Clean up all but the last version."""
    return await world.session.cleanup(DELETABLE, older_than_days=0.5, keep_last=1, dry_run=False)


async def nothing(_: SimulatedWorld) -> None:
    """Prepare nothing."""


async def half_deployed(world: SimulatedWorld) -> None:
    """Die in the middle of a deployment."""
    await _dying(world, deploy, lambda _, name: name == "transaction.do.before")


async def almost_done(world: SimulatedWorld) -> None:
    """Die when the last transaction is executed and not recorded."""
    await _dying(world, deploy, lambda _, name: name == "transaction.do.after")


async def two_versions(world: SimulatedWorld) -> None:
    """Publish two versions."""
    await deploy(world)
    world.files["page-1.html"] = b"changed"
    del world.files["page-2.html"]
    await deploy(world)


async def deletable_versions(world: SimulatedWorld) -> None:
    """Publish three versions whose blobs can be deleted."""
    for number in range(3):
        world.files["page-1.html"] = b"version %d" % number
        await world.session.deploy("/site", DELETABLE)
        world.clock.advance(86_400)


VERBS: dict[str, tuple[Verb, Verb]] = {
    "deploy": (nothing, deploy),
    "resume": (half_deployed, resume),
    "rollback": (two_versions, rollback),
    "cancel": (almost_done, cancel),
    "cleanup": (deletable_versions, cleanup),
}
"""Each verb: what is prepared, and what is killed."""


async def _dying(world: SimulatedWorld, verb: Verb, at: Callable[[int, str], bool], *, commits: bool = False) -> bool:
    """Run a verb until its death, or its end when the point is not reached; returns whether it died."""
    world.revive()
    world.life.counts_commits = commits
    return await world.dies(at, lambda: verb(world))


async def _prepared(prepare: Verb) -> tuple[SimulatedWorld, Watcher]:
    world = SimulatedWorld(FILES, seed="5" * 64)
    await prepare(world)
    world.revive()
    return world, Watcher(world)


async def _one(name: str, first: int, second: int, commits: bool) -> bool:
    """Live one pair; returns whether the second point was reached (then there may be a next one)."""
    prepare, verb = VERBS[name]
    world, watcher = await _prepared(prepare)
    reached = True
    for point in (first, second):
        reached = await _dying(world, verb, at_point(point), commits=commits)
        watcher.watch()
        await watcher.check(1)
    await verb(world)
    await watcher.check(1)
    await _check_end(name, world)
    return reached


async def _check_end(name: str, world: SimulatedWorld) -> None:
    if name == "cancel":
        if (await world.statuses())[-1] not in ("cancelled", "completed"):
            raise Violation("SERVE-6", f"a cancelled deployment is {(await world.statuses())[-1]}")
        await deploy(world)
    if name == "rollback":
        if await world.served() != {f"/{path}": data for path, data in FILES.items()}:
            raise Violation("CONTENT-4", "a rollback did not bring the version back")
        return
    try:
        await deploy(world)
    except OwnershipError as error:
        raise Violation("LIVE-1", f"after {name} nothing can be deployed: {error}") from error
    if await world.served() != world.published():
        raise Violation("CONTENT-4", f"after {name} the site is not what was published")


async def _points(name: str, commits: bool) -> int:
    prepare, verb = VERBS[name]
    world, _ = await _prepared(prepare)
    world.life.counts_commits = commits
    await verb(world)
    return len(world.life.points)


def run(name: str, step: int = 1, commits: bool = False, part: int = 0, parts: int = 1) -> Figures:
    """Try every `step`th pair of deaths of a verb, or one of so many parts of them.

    Raises `Violation` with the pair in a note.
    """

    async def main() -> Figures:
        start, points, pairs = time.perf_counter(), await _points(name, commits), 0
        for first in range(1 + part, points + 1, parts):
            second = 1 + (first % step)
            reached = True
            while reached:
                try:
                    reached = await _one(name, first, second, commits)
                except BaseException as error:
                    error.add_note(f"{name}: deaths at points {first} and {second}")
                    raise
                pairs, second = pairs + 1, second + step
        return Figures(name, points, pairs, time.perf_counter() - start)

    return anyio.run(main)


def main(step: int, commits: bool) -> None:
    """Try all verbs and print the figures."""
    for name in VERBS:
        found = run(name, step, commits)
        sys.stdout.write(f"{found.verb:<10} {found.points:>4} points {found.pairs:>6} pairs {found.seconds:>7.1f} s\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1, "commits" in sys.argv[2:])
