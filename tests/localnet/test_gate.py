"""Places of a service and its one uplink, with time that only moves when told."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest

from walrus_sdk.localnet.http_walrus.gate import Bandwidth, Gate
from walrus_sdk.localnet.replies import Answered

pytestmark = pytest.mark.anyio


class Time:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Crowd:
    """Requests that hold a place until they are told to leave."""

    def __init__(self, gate: Gate, slots: int, queue: int) -> None:
        self.gate, self.slots, self.queue = gate, slots, queue
        self.inside: list[str] = []
        self.leave: dict[str, anyio.Event] = {}
        self.scopes: dict[str, anyio.CancelScope] = {}

    async def enter(self, name: str) -> None:
        self.leave[name] = anyio.Event()
        with anyio.CancelScope() as self.scopes[name]:
            async with self.gate.enter(self.slots, self.queue):
                self.inside.append(name)
                await self.leave[name].wait()
        if name in self.inside:
            self.inside.remove(name)


async def test_the_first_come_in_the_next_wait_the_rest_are_refused_at_once() -> None:
    crowd = Crowd(Gate("publisher"), 2, 2)
    async with anyio.create_task_group() as tasks:
        for name in "abcd":
            tasks.start_soon(crowd.enter, name)
            await anyio.wait_all_tasks_blocked()
        assert crowd.inside == ["a", "b"]
        with pytest.raises(Answered) as caught:
            async with crowd.gate.enter(2, 2):
                pytest.fail("there was no place")
        assert caught.value.response.status_code == 429
        assert bytes(caught.value.response.body) == (
            b"the publisher is receiving too many requests; please try again later"
        )
        assert "retry-after" not in caught.value.response.headers
        crowd.leave["b"].set()
        await anyio.wait_all_tasks_blocked()
        assert crowd.inside == ["a", "c"]  # in order of their coming
        for event in crowd.leave.values():
            event.set()


async def test_who_goes_away_while_waiting_frees_its_place_in_the_queue() -> None:
    crowd = Crowd(Gate("publisher"), 1, 1)
    async with anyio.create_task_group() as tasks:
        for name in "ab":
            tasks.start_soon(crowd.enter, name)
            await anyio.wait_all_tasks_blocked()
        crowd.scopes["b"].cancel()
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(crowd.enter, "c")
        await anyio.wait_all_tasks_blocked()
        crowd.leave["a"].set()
        await anyio.wait_all_tasks_blocked()
        assert crowd.inside == ["c"]
        crowd.leave["c"].set()


async def test_a_place_handed_to_someone_who_is_leaving_goes_on_to_the_next() -> None:
    crowd = Crowd(Gate("publisher"), 1, 2)
    async with anyio.create_task_group() as tasks:
        for name in "abc":
            tasks.start_soon(crowd.enter, name)
            await anyio.wait_all_tasks_blocked()
        crowd.leave["a"].set()
        crowd.scopes["b"].cancel()
        await anyio.wait_all_tasks_blocked()
        assert crowd.inside == ["c"]
        crowd.leave["c"].set()
    async with crowd.gate.enter(1, 0):
        pass


async def test_an_error_inside_frees_the_place() -> None:
    gate = Gate("aggregator")
    for _ in range(3):
        with pytest.raises(RuntimeError, match="inside"):
            async with gate.enter(1, 0):
                raise RuntimeError("inside")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(gate.enter(1, 0))


async def test_bodies_share_one_uplink() -> None:
    time = Time()
    uplink = Bandwidth(lambda: time.now, time.sleep)
    await uplink.take(500, 1000)
    await uplink.take(250, 1000)
    assert time.slept == [0.5, 0.25]
    time.now += 10  # an idle uplink saves nothing up
    await uplink.take(100, 1000)
    assert time.slept[-1] == pytest.approx(0.1)


async def test_bodies_at_once_wait_for_one_another() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    uplink = Bandwidth(lambda: 100.0, sleep)
    for _ in range(3):
        await uplink.take(1000, 1000)
    assert slept == [1.0, 2.0, 3.0]


async def test_an_unlimited_uplink_waits_for_nothing() -> None:
    async def sleep(_seconds: float) -> Any:
        pytest.fail("nothing limits it")

    await Bandwidth(lambda: 0.0, sleep).take(10**12, 0)


async def test_an_uplink_that_is_asked_for_next_to_nothing_never_waits_less_than_no_time() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    moments = iter((100.0, 100.5))  # the clock goes on between two looks at it
    await Bandwidth(lambda: next(moments), sleep).take(1, 1000)
    assert slept == [0.0]
