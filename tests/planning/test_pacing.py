"""The pace of uploads as values: what each answer changes, and which publisher gets the next store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walrus_sdk.errors import (
    ConfigurationError,
    EffectFailed,
    EffectUnknown,
    NetworkError,
    ProtocolError,
    StorageError,
    ValidationError,
    WalrusError,
)
from walrus_sdk.planning import pacing
from walrus_sdk.planning.pacing import START, Answer, Lane, Line, Outcome, Pace, answered, choose, limit

MB = 1_000_000


def stored(seconds: float = 6.0, *, now: float = 100.0, size: int = 2 * MB, in_flight: int = 99) -> Answer:
    """An answer `seconds` after the last byte, which took no time to send."""
    return Answer(Outcome.STORED, size, now - seconds, now - seconds, now, in_flight, in_flight)


def refused(now: float = 100.0, *, began: float = 99.0, in_flight: int = 9, retry_after_s: float = 0.0) -> Answer:
    return Answer(Outcome.REFUSED, 2 * MB, began, None, now, in_flight, in_flight, retry_after_s)


def failed(now: float = 100.0, *, began: float = 99.0, retry_after_s: float = 0.0) -> Answer:
    return Answer(Outcome.FAILED, 2 * MB, began, None, now, 9, 9, retry_after_s)


def after(pace: Pace, *answers: Answer) -> Pace:
    for answer in answers:
        pace = answered(pace, answer)
    return pace


# ── how many ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_publisher_begins_with_what_a_default_one_serves_or_with_less_when_that_is_all_that_is_allowed() -> None:
    assert limit(Pace(16)) == START == 8
    assert limit(Pace(3)) == 3


def test_slow_start_allows_one_more_for_each_answer_in_time_up_to_what_the_user_allows() -> None:
    assert [limit(after(Pace(16), *[stored()] * n)) for n in (1, 4, 8, 50)] == [9, 12, 16, 16]


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    assert limit(after(Pace(16), *[stored(in_flight=3)] * 20)) == START
    assert limit(after(Pace(16), stored(in_flight=4))) == START + 1, "half of it is use enough in slow start"
    calm = replace(Pace(16), is_starting=False)
    assert limit(after(calm, *[stored(in_flight=7)] * 20)) == START


def test_after_slow_start_a_full_round_of_answers_allows_one_more() -> None:
    calm = replace(Pace(16), is_starting=False)
    assert limit(after(calm, *[stored()] * 7)) == START
    assert limit(after(calm, *[stored()] * 9)) == START + 1


def test_a_refusal_ends_slow_start_and_cuts_once_for_all_that_was_sent_before() -> None:
    pace = after(Pace(64, allowed=20.0), refused(now=100.0, in_flight=20))
    assert (limit(pace), pace.is_starting) == (14, False)
    assert limit(after(pace, refused(now=101.0, began=99.5), refused(now=102.0, began=99.9))) == 14
    assert limit(after(pace, refused(now=103.0, began=100.5))) == 9


def test_what_was_refused_is_tried_again_with_care_and_slow_start_begins_anew_once_it_was_taken() -> None:
    pace = replace(after(Pace(64, allowed=10.0), refused(in_flight=10)), allowed=9.0, free_s=0.0)
    calm = replace(Pace(64, allowed=9.0), is_starting=False)
    assert limit(after(calm, *[stored(now=200.0, in_flight=9)] * 10)) == 10
    assert limit(after(pace, *[stored(now=200.0, in_flight=9)] * 10)) == 9, "five times as many are needed"
    assert limit(after(pace, *[stored(now=200.0, in_flight=9)] * 50)) == 10
    taken = after(pace, stored(now=200.0, in_flight=10))
    assert taken.is_starting
    assert limit(after(taken, stored(now=201.0, in_flight=10))) == 11


def test_what_was_sent_before_a_refusal_does_not_show_that_there_is_room_again() -> None:
    pace = after(Pace(64, allowed=10.0), refused(now=100.0, in_flight=10))
    assert not after(pace, stored(6.0, now=103.0, in_flight=10)).is_starting


def test_the_limit_never_falls_below_one() -> None:
    pace = Pace(16)
    for now in range(100, 200):
        pace = answered(pace, failed(now=float(now), began=now - 0.5))
    assert limit(pace) == 1


# ── pauses ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refusal_rests_the_publisher_longer_each_time_until_something_is_stored() -> None:
    pace, pauses = Pace(16), []
    for now in (100.0, 200.0, 300.0, 400.0):
        pace = answered(pace, refused(now=now, began=now - 1))
        pauses.append(pace.free_s - now)
    assert pauses == [1.0, 2.0, 4.0, 8.0]
    pace = after(pace, stored(now=500.0), refused(now=600.0, began=599.0))
    assert pace.free_s == 601.0


def test_no_pause_that_nobody_asked_for_is_longer_than_a_minute_and_chance_at_most_halves_it() -> None:
    pace = replace(Pace(16), bad=20)
    assert answered(pace, refused()).free_s == 160.0
    assert answered(pace, replace(refused(), jitter=0.0)).free_s == 130.0


@pytest.mark.parametrize("answer", [refused(retry_after_s=90.0), failed(retry_after_s=90.0)], ids=["429", "503"])
def test_the_pause_that_a_publisher_asks_for_is_the_least(answer: Answer) -> None:
    pace = answered(Pace(16), answer)
    assert pace.free_s == 190.0
    late = replace(answer, began_s=0.0, now_s=110.0)
    assert answered(pace, late).free_s == 200.0, "however old the request was that it answered"


def test_three_failures_in_a_row_rest_a_publisher_and_one_store_is_its_probe() -> None:
    pace = after(Pace(16), failed(100.0, began=99.0), failed(102.0, began=101.0))
    assert pace.free_s < 102.0, "a failure or two may be chance"
    pace = after(pace, failed(104.0, began=103.0))
    assert (limit(pace), pace.free_s) == (1, 105.0)
    pace = after(pace, failed(106.0, began=105.5))
    assert pace.free_s == 108.0, "the probe failed"
    assert after(pace, stored(now=110.0)).bad == 0


def test_what_says_nothing_of_the_publisher_changes_nothing() -> None:
    assert answered(Pace(16), replace(failed(), outcome=Outcome.NOTHING)) == Pace(16)


# ── latency ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_late_answers_end_slow_start_then_cut_once_a_round_and_never_below_four() -> None:
    pace = after(Pace(16), *[stored(6.0)] * 4)
    slower = after(pace, stored(12.0, now=120.0), stored(12.0, now=121.0))
    assert (limit(slower), slower.is_starting) == (12, False), "more are late than should be"
    for number in range(12):
        slower = after(slower, stored(12.0, now=122.0 + number / 10))
    assert limit(slower) == 8, "half of them are late: fewer, once for all that were under way"
    for number in range(40):
        slower = after(slower, stored(12.0 + number, now=200.0 + 30 * number))
    assert limit(slower) == 4


def test_a_latency_that_lasts_becomes_the_usual_one() -> None:
    pace = after(Pace(16), *[stored(6.0)] * 20)
    assert limit(after(pace, *[stored(12.0)] * 8, *[stored(12.0, now=110.0)])) < 16
    used = after(pace, *[stored(12.0)] * 200)
    assert used.in_time > 0.8


def test_differences_that_are_noise_beside_a_store_are_not_late() -> None:
    pace = after(Pace(16), *[stored(0.002)] * 4, *[stored(0.2)] * 20)
    assert (limit(pace), pace.in_time) == (16, 1.0)


def test_a_large_body_may_take_longer() -> None:
    def answers(sizes: list[int]) -> list[Answer]:
        return [stored(5.0 + size / (4 * MB), size=size) for size in sizes]

    learnt = answers([1 * MB, 40 * MB, 10 * MB, 30 * MB] * 5)
    large = answers([100 * MB] * 6)  # 30 s each
    assert after(Pace(16), *learnt, *large).in_time > 0.9
    assert after(Pace(16, knows_sizes=False), *learnt, *large).in_time < 0.5


def test_what_was_stored_before_says_nothing_of_how_long_a_store_takes() -> None:
    known = replace(stored(0.05), outcome=Outcome.KNOWN)
    pace = after(Pace(16), *[known] * 3)
    assert (limit(pace), pacing.expected_s(pace, MB)) == (11, None)


def test_the_time_that_is_expected_is_for_sending_and_waiting() -> None:
    pace = answered(Pace(16), Answer(Outcome.STORED, 2 * MB, 10.0, 11.0, 17.0, 8, 8))
    assert pacing.expected_s(pace, 2 * MB) == pytest.approx(7.0)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.floats(0.0, 1000.0)), min_size=1), st.integers(0, 10**9))
def test_a_line_never_tells_negative_time_nor_less_for_more_bytes(seen: list[tuple[int, float]], size: int) -> None:
    line = Line()
    for bytes_, seconds in seen:
        line = line.seen(bytes_, seconds)
    here, there = line.at(size), line.at(size + MB)
    assert here is not None
    assert there is not None
    assert -1e-6 <= here <= there + 1e-6


def test_a_line_finds_a_fixed_time_and_a_time_a_byte() -> None:
    line = Line()
    for size in (1, 50, 20, 10, 35):
        line = line.seen(size * MB, 6.0 + 0.2 * size)
    assert line.at(100 * MB) == pytest.approx(26.0)
    assert Line().at(MB) is None


# ── which publisher ───────────────────────────────────────────────────────────────────────────────────────────────


def known(seconds: float, **values: Any) -> Pace:
    """A publisher that takes so long for any store."""
    return replace(after(Pace(16), stored(seconds)), **{"allowed": 8.0, **values})


def test_the_publisher_that_ends_soonest_gets_the_store() -> None:
    lanes = [Lane(known(18.0)), Lane(known(6.0))]
    assert choose(lanes, MB, 100.0, 2) == (1, True)


def test_one_that_nobody_knows_counts_as_fast_as_the_fastest_and_the_emptier_one_is_taken() -> None:
    assert choose([Lane(known(6.0), in_flight=3), Lane(Pace(16))], MB, 100.0, 2) == (1, True)
    assert choose([Lane(Pace(16)), Lane(Pace(16))], MB, 100.0, 2) == (0, True)
    assert choose([Lane(Pace(16), in_flight=1, sending=1), Lane(Pace(16))], MB, 100.0, 2) == (1, True)


def test_the_last_stores_rather_wait_for_a_fast_publisher_than_go_to_a_slow_one() -> None:
    lanes = [Lane(known(6.0), in_flight=8), Lane(known(18.0))]
    assert choose(lanes, MB, 100.0, 2) == (0, False)
    assert choose(lanes, MB, 100.0, 2, behind=100) == (1, True), "with many behind it the slow one is done before them"


def test_a_publisher_that_rests_or_has_no_place_gets_nothing() -> None:
    resting = Lane(known(6.0, free_s=160.0))
    assert choose([resting], MB, 100.0, 2) == (0, False)
    assert choose([resting, Lane(known(18.0))], MB, 100.0, 2) == (1, True)
    assert choose([Lane(known(6.0), in_flight=8)], MB, 100.0, 2) == (0, False)


def test_no_more_bodies_are_sent_to_a_publisher_than_allowed() -> None:
    assert choose([Lane(known(6.0), in_flight=2, sending=2)], MB, 100.0, 2) == (0, False)
    assert choose([Lane(known(6.0), in_flight=2, sending=1)], MB, 100.0, 2) == (0, True)


def test_large_bodies_go_where_large_bodies_are_quick() -> None:
    base = Pace(16)
    slow_line = [stored(1.0 + size, size=size * MB) for size in (1, 10, 40)]
    quick_line = [stored(10.0 + size / 10, size=size * MB) for size in (1, 10, 40)]
    lanes = [Lane(after(base, *slow_line)), Lane(after(base, *quick_line))]
    assert [choose(lanes, size * MB, 100.0, 2)[0] for size in (1, 40)] == [0, 1]


# ── errors ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NetworkError("rate_limited", "busy"), Outcome.REFUSED),
        (NetworkError("service_unavailable", "down"), Outcome.FAILED),
        (NetworkError("connect_failed", "down"), Outcome.FAILED),
        (StorageError("store_failed", "500"), Outcome.FAILED),
        (ProtocolError("bad_answer", "a login page"), Outcome.FAILED),
        (StorageError("token_used", "again"), Outcome.NOTHING),
        (StorageError("body_too_large", "10 MiB"), Outcome.FAILED),
        (StorageError("token_refused", "another's"), Outcome.FAILED),
        (StorageError("blob_blocked", "no"), Outcome.NOTHING),
        (ValidationError("file_changed", "meanwhile"), Outcome.NOTHING),
        (ConfigurationError("publisher_missing", "none"), Outcome.NOTHING),
    ],
    ids=lambda value: value.code if isinstance(value, WalrusError) else "",
)
def test_an_error_says_something_of_the_publisher_or_not(error: WalrusError, outcome: Outcome) -> None:
    assert pacing.outcome_of(error) is outcome
    assert pacing.outcome_of(EffectFailed("effect_failed", "it failed", cause=error)) is outcome
    assert pacing.outcome_of(EffectUnknown("effect_unsettled", "lost", cause=error)) is outcome


def test_what_one_publisher_will_never_take_may_be_for_another() -> None:
    def failed_by(cause: WalrusError) -> EffectFailed:
        return EffectFailed("effect_failed", "it failed", cause=cause)

    assert pacing.is_for_another(failed_by(StorageError("body_too_large", "10 MiB")))
    assert not pacing.is_for_another(failed_by(StorageError("blob_blocked", "no")))
    assert not pacing.is_for_another(failed_by(NetworkError("rate_limited", "busy")))


def test_a_publisher_that_is_left_out_gets_nothing_though_it_is_faster() -> None:
    assert choose([Lane(known(6.0)), Lane(known(18.0))], MB, 100.0, 2, besides={0}) == (1, True)


def test_a_cancellation_says_nothing_of_the_publisher() -> None:
    assert pacing.outcome_of(KeyboardInterrupt()) is Outcome.NOTHING
    assert pacing.retry_after_of(KeyboardInterrupt()) == 0.0


def test_the_pause_that_was_asked_for_is_read_from_the_cause() -> None:
    asked = EffectFailed("effect_failed", "x", cause=NetworkError("rate_limited", "busy", retry_after=30))
    assert pacing.retry_after_of(asked) == 30.0
    assert pacing.retry_after_of(NetworkError("rate_limited", "busy", retry_after=None)) == 0.0
