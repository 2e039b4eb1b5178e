"""Recovery where verbs, homes, networks and nodes meet: what was asked stays asked, and nothing of a live site goes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from walrus_sdk.errors import (
    BlockchainError,
    ConfigurationError,
    DeploymentStopped,
    LimitError,
    NetworkError,
    OwnershipError,
    StorageError,
    ValidationError,
    WalrusError,
)
from walrus_sdk.model.options import DeployOptions, RecoveryOptions, Verify
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Ownership, Put
from walrus_sdk.testing import PAGES, SimulatedWorld
from walrus_sdk.testing.virtual import VirtualClock, options

pytestmark = pytest.mark.anyio

CLEAN: dict[str, Any] = {"keep_last": 1, "older_than_days": 0.0, "dry_run": False}
NOT_KEPT = DeployOptions(recovery=RecoveryOptions(preserve_partial_uploads=False))
NO_RETRY = RecoveryOptions(max_retries=0)
HOME = PAGES["index.html"]


async def newest(world: SimulatedWorld) -> DeploymentId:
    return (await world.session.list())[0].deployment_id


async def deletable_versions(world: SimulatedWorld, count: int) -> None:
    for number in range(count):
        world.files["about.html"] = b"v%d" % number * 900
        await world.deploy(deletable=True)
        world.clock.advance(86_400)


async def two_versions() -> SimulatedWorld:
    world = SimulatedWorld()
    await world.deploy()
    world.files["index.html"] = b"v2"
    await world.deploy()
    return world


def first(name: str) -> Callable[[int, str], bool]:
    """Choose the first hook point of a name."""
    seen: list[str] = []

    def at(_: int, point: str) -> bool:
        seen.extend([point] * (point == name))
        return point == name and len(seen) == 1

    return at


def pages(count: int, text: bytes = b"%d") -> dict[str, bytes]:
    return {f"{n}.html" if n else "index.html": text % n * 50 for n in range(count)}


def paid_and_killed(world: SimulatedWorld) -> None:
    world.store.faults = lambda moment, _: world.life.die() if moment == "paid" else None


# ── a live site keeps its bytes ───────────────────────────────────────────────────────────────────────────────────


async def test_what_an_interrupted_cleanup_may_still_delete_is_not_counted_on() -> None:
    world = SimulatedWorld()
    world.net.chain.faucet(world.signer.address, 10**12)  # a second gas coin: the first is the cleanup's
    await deletable_versions(world, 3)
    assert await world.dies("transaction.releasing.after", lambda: world.session.cleanup(**CLEAN))
    world.files["about.html"] = b"v1" * 900
    assert await world.dies("store.intent.before", lambda: world.deploy(deletable=True))
    await world.deploy(deletable=True)
    await world.session.cleanup(**CLEAN)
    assert (await world.served())["/about.html"] == b"v1" * 900


async def test_a_resume_ends_an_interrupted_cleanup_first() -> None:
    world = SimulatedWorld()
    world.net.chain.faucet(world.signer.address, 10**12)
    await deletable_versions(world, 3)
    world.files["about.html"] = b"v1" * 900
    world.net.chain.advance_walrus_epoch(1)
    assert await world.dies("transaction.releasing.after", lambda: world.session.cleanup(**CLEAN))
    assert await world.dies("store.intent.before", lambda: world.deploy(deletable=True))
    await world.session.resume()
    assert [row["status"] for row in world.disk.tables["deployments"].values() if row["verb"] == "cleanup"] == [
        "cancelled"
    ]
    assert await world.served() == world.published()


async def test_a_cleanup_does_not_believe_a_node_that_shows_an_older_site() -> None:
    world = SimulatedWorld(pages(260))
    await world.deploy(deletable=True)
    world.files = pages(260, b"v2 %d")
    assert await world.dies(first("transaction.outcome.after"), lambda: world.deploy(deletable=True))
    await world.session.cancel(await newest(world))  # half of the pages are new, and stay so
    usual = world.chain.site

    async def late(*args: Any, **more: Any) -> Any:
        world.chain.behind = 1
        try:
            return await usual(*args, **more)
        finally:
            world.chain.behind = 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.chain, "site", late)
        with pytest.raises(BlockchainError) as caught:
            await world.session.cleanup(keep_last=3, older_than_days=0.0, dry_run=False)
    assert caught.value.code == "chain_unavailable"
    await world.served()


async def test_a_cleanup_says_deleted_of_nothing_that_is_there() -> None:
    world = SimulatedWorld()
    await deletable_versions(world, 3)
    usual = world.chain.objects

    async def late(ids: Any) -> Any:
        world.chain.behind = 10
        try:
            return await usual(ids)
        finally:
            world.chain.behind = 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.chain, "objects", late)
        done = await world.session.cleanup(**CLEAN)
    left = {blob.ref.id for blob in await world.chain.blobs(world.signer.address)}
    assert done.deleted
    assert not left & {blob.object_id for blob in done.deleted}


async def test_a_cleanup_of_one_deployment_ends_no_other() -> None:
    world = SimulatedWorld()
    world.folders["/other"] = {"index.html": b"other"}
    world.store.faults = lambda moment, _: NetworkError("connect_failed", "no") if moment == "request" else None
    with pytest.raises(WalrusError):
        await world.deploy(site_name="a", recovery=NO_RETRY)
    world.store.faults = lambda *_: None
    other = await world.deploy(site_name="b", place="/other")
    await world.session.cleanup(NOT_KEPT, only=other.deployment_id, dry_run=False)
    assert (await world.statuses())[0] == "failed"


async def test_a_dry_run_of_a_cleanup_is_what_the_real_one_does() -> None:
    world = SimulatedWorld({"index.html": b"1" * 2000, "b.html": b"2" * 2000})
    requests: list[str] = []

    def second_fails(moment: str, _: Any) -> Exception | None:
        requests.extend([moment] * (moment == "request"))
        return NetworkError("connect_failed", "no") if moment == "request" and len(requests) > 1 else None

    world.store.faults = second_fails
    with pytest.raises(WalrusError):
        await world.deploy(deletable=True, max_quilt_files=1, concurrency=1, recovery=NO_RETRY)
    world.store.faults = lambda *_: None
    shown = await world.session.cleanup(NOT_KEPT)
    done = await world.session.cleanup(NOT_KEPT, dry_run=False)
    assert len(shown.deleted) == 1
    assert shown.deleted == done.deleted


async def test_what_a_cancelled_deployment_had_in_flight_is_told_and_cleaned_up() -> None:
    world = SimulatedWorld({"index.html": b"a" * 500})
    paid_and_killed(world)
    assert await world.dies()
    await world.session.cancel(await newest(world))
    world.clock.advance(1000)
    world.files["index.html"] = b"b" * 500
    assert (await world.deploy()).possibly_paid_in_vain

    world = SimulatedWorld()
    world.store.faults = lambda moment, _: world.life.die() if moment == "certified" else None
    assert await world.dies("", lambda: world.deploy(deletable=True))
    await world.session.cancel(await newest(world))
    world.clock.advance(86_400)
    await world.session.cleanup(**CLEAN)
    assert not await world.chain.blobs(world.signer.address)
    assert not (await world.session.doctor()).findings[-1].what.startswith("deploy_")


# ── what was asked stays asked ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("by", ["name", "id"])
async def test_a_deployment_that_is_planned_anew_is_for_the_same_site(by: str) -> None:
    world = SimulatedWorld()
    made = await world.deploy(site_name="my-app")
    world.files["index.html"] = b"v2"
    asked: dict[str, Any] = {"site_name": "my-app"} if by == "name" else {"site_name": None, "object_id": made.site_id}
    assert await world.dies("store.outcome.after", lambda: world.deploy(**asked))
    world.files["index.html"] = b"v3"
    assert (await world.session.resume(await newest(world), replan=True)).site_id == made.site_id
    assert len(await world.site_ids()) == 1


async def test_a_deployment_that_is_planned_anew_leaves_out_what_was_left_out() -> None:
    world = SimulatedWorld({"index.html": b"1", "drafts/x.html": b"not yet"})
    assert await world.dies("store.outcome.after", lambda: world.deploy(site_name=None, ignore=("/drafts/*",)))
    world.files["index.html"] = b"2"
    await world.session.resume(await newest(world), replan=True)
    assert await world.served() == {"/index.html": b"2"}


async def test_a_rollback_is_never_planned_anew_as_a_deployment_of_the_folder() -> None:
    world = SimulatedWorld()
    await world.deploy(site_name="site", epochs=2)
    before = dict(world.files)
    world.files["index.html"] = b"v2"
    await world.deploy(site_name="site", epochs=50)
    world.net.chain.advance_walrus_epoch(5)
    world.files |= before
    assert await world.dies("store.outcome.after", lambda: world.session.rollback("site", to=1, lock=False))
    world.files["index.html"] = b"work in progress"
    result = await world.session.resume(await newest(world), replan=True)  # nothing is left to store
    assert (await world.served(result.site_id))["/index.html"] == before["index.html"]


async def test_a_rollback_whose_files_changed_says_so_whatever_is_asked() -> None:
    world = SimulatedWorld()
    await world.deploy(epochs=2)
    before = dict(world.files)
    world.files["index.html"] = b"v2"
    await world.deploy(epochs=50)
    world.net.chain.advance_walrus_epoch(5)
    world.files |= before
    assert await world.dies("store.intent.before", lambda: world.session.rollback("simulated", to=1, lock=False))
    world.files["index.html"] = b"work in progress"
    with pytest.raises(ValidationError) as caught:
        await world.session.resume(await newest(world), replan=True)
    assert caught.value.code == "file_changed"


async def test_a_limit_on_cost_holds_for_who_goes_on_until_another_one_is_given() -> None:
    world = SimulatedWorld({"index.html": b"a" * 500})
    limit = (await world.plan()).cost.frost
    paid_and_killed(world)
    assert await world.dies("", lambda: world.deploy(max_cost=limit))
    world.clock.advance(1000)
    left = await newest(world)
    with pytest.raises(LimitError) as caught:
        await world.session.resume(left)
    assert caught.value.fields["resumable"] is True
    assert sum(row["cost_frost"] for row in world.net.blobs.ledger()) == limit.units
    await world.session.resume(left, max_cost=limit + limit)
    assert await world.served() == world.published()


async def test_assets_stay_as_asked_by_the_run_that_goes_on() -> None:
    world = SimulatedWorld({"index.html": b"1", "app.1a2b3c4d.js": b"one"})
    await world.deploy()
    world.files = {"index.html": b"2", "app.5e6f7a8b.js": b"two"}
    assert await world.dies("store.intent.before", lambda: world.deploy(max_delete=1.0))
    await world.deploy(max_delete=1.0, keep_old_s=86_400)
    assert "/app.1a2b3c4d.js" in await world.served()


async def test_a_rollback_of_a_rollback_knows_until_when_assets_stay() -> None:
    world = SimulatedWorld({"index.html": b"1", "app.1a2b3c4d.js": b"one"})
    await world.deploy()
    world.files = {"index.html": b"2", "app.5e6f7a8b.js": b"two"}
    await world.deploy(max_delete=1.0, keep_old_s=7 * 86_400)
    await world.session.rollback("simulated", to=1, lock=False)
    await world.session.rollback("simulated", to=2, lock=False)
    world.files["index.html"] = b"3"
    await world.deploy(max_delete=1.0)
    assert "/app.1a2b3c4d.js" in await world.served()
    world.clock.advance(8 * 86_400)
    world.files["index.html"] = b"4"
    await world.deploy(max_delete=1.0)
    assert "/app.1a2b3c4d.js" not in await world.served()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_assets_whose_storage_is_over_do_not_stay(when: str) -> None:
    world = SimulatedWorld({"index.html": b"1", "app.1a2b3c4d.js": b"one"})
    await world.deploy(epochs=2)
    if when == "before":
        world.net.chain.advance_walrus_epoch(3)
    world.files = {"index.html": b"2", "app.5e6f7a8b.js": b"two"}
    if when == "after":
        await world.deploy(max_delete=1.0, epochs=10, keep_old_s=30 * 86_400)
        world.net.chain.advance_walrus_epoch(3)
        world.files["index.html"] = b"3"
    await world.deploy(max_delete=1.0, keep_old_s=86_400 if when == "before" else 0)
    assert await world.served() == world.published()


@pytest.mark.parametrize("to", [1, None])
async def test_that_no_lock_is_wanted_wins_over_an_interrupted_rollback(to: int | None) -> None:
    world = await two_versions()
    assert await world.dies("transaction.intent.before", lambda: world.session.rollback("simulated", to=to))
    await world.session.rollback("simulated", to=to, lock=False)
    assert (await world.served())["/index.html"] == HOME
    world.files["index.html"] = b"v3"
    await world.deploy()


async def test_a_lock_that_somebody_set_keeps_its_reason() -> None:
    world = await two_versions()
    await world.session.lock("simulated", reason="freeze")
    await world.session.rollback("simulated")
    with pytest.raises(OwnershipError) as caught:
        await world.deploy()
    assert caught.value.fields["reason"] == "freeze"


async def test_a_rollback_that_died_before_it_locked_locks_when_it_goes_on() -> None:
    for number in range(1, 12):
        world = await two_versions()
        await world.session.lock("simulated", reason="earlier")
        await world.session.unlock("simulated")
        world.life.counts_commits = True
        seen: list[str] = []

        def at(_: int, point: str, seen: list[str] = seen, nth: int = number) -> bool:
            seen.extend([point] * (point == "journal.after"))
            return len(seen) == nth and point == "journal.after"

        if not await world.dies(at, partial(world.session.rollback, "simulated", reason="broken")):
            break
        await world.session.rollback("simulated", reason="broken")
        with pytest.raises(OwnershipError) as caught:
            await world.deploy()
        assert (caught.value.code, caught.value.fields["reason"]) == ("site_locked", "broken"), number
    assert number > 5


async def test_a_rollback_that_was_refused_locks_nothing() -> None:
    world = SimulatedWorld()
    await deletable_versions(world, 4)
    at, usual = anyio.Event(), world.life.hook

    async def hook(point: str) -> None:
        if point == "transaction.do.before":
            at.set()
            await anyio.sleep_forever()

    world.life.hook = hook  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(world.session.cleanup, keep_last=2, older_than_days=0.0, dry_run=False))
        await at.wait()
        world.life.hook = usual  # type: ignore[method-assign]
        with pytest.raises(OwnershipError):
            await world.session.rollback("simulated")
        tasks.cancel_scope.cancel()
    world.files["index.html"] = b"next"
    await world.deploy()


async def test_a_dry_run_of_a_rollback_that_goes_on_shows_its_own_plan() -> None:
    world = await two_versions()
    await world.session.rollback("simulated", to=1, lock=False)
    world.files |= {"p.html": b"p", "index.html": b"v4"}
    await world.deploy()
    assert await world.dies("transaction.intent.before", lambda: world.session.rollback("simulated", to=1, lock=False))
    assert (await world.session.plan_rollback("simulated", lock=False)).change.remove == ("/p.html",)


# ── versions ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_a_superseded_deployment_wrote_becomes_a_version() -> None:
    world = SimulatedWorld()
    await world.deploy()
    world.files["index.html"] = b"v2"
    assert await world.dies("transaction.outcome.after")
    result = await world.deploy(epochs=9)  # the same files, another request: nothing is left to do
    assert (result.version, result.changed) == (2, False)
    world.files["index.html"] = b"v3"
    await world.deploy()
    await world.session.rollback("simulated", lock=False)
    assert (await world.served())["/index.html"] == b"v2"


async def test_a_site_that_has_the_latest_content_again_is_the_latest_version() -> None:
    world = await two_versions()
    elsewhere = world.elsewhere()
    elsewhere.files = dict(world.files)
    for text in (b"x", b"v2"):
        elsewhere.files["index.html"] = text
        await elsewhere.deploy()
    assert (await world.deploy()).version == 2
    await world.session.rollback("simulated", lock=False)
    assert (await world.served())["/index.html"] == HOME


async def test_a_bad_answer_for_what_was_there_before_takes_no_site_back() -> None:
    world = await two_versions()
    (site_id,) = await world.site_ids()
    site, usual = await world.chain.site(site_id), world.store.read
    assert site is not None
    bad = site.content.resources["/index.html"].blob_id

    async def lie(ref: Any, sink: Any, **more: Any) -> Any:
        if getattr(ref, "quilt", ref) == bad:
            sink(b"wrong")
            return 5
        return await usual(ref, sink, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.store, "read", lie)
        with pytest.raises(StorageError):
            await world.deploy_in_session(rollback_on_bad_verify=True, verify=Verify.ALL)
    assert (await world.served())["/index.html"] == b"v2"


async def test_a_rollback_over_an_interrupted_deploy_is_planned_after_it_is_settled() -> None:
    world = await two_versions()
    world.files["index.html"] = b"v3"
    assert await world.dies("transaction.releasing.after")
    await world.session.rollback("simulated", to=1, lock=False)
    assert (await world.served())["/index.html"] == HOME


# ── other homes, chains and owners ────────────────────────────────────────────────────────────────────────────────


def on_another_chain(world: SimulatedWorld, seed: str) -> SimulatedWorld:
    """The same home, connected to another network."""
    other = SimulatedWorld(seed=seed * 64)
    other.disk, other.clock, other.ids = world.disk, world.clock, world.ids
    other.revive()
    return other


async def test_a_cancel_asks_the_deployments_own_chain_for_the_verdict() -> None:
    world = SimulatedWorld(seed="a" * 64)
    assert await world.dies("transaction.do.after", lambda: world.deploy(site_name=None))
    other = on_another_chain(world, "b")
    other.net.chain.advance_sui_epoch(50)
    with pytest.raises(BlockchainError) as caught:
        await other.session.cancel(await newest(world))
    assert caught.value.code == "chain_mismatch"
    world.revive()
    await world.deploy(site_name=None)
    assert len(await world.site_ids()) == 1


async def test_resume_without_an_id_looks_at_the_connected_chain_only() -> None:
    world = SimulatedWorld(seed="a" * 64)
    assert await world.dies("store.intent.before")
    other = on_another_chain(world, "b")
    assert await other.dies("store.intent.before")
    world.revive()
    await world.session.resume()
    assert await world.served() == world.published()


async def test_what_a_checkpoint_brought_is_known_as_stored() -> None:
    world = SimulatedWorld()
    assert await world.dies("transaction.intent.before")
    elsewhere = world.elsewhere()
    name = next(name for name in elsewhere.disk.checkpoints if "manifest" in name)
    await elsewhere.session.resume(checkpoint=f"/x/{name}")
    before = sum(elsewhere.paid().values())
    await elsewhere.deploy(site_name="second", max_quilt_files=2)
    assert sum(elsewhere.paid().values()) == before
    assert [version.end_epoch is not None for version in await elsewhere.session.versions("simulated")] == [True]


async def test_a_checkpoint_does_not_overwrite_what_this_home_knows() -> None:
    world = SimulatedWorld({"index.html": b"a" * 900, "b.html": b"b" * 900})
    failing: list[Any] = []

    def one_fails(moment: str, blob_id: Any) -> Exception | None:
        if moment == "request" and (not failing or blob_id == failing[0]):
            failing.append(blob_id)
            return NetworkError("connect_failed", "no")
        return None

    world.store.faults = one_fails
    with pytest.raises(WalrusError):
        await world.deploy(site_name="one", max_quilt_files=1, concurrency=2, recovery=NO_RETRY)
    world.revive()
    name = sorted(world.disk.checkpoints)[-1]  # it says: one store failed, one is done
    elsewhere = world.elsewhere()
    await elsewhere.deploy(site_name="two", max_quilt_files=1)
    paid = dict(elsewhere.paid())
    await elsewhere.session.resume(checkpoint=f"/x/{name}")
    assert dict(elsewhere.paid()) == paid
    assert set(paid.values()) == {1}


async def test_the_folder_is_not_needed_when_everything_is_stored() -> None:
    world = SimulatedWorld(pages(300))
    assert await world.dies(first("transaction.outcome.after"))  # half of the site is on chain
    wanted = world.published()
    world.files["index.html"] = b"the next build"
    await world.session.resume(await newest(world))
    assert await world.served() == wanted


async def test_an_owner_that_hangs_does_not_hold_up_a_cancel_for_ever() -> None:
    world = SimulatedWorld()
    assert await world.dies("store.intent.before")
    left = await newest(world)
    await world.journal.claim(left)  # stopped: it has the lock, and hears nothing
    assert await world.session.cancel(left) is None
    assert await world.statuses() == ["cancelled"]


@pytest.mark.parametrize("anyio_backend", [("asyncio", options("asyncio")), ("trio", options("trio"))], ids=["a", "t"])
async def test_an_owner_at_work_on_its_open_transactions_has_time_for_them_when_it_is_cancelled() -> None:
    world, ended, sent = SimulatedWorld(clock=VirtualClock()), list[str](), anyio.Event()

    def postpone() -> bool:
        sent.set()
        return True

    world.chain.postpones = postpone

    async def deploy() -> None:
        try:
            await world.deploy()
            ended.append("completed")
        except WalrusError as error:
            ended.append(error.code)

    async def arrive() -> None:
        await anyio.sleep(100.0)
        world.chain.arrive()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(deploy)
        await sent.wait()
        tasks.start_soon(arrive)
        result = await world.session.cancel(await newest(world))
    assert result is not None
    assert ended == ["completed"]
    assert await world.statuses() == ["completed"]


@pytest.mark.parametrize("anyio_backend", [("asyncio", options("asyncio")), ("trio", options("trio"))], ids=["a", "t"])
async def test_a_cleanup_at_work_on_its_open_transactions_is_not_fenced_off_when_it_is_cancelled() -> None:
    world, sent = SimulatedWorld(clock=VirtualClock()), anyio.Event()
    await deletable_versions(world, 3)

    def postpone() -> bool:
        sent.set()
        return True

    world.chain.postpones = postpone

    async def arrive() -> None:
        await anyio.sleep(100.0)
        world.chain.arrive()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(world.session.cleanup, **CLEAN))
        await sent.wait()
        tasks.start_soon(arrive)
        with pytest.raises(OwnershipError) as caught:
            await world.session.cancel(await newest(world))
    assert caught.value.code == "illegal_move"
    assert (await world.statuses())[-1] == "completed"


@pytest.mark.parametrize("point", ["store.intent.after", "transaction.intent.after"])
async def test_a_deployment_of_another_site_names_who_holds_it_up(point: str) -> None:
    world = SimulatedWorld()
    world.folders["/other"] = dict(world.files)
    assert await world.dies(point)
    left = await newest(world)
    await world.journal.claim(left)
    with pytest.raises(OwnershipError) as caught:
        await world.deploy(place="/other", site_name="other")
    assert (caught.value.code, caught.value.fields["holder"]) == ("deployment_owned", str(left))
    await world.session.cancel(left)
    await world.deploy(place="/other", site_name="other")


async def test_a_cancel_is_heard_by_the_next_owner_too() -> None:
    world, ended = SimulatedWorld(), list[str]()
    assert await world.dies("store.intent.before")
    left = await newest(world)
    await world.journal.claim(left)

    async def claim(deployment: DeploymentId, **_: Any) -> Ownership:
        """Be the next owner before anybody looks: the one before has died."""
        name = str(deployment)
        number = world.disk.incarnations[name] = world.disk.incarnations[name] + 1
        world.disk.put(Put("incarnations", {"deployment": name, "n": number}, {"started_ms": 0}))
        return Ownership(deployment, number)

    async def cancel() -> None:
        await world.session.cancel(left)

    usual = world.life.hook

    async def slowly(point: str) -> None:
        for _ in range(200):
            await anyio.lowlevel.checkpoint()
        await usual(point)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel)
        while not await world.journal.rows("requests", {"deployment": str(left)}):
            await anyio.lowlevel.checkpoint()
        world.journal.claim, world.life.hook = claim, slowly  # type: ignore[method-assign]
        try:
            await world.session.resume(left)
            ended.append("resumed")
        except (DeploymentStopped, OwnershipError):
            pass
    assert ended == []
    assert await world.statuses() == ["cancelled"]


async def test_to_look_is_not_to_recover() -> None:
    world = SimulatedWorld()
    paid_and_killed(world)
    assert await world.dies()
    world.clock.advance(1000)
    for _ in range(21):
        await world.session.doctor(repair=True)
    await world.deploy()
    assert await world.served() == world.published()


async def test_doctor_sends_nothing() -> None:
    world = SimulatedWorld()
    await world.deploy()
    world.files["index.html"] = b"v2"
    assert await world.dies("transaction.releasing.after")
    executed = world.chain.executed
    await world.session.doctor(repair=True)
    assert world.chain.executed == executed
    assert (await world.served())["/index.html"] == HOME


async def test_a_take_over_of_a_deployment_that_completes_returns_its_result() -> None:
    world, at = SimulatedWorld(), anyio.Event()
    usual = world.life.hook

    async def hook(point: str) -> None:
        await usual(point)
        if point == "transaction.outcome.after":
            at.set()

    async def deaf(_: Ownership, known: frozenset[str]) -> frozenset[str]:
        await anyio.sleep_forever()
        return known

    world.life.hook, world.journal.asked = hook, deaf  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.deploy)
        await at.wait()
        result = await world.session.resume(await newest(world), take_over=True)
    assert result.version == 1


# ── destroyed sites ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_site_that_was_only_adopted_gives_its_name_free_after_a_day() -> None:
    world = SimulatedWorld()
    made = await world.deploy()
    elsewhere = world.elsewhere()
    await elsewhere.session.adopt(str(made.site_id))
    elsewhere.net.chain.system_transaction([], [made.site_id])
    elsewhere.clock.advance(3600)
    await elsewhere.session.doctor(repair=True)
    with pytest.raises(BlockchainError):
        await elsewhere.deploy()
    elsewhere.clock.advance(86_400)
    await elsewhere.session.doctor(repair=True)
    await elsewhere.deploy()
    assert await elsewhere.served() == elsewhere.published()


async def test_an_unfinished_update_of_a_destroyed_site_can_be_cancelled() -> None:
    world = SimulatedWorld()
    await world.deploy()
    world.files["index.html"] = b"v2"
    assert await world.dies("transaction.outcome.after")
    (site_id,) = await world.site_ids()
    world.net.chain.system_transaction([], [site_id])
    world.clock.advance(3600)
    left = await newest(world)
    await world.session.doctor(repair=True)
    await world.deploy()
    assert await world.session.cancel(left) is None
    assert await world.served() == world.published()


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_records_of_other_verbs_and_failures_for_good_are_not_cancelled() -> None:
    world = SimulatedWorld()
    await deletable_versions(world, 3)
    assert await world.dies("transaction.intent.before", lambda: world.session.cleanup(**CLEAN))
    left = await newest(world)
    steps = [item.next_step for item in (await world.session.doctor()).findings if item.what == str(left)]
    assert "cleanup --yes" in steps[0]
    assert await world.session.cancel(left) is None
    done = await world.session.cleanup(**CLEAN)
    assert done.deployment_id is not None
    with pytest.raises(OwnershipError):
        await world.session.cancel(done.deployment_id)

    world = SimulatedWorld()
    world.store.faults = lambda moment, _: StorageError("store_refused", "no") if moment == "request" else None
    with pytest.raises(WalrusError):
        await world.deploy()
    with pytest.raises(OwnershipError):
        await world.session.cancel(await newest(world))


async def test_numbers_that_mean_nothing_are_refused() -> None:
    world = SimulatedWorld()
    for given in ({"keep_last": 0}, {"older_than_days": -1.0}, {"older_than_days": float("nan")}):
        with pytest.raises(ConfigurationError):
            await world.session.cleanup(**given)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        DeployOptions(keep_old_s=float("inf"))
    for wrong in ({"max_retries": "3"}, {"timeout_s": None}, {"max_retries": 2.5}, {"cleanup_on_failure": "no"}):
        with pytest.raises(ConfigurationError):
            RecoveryOptions(**wrong)  # type: ignore[arg-type]


async def test_a_deployment_goes_on_upon_its_own_chain_and_with_its_own_key_only() -> None:
    world = SimulatedWorld(seed="a" * 64)
    assert await world.dies("store.intent.before")
    left = await newest(world)
    other = on_another_chain(world, "b")
    with pytest.raises(BlockchainError) as caught:
        await other.session.resume(left)
    assert caught.value.code == "chain_mismatch"
    world.revive()
    world.signer = other.signer
    with pytest.raises(ConfigurationError) as refused:
        await world.session.resume(left)
    assert refused.value.code == "key_invalid"
    assert world.paid() == {}


async def test_a_lock_that_is_set_while_a_plan_is_made_holds() -> None:
    world = SimulatedWorld()
    await world.deploy()
    world.files["index.html"] = b"next"
    usual, executed = world.chain.simulate, world.chain.executed

    async def simulate(*args: Any, **more: Any) -> Any:
        found = await usual(*args, **more)
        await world.session.lock("simulated", reason="freeze")
        return found

    world.chain.simulate = simulate  # type: ignore[method-assign]
    with pytest.raises(OwnershipError) as caught:
        await world.deploy()
    assert caught.value.code == "site_locked"
    assert world.chain.executed == executed


async def test_a_failure_because_the_site_changed_is_for_good() -> None:
    world = SimulatedWorld()
    await world.deploy()
    world.files["index.html"] = b"mine"
    plan = await world.plan()
    elsewhere = world.elsewhere()
    elsewhere.files = {"index.html": b"theirs"}
    await elsewhere.deploy(max_delete=1.0)
    world.chain.after = lambda: None
    with pytest.raises(BlockchainError) as caught:
        await world.apply(plan)
    assert caught.value.code == "site_changed"
    assert not any(item.resumable for item in await world.session.list())
    await world.deploy(max_delete=1.0)
    assert await world.served() == world.published()


async def test_the_history_of_a_version_that_is_kept_is_kept() -> None:
    world = SimulatedWorld()
    await deletable_versions(world, 4)
    world.clock.advance(30 * 86_400)
    done = await world.session.cleanup(keep_last=2, older_than_days=1.0, dry_run=False)
    kept = {str(version.deployment_id) for version in await world.session.versions("simulated")}
    assert len(kept) == 2
    assert not kept & {str(name) for name in done.deployments}
    assert len(done.deployments) == 2
    for name in kept:
        assert (await world.session.status(name)).summary.status == "completed"


async def test_a_cleanup_stops_at_its_deadline_and_the_next_one_does_the_rest() -> None:
    world = SimulatedWorld()
    await deletable_versions(world, 3)
    before = await world.chain.blobs(world.signer.address)
    usual = world.life.hook

    async def slowly(point: str) -> None:
        if point == "transaction.intent.before":
            await anyio.sleep_forever()
        await usual(point)

    world.life.hook = slowly  # type: ignore[method-assign]
    with pytest.raises(DeploymentStopped) as caught:
        await world.session.cleanup(DeployOptions(deadline_s=0.001), **CLEAN)
    assert caught.value.code == "deadline_reached"
    assert await world.chain.blobs(world.signer.address) == before
    world.life.hook = usual  # type: ignore[method-assign]
    assert (await world.session.cleanup(**CLEAN)).deleted


async def test_an_id_that_is_none_is_refused_by_a_cleanup() -> None:
    for text in ("no id at all", "deploy_1800000000099_00000099"):
        with pytest.raises(ConfigurationError) as caught:
            await SimulatedWorld().session.cleanup(only=text)
        assert caught.value.code == "deployment_not_found"


async def test_after_a_resume_each_checkpoint_has_a_number_of_its_own() -> None:
    world = SimulatedWorld({f"p{number:02}.html": b"%d" % number * 9 for number in range(20)} | {"index.html": b"x"})
    world.store.latency_s = 0.001
    assert await world.dies("store.outcome.after", lambda: world.deploy(max_quilt_files=1, concurrency=8))
    read = world.journal.rows

    async def slowly(table: str, *where: Any, **more: Any) -> Any:
        found = await read(table, *where, **more)
        if table == "checkpoints":
            await anyio.wait_all_tasks_blocked()
        return found

    world.journal.rows = slowly  # type: ignore[method-assign]
    await world.deploy(max_quilt_files=1, concurrency=8)
    rows = list(world.disk.tables["checkpoints"].values())
    assert len({row["n"] for row in rows}) == len(world.disk.checkpoints)
    assert {row["file"] for row in rows} == {name.rpartition("/")[2] for name in world.disk.checkpoints}
