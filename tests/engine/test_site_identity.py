"""A site is made once and only the one that is meant is written, whatever happens between plan and end (PAY-4, C11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import anyio
import pytest

from walrus_sdk.engine import sender
from walrus_sdk.errors import BlockchainError, DeploymentStopped, OwnershipError, ValidationError
from walrus_sdk.model import events
from walrus_sdk.model.chain import TransactionOutcome
from walrus_sdk.model.options import RecoveryOptions, Verify
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.units import DeploymentId, Digest
from walrus_sdk.planning.agreed import beyond
from walrus_sdk.ports import Ownership
from walrus_sdk.testing import PAGES, SimulatedWorld, at_point

pytestmark = pytest.mark.anyio

MANY = {"index.html": b"home", **{f"page-{n:03}.html": b"<p>%d</p>" % n * 3 for n in range(400)}}


def fail_transaction(world: SimulatedWorld, number: int, moment: str, error: BlockchainError) -> None:
    """Let the execution with this number (from 1) meet `error`, once."""
    seen = [0]

    def fault(now: str) -> BlockchainError | None:
        seen[0] += now == moment
        return error if now == moment and seen[0] == number else None

    world.chain.faults = fault


@pytest.mark.parametrize("name", [None, "simulated"])
async def test_a_site_whose_second_transaction_fails_for_good_is_not_made_again(name: str | None) -> None:
    world = SimulatedWorld(MANY)
    fail_transaction(world, 2, "execute", BlockchainError("chain_refused", "no"))
    with pytest.raises(BlockchainError) as caught:
        await world.deploy(site_name=name)
    assert caught.value.fields["resumable"] is False
    made = await world.site_ids()
    assert len(made) == 1
    result = await world.deploy(site_name=name)
    assert await world.site_ids() == made == [result.site_id]
    assert await world.served() == world.published()


async def test_a_site_that_was_made_without_an_answer_is_found_after_another_failure_for_good() -> None:
    world = SimulatedWorld()
    fail_transaction(world, 1, "executed", BlockchainError("transaction_unknown", "the answer was lost"))
    look, looks = world.chain.transaction, []

    async def refused_once(digest: Digest) -> TransactionOutcome | None:
        looks.append(digest)
        if len(looks) == 1:
            raise BlockchainError("chain_refused", "no")
        return await look(digest)

    world.chain.transaction = refused_once  # type: ignore[method-assign]
    with pytest.raises(BlockchainError) as caught:
        await world.deploy(site_name=None)
    assert caught.value.fields["resumable"] is False
    assert world.chain.executed == 1
    world.files["index.html"] = b"another home"
    result = await world.deploy(site_name=None)
    assert await world.site_ids() == [result.site_id]


async def test_a_plan_of_a_new_site_is_refused_once_the_site_was_made() -> None:
    world = SimulatedWorld()
    plan = await world.plan(site_name=None)
    made = await world.deploy(site_name=None)
    with pytest.raises(BlockchainError) as caught:
        await world.apply(plan, site_name=None)
    assert caught.value.code == "site_changed"
    assert await world.site_ids() == [made.site_id]


async def test_a_site_that_is_made_between_plan_and_begin_is_not_made_twice() -> None:
    world = SimulatedWorld()
    claim, first = world.journal.claim, [True]

    async def another_is_faster(deployment: DeploymentId, *, new: bool = False) -> Ownership:
        if new and first:
            first.clear()
            await world.deploy(site_name=None)
        return await claim(deployment, new=new)

    world.journal.claim = another_is_faster  # type: ignore[method-assign]
    with pytest.raises(BlockchainError) as caught:
        await world.deploy(site_name=None)
    assert caught.value.code == "site_changed"
    assert len(await world.site_ids()) == 1
    await world.deploy(site_name=None)
    assert len(await world.site_ids()) == 1


async def test_a_site_that_was_made_by_settling_an_older_deployment_is_not_made_by_a_plan_of_before() -> None:
    world = SimulatedWorld()
    world.folders = {"/site/other": {"index.html": b"other"}}
    plan = await world.plan(site_name="simulated", place="/site/other")
    world.chain.faults = lambda moment: world.life.die() if moment == "executed" else None
    assert await world.dies()
    with pytest.raises(BlockchainError) as caught:
        await world.apply(plan)
    assert caught.value.code == "site_changed"
    assert len(await world.site_ids()) == 1


async def plan_over_an_older_one(world: SimulatedWorld, name: str | None) -> Plan:
    """Return a plan that was made while the last transaction of an older deployment was still under way."""
    world.files["index.html"] = world.files["about.html"] = b"of the older one"
    world.chain.postpones = lambda: True
    world.chain.faults = lambda moment: world.life.die() if moment == "execute" and world.chain.under_way else None
    assert await world.dies("", lambda: world.deploy(site_name=name))
    world.chain.postpones, world.chain.faults = lambda: False, lambda moment: None
    world.files["index.html"] = b"of the newer one"
    plan = await world.plan(site_name=name)
    world.chain.arrive()
    return plan


@pytest.mark.parametrize("name", [None, "simulated"])
@pytest.mark.parametrize("new", [True, False])
async def test_a_plan_that_was_agreed_to_is_carried_out_over_an_older_deployment_that_settles(
    name: str | None, new: bool
) -> None:
    world = SimulatedWorld()
    if not new:
        await world.deploy(site_name=name)
    plan = await plan_over_an_older_one(world, name)
    assert (plan.target.site_id is None) == new
    result = await world.apply(plan, site_name=name)
    assert await world.site_ids() == [result.site_id]
    assert await world.served() == world.published()
    assert set(world.paid().values()) == {1}


async def test_a_plan_is_refused_when_an_older_deployment_that_settles_makes_it_do_more() -> None:
    world = SimulatedWorld()
    await world.deploy()
    world.files["only-the-older-has.html"] = b"gone again"
    usual = world.plan

    async def without(**asked: Any) -> Plan:
        del world.files["only-the-older-has.html"]
        return await usual(**asked)

    world.plan = without  # type: ignore[method-assign]
    plan = await plan_over_an_older_one(world, "simulated")
    paid = world.paid()
    with pytest.raises(BlockchainError, match=r"/only-the-older-has\.html would change or stay") as caught:
        await world.apply(plan)
    assert caught.value.code == "site_changed"
    assert world.paid() == paid


async def test_a_plan_is_refused_when_somebody_else_changed_the_site_while_an_older_deployment_settles() -> None:
    world = SimulatedWorld()
    await world.deploy()
    elsewhere = world.elsewhere()
    plan = await plan_over_an_older_one(world, "simulated")
    lookup = world.chain.transaction

    async def change_it_then(digest: Digest) -> TransactionOutcome | None:
        world.chain.transaction = lookup  # type: ignore[method-assign]
        elsewhere.files = {**world.files, "index.html": b"by somebody else"}
        await elsewhere.deploy()
        return await lookup(digest)

    world.chain.transaction = change_it_then  # type: ignore[method-assign]
    with pytest.raises(BlockchainError, match="another deployment changed it; nothing of the plan") as caught:
        await world.apply(plan)
    assert caught.value.code == "site_changed"


async def test_rules_that_were_not_agreed_to_are_not_published_by_a_plan_over_an_older_deployment() -> None:
    world = SimulatedWorld()
    await world.deploy()
    world.files["ws-resources.json"] = b'{"routes": {"/*": "/index.html"}, "metadata": {"description": "agreed"}}'
    plan = await plan_over_an_older_one(world, "simulated")
    world.files["ws-resources.json"] = b'{"routes": {"/*": "/about.html"}, "metadata": {"description": "other"}}'
    with pytest.raises(ValidationError, match="nothing of it was done") as caught:
        await world.apply(plan)
    assert caught.value.code == "file_changed"
    (site_id,) = await world.site_ids()
    site = await world.chain.site(site_id)
    assert site is not None
    assert not {("/*", "/about.html")} & set(site.content.routes or ())


async def test_a_plan_that_writes_another_table_than_was_agreed_is_beyond_it() -> None:
    world = SimulatedWorld({"index.html": b"home", "ws-resources.json": b'{"routes": {"/*": "/index.html"}}'})
    agreed = await world.plan()
    for routes, said in [((("/*", "/x"),), "routes would"), (None, "")]:
        now = replace(agreed, change=replace(agreed.change, routes=routes))
        assert beyond(agreed, now).startswith(said)
        assert bool(beyond(agreed, now)) == bool(said)


async def test_a_page_of_an_older_deployment_does_not_stay_when_the_plan_did_not_say_so() -> None:
    world = SimulatedWorld()
    await world.deploy(keep_old_s=3600)
    world.files["app.0123abcd.js"] = b"of the older one"
    usual, begin = world.plan, world.deploy

    async def without(**asked: Any) -> Plan:
        del world.files["app.0123abcd.js"]
        return await usual(**asked, keep_old_s=3600)

    world.plan = without  # type: ignore[method-assign]
    world.deploy = lambda **asked: begin(**asked, keep_old_s=3600)  # type: ignore[method-assign]
    plan = await plan_over_an_older_one(world, "simulated")
    paid = world.paid()
    with pytest.raises(BlockchainError, match=r"/app\.0123abcd\.js would change or stay") as caught:
        await world.apply(plan, keep_old_s=3600)
    assert caught.value.code == "site_changed"
    assert world.paid() == paid


async def test_a_stale_plan_ends_no_unfinished_deployment() -> None:
    world = SimulatedWorld()
    await world.deploy()
    world.files["index.html"] = b"planned"
    plan, agreed = await world.plan(), dict(world.files)
    world.files["about.html"] = b"of a deployment that completes"
    await world.deploy()
    world.files["about.html"] = b"of one that does not"
    assert await world.dies("store.do.before")
    left, world.files = world.files, agreed
    with pytest.raises(BlockchainError) as caught:
        await world.apply(plan)
    assert caught.value.code == "site_changed"
    assert (await world.statuses())[-1] == "interrupted"
    world.files = left
    await world.deploy()
    assert await world.statuses() == ["completed"] * 3


@pytest.mark.parametrize("death", ["store.do.before", "transaction.outcome.before", "transaction.outcome.after"])
@pytest.mark.parametrize("over", [True, False])
async def test_a_plan_that_was_begun_goes_on_when_it_is_applied_again(death: str, over: bool) -> None:
    world = SimulatedWorld()
    await world.deploy()
    if over:
        plan = await plan_over_an_older_one(world, "simulated")
    else:
        world.files["index.html"] = b"of the newer one"
        plan = await world.plan()
    world.revive()
    assert await world.dies(death, lambda: world.apply(plan))
    await world.apply(plan)
    assert await world.served() == world.published()
    assert set(world.paid().values()) == {1}


async def test_an_object_id_that_is_given_does_not_change_what_a_name_means() -> None:
    world = SimulatedWorld()
    first = await world.deploy(site_name="first")
    second = await world.deploy(site_name="second")
    world.files["index.html"] = b"for the second one"
    await world.deploy(site_name="first", object_id=second.site_id)
    assert (await world.served(first.site_id))["/index.html"] == PAGES["index.html"]
    again = await world.deploy(site_name="first")
    assert again.site_id == first.site_id
    other = await world.deploy(object_id=second.site_id)
    assert other.site_id == second.site_id
    assert len(await world.site_ids()) == 2


async def test_an_unfinished_deployment_of_another_site_with_the_same_name_is_left_alone() -> None:
    world = SimulatedWorld()
    first = await world.deploy(site_name="first")
    second = await world.deploy(site_name="second")
    world.files["about.html"] = b"not finished"
    world.revive()
    assert await world.dies(at_point(3), lambda: world.deploy(site_name="first"))
    await world.deploy(site_name="first", object_id=second.site_id)
    assert (await world.statuses())[2] == "interrupted"
    done = await world.deploy(site_name="first")
    assert done.site_id == first.site_id


async def test_a_plan_that_changes_nothing_is_refused_once_the_site_has_changed() -> None:
    world = SimulatedWorld()
    await world.deploy()
    plan = await world.plan()
    assert plan.nothing_to_do
    before = dict(world.files)
    world.files["index.html"] = b"changed"
    await world.deploy()
    world.files = before
    with pytest.raises(BlockchainError) as caught:
        await world.apply(plan)
    assert caught.value.code == "site_changed"


@pytest.mark.parametrize("point", ["store.outcome.after", "transaction.intent.before"])
async def test_a_deployment_whose_storage_is_over_is_planned_anew_and_writes_no_dead_site(point: str) -> None:
    world = SimulatedWorld()
    assert await world.dies(point, lambda: world.deploy(epochs=2))
    world.net.chain.advance_walrus_epoch(3)
    with pytest.raises(DeploymentStopped) as caught:
        await world.deploy(epochs=2)
    assert (caught.value.code, caught.value.fields["resumable"]) == ("plan_expired", False)
    assert world.chain.executed == 0
    await world.deploy(epochs=2)
    assert await world.served() == world.published()


# ── a transaction that seems dead ─────────────────────────────────────────────────────────────────────────────────


def refuse_again(world: SimulatedWorld, then: Any = None) -> None:
    """Lose the first answer, and refuse the same bytes when they come again while the node's reads lag."""
    moments: list[str] = []

    def fault(moment: str) -> BlockchainError | None:
        moments.append(moment)
        if moment == "executed" and moments.count("executed") == 1:
            world.chain.behind = 1
            return BlockchainError("transaction_unknown", "the answer was lost")
        if moment == "execute" and moments.count("execute") == 2:
            return BlockchainError("stale_object", "unavailable for consumption")
        return None

    world.chain.faults = fault
    wait = world.clock.sleep

    async def sleep(seconds: float) -> None:
        if moments.count("execute") >= 2 and seconds:
            world.chain.behind = 0
        await wait(seconds)

    world.clock.sleep = sleep  # type: ignore[method-assign]


