"""A model of publishers in virtual time, to see what the limits of uploads make of them.

    scenario = Scenario("steady", (2_000_000,) * 300, (PublisherModel(),))
    result = run(scenario)
    assert result.refused <= 0.05 * result.sent

The limiters are the product's own; publishers have slots and a buffer, stores take a time that depends on their size
and the hour, and all bodies share one uplink. A publisher reads a body once it has a slot for it, as the official one
does, and a refused body has been sent in vain. What comes out is a model's, not a measurement.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import anyio

from walrus_sdk.engine.feed import Feed
from walrus_sdk.engine.limiters import Limiters, Turn, open_limiters
from walrus_sdk.errors import NetworkError, StorageError
from walrus_sdk.model.options import Limits
from walrus_sdk.planning import pacing
from walrus_sdk.planning.pacing import Answer, Pace
from walrus_sdk.testing import virtual
from walrus_sdk.testing.machine import SeededRandom

__all__ = ["POLICIES", "SCENARIOS", "Policy", "PublisherModel", "Result", "Scenario", "Uplink", "run"]


@dataclass(frozen=True, slots=True)
class PublisherModel:
    """One publisher. Times are seconds since the scenario began; sizes are bytes.

    `slots`: stores at once at a time; `buffer`: how many more may wait. `latency_s`: from the last byte to the answer,
    of a body of that size at that time. `fails`: whether it answers 503 at a time. `retry_after_s`: what its refusals
    ask for (0: nothing). `reads_ahead`: bytes that buffers on the way take of a body that waits for its slot. `noise`:
    latencies vary by a factor of up to 1 + noise.
    """

    slots: Callable[[float], int] = lambda _: 8
    buffer: int = 8
    latency_s: Callable[[float, int], float] = lambda _now, _size: 6.0
    fails: Callable[[float], bool] = lambda _: False
    retry_after_s: float = 0.0
    reads_ahead: int = 0
    noise: float = 0.0

    def rate(self, now: float, size: int | None) -> float:
        """Return how many stores of `size` bytes it can do a second at a time; without a size its slots."""
        if self.fails(now):
            return 0.0
        return self.slots(now) / (self.latency_s(now, size) * (1.0 + self.noise / 2) if size is not None else 1.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Bodies of `sizes` bytes to store at `publishers`, over an uplink of `bytes_per_s`.

    `encode_s`: seconds to compute a name, two at a time. `limits`: what the user allows.
    """

    name: str
    sizes: Sequence[int]
    publishers: Sequence[PublisherModel]
    bytes_per_s: float = 12_500_000.0
    encode_s: float = 0.0
    limits: Limits = field(default_factory=Limits)

    @property
    def floor_s(self) -> float:
        """Seconds below which nobody gets: bytes over bandwidth and one latency, or the slots' time for all of them."""
        shortest = min(publisher.latency_s(0.0, min(self.sizes)) for publisher in self.publishers)
        wire_s = sum(self.sizes) / self.bytes_per_s + self.encode_s + shortest
        # What the slots can do, second by second: of stores that are all alike, or each where it takes least.
        alike = self.sizes[0] if len(set(self.sizes)) == 1 else None
        least = [min(publisher.latency_s(0.0, size) for publisher in self.publishers) for size in self.sizes]
        left, now = float(len(self.sizes)) if alike is not None else sum(least), 0.0
        while left > 0:
            able = sum(publisher.rate(now, alike) for publisher in self.publishers)
            now += min(1.0, left / able) if able else 1.0
            left -= able
        return max(wire_s, now)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a scenario: seconds, bodies sent (refused ones included), refused and failed.

    `stored`: stores by publisher. `peak`: most requests in flight; `on_wire`: most bodies being sent at once.
    `limits`: the limits of the publishers after each second.
    """

    seconds: float
    sent: int
    refused: int
    failed: int
    stored: tuple[int, ...]
    peak: int
    on_wire: int
    limits: tuple[tuple[int, ...], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """A way to pace: the pace that a publisher begins with, and how answers change it."""

    name: str
    first: Callable[[int], Pace]
    answered: Callable[[Pace, Answer], Pace] = pacing.answered


def _fixed(most: int) -> Pace:
    return Pace(most, allowed=float(most), is_starting=False)


def _refusals_only(pace: Pace, answer: Answer) -> Pace:
    """Take every answer for one that was in time: what is left is AIMD on refusals."""
    if answer.outcome is pacing.Outcome.STORED:
        answer = replace(answer, outcome=pacing.Outcome.KNOWN)
    return pacing.answered(pace, answer)


POLICIES = (
    Policy("model", Pace),
    Policy("latency", lambda most: Pace(most, knows_sizes=False)),
    Policy("aimd", Pace, _refusals_only),
    Policy("fixed", _fixed, lambda pace, _: pace),
)
"""What the product does; the same without knowledge of sizes; AIMD on refusals only; as many as allowed, always."""


_MB = 1_000_000
_MANY = (2 * _MB,) * 300
_AHEAD = 4 * _MB
"""Bytes that a connection's buffers take: more than one of the bodies below."""


