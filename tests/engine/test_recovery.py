"""The recovery verbs over the simulated world: resume, cancel, versions, rollback, locks, cleanup."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from walrus_sdk.errors import (
    BlockchainError,
    ConfigurationError,
    DeploymentStopped,
    OwnershipError,
    StorageError,
    ValidationError,
)
from walrus_sdk.model.chain import TransactionOutcome
from walrus_sdk.model.options import DeployResult, RecoveryOptions
from walrus_sdk.model.units import BlobId, Digest
from walrus_sdk.testing import PAGES, SimulatedWorld

pytestmark = pytest.mark.anyio

MANY = {"index.html": b"home", **{f"page-{n:03}.html": b"<p>%d</p>" % n * 3 for n in range(400)}}


async def die_at(world: SimulatedWorld, point: str, **asked: Any) -> None:
    """Deploy until the world's death at a hook point of this name."""
    assert await world.dies(point, lambda: world.deploy(**asked))


async def newest(world: SimulatedWorld) -> str:
    return str((await world.session.list())[0].deployment_id)


# ── resume ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("point", ["store.intent.after", "store.outcome.before", "transaction.do.before"])
async def test_resume_goes_on_with_the_same_deployment_and_pays_nothing_twice(point: str) -> None:
    world = SimulatedWorld()
    await die_at(world, point)
    left = await newest(world)
    result = await world.session.resume(left)
    assert str(result.deployment_id) == left
    assert set(world.paid().values()) == {1}
    assert await world.served() == world.published()


async def test_resume_without_an_id_takes_the_newest_that_can_go_on() -> None:
    world = SimulatedWorld()
    with pytest.raises(ConfigurationError) as caught:
        await world.session.resume()
    assert caught.value.code == "deployment_not_found"
    await die_at(world, "store.do.before")
    left = await newest(world)
    assert str((await world.session.resume()).deployment_id) == left


async def test_resume_of_a_finished_deployment_sends_nothing_and_tells_the_same_result() -> None:
    world = SimulatedWorld()
    made = await world.deploy()
    stored, executed = world.store.stored, world.chain.executed
    again = await world.session.resume(made.deployment_id)
    assert again.to_json() == made.to_json()
    assert (world.store.stored, world.chain.executed) == (stored, executed)


async def test_resume_of_changed_files_stops_with_the_list_or_plans_anew_where_asked() -> None:
    world = SimulatedWorld()
    await die_at(world, "store.do.before")
    left = await newest(world)
    world.files["about.html"] = b"another"
    with pytest.raises(ValidationError) as caught:
        await world.session.resume(left)
    assert (caught.value.code, caught.value.fields["paths"]) == ("file_changed", ["/about.html"])
    result = await world.session.resume(left, replan=True, site_name="simulated")
    assert str(result.deployment_id) != left
    assert await world.served() == world.published()


async def test_resume_of_a_cancelled_deployment_is_refused() -> None:
    world = SimulatedWorld()
    await die_at(world, "store.do.before")
    left = await newest(world)
    await world.session.cancel(left)
    with pytest.raises(OwnershipError) as caught:
        await world.session.resume(left)
    assert caught.value.code == "illegal_move"


async def test_a_deletable_blob_that_was_deleted_meanwhile_is_stored_again_on_resume() -> None:
    world = SimulatedWorld()
    await die_at(world, "transaction.intent.before", deletable=True)
    for item in await world.chain.blobs(world.signer.address):
        world.net.chain.system_transaction([], [item.ref.id])
    await world.session.resume()
    assert await world.served() == world.published()


async def test_a_deployment_that_is_taken_up_too_often_is_given_up_and_the_next_one_uses_what_is_stored() -> None:
    world = SimulatedWorld()
    await die_at(world, "transaction.intent.before")
    left = await newest(world)
    for _ in range(2):
        assert await world.dies("transaction.intent.before", lambda: world.session.resume(left))
    with pytest.raises(DeploymentStopped) as caught:
        await world.session.resume(left, recovery=RecoveryOptions(max_recoveries=2))
    assert (caught.value.code, caught.value.fields["resumable"]) == ("recoveries_exhausted", False)
    await world.deploy()
    assert set(world.paid().values()) == {1}


