"""A limit of bytes a second, as a value: a token bucket by arithmetic, without a clock."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

__all__ = ["Bucket"]

_BURST_S = 0.25
_SMALLEST = 1024
_LARGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket of `rate` bytes a second; `free_at` is when all that was taken has gone out at that rate.

    It holds a quarter of a second: enough that a sender which wakes late catches up, too little for a line to notice.
    In any time of T seconds at most ``rate x (T + 0.25) + portion`` bytes are let through.
    """

    rate: int
    free_at: float = -math.inf

    def __post_init__(self) -> None:
        assert self.rate >= 1, "a rate is at least a byte a second"

    @property
    def portion(self) -> int:
        """Most bytes to take at once: a quarter of a second's, from 1 KiB to 1 MiB, so that no line goes silent."""
        return min(max(int(self.rate * _BURST_S), _SMALLEST), _LARGEST)

    def take(self, now: float, size: int) -> tuple[Bucket, float]:
        """Take `size` bytes at `now` (seconds); returns the bucket after it, and how long to wait before they leave.

        Who takes first is served first: what is taken counts at once, whenever it leaves.
        """
        assert size >= 0, "for bytes that did not leave there is `give_back`"
        free_at = max(self.free_at, now) + size / self.rate
        return replace(self, free_at=free_at), max(0.0, self.free_at - _BURST_S - now)

    def give_back(self, size: int) -> Bucket:
        """Return the bucket without `size` bytes that were taken and did not leave."""
        return replace(self, free_at=self.free_at - size / self.rate)
