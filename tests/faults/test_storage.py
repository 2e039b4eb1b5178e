"""Faults of the storage (S), each met by the real clients: what is believed, what is refused, who is asked next."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from walrus_sdk.errors import LimitError
from walrus_sdk.localnet.faults import Fault
from walrus_sdk.model.units import BlobId, Frost, QuiltPatchId
from walrus_sdk.testing import SimulatedWorld

pytestmark = pytest.mark.anyio

ELSEWHERE: dict[str, list[str]] = {
    "S1": [
        "tests/walrus/test_publisher.py::test_a_200_is_believed_only_in_the_form_and_with_the_id_that_were_expected"
    ],
    "S2": ["tests/service/test_going_on.py::test_a_store_that_was_paid_and_never_certified_is_paid_again_and_said"],
    "S3": ["tests/engine/test_payments.py::test_a_publisher_that_buys_less_than_asked_is_paid_once_and_told"],
    "S4": [
        "tests/engine/test_deployments.py::test_content_whose_storage_is_over_is_stored_again",
        "tests/engine/test_deployments.py::test_a_plan_whose_storage_would_be_over_is_given_up_and_made_anew",
        "tests/engine/test_site_identity.py::"
        "test_a_deployment_whose_storage_is_over_is_planned_anew_and_writes_no_dead_site",
    ],
    "S5": ["tests/service/test_deploy.py::test_wrong_bytes_on_walrus_are_found_by_verification"],
    "S8": [
        "tests/engine/test_deployments.py::test_a_store_dropped_after_payment_is_paid_again_once_it_is_settled_and_said",
        "tests/engine/test_crashes.py::test_changed_files_after_a_death_reuse_what_was_stored",
    ],
    "S10": ["tests/engine/test_payments.py::test_limits_hold_when_a_plan_is_applied_and_when_a_deployment_goes_on"],
    "S11": [
        "tests/engine/test_deployments.py::test_equal_content_at_two_paths_is_stored_once",
        "tests/planning/test_packing.py::test_a_file_that_fits_nowhere_is_named",
    ],
    "S12": ["tests/walrus/test_publisher.py::test_a_blob_is_put_with_exactly_the_parameters_that_publishers_know"],
}
"""Tests of other folders that hold up the same fault from another side; some faults are the engine's alone."""


def test_every_fault_of_the_storage_has_a_test(covered: Any) -> None:
    assert covered("S", 12, __file__, ELSEWHERE) == []


def paid(net: Any) -> int:
    return sum(bool(row["paid"]) for row in net.ledger())


async def test_s1_another_blob_id_is_refused_and_its_publisher_is_asked_last_from_then_on(
    net: Any, user: Any, served: Any, servers: Any
) -> None:
    net.faults.add(Fault("publisher.after_certify", "wrong_blob_id"))
    async with (
        served(servers.answering(200, user.created())) as good,
        user.services([net.url, good]) as services,
    ):
        first, second = await user.put(services), await user.put(services)
    assert (first.code, first.receipt, first.released) == ("blob_id_mismatch", None, True)
    assert second.receipt is not None
    assert len(servers.heads) == 1


async def test_s2_registered_and_not_certified_wants_a_look_and_is_not_there_to_read(net: Any, user: Any) -> None:
    request = user.blob(b"hello", net.world.blobs.encode(b"hello"))
    net.faults.add(Fault("publisher.after_pay", "error", times=1, status=504))
    async with user.services([net.url], [net.url]) as services:
        told = await user.put(services, request)
        there = await user.get(services, request.blob_id)
        again = await user.put(services, request)
        read = await user.get(services, request.blob_id)
    assert (told.code, told.kind, told.released) == ("store_uncertified", "look_first", True)
    assert there.kind == "retry"
    assert there.code in {"blob_not_found", "blob_unavailable"}
    assert again.receipt is not None
    assert bytes(read.data) == b"hello"
    assert paid(net) == 2


@pytest.mark.parametrize("end", [5, 60, 2**32])
async def test_s3_an_end_that_is_not_the_planned_one_is_told_as_it_is(
    served: Any, user: Any, servers: Any, end: int
) -> None:
    known = {"alreadyCertified": {"blobId": str(user.blob_id), "event": {}, "endEpoch": end}}
    async with served(servers.answering(200, known)) as url:
        told = await user.store(url)
    assert told.receipt is not None
    assert (told.receipt.end_epoch.number, told.receipt.already_certified) == (end, True)
    assert told.receipt.object_id is None, "somebody else's blob is not ours to renew or delete"


async def test_s4_a_blob_that_has_lapsed_is_a_miss_and_is_stored_again(net: Any, user: Any) -> None:
    request = user.blob(b"hello", net.world.blobs.encode(b"hello"))
    async with user.services([net.url], [net.url]) as services:
        first = await user.put(services, request)
        net.world.chain.advance_walrus_epoch(10)
        there = await user.get(services, request.blob_id)
        again = await user.put(services, request)
    assert there.code == "blob_not_found"
    assert not first.receipt.already_certified
    assert not again.receipt.already_certified
    assert again.receipt.end_epoch.number > first.receipt.end_epoch.number


