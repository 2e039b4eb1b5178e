"""Running the commands of a PTB on a sandbox, with the checks that Sui makes on arguments, values and results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NoReturn

from walrus_sdk.codecs import objects
from walrus_sdk.codecs import transaction as tx
from walrus_sdk.codecs.bcs import Reader
from walrus_sdk.errors import CodecError
from walrus_sdk.localnet.chain import site_package, walrus_package
from walrus_sdk.localnet.chain.machine import Context, Failed, Function, Slot
from walrus_sdk.localnet.chain.objects import Owner, StoredObject
from walrus_sdk.localnet.genesis import GAS_TYPE, coin_type
from walrus_sdk.model.chain import ExecutionFailure
from walrus_sdk.model.units import ObjectId, SuiAddress

__all__ = ["Run", "short_type"]


def _fail(kind: str, message: str, command: int) -> NoReturn:
    raise Failed(ExecutionFailure(kind, f"{message} in command {command}", command=command))


def short_type(ctx: Context, full: str) -> str:
    """Return the name under which functions know an object's type."""
    known = {
        site_package.site_type(ctx.genesis): "Site",
        f"{ctx.genesis.blob_package}::blob::Blob": "Blob",
        f"{ctx.genesis.blob_package}::storage_resource::Storage": "Storage",
        f"{ctx.genesis.blob_package}::system::System": "System",
    }
    if full.startswith(coin_type("")[:-1]):
        return "Coin"
    return known.get(full, "object")


_DECODERS: dict[str, Callable[[bytes], Any]] = {
    "Site": objects.decode_site,
    "Blob": objects.decode_blob,
    "Coin": lambda data: objects.decode_coin(data)[1],
}
_PURE: dict[str, Callable[[Reader], Any]] = {
    "String": Reader.string,
    "u8": Reader.u8,
    "u16": Reader.u16,
    "u32": Reader.u32,
    "u64": Reader.u64,
    "u256": lambda reader: reader.raw(32),
    "bool": Reader.boolean,
    "address": lambda reader: reader.raw(32),
}


def _read_pure(reader: Reader, type_: str) -> Any:
    if type_.startswith("Option<"):
        return reader.option(lambda inner: _read_pure(inner, type_[7:-1]))
    if type_.startswith("vector<"):
        return list(reader.vector(lambda inner: _read_pure(inner, type_[7:-1])))
    return _PURE[type_](reader)


def _whole(type_: str, data: bytes) -> Any:
    reader = Reader(data)
    value = _read_pure(reader, type_)
    reader.end()
    return value


_KEPT = 256
_kept = lru_cache(maxsize=1024)(_whole)


def _pure_value(type_: str, data: bytes) -> Any:
    """Read a plain value; short ones are kept, as names and values of headers come again and again."""
    return _kept(type_, data) if len(data) <= _KEPT and not type_.startswith("vector<") else _whole(type_, data)


@dataclass(frozen=True, slots=True)
class _Parameter:
    """What a parameter's type says: the type that it refers to, or its own; and how it is passed."""

    wanted: str
    is_pure: bool
    is_reference: bool
    is_mutable: bool


@cache
def _parameter(type_: str) -> _Parameter:
    wanted = type_.removeprefix("&mut ").removeprefix("&")
    is_pure = wanted.removeprefix("Option<").removeprefix("vector<").rstrip(">") in _PURE
    return _Parameter(wanted, is_pure, type_.startswith("&"), type_.startswith("&mut "))


