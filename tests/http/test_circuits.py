"""Addresses that fail rest for a while: the state machine as values, and what it means for several addresses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from walrus_sdk.errors import (
    ConfigurationError,
    NetworkError,
    ProtocolError,
    StorageError,
    ValidationError,
    WalrusError,
)
from walrus_sdk.http.circuits import FAULTS, Circuit, Circuits, State
from walrus_sdk.http.failover import first_of

pytestmark = pytest.mark.anyio

DOWN = NetworkError("connect_failed", "no")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Service:
    """Some addresses of one service; `down` says what each of them raises."""

    def __init__(self, *urls: str) -> None:
        self.clock = Clock()
        self.circuits = Circuits(urls, self.clock)
        self.down: dict[str, BaseException] = {}
        self.asked: list[str] = []

    async def ask(self, url: str) -> str:
        self.asked.append(url)
        if url in self.down:
            raise self.down[url]
        return url

    async def call(self, by: Callable[[str], Awaitable[str]] | None = None) -> str | None:
        """Ask the service; returns the address that answered."""
        try:
            return await first_of(self.circuits, by or self.ask)
        except WalrusError:
            return None

    def since(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked


def opened(now: float = 0.0) -> Circuit:
    circuit = Circuit()
    for _ in range(3):
        assert circuit.state(now) is State.CLOSED
        circuit = circuit.failed(now)
    return circuit


def test_three_failures_in_a_row_open_a_circuit_for_a_second() -> None:
    circuit = opened(now=5.0)
    assert [circuit.state(now) for now in (5.0, 5.9, 6.0)] == [State.OPEN, State.OPEN, State.HALF_OPEN]


def test_each_failed_probe_doubles_the_rest_up_to_a_minute() -> None:
    circuit, rests, now = opened(), [], 0.0
    for _ in range(9):
        rests.append(circuit.until - now)
        now = circuit.until
        circuit = circuit.failed(now, probe=True)
    assert rests == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_failures_while_a_circuit_is_open_do_not_make_it_rest_longer() -> None:
    circuit = opened()
    assert circuit.failed(0.5) == circuit


def test_while_a_probe_is_under_way_nobody_else_is_let_through() -> None:
    probing = Circuit(pause_s=1.0, until=1.0, probing=True)
    assert probing.state(99.0) is State.OPEN


def test_one_answer_of_the_wrong_service_is_enough() -> None:
    circuit = Circuit().failed(0.0, for_long=True)
    assert (circuit.state(59.9), circuit.state(60.0)) == (State.OPEN, State.HALF_OPEN)


async def test_an_address_that_failed_three_times_is_asked_last_until_its_rest_is_over() -> None:
    service = Service("a", "b")
    service.down["a"] = DOWN
    for _ in range(3):
        assert await service.call() == "b"
    assert service.since() == ["a", "b"] * 3
    assert await service.call() == "b"
    assert service.since() == ["b"]
    service.clock.now += 1.0
    service.down.clear()
    assert await service.call() == "a"
    assert service.circuits.state("a") is State.CLOSED


async def test_a_success_between_them_ends_a_row_of_failures() -> None:
    service = Service("a", "b")
    for down in (True, True, False, True, True):
        service.down = {"a": DOWN} if down else {}
        await service.call()
    assert service.circuits.state("a") is State.CLOSED


async def test_a_resting_address_is_still_asked_when_it_is_the_only_one_or_all_others_fail() -> None:
    alone = Service("a")
    alone.down["a"] = DOWN
    for _ in range(5):
        await alone.call()
    assert alone.since() == ["a"] * 5
    pair = Service("a", "b")
    pair.down["a"] = DOWN
    for _ in range(3):
        await pair.call()
    pair.down = {"b": DOWN}
    pair.since()
    assert await pair.call() == "a"
    assert pair.since() == ["b", "a"]


async def test_of_many_callers_at_once_one_is_the_probe() -> None:
    service = Service("a", "b")
    service.down["a"] = DOWN
    for _ in range(3):
        await service.call()
    service.clock.now += 1.0
    service.since()
    asked, going = anyio.Event(), anyio.Event()

    async def slow(url: str) -> str:
        service.asked.append(url)
        if url == "a":
            asked.set()
            await going.wait()
            raise DOWN
        return url

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.call, slow)
        await asked.wait()
        for _ in range(5):
            assert await service.call(slow) == "b"
        going.set()
    assert service.since() == ["a", *["b"] * 6]
    service.clock.now += 1.5
    assert service.circuits.state("a") is State.OPEN, "a failed probe rests twice as long"


@pytest.mark.parametrize("how", ["cancelled", "our own error"])
async def test_a_probe_that_came_to_nothing_leaves_the_next_call_to_be_it(how: str) -> None:
    service = Service("a", "b")
    service.down["a"] = DOWN
    for _ in range(3):
        await service.call()
    service.clock.now += 1.0

    async def ask(url: str) -> str:
        if how == "cancelled":
            scope.cancel()
            await anyio.sleep_forever()
        raise ValidationError("file_changed", "changed")

    with anyio.CancelScope() as scope:
        await service.call(ask)
    assert service.circuits.state("a") is State.HALF_OPEN
    service.down.clear()
    assert await service.call() == "a"


@pytest.mark.parametrize(
    "error",
    [ProtocolError("bad_answer", "a login page"), StorageError("blob_id_mismatch", "another blob")],
    ids=lambda error: error.code,
)
async def test_an_address_that_is_not_the_service_is_asked_last_at_once(error: WalrusError) -> None:
    service = Service("a", "b")
    service.down["a"] = error
    await service.call()
    service.since()
    assert await service.call() == "b"
    assert service.since() == ["b"]


async def test_an_answer_about_the_question_speaks_for_the_address() -> None:
    service = Service("a", "b")
    service.down["a"] = DOWN
    await service.call()
    await service.call()
    service.down["a"] = StorageError("blob_not_found", "not here")
    await service.call()
    service.down["a"] = DOWN
    await service.call()
    assert service.circuits.state("a") is State.CLOSED


async def test_what_failed_on_our_own_side_says_nothing_about_an_address() -> None:
    service = Service("a", "b")
    for error in (DOWN, DOWN, ConfigurationError("token_refused", "no token"), DOWN):
        service.down["a"] = error
        await service.call()
    assert service.circuits.state("a") is State.OPEN


async def test_an_address_that_asks_to_be_left_alone_rests_for_as_long_at_least() -> None:
    service = Service("a", "b")
    service.down["a"] = NetworkError("service_unavailable", "later", retry_after=30)
    assert await service.call() == "b"
    del service.down["a"]
    service.clock.now += 29
    assert await service.call() == "b"
    service.clock.now += 2
    assert await service.call() == "a"


async def test_the_address_that_is_preferred_is_asked_first_unless_it_rests() -> None:
    service = Service("a", "b", "c")

    async def prefer(url: str) -> str:
        return await first_of(service.circuits, service.ask, first=url)

    assert [await prefer(url) for url in ("c", "a", "b")] == ["c", "a", "b"]
    service.down["c"] = DOWN
    assert [await prefer("c") for _ in range(3)] == ["a", "a", "a"]
    service.since()
    assert await prefer("c") == "a"
    assert service.since() == ["a"], "it rests"


async def test_an_address_that_stands_twice_is_one() -> None:
    assert Circuits(["a", "b", "a"], Clock()).urls == ("a", "b")


async def test_without_a_clock_the_event_loops_own_is_used() -> None:
    circuits = Circuits(["a", "b"])
    for _ in range(3):
        with pytest.raises(NetworkError), circuits.asking("a", lambda error: error.code in FAULTS):
            raise NetworkError("timeout_read", "silent")
    assert (circuits.state("a"), circuits.best(["a", "b"])) == (State.OPEN, "b")