LYING = {
    "too many bytes": (200, bytes(2000), ()),
    "another range": (206, b"other", ("content-range: bytes 7-11/20",)),
    "no range said": (206, b"other", ()),
}


@pytest.mark.parametrize("lie", LYING.values(), ids=LYING)
async def test_s5_bytes_that_cannot_be_the_right_ones_lead_to_another_aggregator(
    served: Any, user: Any, servers: Any, lie: tuple[int, bytes, tuple[str, ...]]
) -> None:
    status, body, fields = lie
    async with served(servers.answering(status, body, *fields)) as one, served(servers.answering(200, b"hello")) as two:
        told = await user.read(one, two)
    assert (bytes(told.data), told.code) == (b"hello", "")


async def test_s5_wrong_bytes_of_the_right_length_reach_the_reader_who_compares_their_hash(
    served: Any, user: Any, servers: Any
) -> None:
    async with served(servers.answering(200, b"jello")) as url:
        told = await user.read(url)
    assert (hashlib.sha256(told.data).digest() == hashlib.sha256(b"hello").digest(), told.code) == (False, "")


@pytest.mark.parametrize("deaf", [False, True])
async def test_s6_a_cached_miss_does_not_hide_what_was_stored_since(net: Any, user: Any, deaf: bool) -> None:
    net.faults.reshape(not_found_cache_s=3600.0, cache_deaf=deaf)
    request = user.blob(b"hello", net.world.blobs.encode(b"hello"))
    async with user.services([net.url], [net.url]) as services:
        before = await user.get(services, request.blob_id, span=(0, 1))
        stored = await user.put(services, request)
        after = [await user.get(services, request.blob_id, **how) for how in ({}, {"span": (0, 1)}, {})]
    assert before.code == "blob_not_found"
    assert stored.receipt is not None
    assert [bytes(told.data) for told in after] == [b"hello", b"h", b"hello"]


FILES = {"a.html": b"a", "b.css": b"bb", "c.js": b"ccc"}


