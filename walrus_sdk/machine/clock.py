"""Clocks, waiting, chance and ids of the real machine."""

from __future__ import annotations

import random
import secrets
import time
from pathlib import Path

import anyio

from walrus_sdk.model.units import DeploymentId

__all__ = ["SystemClock", "SystemIds", "SystemRandom", "sleep"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SystemClock:
    """The operating system's clocks (port `Clock`)."""

    def wall_ms(self) -> int:
        """Return milliseconds since 1970 UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        return time.monotonic()

    def boot_s(self) -> float:
        """Return seconds since boot, suspended time included where the system counts it."""
        if hasattr(time, "CLOCK_BOOTTIME"):
            return time.clock_gettime(time.CLOCK_BOOTTIME)
        return time.monotonic()

    def boot_id(self) -> str:
        """Return a text that differs from boot to boot; empty where the system has none, so that wall time is used."""
        try:
            return _BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            return ""


class SystemRandom:
    """Chance for jitter and samples (port `Random`)."""

    def __init__(self) -> None:
        self._source = random.SystemRandom()

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        return self._source.uniform(low, high)


class SystemIds:
    """Fresh deployment ids from the wall clock and a secure source (port `Ids`)."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock

    def deployment_id(self) -> DeploymentId:
        """Return an id that no other deployment has."""
        return DeploymentId.make(self._clock.wall_ms(), secrets.randbits(32))


async def sleep(seconds: float) -> None:
    """Wait `seconds` (port `Sleep`)."""
    await anyio.sleep(seconds)
