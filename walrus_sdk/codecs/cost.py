"""What storing costs, in FROST. Source: walrus `system_state_inner.move`; docs/explanation/formats.md (cost).

Both fees are priced by the *encoded* size in whole MiB, which has a floor of 63 MiB at 1000 shards. Prices follow
votes and change within an epoch: read them just before paying.
"""

from __future__ import annotations

from walrus_sdk.codecs.redstuff import encoded_size, storage_units
from walrus_sdk.model.network import Prices
from walrus_sdk.model.units import Frost

__all__ = ["extension_cost", "reserve_cost", "store_cost"]

_UNIT = 1024 * 1024


def reserve_cost(storage_size: int, epochs: int, prices: Prices) -> Frost:
    """Return the price of a storage object of `storage_size` bytes (encoded size) for `epochs` Walrus epochs.

    Extending a blob is priced by the size of its storage object, which may be larger than the blob needs.
    """
    return prices.storage * (-(-storage_size // _UNIT) * epochs)


def store_cost(length: int, n_shards: int, epochs: int, prices: Prices) -> Frost:
    """Return storage plus write fee for a new blob of `length` bytes over `epochs` Walrus epochs."""
    storage = reserve_cost(encoded_size(length, n_shards), epochs, prices)
    return storage + prices.write * storage_units(length, n_shards)


def extension_cost(length: int, n_shards: int, epochs: int, prices: Prices) -> Frost:
    """Return the price of `epochs` more Walrus epochs for a stored blob of `length` bytes; there is no write fee."""
    return reserve_cost(encoded_size(length, n_shards), epochs, prices)
