"""Measuring a publisher: every store is a real one, told as it went."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import walrus_sdk as ws
from walrus_sdk import bench
from walrus_sdk.errors import LimitError, WalrusError
from walrus_sdk.model.units import Frost
from walrus_sdk.sui.signers import KeySigner

COLUMNS = ["size", "concurrency", "started", "duration", "outcome", "cost_frost", "endpoint"]
TOLD = [
    "size", "concurrency", "stored", "failed", "duration", "stores_per_s", "bytes_per_s", "median", "slowest",
    "cost_frost",
]  # fmt: skip


@pytest.fixture
def options(house: Any) -> dict[str, Any]:
    return {"home": house.home, "network": house.net.network, "signer": KeySigner(house.net.key)}


def test_each_store_is_a_row_and_is_paid_once(house: Any, options: dict[str, Any]) -> None:
    shots = bench.measure(sizes=[100, 100, 3000], concurrency=[1, 4], count=5, **options)
    assert (list(shots.columns), len(shots)) == (COLUMNS, 30)
    assert list(shots["outcome"].unique()) == ["stored"]
    ledger = house.net.ledger()
    assert sum(row["cost_frost"] for row in ledger) == shots["cost_frost"].sum()
    assert sorted(row["bytes_received"] for row in ledger) == sorted(shots["size"])
    assert set(house.paid().values()) == {1}
    assert pd.api.types.is_timedelta64_dtype(shots["duration"])
    again = bench.measure(sizes=[100], concurrency=[1], count=2, **options)
    assert (again["cost_frost"] > 0).all(), "blobs are fresh each time"


def test_what_the_publisher_refuses_is_a_row_too_and_is_not_tried_again(house: Any, options: dict[str, Any]) -> None:
    house.fault("publisher.request", "too_many_requests", times=3)
    shots = bench.measure(sizes=[50], concurrency=[2], count=8, **options)
    assert (shots["outcome"] != "stored").sum() == 3
    assert len(house.net.ledger()) == 5
    (row,) = bench.summary(shots).to_dict("records")
    assert (row["stored"], row["failed"], row["size"], row["concurrency"]) == (5, 3, 50, 2)
    assert row["bytes_per_s"] == pytest.approx(row["stores_per_s"] * 50)
    assert row["median"] <= row["slowest"] <= row["duration"]


def test_a_summary_has_a_row_for_each_round(house: Any, options: dict[str, Any]) -> None:
    told = bench.summary(bench.measure(sizes=[10, 20], concurrency=[1, 2], count=2, **options))
    assert list(told.columns) == TOLD
    assert list(zip(told["size"], told["concurrency"], strict=True)) == [(10, 1), (10, 2), (20, 1), (20, 2)]


def test_a_limit_is_held_before_anything_is_stored(house: Any, options: dict[str, Any]) -> None:
    with pytest.raises(LimitError) as caught:
        bench.measure(sizes=[1000], concurrency=[1], count=4, max_cost=Frost(1), **options)
    assert caught.value.code == "cost_limit"
    assert house.net.ledger() == []


@pytest.mark.parametrize("wrong", [{"sizes": []}, {"concurrency": [0]}, {"count": 0}])
def test_what_cannot_be_measured_is_said(house: Any, options: dict[str, Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(WalrusError) as caught:
        bench.measure(**wrong, **options)
    assert caught.value.code == "option_invalid"
    assert house.net.ledger() == []


def test_without_pandas_the_extra_is_named(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ws.WalrusError) as caught:
        bench.measure(**options)
    assert caught.value.code == "extra_missing"
    assert "walrus-sdk[frames]" in caught.value.message
