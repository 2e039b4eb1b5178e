"""Recovery that is itself interrupted, meets another verb, or is asked for again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from walrus_sdk.errors import BlockchainError, ConfigurationError, DeploymentStopped, OwnershipError
from walrus_sdk.journal.store import open_journal
from walrus_sdk.machine.clock import SystemClock
from walrus_sdk.model.options import RecoveryOptions
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.testing import PAGES, SimulatedWorld, lost
from walrus_sdk.testing.invariants import Watcher

pytestmark = pytest.mark.anyio

MANY = {"index.html": b"home", **{f"page-{n:03}.html": b"<p>%d</p>" % n * 3 for n in range(400)}}


async def two_versions(files: dict[str, bytes] | None = None) -> SimulatedWorld:
    world = SimulatedWorld(files or dict(PAGES))
    await world.deploy()
    world.files["about.html"] = b"broken"
    await world.deploy()
    return world


def first(files: dict[str, bytes] | None = None) -> dict[str, bytes]:
    return {f"/{name}": data for name, data in (files or dict(PAGES)).items()}


@pytest.mark.parametrize("point", ["transaction.do.before", "transaction.do.after", "transaction.outcome.after"])
async def test_a_rollback_that_is_asked_for_again_goes_on_to_the_same_version(point: str) -> None:
    world = await two_versions()
    assert await world.dies(point, lambda: world.session.rollback("simulated"))
    plan = await world.session.plan_rollback("simulated")
    assert plan.message == "rollback to version 1"
    result = await world.session.rollback("simulated")
    assert result.version == 3
    assert await world.served() == first()


async def test_after_a_rollback_that_ended_half_way_the_version_is_to_be_named() -> None:
    world = SimulatedWorld(MANY)
    await world.deploy()
    world.files = {"index.html": b"broken"}
    await world.deploy(max_delete=1.0)
    assert await world.dies("transaction.do.after", lambda: world.session.rollback("simulated"))
    await world.session.cancel((await world.session.list())[0].deployment_id)
    with pytest.raises(ConfigurationError) as caught:
        await world.session.rollback("simulated")
    assert caught.value.code == "version_not_found"
    await world.session.rollback("simulated", to=1)
    assert await world.served() == first(MANY)


async def test_a_rollback_that_removes_most_pages_can_be_resumed() -> None:
    world = SimulatedWorld({"index.html": b"home"})
    await world.deploy()
    world.files = dict(MANY)
    await world.deploy()
    assert await world.dies("transaction.do.after", lambda: world.session.rollback("simulated"))
    await world.session.resume()
    assert await world.served() == {"/index.html": b"home"}


async def test_a_lock_holds_a_resume_of_a_new_site_too() -> None:
    world = SimulatedWorld(MANY)
    assert await world.dies("transaction.outcome.after", world.deploy)
    await world.session.lock(str((await world.site_ids())[0]), reason="freeze")
    with pytest.raises(OwnershipError) as caught:
        await world.session.resume()
    assert caught.value.code == "site_locked"


# ── cleanup ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_cleanup_spares_a_failed_deployment_whose_transaction_may_still_happen() -> None:
    world = SimulatedWorld()
    assert await world.dies("transaction.do.after", lambda: world.deploy(site_name=None, epochs=2))
    world.net.chain.advance_walrus_epoch(3)
    with pytest.raises(DeploymentStopped):
        await world.deploy(site_name=None, epochs=2)
    world.clock.advance(86_400 * 30)
    done = await world.session.cleanup(dry_run=False)
    assert done.deployments == ()
    result = await world.deploy(site_name=None, epochs=2)
    assert await world.site_ids() == [result.site_id]


async def test_cleanup_does_nothing_when_something_changed_while_it_was_decided() -> None:
    world = SimulatedWorld()
    for number in range(3):
        world.files["about.html"] = b"version %d" % number
        await world.deploy(deletable=True)
    sites, meanwhile = world.chain.sites, [True]

    async def slow(owner: Any) -> Any:
        found = await sites(owner)
        if meanwhile:
            meanwhile.clear()
            await world.session.pin("simulated@2")
        return found

    world.chain.sites = slow  # type: ignore[method-assign]
    with pytest.raises(OwnershipError) as caught:
        await world.session.cleanup(keep_last=1, older_than_days=0.0, dry_run=False)
    assert caught.value.code == "row_changed"
    await world.session.cleanup(keep_last=1, older_than_days=0.0, dry_run=False)
    assert [version.number for version in await world.session.versions("simulated")] == [3, 2]
    await world.session.rollback("simulated", to=2, lock=False)
    await world.served()


async def test_a_cleanup_whose_transaction_is_not_answered_is_looked_up_by_the_next_one() -> None:
    world = SimulatedWorld()
    for number in range(3):
        world.files["about.html"] = b"version %d" % number
        await world.deploy(deletable=True)
    world.chain.faults = lambda m: BlockchainError("transaction_unknown", "lost") if m == "execute" else None
    with pytest.raises(DeploymentStopped):
        await world.session.cleanup(
            keep_last=1, older_than_days=0.0, dry_run=False, recovery=RecoveryOptions(max_retries=0)
        )
    world.chain.faults = lambda _: None
    for _ in range(2):
        world.net.chain.advance_sui_epoch(1)
    await world.session.cleanup(keep_last=1, older_than_days=0.0, dry_run=False)
    await world.deploy()
    assert world.net.chain.equivocations == []


async def test_cleanup_deletes_only_what_this_home_stored() -> None:
    world = SimulatedWorld()
    for number in range(3):
        world.files["about.html"] = b"version %d" % number
        made = await world.deploy(deletable=True)
    other = world.elsewhere()
    await other.session.adopt(str(made.site_id))
    other.files["about.html"] = b"by the other home"
    await other.deploy(deletable=True)
    done = await other.session.cleanup(keep_last=1, older_than_days=0.0, dry_run=False)
    assert done.deleted == ()
    await world.session.rollback("simulated", to=2, lock=False)
    assert (await world.served())["/about.html"] == b"version 1"


# ── elsewhere ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_checkpoint_knows_a_transaction_before_it_is_sent() -> None:
    world = SimulatedWorld()
    assert await world.dies("transaction.do.after", world.deploy)
    (left,) = await world.session.list()
    names = sorted(name for name in world.disk.checkpoints if name.startswith(str(left.deployment_id)))
    elsewhere = world.elsewhere()
    result = await elsewhere.session.resume(checkpoint=Path("/checkpoints") / names[-1])
    assert await elsewhere.site_ids() == [result.site_id]
    older = world.elsewhere()
    with pytest.raises(BlockchainError) as caught:
        await older.session.resume(checkpoint=Path("/checkpoints") / names[0])
    assert caught.value.code == "site_changed"
    assert len(await world.site_ids()) == 1


async def test_what_is_taken_in_elsewhere_keeps_its_lock_and_its_site() -> None:
    world = await two_versions()
    assert await world.dies("transaction.intent.before", lambda: world.session.rollback("simulated", reason="broken"))
    left = (await world.session.list())[0].deployment_id
    name = max(name for name in world.disk.checkpoints if name.startswith(str(left)))
    elsewhere = world.elsewhere()
    world.net.chain.advance_sui_epoch(2)
    await elsewhere.session.resume(checkpoint=Path("/checkpoints") / name)
    assert await elsewhere.served() == first()
    with pytest.raises(OwnershipError):
        await elsewhere.deploy()
    await elsewhere.session.unlock("simulated")
    await elsewhere.deploy()
    assert len(await elsewhere.site_ids()) == 1


async def test_deletable_stores_after_the_checkpoint_are_found_elsewhere() -> None:
    world = SimulatedWorld()
    assert await world.dies("store.outcome.before", lambda: world.deploy(deletable=True))
    left = (await world.session.list())[0].deployment_id
    name = min(name for name in world.disk.checkpoints if name.startswith(str(left)))
    elsewhere = world.elsewhere()
    await elsewhere.session.resume(checkpoint=Path("/checkpoints") / name)
    assert set(world.paid().values()) == {1}


# ── verdicts, locks, content ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_cancel_of_a_site_that_somebody_else_changed_has_its_verdict() -> None:
    world = SimulatedWorld(MANY)
    assert await world.dies("transaction.outcome.after", world.deploy)
    elsewhere = world.elsewhere()
    await elsewhere.deploy()
    left = (await world.session.list())[0].deployment_id
    assert await world.session.cancel(left) is None
    assert (await world.statuses())[0] == "cancelled"


async def test_content_that_lives_in_another_version_is_not_stored_again() -> None:
    world = SimulatedWorld()
    await world.deploy(epochs=2)
    world.files["extra.html"] = b"one more"
    world.net.chain.advance_walrus_epoch(3)
    await world.deploy(epochs=9)  # everything is stored anew
    stored = world.store.stored
    await world.session.rollback("simulated", to=1, lock=False)
    assert world.store.stored == stored
    assert await world.served() == first()


async def test_an_adopted_version_cannot_be_resumed_or_cancelled_and_says_so() -> None:
    world = SimulatedWorld()
    made = await world.deploy()
    elsewhere = world.elsewhere()
    await elsewhere.session.adopt(str(made.site_id))
    adopted = (await elsewhere.session.list())[0].deployment_id
    for verb in (elsewhere.session.resume, elsewhere.session.cancel):
        with pytest.raises(OwnershipError) as caught:
            await verb(adopted)
        assert caught.value.code == "illegal_move"


async def test_the_end_of_an_owner_that_was_taken_over_frees_nothing(tmp_path: Path) -> None:
    one = DeploymentId("deploy_1800000000001_00000001")
    async with open_journal(tmp_path, SystemClock()) as journal:
        old = await journal.claim(one, new=True)
        new = await journal.claim(one, take_over=True)
        await journal.release(old)
        assert journal.locks.is_held(one)
        with pytest.raises(OwnershipError):
            await journal.claim(one)
        await journal.release(new)
        assert not journal.locks.is_held(one)


async def test_a_lost_store_of_a_rollback_from_a_folder_is_looked_up() -> None:
    world = SimulatedWorld()
    world.folders = {"/kept": dict(PAGES)}
    await world.deploy(epochs=2)
    world.net.chain.advance_walrus_epoch(3)
    world.files["about.html"] = b"changed"
    await world.deploy(epochs=2)
    watcher, answers = Watcher(world), [lost()]
    world.store.faults = lambda moment, _: answers.pop() if moment == "certified" and answers else None
    await world.session.rollback("simulated", source="/kept", lock=False)
    await watcher.check(1)
    assert await world.served() == first()
