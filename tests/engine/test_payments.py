"""What is paid when things go wrong for long, or for several at once: bounded, waited for, and said (PAY-1, PAY-2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from walrus_sdk.errors import BlockchainError, DeploymentStopped, LimitError, StorageError
from walrus_sdk.model.deployment import Event
from walrus_sdk.model.options import RecoveryOptions, Verify
from walrus_sdk.model.units import BlobId, DeploymentId, Frost
from walrus_sdk.ports import Change, Ownership, Release, StoreReceipt, StoreRequest
from walrus_sdk.testing import PAGES, SimulatedWorld, at_point, lost

pytestmark = pytest.mark.anyio

QUICK = RecoveryOptions(max_retries=2, retry_delay_s=0.1)


def always(moment: str) -> Any:
    return lambda now, _: lost() if now == moment else None


async def test_a_publisher_that_takes_payment_and_always_fails_is_paid_as_often_as_retries_allow() -> None:
    world = SimulatedWorld()
    world.store.faults = always("paid")
    with pytest.raises(DeploymentStopped) as caught:
        await world.deploy(recovery=QUICK)
    assert (caught.value.code, caught.value.fields["resumable"]) == ("attempts_exhausted", True)
    assert set(world.paid().values()) == {1 + QUICK.max_retries}
    world.store.faults = lambda _moment, _blob_id: None
    result = await world.deploy()
    assert set(world.paid().values()) == {2 + QUICK.max_retries}
    assert set(result.possibly_paid_in_vain) == set(world.paid())
    assert await world.served() == world.published()


async def test_a_deployment_that_is_completed_keeps_no_reason_of_a_failure_before() -> None:
    world = SimulatedWorld()
    world.store.faults = lambda moment, _: StorageError("store_failed", "no") if moment == "request" else None
    with pytest.raises(StorageError):
        await world.deploy(recovery=QUICK)
    (row,) = world.disk.tables["deployments"].values()
    assert (row["status"], row["reason"]) == ("failed", "store_failed: no")
    world.store.faults = lambda _moment, _blob_id: None
    await world.deploy()
    (row,) = world.disk.tables["deployments"].values()
    assert (row["status"], row["reason"]) == ("completed", None)


async def test_with_no_retries_a_lost_answer_is_still_looked_up() -> None:
    world, once = SimulatedWorld(), RecoveryOptions(max_retries=0)
    world.store.faults = always("certified")
    await world.deploy(recovery=once)
    assert set(world.paid().values()) == {1}


@pytest.mark.parametrize("dies", [False, True])
async def test_a_store_whose_receipt_was_lost_is_in_what_was_spent(dies: bool) -> None:
    world, answers = SimulatedWorld(), [lost()]
    if dies:
        assert await world.dies("store.do.after")
    else:
        world.store.faults = lambda moment, _: answers.pop() if moment == "certified" and answers else None
    result = await world.deploy()
    (row,) = world.net.blobs.ledger()
    assert (result.cost.frost.units, result.cost.requests) == (row["cost_frost"], 1)
    again = await world.deploy(site_name="another")
    assert (again.cost.frost.units, again.cost.requests) == (0, 0), "what others paid is not spent again"


@pytest.mark.parametrize("kind", ["store", "transaction"])
@pytest.mark.parametrize("dies", [False, True])
async def test_a_try_without_an_answer_is_done_when_its_effect_is_found(kind: str, dies: bool) -> None:
    world, answers = SimulatedWorld(), [lost() if kind == "store" else BlockchainError("transaction_unknown", "lost")]
    if dies:
        assert await world.dies(f"{kind}.do.after")
    elif kind == "store":
        world.store.faults = lambda moment, _: answers.pop() if moment == "certified" and answers else None
    else:
        world.chain.faults = lambda moment: answers.pop() if moment == "executed" and answers else None
    result = await world.deploy()
    rows = [row for row in world.disk.tables["attempts"].values() if row["kind"] == kind]
    assert [row["outcome"] for row in rows] == ["done"]
    assert rows[0]["finished_ms"] is not None
    if kind == "store":
        assert rows[0]["frost"] == result.cost.frost.units


async def test_retries_after_lost_answers_come_out_of_the_budget_of_the_whole_deployment() -> None:
    files = {"index.html": b"home", **{f"p{n}.html": b"%d" % n * 9 for n in range(19)}}
    world = SimulatedWorld(files)
    world.store.faults = always("paid")
    with pytest.raises(DeploymentStopped):
        await world.deploy(max_quilt_files=1, recovery=RecoveryOptions(max_retries=100, retry_budget=0.0))
    # Ten retries in all, whatever one store may use; and one first try of each store that was begun.
    assert sum(world.paid().values()) <= 10 + 8


async def test_a_publisher_that_buys_less_than_asked_is_paid_once_and_told() -> None:
    world = SimulatedWorld()
    world.store.max_epochs = 2
    with pytest.raises(StorageError) as caught:
        await world.deploy(epochs=9)
    assert caught.value.code == "blob_expires_early"
    assert set(world.paid().values()) == {1}
    result = await world.deploy(epochs=2)
    assert set(world.paid().values()) == {1}, "what it bought serves a shorter plan"
    assert result.cost.stored_bytes == 0
    assert await world.served() == world.published()


async def test_a_transaction_that_is_never_answered_is_sent_so_often_and_then_left_resumable() -> None:
    world, sent = SimulatedWorld(), list[str]()

    def silent(moment: str) -> BlockchainError | None:
        sent.extend([moment] * (moment == "execute"))
        return BlockchainError("transaction_unknown", "no answer") if moment == "execute" else None

    world.chain.faults = silent
    with pytest.raises(DeploymentStopped) as caught:
        await world.deploy(recovery=QUICK)
    assert (caught.value.code, caught.value.fields["resumable"]) == ("attempts_exhausted", True)
    assert len(sent) <= 10 * QUICK.max_retries + 1
    world.chain.faults = lambda _: None
    await world.deploy()
    assert world.chain.executed == 1
    assert world.net.chain.equivocations == []


async def test_a_longer_life_whose_answer_is_lost_is_waited_for_and_said() -> None:
    world = SimulatedWorld()
    await world.deploy(epochs=2)
    before = world.paid()
    answers = [lost()]
    world.store.faults = lambda moment, _: answers.pop() if moment == "paid" and answers else None
    start = world.clock.monotonic()
    result = await world.deploy(site_name="two", epochs=20)
    assert world.clock.monotonic() - start >= world.network.settle_s
    assert set((world.paid() - before).values()) == {2}
    assert set(result.possibly_paid_in_vain) == set(before)


async def test_a_longer_life_that_landed_although_its_answer_was_lost_is_not_paid_again() -> None:
    world = SimulatedWorld()
    await world.deploy(epochs=2)
    answers = [lost()]
    world.store.faults = lambda moment, _: answers.pop() if moment == "certified" and answers else None
    result = await world.deploy(site_name="two", epochs=20)
    assert set(world.paid().values()) == {2}
    assert result.possibly_paid_in_vain == ()


@pytest.mark.parametrize("moment", ["paid", "certified"])
async def test_fresh_and_deletable_stores_are_looked_up_like_all_others(moment: str) -> None:
    for asked in ({"fresh": True}, {"deletable": True}):
        world = SimulatedWorld()
        answers = [lost()]
        world.store.faults = lambda now, _, left=answers: left.pop() if now == moment and left else None
        result = await world.deploy(**asked)  # type: ignore[arg-type]
        twice = {blob_id for blob_id, times in world.paid().items() if times > 1}
        assert bool(twice) == (moment == "paid")
        assert twice == set(result.possibly_paid_in_vain)


async def test_two_sites_with_the_same_content_pay_for_it_once() -> None:
    world = SimulatedWorld()
    world.folders = {"/one": dict(PAGES), "/two": dict(PAGES)}

    async def deploy(name: str) -> None:
        await world.deploy(place=f"/{name}", site_name=name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(deploy, "one")
        tasks.start_soon(deploy, "two")
    assert set(world.paid().values()) == {1}
    assert len(await world.site_ids()) == 2
    for site_id in await world.site_ids():
        assert await world.served(site_id) == world.published()


async def test_content_that_a_dead_deployment_had_in_flight_is_not_waited_for_longer_than_it_takes_to_settle() -> None:
    world = SimulatedWorld()
    world.folders = {"/two": dict(PAGES)}

    def fault(moment: str, _: BlobId) -> None:
        if moment == "certified":
            world.life.die()

    world.store.faults = fault
    assert await world.dies()
    await world.deploy(place="/two", site_name="two")
    assert set(world.paid().values()) == {1}


async def test_limits_hold_when_a_plan_is_applied_and_when_a_deployment_goes_on() -> None:
    world = SimulatedWorld()
    plan = await world.plan()
    with pytest.raises(LimitError) as caught:
        await world.apply(plan, max_cost=Frost(1))
    assert caught.value.code == "cost_limit"
    assert (world.net.blobs.ledger(), await world.statuses()) == ([], [])
    assert await world.dies(at_point(2))
    with pytest.raises(LimitError):
        await world.deploy(max_cost=Frost(1))
    assert world.net.blobs.ledger() == []
    assert await world.statuses() == ["interrupted"], "it can go on all the same"
    await world.deploy()
    assert await world.served() == world.published()


async def test_what_was_begun_and_failed_for_good_is_settled_before_something_new_is_paid() -> None:
    files = {"index.html": b"home", "good.html": b"good" * 9, "bad.html": b"bad" * 9}
    world = SimulatedWorld(files)
    moments: list[str] = []

    def fault(moment: str, blob_id: BlobId) -> Exception | None:
        moments.append(moment)
        if moment == "request" and moments.count("request") == 2:
            return StorageError("blob_blocked", "blocked")
        return lost() if moment == "certified" else None

    world.store.faults = fault
    with pytest.raises(StorageError):
        await world.deploy(max_quilt_files=1, concurrency=1, recovery=RecoveryOptions(max_retries=0))
    world.store.faults = lambda _moment, _blob_id: None
    world.files["index.html"] = b"another home"
    await world.deploy(max_quilt_files=1)
    assert set(world.paid().values()) == {1}


async def test_two_sites_of_one_wallet_are_written_in_turn() -> None:
    world = SimulatedWorld()
    world.folders = {
        f"/{name}": {"index.html": name.encode(), **{f"p{n}.html": b"%d" % n * 9 for n in range(150)}}
        for name in ("one", "two", "three")
    }

    async def deploy(name: str) -> None:
        await world.deploy(place=f"/{name}", site_name=name)

    async with anyio.create_task_group() as tasks:
        for name in ("one", "two", "three"):
            tasks.start_soon(deploy, name)
    assert world.net.chain.equivocations == []
    assert len(await world.site_ids()) == 3


async def test_a_transaction_that_was_signed_and_never_sent_gives_its_coin_up_and_is_not_sent_later() -> None:
    for point in ("transaction.intent.before", "transaction.do.before", "transaction.releasing.before"):
        world = SimulatedWorld()
        world.folders = {"/two": {"index.html": b"two"}}
        assert await world.dies(point)
        await world.deploy(place="/two", site_name="two")
        await world.deploy()
        assert world.net.chain.equivocations == []
        assert len(await world.site_ids()) == 2


async def test_a_coin_in_an_open_transaction_of_an_interrupted_deployment_is_not_spent_elsewhere() -> None:
    world = SimulatedWorld()
    world.folders = {"/two": {"index.html": b"two"}}
    world.chain.faults = lambda moment: world.life.die() if moment == "execute" else None
    assert await world.dies()
    with pytest.raises(BlockchainError) as caught:
        await world.deploy(place="/two", site_name="two")
    assert caught.value.code == "object_locked"
    assert caught.value.fields["resumable"] is True
    await world.deploy()
    await world.deploy(place="/two", site_name="two")
    assert world.net.chain.equivocations == []
    assert len(await world.site_ids()) == 2


async def test_what_may_be_paid_in_vain_is_told_by_the_next_result_whatever_dies_in_between() -> None:
    world = SimulatedWorld()
    world.store.faults = lambda moment, _: world.life.die() if moment == "paid" else None
    assert await world.dies()
    in_vain = set(world.paid())
    world.files["index.html"] = b"another home"
    claim = world.journal.claim

    async def dying(deployment: DeploymentId, *, new: bool = False, take_over: bool = False) -> Ownership:
        if new:  # the old deployment is settled and ended, the next one is about to begin
            world.life.die()
        return await claim(deployment, new=new, take_over=take_over)

    world.journal.claim = dying  # type: ignore[method-assign]
    assert await world.dies()
    result = await world.deploy()
    assert in_vain <= set(result.possibly_paid_in_vain)


async def test_a_result_that_died_with_its_process_is_kept_with_what_may_be_paid_in_vain() -> None:
    world = SimulatedWorld()
    world.store.faults = lambda moment, _: world.life.die() if moment == "paid" else None
    assert await world.dies()
    in_vain = set(world.paid())
    append = world.journal.append

    async def dying(owner: Ownership | None, changes: Sequence[Change]) -> Sequence[Event]:
        made = await append(owner, changes)
        if any(event.data.get("to") == "completed" for event in made):
            world.life.die()  # complete and durable; nobody was told
        return made

    world.journal.append = dying  # type: ignore[method-assign]
    assert await world.dies()
    (left,) = await world.session.list()
    assert left.status == "completed"
    result = await world.session.resume(str(left.deployment_id))
    assert in_vain <= set(result.possibly_paid_in_vain)
    report = await world.session.status(str(left.deployment_id))
    assert in_vain <= set(report.details["possibly_paid_in_vain"])


async def test_a_stop_that_comes_just_before_the_last_bytes_lets_nothing_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    world = SimulatedWorld()

    async def store(_: StoreRequest, release: Release, *, at: int = 0) -> StoreReceipt:
        scope.cancel()
        await release()
        raise AssertionError("released after the stop")

    monkeypatch.setattr(world.store, "store", store)
    with anyio.CancelScope() as scope:
        await world.deploy()
    assert scope.cancelled_caught
    assert {row["state"] for row in world.disk.tables["operations"].values()} == {"intent"}
    world.revive()
    await world.deploy()
    assert set(world.paid().values()) == {1}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # the size is the point, and it takes seconds
async def test_one_changed_file_of_five_thousand_sends_its_own_bytes_and_nothing_else() -> None:
    pages = {f"{number // 100:02}/{number:04}.html": b"<p>%d</p>" % number for number in range(4_999)}
    world = SimulatedWorld({"index.html": b"home", **pages}, n_shards=40)
    await world.deploy(verify=Verify.NONE)
    before = world.net.blobs.ledger()
    world.files["07/0700.html"] = changed = b"<p>changed</p>"
    result = await world.deploy(verify=Verify.NONE)
    (row,) = world.net.blobs.ledger()[len(before) :]
    assert row["bytes_received"] == len(changed)
    assert row["paid"]
    assert (result.cost.requests, result.cost.stored_bytes) == (1, len(changed))
    site = world.chain.resources(result.site_id)
    assert len(site) == 5_000
    assert [path for path, resource in site.items() if str(resource.blob_id) == row["blob_id"]] == ["/07/0700.html"]
