"""Sui transactions: their BCS and their digest, and the values that they are made of (`codecs.transaction_values`).

Source: docs/explanation/formats.md (transactions).

Reading is total: a variant that is not known raises `CodecError`, it is never guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b

from walrus_sdk.codecs.bcs import Reader, Writer
from walrus_sdk.codecs.transaction_values import (
    Argument,
    CallArg,
    Command,
    EpochExpiration,
    Expiration,
    FundsWithdrawal,
    GasCoin,
    GasData,
    Input,
    MakeMoveVec,
    MergeCoins,
    MoveCall,
    NestedResult,
    NoExpiration,
    OwnedArg,
    ProgrammableTransaction,
    Publish,
    Pure,
    ReceivingArg,
    Result,
    SharedArg,
    SplitCoins,
    TransactionData,
    TransferObjects,
    Upgrade,
    ValidDuring,
    input_at,
    result_of,
)
from walrus_sdk.codecs.type_tags import TypeTag, read_type_tag, write_type_tag
from walrus_sdk.errors import CodecError
from walrus_sdk.model.chain import ObjectRef
from walrus_sdk.model.units import Digest, ObjectId, SuiAddress, SuiEpoch

__all__ = [
    "Argument", "CallArg", "Command", "EpochExpiration", "Expiration", "FundsWithdrawal", "GasCoin", "GasData", "Input",
    "MakeMoveVec", "MergeCoins", "MoveCall", "NestedResult", "NoExpiration", "OwnedArg", "ProgrammableTransaction",
    "Publish", "Pure", "ReceivingArg", "Result", "SharedArg", "SplitCoins", "TransactionData", "TransferObjects",
    "Upgrade", "ValidDuring", "decode_transaction", "encode_transaction", "input_at", "result_of", "signing_digest",
    "transaction_digest", "write_argument", "write_call_arg", "write_command",
]  # fmt: skip


# ── digests ───────────────────────────────────────────────────────────────────────────────────────────────────────


def transaction_digest(data: bytes) -> Digest:
    """Return the name of a transaction, known before it is sent: BLAKE2b-256 of ``TransactionData::`` and its BCS."""
    return Digest(blake2b(b"TransactionData::" + data, digest_size=32).digest())


def signing_digest(data: bytes) -> bytes:
    """Return what is signed: BLAKE2b-256 of the intent (transaction, version 0, Sui) and the BCS."""
    return blake2b(b"\0\0\0" + data, digest_size=32).digest()


# ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────


def encode_transaction(transaction: TransactionData) -> bytes:
    """Return the BCS of a transaction (TransactionData V1)."""
    writer, kind = Writer().uleb(0).uleb(0), transaction.kind
    if kind.bcs is not None:
        writer.raw(kind.bcs)
    else:
        writer.vector(kind.inputs, write_call_arg).vector(kind.commands, write_command)
    writer.raw(transaction.sender.raw)
    gas = transaction.gas
    writer.vector(gas.payment, _write_ref).raw(gas.owner.raw).u64(gas.price).u64(gas.budget)
    _write_expiration(writer, transaction.expiration)
    return bytes(writer)


def _write_digest(writer: Writer, digest: Digest) -> None:
    writer.bytes(digest.raw)


def _write_ref(writer: Writer, ref: ObjectRef) -> None:
    writer.raw(ref.id.raw).u64(ref.version).bytes(ref.digest.raw)


def write_call_arg(writer: Writer, arg: CallArg) -> None:
    """Append one input."""
    match arg:
        case Pure(value):
            writer.uleb(0).bytes(value)
        case OwnedArg(ref):
            _write_ref(writer.uleb(1).uleb(0), ref)
        case SharedArg(id_, version, mutable):
            writer.uleb(1).uleb(1).raw(id_.raw).u64(version).uleb(1 if mutable else 0)
        case ReceivingArg(ref):
            _write_ref(writer.uleb(1).uleb(2), ref)
        case FundsWithdrawal(amount, type_tag, from_sponsor):
            write_type_tag(writer.uleb(2).uleb(0).u64(amount).uleb(0), type_tag).uleb(1 if from_sponsor else 0)


def write_argument(writer: Writer, argument: Argument) -> None:
    """Append one argument of a command."""
    if isinstance(argument, Input):  # most of them
        writer.raw(_place(1, argument.index))
    elif isinstance(argument, Result):
        writer.raw(_place(2, argument.index))
    elif isinstance(argument, NestedResult):
        writer.uleb(3).u16(argument.index).u16(argument.sub)
    else:
        writer.uleb(0)


@lru_cache(maxsize=2048)
def _place(variant: int, index: int) -> bytes:
    return bytes(Writer().uleb(variant).u16(index))


def write_command(writer: Writer, command: Command) -> None:
    """Append one command."""
    if isinstance(command, MoveCall):  # nearly all of them
        writer.raw(_call_head(command.package.raw, command.module, command.function))
        writer.vector(command.type_arguments, write_type_tag).vector(command.arguments, write_argument)
        return
    match command:
        case TransferObjects(objects, recipient):
            write_argument(writer.uleb(1).vector(objects, write_argument), recipient)
        case SplitCoins(coin, amounts):
            write_argument(writer.uleb(2), coin)
            writer.vector(amounts, write_argument)
        case MergeCoins(destination, sources):
            write_argument(writer.uleb(3), destination)
            writer.vector(sources, write_argument)
        case Publish(modules, dependencies):
            _write_package(writer.uleb(4), modules, dependencies)
        case MakeMoveVec(type_tag, elements):
            _write_optional_tag(writer.uleb(5), type_tag)
            writer.vector(elements, write_argument)
        case Upgrade(modules, dependencies, package, ticket):
            _write_package(writer.uleb(6), modules, dependencies)
            write_argument(writer.raw(package.raw), ticket)


@lru_cache(maxsize=256)
def _call_head(package: bytes, module: str, function: str) -> bytes:
    """Return how a Move call begins: a site's transactions have hundreds of calls of the same few functions."""
    return bytes(Writer().uleb(0).raw(package).string(module).string(function))


