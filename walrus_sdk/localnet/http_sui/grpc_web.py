"""gRPC-Web for official portals: ``/sui.rpc.v2.LedgerService/BatchGetObjects``, binary and base64 text.

Only the fields that a portal reads: object id, version, digest, type, contents. Source: docs/explanation/sui.md
(gRPC-Web); frames are one flag byte and a big-endian length.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from walrus_sdk.codecs.bcs import uleb
from walrus_sdk.errors import CodecError
from walrus_sdk.localnet.chain.objects import StoredObject, View
from walrus_sdk.model.units import ObjectId

__all__ = ["PATH", "batch_get_objects", "decode_frames", "encode_frame"]

PATH = "/sui.rpc.v2.LedgerService/BatchGetObjects"
_TRAILER = 0x80
_INVALID_ARGUMENT, _NOT_FOUND = 3, 5


def _field(number: int, data: bytes) -> bytes:
    return uleb(number << 3 | 2) + uleb(len(data)) + data


def _number(number: int, value: int) -> bytes:
    out = bytearray(uleb(number << 3))
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise CodecError("malformed", "not a protobuf message")


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the length-delimited fields of a message; numbers are skipped."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == 0:
            _, at = _varint(data, at)
            continue
        if tag & 7 != 2:
            raise CodecError("malformed", "not a protobuf message")
        size, at = _varint(data, at)
        if at + size > len(data):
            raise CodecError("malformed", "not a protobuf message")
        yield tag >> 3, data[at : at + size]
        at += size


def encode_frame(data: bytes, *, trailer: bool = False) -> bytes:
    """Return a frame."""
    return bytes([_TRAILER if trailer else 0]) + len(data).to_bytes(4, "big") + data


def decode_frames(data: bytes) -> list[tuple[int, bytes]]:
    """Return the frames of a body as (flag, content). Raises `CodecError`."""
    frames, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at + 1 : at + 5], "big")
        if at + 5 + size > len(data):
            raise CodecError("malformed", "a gRPC-Web frame is cut off")
        frames.append((data[at], data[at + 5 : at + 5 + size]))
        at += 5 + size
    return frames


def batch_get_objects(body: bytes, view: View, *, text: bool) -> bytes:
    """Return the whole answer to a request's body; `text` for the base64 form."""
    try:
        if text:
            body = base64.b64decode(body, validate=True)
        ((_, message),) = decode_frames(body)
        results = b"".join(_field(1, _result(item, view)) for number, item in _fields(message) if number == 1)
        answer = encode_frame(results) + encode_frame(b"grpc-status:0\r\n", trailer=True)
    except (CodecError, ValueError, binascii.Error) as error:
        status = f"grpc-status:{_INVALID_ARGUMENT}\r\ngrpc-message:{type(error).__name__}\r\n"
        answer = encode_frame(status.encode(), trailer=True)
    return base64.b64encode(answer) if text else answer


def _result(request: bytes, view: View) -> bytes:
    id_ = ObjectId.parse(next((data.decode() for number, data in _fields(request) if number == 1), ""))
    found = view.get(id_)
    if found is None:
        status = _number(1, _NOT_FOUND) + _field(2, f"Object {id_} not found".encode())
        return _field(2, status)
    return _field(1, _object(found))


def _object(item: StoredObject) -> bytes:
    contents = _field(1, item.type.encode()) + _field(2, item.contents)
    return (
        _field(2, str(item.id).encode())
        + _number(3, item.version)
        + _field(4, str(item.digest).encode())
        + _field(6, item.type.encode())
        + _field(8, contents)
    )
