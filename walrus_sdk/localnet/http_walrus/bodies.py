"""Bodies of stores as they come in: whole, in parts, or only counted; and the refusal of one that is too large."""

from __future__ import annotations

from typing import Any, Protocol

from walrus_sdk.localnet.http_walrus.errors import refuse, refuse_text
from walrus_sdk.localnet.http_walrus.forms import Form
from walrus_sdk.localnet.replies import Answered

__all__ = ["Sink", "sink_for", "too_large"]


class Sink(Protocol):
    """Takes a body chunk by chunk."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. Raises `Answered` (400) for a malformed form."""
        ...

    def finish(self) -> Any:
        """Return the bytes of a blob, the parts of a quilt, or the number of bytes in sink mode."""
        ...


def sink_for(route: str, content_type: str, *, only_count: bool) -> Sink:
    """Return what takes the body of a store: ``blobs`` or ``quilts``."""
    if only_count:
        return _Count()
    return _Whole() if route == "blobs" else _Parts(content_type)


def too_large(route: str) -> Answered:
    """Return the refusal of a body over the limit: text for a blob, a malformed form for a quilt."""
    if route == "blobs":
        return refuse_text(413, "Failed to buffer the request body: length limit exceeded")
    why = "failed to parse multipart form: Error parsing `multipart/form-data` request"
    return refuse("INVALID_ARGUMENT", "MALFORMED_REQUEST", why)


class _Whole:
    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, chunk: bytes) -> None:
        self._data += chunk

    def finish(self) -> bytes:
        return bytes(self._data)


class _Parts:
    def __init__(self, content_type: str) -> None:
        self._form = Form(content_type)

    def feed(self, chunk: bytes) -> None:
        self._form.feed(chunk)

    def finish(self) -> Any:
        return self._form.finish()


class _Count:
    def __init__(self) -> None:
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        self._size += len(chunk)

    def finish(self) -> int:
        return self._size
