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
from typing import Any, TypeVar, cast

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

__all__ = ["canonical", "dump", "load", "load_plan", "plan_digest"]

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
    return lambda value: {name: dump(getattr(value, name)) for name in names}


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


def canonical(data: Any) -> bytes:
    """Return JSON-ready data as bytes that depend on its content only: sorted keys, no spaces, UTF-8."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def plan_digest(plan: Plan) -> str:
    """Return the SHA-256 (hex) of a plan without its own digest."""
    return hashlib.sha256(canonical(dump(dataclasses.replace(plan, digest="")))).hexdigest()


def _load(kind: Any, data: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return None if data is None else _load(_other_than_none(kind), data)
    if origin is tuple:
        return _load_tuple(typing.get_args(kind), data)
    if origin is not None and issubclass(origin, Mapping):
        return _load_mapping(typing.get_args(kind), data)
    if kind in (object, Any):
        return data
    if dataclasses.is_dataclass(kind) and kind not in (*_TEXTS, *_AMOUNTS, *_EPOCHS):
        return _load_dataclass(kind, data)
    return _load_leaf(kind, data)


def _other_than_none(kind: Any) -> Any:
    (inner,) = [arg for arg in typing.get_args(kind) if arg is not type(None)]
    return inner


def _load_leaf(kind: Any, data: Any) -> Any:
    if kind in _TEXTS:
        return kind.parse(_expect(str, data))
    if kind in _AMOUNTS or kind in _EPOCHS:
        return kind(_expect(int, data))
    if kind is bytes:
        return bytes.fromhex(_expect(str, data))
    if issubclass(kind, Enum):
        return kind(data)
    return _expect(kind, data)


def _expect(kind: type[T], data: Any) -> T:
    if type(data) is not kind:
        raise TypeError(f"expected {kind.__name__}, found {data!r:.60}")
    return data


def _load_tuple(args: tuple[Any, ...], data: Any) -> tuple[Any, ...]:
    items = _expect(list, data)
    kinds = [args[0]] * len(items) if args[-1] is Ellipsis else list(args)
    if len(kinds) != len(items):
        raise TypeError(f"expected {len(kinds)} items, found {len(items)}")
    return tuple(_load(kind, item) for kind, item in zip(kinds, items, strict=True))


def _load_mapping(args: tuple[Any, ...], data: Any) -> dict[Any, Any]:
    return {_load(args[0], key): _load(args[1], item) for key, item in _expect(dict, data).items()}


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    """Return the types of a dataclass's fields."""
    hints = typing.get_type_hints(kind)
    return {name: hints[name] for name in _fields(kind)}


def _load_dataclass(kind: Any, data: Any) -> Any:
    hints = _hints(kind)
    names = hints.keys()
    if set(_expect(dict, data)) != names:
        raise TypeError(f"{kind.__name__}: fields differ by {sorted(set(data) ^ names)}")
    return kind(**{name: _load(hints[name], data[name]) for name in names})