def _write_optional_tag(writer: Writer, type_tag: TypeTag | None) -> None:
    writer.boolean(type_tag is not None)
    if type_tag is not None:
        write_type_tag(writer, type_tag)


def _write_package(writer: Writer, modules: tuple[bytes, ...], dependencies: tuple[ObjectId, ...]) -> None:
    writer.vector(modules, Writer.bytes)
    writer.vector(dependencies, lambda inner, package: inner.raw(package.raw))


def _write_expiration(writer: Writer, expiration: Expiration) -> None:
    match expiration:
        case NoExpiration():
            writer.uleb(0)
        case EpochExpiration(epoch):
            writer.uleb(1).u64(epoch.number)
        case ValidDuring(min_epoch, max_epoch, min_timestamp, max_timestamp, chain, nonce):
            writer.uleb(2)
            for bound in (min_epoch, max_epoch, min_timestamp, max_timestamp):
                writer.option(bound, Writer.u64)
            _write_digest(writer, chain)
            writer.u32(nonce)


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=32)
def decode_transaction(data: bytes) -> TransactionData:
    """Read the BCS of a transaction. Raises `CodecError` ``malformed`` for anything else.

    The last few are kept: the same bytes are read to simulate, to sign, to send and to look them up.
    """
    reader = Reader(data)
    _expect(reader, 0, "TransactionData V1")
    _expect(reader, 0, "a programmable transaction")
    kind = ProgrammableTransaction(reader.vector(_read_call_arg), reader.vector(_read_command))
    sender = SuiAddress(reader.raw(32))
    gas = GasData(reader.vector(_read_ref), SuiAddress(reader.raw(32)), reader.u64(), reader.u64())
    expiration = _read_expiration(reader)
    reader.end()
    return TransactionData(kind, sender, gas, expiration)


def _expect(reader: Reader, variant: int, what: str) -> None:
    found = reader.uleb()
    if found != variant:
        raise CodecError("malformed", f"expected {what}, found variant {found}")


def _unknown(what: str, variant: int) -> CodecError:
    return CodecError("malformed", f"unknown {what}: variant {variant}")


def _read_digest(reader: Reader) -> Digest:
    return Digest(reader.bytes())


