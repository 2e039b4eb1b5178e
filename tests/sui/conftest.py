"""A Sui node in this process behind an HTTP transport, a wallet on its chain, and clients of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from walrus_sdk.codecs import transaction as tx
from walrus_sdk.codecs.keys import PrivateKey
from walrus_sdk.http.client import HttpClient
from walrus_sdk.localnet.chain.objects import StoredObject
from walrus_sdk.localnet.chain.site_package import site_type
from walrus_sdk.localnet.chain.state import Record, SuiState
from walrus_sdk.localnet.genesis import GAS_TYPE, Genesis, coin_type
from walrus_sdk.localnet.http_sui.graphql import GraphQlService
from walrus_sdk.localnet.storage import MemoryTables
from walrus_sdk.localnet.world import network_of
from walrus_sdk.model.chain import ObjectRef
from walrus_sdk.model.network import Network
from walrus_sdk.model.plan import SiteChange
from walrus_sdk.model.site import Resource
from walrus_sdk.model.units import BlobId, SuiAddress, SuiEpoch
from walrus_sdk.sites import calls, packing
from walrus_sdk.sui.chain import GraphQlChain
from walrus_sdk.sui.graphql import GraphQl


@dataclass
class Node:
    """Answers by the simulated chain, unless told otherwise; keeps what it was asked.

    `faults` holds, by URL, what answers instead: called with the request, it returns an answer, raises, or returns
    `None` for "as usual". `change` may rewrite each answer's JSON; it is given the request's number, from 0.
    """

    state: SuiState
    behind: int = 0
    faults: dict[str, Callable[[httpx.Request], httpx.Response | None]] = field(default_factory=dict)
    change: Callable[[int, Any], Any] = lambda _number, answer: answer
    requests: list[httpx.Request] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._service = GraphQlService(self.state)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        fault = self.faults.get(str(request.url))
        answer = fault(request) if fault is not None else None
        if answer is not None:
            return answer
        data = self._service.answer(request.content, behind=self.behind)
        self.answers.append(data)
        return httpx.Response(200, json=self.change(len(self.requests) - 1, data))

    @property
    def bodies(self) -> list[Any]:
        """The requests' JSON."""
        return [json.loads(request.content) for request in self.requests]


@dataclass
class Wallet:
    """Makes transactions of one key on the chain."""

    state: SuiState
    key: PrivateKey

    @property
    def address(self) -> SuiAddress:
        return self.key.address

    def owned(self, type_: str) -> list[StoredObject]:
        found = (self.state.objects.get(id_) for id_ in sorted(self.state.objects.ids_of(self.address.raw)))
        return [item for item in found if item is not None and item.type == type_]

    def coins(self) -> list[ObjectRef]:
        return [item.ref for item in self.owned(coin_type(GAS_TYPE))]

    def site(self) -> StoredObject:
        (found,) = self.owned(site_type(self.state.genesis))
        return found

    def kind(
        self, change: SiteChange, *, new: str | None = None, site: ObjectRef | None = None
    ) -> tx.ProgrammableTransaction:
        """Return the one transaction that makes, or changes, a site."""
        records = {path: resource(path) for path in (*change.add, *change.replace)}
        where = packing.Calls(self.state.genesis.call_package, self.address)
        (part,) = packing.pack(calls.steps(change, records, new), where)
        return packing.build(part, where, None if new is not None else site or self.site().ref)

    def data(
        self,
        kind: tx.ProgrammableTransaction,
        *,
        payment: Sequence[ObjectRef] | None = None,
        budget: int = 5 * 10**9,
        price: int = 1000,
        expires: int | None = None,
        owner: SuiAddress | None = None,
    ) -> bytes:
        gas = tx.GasData(tuple(self.coins()[:1] if payment is None else payment), owner or self.address, price, budget)
        epoch = SuiEpoch(self.state.sui_epoch.number + 1 if expires is None else expires)
        return tx.encode_transaction(tx.TransactionData(kind, self.address, gas, tx.EpochExpiration(epoch)))

    def signed(self, kind: tx.ProgrammableTransaction, **options: Any) -> tuple[bytes, list[bytes]]:
        data = self.data(kind, **options)
        return data, [self.key.sign_transaction(data)]

    def publish(self, change: SiteChange, *, new: str | None = None) -> Record:
        """Execute a change on the chain, past every client."""
        record = self.state.execute(*self.signed(self.kind(change, new=new)))
        assert record.failure is None, record.failure
        return record


def resource(path: str) -> Resource:
    """Return the resource that `Wallet.kind` puts at a path."""
    headers = (("content-type", "text/html"), ("x-path", path))
    return Resource(path, headers, BlobId(path.encode().ljust(32, b"\7")[:32]), b"\x08" * 32)


@pytest.fixture(name="resource")
def resource_fixture() -> Callable[[str], Resource]:
    """Give `resource` to tests."""
    return resource


@pytest.fixture
def genesis() -> Genesis:
    return Genesis(seed="22" * 32, n_shards=10)


@pytest.fixture
def state(genesis: Genesis) -> SuiState:
    return SuiState(MemoryTables(), genesis, lambda: 1_700_000_000_000)


@pytest.fixture
def wallet(state: SuiState) -> Wallet:
    return Wallet(state, state.dev_key())


@pytest.fixture
def node(state: SuiState) -> Node:
    return Node(state)


@pytest.fixture
def network(genesis: Genesis) -> Network:
    return network_of(genesis, "http://127.0.0.1:1")


@pytest.fixture
def connect(node: Node, network: Network) -> Callable[..., GraphQlChain]:
    """Return a maker of clients: its options replace fields of the network."""

    def make(**fields: Any) -> GraphQlChain:
        there = replace(network, **fields)
        http = HttpClient(transport=httpx.MockTransport(node))
        return GraphQlChain(GraphQl(http, there.graphql_urls), there)

    return make


@pytest.fixture
def chain(connect: Callable[..., GraphQlChain]) -> GraphQlChain:
    return connect()
