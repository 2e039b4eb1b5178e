"""A chain in memory, and a small wallet on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from walrus_sdk.codecs import objects
from walrus_sdk.codecs import transaction as tx
from walrus_sdk.codecs.keys import PrivateKey
from walrus_sdk.codecs.ptb import PtbBuilder
from walrus_sdk.localnet.chain.objects import StoredObject
from walrus_sdk.localnet.chain.site_package import site_type
from walrus_sdk.localnet.chain.state import Record, SuiState
from walrus_sdk.localnet.genesis import Genesis
from walrus_sdk.localnet.storage import MemoryTables
from walrus_sdk.model.chain import ObjectRef
from walrus_sdk.model.units import ObjectId, SuiAddress, SuiEpoch


class Wallet:
    """Signs and sends for one key; calls are given as (function, arguments) with Python values."""

    def __init__(self, state: SuiState, key: PrivateKey) -> None:
        self.state = state
        self.key = key

    @property
    def address(self) -> SuiAddress:
        return self.key.address

    def owned(self, type_: str) -> list[StoredObject]:
        found = (self.state.objects.get(id_) for id_ in sorted(self.state.objects.ids_of(self.address.raw)))
        return [item for item in found if item is not None and item.type == type_]

    def coins(self) -> list[ObjectRef]:
        return [item.ref for id_ in sorted(self.state.objects.ids_of(self.address.raw))
                if (item := self.state.objects.get(id_)) is not None and item.type.endswith("::sui::SUI>")]  # fmt: skip

    def data(
        self,
        kind: tx.ProgrammableTransaction,
        *,
        payment: Sequence[ObjectRef] | None = None,
        budget: int = 5 * 10**8,
        price: int = 1000,
        expiration: tx.Expiration | None = None,
    ) -> bytes:
        gas = tx.GasData(tuple(self.coins()[:1] if payment is None else payment), self.address, price, budget)
        epoch = SuiEpoch(self.state.sui_epoch.number + 1)
        return tx.encode_transaction(
            tx.TransactionData(kind, self.address, gas, expiration or tx.EpochExpiration(epoch))
        )

    def send(self, kind: tx.ProgrammableTransaction, **options: Any) -> Record:
        data = self.data(kind, **options)
        return self.state.execute(data, [self.key.sign_transaction(data)])

    def site(self) -> StoredObject:
        (found,) = self.owned(site_type(self.state.genesis))
        return found

    def call(self, *calls: tuple[Any, ...], site: ObjectRef | None = None, package: ObjectId | None = None) -> Record:
        """Send calls on the wallet's site: each is (function, argument, ...); texts, numbers and bytes become pures."""
        builder = PtbBuilder()
        target = builder.owned(site or self.site().ref)
        for name, *arguments in calls:
            module, function = name.split("::")
            values = [target if a is SITE else a if isinstance(a, RESULTS) else pure(builder, a) for a in arguments]
            builder.call(package or self.state.genesis.call_package, module, function, values)
        return self.send(builder.finish())

    def make_site(self, name: str = "tides") -> ObjectRef:
        builder = PtbBuilder()
        package = self.state.genesis.call_package
        metadata = builder.call(package, "metadata", "new_metadata", [builder.option_string(None)] * 5)
        made = builder.call(package, "site", "new_site", [builder.string(name), metadata])
        builder.transfer([made], self.address)
        record = self.send(builder.finish())
        assert record.failure is None, record.failure
        return self.site().ref


SITE = object()
RESULTS = (tx.Result, tx.NestedResult, tx.Input)


def pure(builder: PtbBuilder, value: Any) -> tx.Argument:
    if isinstance(value, str):
        return builder.string(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return builder.strings(value)
    if isinstance(value, list):
        return builder.pure(bytes([len(value)]) + b"".join(item.to_bytes(2, "little") for item in value))
    if isinstance(value, int):
        return builder.pure(value.to_bytes(2, "little"))
    assert isinstance(value, bytes)
    return builder.pure(value)


@pytest.fixture
def genesis() -> Genesis:
    return Genesis(seed="11" * 32, n_shards=10)


@pytest.fixture
def state(genesis: Genesis) -> SuiState:
    return SuiState(MemoryTables(), genesis, lambda: 1_700_000_000_000)


@pytest.fixture
def wallet(state: SuiState) -> Wallet:
    return Wallet(state, state.dev_key())


@pytest.fixture
def read_site(state: SuiState) -> Any:
    """Decode a Site object."""
    return lambda item: objects.decode_site(item.contents)
