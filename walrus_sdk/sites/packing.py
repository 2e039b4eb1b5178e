"""Packing steps into transactions, by their real bytes and number of commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from walrus_sdk.codecs.ptb import MAX_GAS_COINS, MAX_TRANSACTION, PtbBuilder
from walrus_sdk.codecs.transaction import Argument, ProgrammableTransaction
from walrus_sdk.errors import BlockchainError
from walrus_sdk.model.chain import ObjectRef
from walrus_sdk.model.units import Digest, ObjectId, SuiAddress
from walrus_sdk.sites.calls import CreateSite, Step, commands_of, create_site, emit

__all__ = ["GAS_COINS", "MAX_CALLS", "PLACEHOLDER", "Calls", "build", "pack"]

MAX_CALLS = 1000
"""Commands of one transaction: below the protocol's 1,024, and so that at most 1,000 dynamic fields are touched."""

GAS_COINS = 16
"""Gas coins that every transaction leaves room for; a wallet in more pieces is merged by its first transaction."""

_TRANSFER_SIZE = 64
"""Bytes that the transfer of a new site takes at the end: command and address."""

PLACEHOLDER = ObjectRef(ObjectId(bytes(32)), 0, Digest(bytes(32)))
"""Stands for a site whose reference is not known yet: ids have a fixed width, so sizes are right all the same."""

assert GAS_COINS <= MAX_GAS_COINS


@dataclass(frozen=True, slots=True)
class Calls:
    """Where calls go to: the package whose code runs, and the address that owns the site."""

    package: ObjectId
    owner: SuiAddress


def pack(steps: Sequence[Step], calls: Calls) -> list[tuple[Step, ...]]:
    """Return the steps cut into transactions, greedily and in order; no step is ever split.

    Raises `BlockchainError` ``transaction_too_large`` when a step fits no transaction by itself.
    """
    packed: list[tuple[Step, ...]] = []
    part: list[Step] = []
    open_ = _Open(calls)
    for step in steps:
        if part and not open_.add(step):
            packed.append(tuple(part))
            part, open_ = [], _Open(calls)
        if not part and not open_.add(step):
            raise BlockchainError("transaction_too_large", f"{type(step).__name__} fits no transaction")
        part.append(step)
    return [*packed, tuple(part)] if part else packed


class _Open:
    """A transaction that is being filled."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._builder = PtbBuilder()
        self._site: Argument | None = None
        self._transfer = 0

    def add(self, step: Step) -> bool:
        """Add a step and return whether it fits; one that does not fit leaves the transaction unusable."""
        if self._builder.command_count + self._transfer + commands_of(step) > MAX_CALLS:
            return False
        if isinstance(step, CreateSite):
            self._site = create_site(self._builder, self._calls.package, step)
            self._transfer = 1
        else:
            if self._site is None:
                self._site = self._builder.owned(PLACEHOLDER)
            emit(self._builder, self._calls.package, self._site, step)
        return self._builder.size(GAS_COINS) <= MAX_TRANSACTION - _TRANSFER_SIZE


def build(steps: Sequence[Step], calls: Calls, site: ObjectRef | None) -> ProgrammableTransaction:
    """Return one transaction of `steps`; `site` is the site's current reference, `None` when a step makes it."""
    builder = PtbBuilder()
    argument: Argument | None = builder.owned(site) if site is not None else None
    made = False
    for step in steps:
        if isinstance(step, CreateSite):
            argument, made = create_site(builder, calls.package, step), True
            continue
        assert argument is not None, "the first step of a new site makes it"
        emit(builder, calls.package, argument, step)
    if made and argument is not None:
        builder.transfer([argument], calls.owner)
    return builder.finish()
