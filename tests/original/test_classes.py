"""Every method of the three classes of the original design, over the simulated world."""

from __future__ import annotations

import inspect
from typing import Any

import anyio
import pytest

import walrus_sdk as ws
from walrus_sdk.errors import ConfigurationError, OwnershipError, StorageError, ValidationError
from walrus_sdk.model.network import LOCAL
from walrus_sdk.model.options import RecoveryOptions
from walrus_sdk.model.original import DeploymentOptions, DeploymentProgress, ErrorRecord
from walrus_sdk.model.units import Mist
from walrus_sdk.testing.journal import MemoryJournal

pytestmark = pytest.mark.anyio

NOWHERE = "deploy_1700000000000_0badcafe"


def test_the_methods_are_those_of_the_original_design_and_all_but_one_are_async() -> None:
    wanted = {
        ws.DeploymentRecoveryManager: (
            "initialize_deployment", "update_deployment_state", "record_error", "recover_deployment",
            "rollback_deployment", "cleanup_deployment",
        ),
        ws.WalrusSitesDeploymentService: (
            "deploy", "resume_deployment", "rollback_deployment", "cancel_deployment", "get_deployment_progress",
        ),
        ws.DeploymentMonitor: (
            "progress", "watch", "errors", "health", "performance", "costs", "alerts", "monitor",
        ),
    }  # fmt: skip
    for kind, names in wanted.items():
        for name in names:
            is_async = inspect.iscoroutinefunction(getattr(kind, name))
            assert is_async is (name != "get_deployment_progress"), name


# ── DeploymentRecoveryManager ─────────────────────────────────────────────────────────────────────────────────────


async def test_initialize_makes_a_deployment_that_spends_nothing_and_recover_carries_it_out(place: Any) -> None:
    made = await place.manager.initialize_deployment("simulated", "local", "/site")
    assert (place.world.paid(), place.world.chain.executed) == ({}, 0)
    state = await place.manager.get_deployment_state(made)
    assert (state.status, state.recovery.can_resume, state.site_name) == ("interrupted", True, "simulated")
    assert await place.manager.initialize_deployment("simulated", "local", "/site") == made, "the same request goes on"

    assert await place.manager.recover_deployment(made)
    assert (await place.world.session.list())[0].deployment_id == state.id
    assert await place.world.served() == place.world.published()


async def test_recover_of_a_deployment_that_died_pays_nothing_twice_and_of_an_ended_one_is_no(place: Any) -> None:
    left = await place.die_at("store.outcome.before")
    assert await place.manager.recover_deployment(left)
    assert set(place.world.paid().values()) == {1}
    assert await place.manager.recover_deployment(left), "it is complete"

    place.world.files["index.html"] = b"another"
    left = await place.die_at("store.do.before")
    await place.world.session.cancel(left)
    assert not await place.manager.recover_deployment(left)


async def test_recover_raises_what_stopped_it_again(place: Any) -> None:
    left = await place.die_at("store.do.before")
    place.world.files["index.html"] = b"changed"
    with pytest.raises(ValidationError) as caught:
        await place.manager.recover_deployment(left)
    assert caught.value.code == "file_changed"


async def test_a_state_is_moved_to_cancelled_only_and_other_moves_change_nothing(place: Any) -> None:
    left = await place.die_at("store.do.before")
    for status in ("completed", "failed", "uploading"):
        with pytest.raises(OwnershipError) as caught:
            await place.manager.update_deployment_state(left, {"status": status, "labels": {"a": "b"}})
        assert caught.value.code == "illegal_move"
    assert (await place.manager.get_deployment_state(left)).labels == {}

    state = await place.manager.update_deployment_state(left, {"status": "cancelled"})
    assert (state.status, state.recovery.can_resume) == ("cancelled", False)
    assert (await place.manager.update_deployment_state(left, {"status": "cancelled"})).status == "cancelled"

    done = await place.deploy()
    with pytest.raises(OwnershipError) as caught:
        await place.manager.update_deployment_state(done, {"status": "cancelled"})
    assert caught.value.code == "illegal_move"
    assert (await place.manager.get_deployment_state(done)).status == "completed"


