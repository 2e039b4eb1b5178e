"""Building PTBs: a helper that shares inputs, knows its exact size at every moment, and holds the limits.

Limits are those of Sui's protocol config (the node checks ``<``, so the largest accepted values stand here), and of
GraphQL's request size for a transaction's total. Source: docs/explanation/formats.md (transactions).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from walrus_sdk.codecs.bcs import Writer, uleb
from walrus_sdk.codecs.transaction import (
    Argument,
    CallArg,
    Command,
    Input,
    MoveCall,
    OwnedArg,
    ProgrammableTransaction,
    Pure,
    Result,
    SharedArg,
    TransferObjects,
    input_at,
    result_of,
    write_call_arg,
    write_command,
)
from walrus_sdk.codecs.type_tags import TypeTag
from walrus_sdk.errors import BlockchainError
from walrus_sdk.model.chain import ObjectRef
from walrus_sdk.model.units import ObjectId, SuiAddress

__all__ = ["MAX_ARGUMENTS", "MAX_COMMANDS", "MAX_GAS_COINS", "MAX_PURE", "MAX_TRANSACTION", "PtbBuilder", "overhead"]

MAX_PURE = 16_383
"""Bytes of a pure input, its own length prefix included."""
MAX_COMMANDS = 1_023
MAX_ARGUMENTS = 511
MAX_GAS_COINS = 256
MAX_TRANSACTION = 120_000
"""Bytes of a whole transaction: below the node's 131,072, so that its base64 fits GraphQL's limit with room."""

_REF = 32 + 8 + 33


def overhead(gas_coins: int) -> int:
    """Return the bytes around inputs and commands: variants, sender, gas data with so many coins, an epoch expiry."""
    return 2 + 32 + len(uleb(gas_coins)) + gas_coins * _REF + 32 + 8 + 8 + 9


class PtbBuilder:
    """Collects inputs and commands; equal inputs are shared, and `size` is exact and cheap at every moment."""

    def __init__(self) -> None:
        self._inputs: list[CallArg] = []
        self._index: dict[bytes | ObjectId, int] = {}
        self._commands: list[Command] = []
        self._written_inputs: list[bytes] = []
        self._written_commands = Writer()
        self._bytes = 0

    @property
    def command_count(self) -> int:
        """Commands so far."""
        return len(self._commands)

    def size(self, gas_coins: int = 1) -> int:
        """Return the bytes of the transaction as it stands, with so many gas coins and an epoch expiration."""
        counts = len(uleb(len(self._inputs))) + len(uleb(len(self._commands)))
        return overhead(gas_coins) + counts + self._bytes + len(self._written_commands)

    def _add_input(self, key: bytes | ObjectId, arg: CallArg) -> Input:
        place = self._index[key] = len(self._inputs)
        self._inputs.append(arg)
        self._written_inputs.append(_written(arg))
        self._bytes += len(self._written_inputs[-1])
        return input_at(place)

    def pure(self, value: bytes) -> Input:
        """Add a pure value in BCS, or share an equal one. Raises `BlockchainError` ``transaction_too_large``."""
        if len(value) > MAX_PURE:
            raise BlockchainError(
                "transaction_too_large",
                f"expected a value of at most {MAX_PURE} bytes, found {len(value)}",
                expected=MAX_PURE,
                found=len(value),
            )
        place = self._index.get(value)
        return self._add_input(value, Pure(value)) if place is None else input_at(place)

    def string(self, text: str) -> Input:
        """Add a string."""
        return self.pure(_short_string(text) if len(text) <= _SHORT else _string(text))

    def option_string(self, text: str | None) -> Input:
        """Add an optional string."""
        return self.pure(bytes(Writer().option(text, Writer.string)))

    def strings(self, texts: Sequence[str]) -> Input:
        """Add a vector of strings."""
        return self.pure(bytes(Writer().vector(texts, Writer.string)))

    def address(self, address: SuiAddress) -> Input:
        """Add an address."""
        return self.pure(address.raw)

    def owned(self, ref: ObjectRef) -> Input:
        """Add an owned object; the same object twice is one input."""
        place = self._index.get(ref.id)
        return self._add_input(ref.id, OwnedArg(ref)) if place is None else input_at(place)

    def shared(self, id_: ObjectId, initial_version: int, *, mutable: bool) -> Input:
        """Add a shared object; used twice it is mutable when either use is."""
        place = self._index.get(id_)
        if place is None:
            return self._add_input(id_, SharedArg(id_, initial_version, mutable))
        known = self._inputs[place]
        assert isinstance(known, SharedArg), "an object is either owned or shared"
        self._inputs[place] = SharedArg(id_, initial_version, mutable or known.mutable)
        self._written_inputs[place] = _written(self._inputs[place])
        return input_at(place)

    def add(self, command: Command) -> Result:
        """Add a command and return its result."""
        if len(self._commands) >= MAX_COMMANDS:
            raise BlockchainError("transaction_too_large", f"expected at most {MAX_COMMANDS} commands")
        write_command(self._written_commands, command)
        self._commands.append(command)
        return result_of(len(self._commands) - 1)

    def call(
        self,
        package: ObjectId,
        module: str,
        function: str,
        arguments: Sequence[Argument],
        type_arguments: Sequence[TypeTag] = (),
    ) -> Result:
        """Add a Move call and return its result."""
        assert len(arguments) <= MAX_ARGUMENTS
        return self.add(MoveCall(package, module, function, tuple(arguments), tuple(type_arguments)))

    def transfer(self, objects: Sequence[Argument], recipient: SuiAddress) -> Result:
        """Add a transfer of objects to an address."""
        return self.add(TransferObjects(tuple(objects), self.address(recipient)))

    def finish(self) -> ProgrammableTransaction:
        """Return what was collected."""
        written = uleb(len(self._inputs)) + b"".join(self._written_inputs)
        written += uleb(len(self._commands)) + bytes(self._written_commands)
        return ProgrammableTransaction.written(tuple(self._inputs), tuple(self._commands), written)


def _written(arg: CallArg) -> bytes:
    writer = Writer()
    write_call_arg(writer, arg)
    return bytes(writer)


def _string(text: str) -> bytes:
    return bytes(Writer().string(text))


_SHORT = 256
_short_string = lru_cache(maxsize=256)(_string)
"""Names and values of headers come again and again."""
