"""Watching a deployment: from another session, while it runs, when it hangs, after it was cut off."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import anyio
import pytest

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.model.deployment import Status
from walrus_sdk.model.progress import Phase
from walrus_sdk.model.views import DeploymentView, Step
from walrus_sdk.testing import SimulatedWorld

pytestmark = pytest.mark.anyio


async def views_of(house: Any, deployment: Any, found: list[DeploymentView]) -> None:
    """Follow a deployment in a session of its own, as another terminal would."""
    async with house.session() as other:
        async for view in other.follow(deployment, files=10):
            found.append(view)


async def begun(house: Any) -> str:
    """Wait in a session of its own until a process works on a deployment; returns which."""
    async with house.session() as other:
        while True:
            try:
                return str(await other.newest())
            except ConfigurationError:
                await anyio.sleep(0.01)


async def test_a_deployment_is_followed_from_elsewhere_to_its_end(house: Any) -> None:
    house.fault("publisher.after_certify", "latency", times=1, latency_s=1.5)
    found: list[DeploymentView] = []

    async def watch() -> None:
        await views_of(house, await begun(house), found)

    with anyio.fail_after(60):
        async with house.session() as sites, anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            result = await sites.deploy(house.folder, site_name="tides")
    last = found[-1]
    assert (last.live, last.phase, last.summary.status) == (False, Phase.DONE, Status.COMPLETED.value)
    assert (last.files_done, last.share) == (4, 1.0)
    assert last.summary.deployment_id == result.deployment_id
    waited = [wait.on for view in found for wait in view.waiting]
    assert "the publisher's answer" in waited
    numbers = [event.number for view in found for event in view.events]
    assert numbers == list(range(1, len(numbers) + 1)), "every event once, in order"


async def test_a_snapshot_after_the_end_is_the_same_for_everybody(house: Any) -> None:
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides")
        one = await sites.progress(result.deployment_id, files=99)
    async with house.session() as other:
        two = await other.progress(str(result.deployment_id), files=99)
    assert two.to_json() | {"idle_s": 0} == one.to_json() | {"idle_s": 0}
    assert {file.path for file in one.files} == {"/index.html", "/about.html", "/assets/app.js", "/assets/logo.svg"}
    assert {file.step for file in one.files} == {Step.DONE}
    assert one.progress.phase is Phase.DONE
    assert one.resources.cpu_s is not None


async def test_the_next_deployment_learns_from_the_ones_before(house: Any) -> None:
    async with house.session() as sites:
        await sites.deploy(house.folder, site_name="tides")
        house.write({"about.html": b"<p>changed</p>" * 20})
        house.fault("publisher.after_certify", "latency", times=1, latency_s=1.5)
        found: list[DeploymentView] = []
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:

                async def watch() -> None:
                    await views_of(house, await begun(house), found)

                tasks.start_soon(watch)
                await sites.deploy(house.folder, site_name="tides")
    told = [view.eta for view in found if view.eta is not None]
    assert any("1 earlier deployment" in eta.basis for eta in told)
    assert all(0 <= eta.low_s <= eta.seconds <= eta.high_s for eta in told)


async def test_what_a_dead_process_left_is_seen_as_it_stands() -> None:
    world = SimulatedWorld()
    await world.dies("store.do.after")
    (row,) = world.disk.tables["deployments"].values()
    view = await world.session.progress(row["id"])
    assert (view.live, view.summary.status) == (False, "interrupted")
    assert view.waiting[0].on == f"somebody who goes on: walrus-sdk resume {row['id']}"
    assert [one.live async for one in world.session.follow(row["id"])] == [False]


async def test_an_unknown_deployment_is_said_to_be_unknown() -> None:
    world = SimulatedWorld()
    with pytest.raises(ConfigurationError) as caught:
        await world.session.progress("deploy_1800000000001_00000001")
    assert caught.value.code == "deployment_not_found"
    with pytest.raises(ConfigurationError):
        await world.session.newest()


async def test_a_log_is_followed_while_it_grows_and_shows_no_secret(house: Any) -> None:
    lines: list[str] = []
    secret = "ab" * 32
    with anyio.fail_after(60):
        async with house.session() as sites, house.session() as other:
            async with anyio.create_task_group() as tasks:

                async def follow() -> None:
                    async with aclosing(other.log(follow=True)) as log:
                        async for line in log:
                            lines.append(line)
                            if '"to":"completed"' in line:
                                return

                tasks.start_soon(follow)
                result = await sites.deploy(house.folder, site_name=f"token {secret}")
            of_it = [line async for line in other.log(result.deployment_id)]
            assert sorted(lines) == sorted(of_it)
            assert [line async for line in other.log(result.deployment_id, last=2)] == of_it[-2:]
            assert [line async for line in other.log(last=0)] == []
            assert [line async for line in other.log(result.deployment_id, follow=True)] == of_it
    assert '"site":"token ***"' in of_it[0]
    assert secret not in "".join(of_it + lines)