async def test_labels_are_merged_removed_and_kept_without_disturbing_the_owner(place: Any) -> None:
    left = await place.die_at("store.do.before")
    await place.manager.update_deployment_state(left, {"labels": {"team": "web", "incarnation": "2"}})
    state = await place.manager.update_deployment_state(left, {"labels": {"team": None, "stage": "beta"}})
    assert state.labels == {"incarnation": "2", "stage": "beta"}
    assert await place.manager.recover_deployment(left), "a label is no request to stop"
    assert (await place.manager.get_deployment_state(left)).labels == state.labels


@pytest.mark.parametrize("updates", [{"progress": 1}, {"status": "running"}, {"labels": {"a": 1}}, {"labels": "a"}])
async def test_updates_that_mean_nothing_are_refused(place: Any, updates: dict[str, Any]) -> None:
    left = await place.die_at("store.do.before")
    with pytest.raises(ConfigurationError) as caught:
        await place.manager.update_deployment_state(left, updates)
    assert caught.value.code == "option_invalid"


async def test_errors_are_those_of_the_engine_and_those_that_were_recorded_each_once(place: Any) -> None:
    left = await place.die_at("store.do.before")
    mine = ErrorRecord("dns_failed", "seen by the build machine", 1_700_000_000_000)
    await place.manager.record_error(left, mine)
    await place.manager.record_error(left, mine)
    await place.manager.record_error(left, ErrorRecord("our-own", "something else"))
    found = {error.code: error for error in (await place.manager.get_deployment_state(left)).errors}
    assert found["dns_failed"] == mine
    assert found["dns_failed"].recoverable
    assert not found["our-own"].recoverable
    assert found["our-own"].time_ms is not None
    assert len(found) == 2
    assert await place.monitor.errors(left) == (await place.manager.get_deployment_state(left)).errors


async def test_what_is_not_known_is_an_error_for_all_that_change_it(place: Any) -> None:
    manager, service = place.manager, place.service
    for call in (
        manager.recover_deployment(NOWHERE),
        manager.record_error(NOWHERE, ErrorRecord("x", "y")),
        manager.update_deployment_state(NOWHERE, {"labels": {"a": "b"}}),
        manager.rollback_deployment(NOWHERE),
        manager.cleanup_deployment(NOWHERE),
        service.resume_deployment("no id"),
        service.cancel_deployment(NOWHERE),
        place.monitor.health(NOWHERE),
    ):
        with pytest.raises(ConfigurationError) as caught:
            await call
        assert caught.value.code == "deployment_not_found"


async def test_rollback_names_a_deployment_and_brings_back_the_version_before_it(place: Any) -> None:
    first, second, third = [await place.deploy(page) for page in (b"one", b"two", b"three")]
    state = await place.manager.get_deployment_state(second)
    assert state.recovery.rollback_available
    assert not (await place.manager.get_deployment_state(first)).recovery.rollback_available

    assert await place.manager.rollback_deployment(second)
    assert await place.home_page() == b"one"
    assert await place.service.rollback_deployment(third)
    assert await place.home_page() == b"two"
    assert not await place.manager.rollback_deployment(first)
    assert not await place.service.rollback_deployment(first)


async def test_rollback_of_a_deployment_that_failed_brings_back_the_last_version_before_it(place: Any) -> None:
    await place.deploy(b"one")
    place.world.files["index.html"] = b"two"
    left = await place.die_at("transaction.outcome.before")
    assert await place.home_page() == b"two", "it was written, and not seen to be"
    assert (await place.manager.get_deployment_state(left)).recovery.rollback_available
    assert await place.manager.rollback_deployment(left)
    assert await place.home_page() == b"one"


async def test_rollback_of_a_deployment_that_changed_nothing_is_no(place: Any) -> None:
    await place.deploy(b"one")
    await place.deploy(b"two")
    same = await place.deploy(b"two")
    assert not await place.manager.rollback_deployment(same)
    assert await place.home_page() == b"two"


async def test_cleanup_spares_partial_uploads_by_default_and_removes_what_can_be_deleted_when_asked(place: Any) -> None:
    left = await place.die_at("transaction.intent.before", deletable=True)
    report = await place.manager.cleanup_deployment(left)
    assert (report.dry_run, report.deleted) == (True, ())
    assert (await place.manager.get_deployment_state(left)).recovery.can_resume

    report = await place.manager.cleanup_deployment(left, remove_partial_uploads=True)
    assert report.deleted
    assert await place.world.chain.blobs(place.world.signer.address) == []
    assert (await place.manager.get_deployment_state(left)).status == "cancelled", "its history stays"


