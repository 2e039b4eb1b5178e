"""Progress in words: three lines, and what is new for a log."""

from __future__ import annotations

from dataclasses import replace

import pytest

from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.watch.progress import State, lines, news, size

SCANNING = Progress(Phase.SCAN, files_found=1500, files_hashed=900, bytes_hashed=2_500_000)
STORING = Progress(
    Phase.STORE,
    files_found=1500,
    files_hashed=1500,
    bytes_hashed=4_000_000,
    stores_total=4,
    stores_encoded=3,
    stores_confirmed=1,
    bytes_total=4_000_000,
    bytes_sent=3_000_000,
    bytes_confirmed=1_000_000,
)
ON_CHAIN = replace(STORING, phase=Phase.CHAIN, stores_confirmed=4, bytes_confirmed=4_000_000, transactions_total=2)
DONE = replace(ON_CHAIN, phase=Phase.DONE, transactions_confirmed=2, checks_total=200, checks_done=200)


def test_hashing_is_seen_before_anything_is_stored() -> None:
    prepared, stored, on_chain = lines(SCANNING)
    assert (prepared.label, prepared.text) == ("prepared", "900 of 1,500 files read, 2.5 MB")
    assert prepared.share is None, "nobody knows yet how many files there are"
    assert (stored.label, stored.state, stored.text) == ("stored", State.AHEAD, "")
    assert (on_chain.label, on_chain.state, on_chain.text) == ("on chain", State.AHEAD, "")


def test_sent_and_confirmed_are_told_apart_and_the_share_is_of_what_is_confirmed() -> None:
    prepared, stored, _ = lines(STORING)
    assert stored.text == "1.0 MB of 4.0 MB confirmed, 3.0 MB sent; 1 of 4 stores"
    assert stored.share == 0.25
    assert prepared.text.endswith("3 of 4 blob ids computed")


def test_nothing_stands_at_the_end_while_it_is_waited_for() -> None:
    everything_sent = replace(STORING, bytes_sent=9_000_000, bytes_confirmed=3_999_999)
    share = lines(everything_sent)[1].share
    assert share is not None
    assert share < 1


@pytest.mark.parametrize(("progress", "index"), [(SCANNING, 0), (STORING, 1), (ON_CHAIN, 2)])
def test_what_is_waited_for_stands_on_the_line_of_the_phase_only(progress: Progress, index: int) -> None:
    waiting = lines(replace(progress, waiting="looking for store-0001 (again in 4 s)"))
    assert [at for at, line in enumerate(waiting) if "looking for" in line.text] == [index]
    assert waiting[index].text.startswith(lines(progress)[index].text)


def test_all_lines_are_over_at_the_end() -> None:
    assert [line.state for line in lines(DONE)] == [State.OVER] * 3
    assert [line.share for line in lines(DONE)] == [1.0] * 3
    assert lines(DONE)[2].text == "2 of 2 transactions confirmed; 200 of 200 files read back"


def test_a_deployment_that_changes_nothing_says_so() -> None:
    _, stored, on_chain = lines(Progress(Phase.DONE, files_found=3, files_hashed=3))
    assert (stored.text, on_chain.text) == ("nothing to store", "nothing to change")


def test_a_mere_verification_says_nothing_of_preparing_and_storing() -> None:
    prepared, stored, on_chain = lines(Progress(Phase.VERIFY, checks_total=10, checks_done=4))
    assert (prepared.text, stored.text) == ("", "")
    assert on_chain.text == "4 of 10 files read back"


def test_tries_again_are_counted() -> None:
    assert lines(replace(STORING, retries=3))[1].text.endswith("3 tried again")


def test_a_log_gets_a_line_for_each_phase_and_each_tenth_and_none_between() -> None:
    told: Progress | None = None
    written = []
    for percent in range(101):
        now = replace(STORING, bytes_total=100, bytes_confirmed=percent, bytes_sent=100)
        text = news(told, now)
        if text is not None:
            told = now
            written.append(percent)
    assert written == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert (news(told, ON_CHAIN) or "").startswith("on chain: ")
    assert news(ON_CHAIN, DONE) == "done"


def test_reading_back_counts_its_own_tenths() -> None:
    half = replace(DONE, phase=Phase.VERIFY, checks_done=100)
    assert news(half, replace(half, checks_done=101)) is None
    assert news(half, replace(half, checks_done=120)) == "verifying: 120 of 200 files read back"


def test_a_log_says_once_what_is_waited_for() -> None:
    waiting = replace(STORING, waiting="finishing 3 paid effects")
    assert (news(STORING, waiting) or "").endswith("; finishing 3 paid effects")
    assert news(waiting, waiting) is None
    assert news(waiting, STORING) is None, "that it is over is no news"


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_begins_with_a_line(phase: Phase) -> None:
    assert news(None, Progress(phase))


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"),
     (2_300_000_000, "2.3 GB"), (4_000_000_000_000, "4.0 TB")],
)  # fmt: skip
def test_sizes_are_in_decimal_units(count: int, text: str) -> None:
    assert size(count) == text
