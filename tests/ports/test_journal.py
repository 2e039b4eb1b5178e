"""The contract of the journal, which the real and the simulated one must pass."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from walrus_sdk.errors import OwnershipError
from walrus_sdk.journal.store import open_journal
from walrus_sdk.machine.clock import SystemClock
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change, Journal, Ownership, Put
from walrus_sdk.testing.death import Life
from walrus_sdk.testing.journal import Disk, MemoryJournal
from walrus_sdk.testing.machine import ManualClock

pytestmark = pytest.mark.anyio

ONE, TWO = (DeploymentId(f"deploy_180000000000{n}_0000000{n}") for n in (1, 2))
Opened = Callable[[], AbstractAsyncContextManager[Journal]]


@pytest.fixture(params=["sqlite", "memory"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    disk, clock = Disk(), ManualClock()

    @asynccontextmanager
    async def memory() -> AsyncIterator[Journal]:
        disk.held.clear()
        yield MemoryJournal(disk, clock, Life())

    @asynccontextmanager
    async def sqlite() -> AsyncIterator[Journal]:
        async with open_journal(tmp_path / "home", SystemClock()) as journal:
            yield journal

    return memory if request.param == "memory" else sqlite


def site(name: str, **values: Any) -> Put:
    return Put("sites", {"chain": "c", "owner": "o", "name": name}, values)


async def test_events_are_numbered_without_gaps_and_last(opened: Opened) -> None:
    async with opened() as journal:
        owner = await journal.claim(ONE, new=True)
        first = await journal.append(owner, [Change("a", {"x": 1}), Change("b")])
        (third,) = await journal.append(owner, [Change("c")])
        assert [event.number for event in (*first, third)] == [1, 2, 3]
        await journal.release(owner)
    async with opened() as journal:
        found = await journal.events(ONE)
        assert [(event.type, dict(event.data)) for event in found] == [("a", {"x": 1}), ("b", {}), ("c", {})]
        assert [event.type for event in await journal.events(ONE, after=2)] == ["c"]


async def test_rows_keep_what_is_not_named_and_are_found_by_equality(opened: Opened) -> None:
    async with opened() as journal:
        owner = await journal.claim(ONE, new=True)
        await journal.append(owner, [Change("a", {}, (site("x", object_id="1", deployment="d"), site("y")))])
        await journal.append(owner, [Change("a", {}, (site("x", object_id="2"),))])
        (row,) = await journal.rows("sites", {"name": "x"})
        assert (row["object_id"], row["deployment"], row["chain"]) == ("2", "d", "c")
        assert [row["name"] for row in await journal.rows("sites")] == ["x", "y"]
        assert [row["name"] for row in await journal.rows("sites", {"object_id": None})] == ["y"]


async def test_of_many_rows_in_one_change_the_last_of_each_key_stays_in_the_place_of_the_first(opened: Opened) -> None:
    names = [str(number % 150) for number in range(400)]
    puts = tuple(site(name, object_id=str(number)) for number, name in enumerate(names))
    async with opened() as journal:
        await journal.append(await journal.claim(ONE, new=True), [Change("a", {}, puts)])
        rows = await journal.rows("sites", columns=("name", "object_id"))
    last = {name: str(number) for number, name in enumerate(names)}
    assert [(row["name"], row["object_id"]) for row in rows] == list(last.items())


async def test_only_the_columns_that_are_named_are_read(opened: Opened) -> None:
    async with opened() as journal:
        owner = await journal.claim(ONE, new=True)
        await journal.append(owner, [Change("a", {}, (site("x", object_id="1"), site("y", object_id="2")))])
        read = await journal.rows("sites", {"chain": "c"}, columns=("object_id", "name"))
        assert [dict(row) for row in read] == [{"object_id": "1", "name": "x"}, {"object_id": "2", "name": "y"}]


async def test_bytes_pass_unchanged(opened: Opened) -> None:
    put = Put("transactions", {"chain": "c", "digest": "d"}, {"bytes": b"\0\xff"})
    async with opened() as journal:
        await journal.append(await journal.claim(ONE, new=True), [Change("a", {}, (put,))])
        (row,) = await journal.rows("transactions")
        assert row["bytes"] == b"\0\xff"


async def test_a_new_incarnation_fences_the_old_owner_off(opened: Opened) -> None:
    async with opened() as journal:
        old = await journal.claim(ONE, new=True)
        await journal.release(old)
        new = await journal.claim(ONE)
        assert new.incarnation == old.incarnation + 1
        with pytest.raises(OwnershipError) as caught:
            await journal.append(old, [Change("late", {}, (site("x"),))])
        assert caught.value.code == "fenced"
        assert await journal.rows("sites") == []
        await journal.append(new, [Change("mine")])
        assert [event.type for event in await journal.events(ONE)] == ["mine"]


async def test_a_deployment_has_one_owner_at_a_time(opened: Opened) -> None:
    async with opened() as journal:
        owner = await journal.claim(ONE, new=True)
        with pytest.raises(OwnershipError) as caught:
            await journal.claim(ONE)
        assert caught.value.code == "deployment_owned"
        await journal.claim(TWO, new=True)
        await journal.release(owner)
        await journal.claim(ONE)


async def test_nobody_who_never_claimed_may_write(opened: Opened) -> None:
    async with opened() as journal:
        with pytest.raises(OwnershipError):
            await journal.append(Ownership(TWO, 1), [Change("a")])


async def test_many_callers_at_once_all_get_their_events(opened: Opened) -> None:
    numbers: list[int] = []
    async with opened() as journal:
        owner = await journal.claim(ONE, new=True)

        async def write() -> None:
            for _ in range(10):
                (event,) = await journal.append(owner, [Change("a")])
                numbers.append(event.number)

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(write)
    assert sorted(numbers) == list(range(1, 81))


async def test_the_cache_gives_back_what_was_put(opened: Opened) -> None:
    async with opened() as journal:
        assert await journal.cache("k") is None
        await journal.cache("k", b"v")
        assert await journal.cache("k") == b"v"


async def test_a_row_that_is_not_as_expected_leaves_nothing_of_the_append(opened: Opened) -> None:
    def put(expect: dict[str, Any] | None, **values: Any) -> Change:
        return Change("a", {}, (Put("sites", {"chain": "c", "owner": "o", "name": "x"}, values, expect),))

    async with opened() as journal:
        owner = await journal.claim(ONE, new=True)
        with pytest.raises(OwnershipError) as caught:
            await journal.append(owner, [Change("first"), put({"object_id": "1"}, object_id="2")])
        assert caught.value.code == "row_changed"
        assert await journal.events(ONE) == []
        await journal.append(owner, [put({}, object_id="1")])
        for wrong in ({}, {"object_id": "9"}, {"object_id": "1", "deployment": "d"}):
            with pytest.raises(OwnershipError):
                await journal.append(owner, [put(wrong, object_id="2")])
        await journal.append(owner, [put({"object_id": "1", "deployment": None}, object_id="2")])
        assert [row["object_id"] for row in await journal.rows("sites")] == ["2"]


async def test_of_two_that_expect_the_same_row_one_is_written(opened: Opened) -> None:
    won: list[str] = []
    refused: list[str] = []

    async def write(journal: Journal, owner: Ownership) -> None:
        name = str(owner.deployment)
        put = Put("sites", {"chain": "c", "owner": "o", "name": "x"}, {"deployment": name}, {})
        try:
            await journal.append(owner, [Change("a", {}, (put,))])
            won.append(name)
        except OwnershipError as error:
            refused.append(error.code)

    async with opened() as journal:
        owners = [await journal.claim(which, new=True) for which in (ONE, TWO)]
        async with anyio.create_task_group() as tasks:
            for owner in owners:
                tasks.start_soon(write, journal, owner)
        (row,) = await journal.rows("sites")
        assert (won, refused) == ([row["deployment"]], ["row_changed"])


async def test_a_row_that_nobody_owns_is_written_once_by_whoever_is_first(opened: Opened) -> None:
    def alert(expect: dict[str, Any], **values: Any) -> Change:
        return Change("", puts=(Put("alerts", {"n": 1}, values, expect),))

    async with opened() as journal:
        await journal.append(None, [alert({}, fired_ms=1)])
        with pytest.raises(OwnershipError, match="changed by another"):
            await journal.append(None, [alert({}, fired_ms=2)])
        await journal.append(None, [alert({"cleared_ms": None}, cleared_ms=3)])
        with pytest.raises(OwnershipError, match="changed by another"):
            await journal.append(None, [alert({"cleared_ms": None}, cleared_ms=4)])
        (row,) = await journal.rows("alerts")
        assert (row["fired_ms"], row["cleared_ms"]) == (1, 3)