async def test_cleanup_of_one_deployment_leaves_what_others_stored(place: Any) -> None:
    other = await place.die_at("transaction.intent.before", deletable=True)
    await place.manager.update_deployment_state(other, {"status": "cancelled"})
    place.world.files["index.html"] = b"another"
    left = await place.die_at("transaction.intent.before", deletable=True)
    before = {blob.blob_id for blob in await place.world.chain.blobs(place.world.signer.address)}
    report = await place.manager.cleanup_deployment(left, remove_partial_uploads=True)
    after = {blob.blob_id for blob in await place.world.chain.blobs(place.world.signer.address)}
    assert after == before - {blob.blob_id for blob in report.deleted}
    assert len(report.deleted) == 1, "the page that differs"
    assert after
    more = await place.manager.cleanup_deployment(other, remove_partial_uploads=True)
    assert {blob.blob_id for blob in more.deleted} == after


async def test_cleanup_of_a_complete_deployment_leaves_its_site_as_it_is(place: Any) -> None:
    done = await place.deploy()
    careless = place.make(ws.DeploymentRecoveryManager, RecoveryOptions(preserve_partial_uploads=False))
    report = await careless.cleanup_deployment(done)
    assert (report.dry_run, report.deleted) == (False, ())
    assert await place.world.served() == place.world.published()
    assert (await place.manager.get_deployment_state(done)).status == "completed"


# ── WalrusSitesDeploymentService ──────────────────────────────────────────────────────────────────────────────────


async def test_deploy_tells_what_it_came_to(place: Any) -> None:
    seen: list[ws.Progress] = []
    options = DeploymentOptions("/site", "simulated", "local", epochs=3, gas_budget=Mist(1_000_000_000))
    result = await place.service.deploy(options, progress=seen.append)
    assert (result.success, result.status, result.version, result.site_name) == (True, "completed", 1, "simulated")
    assert result.site_id in await place.world.site_ids()
    assert result.digests
    assert result.finished_ms is not None
    assert seen[-1].phase is ws.Phase.DONE
    assert place.opened[-1]["network"] == "local"
    plan = (await place.world.session.status(result.deployment_id)).details["plan"]
    assert plan["epochs"] == 3


async def test_a_failure_is_raised_and_its_state_tells_it(place: Any) -> None:
    place.world.store.faults = lambda moment, *_: StorageError("store_refused", "no")
    with pytest.raises(StorageError) as caught:
        await place.service.deploy(DeploymentOptions("/site", "simulated"))
    left = caught.value.fields["deployment_id"]
    state = await place.manager.get_deployment_state(left)
    assert (state.status, state.errors[0].code) == ("failed", "store_refused")
    assert state.progress.failed_files
    assert not (await place.monitor.health(left)).healthy


async def test_resume_goes_on_and_tells_the_errors_that_were_mended(place: Any) -> None:
    left = await place.die_at("store.do.before")
    await place.manager.record_error(left, ErrorRecord("connection_lost", "seen"))
    result = await place.service.resume_deployment(left)
    assert (str(result.deployment_id), result.success, result.errors[-1].code) == (left, True, "connection_lost")


async def test_cancel_ends_a_deployment_and_says_no_when_it_was_complete(place: Any) -> None:
    left = await place.die_at("transaction.intent.before", deletable=True)
    assert await place.service.cancel_deployment(left)
    assert await place.world.chain.blobs(place.world.signer.address), "what is stored is kept for the next deploy"
    assert await place.service.cancel_deployment(left, cleanup=True)
    assert await place.world.chain.blobs(place.world.signer.address) == []
    assert not await place.service.cancel_deployment(await place.deploy())


async def test_progress_is_read_from_the_journal_without_awaiting(place: Any) -> None:
    left = await place.die_at("transaction.intent.before")
    found = place.service.get_deployment_progress(left)
    assert isinstance(found, DeploymentProgress)
    assert (found.status, found.stored_files, found.total_files) == ("interrupted", 4, 4)
    assert found.stored_bytes == found.total_bytes > 0
    assert found.share < 1, "it is not complete"
    assert found.phase == "chain"
    assert found.waiting == (f"the deployment waits: somebody who goes on: walrus-sdk resume {left}",)
    await place.service.resume_deployment(left)
    assert place.service.get_deployment_progress(left).share == 1
    assert place.service.get_deployment_progress(NOWHERE) is None
    assert place.service.get_deployment_progress("no id") is None


