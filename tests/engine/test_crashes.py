"""A death at every hook point and at every moment of a store; then the same call again (fault P1, invariant PAY-1)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from walrus_sdk.engine.effect import POINTS
from walrus_sdk.model import events
from walrus_sdk.model.units import BlobId
from walrus_sdk.testing import MOMENTS, SimulatedWorld, at_point

pytestmark = pytest.mark.anyio

FILES = {"index.html": b"home", **{f"page-{n}.html": b"<p>%d</p>" % n for n in range(7)}}
OPTIONS: dict[str, Any] = {"max_quilt_files": 2, "concurrency": 2}


async def die(world: SimulatedWorld, at: Callable[[int, str], bool] = lambda *_: False) -> bool:
    """Deploy until the world's death, if it comes."""
    return await world.dies(at, lambda: world.deploy(**OPTIONS))


async def points_of_a_whole_run() -> list[str]:
    world = SimulatedWorld(FILES)
    await world.deploy(**OPTIONS)
    return world.life.points


async def test_a_run_passes_every_hook_point_that_there_is() -> None:
    assert set(await points_of_a_whole_run()) == set(POINTS)


async def check_after(world: SimulatedWorld) -> None:
    """Run again; everything is served, the site exists once, and payments are bounded and named."""
    result = await world.deploy(**OPTIONS)
    assert await world.served() == {f"/{name}": data for name, data in world.files.items()}
    assert len(await world.chain.sites(world.signer.address)) == 1
    twice = {blob_id for blob_id, times in world.paid().items() if times > 1}
    assert twice <= set(result.possibly_paid_in_vain)
    assert world.net.chain.equivocations == []
    assert (await world.statuses())[-1] == "completed"


def certified_blobs(world: SimulatedWorld) -> set[str]:
    return {blob_id for blob_id in world.paid() if world.net.blobs.certified(BlobId.parse(blob_id), permanent=True)}


async def test_after_a_death_at_any_hook_point_the_same_call_pays_each_blob_once() -> None:
    total = len(await points_of_a_whole_run())
    for number in range(1, total + 1):
        world = SimulatedWorld(FILES)
        assert await die(world, at_point(number))
        certified = certified_blobs(world)
        await check_after(world)
        again = {blob_id for blob_id, times in world.paid().items() if times > 1}
        assert not again & certified, f"point {number}: what was certified at the death is paid again"
        assert len(again) <= OPTIONS["concurrency"]


async def test_a_second_death_on_the_way_back_is_met_as_well() -> None:
    total = len(await points_of_a_whole_run())
    for first in range(1, total + 1, 5):
        for second in (1, 3, 7):
            world = SimulatedWorld(FILES)
            assert await die(world, at_point(first))
            await die(world, at_point(second))
            await check_after(world)


def die_at(world: SimulatedWorld, moment: str, count: int) -> Callable[[str, BlobId], BaseException | None]:
    left = [count]

    def fault(now: str, _: BlobId) -> BaseException | None:
        if now == moment:
            left[0] -= 1
            if not left[0]:
                world.life.die()
        return None

    return fault


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_death_inside_a_store_costs_at_most_the_stores_in_flight(moment: str) -> None:
    for count in (1, 2, 4):
        world = SimulatedWorld(FILES)
        world.store.faults = die_at(world, moment, count)
        await die(world)
        await check_after(world)
        extra = sum(times - 1 for times in world.paid().values())
        assert extra <= OPTIONS["concurrency"]
        if moment != "paid":
            assert extra <= 1, "only a store that was paid and not certified can be paid in vain"


async def test_changed_files_after_a_death_reuse_what_was_stored() -> None:
    total = len(await points_of_a_whole_run())
    for number in range(1, total + 1, 3):
        world = SimulatedWorld(FILES)
        assert await die(world, at_point(number))
        world.files["index.html"] = b"another home"
        await check_after(world)
        assert (await world.statuses())[0] == "cancelled" or len(await world.statuses()) == 1
        assert set(world.paid().values()) == {1}, number


async def test_a_death_after_a_reboot_is_settled_by_the_wall_clock() -> None:
    world = SimulatedWorld(FILES)
    world.store.faults = die_at(world, "paid", 1)
    assert await die(world)
    world.clock.reboot()
    world.clock.advance(world.network.settle_s + 1)
    await check_after(world)


async def test_the_state_of_each_effect_is_what_its_events_tell() -> None:
    """Fold the events of a life with deaths, and compare with the rows (contracts: rows follow events)."""
    world = SimulatedWorld(FILES)
    world.store.faults = die_at(world, "paid", 2)
    assert await die(world)
    await world.deploy(**OPTIONS)
    told: dict[tuple[str, str], str] = {}
    for history in world.disk.events.values():
        for event in history:
            state = _state(event.type, told.get((event.data.get("kind", ""), event.data.get("name", ""))))
            if state is not None:
                told[(event.data["kind"], event.data["name"])] = state
    rows = {(row["kind"], row["name"]): row["state"] for row in world.disk.tables["operations"].values()}
    assert rows == told


def _state(kind: str, before: str | None) -> str | None:
    if kind == events.EFFECT_INTENT:
        return "released" if before == "released" else "intent"
    return {
        events.EFFECT_RELEASED: "released",
        events.EFFECT_DONE: "done",
        events.EFFECT_FAILED: "failed",
        events.EFFECT_UNKNOWN: "released",
    }.get(kind)


async def test_checkpoints_hold_no_signed_bytes_and_all_that_is_done() -> None:
    world = SimulatedWorld(FILES)
    await world.deploy(**OPTIONS)
    assert json.loads(json.dumps(list(world.disk.checkpoints.values()))) == list(world.disk.checkpoints.values())
    _, last = max(world.disk.checkpoints.items())
    assert {item["state"] for item in last["operations"]} == {"done"}
    assert all(set(item) == {"step", "digest", "expires", "expected_id", "state"} for item in last["transactions"])
