"""The engine and the service over the simulated world: what is stored, sent, served; on asyncio and on trio."""

from __future__ import annotations

import json

import pytest

from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import BlockchainError, DeploymentStopped, NetworkError, StorageError, WalrusError
from walrus_sdk.model.options import RecoveryOptions, Verify
from walrus_sdk.model.plan import StoreKind
from walrus_sdk.model.units import BlobId
from walrus_sdk.testing import PAGES, SimulatedWorld, lost

pytestmark = pytest.mark.anyio


def pages(count: int) -> dict[str, bytes]:
    return {"index.html": b"home", **{f"page-{n:03}.html": b"<p>%d</p>" % n * 3 for n in range(count)}}


async def test_visitors_get_every_file_of_a_new_site() -> None:
    world = SimulatedWorld()
    result = await world.deploy()
    assert await world.served() == world.published()
    assert (result.version, result.verified, len(result.digests)) == (1, "all", 1)
    assert await world.statuses() == ["completed"]


async def test_nothing_to_do_means_no_store_and_no_transaction() -> None:
    world = SimulatedWorld()
    await world.deploy()
    stored, executed = world.store.stored, world.chain.executed
    result = await world.deploy()
    assert (world.store.stored, world.chain.executed) == (stored, executed)
    assert not result.changed
    assert await world.statuses() == ["completed", "completed"]


async def test_a_large_file_is_a_blob_and_small_ones_share_a_quilt() -> None:
    world = SimulatedWorld({**PAGES, "video.bin": bytes(600_000)})
    plan = await world.plan()
    kinds = {op.kind: [piece.source for piece in op.pieces] for op in plan.operations}
    assert kinds[StoreKind.BLOB] == ["video.bin"]
    assert "index.html" in kinds[StoreKind.QUILT]
    await world.deploy()
    assert await world.served() == world.published()


async def test_equal_content_at_two_paths_is_stored_once() -> None:
    world = SimulatedWorld({"index.html": b"same", "copy.html": b"same"})
    result = await world.deploy()
    assert result.cost.stored_bytes == len(b"same")
    assert await world.served() == world.published()


async def test_a_site_of_many_files_takes_several_transactions_and_ends_whole() -> None:
    world = SimulatedWorld(pages(400))
    result = await world.deploy()
    assert len(result.digests) > 1
    assert len(result.digests) == result.cost.transactions
    assert await world.served() == world.published()
    assert world.net.chain.equivocations == []


async def test_a_removed_file_goes_and_the_others_stay() -> None:
    world = SimulatedWorld()
    await world.deploy()
    del world.files["about.html"]
    await world.deploy()
    assert await world.served() == world.published()


async def test_rules_alone_cost_one_transaction_and_no_store() -> None:
    world = SimulatedWorld()
    await world.deploy()
    world.files["ws-resources.json"] = json.dumps({"routes": {"/app/*": "/index.html"}}).encode()
    result = await world.deploy()
    assert (result.cost.requests, len(result.digests)) == (0, 1)
    ((site_id, _),) = await world.chain.sites(world.signer.address)
    site = await world.chain.site(site_id)
    assert site is not None
    assert site.content.routes == (("/app/*", "/index.html"),)


async def test_fresh_stores_everything_again_without_paying_for_what_is_certified() -> None:
    world = SimulatedWorld()
    await world.deploy()
    stored = world.store.stored
    await world.deploy(fresh=True)
    assert world.store.stored > stored
    assert set(world.paid().values()) == {1}


async def test_content_whose_storage_is_over_is_stored_again() -> None:
    world = SimulatedWorld()
    await world.deploy(epochs=2)
    world.net.chain.advance_walrus_epoch(3)
    result = await world.deploy(epochs=2)
    assert result.cost.stored_bytes == sum(map(len, PAGES.values()))
    assert await world.served() == world.published()


# ── failures ──────────────────────────────────────────────────────────────────────────────────────────────────────


def fail_once(world: SimulatedWorld, moment: str, error: WalrusError) -> None:
    errors = [error]

    def fault(now: str, _: BlobId) -> BaseException | None:
        return errors.pop() if now == moment and errors else None

    world.store.faults = fault


@pytest.mark.parametrize("moment", ["released", "certified"])
async def test_a_lost_answer_of_a_store_that_was_not_paid_in_vain_is_not_paid_twice(moment: str) -> None:
    world = SimulatedWorld()
    fail_once(world, moment, lost())
    result = await world.deploy()
    assert set(world.paid().values()) == {1}
    assert await world.served() == world.published()
    assert bool(result.possibly_paid_in_vain) == (moment == "released")