async def test_a_call_goes_to_the_network_that_it_or_its_deployment_names(place: Any) -> None:
    left = await place.die_at("store.do.before")
    place.opened.clear()
    await place.make(ws.DeploymentRecoveryManager, network="testnet", home="h").recover_deployment(left)
    assert [where["network"] for where in place.opened] == ["testnet", place.world.network.name]
    assert all(where["home"] == "h" for where in place.opened)

    place.opened.clear()
    own = place.make(ws.WalrusSitesDeploymentService, network=LOCAL)
    await own.resume_deployment(left)
    assert [where["network"] for where in place.opened] == [LOCAL, LOCAL], "a network value stands for its name"


# ── DeploymentMonitor ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_monitor_tells_each_change_until_nobody_works_on_it_any_more(place: Any) -> None:
    left = await place.die_at("store.do.before")
    seen: list[DeploymentProgress] = []
    kinds: list[str] = []
    hook, gate, begun = place.world.life.hook, anyio.Event(), anyio.Event()

    async def hold(point: str) -> None:
        await hook(point)
        if point == "store.do.before" and not gate.is_set():
            begun.set()
            await gate.wait()

    place.world.life.hook = hold

    def listen(progress: DeploymentProgress) -> None:
        seen.append(progress)
        gate.set()  # it goes on when somebody looks

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(place.service.resume_deployment, left)
        await begun.wait()
        assert str(await place.world.session.newest()) == left
        state = await place.monitor.watch(left, listen, on_event=lambda event: kinds.append(event.type))
    assert (seen[0].status, seen[0].share < 1) == ("uploading", True)
    assert state.status == "completed"
    assert seen[-1].share == 1
    assert "effect.done" in kinds


async def test_watching_reads_a_history_once_and_tells_what_the_reports_tell(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, whole, events = await place.deploy(), list[str](), MemoryJournal.events
    await place.manager.record_error(left, ErrorRecord("mine", "a word of the user's"))

    async def counted(journal: MemoryJournal, deployment: Any, *, after: int = 0) -> Any:
        found = await events(journal, deployment, after=after)
        whole.extend(event.type for event in found)
        return found

    seen: list[DeploymentProgress] = []
    monkeypatch.setattr(MemoryJournal, "events", counted)
    await place.monitor.watch(left, seen.append)
    assert whole.count("deployment.planned") <= 2, "the history, and the state at the end"
    assert seen == [await place.monitor.progress(left)]
    assert seen[0].errors == 1


async def test_figures_of_a_deployment_that_nobody_works_on_say_so_as_the_list_does(place: Any) -> None:
    left = await place.die_at("store.outcome.before")
    assert (await place.monitor.performance(left)).status == "interrupted"


async def test_health_names_what_to_look_at(place: Any) -> None:
    assert (await place.monitor.health(await place.deploy())).healthy
    place.world.files["index.html"] = b"another"
    left = await place.die_at("store.outcome.before")
    health = await place.monitor.health(left)
    assert not health.healthy
    assert any("can be resumed" in text for text in health.findings)
    assert any("looked up by name" in text for text in health.findings)
    with pytest.raises(ConfigurationError):
        await place.world.session.newest()


async def test_a_state_shows_uploads_and_transactions_as_the_journal_has_them(place: Any) -> None:
    left = await place.die_at("transaction.do.after")
    state = await place.manager.get_deployment_state(left)
    uploads = state.walrus_operations.uploads
    assert sorted(path for one in uploads for path in one.files) == sorted(place.world.published())
    assert {one.status for one in uploads} == {"done"}
    assert {str(one.blob_id) for one in uploads} == set(place.world.paid())
    assert all(one.cost.units > 0 and one.end_epoch is not None for one in uploads)
    (transaction,) = state.walrus_operations.transactions
    assert transaction.status == "signed"
    assert state.progress.uploaded_files == len(state.progress.completed_files) == state.progress.total_files == 4
    assert state.recovery.last_checkpoint is not None
    assert "transaction-1" in state.recovery.last_checkpoint
