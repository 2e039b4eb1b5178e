"""A deployment as it stands: what is folded from events and samples, at every moment of real and of broken runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from walrus_sdk.model import events
from walrus_sdk.model.deployment import Event
from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.reports import DeploymentSummary
from walrus_sdk.model.samples import Sample
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.model.views import DeploymentView, Step
from walrus_sdk.testing import SimulatedWorld, at_point
from walrus_sdk.watch.snapshot import Watched, advance, begin, view

pytestmark = pytest.mark.anyio

FILES = {"index.html": b"home", **{f"page-{n}.html": b"<p>%d</p>" % n for n in range(7)}}
OPTIONS: dict[str, Any] = {"max_quilt_files": 2, "concurrency": 2}
ONE = DeploymentId("deploy_1800000000001_00000001")
SUMMARY = DeploymentSummary(ONE, "tides", "local", "uploading", 0.0, 1_800_000_000_000, resumable=True)
ROWS = [
    {"path": "/a", "size": 100, "sha256": "aa", "operation": "store-0001"},
    {"path": "/b", "size": 300, "sha256": "bb", "operation": "store-0001"},
    {"path": "/c", "size": 50, "sha256": "cc", "operation": "store-0002"},
    {"path": "/d", "size": 7, "sha256": "dd", "operation": None},
]


def event(number: int, type_: str, **data: Any) -> Event:
    return Event(ONE, number, 1, 1_800_000_000_000 + number * 1000, float(number), type_, data)


INTENT = event(1, events.EFFECT_INTENT, kind="store", name="blob-1", operation="store-0001", attempt=1)
RELEASED = event(2, events.EFFECT_RELEASED, kind="store", name="blob-1")
LOST = event(
    3, events.EFFECT_UNKNOWN, kind="store", name="blob-1", operation="store-0001", code="timeout_read", message="late"
)
DONE = event(
    4, events.EFFECT_DONE, kind="store", name="blob-1", operation="store-0001", how="done", outcome={"cost_frost": "70"}
)


def seen(watched: Watched, *, live: bool = True, **how: Any) -> DeploymentView:
    return view(watched, SUMMARY, 1_800_000_020_000, live=live, **how)


def folded(past: Sequence[Event], samples: Sequence[Sample] = (), rows: Sequence[Mapping[str, Any]] = ROWS) -> Watched:
    return advance(begin(rows), past, samples, 1_800_000_020_000)


async def history(world: SimulatedWorld) -> tuple[Sequence[Event], Sequence[Mapping[str, Any]]]:
    """The events and files of the newest deployment of a world."""
    row = list(world.disk.tables["deployments"].values())[-1]
    past = await world.journal.events(DeploymentId(row["id"]))
    return past, await world.journal.rows("entries", {"deployment": row["id"]})


async def test_every_moment_of_a_deployment_is_between_the_one_before_and_its_end() -> None:
    world = SimulatedWorld(FILES)
    await world.deploy(**OPTIONS)
    past, entries = await history(world)
    watched, before = begin(entries), (0, 0, 0)
    for one in past:
        watched = advance(watched, [one], (), one.wall_ms)
        now = seen(watched)
        counts = (now.files_done, now.bytes_done, now.progress.stores_confirmed)
        assert all(a <= b for a, b in zip(before, counts, strict=True))
        assert sum(now.steps.values()) == len(now.operations)
        before = counts
    assert (now.files_done, now.bytes_done) == (now.files_total, now.bytes_total) == (8, sum(map(len, FILES.values())))
    assert now.phase is Phase.DONE
    assert set(now.steps) == {Step.DONE}
    assert now.paid_frost == sum(row["cost_frost"] for row in world.net.blobs.ledger() if row["paid"])
    assert now.progress.transactions_confirmed == now.progress.transactions_total == 1


async def test_folding_at_once_and_one_by_one_is_the_same() -> None:
    world = SimulatedWorld(FILES)
    await world.deploy(**OPTIONS)
    past, entries = await history(world)
    watched = begin(entries)
    for one in past:
        watched = advance(watched, [one], (), 0)
    assert watched == advance(begin(entries), past, (), 0)


async def test_a_deployment_that_died_and_went_on_is_seen_to_its_end() -> None:
    world = SimulatedWorld(FILES)
    await world.dies("store.do.after", lambda: world.deploy(**OPTIONS))
    past, entries = await history(world)
    left = seen(advance(begin(entries), past, (), 0), live=False)
    assert left.files_done < left.files_total
    assert [item.on for item in left.waiting] == [f"somebody who goes on: walrus-sdk resume {ONE}"]
    await world.deploy(**OPTIONS)
    past, entries = await history(world)
    now = seen(advance(begin(entries), past, (), 0))
    assert now.files_done == now.files_total
    assert set(now.steps) == {Step.DONE}


async def test_after_a_death_anywhere_and_going_on_all_is_seen_as_done() -> None:
    whole = SimulatedWorld(FILES)
    await whole.deploy(**OPTIONS)
    for number in range(1, len(whole.life.points) + 1):
        world = SimulatedWorld(FILES)
        assert await world.dies(at_point(number), lambda world=world: world.deploy(**OPTIONS))  # type: ignore[misc]
        result = await world.deploy(**OPTIONS)
        now = await world.session.progress(result.deployment_id)
        assert (now.files_done, now.files_total, now.phase) == (8, 8, Phase.DONE), f"point {number}"
        assert set(now.steps) <= {Step.DONE, Step.FAILED}, f"point {number}"
        assert now.waiting == ()


async def test_what_was_taken_over_from_a_checkpoint_is_seen_to_its_end_elsewhere() -> None:
    world = SimulatedWorld(FILES)
    await world.dies("transaction.do.after", lambda: world.deploy(**OPTIONS))
    name = max(name for name in world.disk.checkpoints if "transaction" in name)
    world.net.chain.advance_sui_epoch(2)
    elsewhere = world.elsewhere()
    result = await elsewhere.session.resume(checkpoint=Path("/checkpoints") / name)
    now = await elsewhere.session.progress(result.deployment_id)
    assert (now.files_done, now.phase) == (8, Phase.DONE)


def test_equal_contents_are_stored_once_and_are_two_files() -> None:
    twice = [*ROWS, {"path": "/a2", "size": 100, "sha256": "aa", "operation": "store-0001"}]
    one = begin(twice).operations["store-0001"]
    assert (one.files, one.size) == (3, 400)


def test_what_was_stored_before_is_done_from_the_start() -> None:
    now = seen(folded([]))
    assert (now.files_done, now.bytes_done, now.files_total, now.bytes_total) == (1, 7, 4, 457)
    assert now.share == 0.25


@pytest.mark.parametrize(
    ("past", "step"),
    [
        ([INTENT], Step.BEGUN),
        ([INTENT, RELEASED], Step.SENT),
        ([INTENT, RELEASED, LOST], Step.UNKNOWN),
        ([INTENT, RELEASED, LOST, DONE], Step.DONE),
    ],
)
def test_an_operation_goes_step_by_step(past: list[Event], step: Step) -> None:
    now = seen(folded(past))
    assert now.operations["store-0001"].step is step
    assert now.steps[step] == 1


def test_what_waits_on_what_is_said_with_since_when() -> None:
    sent, lost = (seen(folded(past)).waiting for past in ([INTENT, RELEASED], [INTENT, RELEASED, LOST]))
    assert [(item.what, item.on, item.since_ms) for item in sent] == [
        ("store-0001", "the publisher's answer", RELEASED.wall_ms)
    ]
    assert [(item.what, item.since_ms) for item in lost] == [("store-0001", LOST.wall_ms)]
    assert "its answer was lost" in lost[0].on


def test_failures_are_told_with_their_operation_and_counted_as_retries() -> None:
    now = seen(folded([INTENT, RELEASED, LOST]))
    assert now.retries == 1
    assert [(error.code, error.message, error.operation) for error in now.errors] == [
        ("timeout_read", "late", "store-0001")
    ]
    assert seen(folded([INTENT, RELEASED, LOST, DONE])).operations["store-0001"].code == "", "it is mended"


TAKEN = Event(ONE, 9, 2, 1_800_000_009_000, 9.0, events.DEPLOYMENT_TAKEN_UP, {"incarnation": 2})


@pytest.mark.parametrize(("past", "step"), [([INTENT], Step.NAMED), ([INTENT, RELEASED], Step.UNKNOWN)])
def test_nothing_of_a_dead_owner_is_under_way_when_another_goes_on(past: list[Event], step: Step) -> None:
    was_sending = [sample(1, bytes_sent=200, sending={"store-0001": 200})]
    operation = seen(folded([*past, TAKEN], was_sending)).operations["store-0001"]
    assert (operation.step, operation.sent) == (step, 0)


def test_what_another_machine_had_sent_and_was_taken_over_is_looked_for() -> None:
    facts = {"kind": "store", "name": "blob-1", "operation": "store-0001", "how": "imported", "attempt": 1}
    imported = event(1, events.EFFECT_RELEASED, **facts)
    assert seen(folded([imported])).operations["store-0001"].step is Step.SENT
    assert seen(folded([imported, TAKEN])).operations["store-0001"].step is Step.UNKNOWN


FINAL = {"kind": "transaction", "name": "digest", "operation": "transaction-0001", "how": "done"}


@pytest.mark.parametrize("how", ["done", "found"])
def test_a_transaction_that_is_final_and_failed_is_not_confirmed(how: str) -> None:
    outcome = {"gas": 7, "ok": False, "failure": "MOVE_ABORT", "message": "aborted in site"}
    now = seen(folded([event(5, events.EFFECT_DONE, **{**FINAL, "how": how}, outcome=outcome)]))
    operation = now.operations["transaction-0001"]
    assert (operation.step, operation.code, operation.message) == (Step.FAILED, "move_abort", "aborted in site")
    assert (now.progress.transactions_confirmed, now.progress.transactions_total) == (0, 1)
    assert [error.code for error in now.errors] == ["move_abort"]
    assert now.paid_mist == 7


def test_a_signed_transaction_that_can_never_happen_has_failed() -> None:
    signed = event(5, events.TRANSACTION_SIGNED, digest="digest", step=1)
    dead = event(6, events.TRANSACTION_DEAD, digest="digest", code="never_sent")
    assert seen(folded([signed])).operations["transaction-0001"].step is Step.NAMED
    now = seen(folded([signed, dead]))
    assert (now.operations["transaction-0001"].step, now.operations["transaction-0001"].code) == (
        Step.FAILED,
        "never_sent",
    )
    assert now.retries == 0, "nothing was tried"


def test_a_store_that_is_sent_twice_is_sent_once_of_what_there_is() -> None:
    again = [event(4, events.EFFECT_INTENT, **INTENT.data | {"attempt": 2}), event(5, RELEASED.type, **RELEASED.data)]
    assert seen(folded([INTENT, RELEASED, LOST, *again])).progress.bytes_sent == 400


def test_a_failure_is_told_of_its_operation_until_it_is_done() -> None:
    again = event(4, events.EFFECT_INTENT, **INTENT.data | {"attempt": 2})
    operation = seen(folded([INTENT, RELEASED, LOST, again])).operations["store-0001"]
    assert (operation.step, operation.attempts, operation.code) == (Step.BEGUN, 2, "timeout_read")


def test_a_try_that_failed_while_an_earlier_one_is_open_leaves_it_open() -> None:
    again = event(4, events.EFFECT_INTENT, **INTENT.data | {"attempt": 2})
    refused = event(5, events.EFFECT_FAILED, **LOST.data | {"code": "store_failed", "open": True})
    operation = seen(folded([INTENT, RELEASED, LOST, again, refused])).operations["store-0001"]
    assert (operation.step, operation.code) == (Step.UNKNOWN, "store_failed")


def test_gas_and_stores_that_may_have_been_paid_in_vain_are_told() -> None:
    effect = {"kind": "transaction", "name": "digest", "operation": "transaction-0001"}
    final = event(5, events.EFFECT_DONE, **effect, how="done", outcome={"gas": 55, "ok": True})
    again = event(6, events.SECOND_PAYMENT_POSSIBLE, kind="store", name="blob-1")
    now = seen(folded([INTENT, RELEASED, LOST, final, again]))
    assert (now.paid_mist, now.possibly_paid_in_vain) == (55, 1)
    assert (now.to_json()["paid_mist"], now.to_json()["possibly_paid_in_vain"]) == ("55", 1)


def sample(number: int, *, incarnation: int = 1, sending: Mapping[str, int] | None = None, **facts: Any) -> Sample:
    progress = Progress(Phase.STORE, stores_total=2, bytes_total=450, **facts)
    return Sample(
        number, 1_800_000_000_000 + number * 1000, incarnation, progress, {Phase.STORE: number}, sending or {}
    )


def test_bytes_on_the_wire_belong_to_their_store_and_its_files() -> None:
    now = seen(folded([INTENT], [sample(2, bytes_sent=200, sending={"store-0001": 200})]), files=3)
    assert now.operations["store-0001"].sent == 200
    assert [(file.path, file.sent) for file in now.files] == [("/a", 50), ("/b", 150), ("/c", 0)]


def test_failed_and_active_files_are_shown_first_and_no_more_than_asked_for() -> None:
    watched = folded([INTENT, RELEASED, LOST])
    assert [file.path for file in seen(watched, files=9).files] == ["/a", "/b", "/c", "/d"]
    done = folded([INTENT, RELEASED, DONE])
    assert [file.path for file in seen(done, files=9).files] == ["/c", "/a", "/b", "/d"]
    assert [file.path for file in seen(done, files=2).files] == ["/c", "/a"]
    assert seen(done).files == ()


def test_a_sample_of_an_owner_that_was_fenced_off_tells_nothing() -> None:
    new, old = sample(5, incarnation=2, bytes_confirmed=400), sample(6, incarnation=1, bytes_confirmed=9)
    assert folded([INTENT], [new, old]).sample == new


def test_a_new_owner_is_seen_by_its_events_until_its_first_sample() -> None:
    old = sample(3, bytes_sent=222)
    taken = Event(ONE, 5, 2, 1_800_000_009_000, 9.0, events.DEPLOYMENT_TAKEN_UP, {"incarnation": 2})
    assert seen(folded([INTENT], [old])).progress.bytes_sent == 222
    assert seen(folded([INTENT, RELEASED, DONE, taken], [old])).progress.bytes_confirmed == 400


def test_nothing_moves_while_only_beats_come() -> None:
    one, beat = sample(3, bytes_sent=10), sample(13, bytes_sent=10)
    assert folded([INTENT], [one, beat]).moved_ms == one.wall_ms
    assert seen(folded([INTENT], [one, beat])).idle_s == 17.0


def test_another_try_is_no_progress_in_a_view_as_in_an_alert() -> None:
    again = event(9, events.EFFECT_INTENT, **INTENT.data | {"attempt": 2})
    tried = [sample(3, bytes_sent=10), sample(13, bytes_sent=10, retries=1)]
    assert folded([INTENT, RELEASED, LOST, again], tried).moved_ms == sample(3).wall_ms


def test_rates_and_ends_are_told_of_what_is_under_way_only() -> None:
    moving = folded([INTENT], [sample(n, bytes_confirmed=40 * n) for n in range(1, 8)])
    assert seen(moving).rates.now is not None
    assert seen(moving).eta is not None
    stopped = seen(moving, live=False)
    assert (stopped.rates.now, stopped.eta) == (None, None)


def test_a_view_is_json_with_decimal_amounts() -> None:
    facts = seen(folded([INTENT, RELEASED, DONE])).to_json()
    assert (facts["paid_frost"], facts["phase"], facts["steps"]) == ("70", "plan", {"planned": 1, "done": 1})
    assert facts["deployment_id"] == str(ONE)


PAUSED = event(5, events.DEPLOYMENT_PAUSED, reason="")
CONTINUED = event(6, events.DEPLOYMENT_CONTINUED)


def test_a_pause_is_seen_at_once_with_how_to_go_on_and_without_an_end() -> None:
    moving = folded([INTENT], [sample(n, bytes_confirmed=40 * n) for n in range(1, 5)])
    paused = seen(advance(moving, [PAUSED], (), 1_800_000_020_000))
    assert paused.progress.paused
    assert paused.waiting[0].on == f"somebody who lets it go on: walrus-sdk continue {ONE}"
    assert (seen(moving).eta is None, paused.eta) == (False, None)


def test_an_end_after_a_pause_says_that_there_was_one_and_its_rate_is_that_from_before() -> None:
    moving = folded([INTENT], [sample(n, bytes_confirmed=40 * n) for n in range(1, 5)])
    still = [sample(n, bytes_confirmed=160, paused=True) for n in range(6, 60)]
    paused = advance(moving, [PAUSED], still, 1_800_000_060_000)
    on = advance(paused, [CONTINUED], [sample(61, bytes_confirmed=160)], 1_800_000_061_000)
    assert paused.meter.rates.smooth == moving.meter.rates.smooth
    assert on.eta is not None
    assert on.eta.reason == "it was paused"
    assert not seen(on).progress.paused


def test_an_end_after_a_death_says_that_it_was_interrupted() -> None:
    moving = folded([INTENT], [sample(n, bytes_confirmed=40 * n) for n in range(1, 5)])
    taken = Event(ONE, 5, 2, 1_800_000_009_000, 9.0, events.DEPLOYMENT_TAKEN_UP, {"incarnation": 2})
    anew = [sample(n, incarnation=2, bytes_confirmed=160 + 10 * n) for n in range(20, 24)]
    on = advance(moving, [PAUSED, taken], anew, 1_800_000_024_000)
    assert on.eta is not None
    assert on.eta.reason == "it was interrupted"
    assert not on.paused, "a pause is for the process that it was asked of"