class Run:
    """One execution: inputs become slots, commands run in order, objects are written back at the end."""

    def __init__(self, ctx: Context, kind: tx.ProgrammableTransaction, sender: SuiAddress, gas: Slot) -> None:
        self.ctx = ctx
        self.kind = kind
        self.sender = sender
        self.gas = gas
        self.inputs = [self._input(arg) for arg in kind.inputs]
        self.results: list[list[Slot]] = []
        self._packages: dict[ObjectId, dict[str, Function]] = {
            ctx.genesis.call_package: site_package.FUNCTIONS,
            ctx.genesis.walrus_package: walrus_package.FUNCTIONS,
        }

    def _input(self, arg: tx.CallArg) -> Slot:
        if isinstance(arg, tx.Pure):
            return Slot("pure", arg.value)
        if isinstance(arg, tx.FundsWithdrawal):
            raise Failed(ExecutionFailure("FEATURE_UNAVAILABLE", "address balances are not simulated"))
        id_ = arg.id if isinstance(arg, tx.SharedArg) else arg.ref.id
        found = self.ctx.sandbox.get(id_)
        assert found is not None, "inputs are checked before execution"
        short = short_type(self.ctx, found.type)
        return Slot(short, _DECODERS.get(short, bytes)(found.contents), id_)

    def run(self) -> None:
        """Run everything. Raises `Failed`."""
        for index, command in enumerate(self.kind.commands):
            self.ctx.work += 3
            try:
                self.results.append(self._command(index, command))
            except Failed as failed:
                if failed.failure.command is None:
                    known = failed.failure
                    raise Failed(
                        ExecutionFailure(
                            known.kind, known.message, index, known.module, known.function, known.abort_code
                        )
                    ) from failed
                raise
        self._check_unused()
        self._write_back()

    # ── commands ──────────────────────────────────────────────────────────────────────────────────────────────

    def _command(self, index: int, command: tx.Command) -> list[Slot]:
        match command:
            case tx.MoveCall():
                return self._call(index, command)
            case tx.TransferObjects(items, recipient):
                return self._transfer(index, items, recipient)
            case tx.SplitCoins(coin, amounts):
                return self._split(index, coin, amounts)
            case tx.MergeCoins(destination, sources):
                return self._merge(index, destination, sources)
            case tx.MakeMoveVec(_, elements):
                return [Slot("vector<object>", [self._take(index, a) for a in elements])]
            case _:
                _fail("FEATURE_UNAVAILABLE", "publishing packages is not simulated", index)

    def _function(self, index: int, call: tx.MoveCall) -> Function:
        name = f"{call.module}::{call.function}"
        function = self._packages.get(call.package, {}).get(name)
        if function is None:
            _fail("FUNCTION_NOT_FOUND", f"no function {call.package}::{name}", index)
        if len(function.parameters) != len(call.arguments):
            found, expected = len(call.arguments), len(function.parameters)
            _fail("ARITY_MISMATCH", f"{name} takes {expected} arguments, found {found}", index)
        if call.type_arguments:
            _fail("TYPE_ARITY_MISMATCH", f"{name} takes no type arguments", index)
        return function

    def _call(self, index: int, call: tx.MoveCall) -> list[Slot]:
        function = self._function(index, call)
        values = []
        for place, (type_, argument) in enumerate(zip(function.parameters, call.arguments, strict=True)):
            values.append(self._argument(index, place, type_, argument))
        results = function.run(self.ctx, *values)
        made = [Slot(type_, value) for type_, value in zip(function.results, results, strict=True)]
        for slot in made:
            if slot.type == "Site":
                slot.object_id = slot.data.id
            elif slot.type == "Storage":
                slot.object_id = slot.data[0]
        return made

    def _argument(self, index: int, place: int, type_: str, argument: tx.Argument) -> Any:
        slot = self._slot(index, argument)
        parameter = _parameter(type_)
        wanted = parameter.wanted
        if slot.type == "pure":
            if not parameter.is_pure:
                _fail("COMMAND_ARGUMENT_ERROR", f"argument {place}: expected {wanted}, found a plain value", index)
            return self._pure(index, place, wanted, slot.data)
        if slot.type != wanted:
            _fail("COMMAND_ARGUMENT_ERROR", f"TYPE_MISMATCH, argument {place}: {wanted}, {slot.type}", index)
        if parameter.is_reference:
            if parameter.is_mutable and self._read_only(argument):
                _fail("COMMAND_ARGUMENT_ERROR", f"argument {place}: the object is read-only", index)
            return slot if not parameter.is_pure else slot.data
        if not slot.copies:
            slot.moved = True
        return slot.data

    def _read_only(self, argument: tx.Argument) -> bool:
        if not isinstance(argument, tx.Input):
            return False
        arg = self.kind.inputs[argument.index]
        return isinstance(arg, tx.SharedArg) and not arg.mutable

    def _pure(self, index: int, place: int, type_: str, data: bytes) -> Any:
        try:
            return _pure_value(type_, data)
        except CodecError as error:
            message = f"FAILED_TO_DESERIALIZE_ARGUMENT, argument {place}: {type_}: {error.message}"
            raise Failed(ExecutionFailure("COMMAND_ARGUMENT_ERROR", message, command=index)) from error

    def _slot(self, index: int, argument: tx.Argument) -> Slot:
        try:
            if isinstance(argument, tx.Input):  # most of them
                slot = self.inputs[argument.index]
            elif isinstance(argument, tx.Result):
                if len(self.results[argument.index]) != 1:
                    _fail("COMMAND_ARGUMENT_ERROR", f"INVALID_RESULT_ARITY of result {argument.index}", index)
                slot = self.results[argument.index][0]
            elif isinstance(argument, tx.NestedResult):
                slot = self.results[argument.index][argument.sub]
            else:
                slot = self.gas
        except IndexError:
            _fail("COMMAND_ARGUMENT_ERROR", f"INDEX_OUT_OF_BOUNDS: {argument}", index)
        if slot.moved:
            _fail("COMMAND_ARGUMENT_ERROR", f"INVALID_VALUE_USAGE: {argument} was moved", index)
        return slot

    def _take(self, index: int, argument: tx.Argument) -> Slot:
        slot = self._slot(index, argument)
        if slot.object_id is None:
            _fail("COMMAND_ARGUMENT_ERROR", f"TYPE_MISMATCH: {argument} is not an object", index)
        slot.moved = True
        return slot

    def _transfer(self, index: int, items: Sequence[tx.Argument], recipient: tx.Argument) -> list[Slot]:
        if not items:
            _fail("COMMAND_ARGUMENT_ERROR", "nothing to transfer", index)
        target = self._pure(index, len(items), "address", self._slot(index, recipient).data)
        for item in items:
            slot = self._take(index, item)
            self._put(slot, Owner("AddressOwner", target))
        return []

    def _coin(self, index: int, argument: tx.Argument) -> Slot:
        slot = self._slot(index, argument)
        if slot.type != "Coin":
            _fail("COMMAND_ARGUMENT_ERROR", f"TYPE_MISMATCH: {argument} is not a coin", index)
        return slot

    def _coin_full_type(self, slot: Slot) -> str:
        assert slot.object_id is not None
        found = self.ctx.sandbox.get(slot.object_id)
        return found.type if found is not None else coin_type(GAS_TYPE)

    def _split(self, index: int, coin: tx.Argument, amounts: Sequence[tx.Argument]) -> list[Slot]:
        slot, made = self._coin(index, coin), []
        full = self._coin_full_type(slot)
        for place, argument in enumerate(amounts, 1):
            amount = self._pure(index, place, "u64", self._slot(index, argument).data)
            if amount > slot.data:
                _fail("INSUFFICIENT_COIN_BALANCE", f"expected {amount}, found {slot.data}", index)
            slot.data -= amount
            new = Slot("Coin", amount, self.ctx.new_id())
            assert new.object_id is not None
            contents = objects.encode_coin(new.object_id, amount)
            self.ctx.sandbox.put(new.object_id, full, Owner("Pending"), contents)
            made.append(new)
        return made

    def _merge(self, index: int, destination: tx.Argument, sources: Sequence[tx.Argument]) -> list[Slot]:
        target = self._coin(index, destination)
        for source in sources:
            slot = self._coin(index, source)
            if self._coin_full_type(slot) != self._coin_full_type(target):
                _fail("COMMAND_ARGUMENT_ERROR", "TYPE_MISMATCH: coins of different types", index)
            self._take(index, source)
            target.data += slot.data
            assert slot.object_id is not None
            self.ctx.sandbox.delete(slot.object_id)
        return []

    # ── the end ───────────────────────────────────────────────────────────────────────────────────────────────

    def _put(self, slot: Slot, owner: Owner) -> None:
        assert slot.object_id is not None
        known = self.ctx.sandbox.get(slot.object_id)
        full = known.type if known is not None else self._new_type(slot)
        self.ctx.sandbox.put(slot.object_id, full, owner, self._encode(slot, known))

    def _new_type(self, slot: Slot) -> str:
        if slot.type == "Storage":
            return f"{self.ctx.genesis.blob_package}::storage_resource::Storage"
        return site_package.site_type(self.ctx.genesis)

    def _encode(self, slot: Slot, known: StoredObject | None) -> bytes:
        assert slot.object_id is not None
        if slot.type == "Site":
            return objects.encode_site(slot.data)
        if slot.type == "Coin":
            return objects.encode_coin(slot.object_id, slot.data)
        if slot.type == "Storage" and known is None:
            id_, start, end, size = slot.data
            return _storage(id_, start.number, end.number, size)
        assert known is not None
        return known.contents

    def _check_unused(self) -> None:
        for index, made in enumerate(self.results):
            for slot in made:
                if not slot.moved and not slot.drops:
                    _fail("UNUSED_VALUE_WITHOUT_DROP", f"result {index} of type {slot.type} is left over", index)

    def _write_back(self) -> None:
        """Write every object input that is still there: also untouched ones move on to the new version."""
        for slot, arg in zip(self.inputs, self.kind.inputs, strict=True):
            if slot.object_id is None or slot.moved or (isinstance(arg, tx.SharedArg) and not arg.mutable):
                continue
            known = self.ctx.sandbox.get(slot.object_id)
            if known is not None and known.owner.kind != "Immutable":
                self._put(slot, known.owner)


def _storage(id_: ObjectId, start: int, end: int, size: int) -> bytes:
    return id_.raw + start.to_bytes(4, "little") + end.to_bytes(4, "little") + size.to_bytes(8, "little")
