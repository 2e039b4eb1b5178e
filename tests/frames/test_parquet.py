"""Parquet: what is written comes back as it was, and only that."""

from __future__ import annotations

import stat
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import walrus_sdk as ws
from walrus_sdk.errors import ConfigurationError
from walrus_sdk.frames.history import History
from walrus_sdk.frames.load import JournalSource
from walrus_sdk.frames.tables import SCHEMAS

from .conftest import Journal


def test_a_history_comes_back_with_the_same_rows_dtypes_and_categories(real: History, tmp_path: Path) -> None:
    written = real.to_parquet(tmp_path / "archive")
    assert {path.stem for path in written} == set(SCHEMAS)
    back, before = ws.history(parquet=tmp_path / "archive"), real.read()
    for name in SCHEMAS:
        pd.testing.assert_frame_equal(back.frame(name), before[name])
        assert back.frame(name).attrs["schema"] == name
    assert repr(back).startswith("History: 11 deployments")
    pd.testing.assert_frame_equal(back.cost_per_page(), real.cost_per_page())


def test_an_empty_history_comes_back_empty_with_its_dtypes(tmp_path: Path) -> None:
    History(JournalSource(tmp_path / "none.db")).to_parquet(tmp_path / "archive")
    back = ws.history(parquet=tmp_path / "archive")
    for name, schema in SCHEMAS.items():
        assert {str(n): str(d) for n, d in back.frame(name).dtypes.items()} == dict(schema.dtypes)


def test_one_deployment_can_be_read_from_an_archive(real: History, tmp_path: Path) -> None:
    real.to_parquet(tmp_path / "archive")
    one = real.deployments["deployment"].iloc[2]
    back = ws.history(parquet=tmp_path / "archive").only(one)
    assert len(back.deployments) == 1
    pd.testing.assert_frame_equal(back.files, real.only(one).files, check_categorical=False)


def test_amounts_beyond_64_bits_come_back(journal: Journal, tmp_path: Path) -> None:
    journal.store(journal.deployment(), "s", "b", 10**30, frost=0)
    journal.history.to_parquet(tmp_path / "archive")
    assert list(ws.history(parquet=tmp_path / "archive").operations["paid_frost"]) == [10**30]


def test_files_say_what_they_are_and_only_their_owner_reads_them(real: History, tmp_path: Path) -> None:
    path = next(path for path in real.to_parquet(tmp_path / "archive") if path.stem == "files")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    about = pq.read_metadata(path).metadata
    assert about[b"schema"] == b"files"
    assert about[b"as_of"]


def test_nothing_is_overwritten(real: History, tmp_path: Path) -> None:
    real.to_parquet(tmp_path / "archive")
    with pytest.raises(ConfigurationError, match="there already"):
        real.to_parquet(tmp_path / "archive")


def test_what_is_no_archive_is_refused(real: History, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no deployments\.parquet"):
        ws.history(parquet=tmp_path)
    real.to_parquet(tmp_path / "archive")
    (tmp_path / "archive" / "files.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(ConfigurationError, match="not a frame of this program") as refused:
        ws.history(parquet=tmp_path / "archive").read("files")
    assert refused.value.code == "option_invalid"


def test_home_and_archive_are_not_given_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        ws.history(tmp_path, parquet=tmp_path)
