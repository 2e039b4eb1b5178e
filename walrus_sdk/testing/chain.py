"""Sui without HTTP: the simulated chain's state behind the port, with lost answers and lagging reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from walrus_sdk.codecs import objects
from walrus_sdk.codecs.bcs import Reader
from walrus_sdk.codecs.ids import REDIRECTS_KEY, ROUTES_KEY
from walrus_sdk.errors import BlockchainError
from walrus_sdk.localnet.chain.checks import Refused
from walrus_sdk.localnet.chain.objects import StoredObject
from walrus_sdk.localnet.chain.site_package import field_types, site_type
from walrus_sdk.localnet.chain.state import Record, SuiState
from walrus_sdk.localnet.genesis import GAS_TYPE, coin_type
from walrus_sdk.model.chain import BlobObject, Coin, OwnedObject, Simulation, TransactionOutcome
from walrus_sdk.model.network import ChainState
from walrus_sdk.model.site import Redirect, Resource, SiteContent, SiteSnapshot
from walrus_sdk.model.units import BlobId, Digest, ObjectId, SuiAddress
from walrus_sdk.sui.failures import graphql_error
from walrus_sdk.testing.death import Life
from walrus_sdk.testing.virtual import turn

__all__ = ["MemoryChain"]

_FIELD_ID = 32


class MemoryChain:
    """Implements `ports.Chain` over a local network's state.

    `faults` is called before and after an execution (``"execute"``, ``"executed"``) and before a read (``"read"``);
    what it returns is raised there. `executing` is told of each transaction before, `answered` what was said of it
    (`None`: it is final), `after` is called after each. `behind` lets reads of transactions, sites, coins and
    references lag by so many transactions; `late_s` lets everything lag by so many seconds, simulations and what
    takes a transaction included. `congested` tells whether a transaction that uses a shared object is cancelled,
    `postpones` whether one is kept on its way in `under_way`: nobody is told, and it happens when it arrives
    (`arrive`).
    """

    def __init__(
        self, state: SuiState, life: Life, under_way: list[tuple[bytes, Sequence[bytes]]] | None = None
    ) -> None:
        self.sui = state
        self.under_way = under_way if under_way is not None else []
        self.postpones: Callable[[], bool] = lambda: False
        self.answered: Callable[[bytes, Exception | None], None] = lambda _transaction, _error: None
        self.faults: Callable[[str], BaseException | None] = lambda _moment: None
        self.behind = 0
        self.late_s = 0.0
        self.executed = 0
        self.congested: Callable[[], bool] = lambda: False
        self.executing: Callable[[bytes], None] = lambda _transaction: None
        self.after: Callable[[], None] = lambda: None
        self._life = life

    @property
    def _lag(self) -> int:
        return max(self.behind, self._late)

    @property
    def _late(self) -> int:
        return self.sui.committed_within(self.late_s) if self.late_s else 0

    async def _turn(self, moment: str = "read") -> None:
        await turn()
        self._life.check()
        if moment:
            self._raise(moment)

    async def state(self) -> ChainState:
        """Read the chain's state; see the port."""
        await self._turn()
        genesis = self.sui.genesis
        return ChainState(
            chain_id=genesis.chain_id,
            sui_epoch=self.sui.sui_epoch,
            gas_price=self.sui.gas_price,
            walrus_epoch=self.sui.walrus_epoch,
            n_shards=genesis.n_shards,
            prices=self.sui.prices,
            max_epochs_ahead=genesis.max_epochs_ahead,
            walrus_package=genesis.walrus_package,
            blob_package=genesis.blob_package,
        )

    # ── sites ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def site(self, site_id: ObjectId, *, known: SiteSnapshot | None = None) -> SiteSnapshot | None:
        """Read a site; see the port."""
        await self._turn()
        view = self.sui.objects.view(self._lag)
        item = view.get(site_id)
        if item is None:
            return None
        if item.type != site_type(self.sui.genesis):
            raise BlockchainError("wrong_object_type", f"{site_id} is no site but {item.type}")
        if known is not None and (known.version, known.digest) == (item.version, item.digest):
            return known
        content = _content(objects.decode_site(item.contents), view.owned_by(site_id.raw))
        owner = SuiAddress(item.owner.id) if item.owner.kind == "AddressOwner" else None
        return SiteSnapshot(site_id, item.version, item.digest, owner, content)

    def resources(self, site_id: ObjectId) -> Mapping[str, Resource]:
        """Return what a site has at each path at this moment, whatever reads lag behind."""
        view = self.sui.objects.view()
        item = view.get(site_id)
        if item is None:
            return {}
        return _content(objects.decode_site(item.contents), view.owned_by(site_id.raw)).resources

    def edit_elsewhere(self, site_id: ObjectId, choose: Callable[[Sequence[StoredObject]], StoredObject]) -> None:
        """Let another tool remove a page of a site: the site's version moves on."""
        site, kind = self.sui.objects.get(site_id), field_types(self.sui.genesis)["resource"]
        pages = [item for item in self.sui.objects.view().owned_by(site_id.raw) if item.type == kind]
        if site is not None and pages:
            self.sui.system_transaction([site], [choose(pages).id])

    def references(
        self, owner: SuiAddress, known: dict[tuple[ObjectId, int], frozenset[BlobId]]
    ) -> Mapping[ObjectId, frozenset[BlobId]]:
        """Return which blobs the owner's sites refer to at this moment, whatever reads lag behind.

        `known` keeps what was read of each version of a site.
        """
        view, found = self.sui.objects.view(), {}
        for item in self._owned(owner, site_type(self.sui.genesis)):
            key = (item.id, item.version)
            if key not in known:
                content = _content(objects.decode_site(item.contents), view.owned_by(item.id.raw))
                known[key] = frozenset(resource.blob_id for resource in content.resources.values())
            found[item.id] = known[key]
        return found

    def _owned(self, owner: SuiAddress, kind: str, behind: int = 0) -> list[StoredObject]:
        return [item for item in self.sui.objects.view(behind).owned_by(owner.raw) if item.type == kind]

    async def sites(self, owner: SuiAddress) -> Sequence[tuple[ObjectId, str]]:
        """List an owner's sites; see the port."""
        await self._turn()
        found = self._owned(owner, site_type(self.sui.genesis), self._late)
        return [(item.id, objects.decode_site(item.contents).name) for item in found]

    # ── objects ───────────────────────────────────────────────────────────────────────────────────────────────

    async def blobs(self, owner: SuiAddress) -> Sequence[BlobObject]:
        """List an owner's Blob objects; see the port."""
        await self._turn()
        found = self._owned(owner, f"{self.sui.genesis.blob_package}::blob::Blob", self._late)
        blobs = [(item.ref, objects.decode_blob(item.contents)) for item in found]
        return [BlobObject(ref, b.blob_id, b.size, b.certified_epoch, b.end_epoch, b.deletable) for ref, b in blobs]

    async def coins(self, owner: SuiAddress) -> Sequence[Coin]:
        """List an owner's SUI coins, largest first; see the port."""
        await self._turn()
        found = self._owned(owner, coin_type(GAS_TYPE), self._lag)
        coins = [Coin(item.ref, objects.decode_coin(item.contents)[1]) for item in found]
        return sorted(coins, key=lambda coin: (-coin.balance, coin.ref.id))

    async def objects(self, ids: Sequence[ObjectId]) -> Sequence[OwnedObject | None]:
        """Read references; see the port."""
        await self._turn()
        view = self.sui.objects.view(self._lag)
        return [_reference(view.get(id_)) for id_ in ids]

    # ── transactions ──────────────────────────────────────────────────────────────────────────────────────────

    async def simulate(self, transaction: bytes, *, estimate: bool = False) -> Simulation:
        """Dry-run a transaction; see the port."""
        await self._turn()
        try:
            gas, failure = self.sui.simulate(transaction, checked=not estimate, behind=self._late)
        except Refused as error:
            raise _refusal(error, executing=False) from error
        return Simulation(failure, gas)

    async def execute(self, transaction: bytes, signatures: Sequence[bytes]) -> TransactionOutcome:
        """Send a signed transaction; see the port."""
        await self._turn("")
        self.executing(transaction)
        try:
            outcome = self._execute(transaction, signatures)
        except Exception as error:
            self.answered(transaction, error)
            raise
        self.answered(transaction, None)
        return outcome

    def _execute(self, transaction: bytes, signatures: Sequence[bytes]) -> TransactionOutcome:
        self._raise("execute")
        if self.postpones():
            self.under_way.append((transaction, signatures))
            raise BlockchainError("transaction_unknown", "no answer came in time")
        try:
            record = self.sui.execute(transaction, signatures, congested=self.congested(), behind=self._late)
        except Refused as error:
            raise _refusal(error, executing=True) from error
        self.executed += 1
        self.after()
        self._raise("executed")
        return _outcome(record)

    def arrive(self) -> None:
        """Let what is under way arrive at last; what cannot happen any more does not."""
        while self.under_way:
            with suppress(Refused):
                self.sui.execute(*self.under_way.pop(0))

    def _raise(self, moment: str) -> None:
        fault = self.faults(moment)
        if fault is not None:
            raise fault

    async def transaction(self, digest: Digest) -> TransactionOutcome | None:
        """Look a transaction up; see the port."""
        await self._turn()
        record = self.sui.transaction(digest)
        late = record is not None and record.checkpoint > self.sui.checkpoint - self._lag
        return None if record is None or late else _outcome(record)


