"""Old quilts that hold mostly what no page uses: when they count as sparse, when repacking is offered, what it does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from walrus_sdk.codecs.cost import extension_cost, store_cost
from walrus_sdk.model.network import Prices
from walrus_sdk.model.plan import Piece, StoreKind, StoreOperation
from walrus_sdk.model.site import PATCH_HEADER, Resource
from walrus_sdk.model.units import BlobId, Frost
from walrus_sdk.planning.waste import Quilt, measure, offer
from walrus_sdk.testing.world import SimulatedWorld

PRICES = Prices(Frost(1000), Frost(2000))
ONE, TWO = BlobId(b"\1" * 32), BlobId(b"\2" * 32)


def sha(text: str) -> bytes:
    return text.encode().ljust(32, b"\0")


def quilt(size: int, **contents: int) -> Quilt:
    return Quilt({sha(name): held for name, held in contents.items()}, size)


def patch(path: str, blob_id: BlobId, content: str) -> Resource:
    return Resource(path, ((PATCH_HEADER, "0x0101000200"),), blob_id, sha(content))


def store(size: int) -> StoreOperation:
    piece = Piece("a", "a", size, sha("a"))
    return StoreOperation("store-0001", StoreKind.BLOB, (piece,), size, size, 1, store_cost(size, 1000, 5, PRICES))


AB = quilt(10**6, a=100, b=100)


def test_a_quilt_is_sparse_when_half_of_it_or_less_is_used() -> None:
    there = [patch("/a", ONE, "a"), patch("/b", ONE, "b"), patch("/c", TWO, "c"), patch("/d", TWO, "d")]
    found = measure({sha("a"), sha("c"), sha("d")}, (), there, {ONE: AB, TWO: quilt(10**6, c=100, d=101)})
    assert found.quilts == {ONE: AB}
    assert found.pages == {sha("a")}
    assert found.share == 0.5
    assert not measure({sha("a")}, (), there, {ONE: quilt(10**6, a=101, b=100)}).quilts


def test_content_at_another_path_of_another_site_or_kept_for_a_time_is_used() -> None:
    there = [patch("/a", ONE, "a"), patch("/b", ONE, "b")]
    assert measure({sha("a")}, (), there, {ONE: AB}).quilts
    assert not measure({sha("a")}, {sha("b")}, there, {ONE: AB}).quilts
    assert not measure({sha("a"), sha("b")}, (), there[:1], {ONE: AB}).quilts


def test_a_quilt_of_which_nothing_is_wanted_any_more_is_left_already() -> None:
    there = [patch("/a", ONE, "a"), patch("/c", TWO, "c")]
    assert measure({sha("a")}, (), there, {ONE: AB, TWO: quilt(10**6, c=100)}).quilts.keys() == {ONE}


def test_blobs_and_quilts_of_which_nothing_is_known_are_not_judged() -> None:
    blob = Resource("/a", (), ONE, sha("a"))
    assert not measure({sha("a")}, (), [blob], {ONE: AB}).quilts
    assert not measure({sha("a")}, (), [patch("/a", ONE, "a")], {}).quilts
    assert measure({sha("a")}, (), [patch("/a", ONE, "a")], {}).share == 0.0


def test_repacking_is_offered_where_it_costs_less_than_an_extension() -> None:
    there = [patch("/a", ONE, "a"), patch("/c", TWO, "c")]
    quilts = {ONE: quilt(10**6, a=100, b=300), TWO: quilt(10**6, c=100, d=300)}
    sparse = measure({sha("a"), sha("c")}, (), there, quilts)
    said = offer(sparse, [store(1000)], 1000, 5, PRICES)
    assert said is not None
    assert "75% of the content of old quilts" in said
    assert str(store_cost(1000, 1000, 5, PRICES)) in said
    assert str(extension_cost(10**6, 1000, 5, PRICES) * 2) in said
    assert offer(replace(sparse, quilts={ONE: quilt(1000, a=1)}), [store(10**6)], 1000, 5, PRICES) is None
    assert offer(measure((), (), (), {}), [], 1000, 5, PRICES) is None


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


@pytest.mark.anyio
async def test_what_another_site_serves_from_a_quilt_is_no_waste() -> None:
    pages = {f"p{number}.html": b"%d" % number * 50 for number in range(6)}
    world = SimulatedWorld({"index.html": b"index" * 50} | pages)
    world.folders["/other"] = {"index.html": world.files["index.html"], "p0.html": pages["p0.html"]}
    await world.deploy(max_quilt_files=7)
    await world.deploy(place="/other", site_name="other", max_quilt_files=7)
    plan = await world.plan(place="/other", site_name="other", repack=True)
    assert plan.nothing_to_do, "all of the quilt belongs to pages of the two sites"


@pytest.mark.anyio
async def test_repacking_leaves_assets_that_stay_for_a_time_and_does_nothing_where_it_does_not_pay() -> None:
    assets = {f"app{number}.3f2a9c1{number}.js": b"%d" % number * 50 for number in range(3)}
    world = SimulatedWorld({"index.html": b"index" * 50} | assets)
    await world.deploy(max_quilt_files=2)
    for name in assets:
        world.files[name.replace("3f2a", "4f2a")] = world.files.pop(name) + b"changed"
    await world.deploy(max_quilt_files=2, keep_old_s=7 * 86400.0)
    plan = await world.plan(max_quilt_files=2, keep_old_s=7 * 86400.0, repack=True)
    assert not plan.change.remove
    assert len(plan.retiring) == 3
    world.files["index.html"] += b"changed"
    assert len((await world.plan(repack=True)).operations) == 1, "one page anew costs no less than to extend one quilt"
