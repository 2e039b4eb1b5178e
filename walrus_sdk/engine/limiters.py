"""Who may send now: requests in flight, bodies on the wire and bytes in memory, each with its own limit.

A store waits for its turn before its intent is written, so whoever waits holds nothing. The decisions are those of
`planning.pacing`; here they are measured, kept, and those who wait are woken.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import AsyncIterator, Callable, Container, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import TracebackType

import anyio
import anyio.abc

from walrus_sdk.engine.feed import Feed
from walrus_sdk.engine.gate import Gate
from walrus_sdk.model.options import Limits
from walrus_sdk.planning import pacing
from walrus_sdk.planning.pacing import Answer, Lane, Outcome, Pace
from walrus_sdk.ports import Clock, Random, Sleep

__all__ = ["Limiters", "Memory", "NotBegun", "Statistics", "Turn", "open_limiters"]


_TICK_S = 0.001
"""Pauses that are over in so many seconds are over: a sleep may end a rounding error before its time."""


class NotBegun(Exception):
    """Raised to a store that waits for its first turn when nothing new is to begin any more."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is going on: per publisher the limit and the requests in flight and bodies being sent; who waits."""

    limits: tuple[int, ...]
    in_flight: tuple[int, ...]
    sending: tuple[int, ...]
    waiting: int


