"""Values over a pipe: JSON with the bytes taken out and sent beside it.

One message is: header length (u32 LE), header (JSON: the value, and the lengths of its attachments), attachments.
Only what a worker's tasks need passes: None, bool, int, float, str, bytes, lists and tuples (as lists), dicts with
text keys. Nothing on this wire can name code, other than the task that the caller chose.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["pack", "unpack"]

_LENGTH = struct.Struct("<I")


def pack(value: Any) -> list[bytes]:
    """Return the message for `value` as buffers to write one after the other."""
    attachments: list[bytes] = []
    header = json.dumps({"value": _lift(value, attachments), "sizes": [len(part) for part in attachments]}).encode()
    return [_LENGTH.pack(len(header)), header, *attachments]


def unpack(read: Callable[[int], bytes]) -> Any:
    """Read one message with `read(n)`, which returns exactly n bytes or raises `EOFError`."""
    header = json.loads(read(_LENGTH.unpack(read(_LENGTH.size))[0]))
    return _lower(header["value"], [read(size) for size in header["sizes"]])


def _lift(value: Any, attachments: list[bytes]) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        attachments.append(bytes(value))
        return {"bytes": len(attachments) - 1}
    if isinstance(value, list | tuple):
        return [_lift(item, attachments) for item in value]
    if isinstance(value, dict):
        return {"dict": {str(key): _lift(item, attachments) for key, item in value.items()}}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} does not pass to a worker process")


def _lower(value: Any, attachments: Sequence[bytes]) -> Any:
    if isinstance(value, list):
        return [_lower(item, attachments) for item in value]
    if isinstance(value, dict):
        if "bytes" in value:
            return attachments[value["bytes"]]
        return {key: _lower(item, attachments) for key, item in value["dict"].items()}
    return value
