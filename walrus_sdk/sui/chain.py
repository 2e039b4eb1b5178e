"""The port to Sui over GraphQL."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from walrus_sdk.codecs import objects
from walrus_sdk.codecs.ids import dynamic_field_id
from walrus_sdk.codecs.transaction import transaction_digest
from walrus_sdk.codecs.type_tags import PrimitiveTag
from walrus_sdk.errors import BlockchainError
from walrus_sdk.model.chain import BlobObject, Coin, ObjectRef, OwnedObject, Simulation, TransactionOutcome
from walrus_sdk.model.network import ChainState, Network, Prices
from walrus_sdk.model.site import SiteSnapshot
from walrus_sdk.model.units import Digest, Frost, ObjectId, SuiAddress, SuiEpoch
from walrus_sdk.sui import decode, documents
from walrus_sdk.sui.graphql import GraphQl
from walrus_sdk.sui.site_reader import SiteReader

__all__ = ["GraphQlChain"]

_KEYS = 40
"""Object keys in one request: 200 are allowed, and do not fit into its 5,000 bytes."""

_MAX_EPOCHS_AHEAD = 53
"""Walrus epochs that storage can be bought ahead, on every network."""

_COIN = "0x2::coin::Coin<0x2::sui::SUI>"


class GraphQlChain:
    """Implements `ports.Chain` for one network."""

    def __init__(self, graphql: GraphQl, network: Network) -> None:
        self._graphql = graphql
        self._network = network
        self._sites = SiteReader(graphql, network)
        self._blob_package: ObjectId | None = None
        self._inner_id: ObjectId | None = None

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────

    async def state(self) -> ChainState:
        """Read the chain's state: one request, and a second one when Walrus was upgraded or is read for the first time.

        Raises `BlockchainError` ``chain_mismatch`` when the node serves another chain.
        """
        system_id = self._network.system_object
        assert system_id is not None, "a network in use has its System object"
        ids = [system_id] if self._inner_id is None else [system_id, self._inner_id]
        data = await self._graphql.read(documents.STATE, {"keys": _keys(ids)})
        chain, epoch, price = _state(data)
        short = chain.raw[:4].hex()
        if self._network.chain_id and short != self._network.chain_id:
            text = f"the node serves chain {short}, {self._network.name} is {self._network.chain_id}"
            raise BlockchainError("chain_mismatch", text, found=short, expected=self._network.chain_id)
        nodes = dict(zip(ids, _listed(data, ids), strict=True))
        kind, body = self._contents(system_id, nodes[system_id])
        system = _system(body)
        inner_id = dynamic_field_id(system_id, system.version.to_bytes(8, "little"), PrimitiveTag("u64"))
        if inner_id not in nodes:
            (nodes[inner_id],) = await self._nodes([inner_id])
        inner = _inner(self._contents(inner_id, nodes[inner_id])[1])
        self._inner_id, self._blob_package = inner_id, _package(kind)
        return ChainState(
            chain_id=short,
            sui_epoch=epoch,
            gas_price=price,
            walrus_epoch=inner.epoch,
            n_shards=inner.n_shards,
            prices=Prices(Frost(inner.storage_price), Frost(inner.write_price)),
            max_epochs_ahead=_MAX_EPOCHS_AHEAD,
            walrus_package=system.package,
            blob_package=self._blob_package,
        )

    def _contents(self, id_: ObjectId, node: Mapping[str, Any] | None) -> tuple[str, bytes]:
        if node is None:
            raise BlockchainError("object_not_found", f"no object {id_} on {self._network.name}", object_id=str(id_))
        return decode.contents(node)

    async def _nodes(self, ids: Sequence[ObjectId]) -> list[Mapping[str, Any] | None]:
        found: list[Mapping[str, Any] | None] = []
        for start in range(0, len(ids), _KEYS):
            part = ids[start : start + _KEYS]
            data = await self._graphql.read(documents.OBJECTS, {"keys": _keys(part)})
            found += _listed(data, part)
        return found

    async def site(self, site_id: ObjectId, *, known: SiteSnapshot | None = None) -> SiteSnapshot | None:
        """Read a site; see the port."""
        return await self._sites.read(site_id, known)

    async def sites(self, owner: SuiAddress) -> Sequence[tuple[ObjectId, str]]:
        """List an owner's sites; see the port."""
        kind = f"{self._network.type_package}::site::Site"
        found = [_site(body) async for _, body in self._owned(owner, kind)]
        return [(site.id, site.name) for site in found]

    async def blobs(self, owner: SuiAddress) -> Sequence[BlobObject]:
        """List an owner's Blob objects; see the port."""
        package = self._blob_package or (await self.state()).blob_package
        found = []
        async for ref, body in self._owned(owner, f"{package}::blob::Blob"):
            blob = _blob(body)
            found.append(BlobObject(ref, blob.blob_id, blob.size, blob.certified_epoch, blob.end_epoch, blob.deletable))
        return found

    async def coins(self, owner: SuiAddress) -> Sequence[Coin]:
        """List an owner's SUI coins, largest first; see the port."""
        found = [Coin(ref, _coin(body)[1]) async for ref, body in self._owned(owner, _COIN)]
        return sorted(found, key=lambda coin: (-coin.balance, coin.ref.id))

    async def balance(self, owner: SuiAddress, coin: str) -> int:
        """Return what an address has of a coin type, in base units. For people: a plan asks for coins."""
        data = await self._graphql.read(documents.BALANCE, {"owner": str(owner), "coin": coin})
        return _balance(data)

    async def _owned(self, owner: SuiAddress, kind: str) -> AsyncIterator[tuple[ObjectRef, bytes]]:
        after: str | None = None
        while True:
            variables = {"owner": str(owner), "type": kind, "after": after}
            data = await self._graphql.read(documents.OWNED, variables)
            connection = _owned(data)
            if connection is None:
                return
            for node in decode.nodes(connection):
                yield decode.reference(node), decode.contents(node)[1]
            after = decode.page_info(connection, after)
            if after is None:
                return

    async def objects(self, ids: Sequence[ObjectId]) -> Sequence[OwnedObject | None]:
        """Read references; see the port."""
        return [decode.object_of(node) if node is not None else None for node in await self._nodes(ids)]

    # ── transactions ──────────────────────────────────────────────────────────────────────────────────────────

    async def simulate(self, transaction: bytes, *, estimate: bool = False) -> Simulation:
        """Dry-run a transaction; see the port. An empty payment is simulated with a coin of the node's own."""
        del estimate  # the node sees it by the empty payment
        data = await self._graphql.read(documents.SIMULATE, {"t": {"bcs": {"value": _base64(transaction)}}})
        return decode.simulation(_effects(data, "simulateTransaction"))

    async def execute(self, transaction: bytes, signatures: Sequence[bytes]) -> TransactionOutcome:
        """Send a signed transaction; see the port."""
        variables = {"t": _base64(transaction), "s": [_base64(signature) for signature in signatures]}
        data = await self._graphql.execute(documents.EXECUTE, variables)
        return _named(decode.outcome(_effects(data, "executeTransaction")), transaction_digest(transaction))

    async def transaction(self, digest: Digest) -> TransactionOutcome | None:
        """Look a transaction up; see the port."""
        data = await self._graphql.read(documents.TRANSACTION, {"d": str(digest)})
        if _is_unknown(data):
            return None
        return _named(decode.outcome(_effects(data, "transaction")), digest)


