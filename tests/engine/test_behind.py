"""A node that is behind, and a publisher whose answer says nothing: one look or one answer never outweighs a record."""

from __future__ import annotations

from typing import Any

import pytest

from walrus_sdk.errors import StorageError, WalrusError
from walrus_sdk.model.options import RecoveryOptions
from walrus_sdk.model.units import BlobId, ObjectId
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
