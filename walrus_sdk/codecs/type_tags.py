"""Move type tags: BCS, and the text that explorers and GraphQL print (``0x2::coin::Coin<0x2::sui::SUI>``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from walrus_sdk.codecs.bcs import Reader, Writer
from walrus_sdk.errors import CodecError
from walrus_sdk.model.units import ObjectId

__all__ = [
    "PrimitiveTag",
    "StructTag",
    "TypeTag",
    "VectorTag",
    "format_type_tag",
    "parse_type_tag",
    "read_type_tag",
    "write_type_tag",
]

_PRIMITIVES = {"bool": 0, "u8": 1, "u64": 2, "u128": 3, "address": 4, "signer": 5, "u16": 8, "u32": 9, "u256": 10}
_NAMES = {index: name for name, index in _PRIMITIVES.items()}
_VECTOR, _STRUCT = 6, 7
_MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class PrimitiveTag:
    """One of bool, u8 … u256, address, signer."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in _PRIMITIVES:
            raise CodecError("malformed", f"not a primitive type: {self.name!r:.80}")


@dataclass(frozen=True, slots=True)
class VectorTag:
    """``vector<inner>``."""

    inner: TypeTag


@dataclass(frozen=True, slots=True)
class StructTag:
    """``address::module::name<params>``; the address is the package that first defined the type."""

    address: ObjectId
    module: str
    name: str
    type_params: tuple[TypeTag, ...] = ()


TypeTag: TypeAlias = PrimitiveTag | VectorTag | StructTag


def write_type_tag(writer: Writer, tag: TypeTag) -> Writer:
    """Append a type tag."""
    if isinstance(tag, PrimitiveTag):
        return writer.uleb(_PRIMITIVES[tag.name])
    if isinstance(tag, VectorTag):
        return write_type_tag(writer.uleb(_VECTOR), tag.inner)
    writer.uleb(_STRUCT).raw(tag.address.raw).string(tag.module).string(tag.name)
    return writer.vector(tag.type_params, write_type_tag)


def read_type_tag(reader: Reader, depth: int = 0) -> TypeTag:
    """Read a type tag, nested at most 16 deep."""
    if depth > _MAX_DEPTH:
        raise CodecError("malformed", "a type is nested too deeply")
    kind = reader.uleb()
    if kind in _NAMES:
        return PrimitiveTag(_NAMES[kind])
    if kind == _VECTOR:
        return VectorTag(read_type_tag(reader, depth + 1))
    if kind != _STRUCT:
        raise CodecError("malformed", f"unknown type tag {kind}")
    address, module, name = ObjectId(reader.raw(32)), reader.string(), reader.string()
    return StructTag(address, module, name, reader.vector(lambda inner: read_type_tag(inner, depth + 1)))


def format_type_tag(tag: TypeTag) -> str:
    """Return the text with full 64-digit addresses, as GraphQL's ``repr`` prints it."""
    if isinstance(tag, PrimitiveTag):
        return tag.name
    if isinstance(tag, VectorTag):
        return f"vector<{format_type_tag(tag.inner)}>"
    params = ",".join(map(format_type_tag, tag.type_params))
    return f"{tag.address}::{tag.module}::{tag.name}" + (f"<{params}>" if params else "")


_TOKEN = re.compile(r"\s*(::|[<>,]|[A-Za-z0-9_]+)\s*")


def parse_type_tag(text: str) -> TypeTag:
    """Read a type's text, short addresses included. Raises `CodecError` ``malformed``."""
    tokens: list[str] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match or len(tokens) > 500:
            raise CodecError("malformed", f"not a type: {text!r:.80}")
        tokens.append(match.group(1))
        at = match.end()
    parser = _Parser(tokens, text)
    tag = parser.tag(0)
    if parser.tokens:
        raise CodecError("malformed", f"not a type: {text!r:.80}")
    return tag


class _Parser:
    def __init__(self, tokens: list[str], text: str) -> None:
        self.tokens = tokens[::-1]
        self.text = text

    def take(self, expected: str | None = None) -> str:
        token = self.tokens.pop() if self.tokens else ""
        if not token or (expected is not None and token != expected):
            raise CodecError("malformed", f"not a type: {self.text!r:.80}")
        return token

    def tag(self, depth: int) -> TypeTag:
        if depth > _MAX_DEPTH:
            raise CodecError("malformed", "a type is nested too deeply")
        word = self.take()
        if word in _PRIMITIVES:
            return PrimitiveTag(word)
        if word == "vector":
            (inner,) = self.params(depth)
            return VectorTag(inner)
        self.take("::")
        module = self.take()
        self.take("::")
        name = self.take()
        params = self.params(depth) if self.tokens[-1:] == ["<"] else ()
        return StructTag(ObjectId.parse(word), module, name, params)

    def params(self, depth: int) -> tuple[TypeTag, ...]:
        self.take("<")
        found = [self.tag(depth + 1)]
        while self.tokens[-1:] == [","]:
            self.take(",")
            found.append(self.tag(depth + 1))
        self.take(">")
        return tuple(found)