def _keys(ids: Sequence[ObjectId]) -> list[dict[str, str]]:
    return [{"address": str(id_)} for id_ in ids]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


@decode.strict
def _state(data: Mapping[str, Any]) -> tuple[Digest, SuiEpoch, int]:
    epoch = data["epoch"]
    number, price = decode.number(epoch["epochId"]), decode.number(epoch["referenceGasPrice"])
    return Digest.parse(data["chainIdentifier"]), SuiEpoch(number), price


@decode.strict
def _listed(data: Mapping[str, Any], ids: Sequence[ObjectId]) -> list[Mapping[str, Any] | None]:
    nodes = list(data["multiGetObjects"])
    if len(nodes) != len(ids):
        raise ValueError(f"{len(nodes)} objects for {len(ids)} keys")
    for node, id_ in zip(nodes, ids, strict=True):
        if node is not None and ObjectId.parse(node["address"]) != id_:
            raise ValueError(f"expected object {id_}, found {node['address']}")
    return nodes


@decode.strict
def _owned(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    address = data["address"]
    if address is None:
        return None
    found: Mapping[str, Any] | None = address["objects"]
    if found is None:  # not the same as owning nothing
        raise ValueError("no list of objects")
    return found


@decode.strict
def _balance(data: Mapping[str, Any]) -> int:
    address = data["address"]
    return 0 if address is None or address["balance"] is None else decode.number(address["balance"]["totalBalance"])


@decode.strict
def _is_unknown(data: Mapping[str, Any]) -> bool:
    return data["transaction"] is None


@decode.strict
def _named(outcome: TransactionOutcome, digest: Digest) -> TransactionOutcome:
    """Return an outcome that is of the transaction asked for: what is recorded goes by its digest."""
    if outcome.digest != digest:
        raise ValueError(f"expected transaction {digest}, found {outcome.digest}")
    return outcome


@decode.strict
def _effects(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    effects: Mapping[str, Any] = data[name]["effects"]
    return effects


@decode.strict
def _package(kind: str) -> ObjectId:
    return ObjectId.parse(kind.partition("::")[0])


@decode.strict
def _inner(field: bytes) -> objects.SystemInner:
    return objects.decode_system_inner(objects.decode_field(field, 8).value)


_system = decode.strict(objects.decode_system)
_site = decode.strict(objects.decode_site)
_blob = decode.strict(objects.decode_blob)
_coin = decode.strict(objects.decode_coin)
