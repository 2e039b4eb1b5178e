"""What may have been paid in vain is told by a cleanup that settles or forgets the deployment that knows of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from walrus_sdk.model import events
from walrus_sdk.model.deployment import Event
from walrus_sdk.testing import SimulatedWorld

pytestmark = pytest.mark.anyio


async def paid_and_cancelled() -> tuple[SimulatedWorld, set[str]]:
    """A deployment whose process died after a payment, and that was cancelled then; the blob never gets certified."""
    world = SimulatedWorld()
    await world.deploy()
    before = set(world.paid())
    world.files["index.html"] = b"another home"
    world.store.faults = lambda moment, _: world.life.die() if moment == "paid" else None
    assert await world.dies()
    world.store.faults = lambda moment, _: None
    (left, *_) = await world.session.list()
    await world.session.cancel(str(left.deployment_id))
    return world, set(world.paid()) - before


async def cleanup_dies_after(world: SimulatedWorld, last: Callable[[Event], bool]) -> bool:
    """Let a cleanup die just after the commit of an event; returns whether it did."""
    world.life.counts_commits = True
    return await world.dies(
        lambda _, point: point == "journal.after" and last(world.disk.history[-1]),
        lambda: world.session.cleanup(older_than_days=0.0, dry_run=False),
    )


@pytest.mark.parametrize("days", [0.0, 7.0])
async def test_a_cleanup_tells_what_it_finds_paid_in_vain_whether_it_forgets_the_history_or_not(days: float) -> None:
    world, in_vain = await paid_and_cancelled()
    report = await world.session.cleanup(older_than_days=days, dry_run=False)
    assert bool(report.deployments) == (days == 0.0)
    assert set(report.possibly_paid_in_vain) == in_vain
    assert in_vain


async def test_once_a_result_has_told_it_no_other_cleanup_does() -> None:
    world, in_vain = await paid_and_cancelled()
    assert in_vain <= set((await world.deploy()).possibly_paid_in_vain)
    assert (await world.session.cleanup(older_than_days=7.0, dry_run=False)).possibly_paid_in_vain == ()
    report = await world.session.cleanup(older_than_days=0.0, dry_run=False)
    assert (bool(report.deployments), report.possibly_paid_in_vain) == (True, ())
    assert (await world.session.cleanup(older_than_days=0.0, dry_run=False)).possibly_paid_in_vain == ()


async def test_a_result_that_is_forgotten_is_told_once_more() -> None:
    """It may have died with its process before anybody was told."""
    world, in_vain = await paid_and_cancelled()
    assert in_vain <= set((await world.deploy()).possibly_paid_in_vain)
    world.files["index.html"] = b"a third home"
    assert (await world.deploy()).possibly_paid_in_vain == ()
    looked = await world.session.cleanup(older_than_days=0.0, keep_last=1)
    report = await world.session.cleanup(older_than_days=0.0, keep_last=1, dry_run=False)
    assert set(looked.possibly_paid_in_vain) == set(report.possibly_paid_in_vain) == in_vain
    world.clock.advance(86_400)
    assert (await world.session.cleanup(older_than_days=0.0, keep_last=1, dry_run=False)).possibly_paid_in_vain == ()


async def test_a_cleanup_that_dies_when_it_is_done_is_told_by_the_next_one_that_forgets_it() -> None:
    world, in_vain = await paid_and_cancelled()
    assert await cleanup_dies_after(world, lambda event: event.data.get("to") == "completed")
    report = await world.session.cleanup(older_than_days=0.0, dry_run=False)
    assert len(report.deployments) == 1
    assert set(report.possibly_paid_in_vain) == in_vain


@pytest.mark.parametrize("next_one", ["cleanup", "deploy"])
async def test_a_cleanup_that_dies_when_it_has_forgotten_a_history_loses_no_name(next_one: str) -> None:
    world, in_vain = await paid_and_cancelled()
    assert await cleanup_dies_after(world, lambda event: event.type == events.DEPLOYMENT_DROPPED)
    world.files["about.html"] = b"and more"
    result: Any = await (
        world.deploy() if next_one == "deploy" else world.session.cleanup(older_than_days=0.0, dry_run=False)
    )
    assert in_vain <= set(result.possibly_paid_in_vain)
