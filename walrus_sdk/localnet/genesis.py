"""What a local network is made of at its beginning; fixed for its life."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from walrus_sdk.codecs.type_tags import StructTag, format_type_tag
from walrus_sdk.model.units import Digest, ObjectId, SuiAddress

__all__ = ["GAS_TYPE", "Genesis", "coin_type"]

_SUI = ObjectId.parse("0x2")
GAS_TYPE = format_type_tag(StructTag(_SUI, "sui", "SUI"))


def coin_type(inner: str) -> str:
    """Return the type of a coin object of `inner`."""
    return f"{_SUI}::coin::Coin<{inner}>"


@lru_cache(maxsize=256)
def _derived(seed: str, label: str) -> bytes:
    return blake2b(bytes.fromhex(seed) + label.encode(), digest_size=32).digest()


@lru_cache(maxsize=256)
def _derived_id(seed: str, label: str) -> ObjectId:
    return ObjectId(_derived(seed, label))


@dataclass(frozen=True, slots=True)
class Genesis:
    """Seed and numbers of a network; every id follows from the seed (32 random bytes, in hex).

    The prices are those of the beginning: FROST per storage unit and, of gas, MIST per computation unit.
    `max_epochs_ahead` counts Walrus epochs. `start_ms` is the wall clock of the first epoch.
    """

    seed: str
    n_shards: int = 1000
    storage_price: int = 7000
    write_price: int = 2000
    gas_price: int = 1000
    max_epochs_ahead: int = 53
    start_ms: int = 0

    def _derive(self, label: str) -> bytes:
        return _derived(self.seed, label)

    def _id(self, label: str) -> ObjectId:
        return _derived_id(self.seed, label)

    @property
    def chain(self) -> Digest:
        """The genesis digest: the chain's long id."""
        return Digest(self._derive("genesis"))

    @property
    def chain_id(self) -> str:
        """The chain's short id."""
        return self.chain.raw[:4].hex()

    @property
    def call_package(self) -> ObjectId:
        """Walrus Sites, version 2: whose code runs."""
        return self._id("walrus_site v2")

    @property
    def type_package(self) -> ObjectId:
        """Walrus Sites, version 1: which defined `Site` and `Resource`."""
        return self._id("walrus_site v1")

    @property
    def redirects_package(self) -> ObjectId:
        """The version that defined `Redirects`."""
        return self.call_package

    @property
    def walrus_package(self) -> ObjectId:
        """Walrus, newest version: whose code runs."""
        return self._id("walrus v2")

    @property
    def blob_package(self) -> ObjectId:
        """Walrus, first version: which defined `Blob`."""
        return self._id("walrus v1")

    @property
    def wal_type(self) -> str:
        """The WAL coin's inner type."""
        return f"{self._id('wal')}::wal::WAL"

    @property
    def system_object(self) -> ObjectId:
        """Walrus's System object."""
        return self._id("system")

    @property
    def staking_object(self) -> ObjectId:
        """Walrus's Staking object."""
        return self._id("staking")

    @property
    def publisher(self) -> SuiAddress:
        """The publisher's wallet."""
        return SuiAddress(self._derive("publisher"))

    @property
    def dev_secret(self) -> bytes:
        """The secret of the account that is funded at the beginning; worth nothing on any other chain."""
        return self._derive("dev key")

    def to_json(self) -> bytes:
        """Return the form that is stored."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Genesis:
        """Read the stored form."""
        values: dict[str, Any] = json.loads(data)
        return cls(**values)