def _refusal(error: Refused, *, executing: bool) -> Exception:
    """Return what the GraphQL client makes of the node's words, so that both sides refuse alike."""
    answer = {"message": f"Invalid argument: {error}", "extensions": {"code": "BAD_USER_INPUT"}}
    return graphql_error([answer], executing=executing)


def _outcome(record: Record) -> TransactionOutcome:
    return TransactionOutcome(
        record.digest, record.failure, record.gas, record.gas_object, record.changes, record.checkpoint
    )


def _reference(item: StoredObject | None) -> OwnedObject | None:
    if item is None:
        return None
    owned = item.owner.kind == "AddressOwner"
    shared = item.owner.initial_version if item.owner.kind == "Shared" else None
    return OwnedObject(item.ref, item.type, SuiAddress(item.owner.id) if owned else None, item.previous, shared)


def _content(site: objects.SiteContents, fields: Iterable[StoredObject]) -> SiteContent:
    resources: dict[str, Resource] = {}
    routes: tuple[tuple[str, str], ...] | None = None
    redirects: tuple[tuple[str, Redirect], ...] | None = None
    for item in fields:
        if "::dynamic_field::Field<" not in item.type:
            continue
        # Both kinds of key are a length and so many bytes.
        reader = Reader(item.contents, _FIELD_ID)
        name = reader.bytes()
        value = objects.decode_field(item.contents, reader.at - _FIELD_ID).value
        if "::site::ResourcePath" in item.type:
            resources[name.decode()] = objects.decode_resource(value)
        elif name == ROUTES_KEY:
            routes = objects.decode_routes(value)
        elif name == REDIRECTS_KEY:
            redirects = objects.decode_redirects(value)
    return SiteContent(site.name, site.metadata, dict(sorted(resources.items())), routes, redirects)