async def test_a_checkpoint_alone_is_enough_to_go_on_elsewhere() -> None:
    world = SimulatedWorld()
    await die_at(world, "transaction.intent.before")
    left = await newest(world)
    name = max(name for name in world.disk.checkpoints if name.startswith(left) and "manifest" in name)
    elsewhere = world.elsewhere()
    result = await elsewhere.session.resume(checkpoint=Path("/checkpoints") / name)
    assert str(result.deployment_id) == left
    assert set(world.paid().values()) == {1}
    assert await elsewhere.served() == elsewhere.published()
    assert len(await elsewhere.site_ids()) == 1


async def test_a_transaction_that_was_signed_elsewhere_is_waited_for_until_it_has_expired() -> None:
    world = SimulatedWorld(MANY)
    world.chain.faults = lambda moment: BlockchainError("chain_refused", "no") if moment == "execute" else None
    with pytest.raises(BlockchainError):
        await world.deploy(recovery=RecoveryOptions(cleanup_on_failure=False))
    (row,) = world.disk.tables["transactions"].values()
    row["state"] = "signed"
    left = await newest(world)
    name = max(name for name in world.disk.checkpoints if name.startswith(left))
    data = {**world.disk.checkpoints[name], "transactions": [told(row)]}
    elsewhere = world.elsewhere()
    elsewhere.disk.checkpoints[name] = data
    with pytest.raises(DeploymentStopped) as caught:
        await elsewhere.session.resume(checkpoint=Path("/checkpoints") / name)
    assert (caught.value.code, caught.value.fields["resumable"]) == ("transaction_open", True)
    world.net.chain.advance_sui_epoch(2)
    await elsewhere.session.resume(left)
    assert len(await elsewhere.site_ids()) == 1
    assert await elsewhere.served() == elsewhere.published()


async def test_a_transaction_that_happened_elsewhere_is_not_taken_for_dead_while_reads_lag() -> None:
    world = SimulatedWorld()
    assert await world.dies("transaction.do.after", world.deploy)
    name = max(name for name in world.disk.checkpoints if "transaction" in name)
    world.net.chain.advance_sui_epoch(2)
    elsewhere, looks = world.elsewhere(), list[Digest]()
    look = elsewhere.chain.transaction

    async def late(digest: Digest) -> TransactionOutcome | None:
        looks.append(digest)
        return await look(digest) if len(looks) > 3 else None

    elsewhere.chain.transaction = late  # type: ignore[method-assign]
    result = await elsewhere.session.resume(checkpoint=Path("/checkpoints") / name)
    assert (list(result.digests), len(looks)) == ([looks[0]], 4), "the one that was signed there, and no other"
    assert await elsewhere.site_ids() == [result.site_id]


def told(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("step", "digest", "expires", "expected_id", "state")}


async def test_a_second_owner_is_refused_with_who_and_can_take_over() -> None:
    world = SimulatedWorld()
    gate = anyio.Event()
    results: list[DeployResult] = []
    stopped: list[str] = []

    async def hold(point: str) -> None:
        if point == "store.do.before" and not gate.is_set():
            await gate.wait()

    hook = world.life.hook

    async def first() -> None:
        world.life.hook = hold  # type: ignore[method-assign]
        try:
            await world.deploy()
        except DeploymentStopped as error:
            stopped.append(error.code)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        while not world.disk.held or not await world.session.list():
            await anyio.lowlevel.checkpoint()
        left = await newest(world)
        with pytest.raises(OwnershipError) as caught:
            await world.session.resume(left)
        assert caught.value.code == "deployment_owned"
        world.life.hook = hook  # type: ignore[method-assign]
        results.append(await world.session.resume(left, take_over=True))
    assert stopped == ["interrupted"]
    assert str(results[0].deployment_id) == left
    assert await world.served() == world.published()


