"""Cost: the worked examples of the contract's rules, and what extending costs."""

from __future__ import annotations

import pytest

from walrus_sdk.codecs import cost, redstuff
from walrus_sdk.model.network import Prices
from walrus_sdk.model.units import Frost

PRICES = Prices(storage=Frost(5), write=Frost(1))


@pytest.mark.parametrize(
    ("length", "symbol", "encoded", "units", "storage", "write"),
    [
        (0, 2, 66_034_000, 63, 945, 63),
        (445_556, 2, 66_034_000, 63, 945, 63),
        (445_557, 4, 68_036_000, 65, 975, 65),
        (1_000_000, 6, 70_038_000, 67, 1005, 67),
        (5_000_000, 24, 88_056_000, 84, 1260, 84),
        (100_000_000, 450, 514_482_000, 491, 7365, 491),
        (1024**3, 4820, 4_888_852_000, 4663, 69_945, 4663),
    ],
)
def test_three_epochs_cost_what_the_worked_examples_say(
    length: int, symbol: int, encoded: int, units: int, storage: int, write: int
) -> None:
    assert redstuff.symbol_size(length, 1000) == symbol
    assert redstuff.encoded_size(length, 1000) == encoded
    assert redstuff.storage_units(length, 1000) == units
    assert cost.store_cost(length, 1000, 3, PRICES) == Frost(storage + write)
    assert cost.extension_cost(length, 1000, 3, PRICES) == Frost(storage)


def test_an_extension_is_priced_by_the_storage_object_and_not_by_the_blob() -> None:
    assert redstuff.encoded_size(1, 10) == 6940
    assert cost.extension_cost(1, 10, 2, PRICES) == cost.reserve_cost(6940, 2, PRICES) == Frost(10)
    assert cost.reserve_cost(1024**2, 1, PRICES) == Frost(5)
    assert cost.reserve_cost(1024**2 + 1, 1, PRICES) == Frost(10)
