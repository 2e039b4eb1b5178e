"""Samples of a verb that runs: one task beside it writes how far it is, for those who watch from elsewhere.

Rows of ``samples``, not events: at most two a second, the latest counts, and one more at the end. The task is not in
the way of any other: it looks at what the feed has, and a journal that takes no sample ends the samples only.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from walrus_sdk.engine.feed import Feed
from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.samples import Resources, Sample
from walrus_sdk.ports import Change, Clock, Journal, Ownership, Put

__all__ = ["BEAT_S", "PACE_S", "Sampler", "sampled"]

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

PACE_S = 0.5
"""Seconds between two samples, at least.

One has 2 kB with 64 stores in flight, so they grow by 14 MB an hour at most; cleanup drops them with the history.
"""
BEAT_S = 10.0
"""Seconds after which a sample is written although nothing moved: memory and disk change also while one waits."""


async def sampled(
    make: Callable[[Ownership, Feed], Sampler] | None,
    owner: Ownership,
    feed: Feed,
    work: Callable[[], Awaitable[T]],
) -> T:
    """Do a verb's work with a sampler beside it, where there is one to make; returns and raises what the work does."""
    if make is None:
        return await work()
    sampler = make(owner, feed)
    done: list[T] = []
    errors: list[Exception] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sampler.run)
        try:
            done.append(await work())
        except Exception as error:  # carried out of the task group as it is, not as a group
            errors.append(error)
        finally:
            sampler.close()
    if errors:
        raise errors[0]
    return done[0]


class Sampler:
    """Writes the samples of one run of a verb.

    `run` is its task. It goes on through a cancellation, as what is paid does, until `close` is called.
    """

    def __init__(
        self,
        journal: Journal,
        owner: Ownership,
        feed: Feed,
        *,
        clock: Clock,
        resources: Callable[[], Awaitable[Resources]],
    ) -> None:
        self._journal = journal
        self._owner = owner
        self._feed = feed
        self._clock = clock
        self._resources = resources
        self._over = anyio.Event()
        self._phases_s: dict[Phase, float] = {}
        self._phase: Phase | None = None
        self._since_s = 0.0
        self._told: Progress | None = None

    async def run(self) -> None:
        """Write a sample now, at every change (twice a second at most), and at the end."""
        with anyio.CancelScope(shield=True):
            try:
                await self._run()
            except Exception:  # as with any other view of progress (P10)
                _LOG.warning("progress cannot be seen from other processes any more", exc_info=True)

    def close(self) -> None:
        """Let `run` write the last sample and end."""
        self._feed.entered = None
        self._over.set()

    async def _run(self) -> None:
        self._enter(self._feed.now.phase)
        self._feed.entered = self._enter
        last_s = self._clock.monotonic()
        await self._write()
        while not self._over.is_set():
            with anyio.move_on_after(PACE_S):
                await self._over.wait()
            now_s = self._clock.monotonic()
            if self._feed.now is not self._told or now_s - last_s >= BEAT_S:
                last_s = now_s
                await self._write()
        if self._feed.now is not self._told:
            await self._write()

    def _enter(self, phase: Phase) -> None:
        """Count the time of the phase that ends."""
        now_s = self._clock.monotonic()
        if self._phase is not None:
            self._phases_s[self._phase] = self._phases_s.get(self._phase, 0.0) + now_s - self._since_s
        self._phase, self._since_s = phase, now_s

    async def _write(self) -> None:
        self._enter(self._feed.now.phase)
        resources = await self._resources()
        progress = self._told = self._feed.now
        deployment, sending = str(self._owner.deployment), dict(self._feed.sending)
        sample = Sample(
            0, self._clock.wall_ms(), self._owner.incarnation, progress, dict(self._phases_s), sending, resources
        )
        row = Put("samples", {}, {"deployment": deployment, "wall_ms": sample.wall_ms, "data": sample.data()})
        await self._journal.append(None, [Change("sample", puts=(row,))])