class Limiters:
    """The turns of one deployment's stores; made by `open_limiters`.

    How many stores are still to come matters where one publisher is slower than another (`pacing.choose`).

    Peak memory: some 2 KiB for each store that waits; what a turn allows is bounded by `Limits`.
    """

    def __init__(
        self,
        limits: Limits,
        paces: Sequence[Pace],
        timers: anyio.abc.TaskGroup,
        *,
        clock: Clock,
        sleep: Sleep,
        random: Random,
        feed: Feed,
        answered: Callable[[Pace, Answer], Pace],
        stores: int,
        gate: Gate,
    ) -> None:
        self._gate = gate
        gate.when_opened(self._hand_out)
        self._left = stores
        self._answered = answered
        self._limits = limits
        self._lanes = [Lane(pace) for pace in paces]
        self._timers = timers
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._feed = feed
        self._waiting: list[tuple[int, int, Turn]] = []
        self._wakes_at = float("inf")
        self._stopped = False
        self._is_paused = False

    def turn(self, size: int, number: int, *, begun: bool = False, besides: Container[int] = ()) -> Turn:
        """Return the turn of a store whose body has `size` bytes; entering it waits.

        The largest goes first, of equals the one of the lower `number`. `begun`: an earlier try was sent, so it is
        brought to its end even when nothing new may begin. `besides`: publishers that will not take it, never all.
        """
        return Turn(self, size, number, begun=begun, besides=besides)

    @property
    def publishers(self) -> int:
        """How many publishers there are."""
        return len(self._lanes)

    def stop(self) -> None:
        """Let nothing begin that has not begun: raises `NotBegun` to those that wait."""
        self._stopped = True
        for _, _, turn in self._waiting:
            if not turn.begun:
                turn.wake.set()

    def statistics(self) -> Statistics:
        """Return how things stand."""
        return Statistics(
            tuple(pacing.limit(lane.pace) for lane in self._lanes),
            tuple(lane.in_flight for lane in self._lanes),
            tuple(lane.sending for lane in self._lanes),
            len(self._waiting),
        )

    # ── for turns ─────────────────────────────────────────────────────────────────────────────────────────────

    async def wait(self, turn: Turn) -> None:
        """Wait until `turn` has a place. Cancelled, it leaves none behind. Raises `NotBegun`."""
        if self._stopped and not turn.begun:
            raise NotBegun
        entry = (-turn.size, turn.number, turn)
        self._left -= not turn.begun
        heapq.heappush(self._waiting, entry)
        self._hand_out()
        try:
            await turn.wake.wait()
        except BaseException:
            if turn.at is None:
                self._drop(entry)
            else:
                self.leave(turn, Outcome.NOTHING, 0.0)  # its turn came as it went away
            raise
        if turn.at is None:
            self._drop(entry)
            raise NotBegun

    def _drop(self, entry: tuple[int, int, Turn]) -> None:
        self._waiting.remove(entry)
        heapq.heapify(self._waiting)

    def sent(self, at: int) -> None:
        """Take a body off the wire."""
        lane = self._lanes[at]
        self._lanes[at] = replace(lane, sending=lane.sending - 1)
        self._hand_out()

    def leave(self, turn: Turn, outcome: Outcome, retry_after_s: float, *, is_error: bool = False) -> None:
        """Take a turn back with what became of it.

        After an error its place is handed on a moment later: when it is final, nothing new is to begin.
        """
        assert turn.at is not None, "it has a place"
        lane, now_s = self._lanes[turn.at], self.now_s()
        jitter = self._random.uniform(0.0, 1.0) if outcome is Outcome.REFUSED else 1.0
        answer = Answer(
            outcome,
            turn.size,
            turn.began_s,
            turn.sent_s,
            now_s,
            turn.in_flight,
            lane.in_flight,
            retry_after_s,
            jitter,
        )
        sending = lane.sending - (turn.sent_s is None)
        self._lanes[turn.at] = Lane(self._answered(lane.pace, answer), lane.in_flight - 1, sending)
        if is_error:
            self._timers.start_soon(self._soon)
        else:
            self._hand_out()

    def failed(self, at: int) -> None:
        """Note that a publisher failed a store that another one took over."""
        now_s, lane = self.now_s(), self._lanes[at]
        answer = Answer(Outcome.FAILED, 0, now_s, None, now_s, lane.in_flight, lane.in_flight)
        self._lanes[at] = replace(lane, pace=self._answered(lane.pace, answer))

    def now_s(self) -> float:
        """Seconds of the monotonic clock."""
        return self._clock.monotonic()

    def _hand_out(self) -> None:
        """Give every place that is free to the one that should have it.

        A store that does better to wait for a busy publisher is counted there for those behind it.
        """
        lanes, left, now_s = list(self._lanes), [], self.now_s() + _TICK_S
        places = self._limits.requests - sum(lane.in_flight for lane in self._lanes)
        while self._waiting and places > 0 and self._gate.is_open:
            size, number, turn = heapq.heappop(self._waiting)
            if self._stopped and not turn.begun:
                left.append((size, number, turn))
                continue
            behind = self._left + len(self._waiting)
            at, may_begin = pacing.choose(lanes, turn.size, now_s, self._limits.bodies, behind, turn.besides)
            lane = replace(lanes[at], in_flight=lanes[at].in_flight + 1)
            if may_begin:
                lane = replace(lane, sending=lane.sending + 1)
                real = self._lanes[at]
                self._lanes[at] = replace(real, in_flight=real.in_flight + 1, sending=real.sending + 1)
                turn.take(at, now_s, self._lanes[at].in_flight)
                places -= 1
            else:
                left.append((size, number, turn))
            lanes[at] = lane
        for entry in left:
            heapq.heappush(self._waiting, entry)
        self._look_again()

    def _look_again(self) -> None:
        """Hand out again when a publisher's pause is over; what else frees a place hands out by itself."""
        now_s = self.now_s()
        pauses = [lane.pace.free_s for lane in self._lanes if lane.pace.free_s > now_s + _TICK_S]
        is_paused = bool(self._waiting) and len(pauses) == len(self._lanes)
        if is_paused != self._is_paused:
            self._is_paused = is_paused
            why = f"the publishers are busy (again in {min(pauses) - now_s:.0f} s)" if is_paused else ""
            self._feed.set(waiting=why)
        if self._waiting and pauses and min(pauses) < self._wakes_at:
            self._wakes_at = min(pauses)
            self._timers.start_soon(self._later, min(pauses) - now_s)

    async def _soon(self) -> None:
        self._hand_out()

    async def _later(self, seconds: float) -> None:
        await self._sleep(seconds)
        self._wakes_at = float("inf")
        self._hand_out()


