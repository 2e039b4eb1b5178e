"""Values of options as users write them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click
import pytest

from walrus_sdk.cli import kinds
from walrus_sdk.model.units import Frost, Mist


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (kinds.DURATION, "90s", 90.0),
        (kinds.DURATION, "30m", 1800.0),
        (kinds.DURATION, "1h30m", 5400.0),
        (kinds.DURATION, "250ms", 0.25),
        (kinds.DURATION, "2.5", 2.5),
        (kinds.WAL, "0.5", Frost(500_000_000)),
        (kinds.WAL, "2 WAL", Frost(2_000_000_000)),
        (kinds.WAL, "500000frost", Frost(500_000)),
        (kinds.WAL, "0.000000001", Frost(1)),
        (kinds.WAL, "9007199.254740993", Frost(9_007_199_254_740_993)),
        (kinds.SUI, "1.25", Mist(1_250_000_000)),
        (kinds.SUI, "7mist", Mist(7)),
        (kinds.SHARE, "0.25", 0.25),
        (kinds.SHARE, "50%", 0.5),
        (kinds.SHARE, "1", 1.0),
        (kinds.SIZE, "10MiB", 10 * 1024 * 1024),
        (kinds.SIZE, "500kB", 500_000),
        (kinds.SIZE, "1000", 1000),
        (kinds.PRICE, "0.42", Decimal("0.42")),
    ],
)
def test_a_value_is_read_exactly(kind: Any, text: str, value: object) -> None:
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (kinds.DURATION, "soon"),
        (kinds.DURATION, "5 fortnights"),
        (kinds.DURATION, "-1s"),
        (kinds.DURATION, "nan"),
        (kinds.WAL, "0.0000000001"),
        (kinds.WAL, "0.5frost"),
        (kinds.WAL, "5sui"),
        (kinds.WAL, "-1"),
        (kinds.WAL, "1e9"),
        (kinds.SHARE, "50"),
        (kinds.SHARE, "101%"),
        (kinds.SIZE, "10 parsecs"),
        (kinds.PRICE, "NaN"),
        (kinds.OBJECT_ID, "my-app"),
        (kinds.ADDRESS, "0x" + "1" * 65),
    ],
)
def test_a_value_that_cannot_be_is_a_usage_error(kind: Any, text: str) -> None:
    with pytest.raises(click.BadParameter):
        kind.convert(text, None, None)
