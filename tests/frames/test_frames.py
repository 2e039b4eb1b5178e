"""The frames: columns and dtypes, what is missing, amounts, times; and who may read them when."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import walrus_sdk as ws
from walrus_sdk.errors import CODES, ConfigurationError
from walrus_sdk.frames import typed
from walrus_sdk.frames.history import History
from walrus_sdk.frames.load import JournalSource
from walrus_sdk.frames.schema import Kind
from walrus_sdk.frames.tables import SCHEMAS
from walrus_sdk.model.deployment import Status

from .conftest import T0, Journal

ASKED = "deployments files operations attempts errors transactions metrics alerts blobs versions phases".split()


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(dtype) for name, dtype in frame.dtypes.items()}


def test_there_is_a_frame_for_each_kind_of_fact() -> None:
    assert list(SCHEMAS) == ASKED
    assert all(isinstance(getattr(History, name), property) for name in ASKED)


@pytest.mark.parametrize("name", ASKED)
def test_a_frame_has_the_columns_and_dtypes_of_its_schema(real: History, name: str) -> None:
    frame = real.frame(name)
    assert dtypes(frame) == dict(SCHEMAS[name].dtypes)
    assert isinstance(frame.index, pd.RangeIndex)
    assert frame.attrs["schema"] == name
    assert datetime.fromisoformat(frame.attrs["as_of"]).tzinfo is not None
    assert len(frame) > 0 or name == "alerts"


@pytest.mark.parametrize("name", ASKED)
def test_an_empty_history_has_the_same_columns_and_dtypes(tmp_path: Path, name: str) -> None:
    frame = History(JournalSource(tmp_path / "none" / "journal.db")).frame(name)
    assert len(frame) == 0
    assert dtypes(frame) == dict(SCHEMAS[name].dtypes)


@pytest.mark.parametrize("name", ASKED)
def test_a_journal_without_rows_has_the_same_columns_and_dtypes(journal: Journal, name: str) -> None:
    frame = journal.history.frame(name)
    assert len(frame) == 0
    assert dtypes(frame) == dict(SCHEMAS[name].dtypes)


@pytest.mark.parametrize("name", ASKED)
def test_categories_list_all_states_whether_they_occur_or_not(real: History, name: str) -> None:
    frame = real.frame(name)
    for column in SCHEMAS[name].columns:
        if column.kind is Kind.CATEGORY:
            found = frame[column.name].cat
            assert tuple(found.categories[: len(column.states)]) == column.states
            assert not found.ordered


def test_a_state_that_this_program_does_not_know_is_kept(journal: Journal) -> None:
    journal.deployment(status="sleeping")
    assert list(journal.history.deployments["status"]) == ["sleeping"]


@pytest.mark.parametrize("name", ASKED)
def test_the_history_of_one_deployment_is_its_rows_of_the_whole(real: History, name: str) -> None:
    for one in real.deployments["deployment"]:
        whole = real.frame(name)
        mine = whole[whole["deployment"] == one].reset_index(drop=True)
        pd.testing.assert_frame_equal(real.only(one).frame(name), mine, check_categorical=False)


def test_every_row_of_the_journal_is_there(real: History, real_home: Path) -> None:
    import sqlite3

    with sqlite3.connect(f"file:{real_home}/state/journal.db?mode=ro", uri=True) as db:
        for name in ("deployments", "files", "operations", "attempts", "transactions", "metrics", "blobs", "versions"):
            (count,) = db.execute(f"select count(*) from {SCHEMAS[name].table}").fetchone()
            assert len(real.frame(name)) == count, name
    db.close()


def test_what_the_frames_say_is_what_the_deployments_did(real: History) -> None:
    deployments, attempts = real.deployments, real.attempts
    assert set(deployments["status"]) == {"completed", "cancelled"}
    done = deployments[deployments["status"] == Status.COMPLETED.value]
    assert list(done["version"]) == list(range(1, 10))
    calm = done[done["failed_attempts"] == 0]
    assert (calm["planned_frost"] >= calm["paid_frost"]).all()
    assert calm["paid_frost"].iloc[0] == calm["planned_frost"].iloc[0] > 0
    assert set(calm["doubtful_frost"]) == {0}
    assert (done["end"] - done["start"] == done["duration"]).all()
    assert (done["stored_files"] == done["files"]).all()
    assert deployments["attempts"].sum() == len(attempts)
    assert deployments["failed_attempts"].sum() == attempts["outcome"].isin(["failed", "unknown"]).sum()
    stored = real.files[real.files["operation"].notna()]
    assert deployments["new_files"].sum() == len(stored)
    assert stored["blob_id"].notna().sum() == stored["attempts"].notna().sum() > 0
    assert set(real.errors["outcome"]) == {"failed", "unknown", "ended"}
    assert real.errors["endpoint"].dropna().str.startswith("http://127.0.0.1").all()


def test_versions_last_until_the_next_one(real: History) -> None:
    versions = real.versions
    assert list(versions["version"]) == list(range(1, 10))
    assert list(versions["end"][:-1]) == list(versions["start"][1:])
    assert pd.isna(versions["end"].iloc[-1])
    assert set(versions["tags"]) == {"demo"}
    assert versions["message"].iloc[0] == "edition 0"


def test_phases_follow_each_other_and_fill_a_deployment(real: History) -> None:
    for _, spans in real.phases.groupby("deployment"):
        alone = spans[spans["owner"] == 1]
        assert list(alone["start"][1:]) == list(alone["end"][:-1])
    whole = real.phases[real.phases["deployment"] == real.deployments["deployment"].iloc[0]]
    assert list(whole["phase"]) == ["prepare", "store", "chain", "verify", "finish"]


@pytest.mark.parametrize(("verb", "last"), [("cleanup", "finish"), ("rollback", "verify")])
def test_after_its_transaction_a_cleanup_forgets_and_others_verify(journal: Journal, verb: str, last: str) -> None:
    name = journal.deployment(verb=verb)
    journal.event(name, 1, "deployment.planned", 0)
    journal.event(name, 2, "deployment.status", 100, **{"from": "pending", "to": "processing"})
    journal.event(name, 3, "effect.done", 300, kind="transaction", operation="transaction-0001", name="D")
    journal.event(name, 4, "deployment.status", 900, **{"from": "processing", "to": "completed"})
    assert list(journal.history.phases["phase"]) == ["prepare", "chain", last]


def test_a_deployment_that_was_taken_up_again_has_a_gap(journal: Journal) -> None:
    name = journal.deployment()
    journal.event(name, 1, "deployment.planned", 0)
    journal.event(name, 2, "deployment.status", 100, **{"from": "pending", "to": "uploading"})
    journal.event(name, 3, "note", 300, message="the last sign of the first owner")
    journal.event(name, 4, "deployment.taken_up", 5000, owner=2, incarnation=2)
    journal.event(name, 5, "deployment.status", 5200, owner=2, **{"from": "uploading", "to": "processing"})
    journal.event(name, 6, "deployment.status", 5300, owner=2, **{"from": "processing", "to": "completed"})
    phases = journal.history.phases
    spans = [
        (row.phase, row.owner, *((t.value // 10**6 - T0) for t in (row.start, row.end))) for row in phases.itertuples()
    ]
    assert spans == [("prepare", 1, 0, 100), ("store", 1, 100, 300), ("store", 2, 5000, 5200), ("chain", 2, 5200, 5300)]


def test_what_is_tried_again_has_no_end_until_its_last_try_has_one(journal: Journal) -> None:
    name = journal.deployment(status="uploading", finished_ms=None)
    journal.put("transactions", chain=CHAIN_TESTNET, digest="D", deployment=name, step=1, state="signed")
    journal.entry(name, "/a", operation="s")
    for operation, kind, what in (("s", "store", "B"), ("t", "transaction", "D")):
        journal.put("operations", chain=CHAIN_TESTNET, kind=kind, name=what, deployment=name, operation=operation,
                    state="intent", attempts=3)  # fmt: skip
        common = {"deployment": name, "operation": operation, "kind": kind, "name": what}
        journal.put("attempts", n=1, started_ms=T0, **common)  # its process died
        journal.put("attempts", n=2, started_ms=T0 + 100, finished_ms=T0 + 500, outcome="failed", **common)
        journal.put("attempts", n=3, started_ms=T0 + 900, **common)
    frames = [journal.history.read(kind)[kind] for kind in ("operations", "transactions", "files")]
    assert all(frame[["end", "duration"]].isna().all(axis=None) for frame in frames)
    assert journal.history.slowest_files().empty
    journal.db.execute("update attempts set finished_ms = ?, outcome = 'done' where n = 3", (T0 + 1000,))
    frames = [journal.history.read(kind)[kind] for kind in ("operations", "transactions", "files")]
    assert all((frame["duration"] == pd.Timedelta(seconds=1)).all() for frame in frames)


def test_amounts_are_whole_numbers_that_do_not_overflow(journal: Journal) -> None:
    name = journal.deployment()
    most = 2**63 - 1
    for number in range(3):
        journal.store(name, f"store-{number}", f"blob-{number}", most)
    paid = journal.history.operations["paid_frost"]
    assert paid.sum() == 3 * most
    assert all(type(value) is int for value in paid)


def test_what_is_missing_is_null_and_changes_no_dtype(journal: Journal) -> None:
    name = journal.deployment(finished_ms=None, version=None, site_name=None, can_resume=None)
    journal.entry(name, "/a")
    (row,) = journal.history.deployments.to_dict("records")
    assert row["end"] is pd.NaT
    assert row["duration"] is pd.NaT
    assert pd.isna(row["version"])
    assert pd.isna(row["can_resume"])
    assert row["planned_frost"] is None
    (file,) = journal.history.files.to_dict("records")
    assert file["start"] is pd.NaT
    assert pd.isna(file["attempts"])
    assert pd.isna(file["operation"])


def test_end_epochs_become_times_where_epochs_follow_a_clock(journal: Journal) -> None:
    name = journal.deployment()
    journal.event(name, 1, "deployment.planned", 0, epochs=5, end_epoch=12)
    journal.store(name, "store-1", "b1", 1)
    journal.put("blobs", chain=CHAIN_TESTNET, blob_id="b1", end_epoch=12, size=9, deletable=0)
    journal.put("blobs", chain=CHAIN_TESTNET, blob_id="gone", end_epoch=0, size=9, deletable=0)
    blobs = journal.history.blobs
    day = pd.Timedelta(days=1)
    assert blobs["end"].iloc[0] == pd.Timestamp(T0, unit="ms", tz="UTC") + 4 * day
    assert blobs["end_latest"].iloc[0] - blobs["end"].iloc[0] == day
    assert list(blobs["epochs_left"]) == [5, 0]
    assert pd.isna(blobs["end"].iloc[1])


CHAIN_TESTNET = "4c78adac"


def test_samples_of_a_running_deployment_are_the_metrics(journal: Journal) -> None:
    progress = {"phase": "store", "bytes_sent": 70, "waiting": "a turn"}
    data = {"incarnation": 2, "progress": progress, "phases_s": {"scan": 0.25}, "sending": {}, "cpu_s": 1.5}
    journal.put("samples", deployment="d", wall_ms=T0, data=json.dumps(data))
    (row,) = journal.history.metrics.to_dict("records")
    assert (row["phase"], row["owner"], row["bytes_sent"], row["bytes_confirmed"]) == ("store", 2, 70, 0)
    assert row["scan_time"] == pd.Timedelta(milliseconds=250)
    assert row["store_time"] is pd.NaT
    assert row["cpu"] == pd.Timedelta(seconds=1.5)
    assert pd.isna(row["rss_bytes"])
    assert row["waiting"] == "a turn"


def test_alerts_last_from_firing_to_clearing(journal: Journal) -> None:
    common = {"kind": "stuck", "subject": "d", "severity": "warning", "value": 61, "threshold": 60, "unit": "s"}
    journal.put("alerts", n=1, rule="stuck", fired_ms=T0, cleared_ms=T0 + 9000, message="no progress", **common)
    journal.put("alerts", n=2, rule="stuck", fired_ms=T0, **common)
    alerts = journal.history.alerts
    assert alerts["duration"].iloc[0] == pd.Timedelta(seconds=9)
    assert pd.isna(alerts["end"].iloc[1])
    assert alerts["value"].dtype == "float64"


def test_a_journal_of_an_earlier_version_has_an_empty_frame_for_what_it_lacks(journal: Journal) -> None:
    journal.db.execute("drop table alerts")
    assert dtypes(journal.history.alerts) == dict(SCHEMAS["alerts"].dtypes)


def test_no_frame_shows_what_could_send_a_transaction() -> None:
    shown = {column.name for schema in SCHEMAS.values() for column in schema.columns}
    read = " ".join(column.sql for schema in SCHEMAS.values() for column in schema.columns)
    assert not {"signatures", "facts"} & shown
    assert "t.bytes" not in read
    assert "t.signatures" not in read


def test_every_error_code_has_its_class_in_the_frame(journal: Journal) -> None:
    name = journal.deployment()
    for number, code in enumerate(CODES, start=1):
        journal.event(name, number, "effect.failed", number, kind="store", name="b", code=code, message="m")
    errors = journal.history.errors
    classes = dict(zip(errors["code"], errors["error_class"], strict=True))
    assert classes == {code: row.error_class.value for code, row in CODES.items()}


def test_frames_are_kept_until_they_are_asked_for_anew(journal: Journal) -> None:
    found = journal.history
    assert len(found.deployments) == 0
    journal.deployment()
    assert len(found.deployments) == 0
    assert len(found.refresh().deployments) == 1


def test_frames_read_together_are_of_one_moment(journal: Journal) -> None:
    ticks = iter(datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 9))
    found = History(journal.source(clock=lambda: next(ticks))).read()
    assert {frame.attrs["as_of"] for frame in found.values()} == {"2026-01-01T00:00:00+00:00"}


# ── where it is, and what it needs ────────────────────────────────────────────────────────────────────────────────


def test_a_named_place_without_a_journal_is_refused_and_a_default_one_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="no journal there") as refused:
        ws.history(tmp_path)
    assert refused.value.code == "option_invalid"
    monkeypatch.setenv("WALRUS_DEPLOYMENT_HOME", str(tmp_path / "new"))
    assert ws.history().deployments.empty
    assert not (tmp_path / "new").exists()


def test_an_unknown_frame_is_refused_with_those_that_are_known(journal: Journal) -> None:
    with pytest.raises(ConfigurationError, match="known are deployments, files"):
        journal.history.frame("uploads")


def test_a_missing_extra_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(typed.importlib.util, "find_spec", lambda name: None if name == "pandas" else object())
    with pytest.raises(ConfigurationError, match='pip install "walrus-sdk\\[frames\\]"') as missing:
        ws.history(tmp_path)
    assert missing.value.code == "extra_missing"


def test_frames_import_their_packages_only_when_they_are_used() -> None:
    import subprocess

    names = "('pandas', 'pyarrow', 'matplotlib', 'adbc_driver_sqlite')"
    code = (
        "import sys, walrus_sdk, walrus_sdk.cli.main; walrus_sdk.history; walrus_sdk.report;"
        f" print([n for n in {names} if n in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# ── how it looks ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_text_form_is_stable_and_tells_counts(journal: Journal) -> None:
    name = journal.deployment()
    journal.entry(name, "/a")
    journal.entry(name, "/b")
    assert repr(journal.history) == "History: 1 deployments, 2 files"
    assert repr(journal.history.only(name)) == f"History of {name}: 1 deployments, 2 files"


def test_the_html_form_is_a_table_and_escaped(hostile: tuple[Journal, str]) -> None:
    found, name = hostile
    page = found.history.only(name)._repr_html_()
    assert page.startswith("<table><caption>History of deploy_")
    assert '<th scope="row">files</th>' in page
    assert "<script" not in found.history.only("<script>")._repr_html_()


def test_a_frame_becomes_arrow_with_amounts_as_decimals(journal: Journal) -> None:
    journal.store(journal.deployment(), "store-1", "b", 5)
    table: Any = journal.history.to_arrow("operations")
    assert str(table.schema.field("paid_frost").type) == "decimal128(38, 0)"
    assert table.column("paid_frost").to_pylist() == [5]