# ── cancel ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("point", ["store.intent.after", "store.outcome.before", "transaction.intent.before"])
async def test_an_interrupted_deployment_is_cancelled_by_anybody_and_what_it_stored_is_used_later(point: str) -> None:
    world = SimulatedWorld()
    await die_at(world, point)
    left = await newest(world)
    assert await world.session.cancel(left, reason="not wanted") is None
    assert await world.session.cancel(left) is None, "twice is once"
    assert [(item.status, item.reason) for item in await world.session.list()] == [("cancelled", "not wanted")]
    await world.deploy()
    assert set(world.paid().values()) == {1}


async def test_a_live_deployment_is_cancelled_at_the_request_of_somebody_else() -> None:
    world, codes = SimulatedWorld(), []
    waiting = anyio.Event()

    async def hook(point: str) -> None:
        if point == "store.do.before":
            waiting.set()
            await anyio.sleep_forever()

    world.life.hook = hook  # type: ignore[method-assign]

    async def deploy() -> None:
        try:
            await world.deploy()
        except DeploymentStopped as error:
            codes.append((error.code, error.fields["resumable"]))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(deploy)
        await waiting.wait()
        assert await world.session.cancel(await newest(world)) is None
    assert codes == [("cancelled", False)]
    assert await world.statuses() == ["cancelled"]
    assert world.net.blobs.ledger() == []


@pytest.mark.parametrize("files", [PAGES, MANY])
async def test_a_cancel_that_meets_the_last_transaction_gives_the_chains_verdict(files: dict[str, bytes]) -> None:
    world = SimulatedWorld(files)
    await die_at(world, "transaction.do.after")
    left, sent = await newest(world), world.chain.executed
    result = await world.session.cancel(left)
    assert world.chain.executed == sent, "cancelling sends nothing"
    if files is MANY:  # the first of several transactions: the site is not what was planned
        assert result is None
        assert await world.statuses() == ["cancelled"]
    else:
        assert result is not None
        assert str(result.deployment_id) == left
        assert await world.statuses() == ["completed"]
    await world.deploy()
    assert len(await world.site_ids()) == 1
    assert await world.served() == world.published()


# ── versions ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def two_versions() -> SimulatedWorld:
    world = SimulatedWorld()
    await world.deploy(message="first", tags=("v1",))
    world.files["about.html"] = b"changed"
    world.files["new.html"] = b"new"
    del world.files["assets/logo.svg"]
    await world.deploy(message="second")
    return world


def first_pages() -> dict[str, bytes]:
    return {f"/{name}": data for name, data in PAGES.items()}


async def test_versions_tell_message_tags_and_which_one_the_site_is_at() -> None:
    world = await two_versions()
    second, first = await world.session.versions("simulated")
    assert (first.number, first.message, first.tags, first.files, first.current) == (1, "first", ("v1",), 4, False)
    assert (second.number, second.message, second.current) == (2, "second", True)
    assert second.end_epoch is not None


async def test_two_versions_a_site_and_a_folder_are_compared() -> None:
    world = await two_versions()
    found = await world.session.diff("simulated@1", "simulated@2")
    assert (found.added, found.changed, found.removed) == (("/new.html",), ("/about.html",), ("/assets/logo.svg",))
    assert (await world.session.diff("simulated@2", "simulated")).empty
    assert (await world.session.diff("simulated@2", "/site", site_name="simulated")).empty
    world.files["index.html"] = b"edited"
    assert (await world.session.diff("simulated", "/site")).changed == ("/index.html",)


