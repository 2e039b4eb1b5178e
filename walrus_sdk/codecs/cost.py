"""What storing costs, in FROST. Source: walrus `system_state_inner.move`; docs/explanation/formats.md (cost)."""

from __future__ import annotations

from walrus_sdk.codecs.redstuff import storage_units
from walrus_sdk.model.network import Prices
from walrus_sdk.model.units import Frost

__all__ = ["extension_cost", "store_cost"]


def store_cost(length: int, n_shards: int, epochs: int, prices: Prices) -> Frost:
    """Return storage plus write fee for a new blob of `length` bytes over `epochs` Walrus epochs."""
    units = storage_units(length, n_shards)
    return prices.storage * (units * epochs) + prices.write * units


def extension_cost(length: int, n_shards: int, epochs: int, prices: Prices) -> Frost:
    """Return the price of `epochs` more Walrus epochs for a stored blob of `length` bytes; there is no write fee."""
    return prices.storage * (storage_units(length, n_shards) * epochs)
