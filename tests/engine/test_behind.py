"""A node that is behind, and a publisher whose answer says nothing: one look or one answer never outweighs a record."""

from __future__ import annotations

from typing import Any

import pytest

from walrus_sdk.errors import DeploymentStopped, StorageError, WalrusError
from walrus_sdk.model.options import RecoveryOptions
from walrus_sdk.model.units import BlobId, ObjectId, SuiAddress
from walrus_sdk.testing import PAGES, SimulatedWorld
from walrus_sdk.testing.virtual import VirtualClock, options

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", options("asyncio")


def world_in_virtual_time(files: dict[str, bytes] = PAGES) -> SimulatedWorld:
    world = SimulatedWorld(files, clock=VirtualClock())
    world.clock.advance(100)  # every node knows how it began
    return world


async def test_c7_what_was_stored_just_now_is_not_stored_again_because_a_node_is_behind() -> None:
    world = world_in_virtual_time()
    assert await world.dies("transaction.intent.before", lambda: world.deploy(deletable=True))
    world.chain.late_s = 4.0
    world.store.reading = lambda: StorageError("blob_unavailable", "503")
    with pytest.raises(StorageError, match="verification_failed"):
        await world.deploy(deletable=True)
    assert set(world.paid().values()) == {1}


async def test_what_somebody_deleted_is_stored_again() -> None:
    world = world_in_virtual_time()
    assert await world.dies("transaction.intent.before", lambda: world.deploy(deletable=True))
    gone = min(world.paid())
    (registration,) = world.net.blobs.registrations(gone)
    world.net.chain.system_transaction([], [ObjectId.parse(registration.object_id)])
    await world.deploy(deletable=True)
    assert world.paid() == {**dict.fromkeys(world.paid(), 1), gone: 2}
    assert await world.served() == world.published()


async def test_many_deleted_ones_are_not_waited_for_one_after_the_other() -> None:
    world = world_in_virtual_time({f"{n}.html" if n else "index.html": b"%d" % n for n in range(12)})
    asked: dict[str, Any] = {"deletable": True, "max_quilt_files": 1, "concurrency": 1}
    assert await world.dies("transaction.intent.before", lambda: world.deploy(**asked))
    found = [world.net.blobs.registrations(name)[0].object_id for name in world.paid()]
    world.net.chain.system_transaction([], [ObjectId.parse(text) for text in found])
    start = world.clock.monotonic()
    await world.deploy(**asked)
    assert world.clock.monotonic() - start < 60
    assert set(world.paid().values()) == {2}


async def test_c7_an_expired_transaction_is_not_buried_because_a_node_is_behind() -> None:
    world = world_in_virtual_time()
    world.chain.after = lambda: world.life.die()
    assert await world.dies()
    world.net.chain.advance_sui_epoch(2)
    world.chain.late_s = 3.0
    world.files["about.html"] = b"another request"
    await world.deploy()
    assert len(await world.site_ids()) == 1


async def test_s1_a_store_whose_answer_names_another_blob_is_looked_up_and_not_paid_again() -> None:
    world = world_in_virtual_time()
    world.store.lies = lambda: True
    with pytest.raises(StorageError) as caught:
        await world.deploy(deletable=True, recovery=RecoveryOptions(max_retries=2))
    assert caught.value.code == "blob_id_mismatch"
    assert set(world.paid().values()) == {1}, "it is not tried again by itself"
    world.revive()
    await world.deploy(deletable=True)
    assert set(world.paid().values()) == {1}
    assert await world.served() == world.published()


async def test_a_store_that_was_paid_and_answered_wrongly_is_said_when_it_is_paid_again() -> None:
    world = world_in_virtual_time()
    seen: list[BlobId] = []

    def dropped(moment: str, blob_id: BlobId) -> Exception | None:
        if moment == "paid" and not seen:
            seen.append(blob_id)
            return StorageError("blob_id_mismatch", "another blob")
        return None

    world.store.faults = dropped
    with pytest.raises(WalrusError):
        await world.deploy()
    world.revive()
    result = await world.deploy()
    assert world.paid()[str(seen[0])] == 2
    assert str(seen[0]) in result.possibly_paid_in_vain


@pytest.mark.parametrize(("retries", "longest_s"), [(0, 60.0), (1, 3700.0)])
async def test_n6_a_pause_that_was_asked_for_is_not_waited_out_only_to_fail(
    retries: int, longest_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_in_virtual_time()
    looks: list[object] = []
    listed = world.chain.blobs

    async def counted(owner: SuiAddress) -> Any:
        looks.append(owner)
        return await listed(owner)

    monkeypatch.setattr(world.chain, "blobs", counted)
    world.store.faults = lambda moment, _: (
        StorageError("store_failed", "503", retry_after=3600.0) if moment == "released" else None
    )
    start = world.clock.monotonic()
    with pytest.raises(DeploymentStopped, match="attempts_exhausted"):
        await world.deploy(max_quilt_files=1000, recovery=RecoveryOptions(max_retries=retries, retry_delay_s=0.1))
    assert world.clock.monotonic() - start < longest_s
    assert world.store.stored == retries + 1
    assert len(looks) < 200


async def test_what_another_deployment_paid_is_not_told_as_spent_by_this_one() -> None:
    world = SimulatedWorld({"index.html": b"same"})
    assert await world.dies("store.do.after", lambda: world.deploy(site_name="one"))
    world.folders = {"/two": {"index.html": b"same"}}
    second = await world.deploy(place="/two", site_name="two")
    assert (second.cost.frost.units, second.cost.requests) == (0, 0)
    assert sum(row["paid"] for row in world.net.blobs.ledger()) == 1
