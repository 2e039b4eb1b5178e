"""Rates and ends: what is told of the speed of a deployment, and that its end goes away with a reason only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.samples import Sample
from walrus_sdk.model.views import Eta, Rates
from walrus_sdk.watch.rates import Estimate, Meter, Run, counted_bytes, estimate, learn, observe, revise

MB = 1_000_000
START = 1_800_000_000_000
PAST = (Run(60.0, 600 * MB, 4.0, 10.0, 200), Run(50.0, 600 * MB, 3.0, 8.0, 200), Run(75.0, 600 * MB, 5.0, 12.0, 200))


def storing(
    second: float, confirmed: int, sending: int = 0, *, total: int = 600 * MB, incarnation: int = 1, sent: int = 0
) -> Sample:
    """A sample of an upload `second` seconds after its start."""
    progress = Progress(
        Phase.STORE,
        files_found=500,
        stores_total=10,
        bytes_total=total,
        bytes_confirmed=confirmed,
        bytes_sent=sent or confirmed + sending,
    )
    wire = {"store-0001": sending} if sending else {}
    return Sample(1, START + round(second * 1000), incarnation, progress, {Phase.STORE: second}, wire)


def seen(samples: Sequence[Sample]) -> Meter:
    meter = Meter()
    for sample in samples:
        meter = observe(meter, sample)
    return meter


# ── rates ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_byte_on_the_wire_counts_half_until_it_is_confirmed() -> None:
    assert counted_bytes(storing(1, 10, 4)) == 12


def test_a_steady_upload_has_its_rate() -> None:
    meter = seen([storing(second / 2, second * MB) for second in range(1, 40)])
    assert meter.rates.now == pytest.approx(2 * MB)
    assert meter.rates.smooth == pytest.approx(2 * MB)


def test_a_quilt_that_is_confirmed_at_once_is_no_jump_of_the_smoothed_rate() -> None:
    even = [storing(second / 2, second * MB) for second in range(1, 40)]
    quilt = seen([*even, storing(20, 59 * MB)])  # 20 MB in half a second
    assert quilt.rates.now == pytest.approx(40 * MB)
    assert quilt.rates.smooth is not None
    assert 2 * MB < quilt.rates.smooth < 4 * MB


def test_repeated_sends_count_for_what_leaves_and_not_for_what_is_stored() -> None:
    meter = seen([storing(0, 0), storing(1, 0, 2 * MB), storing(2, 0, 2 * MB, sent=5 * MB)])
    assert meter.rates.now == 3 * MB
    assert meter.rates.smooth is not None
    assert meter.rates.smooth <= MB


def test_what_a_new_owner_takes_over_was_not_stored_at_any_rate() -> None:
    before = seen([storing(1, MB), storing(2, 2 * MB)])
    after = observe(before, storing(60, 400 * MB, incarnation=2))
    assert after.rates == Rates()
    assert observe(after, storing(61, 401 * MB, incarnation=2)).rates == Rates(MB, MB)


def test_a_clock_that_was_set_back_begins_anew() -> None:
    assert observe(seen([storing(1, MB), storing(2, 2 * MB)]), storing(1, 3 * MB)).rates == Rates()


# ── history and estimates ─────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_learnt_from_deployments_that_one_owner_brought_to_their_end() -> None:
    progress = Progress(Phase.DONE, bytes_total=9, bytes_confirmed=9, checks_total=4, checks_done=4)
    whole = Sample(1, START, 1, progress, {Phase.STORE: 3.0, Phase.CHAIN: 2.0, Phase.VERIFY: 1.0})
    resumed, failed = replace(whole, incarnation=2), replace(whole, progress=replace(progress, phase=Phase.CHAIN))
    assert learn([None, whole, resumed, failed]) == (Run(3.0, 9, 2.0, 1.0, 4),)


def test_nothing_is_told_where_nothing_tells_it() -> None:
    assert estimate(storing(0, 0), Rates(), (), START) is None


def test_before_the_first_byte_is_stored_history_tells_scaled_by_bytes() -> None:
    found = estimate(storing(0, 0, total=300 * MB), Rates(), PAST, START)
    assert found is not None
    assert found.seconds == pytest.approx(30 + 4 + 10)
    assert found.low_s < found.seconds < found.high_s
    assert found.basis == "by 3 earlier deployments"


def test_deployments_of_another_size_tell_nothing_of_uploads() -> None:
    assert estimate(storing(0, 0, total=10_000 * MB), Rates(), PAST, START) is None


def test_the_more_is_done_the_more_its_own_rate_counts() -> None:
    slow = Rates(MB, MB)  # a tenth of what it was before
    at = [estimate(storing(60, done * MB), slow, PAST, START + 60_000) for done in (1, 300, 599)]
    found = [one.seconds - 14 for one in at if one is not None]
    alone = [600.0 - done for done in (1, 300, 599)]
    assert found[0] < 0.1 * alone[0]
    assert 0.4 * alone[1] < found[1] < alone[1]
    assert found[2] == pytest.approx(alone[2], rel=0.01)


@pytest.mark.parametrize("before_s", [(), (60,), (100, 90, 110), (600,), (550, 600, 700), (6000,)])
@pytest.mark.parametrize("owner", [1, 2])
def test_of_a_steady_upload_the_truth_lies_in_the_told_band_whatever_history_says(
    before_s: tuple[int, ...], owner: int
) -> None:
    past = tuple(Run(float(took), 600 * MB, 4.0, 10.0, 200) for took in before_s)
    for second in range(10, 600, 10):
        sample = storing(second, second * MB, incarnation=owner)
        found = estimate(sample, Rates(MB, MB), past, sample.wall_ms)
        assert found is not None
        truth = 600 - second + (14 if past else 15)
        assert found.low_s <= truth <= found.high_s, f"at {second} s: {found}"
        if before_s and second > 2 * max(before_s):
            assert found.seconds == pytest.approx(truth), f"at {second} s: history is over"
            assert found.basis.startswith("by its rate, what follows by "), "transactions and reading back"


def test_what_it_took_before_counts_down_while_nothing_is_stored_yet() -> None:
    at = [estimate(storing(second, 0), Rates(), PAST, START + second * 1000) for second in (0, 20)]
    assert [one.seconds for one in at if one is not None] == [60 + 14, 40 + 14]


def test_after_the_uploads_only_what_comes_is_left() -> None:
    on_chain = replace(storing(60, 600 * MB), progress=Progress(Phase.CHAIN, files_found=500))
    found = estimate(replace(on_chain, phases_s={Phase.CHAIN: 1.0}), Rates(), PAST, START + 60_000)
    assert found is not None
    assert found.seconds == pytest.approx(3 + 10)
    checking = Progress(Phase.VERIFY, checks_total=200, checks_done=50)
    reading = replace(on_chain, progress=checking, phases_s={Phase.VERIFY: 5.0})
    left = estimate(reading, Rates(), (), START + 60_000)
    assert left is not None
    assert left.seconds == pytest.approx(15)
    assert estimate(replace(reading, progress=Progress(Phase.DONE)), Rates(), PAST, START) is None


def test_time_since_the_sample_is_spent_too() -> None:
    sample, rates = storing(60, 300 * MB), Rates(5 * MB, 5 * MB)
    now, later = (estimate(sample, rates, (), START + 60_000 + ms) for ms in (0, 10_000))
    assert now is not None
    assert later is not None
    assert now.seconds - later.seconds == pytest.approx(10)


# ── what is told ──────────────────────────────────────────────────────────────────────────────────────────────────

STORING = Progress(Phase.STORE, bytes_total=100 * MB, transactions_total=1, checks_total=9)
THEN = (STORING, Rates(2 * MB, 2 * MB))
TOLD = Eta(START, 100.0, 80.0, 130.0, "by its rate")


def told(seconds: float, now: tuple[Progress, Rates] = THEN, after_s: float = 10.0) -> Eta:
    found = revise(
        TOLD, Estimate(seconds, seconds / 2, seconds * 2, "by its rate"), START + int(after_s * 1000), THEN, now
    )
    assert found is not None
    return found


def test_an_end_comes_nearer_by_itself() -> None:
    assert told(90).finish_ms == TOLD.finish_ms
    assert told(93).finish_ms == TOLD.finish_ms, "a little later is the same end"


def test_a_gain_is_told_little_by_little() -> None:
    assert TOLD.finish_ms - 60_000 < told(30).finish_ms < TOLD.finish_ms


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ((replace(STORING, waiting="the publisher is busy"), THEN[1]), "the publisher is busy"),
        ((replace(STORING, retries=3), THEN[1]), "3 tried again"),
        ((replace(STORING, bytes_total=150 * MB), THEN[1]), "50.0 MB more to store"),
        ((replace(STORING, transactions_total=3), THEN[1]), "2 transactions more"),
        ((replace(STORING, checks_total=20), THEN[1]), "11 files more to read back"),
        ((STORING, Rates(MB, MB)), "slower: 1.0 MB/s, was 2.0 MB/s"),
        (THEN, "answers to stores take longer than expected"),
        ((replace(STORING, phase=Phase.CHAIN), THEN[1]), "transactions take longer than expected"),
    ],
)
def test_an_end_that_goes_away_says_why(now: tuple[Progress, Rates], reason: str) -> None:
    later = told(200, now)
    assert later.finish_ms == START + 210_000
    assert later.reason == reason


def test_without_an_estimate_what_was_told_stands_until_it_is_over() -> None:
    later = revise(TOLD, None, START + 10_000, THEN, THEN)
    assert later is not None
    assert (later.finish_ms, later.seconds, later.low_s) == (TOLD.finish_ms, 90.0, 70.0)
    assert revise(TOLD, None, START, THEN, (replace(STORING, phase=Phase.DONE), Rates())) is None
    assert revise(None, None, START, THEN, THEN) is None


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0.1, 5)), min_size=1, max_size=40))
def test_an_end_never_goes_away_without_a_reason_and_always_lies_in_its_band(steps: list[tuple[float, float]]) -> None:
    eta, now_s = None, 0.0
    for left, pause in steps:
        now_s += pause
        found = Estimate(left, left * 0.7, left * 1.5, "by its rate")
        before, eta = eta, revise(eta, found, START + round(now_s * 1000), THEN, THEN)
        assert eta is not None
        assert 0 <= eta.low_s <= eta.seconds <= eta.high_s
        if before is not None and eta.finish_ms > max(before.finish_ms, eta.at_ms) + 1:
            assert eta.reason