@asynccontextmanager
async def open_limiters(
    limits: Limits,
    paces: Sequence[Pace],
    *,
    clock: Clock,
    sleep: Sleep,
    random: Random,
    feed: Feed,
    stores: int,
    gate: Gate | None = None,
    answered: Callable[[Pace, Answer], Pace] = pacing.answered,
) -> AsyncIterator[Limiters]:
    """Give limiters for the length of a block.

    `paces` has one for each publisher, `answered` decides what follows an answer, `stores` is how many there will be.
    While `gate` is closed no place is given.
    """
    async with anyio.create_task_group() as timers:
        yield Limiters(
            limits,
            paces,
            timers,
            clock=clock,
            sleep=sleep,
            random=random,
            feed=feed,
            answered=answered,
            stores=stores,
            gate=gate or Gate(),
        )
        timers.cancel_scope.cancel()


class Turn:
    """One store's place among the requests in flight, for the length of an ``async with``.

    `at` is the publisher that it was given. Made by `Limiters.turn`, entered once.
    """

    def __init__(self, limiters: Limiters, size: int, number: int, *, begun: bool, besides: Container[int]) -> None:
        self._limiters = limiters
        self.size = size
        self.number = number
        self.begun = begun
        self.besides = besides
        self.wake = anyio.Event()
        self.at: int | None = None
        self.began_s = 0.0
        self.sent_s: float | None = None
        self.in_flight = 0
        self._outcome = Outcome.NOTHING

    def take(self, at: int, now_s: float, in_flight: int) -> None:
        """Give it a place."""
        self.at, self.began_s, self.in_flight = at, now_s, in_flight
        self.wake.set()

    def sent(self) -> None:
        """Say that the body is (all but) sent: the next one may go on the wire."""
        assert self.at is not None, "a body is sent in its turn"
        if self.sent_s is None:
            self.sent_s = self._limiters.now_s()
            self._limiters.sent(self.at)

    def stored(self, *, at: int, is_new: bool) -> None:
        """Say that it was stored by publisher `at`, newly or before."""
        assert self.at is not None, "a store is answered in its turn"
        if at != self.at:
            self._limiters.failed(self.at)
        elif is_new:
            self._outcome = Outcome.STORED
        else:
            self._outcome = Outcome.KNOWN

    async def __aenter__(self) -> Turn:
        await self._limiters.wait(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._limiters.leave(self, self._outcome, 0.0)
        else:
            self._limiters.leave(self, pacing.outcome_of(error), pacing.retry_after_of(error), is_error=True)


class Memory:
    """Bytes held at once, up to a limit; what is larger than the limit is held alone. First come, first served.

    Peak memory: the larger of the limit and the largest single request.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[tuple[int, anyio.Event]] = deque()
        self.held = 0

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Hold `size` bytes for the length of a block."""
        if self._waiting or not self._fits(size):
            await self._wait(size)
        else:
            self.held += size
        try:
            yield
        finally:
            self._give_back(size)

    def _fits(self, size: int) -> bool:
        return self.held == 0 or self.held + size <= self._most

    async def _wait(self, size: int) -> None:
        entry = (size, anyio.Event())
        self._waiting.append(entry)
        try:
            await entry[1].wait()
        except BaseException:
            if entry[1].is_set():
                self._give_back(size)
            else:
                self._waiting.remove(entry)
                self._give_back(0)  # it may have been in the way of those behind it
            raise

    def _give_back(self, size: int) -> None:
        self.held -= size
        while self._waiting and self._fits(self._waiting[0][0]):
            next_size, event = self._waiting.popleft()
            self.held += next_size
            event.set()
