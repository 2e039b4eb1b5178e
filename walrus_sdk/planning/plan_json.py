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
from collections.abc import Callable, Mapping
from enum import Enum
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
        return cast(T, _load(kind, data))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise CodecError("malformed", f"not a {kind.__name__}: {error}") from error


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

_Loader: TypeAlias = Callable[[Any], Any]


def _load(kind: Any, data: Any) -> Any:
    return _loader(kind)(data)


@functools.cache
def _loader(kind: Any) -> _Loader:
    """Return how values of a type are read; it is made once for each type that plans have."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _optional_loader(args)
    if origin is tuple:
        return _tuple_loader(args)
    if origin is not None and issubclass(origin, Mapping):
        key_of, item_of = _loader(args[0]), _loader(args[1])
        return lambda data: {key_of(key): item_of(item) for key, item in _expect(dict, data).items()}
    if kind in (object, Any):
        return lambda data: data
    if dataclasses.is_dataclass(kind) and kind not in (*_TEXTS, *_AMOUNTS, *_EPOCHS):
        return _dataclass_loader(kind)
    return _leaf_loader(kind)


def _optional_loader(args: tuple[Any, ...]) -> _Loader:
    (inner,) = [_loader(arg) for arg in args if arg is not type(None)]
    return lambda data: None if data is None else inner(data)


def _leaf_loader(kind: Any) -> _Loader:
    if kind in _TEXTS:
        return lambda data: kind.parse(_expect(str, data))
    if kind in _AMOUNTS or kind in _EPOCHS:
        return lambda data: kind(_expect(int, data))
    if kind is bytes:
        return lambda data: bytes.fromhex(_expect(str, data))
    if issubclass(kind, Enum):
        return lambda data: kind(data)
    return lambda data: _expect(kind, data)


def _expect(kind: type[T], data: Any) -> T:
    if type(data) is not kind:
        raise TypeError(f"expected {kind.__name__}, found {data!r:.60}")
    return data


def _tuple_loader(args: tuple[Any, ...]) -> _Loader:
    if args[-1] is Ellipsis:
        each = _loader(args[0])
        return lambda data: tuple([each(item) for item in _expect(list, data)])
    loaders = [_loader(arg) for arg in args]

    def load_items(data: Any) -> tuple[Any, ...]:
        items = _expect(list, data)
        if len(loaders) != len(items):
            raise TypeError(f"expected {len(loaders)} items, found {len(items)}")
        return tuple([one(item) for one, item in zip(loaders, items, strict=True)])

    return load_items


def _dataclass_loader(kind: Any) -> _Loader:
    hints = typing.get_type_hints(kind)
    loaders = {name: _loader(hints[name]) for name in _fields(kind)}

    def load_fields(data: Any) -> Any:
        if _expect(dict, data).keys() != loaders.keys():
            raise TypeError(f"{kind.__name__}: fields differ by {sorted(set(data) ^ loaders.keys())}")
        return kind(**{name: one(data[name]) for name, one in loaders.items()})

    return load_fields
