"""Samples: what other processes see of a verb that runs, and that they are in nobody's way."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import NetworkError, StateError
from walrus_sdk.journal.store import journal_path
from walrus_sdk.journal.tail import JournalTail
from walrus_sdk.model.deployment import Event
from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.samples import Resources, Sample
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change, Ownership
from walrus_sdk.service.sampling import BEAT_S, PACE_S, Sampler, sampled
from walrus_sdk.testing import SimulatedWorld
from walrus_sdk.testing.virtual import VirtualClock, options

pytestmark = pytest.mark.anyio

ONE = DeploymentId("deploy_1800000000001_00000001")
TAKEN = Resources(cpu_s=1.5, rss_bytes=2_000_000, open_files=7, disk_free_bytes=9_000_000)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return request.param, options(request.param)


class Notes:
    """A journal that keeps the samples that it is given, or refuses them."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.samples: list[Sample] = []
        self._refuses = refuses

    async def append(self, owner: Ownership | None, changes: Sequence[Change]) -> Sequence[Event]:
        if self._refuses:
            raise StateError("state_full", "the disk is full")
        for put in changes[0].puts:
            self.samples.append(Sample.of(len(self.samples), put.values["wall_ms"], put.values["data"]))
        return []


async def watched(work: Callable[[Feed], Awaitable[Any]], notes: Notes | None = None) -> list[Sample]:
    """Do some work with a sampler beside it, and return what it wrote."""
    kept, feed, clock = notes or Notes(), Feed(), VirtualClock()

    async def resources() -> Resources:
        return TAKEN

    def make(owner: Ownership, of: Feed) -> Sampler:
        return Sampler(kept, owner, of, clock=clock, resources=resources)  # type: ignore[arg-type]  # no more is used

    await sampled(make, Ownership(ONE, 3), feed, lambda: work(feed))
    return kept.samples


async def test_at_most_two_a_second_are_written_and_the_latest_counts() -> None:
    async def work(feed: Feed) -> None:
        for number in range(1, 1001):
            feed.set(bytes_sent=number)
            await anyio.sleep(0.01)

    samples = await watched(work)
    times = [sample.wall_ms for sample in samples]
    assert all(later - earlier >= PACE_S * 1000 for earlier, later in itertools.pairwise(times[:-1]))
    assert len(samples) <= 10 / PACE_S + 2
    assert samples[-1].progress.bytes_sent == 1000
    assert (samples[-1].incarnation, samples[-1].resources) == (3, TAKEN)


async def test_nothing_is_written_while_nothing_moves_but_a_beat() -> None:
    async def work(_: Feed) -> None:
        await anyio.sleep(4 * BEAT_S + PACE_S)

    assert len(await watched(work)) == 1 + 4


async def test_each_phase_is_timed_and_what_is_on_the_wire_is_told_by_store() -> None:
    async def work(feed: Feed) -> None:
        feed.phase(Phase.STORE)
        feed.sent("store-0001", 700)
        await anyio.sleep(2.125)
        feed.ended("store-0001")
        feed.phase(Phase.CHAIN)
        await anyio.sleep(1.25)
        feed.phase(Phase.DONE)

    samples = await watched(work)
    assert samples[0].sending == {"store-0001": 700}
    assert samples[-1].sending == {}
    assert samples[-1].progress == Progress(Phase.DONE, bytes_sent=700)
    assert samples[-1].phases_s[Phase.STORE] == 2.125
    assert samples[-1].phases_s[Phase.CHAIN] == 1.25


async def test_a_failure_comes_out_as_it_is_after_one_last_sample() -> None:
    notes = Notes()

    async def work(feed: Feed) -> None:
        await anyio.sleep(0.125)
        feed.set(retries=4)
        raise NetworkError("timeout_read", "too late")

    with pytest.raises(NetworkError):
        await watched(work, notes)
    assert notes.samples[-1].progress.retries == 4


async def test_what_is_finished_after_a_cancellation_is_still_seen() -> None:
    notes = Notes()

    async def work(feed: Feed) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            feed.set(waiting="finishing 1 paid store")
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3)

    with anyio.move_on_after(1):
        await watched(work, notes)
    assert [sample.progress.waiting for sample in notes.samples] == ["", "finishing 1 paid store"]
    assert notes.samples[1].wall_ms - notes.samples[0].wall_ms < 2000


async def test_a_journal_that_takes_no_sample_does_not_end_the_work() -> None:
    done = []

    async def work(feed: Feed) -> None:
        feed.set(bytes_sent=1)
        await anyio.sleep(5)
        done.append(feed.now)

    assert await watched(work, Notes(refuses=True)) == []
    assert done == [Progress(bytes_sent=1)]


async def test_simulated_lives_write_none() -> None:
    world = SimulatedWorld()
    await world.deploy()
    assert world.disk.tables["samples"] == {}


def test_a_sample_is_read_as_it_was_written_and_what_is_new_in_it_left_out() -> None:
    progress = Progress(Phase.CHAIN, files_found=9, bytes_total=10**12, waiting="for a coin")
    sample = Sample(5, 1_800_000_000_000, 2, progress, {Phase.STORE: 1.5}, {"store-0001": 7}, TAKEN)
    data = sample.data()
    assert Sample.of(5, 1_800_000_000_000, data) == sample
    later = data.replace('"progress":{', '"progress":{"moons":3,').replace('"store":1.5', '"store":1.5,"rest":1')
    assert Sample.of(5, 1_800_000_000_000, later) == sample
    with pytest.raises(ValueError, match="not a sample"):
        Sample.of(5, 0, "{}")


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_another_process_reads_how_far_a_deployment_is(house: Any, tmp_path: Path) -> None:
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides")
    tail = JournalTail(journal_path(house.home))
    before = await tail.changed()
    samples = await tail.samples(result.deployment_id)
    last = await tail.latest(result.deployment_id)
    assert last == samples[-1]
    assert last is not None
    assert last.progress.phase is Phase.DONE
    assert last.progress.bytes_confirmed == last.progress.bytes_total > 0
    assert last.resources.cpu_s is not None
    assert last.resources.disk_free_bytes is not None
    assert await tail.samples(result.deployment_id, after=last.number) == []
    assert await tail.changed() == before, "nobody has written meanwhile"
    async with house.session() as sites:
        await sites.deploy(house.folder, site_name="other")
    assert await tail.changed() != before
    tail.close()