@pytest.mark.parametrize("files", [dict(PAGES), MANY])
async def test_a_transaction_is_not_taken_for_dead_while_reads_lag_behind_it(files: dict[str, bytes]) -> None:
    world = SimulatedWorld(files)
    refuse_again(world)
    await world.deploy(site_name=None)
    assert len(await world.site_ids()) == 1
    assert world.net.chain.equivocations == []
    assert await world.served() == world.published()


async def test_a_transaction_that_was_always_refused_is_dead_at_once_and_made_anew() -> None:
    world, refusals = SimulatedWorld(), [BlockchainError("stale_object", "unavailable for consumption")] * 2
    world.chain.faults = lambda moment: refusals.pop() if moment == "execute" and refusals else None
    await world.deploy()
    assert len(await world.site_ids()) == 1
    assert world.net.chain.equivocations == []


async def test_a_failed_transaction_of_an_earlier_run_leaves_its_references_to_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = SimulatedWorld()
    with monkeypatch.context() as patch:
        patch.setattr(sender, "gas_budget", lambda _gas, price, _ran_out: 2000 * price)
        with pytest.raises(BlockchainError) as caught:
            await world.deploy()
    assert (caught.value.code, world.chain.executed) == ("insufficient_gas", 2)
    world.revive()
    world.chain.behind = 1  # the next run's node has not heard of it yet

    def catch_up(moment: str) -> None:
        if moment == "executed":
            world.chain.behind = 0

    world.chain.faults = catch_up
    result = await world.deploy(verify=Verify.NONE, recovery=RecoveryOptions(retry_delay_s=0.1))
    assert len(result.digests) == 3
    assert world.net.chain.equivocations == []
    assert len(await world.site_ids()) == 1


