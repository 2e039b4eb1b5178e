"""A pause: nothing new begins, what is under way settles, and the deployment goes on when it is let."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from walrus_sdk.errors import ConfigurationError, DeploymentStopped, NetworkError, OwnershipError
from walrus_sdk.model import events
from walrus_sdk.model.options import RecoveryOptions
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.testing import PAGES, SimulatedWorld
from walrus_sdk.testing.virtual import VirtualClock, run

pytestmark = pytest.mark.anyio

MANY = {"index.html": b"home", **{f"page-{n}.html": b"<p>%d</p>" % n * 3 for n in range(8)}}


class Held:
    """Holds a deployment at the first hook point of a name, until it is let go."""

    def __init__(self, world: SimulatedWorld, point: str) -> None:
        self.reached, self.let_go = anyio.Event(), anyio.Event()
        usual = world.life.hook

        async def hook(name: str) -> None:
            await usual(name)
            if name == point and not self.reached.is_set():
                self.reached.set()
                await self.let_go.wait()

        world.life.hook = hook  # type: ignore[method-assign]


async def newest(world: SimulatedWorld) -> DeploymentId:
    return (await world.session.list())[0].deployment_id


def name_of(world: SimulatedWorld) -> DeploymentId:
    """The one deployment, also of a world that is dead."""
    (name,) = world.disk.events
    return DeploymentId(name)


def types(world: SimulatedWorld, name: DeploymentId) -> list[str]:
    return [event.type for event in world.disk.events[str(name)]]


async def until(reached: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not reached():
            await anyio.lowlevel.checkpoint()


async def idle() -> None:
    """Let everything that can go on do so."""
    for _ in range(300):
        await anyio.lowlevel.checkpoint()


async def test_nothing_begins_while_it_is_paused_what_is_under_way_settles_and_then_it_goes_on() -> None:
    world = SimulatedWorld(MANY)
    held = Held(world, "store.do.before")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: world.deploy(max_quilt_files=1, concurrency=2))
        await held.reached.wait()
        name = await newest(world)
        assert (await world.session.pause(name, reason="lunch")).status == "paused"
        await until(lambda: events.DEPLOYMENT_PAUSED in types(world, name))
        held.let_go.set()
        await idle()
        past = types(world, name)
        after = past[past.index(events.DEPLOYMENT_PAUSED) :]
        assert events.EFFECT_DONE in after, "what was under way is recorded"
        assert events.EFFECT_INTENT not in after, "nothing new begins"
        assert await world.statuses() == ["paused"]
        assert (await world.session.unpause(name)).status == "uploading"
    assert await world.statuses() == ["completed"]
    past = types(world, name)
    assert past.index(events.DEPLOYMENT_PAUSED) < past.index(events.DEPLOYMENT_CONTINUED)
    assert set(world.paid().values()) == {1}
    assert await world.served() == world.published()


async def test_no_transaction_is_signed_while_it_is_paused() -> None:
    world = SimulatedWorld()
    held = Held(world, "store.outcome.after")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.deploy)
        await held.reached.wait()
        name = await newest(world)
        await world.session.pause(name)
        await until(lambda: events.DEPLOYMENT_PAUSED in types(world, name))
        held.let_go.set()
        await idle()
        assert events.TRANSACTION_SIGNED not in types(world, name)
        assert world.chain.executed == 0
        await world.session.unpause()
    assert await world.served() == world.published()


async def test_pausing_or_continuing_twice_is_once_and_the_owner_tells_its_progress() -> None:
    world, seen = SimulatedWorld(MANY), []
    held = Held(world, "store.do.before")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(
            lambda: world.session.deploy("/site", site_name="s", progress=lambda now: seen.append(now.paused))
        )
        await held.reached.wait()
        name = await newest(world)
        await world.session.unpause(name)
        for _ in range(2):
            await world.session.pause(name)
            await until(lambda: events.DEPLOYMENT_PAUSED in types(world, name))
        for _ in range(2):
            await world.session.unpause(name)
            await until(lambda: events.DEPLOYMENT_CONTINUED in types(world, name))
        held.let_go.set()
    assert (types(world, name).count(events.DEPLOYMENT_PAUSED), True in seen, seen[-1]) == (1, True, False)


async def test_a_paused_deployment_is_cancelled_by_the_verb_and_brings_open_ones_to_their_end() -> None:
    world, codes = SimulatedWorld(MANY), []
    held = Held(world, "transaction.do.after")

    async def deploy() -> None:
        try:
            await world.deploy()
        except DeploymentStopped as error:
            codes.append(error.code)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(deploy)
        await held.reached.wait()
        name = await newest(world)
        await world.session.pause(name)
        await until(lambda: events.DEPLOYMENT_PAUSED in types(world, name))
        held.let_go.set()
        await world.session.cancel(name)
    assert await world.statuses() in (["completed"], ["cancelled"]), "the chain's verdict"
    await world.deploy()
    assert await world.served() == world.published()


async def test_a_pause_dies_with_its_owner_and_an_explicit_resume_goes_on() -> None:
    world = SimulatedWorld(MANY)

    async def paused() -> None:
        held = Held(world, "store.do.before")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: world.deploy(max_quilt_files=1))
            await held.reached.wait()
            await world.session.pause()
            await until(lambda: events.DEPLOYMENT_PAUSED in types(world, name_of(world)))
            held.let_go.set()

    assert await world.dies("store.outcome.before", paused)
    name = name_of(world)
    assert await world.statuses() == ["interrupted"]
    with pytest.raises(OwnershipError) as caught:
        await world.session.unpause(name)
    assert caught.value.code == "illegal_move"
    await world.session.resume(name)
    assert await world.statuses() == ["completed"]
    assert set(world.paid().values()) == {1}


async def test_what_nobody_works_on_cannot_be_paused() -> None:
    world = SimulatedWorld()
    with pytest.raises(ConfigurationError) as missing:
        await world.session.pause()
    assert missing.value.code == "deployment_not_found"
    await world.deploy()
    with pytest.raises(OwnershipError) as caught:
        await world.session.pause(await newest(world))
    assert caught.value.code == "illegal_move"


def test_a_pause_of_hours_uses_up_no_patience_with_a_busy_publisher(anyio_backend_name: str) -> None:
    """In virtual time: refused before the pause and refused after it, the store is done in the end."""
    refusals = iter([True, True, True])

    def busy(moment: str, _: object) -> Exception | None:
        refused = moment == "request" and next(refusals, False)
        return NetworkError("rate_limited", "too many", retry_after=30.0) if refused else None

    async def main() -> None:
        world = SimulatedWorld(PAGES, clock=VirtualClock())
        world.store.faults = busy
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: world.deploy(recovery=RecoveryOptions(max_retries=0)))
            await anyio.sleep(10)
            await world.session.pause()
            await anyio.sleep(7200)
            assert await world.statuses() == ["paused"]
            await world.session.unpause()
        assert anyio.current_time() > 7200
        assert set(world.paid().values()) == {1}

    run(main, anyio_backend_name)
