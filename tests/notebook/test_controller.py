"""What buttons do, over the simulated world: verbs, offers, progress of others, what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from walrus_sdk.errors import BlockchainError, ConfigurationError, OwnershipError, StorageError, WalrusError
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.reports import DeploymentSummary
from walrus_sdk.model.units import DeploymentId, Frost, ObjectId
from walrus_sdk.notebook.controller import Controller, Intent, _choose
from walrus_sdk.notebook.state import Action, FileState, State, file_states
from walrus_sdk.notebook.view import enabled, view
from walrus_sdk.ports import Put
from walrus_sdk.testing import SimulatedWorld

pytestmark = pytest.mark.anyio

MANY = {"index.html": b"home", **{f"page-{n}.html": b"<p>%d</p>" % n * 3 for n in range(8)}}


@asynccontextmanager
async def open_panel(world: SimulatedWorld, **given: Any) -> AsyncIterator[Controller]:
    """A panel without widgets."""
    options = given.pop("options", DeployOptions(site_name="simulated"))
    controller = Controller(world.session, now_ms=world.clock.wall_ms, options=options, **given)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(controller.run)
        with anyio.fail_after(20):
            await controller.found.wait()
        yield controller
        tasks.cancel_scope.cancel()


async def until(reached: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not reached():  # noqa: ASYNC110
            await anyio.sleep(0.005)


async def press(controller: Controller, action: Action, choice: int | None = None) -> State:
    controller.post(Intent(action, choice))
    await until(lambda: controller.at_rest)
    return controller.state


async def deploy(controller: Controller) -> State:
    await press(controller, Action.DEPLOY)
    return await press(controller, Action.CONFIRM)


def hold(world: SimulatedWorld, point: str) -> tuple[anyio.Event, anyio.Event]:
    """Hold what comes to a hook point first; returns the events reached and let go."""
    reached, let_go, usual = anyio.Event(), anyio.Event(), world.life.hook

    async def hook(name: str) -> None:
        await usual(name)
        if name == point and not reached.is_set():
            reached.set()
            await let_go.wait()

    world.life.hook = hook  # type: ignore[method-assign]
    return reached, let_go


async def test_deploy_shows_the_plan_first_and_spends_nothing_until_it_is_confirmed() -> None:
    world = SimulatedWorld()
    async with open_panel(world, folder=Path("/site")) as panel:
        state = await press(panel, Action.DEPLOY)
        assert state.offer is not None
        assert "WAL" in state.offer.confirm
        assert world.net.blobs.ledger() == []
        state = await press(panel, Action.CONFIRM)
        assert (state.status, state.offer, state.note) == ("completed", None, "deployed")
        assert set(file_states(state)) == {FileState.STORED}
        assert state.seen is not None
        assert state.seen.paid_frost == sum(row["cost_frost"] for row in world.net.blobs.ledger())
        assert [version.number for version in state.versions] == [1]
        assert await world.served() == world.published()


async def test_a_plan_that_changes_nothing_is_said_and_offers_nothing() -> None:
    world = SimulatedWorld()
    async with open_panel(world, folder=Path("/site")) as panel:
        await deploy(panel)
        state = await press(panel, Action.DEPLOY)
        assert state.offer is None
        assert "nothing to do" in state.note


async def test_an_offer_is_dismissed_and_nothing_happened() -> None:
    world = SimulatedWorld()
    async with open_panel(world, folder=Path("/site")) as panel:
        await press(panel, Action.DEPLOY)
        state = await press(panel, Action.DISMISS)
        assert state.offer is None
        state = await press(panel, Action.CONFIRM)
        assert state.deployment == ""
        assert await world.session.list() == []


async def test_its_own_deployment_is_paused_continued_and_completed_by_its_buttons() -> None:
    world = SimulatedWorld(MANY)
    reached, let_go = hold(world, "store.do.before")
    options = DeployOptions(site_name="simulated", max_quilt_files=1, concurrency=1)
    async with open_panel(world, folder=Path("/site"), options=options) as panel:
        await press(panel, Action.DEPLOY)
        panel.post(Intent(Action.CONFIRM))
        await reached.wait()
        await until(lambda: panel.state.at_work)
        assert enabled(panel.state) >= {Action.PAUSE, Action.CANCEL}
        state = await press(panel, Action.PAUSE)
        assert state.status == "paused"
        let_go.set()
        await until(lambda: len(world.net.blobs.ledger()) > 0)
        assert Action.CONTINUE in enabled(panel.state)
        panel.post(Intent(Action.CONTINUE))
        await until(lambda: panel.state.status == "completed" and panel.at_rest)
        assert await world.served() == world.published()


async def test_cancel_ends_its_own_deployment_and_says_so_without_an_error() -> None:
    world = SimulatedWorld(MANY)
    reached, _ = hold(world, "store.do.before")
    async with open_panel(world, folder=Path("/site")) as panel:
        await press(panel, Action.DEPLOY)
        panel.post(Intent(Action.CONFIRM))
        await reached.wait()
        await until(lambda: panel.state.at_work)
        state = await press(panel, Action.CANCEL)
        assert (state.status, state.problem) == ("cancelled", None)
        assert "cancelled" in state.note


async def test_a_deployment_of_another_process_is_shown_as_it_goes_and_cancelled_from_here() -> None:
    world = SimulatedWorld(MANY)
    reached, _ = hold(world, "store.do.before")

    async def elsewhere() -> None:
        with pytest.raises(WalrusError):
            await world.deploy()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(elsewhere)
        await reached.wait()
        async with open_panel(world) as panel, open_panel(world, folder=Path("/site")) as second:
            assert panel.state.status == second.state.status == "uploading"
            assert FileState.SENDING in file_states(panel.state)
            await press(panel, Action.CANCEL)
            await until(lambda: second.state.status == "cancelled")
            assert panel.state.status == "cancelled"


async def test_a_panel_opens_with_what_is_unfinished_and_resumes_it() -> None:
    world = SimulatedWorld(MANY)
    assert await world.dies("store.outcome.after", lambda: world.deploy(max_quilt_files=1))
    async with open_panel(world, folder=Path("/site")) as panel:
        state = panel.state
        assert (state.status, state.summary is not None and state.summary.resumable) == ("interrupted", True)
        assert FileState.STORED in file_states(state)
        assert FileState.SENDING not in file_states(state)
        assert view(state).meter
        state = await press(panel, Action.RESUME)
        assert state.status == "completed"
        assert set(world.paid().values()) == {1}


async def test_a_failed_deployment_shows_its_next_step_and_is_tried_again() -> None:
    world = SimulatedWorld(MANY)
    broken = [True]
    world.store.faults = lambda moment, _: StorageError("store_failed", "500") if broken[0] else None
    async with open_panel(world, folder=Path("/site")) as panel:
        state = await deploy(panel)
        assert state.problem is not None
        assert "500" in view(state).problems
        broken[0] = False
        assert Action.RESUME in enabled(state)
        state = await press(panel, Action.RETRY if Action.RETRY in enabled(state) else Action.RESUME)
        assert (state.status, state.problem) == ("completed", None)


async def test_with_a_failed_deployment_that_is_cancelled_its_alert_goes() -> None:
    world = SimulatedWorld(MANY)
    world.store.faults = lambda moment, _: StorageError("store_failed", "500")
    async with open_panel(world, folder=Path("/site")) as panel:
        assert view(await deploy(panel)).problems
        state = await press(panel, Action.CANCEL)
        assert (state.status, view(state).problems) == ("cancelled", "")


async def test_roll_back_shows_what_changes_for_each_version_and_brings_one_back() -> None:
    world = SimulatedWorld()
    first = world.published()
    await world.deploy()
    for text in (b"two", b"three"):
        world.files["about.html"] = text
        await world.deploy()
    async with open_panel(world, folder=Path("/site")) as panel:
        state = await press(panel, Action.ROLLBACK)
        assert state.offer is not None
        assert (state.offer.choice, [number for _, number in state.offer.choices]) == (2, [2, 1])
        assert ("changed", "/about.html") in state.offer.facts
        state = await press(panel, Action.ROLLBACK, 1)
        assert state.offer is not None
        assert state.offer.choice == 1
        state = await press(panel, Action.CONFIRM)
        assert (state.status, state.note) == ("completed", "version 1 is back")
        assert await world.served() == first


async def test_clean_up_is_a_dry_run_first() -> None:
    world = SimulatedWorld()
    for text in (b"1", b"2", b"3", b"4", b"5"):
        world.files["about.html"] = text
        await world.deploy(deletable=True)
    async with open_panel(world, folder=Path("/site")) as panel:
        state = await press(panel, Action.CLEANUP)
        assert state.offer is not None
        assert len([item for item in await world.session.list() if item.verb == "cleanup"]) == 0
        state = await press(panel, Action.CONFIRM)
        assert "blobs deleted" in state.note
        assert await world.served() == world.published()


async def test_verify_reads_the_site_back_and_shows_what_is_wrong() -> None:
    world = SimulatedWorld()
    async with open_panel(world, folder=Path("/site")) as panel:
        await deploy(panel)
        state = await press(panel, Action.VERIFY)
        assert state.note == "verified: 4 files are served as they are on chain"
        world.store.garbled = lambda data: data[:-1] + b"?"
        state = await press(panel, Action.VERIFY)
        assert state.problem is not None
        assert state.problem.code == "verification_failed"


async def test_what_a_limit_refuses_is_shown_and_nothing_is_spent() -> None:
    world = SimulatedWorld()
    options = DeployOptions(site_name="simulated", max_cost=Frost(1))
    async with open_panel(world, folder=Path("/site"), options=options) as panel:
        state = await press(panel, Action.DEPLOY)
        assert state.problem is not None
        assert state.problem.code == "cost_limit"
        assert world.net.blobs.ledger() == []


async def test_pressing_twice_is_pressing_once() -> None:
    world = SimulatedWorld()
    async with open_panel(world, folder=Path("/site")) as panel:
        await press(panel, Action.DEPLOY)
        for _ in range(3):
            panel.post(Intent(Action.CONFIRM))
        await until(lambda: panel.at_rest)
        assert len(await world.session.list()) == 1
        assert set(world.paid().values()) == {1}


async def test_an_unknown_deployment_is_said() -> None:
    async with open_panel(SimulatedWorld(), deployment="deploy_1700000000000_0badcafe") as panel:
        assert panel.state.problem is not None
        assert panel.state.problem.code == "deployment_not_found"


async def test_alerts_of_the_deployment_are_shown_while_they_fire() -> None:
    world = SimulatedWorld()
    assert await world.dies("store.do.before")
    name = str((await world.session.list())[0].deployment_id)
    row = {"rule": "stuck", "subject": name, "kind": "stuck", "severity": "warning", "deployment": name}
    row |= {"fired_ms": 1, "value": 130.0, "threshold": 120.0, "unit": "s", "message": "no progress for 130 s"}
    world.disk.put(Put("alerts", {"n": 1}, row))
    async with open_panel(world) as panel:
        assert "warning: stuck: no progress for 130 s" in view(panel.state).problems
        world.disk.put(Put("alerts", {"n": 1}, {"cleared_ms": 2}))
        world.clock.advance(5)
        await until(lambda: not view(panel.state).problems)


async def test_planning_is_stopped_by_cancel() -> None:
    world = SimulatedWorld()
    going, usual = anyio.Event(), world.chain.state

    async def slow() -> Any:
        going.set()
        await anyio.sleep_forever()

    async with open_panel(world, folder=Path("/site")) as panel:
        world.chain.state = slow  # type: ignore[method-assign]
        panel.post(Intent(Action.DEPLOY))
        await going.wait()
        state = await press(panel, Action.CANCEL)
        assert (state.busy, state.note, state.offer) == ("", "stopped", None)
        world.chain.state = usual  # type: ignore[method-assign]
        assert (await press(panel, Action.DEPLOY)).offer is not None


async def test_panels_of_a_folder_follow_what_others_deploy_there() -> None:
    world = SimulatedWorld()
    async with open_panel(world, folder=Path("/site")) as panel, open_panel(world) as second:
        assert panel.state.deployment == ""
        first = await world.deploy()
        for one in (panel, second):
            await until(lambda one=one: one.state.status == "completed")  # type: ignore[misc]
            assert one.state.deployment == str(first.deployment_id)
            assert Action.ROLLBACK not in enabled(one.state)
        world.files["about.html"] = b"two"
        await world.deploy()
        await until(lambda: len(panel.state.versions) == len(second.state.versions) == 2)
        assert panel.state.summary == second.state.summary
        assert Action.ROLLBACK in enabled(panel.state)
        assert panel.state.files == second.state.files


async def test_a_deployment_that_was_asked_for_by_id_stays_whatever_begins() -> None:
    world = SimulatedWorld()
    first = await world.deploy()
    async with open_panel(world, deployment=str(first.deployment_id)) as panel, open_panel(world) as second:
        world.files["about.html"] = b"two"
        await world.deploy()
        await until(lambda: second.state.deployment != str(first.deployment_id))
        assert panel.state.deployment == str(first.deployment_id)


def item(number: int, status: str, **more: Any) -> DeploymentSummary:
    name = DeploymentId(f"deploy_1700000000000_0000000{number}")
    fields = {"site_name": "a", "folder": "/site", "resumable": status == "interrupted"} | more
    return DeploymentSummary(name, network="local", status=status, progress=1.0, started_ms=number, **fields)


def test_what_a_panel_turns_to() -> None:
    old, done, other = item(1, "interrupted"), item(2, "completed"), item(3, "completed", folder="/other")
    found = [other, done, old]
    assert _choose(found, "/site", "", None) is old, "what is unfinished first"
    assert _choose([other, done], "/site", "", None) is done, "else the newest, of this folder"
    assert _choose(found, "", "", None) is old
    assert _choose(found, "/site", "", done) is None, "an older one that is unfinished does not take its place"
    assert _choose(found, "", "", done) is other, "a newer one does"
    again = replace(old, status="uploading", resumable=False)
    assert _choose([other, done, again], "/site", "", done) is again, "and an older one that somebody works on"
    assert _choose([done], "/site", "", old) is done, "one that is forgotten is left"
    back = item(4, "completed", folder="", verb="rollback", site_id=ObjectId(bytes(32)))
    assert _choose([back, done], "/site", "", replace(done, site_id=back.site_id)) is back
    assert _choose([back, done], "/site", "", done) is None, "that is about another site"


async def test_cancel_of_planning_leaves_the_interrupted_deployment_that_is_shown_alone() -> None:
    world = SimulatedWorld(MANY)
    assert await world.dies("store.outcome.after", lambda: world.deploy(max_quilt_files=1))
    going, usual = anyio.Event(), world.chain.state

    async def slow() -> Any:
        going.set()
        await anyio.sleep_forever()

    async with open_panel(world, folder=Path("/site")) as panel:
        world.chain.state = slow  # type: ignore[method-assign]
        panel.post(Intent(Action.DEPLOY))
        await going.wait()
        state = await press(panel, Action.CANCEL)
        assert (state.status, state.busy, state.note) == ("interrupted", "", "stopped")
        world.chain.state = usual  # type: ignore[method-assign]
        assert (await press(panel, Action.RESUME)).status == "completed"


# ── a button is enabled exactly when its verb is legal ────────────────────────────────────────────────────────────


async def paused_world() -> tuple[SimulatedWorld, str]:
    world = SimulatedWorld(MANY)
    await world.dies("store.outcome.after", lambda: world.deploy(max_quilt_files=1))
    name = str((await world.session.list())[0].deployment_id)
    world.disk.held.add(name)  # another process took it up
    return world, name


async def interrupted_world() -> tuple[SimulatedWorld, str]:
    world, name = await paused_world()
    world.disk.held.clear()
    return world, name


async def cancelled_world() -> tuple[SimulatedWorld, str]:
    world, name = await interrupted_world()
    await world.session.cancel(name)
    return world, name


async def completed_world() -> tuple[SimulatedWorld, str]:
    world = SimulatedWorld(MANY)
    return world, str((await world.deploy()).deployment_id)


async def world_of_another_chain() -> tuple[SimulatedWorld, str]:
    """As after `localnet reset`: the home tells of a chain that is gone."""
    world, name = await interrupted_world()
    other = SimulatedWorld(MANY, seed="b" * 64)
    other.disk, other.clock, other.ids = world.disk, world.clock, world.ids
    other.revive()
    return other, name


async def test_a_panel_of_a_folder_passes_over_what_is_of_another_chain() -> None:
    world, name = await world_of_another_chain()
    async with open_panel(world, folder=Path("/site")) as panel:
        assert panel.state.deployment == ""
        assert (await deploy(panel)).status == "completed"
    async with open_panel(world, deployment=name) as panel:
        assert "interrupted, of another chain" in view(panel.state).status


async def failed_world() -> tuple[SimulatedWorld, str]:
    world = SimulatedWorld(MANY)
    world.store.faults = lambda moment, _: StorageError("store_failed", "500")
    with pytest.raises(StorageError):
        await world.deploy()
    world.store.faults = lambda moment, _: None
    return world, str((await world.session.list())[0].deployment_id)


async def world_of_two_versions() -> tuple[SimulatedWorld, str]:
    world, _ = await completed_world()
    world.files["index.html"] = b"two"
    return world, str((await world.deploy()).deployment_id)


@pytest.mark.parametrize(
    "make",
    [
        paused_world,
        interrupted_world,
        failed_world,
        cancelled_world,
        completed_world,
        world_of_two_versions,
        world_of_another_chain,
    ],
)
@pytest.mark.parametrize(
    "action",
    [
        Action.DEPLOY,
        Action.PAUSE,
        Action.CONTINUE,
        Action.CANCEL,
        Action.RESUME,
        Action.ROLLBACK,
        Action.VERIFY,
        Action.CLEANUP,
    ],
)
async def test_a_button_is_enabled_exactly_when_the_service_takes_the_verb(
    make: Callable[[], Awaitable[tuple[SimulatedWorld, str]]], action: Action
) -> None:
    world, name = await make()
    async with open_panel(world, deployment=name, folder=Path("/site")) as panel:
        is_enabled, at_work = action in enabled(panel.state), panel.state.at_work
    session = world.session
    verbs: dict[Action, Callable[[], Awaitable[Any]]] = {
        Action.DEPLOY: lambda: session.deploy("/site", site_name="simulated"),
        Action.PAUSE: lambda: session.pause(name),
        Action.CONTINUE: lambda: session.unpause(name),
        Action.CANCEL: lambda: session.cancel(name),
        Action.RESUME: lambda: session.resume(name),
        Action.ROLLBACK: lambda: session.plan_rollback("simulated"),
        Action.VERIFY: lambda: session.verify("simulated"),
        Action.CLEANUP: session.cleanup,
    }
    before = await world.statuses()
    try:
        await verbs[action]()
        is_taken = True
    except (OwnershipError, BlockchainError, ConfigurationError):
        is_taken = False
    if action in (
        Action.PAUSE,
        Action.CONTINUE,
        Action.CANCEL,
        Action.RESUME,
    ):  # once more is no mistake
        is_taken = await world.statuses() != before
    if action is Action.CLEANUP:  # the panel alone waits with it until the deployment is over
        is_taken = is_taken and not at_work
    assert is_enabled == is_taken
