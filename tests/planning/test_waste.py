"""Old quilts that hold mostly what no page uses: when they count as sparse, when repacking is offered, what it does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from walrus_sdk.codecs.cost import extension_cost, store_cost
from walrus_sdk.model.network import Prices
from walrus_sdk.model.plan import Entry, Piece, StoreKind, StoreOperation
from walrus_sdk.model.site import PATCH_HEADER, Resource
from walrus_sdk.model.units import BlobId, Frost
from walrus_sdk.planning.waste import Quilt, measure, offer
from walrus_sdk.testing.world import SimulatedWorld

PRICES = Prices(Frost(1000), Frost(2000))
ONE, TWO = BlobId(b"\1" * 32), BlobId(b"\2" * 32)


def sha(text: str) -> bytes:
    return text.encode().ljust(32, b"\0")


def entry(path: str, content: str, size: int = 100) -> Entry:
    return Entry(path, path[1:], size, sha(content), ())


def patch(path: str, blob_id: BlobId, content: str) -> Resource:
    return Resource(path, ((PATCH_HEADER, "0x0101000200"),), blob_id, sha(content))


def store(size: int) -> StoreOperation:
    piece = Piece("a", "a", size, sha("a"))
    return StoreOperation("store-0001", StoreKind.BLOB, (piece,), size, size, 1, store_cost(size, 1000, 5, PRICES))


def test_a_quilt_is_sparse_when_half_of_it_or_less_belongs_to_pages() -> None:
    there = [patch("/a", ONE, "a"), patch("/b", ONE, "b"), patch("/c", TWO, "c"), patch("/d", TWO, "d")]
    entries = [entry("/a", "a"), entry("/b", "new b"), entry("/c", "c"), entry("/d", "d", 101)]
    found = measure(entries, there, {ONE: Quilt(200, 10**6), TWO: Quilt(401, 10**6)})
    assert found.quilts.keys() == {ONE}
    assert found.wanted == {sha("a"): 100}
    assert found.share == 0.5
    assert measure(entries, there, {ONE: Quilt(200, 10**6), TWO: Quilt(402, 10**6)}).quilts.keys() == {ONE, TWO}


def test_content_that_moves_to_another_path_is_still_used_and_one_content_counts_once() -> None:
    there = [patch("/a", ONE, "a"), patch("/b", ONE, "b")]
    moved = [entry("/elsewhere", "a"), entry("/too", "a"), entry("/b", "b")]
    assert not measure(moved, there, {ONE: Quilt(201, 10**6)}).quilts
    twice = [entry("/a", "a"), entry("/too", "a")]
    assert measure(twice, [*there, patch("/too", ONE, "a")], {ONE: Quilt(200, 10**6)}).wanted == {sha("a"): 100}


def test_a_quilt_of_which_nothing_is_wanted_any_more_is_left_already() -> None:
    there = [patch("/a", ONE, "a"), patch("/b", TWO, "b")]
    found = measure([entry("/a", "a")], there, {ONE: Quilt(200, 10**6), TWO: Quilt(200, 10**6)})
    assert found.quilts.keys() == {ONE}


def test_blobs_and_quilts_of_which_nothing_is_known_are_not_judged() -> None:
    blob = Resource("/a", (), ONE, sha("a"))
    assert not measure([], [blob], {ONE: Quilt(200, 10**6)}).quilts
    assert not measure([], [patch("/a", ONE, "a")], {}).quilts
    assert measure([], [patch("/a", ONE, "a")], {}).share == 0.0


def test_repacking_is_offered_where_it_costs_less_than_an_extension() -> None:
    there = [patch("/a", ONE, "a"), patch("/b", TWO, "b")]
    sparse = measure([entry("/a", "a"), entry("/b", "b")], there, {ONE: Quilt(400, 10**6), TWO: Quilt(400, 10**6)})
    said = offer(sparse, [store(1000)], 1000, 5, PRICES)
    assert said is not None
    assert "75% of the content of old quilts belongs to no page" in said
    assert str(store_cost(1000, 1000, 5, PRICES)) in said
    assert str(extension_cost(10**6, 1000, 5, PRICES) * 2) in said
    assert offer(replace(sparse, quilts={ONE: Quilt(200, 1000)}), [store(10**6)], 1000, 5, PRICES) is None
    assert offer(measure([], [], {}), [], 1000, 5, PRICES) is None


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_a_plan_offers_to_repack_and_repacking_leaves_the_sparse_quilts() -> None:
    world = SimulatedWorld({f"{name}.html": name.encode() * 50 for name in ("index", "a", "b", "c", "d", "e")})
    first = await world.deploy(max_quilt_files=2)
    old = {resource.blob_id for resource in await resources(world)}
    for name in ("a", "c", "e"):
        world.files[f"{name}.html"] += b"changed"
    plan = await world.plan(max_quilt_files=6)
    assert any("--repack" in warning for warning in plan.warnings), plan.warnings
    repacked = await world.plan(max_quilt_files=6, repack=True)
    assert not any("--repack" in warning for warning in repacked.warnings)
    assert repacked.request_digest != plan.request_digest
    result = await world.deploy(max_quilt_files=6, repack=True)
    assert result.site_id == first.site_id
    assert await world.served() == world.published()
    kept = {resource.blob_id for resource in await resources(world)} & old
    assert len(kept) < len(old)
    again = await world.plan(max_quilt_files=6, repack=True)
    assert again.nothing_to_do, "what was repacked is not sparse"


async def resources(world: SimulatedWorld) -> list[Resource]:
    (site_id,) = await world.site_ids()
    site = await world.chain.site(site_id)
    assert site is not None
    return list(site.content.resources.values())
