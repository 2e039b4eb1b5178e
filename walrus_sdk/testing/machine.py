"""Clock, waiting, chance, ids and threads without the machine: nothing waits, everything repeats."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

from walrus_sdk.model.units import DeploymentId
from walrus_sdk.testing.virtual import turn

__all__ = ["InlineThreads", "ManualClock", "SeededRandom", "SequentialIds", "computed"]

T = TypeVar("T")


class ManualClock:
    """Clocks that move when told; `sleep` moves them instead of waiting."""

    def __init__(self, wall_ms: int = 1_800_000_000_000) -> None:
        self._wall_ms = wall_ms
        self._seconds = 1000.0
        self._boot = "boot-1"

    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC."""
        return self._wall_ms

    def monotonic(self) -> float:
        """Seconds."""
        return self._seconds

    def boot_s(self) -> float:
        """Seconds since boot."""
        return self._seconds

    def boot_id(self) -> str:
        """The boot's name."""
        return self._boot

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._seconds += seconds
        self._wall_ms += int(seconds * 1000)

    def reboot(self) -> None:
        """Start a new boot: the clock since boot begins at zero, under another name."""
        self._seconds, self._boot = 0.0, self._boot + "'"

    async def sleep(self, seconds: float) -> None:
        """Advance by `seconds`, and let other tasks run."""
        self.advance(seconds)
        await turn()


class SeededRandom:
    """Chance that repeats."""

    def __init__(self, seed: int = 0) -> None:
        self._source = random.Random(seed)  # noqa: S311  # chance for tests

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        return self._source.uniform(low, high)


class SequentialIds:
    """Deployment ids in order."""

    def __init__(self) -> None:
        self._count = 0

    def deployment_id(self) -> DeploymentId:
        """Return the next id."""
        self._count += 1
        return DeploymentId.make(1_800_000_000_000 + self._count, self._count)


class InlineThreads:
    """Work done at once, in the event loop."""

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call a blocking function."""
        await turn()
        return function(*args)

    async def compute(self, function: Callable[..., T], *args: Any) -> T:
        """Call a pure function; once only, for the same arguments."""
        await turn()
        return cast(T, computed(function, *map(_frozen, args)))


def _frozen(argument: Any) -> Any:
    """Return an argument that can be a key."""
    if isinstance(argument, list):
        return tuple(map(_frozen, argument))
    return bytes(argument) if isinstance(argument, bytearray) else argument


@lru_cache(maxsize=4096)
def computed(function: Callable[..., Any], *args: Any) -> Any:
    """Call a pure function; the last results are kept, for both sides of a simulated network."""
    return function(*args)
