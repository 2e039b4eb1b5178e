"""Turns and memory: who goes next, what a cancellation leaves behind, when somebody is woken."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from walrus_sdk.engine.feed import Feed
from walrus_sdk.engine.limiters import Limiters, Memory, NotBegun, Statistics, Turn, open_limiters
from walrus_sdk.errors import EffectFailed, NetworkError, StorageError
from walrus_sdk.model.options import Limits
from walrus_sdk.planning.pacing import Pace
from walrus_sdk.testing.machine import SeededRandom
from walrus_sdk.testing.virtual import VirtualClock, options

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return request.param, options(request.param)


class Office:
    """Limiters in virtual time, and what happened in which order."""

    def __init__(self, limiters: Limiters, tasks: Any, feed: Feed) -> None:
        self.limiters = limiters
        self.feed = feed
        self.begun: list[int] = []
        self.refused: list[int] = []
        self.ends: dict[int, anyio.Event] = {}
        self.turns: dict[int, Turn] = {}
        self._tasks = tasks

    async def store(self, number: int, size: int = 1000, *, begun: bool = False, **how: Any) -> None:
        """Begin a store that goes on until `end` is called."""
        self._tasks.start_soon(self._store, number, size, begun, how)
        await anyio.wait_all_tasks_blocked()

    async def _store(self, number: int, size: int, begun: bool, how: dict[str, Any]) -> None:
        turn = self.turns[number] = self.limiters.turn(size, number, begun=begun, **how)
        try:
            async with turn:
                self.begun.append(number)
                self.ends[number] = anyio.Event()
                await self.ends[number].wait()
        except NotBegun:
            self.refused.append(number)

    async def end(self, number: int) -> None:
        self.ends[number].set()
        await anyio.wait_all_tasks_blocked()

    async def settle(self) -> list[int]:
        """Let all go as far as they can; returns what has begun since."""
        await anyio.wait_all_tasks_blocked()
        begun, self.begun = self.begun, []
        return begun


@asynccontextmanager
async def office(limits: Limits, publishers: int = 1, stores: int = 9, **pace: Any) -> AsyncIterator[Office]:
    clock, feed = VirtualClock(), Feed()
    paces = [Pace(limits.requests, **pace) for _ in range(publishers)]
    async with (
        open_limiters(
            limits, paces, clock=clock, sleep=clock.sleep, random=SeededRandom(), feed=feed, stores=stores
        ) as limiters,
        anyio.create_task_group() as tasks,
    ):
        yield Office(limiters, tasks, feed)
        tasks.cancel_scope.cancel()


async def test_the_largest_goes_first_and_of_equals_the_one_that_came_first() -> None:
    async with office(Limits(requests=1)) as found:
        await found.store(0)
        await found.settle()
        for number, size in ((3, 10), (2, 10), (1, 50)):
            await found.store(number, size)
        order = await found.settle()
        for number in (0, 1, 2):
            await found.end(number)
            order += await found.settle()
    assert order == [1, 2, 3]


async def test_no_more_bodies_are_on_the_wire_than_allowed_and_the_next_begins_as_one_is_sent() -> None:
    async with office(Limits(requests=16, bodies=2)) as found:
        for number in range(4):
            await found.store(number)
        assert await found.settle() == [0, 1]
        found.turns[0].sent()
        found.turns[0].sent()  # told twice, it counts once
        assert await found.settle() == [2]
        assert found.limiters.statistics() == Statistics((8,), (3,), (2,), 1)
        await found.end(1)  # it ended before its body was sent
        assert await found.settle() == [3]


async def test_no_more_requests_are_in_flight_than_allowed_over_all_publishers() -> None:
    async with office(Limits(requests=3, bodies=9), publishers=2) as found:
        for number in range(5):
            await found.store(number)
        assert await found.settle() == [0, 1, 2]
        assert sum(found.limiters.statistics().in_flight) == 3
        assert {found.turns[number].at for number in range(3)} == {0, 1}


async def test_a_publisher_gets_no_more_than_its_own_limit() -> None:
    async with office(Limits(requests=16, bodies=16), allowed=2.0) as found:
        for number in range(4):
            await found.store(number)
        assert await found.settle() == [0, 1]


async def test_one_that_is_left_out_gets_nothing() -> None:
    async with office(Limits(), publishers=2) as found:
        for number in range(2):
            await found.store(number, besides={0})
        await found.settle()
        assert [found.turns[number].at for number in range(2)] == [1, 1]


async def test_who_is_cancelled_while_waiting_leaves_no_place_taken() -> None:
    async with office(Limits(requests=1)) as found:
        await found.store(0)
        await found.settle()
        with anyio.move_on_after(1):
            async with found.limiters.turn(1000, 1):
                pytest.fail("its turn has not come")
        assert found.limiters.statistics().waiting == 0
        await found.end(0)
        await found.store(2)
        assert await found.settle() == [2]


async def test_a_turn_that_comes_to_one_who_is_just_cancelled_goes_to_the_next() -> None:
    async with office(Limits(requests=1)) as found, anyio.create_task_group() as tasks:
        await found.store(0)
        await found.settle()
        scope = anyio.CancelScope()

        async def leave_as_it_comes() -> None:
            with scope:
                async with found.limiters.turn(5000, 1):
                    pytest.fail("it was cancelled")

        tasks.start_soon(leave_as_it_comes)
        await found.settle()
        await found.store(2)
        await found.settle()
        found.ends[0].set()
        scope.cancel()
        assert await found.settle() == [2]
        assert found.limiters.statistics().in_flight == (1,)


async def test_after_a_stop_nothing_new_begins_and_what_was_begun_goes_on() -> None:
    async with office(Limits(requests=1)) as found:
        await found.store(0)
        await found.settle()
        await found.store(1)
        await found.store(2, begun=True)
        await found.settle()
        found.limiters.stop()
        await found.store(3)
        await found.settle()
        assert sorted(found.refused) == [1, 3]
        await found.end(0)
        assert await found.settle() == [2]


async def refuse(limiters: Limiters, number: int, **fields: Any) -> None:
    cause = NetworkError("rate_limited", "busy", **fields)
    with pytest.raises(EffectFailed):
        async with limiters.turn(1000, number, begun=True):
            raise EffectFailed("effect_failed", "refused", cause=cause) from cause


async def test_a_publisher_is_left_alone_for_as_long_as_it_asked_and_then_woken_for() -> None:
    async with office(Limits()) as found:
        await refuse(found.limiters, 0, retry_after=30)
        began = anyio.current_time()
        async with found.limiters.turn(1000, 1):
            assert anyio.current_time() - began == pytest.approx(30.0)


async def test_the_pause_of_one_publisher_holds_no_other_up() -> None:
    async with office(Limits(), publishers=2) as found:
        await refuse(found.limiters, 0, retry_after=30)
        began = anyio.current_time()
        async with found.limiters.turn(1000, 1) as turn:
            assert (turn.at, anyio.current_time() - began) == (1, 0.0)


async def test_a_later_pause_does_not_put_off_the_end_of_an_earlier_one() -> None:
    async with office(Limits(), publishers=2) as found:
        await refuse(found.limiters, 0, retry_after=60)
        await refuse(found.limiters, 1, retry_after=10)
        began = anyio.current_time()
        for number, at, seconds in ((2, 1, 10.0), (3, 0, 60.0)):
            async with found.limiters.turn(1000, number, besides={1 - at}) as turn:
                assert (turn.at, anyio.current_time() - began) == (at, pytest.approx(seconds))


async def test_that_all_publishers_are_busy_is_said_while_somebody_waits_for_them() -> None:
    async with office(Limits()) as found:
        await refuse(found.limiters, 0, retry_after=30)
        assert found.feed.now.waiting == ""
        await found.store(1)
        await anyio.sleep(1.0)
        assert found.feed.now.waiting == "the publishers are busy (again in 30 s)"
        await anyio.sleep(30.0)
        assert (found.feed.now.waiting, found.begun) == ("", [1])


async def test_a_store_that_another_publisher_took_over_speaks_against_the_first() -> None:
    async with office(Limits(), publishers=2) as found:
        async with found.limiters.turn(1000, 0) as turn:
            turn.sent()
            turn.stored(at=1, is_new=True)
        assert found.limiters.statistics().limits == (4, 8)


async def test_a_failure_of_the_publisher_lowers_its_limit_and_one_of_the_folder_does_not() -> None:
    async with office(Limits()) as found:
        with pytest.raises(StorageError):
            async with found.limiters.turn(1000, 0):
                raise StorageError("store_failed", "503")
        assert found.limiters.statistics().limits == (4,)
        with pytest.raises(ValueError, match="folder"):
            async with found.limiters.turn(1000, 1):
                raise ValueError("folder")
        assert found.limiters.statistics().limits == (4,)


# ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Desk:
    """Holders of memory that let go when told."""

    def __init__(self, most: int, tasks: Any) -> None:
        self.memory = Memory(most)
        self.holding: list[str] = []
        self.scopes: dict[str, anyio.CancelScope] = {}
        self._tasks = tasks

    async def hold(self, name: str, size: int) -> None:
        self._tasks.start_soon(self._hold, name, size)
        await anyio.wait_all_tasks_blocked()

    async def _hold(self, name: str, size: int) -> None:
        with anyio.CancelScope() as self.scopes[name]:
            async with self.memory.hold(size):
                self.holding.append(name)
                try:
                    await anyio.sleep(math.inf)
                finally:
                    self.holding.remove(name)

    async def let_go(self, name: str) -> None:
        self.scopes[name].cancel()
        await anyio.wait_all_tasks_blocked()


@asynccontextmanager
async def desk(most: int) -> AsyncIterator[Desk]:
    async with anyio.create_task_group() as tasks:
        yield Desk(most, tasks)
        tasks.cancel_scope.cancel()


async def test_memory_is_given_in_order_and_never_more_than_there_is() -> None:
    async with desk(100) as found:
        for name, size in (("a", 60), ("b", 50), ("c", 10)):
            await found.hold(name, size)
        assert found.holding == ["a"], "who came later does not overtake who waits"
        await found.let_go("a")
        assert (sorted(found.holding), found.memory.held) == (["b", "c"], 60)


async def test_what_is_larger_than_the_memory_is_held_alone() -> None:
    async with desk(100) as found:
        await found.hold("a", 10)
        await found.hold("huge", 1000)
        await found.hold("b", 10)
        assert found.holding == ["a"]
        await found.let_go("a")
        assert found.holding == ["huge"]
        await found.let_go("huge")
        assert (found.holding, found.memory.held) == (["b"], 10)


async def test_who_gives_up_waiting_for_memory_is_in_nobodys_way() -> None:
    async with desk(100) as found:
        await found.hold("a", 60)
        await found.hold("large", 90)
        await found.hold("b", 40)
        await found.let_go("large")
        assert (found.holding, found.memory.held) == (["a", "b"], 100)
