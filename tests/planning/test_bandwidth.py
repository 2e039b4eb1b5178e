"""The bucket behind ``--max-bandwidth``, by arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walrus_sdk.planning.bandwidth import Bucket


def test_bytes_wait_until_those_before_them_have_gone_out_but_for_a_quarter_of_a_second() -> None:
    bucket, delays = Bucket(1000), []
    for _ in range(4):
        bucket, delay = bucket.take(0.0, 500)
        delays.append(delay)
    assert delays == [0.0, 0.25, 0.75, 1.25]


def test_time_without_bytes_is_not_saved_up() -> None:
    bucket, _ = Bucket(1000).take(0.0, 500)
    bucket, delay = bucket.take(100.0, 500)
    assert delay == 0
    assert bucket.take(100.0, 1)[1] == pytest.approx(0.25)


def test_bytes_that_did_not_leave_are_given_back() -> None:
    full, _ = Bucket(1000).take(0.0, 500)
    taken, _ = full.take(0.0, 300)
    assert taken.give_back(300) == full


@given(
    rate=st.integers(1, 10**9),
    takes=st.lists(st.tuples(st.floats(0, 10), st.integers(0, 2**20)), min_size=1, max_size=50),
)
def test_no_stretch_of_time_sees_more_than_its_share(rate: int, takes: list[tuple[float, int]]) -> None:
    bucket, now, sent = Bucket(rate), 0.0, []
    for pause, wanted in takes:
        now += pause
        size = min(wanted, bucket.portion)
        bucket, delay = bucket.take(now, size)
        sent.append((now + delay, size))
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            span = sent[last][0] - sent[first][0]
            total = sum(size for _, size in sent[first : last + 1])
            assert total <= rate * (span + 0.25) * (1 + 1e-9) + bucket.portion + 1


@pytest.mark.parametrize(("rate", "portion"), [(1024, 1024), (100_000, 25_000), (50 * 2**20, 2**20)])
def test_a_portion_is_a_quarter_of_a_second_within_bounds(rate: int, portion: int) -> None:
    assert Bucket(rate).portion == portion
