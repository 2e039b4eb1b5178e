"""How many requests are served at once, how many may wait, and how fast bodies are taken in."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from walrus_sdk.localnet.exchange import SleepFor
from walrus_sdk.localnet.http_walrus.errors import overloaded

__all__ = ["Bandwidth", "Gate"]


class Gate:
    """Lets `slots` requests in, `queue` more wait, and refuses the rest at once."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._running = 0
        self._waiting: deque[anyio.Event] = deque()

    @asynccontextmanager
    async def enter(self, slots: int, queue: int) -> AsyncIterator[None]:
        """Hold a place. Raises `Answered` (429) when there is none."""
        if self._running >= slots:
            if len(self._waiting) >= queue:
                raise overloaded(self._service)
            await self._wait()
        else:
            self._running += 1
        try:
            yield
        finally:
            self._leave()

    async def _wait(self) -> None:
        turn = anyio.Event()
        self._waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                self._leave()  # the place was handed over as we went away
            else:
                self._waiting.remove(turn)
            raise

    def _leave(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()  # the place changes hands
        else:
            self._running -= 1


class Bandwidth:
    """One uplink that all bodies share."""

    def __init__(self, now: Callable[[], float], sleep: SleepFor) -> None:
        self._now = now
        self._sleep = sleep
        self._free_at = 0.0

    async def take(self, size: int, bytes_per_s: int) -> None:
        """Wait until `size` bytes have passed; `bytes_per_s` 0 is no limit."""
        if not bytes_per_s:
            return
        self._free_at = max(self._free_at, self._now()) + size / bytes_per_s
        await self._sleep(max(0.0, self._free_at - self._now()))  # of a few bytes the time has passed by now
