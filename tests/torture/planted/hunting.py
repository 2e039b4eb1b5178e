"""What a planted bug is, what looks for one, and how it is planted."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anyio

from tests.torture import crashes
from walrus_sdk.sites import packing
from walrus_sdk.testing import SimulatedWorld, virtual
from walrus_sdk.testing.invariants import Violation, Watcher
from walrus_sdk.testing.simulation import run_seed

__all__ = [
    "Bug", "Plant", "Scenario", "all_of", "alone", "dies", "hunt", "in_a_folder", "in_a_world", "in_virtual_time",
    "pairs", "replaced", "seeds",
]  # fmt: skip

SEEDS = 400

Plant = Callable[[ExitStack], object]


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug: its key, its name, the invariant that it breaks, how it is planted, and what must find it in its tries.

    `key` is its number in the list of 25, one of the lies, or `None` for one that we thought of ourselves.
    """

    key: int | str | None
    name: str
    breaks: str
    plant: Plant
    find: Callable[[], object]


def hunt(bug: Bug) -> str:
    """Plant a bug and return the invariant that found it: the one that it breaks.

    Raises `AssertionError` when nothing did, another one, or something that is no invariant.
    """
    with ExitStack() as stack:
        bug.plant(stack)
        try:
            bug.find()
        except BaseException as error:
            found = _violation(error)
            if found is not None and found.name == bug.breaks:
                return found.name
            text = f"planted: {bug.name}: ended by something else than {bug.breaks}: {type(error).__name__}: {error}"
            raise AssertionError(text) from error
    raise AssertionError(f"planted and not found: {bug.name}")


def _violation(error: BaseException) -> Violation | None:
    """Return the first violation in an error or in a group of errors."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_violation, error.exceptions)), None)
    return error if isinstance(error, Violation) else None


# ── what finds them ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story that comes to a good end without its bug; called, it is told."""

    name: str
    tell: Callable[[], object]

    def __call__(self) -> None:
        """Tell it. Raises `Violation` when an invariant does not hold."""
        self.tell()


def in_a_world(
    sites: int = 1, commands: int = packing.MAX_CALLS
) -> Callable[[Callable[..., Awaitable[None]]], Scenario]:
    """Make a scenario of a story in a simulated world, which makes at most so many sites.

    Transactions hold so many commands: with few, a small site takes several. The story takes the world, and the
    watcher where it wants it; everything that is watched is checked at the end.
    """

    def made(story: Callable[..., Awaitable[None]]) -> Scenario:
        async def tell() -> None:
            world = SimulatedWorld()
            watcher = Watcher(world)
            with patch.object(packing, "MAX_CALLS", commands):
                await story(*(world, watcher)[: len(inspect.signature(story).parameters)])
            watcher.watch()
            await watcher.check(sites)

        return Scenario(story.__name__, lambda: anyio.run(tell))

    return made


def in_a_folder(story: Callable[[Path], Awaitable[None]]) -> Scenario:
    """Make a scenario of a story on real files, in a folder that it begins with empty."""

    def tell() -> None:
        with tempfile.TemporaryDirectory() as name:
            anyio.run(story, Path(name))

    return Scenario(story.__name__, tell)


def alone(story: Callable[[], Awaitable[None]]) -> Scenario:
    """Make a scenario of a story that needs nothing."""
    return Scenario(story.__name__, lambda: anyio.run(story))


def in_virtual_time(story: Callable[[], Awaitable[None]]) -> Scenario:
    """Make a scenario of a story in which waiting takes no time; it has neither threads nor sockets."""
    return Scenario(story.__name__, lambda: virtual.run(story))


def seeds(count: int = SEEDS) -> Callable[[], None]:
    """Search so many seeds."""

    def find() -> None:
        for seed in range(count):
            run_seed(seed)

    return find


def pairs(verb: str, step: int = 3) -> Callable[[], object]:
    """Try pairs of deaths of a verb."""
    return lambda: crashes.run(verb, step)


async def dies(world: SimulatedWorld, point: str, **asked: Any) -> None:
    """Deploy until the world's death at a hook point."""
    assert await world.dies(point, lambda: world.deploy(**asked)), point


# ── how they are planted ──────────────────────────────────────────────────────────────────────────────────────────


def replaced(target: Any, name: str, value: Any) -> Plant:
    """Plant by replacing an attribute."""
    return lambda stack: stack.enter_context(patch.object(target, name, value))


def all_of(*plants: Plant) -> Plant:
    """Plant several things that only together are the bug."""
    return lambda stack: [plant(stack) for plant in plants]
