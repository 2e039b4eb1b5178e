"""Virtual time: waiting takes none, and everything that waits wakes in the right order; on asyncio and on trio.

    run(main, "asyncio")

Nothing may block: threads and sockets do not exist in virtual time. When nothing is scheduled and `main` has not ended,
it can never end: on asyncio `Stuck` is raised then instead of waiting for ever.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio

__all__ = ["Stuck", "VirtualClock", "options", "run", "turn"]

T = TypeVar("T")


class Stuck(AssertionError):
    """Nothing is scheduled, and the program has not ended."""


class _Selector(selectors.DefaultSelector):
    """Never waits: the loop's clock is moved instead."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0
        self.next_at: Callable[[], float] = lambda: math.inf

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready now; when nothing is, let the time pass that was to be waited."""
        if timeout == 0:  # what runs in virtual time waits for no file
            return []
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None or self.next_at() == math.inf:
            raise Stuck("nothing is scheduled, and the program has not ended")
        self.passed += max(timeout, 0.0)
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._moved = _Selector()
        super().__init__(self._moved)
        self._moved.next_at = self._next_at

    def _next_at(self) -> float:
        scheduled: list[asyncio.TimerHandle] = getattr(self, "_scheduled", [])
        return min((handle.when() for handle in scheduled), default=math.inf)

    @property
    def is_alone(self) -> bool:
        """Whether nothing but the running task can go on: a cancellation would wait here, too."""
        return not getattr(self, "_ready", True)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._moved.passed


async def turn() -> None:
    """Let others go on, and be cancelled where that was asked for; costs next to nothing when nobody waits.

    Each step of a simulated world takes a turn: most of them find nobody else.
    """
    if _is_alone():
        return
    await anyio.lowlevel.checkpoint()


def _is_alone() -> bool:
    loop = _running()
    return loop is not None and loop.is_alone


def _running() -> _Loop | None:
    """Return the loop of asyncio whose time is virtual, if that is what runs."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # another backend
        return None
    return loop if isinstance(loop, _Loop) else None


def options(backend: str) -> dict[str, Any]:
    """Return the backend options that make time virtual, for `anyio.run` and for pytest's `anyio_backend`."""
    if backend == "asyncio":
        return {"loop_factory": _Loop}
    from trio.testing import MockClock

    return {"clock": MockClock(autojump_threshold=0)}


def run(main: Callable[[], Awaitable[T]], backend: str = "asyncio") -> T:
    """Run `main` to its end in virtual time."""
    return anyio.run(main, backend=backend, backend_options=options(backend))


class VirtualClock:
    """Clocks that follow the virtual time of the event loop; `sleep` waits in it."""

    def __init__(self, wall_ms: int = 1_800_000_000_000) -> None:
        self._wall_ms = wall_ms
        self._ahead = 1000.0
        self._boot = "boot-1"
        self._boot_at = 0.0

    def _now(self) -> float:
        loop = _running()  # asked directly: a simulated life looks at its clock some hundred times
        return (loop.time() if loop is not None else anyio.current_time()) + self._ahead

    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC."""
        return self._wall_ms + int(self._now() * 1000)

    def monotonic(self) -> float:
        """Seconds."""
        return self._now()

    def boot_s(self) -> float:
        """Seconds since boot."""
        return self._now() - self._boot_at

    def boot_id(self) -> str:
        """The boot's name."""
        return self._boot

    def advance(self, seconds: float) -> None:
        """Let time pass at once, without waking anybody."""
        self._ahead += seconds

    def reboot(self) -> None:
        """Start a new boot: the clock since boot begins at zero, under another name."""
        self._boot_at, self._boot = self._now(), self._boot + "'"

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        await anyio.sleep(seconds)