async def test_a_version_is_downloaded_verified_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    world = await two_versions()
    target = tmp_path / "v1"
    (target / "assets").mkdir(parents=True)
    (target / "index.html").write_bytes(PAGES["index.html"])
    found = await world.session.download("simulated@1", target)
    assert (found.files, found.there) == (4, 1)
    assert {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()} == (
        dict(PAGES)
    )
    (target / "about.html").write_bytes(b"mine")
    with pytest.raises(ValidationError) as caught:
        await world.session.download("simulated@1", target)
    assert caught.value.code == "path_conflict"
    assert (target / "about.html").read_bytes() == b"mine"


# ── rollback ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_rollback_brings_the_version_before_back_without_an_upload_and_locks_the_site() -> None:
    world = await two_versions()
    stored = world.store.stored
    result = await world.session.rollback("simulated", reason="broken")
    assert await world.served() == first_pages()
    assert (world.store.stored, result.version) == (stored, 3)
    with pytest.raises(OwnershipError) as caught:
        await world.deploy()
    assert caught.value.code == "site_locked"
    assert "broken" in caught.value.message
    back = await world.session.rollback("simulated")
    assert await world.served() == world.published(), "the rollback of the rollback is version 2"
    assert back.version == 4
    assert (await world.session.unlock("simulated")) is not None
    await world.deploy()


async def test_any_kept_version_can_be_rolled_back_to_and_unknown_ones_are_named() -> None:
    world = await two_versions()
    world.files["index.html"] = b"third"
    await world.deploy()
    await world.session.rollback("simulated", to=1, lock=False)
    assert await world.served() == first_pages()
    with pytest.raises(ConfigurationError) as caught:
        await world.session.rollback("simulated", to=9)
    assert caught.value.code == "version_not_found"
    await world.deploy()


async def test_a_planned_rollback_shows_what_would_change_and_spends_nothing() -> None:
    world = await two_versions()
    executed = world.chain.executed
    plan = await world.session.plan_rollback("simulated")
    assert (plan.change.add, plan.change.replace, plan.change.remove) == (
        ("/assets/logo.svg",),
        ("/about.html",),
        ("/new.html",),
    )
    assert world.chain.executed == executed
    assert len(await world.session.list()) == 2


async def test_content_that_has_lapsed_is_stored_again_from_a_folder_that_has_it_else_said_before_anything() -> None:
    world = SimulatedWorld()
    world.folders = {"/kept": dict(PAGES)}
    await world.deploy(epochs=2)
    world.net.chain.advance_walrus_epoch(3)
    world.files["about.html"] = b"changed"
    await world.deploy(epochs=2)
    executed = world.chain.executed
    with pytest.raises(ValidationError) as caught:
        await world.session.rollback("simulated")
    assert (caught.value.code, caught.value.fields["paths"]) == ("content_lapsed", ["/about.html"])
    assert world.chain.executed == executed
    await world.session.rollback("simulated", source="/kept")
    assert await world.served() == first_pages()


async def test_an_aggregator_that_is_down_does_not_make_a_version_lapsed() -> None:
    world = SimulatedWorld()
    await world.deploy(deletable=True)
    world.files["about.html"] = b"changed"
    await world.deploy(deletable=True)
    stored = world.store.stored

    async def down(*_: Any, **__: Any) -> Any:
        raise StorageError("blob_unavailable", "503")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.store, "read", down)
        with pytest.raises(StorageError) as caught:
            await world.session.rollback("simulated", lock=False)
    assert caught.value.code == "blob_unavailable"
    await world.session.rollback("simulated", lock=False)
    assert world.store.stored == stored, "nothing had lapsed"


async def test_a_rollback_that_died_goes_on_when_it_is_asked_for_again_and_by_id() -> None:
    for again in ("same", "id"):
        world = await two_versions()
        assert await world.dies("transaction.do.before", partial(world.session.rollback, "simulated"))
        with pytest.raises(OwnershipError) as caught:  # no deploy overtakes a rollback that is not finished
            await world.deploy()
        assert caught.value.code == "site_locked"
        result = await (world.session.rollback("simulated") if again == "same" else world.session.resume())
        assert result.version == 3
        assert await world.served() == first_pages()
        assert world.net.chain.equivocations == []


