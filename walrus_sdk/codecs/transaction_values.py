"""The values that Sui transactions are made of. Their binary form is in `codecs.transaction`.

Source: docs/explanation/formats.md (transactions).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

from walrus_sdk.codecs.type_tags import TypeTag
from walrus_sdk.model.chain import ObjectRef
from walrus_sdk.model.units import Digest, ObjectId, SuiAddress, SuiEpoch

__all__ = [
    "Argument",
    "CallArg",
    "Command",
    "EpochExpiration",
    "Expiration",
    "FundsWithdrawal",
    "GasCoin",
    "GasData",
    "Input",
    "MakeMoveVec",
    "MergeCoins",
    "MoveCall",
    "NestedResult",
    "NoExpiration",
    "OwnedArg",
    "ProgrammableTransaction",
    "Publish",
    "Pure",
    "ReceivingArg",
    "Result",
    "SharedArg",
    "SplitCoins",
    "TransactionData",
    "TransferObjects",
    "Upgrade",
    "ValidDuring",
    "input_at",
    "result_of",
]


@dataclass(frozen=True, slots=True)
class Pure:
    """A plain value: `value` is its BCS."""

    value: bytes


@dataclass(frozen=True, slots=True)
class OwnedArg:
    """An owned or immutable object at one version."""

    ref: ObjectRef


@dataclass(frozen=True, slots=True)
class SharedArg:
    """A shared object, named by the version at which it became shared."""

    id: ObjectId
    initial_version: int
    mutable: bool


@dataclass(frozen=True, slots=True)
class ReceivingArg:
    """An object that was sent to another object."""

    ref: ObjectRef


@dataclass(frozen=True, slots=True)
class FundsWithdrawal:
    """Up to `amount` of `type_tag` from an address balance: the sender's, or the sponsor's."""

    amount: int
    type_tag: TypeTag
    from_sponsor: bool = False


CallArg: TypeAlias = Pure | OwnedArg | SharedArg | ReceivingArg | FundsWithdrawal


@dataclass(frozen=True, slots=True)
class GasCoin:
    """The coin that pays for gas."""


@dataclass(frozen=True, slots=True)
class Input:
    """An input by index."""

    index: int


@dataclass(frozen=True, slots=True)
class Result:
    """The (only) result of a command by index."""

    index: int


@dataclass(frozen=True, slots=True)
class NestedResult:
    """One of several results of a command."""

    index: int
    sub: int


Argument: TypeAlias = GasCoin | Input | Result | NestedResult

input_at, result_of = lru_cache(maxsize=1024)(Input), lru_cache(maxsize=1024)(Result)
"""The same values, made once: a site's transactions have thousands of them."""


@dataclass(frozen=True, slots=True)
class MoveCall:
    """A call of a public Move function; `package` is the version whose code runs."""

    package: ObjectId
    module: str
    function: str
    arguments: tuple[Argument, ...] = ()
    type_arguments: tuple[TypeTag, ...] = ()


@dataclass(frozen=True, slots=True)
class TransferObjects:
    """Give objects to an address."""

    objects: tuple[Argument, ...]
    recipient: Argument


@dataclass(frozen=True, slots=True)
class SplitCoins:
    """Split amounts off a coin."""

    coin: Argument
    amounts: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class MergeCoins:
    """Merge coins into one."""

    destination: Argument
    sources: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish a package."""

    modules: tuple[bytes, ...]
    dependencies: tuple[ObjectId, ...]


@dataclass(frozen=True, slots=True)
class MakeMoveVec:
    """Make a vector of values; the type is needed when it is empty."""

    type_tag: TypeTag | None
    elements: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Upgrade a package."""

    modules: tuple[bytes, ...]
    dependencies: tuple[ObjectId, ...]
    package: ObjectId
    ticket: Argument


Command: TypeAlias = MoveCall | TransferObjects | SplitCoins | MergeCoins | Publish | MakeMoveVec | Upgrade


@dataclass(frozen=True, slots=True)
class ProgrammableTransaction:
    """Inputs, and the commands that use them in order (a PTB).

    `bcs` is its binary form where who built it has it already; a changed copy is without.
    """

    inputs: tuple[CallArg, ...]
    commands: tuple[Command, ...]
    bcs: bytes | None = field(default=None, init=False, compare=False, repr=False)

    @classmethod
    def written(cls, inputs: tuple[CallArg, ...], commands: tuple[Command, ...], bcs: bytes) -> ProgrammableTransaction:
        """Return one whose binary form is known."""
        made = cls(inputs, commands)
        object.__setattr__(made, "bcs", bcs)
        return made


@dataclass(frozen=True, slots=True)
class GasData:
    """Who pays with which coins, at which price (MIST per unit), at most how much (MIST)."""

    payment: tuple[ObjectRef, ...]
    owner: SuiAddress
    price: int
    budget: int


@dataclass(frozen=True, slots=True)
class NoExpiration:
    """Valid until an input moves on."""


@dataclass(frozen=True, slots=True)
class EpochExpiration:
    """Valid up to and including a Sui epoch."""

    epoch: SuiEpoch


@dataclass(frozen=True, slots=True)
class ValidDuring:
    """Valid in a span of Sui epochs on one chain; `None` leaves a bound open. Timestamps in ms."""

    min_epoch: int | None
    max_epoch: int | None
    min_timestamp: int | None
    max_timestamp: int | None
    chain: Digest
    nonce: int


Expiration: TypeAlias = NoExpiration | EpochExpiration | ValidDuring


@dataclass(frozen=True, slots=True)
class TransactionData:
    """A whole transaction, ready to be signed."""

    kind: ProgrammableTransaction
    sender: SuiAddress
    gas: GasData
    expiration: Expiration = NoExpiration()