def _scenario(name: str, *publishers: PublisherModel, most: int = 16) -> Scenario:
    return Scenario(name, _MANY, publishers, limits=Limits(requests=most))


def _is_brown(now: float) -> bool:
    return 60.0 < now < 120.0


SCENARIOS = (
    Scenario("16 quilts", (12_500_000,) * 16, (PublisherModel(),)),
    _scenario("steady, 8 + 8", PublisherModel(reads_ahead=_AHEAD)),
    _scenario("steady, 8 + 8, up to 64 allowed", PublisherModel(reads_ahead=_AHEAD), most=64),
    _scenario("steady, 32 + 8, up to 64 allowed", PublisherModel(lambda _: 32, reads_ahead=_AHEAD), most=64),
    _scenario("small, 4 + 4", PublisherModel(lambda _: 4, buffer=4, reads_ahead=_AHEAD)),
    _scenario("small, asks for 20 s", PublisherModel(lambda _: 4, buffer=0, retry_after_s=20.0, reads_ahead=_AHEAD)),
    _scenario("brown-out", PublisherModel(
        lambda now: 2 if _is_brown(now) else 8, 2, lambda now, _: 24.0 if _is_brown(now) else 6.0, reads_ahead=_AHEAD)),
    _scenario("slow start of a publisher", PublisherModel(
        lambda now: min(8, 1 + int(now / 10)), 2, reads_ahead=_AHEAD)),
    _scenario("two of different speed", PublisherModel(), PublisherModel(latency_s=lambda _now, _size: 18.0)),
    Scenario(
        "two, one better with large ones",
        tuple(int(60 * _MB * (1 - number / 150) ** 3) + _MB // 10 for number in range(150)),
        (PublisherModel(lambda _: 4, 4, lambda _, size: 1.0 + 1.0 * size / _MB),
         PublisherModel(lambda _: 4, 4, lambda _, size: 10.0 + 0.1 * size / _MB)),
        125.0 * _MB,
    ),
    _scenario("one of two fails for 100 s", PublisherModel(), PublisherModel(fails=lambda now: now < 100.0)),
    _scenario("latency varies", PublisherModel(reads_ahead=_AHEAD, noise=0.8)),
)  # fmt: skip
"""Most store 300 bodies of 2 MB, 6 s each, at 100 Mbit/s; the first one 10,000 files of 20 KB as quilts."""


class Uplink:
    """A line whose bytes are shared equally by all bodies that are being sent."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._left: dict[int, float] = {}
        self._numbers = itertools.count()
        self._changed = anyio.Event()
        self._at = 0.0
        self.most = 0

    async def send(self, size: int) -> None:
        """Wait until `size` bytes have passed."""
        me = next(self._numbers)
        self._pass()
        self._left[me] = float(size)
        self.most = max(self.most, len(self._left))
        self._tell()
        try:
            while self._left[me] > 0.5:
                changed, seconds = self._changed, self._left[me] * len(self._left) / self._bytes_per_s
                with anyio.move_on_after(seconds):
                    await changed.wait()
                self._pass()
        finally:
            self._pass()
            del self._left[me]
            self._tell()

    def _pass(self) -> None:
        now = anyio.current_time()
        if self._left:
            share = (now - self._at) * self._bytes_per_s / len(self._left)
            self._left = {number: max(0.0, left - share) for number, left in self._left.items()}
        self._at = now

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class _Served:
    """A publisher of the model at work."""

    def __init__(self, model: PublisherModel, uplink: Uplink, began: float, random: SeededRandom) -> None:
        self._model = model
        self._uplink = uplink
        self._began = began
        self._random = random
        self._running = 0
        self._waiting: deque[anyio.Event] = deque()
        self.stored = 0

    def _now(self) -> float:
        return anyio.current_time() - self._began

    async def store(self, turn: Turn, size: int) -> None:
        model = self._model
        if model.fails(self._now()):
            raise StorageError("store_failed", "503")
        is_free = self._running < model.slots(self._now())
        if not is_free and len(self._waiting) >= model.buffer:
            await self._uplink.send(size)
            raise NetworkError("rate_limited", "busy", retry_after=model.retry_after_s or None)
        slot = anyio.Event()
        if is_free:
            self._running += 1
            slot.set()
        else:
            self._waiting.append(slot)
        if size <= model.reads_ahead:
            await self._send(turn, size)
            await slot.wait()
        else:
            await slot.wait()
            await self._send(turn, size)
        await anyio.sleep(model.latency_s(self._now(), size) * (1.0 + self._random.uniform(0.0, model.noise)))
        self.stored += 1
        self._running -= 1
        while self._waiting and self._running < model.slots(self._now()):
            self._running += 1
            self._waiting.popleft().set()

    async def _send(self, turn: Turn, size: int) -> None:
        await self._uplink.send(size)
        turn.sent()


class _Run:
    def __init__(self, scenario: Scenario, policy: Policy) -> None:
        self._scenario = scenario
        self._policy = policy
        self._clock = virtual.VirtualClock()
        self._uplink = Uplink(scenario.bytes_per_s)
        self._encoders = anyio.Semaphore(2)
        self._sent = self._refused = self._failed = self._peak = 0
        self._limits: list[tuple[int, ...]] = []

    async def main(self) -> Result:
        scenario, began = self._scenario, anyio.current_time()
        limits, random = scenario.limits, SeededRandom(1)
        served = [_Served(model, self._uplink, began, random) for model in scenario.publishers]
        paces = [self._policy.first(limits.requests) for _ in served]
        queue = deque(enumerate(sorted(scenario.sizes, reverse=True)))
        async with anyio.create_task_group() as watch:
            async with open_limiters(
                limits,
                paces,
                clock=self._clock,
                sleep=self._clock.sleep,
                random=SeededRandom(2),
                feed=Feed(),
                stores=len(queue),
                answered=self._policy.answered,
            ) as limiters:
                watch.start_soon(self._watch, limiters)
                async with anyio.create_task_group() as tasks:
                    for _ in range(min(limits.requests + 2, len(queue))):
                        tasks.start_soon(self._worker, queue, limiters, served)
            watch.cancel_scope.cancel()
        return Result(
            anyio.current_time() - began,
            self._sent,
            self._refused,
            self._failed,
            tuple(one.stored for one in served),
            self._peak,
            self._uplink.most,
            tuple(self._limits),
        )

    async def _watch(self, limiters: Limiters) -> None:
        while True:
            self._limits.append(limiters.statistics().limits)
            await anyio.sleep(1.0)

    async def _worker(self, queue: deque[tuple[int, int]], limiters: Limiters, served: Sequence[_Served]) -> None:
        while queue:
            number, size = queue.popleft()
            async with self._encoders:
                await anyio.sleep(self._scenario.encode_s)
            begun = False
            while not await self._try(limiters.turn(size, number, begun=begun), limiters, served):
                begun = True

    async def _try(self, turn: Turn, limiters: Limiters, served: Sequence[_Served]) -> bool:
        try:
            async with turn:
                assert turn.at is not None, "it has its turn"
                self._peak = max(self._peak, sum(limiters.statistics().in_flight))
                await served[turn.at].store(turn, turn.size)
                turn.stored(at=turn.at, is_new=True)
        except NetworkError:
            self._sent, self._refused = self._sent + 1, self._refused + 1
            return False
        except StorageError:
            self._failed += 1
            await anyio.sleep(1.0)
            return False
        self._sent += 1
        return True


def run(scenario: Scenario, policy: Policy = POLICIES[0], backend: str = "asyncio") -> Result:
    """Run a scenario in virtual time; the same comes out each time."""
    return virtual.run(partial(_start, scenario, policy), backend)


async def _start(scenario: Scenario, policy: Policy) -> Result:
    return await _Run(scenario, policy).main()