def other_quilt(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    stranger = str(QuiltPatchId(BlobId(b"\x12" * 32), 1, 2))
    return [{**rows[0], "quiltPatchId": stranger}, *rows[1:]]


DAMAGED: dict[str, Any] = {
    "missing": lambda rows: rows[1:],
    "double": lambda rows: [*rows, rows[0]],
    "another name": lambda rows: [{**rows[0], "identifier": "d.txt"}, *rows[1:]],
    "of another quilt": other_quilt,
    "no patch id": lambda rows: [{"identifier": row["identifier"]} for row in rows],
    "half a patch id": lambda rows: [{**row, "quiltPatchId": row["quiltPatchId"][:30]} for row in rows],
    "no list": lambda rows: {"0": rows[0]},
    "nothing": lambda rows: None,
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
async def test_s7_a_quilt_whose_list_of_files_is_wrong_is_refused_whole(
    served: Any, user: Any, servers: Any, damage: Any
) -> None:
    document = {"blobStoreResult": user.created(), "storedQuiltBlobs": damage(user.patches(*FILES))}
    async with served(servers.answering(200, document)) as url:
        told = await user.store(url, request=user.quilt(FILES))
    assert (told.code, told.kind, told.receipt) == ("bad_answer", "look_first", None)


async def test_s7_the_order_of_a_quilts_files_means_nothing(served: Any, user: Any, servers: Any) -> None:
    rows = user.patches(*FILES)
    document = {"blobStoreResult": user.created(), "storedQuiltBlobs": rows[::-1]}
    async with served(servers.answering(200, document)) as url:
        told = await user.store(url, request=user.quilt(FILES))
    assert {name: str(patch) for name, patch in told.receipt.patches.items()} == {
        row["identifier"]: row["quiltPatchId"] for row in rows
    }


async def test_s8_a_quilt_that_is_lost_part_way_fails_with_one_error_for_all_its_files(
    user: Any, served: Any, servers: Any, lined: Any
) -> None:
    files = {f"{n}.bin": bytes(400_000) for n in range(50)}  # more than what sockets take unsent
    document = {"blobStoreResult": user.created(), "storedQuiltBlobs": user.patches(*files)}
    async with (
        served(servers.answering(200, document)) as url,
        lined(url, up=70_000, cuts=1) as line,
        user.services([line.url]) as services,
    ):
        told, again = [await user.put(services, user.quilt(files)) for _ in range(2)]
    assert (told.kind, told.released) == ("retry", False)
    assert set(again.receipt.patches) == set(files)


@pytest.mark.parametrize(
    ("status", "name", "reason", "code", "asks_on"),
    [
        (503, "UNAVAILABLE", "BLOB_UNAVAILABLE", "blob_unavailable", True),
        (403, "SIZE_EXCEEDED", "BLOB_TOO_LARGE", "blob_too_large", True),
        (451, "UNAVAILABLE_FOR_LEGAL_REASONS", "FORBIDDEN_BLOB", "blob_blocked", False),
    ],
)
async def test_s9_an_aggregators_own_no_leads_elsewhere_unless_it_is_everybodys(
    served: Any, user: Any, servers: Any, status: int, name: str, reason: str, code: str, asks_on: bool
) -> None:
    no, yes = servers.answering(status, user.refusal(status, name, reason)), servers.answering(200, b"hello")
    async with served(no) as one, served(yes) as two:
        alone, both = await user.read(one), await user.read(one, two)
    assert alone.code == code
    assert both.code == ("" if asks_on else code)
    assert bytes(both.data) == (b"hello" if asks_on else b"")


async def test_s9_that_a_blob_cannot_be_had_says_more_than_another_aggregators_miss(
    served: Any, user: Any, servers: Any
) -> None:
    busy = servers.answering(503, user.refusal(503, "UNAVAILABLE", "BLOB_UNAVAILABLE"))
    missing = servers.answering(404, user.refusal(404, "NOT_FOUND", "BLOB_NOT_FOUND"))
    async with served(busy) as one, served(missing) as two:
        assert (await user.read(one, two)).code == (await user.read(two, one)).code == "blob_unavailable"


async def test_s10_what_a_store_really_cost_is_told_whatever_was_estimated(
    served: Any, user: Any, servers: Any
) -> None:
    document = user.created()
    document["newlyCreated"]["cost"] = 2**63
    async with served(servers.answering(200, document)) as url:
        told = await user.store(url)
    assert told.receipt.cost.units == 2**63


async def test_s10_a_price_that_rose_after_the_plan_is_held_against_the_limit_before_it_is_paid() -> None:
    world = SimulatedWorld()
    plan = await world.plan()
    world.net.chain.set_prices(storage=70_000)
    with pytest.raises(LimitError) as caught:
        await world.apply(plan, max_cost=plan.cost.frost)
    assert caught.value.code == "cost_limit"
    assert int(caught.value.fields["found"]) > int(caught.value.fields["expected"]) == plan.cost.frost.units
    assert world.net.blobs.ledger() == []
    world.net.chain.set_prices(storage=100)
    await world.deploy(max_cost=plan.cost.frost)
    assert await world.served() == world.published()


async def test_s10_a_price_that_rises_half_way_stops_within_the_limit_and_a_higher_one_goes_on() -> None:
    world = SimulatedWorld({"index.html": b"home", **{f"p{n}.html": b"%d" % n * 9 for n in range(9)}})
    plan = await world.plan(max_quilt_files=1)
    limit = plan.cost.frost
    world.store.paying = lambda _request, _end: world.net.chain.set_prices(storage=2 * 7000)
    with pytest.raises(LimitError) as caught:
        await world.apply(plan, max_cost=limit, max_quilt_files=1, concurrency=1)
    spent = sum(row["cost_frost"] for row in world.net.blobs.ledger())
    assert 0 < spent <= limit.units
    assert (caught.value.code, caught.value.fields["resumable"]) == ("cost_limit", True)
    result = await world.deploy(max_quilt_files=1, max_cost=Frost(3 * limit.units))
    assert set(world.paid().values()) == {1}, "what was paid serves"
    assert str(result.deployment_id) == caught.value.fields["deployment_id"]
    assert result.cost.frost.units == sum(row["cost_frost"] for row in world.net.blobs.ledger())
    assert await world.served() == world.published()


@pytest.mark.parametrize("data", [b"", b"x"])
async def test_s11_an_empty_file_is_stored_and_read_like_any_other(net: Any, user: Any, data: bytes) -> None:
    request = user.blob(data, net.world.blobs.encode(data))
    async with user.services([net.url], [net.url]) as services:
        stored = await user.put(services, request)
        read = await user.get(services, request.blob_id)
    assert stored.receipt is not None
    assert (bytes(read.data), read.code) == (data, "")


@pytest.mark.parametrize("kind", ["blob", "quilt"])
async def test_s11_a_body_above_the_publishers_limit_is_told_with_its_size(net: Any, user: Any, kind: str) -> None:
    net.faults.reshape(max_blob_body=10_000, max_quilt_body=10_000)
    data = bytes(20_000)
    request = user.blob(data) if kind == "blob" else user.quilt({"a": data})
    told = await user.store(net.url, request=request)
    assert (told.code, told.kind) == ("body_too_large", "fix_input")
    assert told.error.fields["size"] >= 20_000
    assert paid(net) == 0


async def test_s12_the_owner_is_named_in_every_store_and_an_object_is_claimed_only_where_one_was_made(
    net: Any, user: Any
) -> None:
    request = user.blob(b"hello", net.world.blobs.encode(b"hello"))
    async with user.services([net.url]) as services:
        first, second = await user.put(services, request), await user.put(services, request)
    assert {row["owner"] for row in net.ledger()} == {str(user.owner)}
    assert first.receipt.object_id is not None
    assert (second.receipt.already_certified, second.receipt.object_id) == (True, None)