def _read_ref(reader: Reader) -> ObjectRef:
    return ObjectRef(ObjectId(reader.raw(32)), reader.u64(), _read_digest(reader))


def _read_call_arg(reader: Reader) -> CallArg:
    variant = reader.uleb()
    if variant == 0:
        return Pure(reader.bytes())
    if variant == 1:
        return _read_object_arg(reader)
    if variant == 2:
        _expect(reader, 0, "a maximum amount")
        amount = reader.u64()
        _expect(reader, 0, "a balance")
        tag, source = read_type_tag(reader), reader.uleb()
        if source > 1:
            raise _unknown("source of funds", source)
        return FundsWithdrawal(amount, tag, from_sponsor=source == 1)
    raise _unknown("input", variant)


def _read_object_arg(reader: Reader) -> CallArg:
    variant = reader.uleb()
    if variant == 0:
        return OwnedArg(_read_ref(reader))
    if variant == 1:
        id_, version, mutable = ObjectId(reader.raw(32)), reader.u64(), reader.uleb()
        if mutable > 1:
            raise _unknown("use of a shared object", mutable)
        return SharedArg(id_, version, mutable == 1)
    if variant == 2:
        return ReceivingArg(_read_ref(reader))
    raise _unknown("object input", variant)


def _read_argument(reader: Reader) -> Argument:
    variant = reader.uleb()
    if variant == 1:
        return input_at(reader.uint(2))
    if variant == 2:
        return result_of(reader.uint(2))
    if variant == 3:
        return NestedResult(reader.u16(), reader.u16())
    if variant == 0:
        return GasCoin()
    raise _unknown("argument", variant)


def _read_arguments(reader: Reader) -> tuple[Argument, ...]:
    count = reader.length()
    plain = _plain_arguments(reader.peek(3 * count))
    if len(plain) == count:
        reader.raw(3 * count)
        return plain
    return tuple([_read_argument(reader) for _ in range(count)])


@lru_cache(maxsize=1024)
def _plain_arguments(data: bytes) -> tuple[Argument, ...]:
    """Read inputs and results, three bytes each, up to the first argument that is neither.

    Calls have hardly any others, and one call's arguments are often those of the next.
    """
    reader, found = Reader(data), []
    while reader.left >= 3 and data[reader.at] in (1, 2):
        found.append(_read_argument(reader))
    return tuple(found)


_package = lru_cache(maxsize=64)(ObjectId)


def _read_call(reader: Reader) -> Command:
    package, module, function = _package(reader.raw(32)), reader.string(), reader.string()
    types = reader.vector(read_type_tag)
    return MoveCall(package, module, function, _read_arguments(reader), types)


def _read_package(reader: Reader) -> tuple[tuple[bytes, ...], tuple[ObjectId, ...]]:
    return reader.vector(Reader.bytes), reader.vector(lambda inner: ObjectId(inner.raw(32)))


_COMMANDS: dict[int, Callable[[Reader], Command]] = {
    0: _read_call,
    1: lambda reader: TransferObjects(reader.vector(_read_argument), _read_argument(reader)),
    2: lambda reader: SplitCoins(_read_argument(reader), reader.vector(_read_argument)),
    3: lambda reader: MergeCoins(_read_argument(reader), reader.vector(_read_argument)),
    4: lambda reader: Publish(*_read_package(reader)),
    5: lambda reader: MakeMoveVec(reader.option(read_type_tag), reader.vector(_read_argument)),
    6: lambda reader: Upgrade(*_read_package(reader), ObjectId(reader.raw(32)), _read_argument(reader)),
}


def _read_command(reader: Reader) -> Command:
    variant = reader.uleb()
    if variant not in _COMMANDS:
        raise _unknown("command", variant)
    return _COMMANDS[variant](reader)


def _read_expiration(reader: Reader) -> Expiration:
    variant = reader.uleb()
    if variant == 0:
        return NoExpiration()
    if variant == 1:
        return EpochExpiration(SuiEpoch(reader.u64()))
    if variant == 2:
        bounds = [reader.option(Reader.u64) for _ in range(4)]
        return ValidDuring(bounds[0], bounds[1], bounds[2], bounds[3], _read_digest(reader), reader.u32())
    raise _unknown("expiration", variant)