@pytest.mark.parametrize("point", ["transaction.intent.before", "transaction.do.before", "transaction.do.after"])
async def test_a_rollback_that_died_is_planned_anew_for_the_same_version_with_fresh(point: str) -> None:
    world = await two_versions()
    assert await world.dies(point, lambda: world.session.rollback("simulated", lock=False))
    left = await newest(world)
    shown = await world.session.plan_rollback("simulated", fresh=True)
    result = await world.session.rollback("simulated", fresh=True)
    assert str(result.deployment_id) != left
    assert "version 1" in shown.message
    assert await world.served() == first_pages()
    assert world.net.chain.equivocations == []
    await world.deploy()  # it was begun without a lock, and ends without one


async def test_wrong_bytes_that_are_proven_lead_back_to_the_last_version_where_that_was_asked_for() -> None:
    world = SimulatedWorld()
    await world.deploy()
    world.files["about.html"] = b"changed"
    wrong: set[BlobId] = set()
    read = world.store.read

    def note(moment: str, blob_id: BlobId) -> None:
        if moment == "certified":
            wrong.add(blob_id)

    async def lie(ref: Any, sink: Any, **options: Any) -> int:
        if ref in wrong:
            sink(b"something else")
            return 14
        return await read(ref, sink, **options)

    world.store.faults = note
    world.store.read = lie  # type: ignore[method-assign]
    with pytest.raises(StorageError) as caught:
        await world.deploy_in_session(rollback_on_bad_verify=True)
    assert caught.value.code == "verification_failed"
    assert caught.value.fields["rolled_back_to"] == 1
    assert await world.served() == first_pages()
    assert (await world.statuses())[-1] == "completed"


# ── locks, retiring assets ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_locked_site_takes_no_deploy_until_it_is_unlocked() -> None:
    world = SimulatedWorld()
    await world.deploy()
    await world.session.lock("simulated", reason="freeze")
    world.files["index.html"] = b"changed"
    with pytest.raises(OwnershipError) as caught:
        await world.deploy()
    assert (caught.value.code, caught.value.fields["reason"]) == ("site_locked", "freeze")
    found = await world.session.unlock("simulated")
    assert found is not None
    assert found.reason == "freeze"
    assert await world.session.unlock("simulated") is None
    await world.deploy()


async def test_replaced_assets_with_a_hash_stay_for_their_time_and_pages_do_not() -> None:
    world = SimulatedWorld({"index.html": b"1", "old.html": b"gone", "app.1a2b3c4d.js": b"one", "plain.js": b"p"})
    await world.deploy()
    world.files = {"index.html": b"2", "app.5e6f7a8b.js": b"two"}
    await world.deploy(keep_old_s=86_400, max_delete=1.0)
    assert set(await world.served()) == {"/index.html", "/app.1a2b3c4d.js", "/app.5e6f7a8b.js"}
    world.files["index.html"] = b"3"
    await world.deploy()
    assert "/app.1a2b3c4d.js" in await world.served()
    world.clock.advance(90_000)
    await world.deploy()
    assert await world.served() == world.published()


# ── cleanup ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def versions_of_deletable_blobs(count: int) -> SimulatedWorld:
    world = SimulatedWorld()
    for number in range(count):
        world.files["about.html"] = b"version %d" % number * 9
        await world.deploy(deletable=True)
        world.clock.advance(86_400)
    return world


