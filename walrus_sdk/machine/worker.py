"""The loop of one worker process: read a task, run it, answer, until the pipe closes.

Started by `threads`. A process of our own, because the usual pools run the
parent's main script again in their children: a script that deploys would deploy twice.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, BinaryIO

from walrus_sdk.errors import WalrusError
from walrus_sdk.machine import wire

__all__ = ["TASK_ROOM", "find", "serve"]

TASK_ROOM = "walrus_sdk.codecs."
"""Only pure functions of this room run in a worker."""


def find(name: str) -> Callable[..., Any]:
    """Return the function that ``module:name`` names; raises `LookupError` outside `TASK_ROOM`."""
    module, _, attribute = name.partition(":")
    if not module.startswith(TASK_ROOM) or not attribute.isidentifier():
        raise LookupError(f"{name} is not a task of {TASK_ROOM}*")
    function: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return function


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer tasks from `source` on `sink` until `source` ends."""

    def read(size: int) -> bytes:
        data = source.read(size)
        if len(data) != size:
            raise EOFError
        return data

    while True:
        try:
            name, arguments = wire.unpack(read)
        except EOFError:
            return
        for buffer in wire.pack(_run(name, arguments)):
            sink.write(buffer)
        sink.flush()


def _run(name: str, arguments: list[Any]) -> dict[str, Any]:
    try:
        return {"done": find(name)(*arguments)}
    except WalrusError as error:
        fields = {key: str(value) for key, value in error.fields.items()}
        return {"error": [type(error).__name__, error.code, error.message, fields]}
    except MemoryError:
        return {"memory": name}
