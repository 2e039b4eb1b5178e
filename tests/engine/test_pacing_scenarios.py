"""Uploads against a model of publishers, in virtual time: how close to the floor, and how much was sent in vain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from walrus_sdk.model.options import Limits
from walrus_sdk.testing.publishers import POLICIES, SCENARIOS, PublisherModel, Result, Scenario, run

MODEL, LATENCY, AIMD, FIXED = POLICIES
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
MOST_OF_FLOOR = {
    "16 quilts": 1.10,
    "steady, 8 + 8": 1.05,
    "steady, 8 + 8, up to 64 allowed": 1.05,
    "steady, 32 + 8, up to 64 allowed": 1.30,
    "small, 4 + 4": 1.05,
    "small, asks for 20 s": 1.60,
    "brown-out": 1.30,
    "slow start of a publisher": 1.15,
    "two of different speed": 1.15,
    "two, one better with large ones": 1.50,
    "one of two fails for 100 s": 1.30,
    "latency varies": 1.05,
}


def share(result: Result) -> float:
    return result.refused / result.sent


@pytest.mark.parametrize("name", BY_NAME)
def test_uploads_come_near_the_floor_and_hardly_anything_is_sent_in_vain(name: str) -> None:
    scenario = BY_NAME[name]
    result = run(scenario)
    assert sum(result.stored) == len(scenario.sizes)
    assert result.seconds >= scenario.floor_s * 0.999, "nobody gets below the floor"
    assert result.seconds <= MOST_OF_FLOOR[name] * scenario.floor_s
    assert share(result) <= 0.05


def test_a_default_publisher_refuses_at_most_one_body_in_a_hundred() -> None:
    assert run(BY_NAME["steady, 8 + 8"]).refused == 0, "no more are allowed than it serves and buffers"
    free = run(BY_NAME["steady, 8 + 8, up to 64 allowed"])
    assert 0 < free.refused <= 0.01 * free.sent
    assert share(run(BY_NAME["steady, 8 + 8, up to 64 allowed"], FIXED)) > 0.5


def test_ten_thousand_small_files_take_their_bytes_and_one_latency() -> None:
    scenario = BY_NAME["16 quilts"]
    assert run(scenario).seconds <= 1.01 * (sum(scenario.sizes) / scenario.bytes_per_s + 6.0)


def test_sixteen_quilts_are_in_flight_with_two_bodies_on_the_wire() -> None:
    publisher = PublisherModel(slots=lambda _: 16, latency_s=lambda _now, _size: 20.0)
    result = run(Scenario("many quilts", (12_500_000,) * 64, (publisher,)))
    assert (result.peak, result.on_wire) == (16, 2)


def test_more_than_two_bodies_on_the_wire_begin_their_wait_later() -> None:
    scenario = replace(BY_NAME["16 quilts"], bytes_per_s=6_250_000.0)
    crowded = replace(scenario, limits=Limits(bodies=8))
    assert run(scenario).seconds < run(crowded).seconds


def test_names_are_computed_while_others_are_sent() -> None:
    scenario = replace(BY_NAME["16 quilts"], encode_s=1.0)
    assert run(scenario).seconds <= run(BY_NAME["16 quilts"]).seconds + 1.1 * scenario.encode_s


def test_what_is_late_takes_requests_away_before_anything_is_refused() -> None:
    scenario = BY_NAME["steady, 8 + 8, up to 64 allowed"]
    assert run(scenario, MODEL).refused < run(scenario, AIMD).refused
    assert max(limits[0] for limits in run(BY_NAME["latency varies"]).limits[60:]) > 8, "chance is no load"


def test_a_brown_out_is_followed_down_and_up_again() -> None:
    limits = [found[0] for found in run(BY_NAME["brown-out"]).limits]
    before, during, after = max(limits[:60]), min(limits[60:130]), max(limits[130:])
    assert during <= 4 < 8 <= min(before, after)


def test_a_publisher_that_starts_slowly_gets_more_as_it_can_do_more() -> None:
    limits = [found[0] for found in run(BY_NAME["slow start of a publisher"]).limits]
    assert max(limits[5:20]) <= 4 < 8 <= max(limits[100:])


def test_of_two_publishers_the_faster_one_gets_more_and_the_slower_one_what_it_can_do() -> None:
    fast, slow = run(BY_NAME["two of different speed"]).stored
    assert 2.5 < fast / slow < 4.5, "one takes three times as long"


def test_a_publisher_that_fails_is_probed_and_gets_work_once_it_works() -> None:
    result = run(BY_NAME["one of two fails for 100 s"])
    assert result.failed < 20
    assert result.stored[1] > 30
    limits = [found[1] for found in result.limits]
    assert (min(limits[:100]), max(limits[130:]) >= 4) == (1, True)


def test_knowing_sizes_pays_where_publishers_differ_in_them() -> None:
    scenario = BY_NAME["two, one better with large ones"]
    assert run(scenario, MODEL).seconds < 0.97 * run(scenario, LATENCY).seconds


@pytest.mark.parametrize("name", ["brown-out", "two of different speed"])
def test_the_same_comes_out_each_time(name: str) -> None:
    assert run(BY_NAME[name]) == run(BY_NAME[name])


def test_the_same_holds_on_trio() -> None:
    scenario = BY_NAME["slow start of a publisher"]
    result = run(scenario, MODEL, "trio")
    assert result.seconds <= 1.2 * scenario.floor_s
    assert share(result) <= 0.05