async def test_of_two_first_deploys_at_once_one_is_refused() -> None:
    world, codes = SimulatedWorld(), []

    async def deploy() -> None:
        try:
            await world.deploy(site_name=None)
            codes.append("done")
        except OwnershipError as error:
            codes.append(error.code)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(deploy)
    assert len(await world.site_ids()) == 1
    assert "done" in codes
    assert set(codes) <= {"done", "deployment_owned"}


# ── signed, and over ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_transaction_is_signed_and_begun_in_one_commit_and_not_looked_for_before_it_is_sent() -> None:
    world, looks = SimulatedWorld(MANY), []
    look = world.chain.transaction

    async def noted(digest: Digest) -> TransactionOutcome | None:
        looks.append(digest)
        return await look(digest)

    world.chain.transaction = noted  # type: ignore[method-assign]
    result = await world.deploy()
    assert (looks, world.chain.executed) == ([], len(result.digests))
    kinds = [event.type for event in await world.journal.events(result.deployment_id)]
    begun = [number for number, kind in enumerate(kinds) if kind == events.TRANSACTION_SIGNED]
    assert len(begun) == len(result.digests) > 1
    assert all(kinds[number + 1] == events.EFFECT_INTENT for number in begun)


@pytest.mark.parametrize("failure", [None, "executed"])
async def test_nothing_of_a_transaction_that_is_over_can_be_sent_again(failure: str | None) -> None:
    world, kept = SimulatedWorld(MANY), []
    if failure is not None:
        fail_transaction(world, 1, failure, BlockchainError("transaction_unknown", "the answer was lost"))
    execute = world.chain.execute

    async def noted(transaction: bytes, signatures: Sequence[bytes]) -> TransactionOutcome:
        rows = world.disk.tables["transactions"].values()
        kept.append([row["state"] for row in rows if row["bytes"] is not None and row["signatures"] is not None])
        return await execute(transaction, signatures)

    world.chain.execute = noted  # type: ignore[method-assign]
    result = await world.deploy()
    assert len(result.digests) > 1
    assert all(states == ["signed"] for states in kept), "only the one that is being sent"
    rows = world.disk.find("transactions", {"deployment": str(result.deployment_id)})
    assert {(row["state"], row["bytes"], row["signatures"]) for row in rows} == {("final", None, None)}


@pytest.mark.parametrize("point", ["", "transaction.outcome.after"])
async def test_the_same_bytes_signed_by_another_deployment_are_its_own_when_they_have_happened(point: str) -> None:
    world = SimulatedWorld()
    coins, refusals = await world.chain.coins(world.signer.address), [BlockchainError("transaction_refused", "no")]
    world.chain.faults = lambda moment: refusals.pop() if moment == "executed" and refusals else None
    with pytest.raises(BlockchainError):
        await world.deploy()  # it happened, and the node said that it would not
    world.revive()

    async def as_before(_: Any) -> Any:
        return coins

    async def none(_: Any) -> list[Any]:
        return []

    world.chain.coins = as_before  # type: ignore[method-assign]  # a node that lags: the same bytes are signed again
    world.chain.sites = none  # type: ignore[method-assign]
    if point:
        assert await world.dies(point, world.deploy)
    result = await world.deploy()
    world.revive()  # with a node that knows everything
    (row,) = world.disk.tables["transactions"].values()
    assert (row["deployment"], row["state"], row["bytes"]) == (str(result.deployment_id), "final", None)
    assert len(await world.site_ids()) == 1
    assert sorted(await world.statuses()) == ["completed", "failed"]
