"""Plans as JSON and back: what is frozen in the journal and in checkpoints, and what a plan's digest is taken of.

The form follows the value types: a dataclass is an object with its fields, ids and addresses are their usual texts,
bytes are hex, amounts and epochs are numbers, mappings are objects. Reading is strict: missing or unknown
fields and wrong types raise `CodecError` ``malformed``, so that a damaged plan is never half-read.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import chain, islice, repeat, starmap
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar, cast

from walrus_sdk.errors import CodecError
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.units import (
    BlobId,
    Digest,
    Frost,
    Mist,
    ObjectId,
    QuiltPatchId,
    SuiAddress,
    SuiEpoch,
    WalrusEpoch,
)

__all__ = ["canonical", "data_digest", "dump", "load", "load_plan", "plan_digest"]

T = TypeVar("T")

_TEXTS = (BlobId, Digest, ObjectId, SuiAddress, QuiltPatchId)
_AMOUNTS = (Frost, Mist)
_EPOCHS = (SuiEpoch, WalrusEpoch)


_LEAVES: dict[type, Callable[[Any], Any]] = {
    **dict.fromkeys((type(None), bool, int, float, str), lambda value: value),
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(_AMOUNTS, attrgetter("units")),
    **dict.fromkeys(_EPOCHS, attrgetter("number")),
    bytes: bytes.hex,
}


def dump(value: Any) -> Any:
    """Return a frozen value as JSON-ready data."""
    kind: Any = type(value)
    leaf = _LEAVES.get(kind)
    return leaf(value) if leaf is not None else _dumper(kind)(value)


@functools.cache
def _dumper(kind: Any) -> Callable[[Any], Any]:
    """Return how values of a type that has parts are written."""
    if issubclass(kind, Enum):
        return attrgetter("value")
    if issubclass(kind, Mapping):
        return lambda value: {dump(key): dump(item) for key, item in value.items()}
    if issubclass(kind, list | tuple):
        return lambda value: [dump(item) for item in value]
    assert dataclasses.is_dataclass(kind), f"{kind.__name__} has no JSON form"
    names: tuple[str, ...] = _fields(cast(Any, kind))
    if len(names) < 2:
        return lambda value: {name: dump(getattr(value, name)) for name in names}
    parts = attrgetter(*names)
    return lambda value: dict(zip(names, map(dump, parts(value)), strict=True))


@functools.cache
def _fields(kind: Any) -> tuple[str, ...]:
    """Return the names of a dataclass's fields."""
    return tuple(item.name for item in dataclasses.fields(kind))


def load(kind: type[T], data: Any) -> T:
    """Return the value of type `kind` that `data` describes; raises `CodecError` ``malformed``."""
    try:
        (value,) = _loader(cast(Any, kind))([data])
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise CodecError("malformed", f"not a {kind.__name__}: {error}") from error
    return cast(T, value)


def load_plan(data: Any) -> Plan:
    """Return the plan that `dump` made `data` of; raises `CodecError` ``malformed``."""
    return load(Plan, data)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(data: Any) -> bytes:
    """Return JSON-ready data as bytes that depend on its content only: sorted keys, no spaces, UTF-8."""
    return _ENCODER.encode(data).encode("utf-8", "surrogatepass")


def plan_digest(plan: Plan) -> str:
    """Return the SHA-256 (hex) of a plan without its own digest."""
    return data_digest(dump(plan))


def data_digest(data: Mapping[str, Any]) -> str:
    """Return the digest of the plan that `dump` made `data` of; it is the same as `plan_digest` of that plan."""
    return hashlib.sha256(canonical({**data, "digest": ""})).hexdigest()


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────
#
# A plan of 10,000 files has 100,000 values of a dozen types. What is read is a column: many values of one type at once,
# with one call for the column instead of several for each value (docs/decisions/0024).

_Column: TypeAlias = Sequence[Any]
_Loader: TypeAlias = Callable[[_Column], _Column]


@functools.cache
def _loader(kind: Any) -> _Loader:
    """Return how a column of values of a type is read; it is made once for each type that plans have."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _optional_loader(args)
    if origin is tuple:
        return _tuple_loader(args)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping_loader(args)
    if kind in (object, Any):
        return lambda column: column
    if dataclasses.is_dataclass(kind) and kind not in (*_TEXTS, *_AMOUNTS, *_EPOCHS):
        return _dataclass_loader(kind)
    return _leaf_loader(kind)


def _optional_loader(args: tuple[Any, ...]) -> _Loader:
    (inner,) = [_loader(arg) for arg in args if arg is not type(None)]

    def load_optionals(column: _Column) -> _Column:
        loaded = iter(inner([item for item in column if item is not None]))
        return [None if item is None else next(loaded) for item in column]

    return load_optionals


def _leaf_loader(kind: Any) -> _Loader:
    if kind in _TEXTS:
        return lambda column: [kind.parse(item) for item in _expect(str, column)]
    if kind in _AMOUNTS or kind in _EPOCHS:
        return lambda column: [kind(item) for item in _expect(int, column)]
    if kind is bytes:
        return lambda column: [bytes.fromhex(item) for item in _expect(str, column)]
    if issubclass(kind, Enum):
        return lambda column: [kind(item) for item in column]
    return lambda column: _expect(kind, column)


def _expect(kind: type, column: _Column) -> _Column:
    """Return a column all values of which are of a type, not of a subclass: `True` is no number here."""
    if not {kind}.issuperset(map(type, column)):
        wrong = next(item for item in column if type(item) is not kind)
        raise TypeError(f"expected {kind.__name__}, found {wrong!r:.60}")
    return column


def _tuple_loader(args: tuple[Any, ...]) -> _Loader:
    if args[-1] is Ellipsis:
        each = _loader(args[0])

        def load_many(column: _Column) -> _Column:
            loaded = iter(each([*chain.from_iterable(_expect(list, column))]))
            return [tuple(islice(loaded, len(items))) for items in column]

        return load_many
    loaders = [_loader(arg) for arg in args]

    def load_items(column: _Column) -> _Column:
        wrong = {*map(len, _expect(list, column))} - {len(loaders)}
        if wrong:
            raise TypeError(f"expected {len(loaders)} items, found {min(wrong)}")
        return [*zip(*_parts(loaders, column), strict=True)]

    return load_items


def _mapping_loader(args: tuple[Any, ...]) -> _Loader:
    key_of, item_of = map(_loader, args)

    def load_mappings(column: _Column) -> _Column:
        _expect(dict, column)
        keys = iter(key_of([*chain.from_iterable(column)]))
        items = iter(item_of([item for data in column for item in data.values()]))
        return [dict(zip(islice(keys, len(data)), islice(items, len(data)), strict=True)) for data in column]

    return load_mappings


def _dataclass_loader(kind: Any) -> _Loader:
    hints = typing.get_type_hints(kind)
    loaders = {name: _loader(hints[name]) for name in _fields(kind)}
    assert loaders, f"{kind.__name__} has no fields"

    def load_fields(column: _Column) -> _Column:
        for data in _expect(dict, column):
            if data.keys() != loaders.keys():
                raise TypeError(f"{kind.__name__}: fields differ by {sorted(set(data) ^ loaders.keys())}")
        values = [[data[name] for name in loaders] for data in column]
        return [*starmap(kind, zip(*_parts(loaders.values(), values), strict=True))]

    return load_fields


def _parts(loaders: Iterable[_Loader], rows: _Column) -> Iterator[_Column]:
    """Return the columns of rows, each read by its own loader."""
    columns = zip(*rows, strict=True) if rows else repeat(())
    return (load(column) for load, column in zip(loaders, columns, strict=False))
