"""The chain: objects, transactions, epochs, and the few transactions that the network makes itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from walrus_sdk.codecs import objects
from walrus_sdk.codecs import transaction as tx
from walrus_sdk.codecs.ids import dynamic_field_id
from walrus_sdk.codecs.keys import PrivateKey, Scheme
from walrus_sdk.codecs.type_tags import PrimitiveTag
from walrus_sdk.localnet.chain import checks, gas
from walrus_sdk.localnet.chain.execution import Run
from walrus_sdk.localnet.chain.machine import Context, Failed, Sandbox, Slot
from walrus_sdk.localnet.chain.objects import Objects, ObjectStore, Owner, StoredObject
from walrus_sdk.localnet.genesis import GAS_TYPE, Genesis, coin_type
from walrus_sdk.localnet.storage import Tables
from walrus_sdk.model.chain import ExecutionFailure, GasUsed, ObjectChange, ObjectRef
from walrus_sdk.model.network import Prices
from walrus_sdk.model.units import Digest, Frost, ObjectId, SuiAddress, SuiEpoch, WalrusEpoch

__all__ = ["Record", "SuiState"]

_SIMULATED_COIN = ObjectId(b"\xee" * 32)
_DEV_FUNDS = 1_000 * 10**9
_INNER_FIELD = "0x2::dynamic_field::Field<u64,{package}::system_state_inner::SystemStateInnerV1>"
_MAX_WORK = 5_000_000
_CONGESTION = ExecutionFailure(
    "EXECUTION_CANCELED_DUE_TO_CONSENSUS_OBJECT_CONGESTION", "Certificate is cancelled due to congested objects."
)


@dataclass(frozen=True, slots=True)
class Record:
    """A finished transaction. `checkpoint` counts from 1; `timestamp_ms` is its wall clock."""

    digest: Digest
    failure: ExecutionFailure | None
    gas: GasUsed
    gas_object: ObjectRef | None
    changes: tuple[ObjectChange, ...]
    checkpoint: int
    lamport: int
    timestamp_ms: int

    def to_json(self) -> bytes:
        """Return the form that is stored."""
        failure, used = self.failure, self.gas
        return json.dumps(
            {
                "failure": [failure.kind, failure.message, failure.command, failure.module, failure.function,
                            failure.abort_code] if failure else None,
                "gas": [used.computation, used.storage, used.rebate, used.non_refundable],
                "gas_object": _ref_json(self.gas_object),
                "changes": [[str(c.id), c.created, c.deleted, _ref_json(c.ref), c.owner_kind] for c in self.changes],
                "rest": [self.checkpoint, self.lamport, self.timestamp_ms],
            }
        ).encode()  # fmt: skip

    @classmethod
    def from_json(cls, key: bytes, data: bytes) -> Record:
        """Read the stored form."""
        row = json.loads(data)
        changes = tuple(
            ObjectChange(ObjectId.parse(id_), created, deleted, _json_ref(ref), kind)
            for id_, created, deleted, ref, kind in row["changes"]
        )
        failure = ExecutionFailure(*row["failure"]) if row["failure"] else None
        return cls(Digest(key), failure, GasUsed(*row["gas"]), _json_ref(row["gas_object"]), changes, *row["rest"])


def _owned(transaction: tx.TransactionData) -> list[ObjectRef]:
    refs = [arg.ref for arg in transaction.kind.inputs if isinstance(arg, tx.OwnedArg)]
    return [*refs, *transaction.gas.payment]


def _ref_json(ref: ObjectRef | None) -> list[Any] | None:
    return None if ref is None else [str(ref.id), ref.version, str(ref.digest)]


def _json_ref(row: list[Any] | None) -> ObjectRef | None:
    return None if row is None else ObjectRef(ObjectId.parse(row[0]), row[1], Digest.parse(row[2]))


@lru_cache(maxsize=8)
def _key_of(secret: bytes) -> PrivateKey:
    return PrivateKey(Scheme.ED25519, secret)


@lru_cache(maxsize=64)
def _numbers(data: bytes) -> tuple[int, int]:
    """Return the Sui epoch and the Walrus epoch of their stored form: they are asked for at every step."""
    sui, walrus = json.loads(data)
    return sui, walrus


class SuiState:
    """The chain of one local network, kept in `tables`; `now_ms` is the wall clock in milliseconds.

    Every method that changes something has committed the tables when it returns. `equivocations` lists pairs of
    different signed transactions over one version of an object: nothing here sends such a pair by mistake.
    """

    def __init__(self, tables: Tables, genesis: Genesis, now_ms: Callable[[], int]) -> None:
        self.genesis = genesis
        self.equivocations: list[tuple[Digest, Digest]] = []
        self._tables = tables
        self.now_ms = now_ms
        self.objects = ObjectStore(tables)
        self.records: dict[Digest, Record] = {}
        for key, value in tables.items("transactions"):
            self.records[Digest(key)] = Record.from_json(key, value)
        self._used: dict[tuple[ObjectId, int], tuple[Digest, tx.TransactionData]] = {}
        if tables.get("meta", b"epochs") is None:
            self._tables.put("meta", b"epochs", b"[0, 1]")
            self._make_genesis()
            self._tables.commit()

    # ── epochs ────────────────────────────────────────────────────────────────────────────────────────────────

    def _epochs(self) -> tuple[int, int]:
        return _numbers(self._tables.get("meta", b"epochs") or b"[0, 1]")

    @property
    def sui_epoch(self) -> SuiEpoch:
        """The chain's epoch."""
        return SuiEpoch(self._epochs()[0])

    @property
    def walrus_epoch(self) -> WalrusEpoch:
        """Walrus's epoch."""
        return WalrusEpoch(self._epochs()[1])

    @property
    def checkpoint(self) -> int:
        """The number of the latest checkpoint: one for each transaction."""
        return len(self.records)

    def advance_sui_epoch(self, epochs: int = 1) -> SuiEpoch:
        """Let Sui epochs pass."""
        sui, walrus = self._epochs()
        self._tables.put("meta", b"epochs", json.dumps([sui + epochs, walrus]).encode())
        self._tables.commit()
        return self.sui_epoch

    def advance_walrus_epoch(self, epochs: int = 1) -> WalrusEpoch:
        """Let Walrus epochs pass; the System object's inner state says so."""
        sui, walrus = self._epochs()
        self._tables.put("meta", b"epochs", json.dumps([sui, walrus + epochs]).encode())
        self.system_transaction([self._inner_state()])
        return self.walrus_epoch

    # ── prices ────────────────────────────────────────────────────────────────────────────────────────────────

    def _priced(self) -> list[int]:
        genesis, kept = self.genesis, self._tables.get("meta", b"prices")
        found: list[int] = json.loads(kept) if kept else [genesis.storage_price, genesis.write_price, genesis.gas_price]
        return found

    @property
    def prices(self) -> Prices:
        """What storage costs now."""
        storage, write, _ = self._priced()
        return Prices(Frost(storage), Frost(write))

    @property
    def gas_price(self) -> int:
        """The reference gas price, in MIST per computation unit."""
        return self._priced()[2]

    def set_prices(self, *, storage: int | None = None, write: int | None = None, gas: int | None = None) -> None:
        """Change prices, as votes do at the change of an epoch: FROST per storage unit, MIST per computation unit."""
        given, known = (storage, write, gas), self._priced()
        new = [old if value is None else value for old, value in zip(known, given, strict=True)]
        self._tables.put("meta", b"prices", json.dumps(new).encode())
        self.system_transaction([self._inner_state()])

    # ── what the network does itself ──────────────────────────────────────────────────────────────────────────

    def dev_key(self) -> PrivateKey:
        """Return the key that is funded at the beginning."""
        return _key_of(self.genesis.dev_secret)

    def _inner_state(self) -> StoredObject:
        storage, write, _ = self._priced()
        inner = objects.SystemInner(self.genesis.n_shards, self.walrus_epoch, 10**15, 0, storage, write)
        key = (1).to_bytes(8, "little")
        id_ = dynamic_field_id(self.genesis.system_object, key, PrimitiveTag("u64"))
        contents = objects.encode_field(objects.Field(id_, key, objects.encode_system_inner(inner)))
        type_ = _INNER_FIELD.format(package=self.genesis.blob_package).replace("0x2", str(ObjectId.parse("0x2")), 1)
        return StoredObject(id_, 0, type_, Owner("ObjectOwner", self.genesis.system_object.raw), contents)

    def _make_genesis(self) -> None:
        genesis = self.genesis
        system = objects.SystemContents(genesis.system_object, 1, genesis.walrus_package)
        shared = StoredObject(
            genesis.system_object,
            0,
            f"{genesis.blob_package}::system::System",
            Owner("Shared", initial_version=1),
            objects.encode_system(system),
        )
        self.system_transaction([shared, self._inner_state()])
        self.faucet(self.dev_key().address, _DEV_FUNDS)
        self.objects.begin()

    def faucet(self, address: SuiAddress, mist: int) -> ObjectRef:
        """Give SUI to an address; returns the coin."""
        id_ = ObjectId(blake2b(f"faucet {self.checkpoint}".encode() + address.raw, digest_size=32).digest())
        contents = objects.encode_coin(id_, mist)
        coin = StoredObject(id_, 0, coin_type(GAS_TYPE), Owner("AddressOwner", address.raw), contents)
        self.system_transaction([coin])
        made = self.objects.get(id_)
        assert made is not None
        return made.ref

    def system_transaction(self, written: Sequence[StoredObject], deleted: Sequence[ObjectId] = ()) -> Digest:
        """Write objects as a transaction of the network itself (genesis, faucet, the publisher's stores).

        Versions are set here: one above the highest that is there.
        """
        old = [self.objects.get(item.id) for item in written]
        lamport = 1 + max((item.version for item in old if item is not None), default=0)
        body = b"".join(item.id.raw + item.contents for item in written) + str(self.checkpoint).encode()
        digest = Digest(blake2b(self.genesis.chain.raw + body, digest_size=32).digest())
        final = [
            replace(item, version=lamport, previous=digest, rebate=gas.storage_of(item.contents)) for item in written
        ]
        changes = [
            ObjectChange(item.id, before is None, False, item.ref, item.owner.kind)
            for item, before in zip(final, old, strict=True)
        ]
        changes += [ObjectChange(id_, False, True, None, None) for id_ in deleted]
        self._commit(final, list(deleted), digest, None, GasUsed(0, 0, 0), None, tuple(changes), lamport)
        return digest

    # ── transactions ──────────────────────────────────────────────────────────────────────────────────────────

    def transaction(self, digest: Digest) -> Record | None:
        """Return a finished transaction."""
        return self.records.get(digest)

    def committed_within(self, seconds: float) -> int:
        """Return how many transactions were committed in the last seconds: a node that lags has not seen them."""
        since = self.now_ms() - seconds * 1000
        return sum(1 for record in self.records.values() if record.timestamp_ms > since)

    def execute(self, data: bytes, signatures: Sequence[bytes], *, congested: bool = False, behind: int = 0) -> Record:
        """Check, execute and commit. The same transaction again returns its first record.

        `congested`: one that uses a shared object is cancelled, as when too many others do at a higher price. `behind`:
        the node that takes it lags so many transactions, and refuses what it does not know yet.

        Raises `checks.Refused` when it is refused, `CodecError` when it is no transaction.
        """
        transaction, digest = tx.decode_transaction(data), tx.transaction_digest(data)
        checks.check_limits(data, transaction)
        checks.check_signatures(data, transaction, signatures)
        if digest in self.records:
            return self.records[digest]
        if behind:
            checks.check_inputs(self.objects.view(behind), transaction)
        self._note_use(transaction, digest)
        checks.check_validity(transaction, self.genesis, self.sui_epoch, self.gas_price)
        coins = checks.check_inputs(self.objects, transaction)
        if not coins:
            raise checks.Refused("Gas payment from an address balance is not simulated: name gas coins")
        have = sum(objects.decode_coin(coin.contents)[1] for coin in coins)
        if have < transaction.gas.budget:
            raise checks.Refused(
                f"Balance of gas object {have} is lower than the needed amount: {transaction.gas.budget}"
            )
        cancelled = congested and any(isinstance(arg, tx.SharedArg) for arg in transaction.kind.inputs)
        sandbox, bill, failure, lamport = self._run(
            transaction, digest, coins, self.objects, _CONGESTION if cancelled else None
        )
        return self._finish(sandbox, bill, failure, coins, lamport, digest)

    def simulate(self, data: bytes, *, checked: bool, behind: int = 0) -> tuple[GasUsed, ExecutionFailure | None]:
        """Return what a transaction would do, `behind` transactions ago.

        Without gas coins a coin that is large enough is made up.

        Raises as `execute` does; `checked` false leaves out validity and gas.
        """
        transaction, digest = tx.decode_transaction(data), tx.transaction_digest(data)
        checks.check_limits(data, transaction)
        if checked and transaction.gas.payment:
            checks.check_validity(transaction, self.genesis, self.sui_epoch, self.gas_price)
        view = self.objects.view(behind)
        coins = checks.check_inputs(view, transaction)
        have = sum(objects.decode_coin(coin.contents)[1] for coin in coins)
        if coins and checked and have < transaction.gas.budget:
            raise checks.Refused(
                f"Balance of gas object {have} is lower than the needed amount: {transaction.gas.budget}"
            )
        _, bill, failure, _ = self._run(transaction, digest, coins, view)
        return bill, failure

    def _note_use(self, transaction: tx.TransactionData, digest: Digest) -> None:
        """Note which objects a transaction holds, and that another one which may still happen holds them already."""
        if not self._may_happen(transaction):
            return
        for ref in _owned(transaction):
            first, its = self._used.setdefault((ref.id, ref.version), (digest, transaction))
            if first != digest and not self._may_happen(its):
                self._used[(ref.id, ref.version)] = digest, transaction
            elif first != digest and (first, digest) not in self.equivocations:
                self.equivocations.append((first, digest))

    def _may_happen(self, transaction: tx.TransactionData) -> bool:
        """Return whether nothing rules a transaction out: it expired, pays too little, or an object has moved on."""
        expiration = transaction.expiration
        if isinstance(expiration, tx.EpochExpiration) and self.sui_epoch.number > expiration.epoch.number:
            return False
        there = [self.objects.get(ref.id) for ref in _owned(transaction)]
        current = (
            item is not None and item.version == ref.version
            for item, ref in zip(there, _owned(transaction), strict=True)
        )
        return transaction.gas.price >= self.gas_price and all(current)

    def _run(
        self,
        transaction: tx.TransactionData,
        digest: Digest,
        coins: Sequence[StoredObject],
        there: Objects,
        cancelled: ExecutionFailure | None = None,
    ) -> tuple[Sandbox, GasUsed, ExecutionFailure | None, int]:
        sandbox = Sandbox(there)
        ctx = Context(sandbox, self.genesis, digest, self.walrus_epoch)
        main = coins[0].id if coins else _SIMULATED_COIN
        funds = sum(objects.decode_coin(coin.contents)[1] for coin in coins) if coins else gas.MAX_BUDGET * 10
        inputs = [there.get(i) for i in _input_ids(transaction)]
        lamport = 1 + max([item.version for item in [*inputs, *coins] if item is not None], default=0)
        slot = Slot("Coin", funds, main)
        failure = cancelled
        try:
            for coin in coins[1:]:
                sandbox.delete(coin.id)  # several gas coins become one
            if coins:
                sandbox.put(main, coins[0].type, coins[0].owner, objects.encode_coin(main, funds))
            if failure is None:
                Run(ctx, transaction.kind, transaction.sender, slot).run()
        except Failed as failed:
            failure = failed.failure
        cost = gas.computation(min(ctx.work, _MAX_WORK), transaction.gas.price)
        bill = gas.settle(sandbox, cost)
        budget = transaction.gas.budget
        if failure is None and (cost > budget or bill.net > budget):
            failure = ExecutionFailure("INSUFFICIENT_GAS", "Insufficient Gas.")
        if failure is not None:
            sandbox = self._only_touched(transaction, coins, there)
            bill = gas.settle(sandbox, min(cost, budget))
            slot = Slot("Coin", funds, main)
        if coins:
            rest = max(0, slot.data - bill.net)
            sandbox.put(main, coins[0].type, coins[0].owner, objects.encode_coin(main, rest))
        return sandbox, bill, failure, lamport

    @staticmethod
    def _only_touched(transaction: tx.TransactionData, coins: Sequence[StoredObject], there: Objects) -> Sandbox:
        """Return the changes of a failed transaction: inputs move on, gas is paid, nothing else."""
        sandbox = Sandbox(there)
        for id_ in _mutable_ids(transaction):
            found = there.get(id_)
            if found is not None and found.owner.kind != "Immutable":
                sandbox.put(id_, found.type, found.owner, found.contents)
        for coin in coins[1:]:
            sandbox.delete(coin.id)
        if coins:
            sandbox.put(coins[0].id, coins[0].type, coins[0].owner, coins[0].contents)
        return sandbox

    def _finish(
        self,
        sandbox: Sandbox,
        bill: GasUsed,
        failure: ExecutionFailure | None,
        coins: Sequence[StoredObject],
        lamport: int,
        digest: Digest,
    ) -> Record:
        final = [
            replace(item, version=lamport, previous=digest, rebate=gas.storage_of(item.contents))
            for item in sandbox.written.values()
        ]
        changes = [ObjectChange(i.id, i.id in sandbox.created, False, i.ref, i.owner.kind) for i in final]
        changes += [ObjectChange(id_, False, True, None, None) for id_ in sorted(sandbox.deleted)]
        changes.sort(key=lambda change: change.id)
        gas_ref = next((item.ref for item in final if item.id == coins[0].id), None)
        deleted = sorted(sandbox.deleted)
        return self._commit(final, deleted, digest, failure, bill, gas_ref, tuple(changes), lamport)

    def _commit(
        self,
        final: Sequence[StoredObject],
        deleted: Sequence[ObjectId],
        digest: Digest,
        failure: ExecutionFailure | None,
        bill: GasUsed,
        gas_ref: ObjectRef | None,
        changes: tuple[ObjectChange, ...],
        lamport: int,
    ) -> Record:
        self.objects.apply(final, deleted)
        record = Record(digest, failure, bill, gas_ref, changes, self.checkpoint + 1, lamport, self.now_ms())
        self.records[digest] = record
        self._tables.put("transactions", digest.raw, record.to_json)
        self._tables.commit()
        return record


def _input_ids(transaction: tx.TransactionData) -> list[ObjectId]:
    return [
        arg.id if isinstance(arg, tx.SharedArg) else arg.ref.id
        for arg in transaction.kind.inputs
        if isinstance(arg, tx.SharedArg | tx.OwnedArg | tx.ReceivingArg)
    ]


def _mutable_ids(transaction: tx.TransactionData) -> list[ObjectId]:
    read_only = {arg.id for arg in transaction.kind.inputs if isinstance(arg, tx.SharedArg) and not arg.mutable}
    return [id_ for id_ in _input_ids(transaction) if id_ not in read_only]
