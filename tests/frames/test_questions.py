"""Questions to frames: the answers, by hand-made rows and by a real history; and to nothing at all."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.frames import questions
from walrus_sdk.frames.history import History
from walrus_sdk.frames.load import JournalSource

from .conftest import T0, Journal

ASKED = (
    "success_rate slowest_files error_patterns throughput cost_per_deployment cost_per_page expiring phase_times"
).split()
DAY = 86_400_000
MONDAY = pd.Timestamp("2026-02-02", tz="UTC")
"""T0 is Monday, 2 February 2026, 02:40 UTC."""


@pytest.mark.parametrize("name", ASKED)
def test_a_question_to_an_empty_history_has_the_same_columns(real: History, tmp_path: Path, name: str) -> None:
    empty = getattr(History(JournalSource(tmp_path / "journal.db")), name)()
    full = getattr(real, name)()
    assert len(empty) == 0
    assert list(empty.columns) == list(full.columns)
    different = {
        c: (str(empty[c].dtype), str(full[c].dtype)) for c in full if empty[c].dtype.kind != full[c].dtype.kind
    }
    assert different == {}


def test_success_by_week_counts_from_monday_and_over_what_has_ended(journal: Journal) -> None:
    week = [("completed", 0), ("failed", 1), ("completed", 6), ("cancelled", 7), ("uploading", 8), ("uploading", 16)]
    for number, (status, day) in enumerate(week):
        ended = None if status == "uploading" else T0 + day * DAY + 5000
        journal.deployment(number, day * DAY, status=status, finished_ms=ended)
    found = journal.history.success_rate()
    assert list(found["start"]) == [MONDAY, MONDAY + pd.Timedelta(weeks=1), MONDAY + pd.Timedelta(weeks=2)]
    assert list(found["deployments"]) == [3, 2, 1]
    assert list(found["completed"]) == [2, 0, 0]
    assert list(found["unfinished"]) == [0, 1, 1]
    assert list(found["rate"][:2]) == [2 / 3, 0.0]
    assert pd.isna(found["rate"].iloc[2])
    assert found["median_duration"].iloc[0] == pd.Timedelta(seconds=5)


@pytest.mark.parametrize(
    ("every", "begin"),
    [("day", "2026-02-02"), ("month", "2026-02-01"), ("hour", "2026-02-02 02:00"), ("10min", "2026-02-02 02:40")],
)
def test_times_are_put_together_by_any_length(journal: Journal, every: str, begin: str) -> None:
    journal.deployment()
    assert list(journal.history.success_rate(every)["start"]) == [pd.Timestamp(begin, tz="UTC")]


def test_another_length_is_refused_with_those_that_are_known(journal: Journal) -> None:
    journal.deployment()
    with pytest.raises(ConfigurationError, match="expected second, minute, hour, day, week, month") as refused:
        journal.history.success_rate("fortnight")
    assert refused.value.code == "option_invalid"


@pytest.mark.parametrize("every", ["-1h", "0s", "", "1M", 5, None, ["day"], {}])
@pytest.mark.parametrize("ask", ["success_rate", "throughput"])
def test_what_is_no_length_of_time_is_refused(real: History, ask: str, every: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        getattr(real, ask)(every)
    assert (refused.value.code, refused.value.fields["option"]) == ("option_invalid", "every")


@pytest.mark.parametrize(
    "by", ["nope", ["nope"], ["network", "nope"], ["start"], ["files"], 5, [5], [["network"]], None]
)
@pytest.mark.parametrize("is_kept", [False, True])
def test_columns_that_cannot_be_told_apart_are_refused(journal: Journal, by: Any, is_kept: bool) -> None:
    journal.deployment()
    history = journal.history
    if is_kept:
        assert len(history.deployments) == 1
    with pytest.raises(ConfigurationError) as refused:
        history.success_rate(by=by)
    assert (refused.value.code, refused.value.fields["option"]) == ("option_invalid", "by")
    with pytest.raises(ConfigurationError):
        questions.success_rate(history.deployments, by=by)


def test_one_name_is_one_column_and_twice_the_same_is_once(journal: Journal) -> None:
    journal.deployment()
    for by in ("network", ["network"], ("network", "network")):
        found = journal.history.success_rate(by=by)
        assert list(found.columns[:2]) == ["network", "start"]
    assert list(journal.history.success_rate(by=["duration", "status"])["deployments"]) == [1]


def test_a_deployment_that_is_not_there_has_no_history(real: History) -> None:
    nope = real.only("nope")
    asked = (lambda name=name: getattr(nope, name)() for name in ASKED)
    for ask in (lambda: nope.files, nope.read, lambda: real.plot.phases("nope"), *asked):
        with pytest.raises(ConfigurationError) as missing:
            ask()
        assert missing.value.code == "deployment_not_found"


def test_success_can_be_told_apart_by_other_columns(journal: Journal) -> None:
    journal.deployment(1)
    journal.deployment(2, network="mainnet", status="failed")
    found = journal.history.success_rate(by=["network"])
    assert dict(zip(found["network"].astype("str"), found["rate"], strict=True)) == {"testnet": 1.0, "mainnet": 0.0}


def test_success_and_cost_are_of_the_same_deployments(journal: Journal) -> None:
    for number, verb in enumerate(("deploy", "rollback", "cleanup", "adopt", "forget")):
        journal.deployment(number, verb=verb)
    history = journal.history
    assert list(history.success_rate()["deployments"]) == [len(history.cost_per_deployment())] == [2]
    assert list(questions.success_rate(history.deployments)["completed"]) == [2]


def test_the_slowest_files_come_first_and_what_was_not_stored_is_left_out(journal: Journal) -> None:
    name = journal.deployment()
    for number, ms in enumerate((200, 900, 500)):
        journal.store(name, f"store-{number}", f"blob-{number}", 1, finished_ms=T0 + ms)
        journal.entry(name, f"/{ms}", operation=f"store-{number}")
    journal.entry(name, "/was-there")
    assert list(journal.history.slowest_files(2)["path"]) == ["/900", "/500"]
    assert list(journal.history.slowest_files()["path"]) == ["/900", "/500", "/200"]


def test_errors_are_counted_by_what_they_have_in_common(journal: Journal) -> None:
    name, other = journal.deployment(1), journal.deployment(2)
    common = {"kind": "store", "operation": "s", "name": "b"}
    for number, (owner, end) in enumerate(((name, "http://a"), (other, "http://a"), (name, "http://b")), start=1):
        message = f"{end}: the publisher answered 503"
        journal.event(owner, number, "effect.failed", number, code="service_unavailable", message=message, **common)
    journal.event(name, 9, "effect.unknown", 9, code="connection_lost", message="no address", **common)
    found = journal.history.error_patterns()
    assert list(found["count"]) == [2, 1, 1]
    assert (found["code"].iloc[0], found["endpoint"].iloc[0]) == ("service_unavailable", "http://a")
    assert found["deployments"].iloc[0] == 2
    assert found["share"].sum() == 1
    lost = found[found["code"] == "connection_lost"].iloc[0]
    assert lost["error_class"] == "look_first"
    assert pd.isna(lost["endpoint"])


def test_the_endpoint_of_an_error_is_the_one_that_its_event_names(journal: Journal) -> None:
    name = journal.deployment()
    common = {"kind": "transaction", "operation": "t", "name": "D", "code": "chain_unavailable"}
    node, text = "https://node/graphql", "https://node/graphql answered HTTP 502"
    journal.event(name, 1, "effect.failed", 1, endpoint=node, message=text, **common)
    journal.event(name, 2, "effect.failed", 2, endpoint="http://b", message="http://a: as b says", **common)
    journal.event(name, 3, "effect.failed", 3, endpoint="", message="out of memory", **common)
    assert list(journal.history.errors["endpoint"].astype("object").fillna("")) == [node, "http://b", ""]


def test_a_blob_that_was_cleaned_up_is_no_error_and_its_store_has_not_failed(journal: Journal) -> None:
    name = journal.deployment(1)
    journal.store(name, "s", "b", 1)
    cleanup = journal.deployment(2, verb="cleanup")
    journal.event(cleanup, 2, "effect.failed", 9, kind="store", operation="", name="b", code="cleaned_up", message="")
    journal.db.execute("update operations set state = 'failed'")
    assert journal.history.error_patterns().empty
    assert journal.history.errors.empty
    assert list(journal.history.operations["state"]) == ["done"]
    journal.db.execute("""update operations set error = '{"code": "store_failed"}'""")
    assert list(journal.history.operations["state"]) == ["failed"]


def test_throughput_is_by_the_time_in_which_stores_were_under_way(journal: Journal) -> None:
    name = journal.deployment()
    spans = [(0, 1000), (500, 1500), (600, 700), (5000, 5500)]
    for number, (start, end) in enumerate(spans):
        journal.store(name, f"s{number}", f"b{number}", 1, started_ms=T0 + start, finished_ms=T0 + end)
    journal.store(name, "s9", "b9", 1, started_ms=T0 + 5000, finished_ms=T0 + 5100, outcome="failed")
    found = journal.history.throughput()
    assert list(found["busy"]) == [pd.Timedelta(seconds=2)]
    assert list(found["stores"]) == [4]
    assert list(found["failed"]) == [1]
    assert list(found["bytes_per_s"]) == [4 * 1000 / 2]


def test_a_store_whose_lost_answer_was_found_is_in_the_throughput(real: History) -> None:
    last = real.only(real.deployments["deployment"].iloc[10])  # whose first store is certified, and its answer is lost
    errors, operations = last.errors, last.operations
    assert list(errors["outcome"]) == ["unknown"]
    stores = operations[(operations["kind"] == "store") & (operations["state"] == "done")]
    assert last.throughput()["stores"].sum() == len(stores) > 0
    assert list(last.deployments["doubtful_frost"]) == [0]


def test_what_a_store_cost_is_shared_by_its_files_and_nothing_gets_lost(journal: Journal) -> None:
    chance = random.Random(3)
    name, paid = journal.deployment(), 0
    for number in range(30):
        frost = chance.randrange(2**62)
        paid += frost
        journal.store(name, f"s{number}", f"b{number}", frost)
        for file in range(chance.randrange(1, 9)):
            journal.entry(name, f"/{number}/{file}", chance.choice((0, 1, 999, 10**9)), f"s{number}")
    found = journal.history.cost_per_page()
    assert found["paid_frost"].sum() == paid
    assert all(type(cost) is int and cost >= 0 for cost in found["paid_frost"])
    assert list(found["paid_frost"]) == sorted(found["paid_frost"], reverse=True)


def test_a_page_that_is_stored_again_costs_again(journal: Journal) -> None:
    for number in (1, 2):
        name = journal.deployment(number)
        journal.store(name, "s", f"b{number}", 100)
        journal.entry(name, "/index.html", 7, "s")
    (row,) = journal.history.cost_per_page().to_dict("records")
    assert (row["path"], row["stores"], row["bytes"], row["paid_frost"]) == ("/index.html", 2, 14, 200)


def test_the_costs_of_deployments_add_up_to_those_of_pages(real: History) -> None:
    assert real.cost_per_page()["paid_frost"].sum() == real.cost_per_deployment()["paid_frost"].sum() > 0


def test_cost_of_a_deployment_tells_what_was_not_stored_anew(journal: Journal) -> None:
    name = journal.deployment()
    journal.store(name, "s", "b", 2**21)
    journal.entry(name, "/new", 2**20, "s")
    journal.entry(name, "/old", 5)
    journal.deployment(2, verb="cleanup")
    (row,) = journal.history.cost_per_deployment().to_dict("records")
    assert (row["new_bytes"], row["saved_bytes"]) == (2**20, 5)
    assert row["frost_per_mib"] == 2**21


def test_what_expires_next_is_what_newest_versions_need(journal: Journal) -> None:
    old, new = journal.deployment(1), journal.deployment(2)
    journal.event(new, 1, "deployment.planned", 0, epochs=5, end_epoch=15)
    for number, end in ((1, 11), (2, 30), (3, 12)):
        blob = f"b{number}"
        journal.store(new, f"s{number}", blob, 1)
        journal.put("blobs", chain="4c78adac", blob_id=blob, end_epoch=end, size=9, deletable=0)
        journal.put("patches", chain="4c78adac", sha256=f"sha{number}", blob_id=blob, patch_id="", size=9)
        journal.entry(old if number == 3 else new, f"/{number}", sha=f"sha{number}")
    for n, name, numbers in ((1, old, (3,)), (2, new, (1, 2))):
        journal.version("0x1", n, name, {f"/{number}": f"b{number}" for number in numbers})
    as_of = datetime.fromtimestamp(T0 / 1000, UTC)
    found = journal.history.expiring(as_of=as_of)
    assert list(found["blob_id"]) == ["b1", "b2"]
    assert list(found["epochs_left"]) == [1, 20]
    assert list(found["left"]) == [pd.Timedelta(0), pd.Timedelta(days=19)]
    assert list(journal.history.expiring(timedelta(days=3), as_of=as_of)["blob_id"]) == ["b1"]


def test_phase_times_are_those_of_the_spans(real: History) -> None:
    found, spans = real.phase_times(), real.phases
    assert found["duration"].sum() == spans["duration"].sum()
    shares = found.groupby("deployment")["share"].sum()
    assert shares.round(9).eq(1).all()


def test_questions_change_no_frame(real: History) -> None:
    before = {name: frame.copy() for name, frame in real.read().items()}
    kept = {name: real.frame(name) for name in before}
    for name in ASKED:
        getattr(real, name)()
    for name, frame in kept.items():
        pd.testing.assert_frame_equal(frame, before[name])
    assert set(questions.__all__) == {*ASKED, "OF_SUCCESS"}
