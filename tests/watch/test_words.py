"""Views in words: times, speeds, ends, what waits, lines of a log."""

from __future__ import annotations

from dataclasses import replace

import pytest

from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.reports import DeploymentSummary
from walrus_sdk.model.samples import Resources
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.model.views import DeploymentView, Eta, OperationView, Rates, Step, Waiting
from walrus_sdk.watch import words

ONE = DeploymentId("deploy_1800000000001_00000001")
SUMMARY = DeploymentSummary(ONE, "tides", "local", "uploading", 0.5, 1_800_000_000_000)
STORING = Progress(Phase.STORE, files_found=4, stores_total=2, bytes_total=100, bytes_confirmed=50, stores_confirmed=1)
ETA = Eta(1_800_000_000_000, 130.0, 100.0, 300.0, "by its rate")
VIEW = DeploymentView(
    SUMMARY, 1_800_000_060_000, True, Phase.STORE, STORING, 2, 4, 50, 100, {Step.DONE: 1, Step.SENT: 1},
    moved_ms=1_800_000_050_000, eta=ETA, planned_frost=3_000_000_000, paid_frost=1_500_000_000,
)  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.4, "0 s"), (8, "8 s"), (59.6, "1 min"), (60, "1 min"), (125, "2 min 5 s"), (3600, "1 h"),
        (3_660, "1 h 1 min"), (3_605, "1 h"), (90_000, "1 d 1 h"), (-5, "0 s"),
    ],
)  # fmt: skip
def test_a_time_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_both_rates_are_told_and_none_that_is_not_known() -> None:
    assert words.speed(Rates()) == ""
    assert words.speed(Rates(2e6)) == "2.0 MB/s now"
    assert words.speed(Rates(2e6, 1.5e6)) == "2.0 MB/s now, 1.5 MB/s on average"


def test_an_end_is_told_with_its_band_its_ground_and_why_it_is_later() -> None:
    assert words.ending(ETA) == "about 2 min 10 s left (1 min 40 s to 5 min, by its rate)"
    assert words.ending(replace(ETA, reason="3 tried again")).endswith("; later, as: 3 tried again")
    assert words.ending(replace(ETA, seconds=4)) == "a few seconds left"
    assert words.ending(None) == ""


def test_operations_are_counted_by_their_step() -> None:
    assert words.counts({Step.PLANNED: 1200, Step.DONE: 3, Step.FAILED: 0}) == "3 done, 1,200 planned"


def test_amounts_are_in_coins() -> None:
    assert words.money(VIEW) == "1.5 WAL of 3 WAL planned"


def test_of_the_machine_only_what_is_known_is_told() -> None:
    found = Resources(61.0, 200_000_000, None, 5_000_000_000)
    assert words.machine(replace(VIEW, resources=found)) == "1 min 1 s of CPU, 200.0 MB of memory, 5.0 GB of disk left"
    assert words.machine(VIEW) == ""


def test_who_waits_is_told_with_the_time_that_it_takes_already() -> None:
    waiting = Waiting("store-0001", "the publisher's answer", VIEW.at_ms - 5000)
    assert words.waits(waiting, VIEW.at_ms) == "store-0001 waits for 5 s: the publisher's answer"
    assert words.waits(replace(waiting, since_ms=None), VIEW.at_ms) == "store-0001 waits: the publisher's answer"


def test_an_operation_says_where_it_stands() -> None:
    begun = OperationView("store-0001", "store", Step.BEGUN, files=2, size=1000, sent=500, attempts=2)
    assert words.operation(begun) == "500 B of 1.0 kB sent; attempt 2"
    failed = replace(begun, step=Step.FAILED, attempts=1, code="timeout_send", message="too slow")
    assert words.operation(failed) == "failed; timeout_send: too slow"


def test_a_log_gets_the_end_with_each_tenth_and_nothing_between() -> None:
    line = words.fresh(None, VIEW)
    assert line is not None
    assert line.startswith("storing: 50 B of 100 B confirmed")
    assert line.endswith("about 2 min 10 s left (1 min 40 s to 5 min, by its rate)")
    assert words.fresh(STORING, VIEW) is None


def test_an_event_is_a_line_of_its_plain_facts() -> None:
    facts = {"time": "T", "deployment_id": "d", "n": 7, "incarnation": 1, "event": "effect.done", "kind": "store",
             "outcome": {"cost_frost": "1"}}  # fmt: skip
    assert words.event_line(facts) == "T  d     7  effect.done  kind=store"