async def test_a_store_dropped_after_payment_is_paid_again_once_it_is_settled_and_said() -> None:
    world = SimulatedWorld()
    fail_once(world, "paid", lost())
    before = world.clock.monotonic()
    result = await world.deploy()
    assert sorted(world.paid().values()) == [2]
    assert set(result.possibly_paid_in_vain) == set(world.paid())
    assert world.clock.monotonic() - before >= world.network.settle_s


async def test_a_store_that_failed_before_its_release_is_repeated_at_once() -> None:
    world = SimulatedWorld()
    fail_once(world, "request", NetworkError("connect_failed", "no route"))
    result = await world.deploy(recovery=RecoveryOptions(retry_delay_s=0.0))
    assert result.possibly_paid_in_vain == ()
    assert set(world.paid().values()) == {1}


async def test_retries_end_and_leave_a_deployment_that_can_go_on() -> None:
    world = SimulatedWorld()
    world.store.faults = lambda moment, _: NetworkError("connect_failed", "no route") if moment == "request" else None
    with pytest.raises(NetworkError) as caught:
        await world.deploy(recovery=RecoveryOptions(max_retries=2, retry_delay_s=0.1))
    assert caught.value.fields["resumable"] is True
    assert world.net.blobs.ledger() == []
    world.store.faults = lambda _moment, _blob_id: None
    result = await world.deploy()
    assert str(result.deployment_id) == caught.value.fields["deployment_id"]
    assert await world.statuses() == ["completed"]


async def test_a_refusal_for_good_is_not_repeated() -> None:
    world, calls = SimulatedWorld(), []

    def fault(moment: str, blob_id: BlobId) -> BaseException | None:
        calls.append(moment)
        return StorageError("blob_blocked", "blocked") if moment == "request" else None

    world.store.faults = fault
    with pytest.raises(StorageError):
        await world.deploy()
    assert calls.count("request") == 1


async def test_a_plan_whose_storage_would_be_over_is_given_up_and_made_anew() -> None:
    world = SimulatedWorld()
    world.store.faults = lambda moment, _: NetworkError("connect_failed", "no route") if moment == "request" else None
    with pytest.raises(NetworkError):
        await world.deploy(epochs=2, recovery=RecoveryOptions(max_retries=0))
    world.store.faults = lambda _moment, _blob_id: None
    world.net.chain.advance_walrus_epoch(3)
    with pytest.raises(DeploymentStopped) as caught:
        await world.deploy(epochs=2)
    assert (caught.value.code, caught.value.fields["resumable"]) == ("plan_expired", False)
    await world.deploy(epochs=2)
    assert await world.served() == world.published()


async def test_a_lost_answer_of_a_transaction_is_found_by_its_digest() -> None:
    world, answers = SimulatedWorld(), [BlockchainError("transaction_unknown", "the answer was lost")]
    world.chain.faults = lambda moment: answers.pop() if moment == "executed" and answers else None
    result = await world.deploy()
    assert (world.chain.executed, len(result.digests)) == (1, 1)
    assert len(await world.chain.sites(world.signer.address)) == 1


async def test_a_transaction_that_never_arrived_is_sent_again_with_the_same_bytes() -> None:
    world, answers = SimulatedWorld(), [BlockchainError("transaction_unknown", "no answer")]
    world.chain.faults = lambda moment: answers.pop() if moment == "execute" and answers else None
    result = await world.deploy()
    assert (world.chain.executed, len(result.digests)) == (1, 1)
    assert world.net.chain.equivocations == []


async def test_the_owner_without_gas_is_told_how_much_is_missing() -> None:
    world = SimulatedWorld()
    genesis_coins = await world.chain.coins(world.signer.address)
    world.net.chain.system_transaction([], [coin.ref.id for coin in genesis_coins])
    with pytest.raises(BlockchainError) as caught:
        await world.deploy()
    assert caught.value.code == "insufficient_gas"
    assert caught.value.fields["address"] == str(world.signer.address)


async def test_a_reader_that_lags_behind_our_own_transaction_is_waited_for() -> None:
    world = SimulatedWorld(pages(400))
    world.chain.behind = 1
    wait = world.clock.sleep

    async def catch_up(seconds: float) -> None:
        world.chain.behind = 0
        await wait(seconds)

    world.clock.sleep = catch_up  # type: ignore[method-assign]
    result = await world.deploy(verify=Verify.NONE)
    assert world.chain.behind == 0, "the reader was behind, and waited for"
    assert len(result.digests) > 1
    assert await world.served() == world.published()


async def test_progress_counts_up_and_ends() -> None:
    world, seen = SimulatedWorld(), []
    await world.deploy(feed=Feed(seen.append))
    confirmed = [item.bytes_confirmed for item in seen]
    assert confirmed == sorted(confirmed)
    assert confirmed[-1] == sum(map(len, PAGES.values()))
