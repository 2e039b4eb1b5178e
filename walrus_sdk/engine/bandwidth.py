"""The limit of bytes a second over all bodies of a session (`--max-bandwidth`): the bucket, with a clock and sleep."""

from __future__ import annotations

from collections.abc import Callable

from walrus_sdk.planning.bandwidth import Bucket
from walrus_sdk.ports import Sleep

__all__ = ["Bandwidth"]


class Bandwidth:
    """Lets bytes through at `rate` bytes a second, first come, first served. `clock` gives monotonic seconds."""

    def __init__(self, rate: int, clock: Callable[[], float], sleep: Sleep) -> None:
        self._bucket = Bucket(rate)
        self._clock = clock
        self._sleep = sleep

    @property
    def portion(self) -> int:
        """Most bytes to ask for at once."""
        return self._bucket.portion

    async def take(self, size: int, told: Callable[[float], object] = lambda _: None) -> None:
        """Wait until `size` bytes may leave; `told` hears for how many seconds, first. Cancelled, none have left."""
        self._bucket, delay = self._bucket.take(self._clock(), size)
        told(delay)
        if delay:
            try:
                await self._sleep(delay)
            except BaseException:
                self._bucket = self._bucket.give_back(size)
                raise
