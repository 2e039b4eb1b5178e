"""Uploads in the simulated world keep to their limits, and a busy publisher is no failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import NetworkError, StorageError, WalrusError
from walrus_sdk.model import events
from walrus_sdk.model.options import RecoveryOptions
from walrus_sdk.model.progress import Progress
from walrus_sdk.model.units import BlobId
from walrus_sdk.ports import Release, StoreReceipt, StoreRequest
from walrus_sdk.testing import SimulatedWorld
from walrus_sdk.testing.virtual import VirtualClock, options

pytestmark = pytest.mark.anyio

NO_RETRY = RecoveryOptions(max_retries=0, retry_budget=0.0)
FILES = {"index.html": b"home", **{f"p{n}.html": b"%d" % n * (n + 1) * 9 for n in range(11)}}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return request.param, options(request.param)


class Watched:
    """A world whose stores take time, and what was seen of them."""

    def __init__(self, files: dict[str, bytes] = FILES, latency_s: float = 1.0) -> None:
        self.world = SimulatedWorld(files, clock=VirtualClock())
        self.world.store.latency_s = latency_s
        self.asked: list[tuple[int, int]] = []
        self.most = 0
        self.fails: Callable[[StoreRequest, int], WalrusError | None] = lambda _request, _at: None
        self._under_way = 0
        self._store = self.world.store.store
        self.world.store.store = self.store  # type: ignore[method-assign]

    async def store(self, request: StoreRequest, release: Release, *, at: int = 0) -> StoreReceipt:
        """Store as the world does, and look on."""
        self.asked.append((sum(part.size for part in request.parts), at))
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        try:
            error = self.fails(request, at)
            if error is not None:
                raise error
            return await self._store(request, release, at=at)
        finally:
            self._under_way -= 1

    async def deploy(self, **asked: Any) -> Any:
        return await self.world.deploy(max_quilt_files=1, max_delete=1.0, **asked)


def busy(**fields: Any) -> NetworkError:
    return NetworkError("rate_limited", "busy", **fields)


async def test_a_busy_publisher_costs_no_retry() -> None:
    watched, refusals = Watched(), iter(range(8))
    watched.fails = lambda *_: busy() if next(refusals, None) is not None else None
    feed = Feed()
    await watched.deploy(recovery=NO_RETRY, feed=feed)
    assert next(refusals, None) is None, "eight refusals, where nothing may be retried"
    assert feed.now.retries == 0
    assert set(watched.world.paid().values()) == {1}


async def test_a_publisher_that_takes_nothing_for_a_quarter_of_an_hour_ends_it() -> None:
    watched = Watched()
    watched.fails = lambda *_: busy()
    began = anyio.current_time()
    with pytest.raises(NetworkError, match="rate_limited"):
        await watched.deploy()
    assert 900 < anyio.current_time() - began < 1100
    assert watched.world.paid() == {}


async def test_a_busy_publisher_is_waited_for_until_the_deadline() -> None:
    watched = Watched()
    watched.fails = lambda *_: busy()
    began = anyio.current_time()
    with pytest.raises(WalrusError, match="deadline_reached"):
        await watched.deploy(deadline_s=100.0)
    assert anyio.current_time() - began == pytest.approx(100.0, abs=1.0)


async def test_the_pause_that_a_publisher_asks_for_is_kept_by_all_stores() -> None:
    watched, times = Watched(), []

    def fails(*_: Any) -> WalrusError | None:
        times.append(anyio.current_time())
        return busy(retry_after=77) if len(times) == 1 else None

    watched.fails = fails
    await watched.deploy(concurrency=1)
    assert times[1] - times[0] >= 77.0


async def test_no_more_stores_are_in_flight_than_asked_for_and_the_largest_go_first() -> None:
    watched = Watched()
    await watched.deploy(concurrency=3)
    assert watched.most == 3
    sizes = [size for size, _ in watched.asked]
    assert sizes[0] in sorted(sizes)[-5:], "of the first five that are named"
    assert sizes[-1] in sorted(sizes)[:5]


async def test_no_more_bodies_are_sent_at_once_than_asked_for() -> None:
    watched, sending, most = Watched(), 0, 0
    inner = watched.world.store.store

    async def store(request: StoreRequest, release: Release, *, at: int = 0) -> StoreReceipt:
        nonlocal sending, most
        sending += 1
        most = max(most, sending)

        async def sent() -> None:
            nonlocal sending
            await release()
            sending -= 1

        return await inner(request, sent, at=at)

    watched.world.store.store = store  # type: ignore[method-assign]
    await watched.deploy(concurrency=16, max_bodies=1)
    assert (most, watched.most > 1) == (1, True)


async def test_who_waits_for_a_turn_has_written_no_intent() -> None:
    watched, under_way = Watched(), 0
    intents: list[int] = []
    inner = watched.world.journal.append

    async def append(owner: Any, changes: Any) -> Any:
        nonlocal under_way
        for change in changes:
            if change.data.get("kind") == "store":
                under_way += change.type == events.EFFECT_INTENT
                under_way -= change.type == events.EFFECT_DONE
                intents.append(under_way)
        return await inner(owner, changes)

    watched.world.journal.append = append  # type: ignore[method-assign]
    await watched.deploy(concurrency=2)
    assert (max(intents), intents[-1]) == (2, 0)


async def test_names_of_later_stores_are_known_while_the_first_one_is_sent() -> None:
    watched, named_before = Watched(), []

    def look(moment: str, _: BlobId) -> None:
        if moment == "paid" and not named_before:
            (deployment,) = watched.world.disk.events
            past = watched.world.disk.events[deployment]
            named_before.append(sum(event.type == events.STORE_NAMED for event in past))

    watched.world.store.faults = look  # type: ignore[assignment]
    await watched.deploy(concurrency=1)
    assert named_before == [3], "one that is sent, and two more"


async def test_several_publishers_work_side_by_side() -> None:
    watched = Watched()
    watched.world.store.publishers = 2
    await watched.deploy(concurrency=4)
    assert {at for _, at in watched.asked} == {0, 1}


async def test_a_publisher_that_takes_large_bodies_gets_what_another_one_refuses() -> None:
    watched = Watched()
    watched.world.store.publishers = 2

    def fails(request: StoreRequest, at: int) -> WalrusError | None:
        large = sum(part.size for part in request.parts) > 50
        return StorageError("body_too_large", "small ones only") if at == 0 and large else None

    watched.fails = fails
    feed = Feed()
    await watched.deploy(recovery=NO_RETRY, feed=feed)
    assert feed.now.retries == 0
    assert set(watched.world.paid().values()) == {1}


async def test_what_no_publisher_takes_is_an_error_of_the_last_one() -> None:
    watched = Watched()
    watched.world.store.publishers = 2
    watched.fails = lambda request, at: StorageError("body_too_large", f"not at {at}")
    with pytest.raises(StorageError, match="body_too_large"):
        await watched.deploy()
    assert {at for _, at in watched.asked} == {0, 1}


async def test_a_store_that_fails_for_good_lets_nothing_new_begin() -> None:
    watched = Watched()
    watched.fails = lambda *_: StorageError("blob_blocked", "no")
    with pytest.raises(StorageError, match="blob_blocked"):
        await watched.deploy(concurrency=2)
    assert len(watched.asked) <= 2


async def test_the_chain_is_not_asked_before_each_store() -> None:
    watched, reads = Watched(), 0
    inner = watched.world.chain.state

    async def state() -> Any:
        nonlocal reads
        reads += 1
        return await inner()

    watched.world.chain.state = state  # type: ignore[method-assign]
    await watched.world.plan(max_quilt_files=1)
    planning = reads
    reads = 0
    await watched.deploy()
    assert reads - planning < len(FILES)


async def test_a_progress_view_hears_that_publishers_are_busy() -> None:
    watched, said = Watched(), []

    def fails(*_: Any) -> WalrusError | None:
        return busy(retry_after=50) if anyio.current_time() < 1.0 else None

    watched.fails = fails

    def view(progress: Progress) -> None:
        said.append(progress.waiting)

    await watched.deploy(feed=Feed(view))
    assert any(text.startswith("the publishers are busy") for text in said)
    assert said[-1] == ""