async def test_cleanup_shows_first_and_then_does_exactly_that() -> None:
    world = await versions_of_deletable_blobs(5)
    owned = await world.chain.blobs(world.signer.address)
    shown = await world.session.cleanup(older_than_days=1.0, keep_last=2)
    assert await world.chain.blobs(world.signer.address) == owned
    assert len(await world.session.list()) == 5
    done = await world.session.cleanup(older_than_days=1.0, keep_last=2, dry_run=False)
    assert (done.deployments, done.versions, done.deleted) == (shown.deployments, shown.versions, shown.deleted)
    assert len(done.deleted) == 2, "the quilt of version 1 is in use by the pages that never changed"
    assert len(done.digests) == 1
    left = {blob.blob_id for blob in await world.chain.blobs(world.signer.address)}
    assert left == {blob.blob_id for blob in owned} - {blob.blob_id for blob in done.deleted}
    assert [version.number for version in await world.session.versions("simulated")] == [5, 4]
    assert await world.served() == world.published()
    assert not (await world.session.cleanup(older_than_days=1.0, keep_last=2)).deleted
    (mine,) = world.disk.find("transactions", {"deployment": str(done.deployment_id)})
    assert (mine["state"], mine["signatures"]) == ("final", None)
    assert mine["bytes"] is not None, "they say what was deleted"
    await world.session.rollback("simulated", lock=False)


async def test_cleanup_spares_pinned_versions_other_sites_and_what_can_go_on() -> None:
    world = await versions_of_deletable_blobs(4)
    await world.session.pin("simulated@1")
    world.files["about.html"] = b"version 1" * 9  # the content of version 2 is served by another site
    await world.deploy(site_name="other", deletable=True)
    done = await world.session.cleanup(older_than_days=0.0, keep_last=1, dry_run=False)
    assert [version.number for version in await world.session.versions("simulated")] == [4, 1]
    assert len(done.deleted) == 1, "only version 3 is nobody's"
    await world.session.rollback("simulated", to=1, lock=False)
    for site_id in await world.site_ids():
        await world.served(site_id)


async def test_permanent_blobs_are_listed_with_their_end() -> None:
    world = SimulatedWorld()
    for number in range(3):
        world.files["about.html"] = b"version %d" % number * 9
        await world.deploy()
    found = await world.session.cleanup(keep_last=1, older_than_days=0.0, dry_run=False)
    assert (len(found.deleted), len(found.waiting)) == (0, 1)
    assert all(blob.end_epoch.number > 0 for blob in found.waiting)


async def test_cleanup_does_not_begin_beside_a_live_deployment_nor_the_other_way() -> None:
    world = await versions_of_deletable_blobs(3)
    world.files["about.html"] = b"under way"
    waiting = anyio.Event()

    async def hook(point: str) -> None:
        if point == "store.do.before":
            waiting.set()
            await anyio.sleep_forever()

    usual = world.life.hook
    world.life.hook = hook  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.deploy)
        await waiting.wait()
        world.life.hook = usual  # type: ignore[method-assign]
        with pytest.raises(OwnershipError) as caught:
            await world.session.cleanup(keep_last=1, dry_run=False)
        assert caught.value.code == "deployment_owned"
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("point", ["transaction.intent.before", "transaction.do.before", "transaction.do.after"])
async def test_a_cleanup_that_died_is_done_by_the_next_one(point: str) -> None:
    world = await versions_of_deletable_blobs(4)
    cleanup = partial(world.session.cleanup, keep_last=1, older_than_days=0.0, dry_run=False)
    assert await world.dies(point, cleanup)
    await cleanup()
    assert len(await world.chain.blobs(world.signer.address)) == 2
    assert world.net.chain.equivocations == []
    assert await world.served() == world.published()
    await world.deploy()


async def test_a_lost_answer_in_a_rollback_is_found_by_its_digest() -> None:
    world = await two_versions()
    answers = [BlockchainError("transaction_unknown", "the answer was lost")]
    world.chain.faults = lambda moment: answers.pop() if moment == "executed" and answers else None
    result = await world.session.rollback("simulated")
    assert len(result.digests) == 1
    assert await world.served() == first_pages()
