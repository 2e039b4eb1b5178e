"""What is read from Sui, as values: references, coins, Blob objects, outcomes of transactions."""

from __future__ import annotations

from dataclasses import dataclass

from walrus_sdk.model.units import BlobId, Digest, Mist, ObjectId, SuiAddress, WalrusEpoch

__all__ = [
    "BlobObject",
    "Coin",
    "ExecutionFailure",
    "GasUsed",
    "ObjectChange",
    "ObjectRef",
    "OwnedObject",
    "Simulation",
    "TransactionOutcome",
    "failure_code",
]


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """One version of an object: what a transaction names to use it."""

    id: ObjectId
    version: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class OwnedObject:
    """An object as read: reference, type, owner (`None` when it is not owned by an address), last transaction."""

    ref: ObjectRef
    type: str
    owner: SuiAddress | None
    previous_transaction: Digest | None = None
    initial_shared_version: int | None = None


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin object and its balance in base units (MIST for SUI, FROST for WAL)."""

    ref: ObjectRef
    balance: int


@dataclass(frozen=True, slots=True)
class BlobObject:
    """A Blob object of an owner: registered, perhaps certified, stored up to `end_epoch` (exclusive)."""

    ref: ObjectRef
    blob_id: BlobId
    size: int
    certified_epoch: WalrusEpoch | None
    end_epoch: WalrusEpoch
    deletable: bool


@dataclass(frozen=True, slots=True)
class GasUsed:
    """The four parts of a gas bill in MIST; what leaves the wallet is `net` (negative when the rebate is larger)."""

    computation: int
    storage: int
    rebate: int
    non_refundable: int = 0

    @property
    def net(self) -> int:
        """Computation + storage - rebate, in MIST."""
        return self.computation + self.storage - self.rebate

    @property
    def charge(self) -> Mist:
        """What the wallet paid; 0 when the rebate was larger."""
        return Mist(max(0, self.net))


@dataclass(frozen=True, slots=True)
class ExecutionFailure:
    """Why a transaction failed: `kind` is Sui's name (``MOVE_ABORT``, ...), the rest where known."""

    kind: str
    message: str
    command: int | None = None
    module: str | None = None
    function: str | None = None
    abort_code: int | None = None


def failure_code(kind: str) -> str:
    """Return the error code of a transaction that failed on chain for a reason of this `kind` (Sui's name)."""
    if "CONGESTION" in kind:  # SHARED or CONSENSUS, CANCELED or CANCELLED: the names vary between versions
        return "congestion"
    return {"MOVE_ABORT": "move_abort", "INSUFFICIENT_GAS": "gas_ran_out"}.get(kind, "transaction_failed")


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One object that a transaction created, changed or deleted; `ref` is its state afterwards, if it has one.

    `owner_kind` is GraphQL's type name of the owner (``AddressOwner``, ``ObjectOwner``, ...).
    """

    id: ObjectId
    created: bool
    deleted: bool
    ref: ObjectRef | None
    owner_kind: str | None


@dataclass(frozen=True, slots=True)
class TransactionOutcome:
    """A final transaction. `changes` may be incomplete where `complete` is false (paged out): look up by id then."""

    digest: Digest
    failure: ExecutionFailure | None
    gas: GasUsed
    gas_object: ObjectRef | None
    changes: tuple[ObjectChange, ...]
    checkpoint: int | None
    complete: bool = True

    @property
    def ok(self) -> bool:
        """Whether it succeeded; a failed one charged gas and moved object versions all the same."""
        return self.failure is None


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a transaction would do now."""

    failure: ExecutionFailure | None
    gas: GasUsed
