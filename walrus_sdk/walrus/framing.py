"""The multipart/form-data body of a quilt store, framed by hand so that its length is known before it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from walrus_sdk.errors import CodecError
from walrus_sdk.model.units import BlobId
from walrus_sdk.ports import Part

__all__ = ["RESERVED", "Framing", "boundary_of", "quilt_form"]

RESERVED = "_metadata"
"""The only part name that publishers do not take for an identifier."""

_CHANGED = ('"', "\\", "\r", "\n")


@dataclass(frozen=True, slots=True)
class Framing:
    """A body as an order of fixed bytes and contents, its exact size in bytes, and its content type."""

    pieces: tuple[bytes | Part, ...]
    size: int
    content_type: str


def boundary_of(quilt: BlobId) -> str:
    """Derive the boundary from the quilt's blob id.

    The id is a hash over the very bytes that stand between the boundaries, so they cannot contain it.
    """
    return "walrus-" + quilt.raw[:24].hex()


def quilt_form(parts: Sequence[Part], boundary: str) -> Framing:
    """Frame parts in their order: field name = identifier, raw UTF-8 (RFC 7578; Walrus `PUT /v1/quilts`).

    Raises `CodecError` ``identifier_invalid`` for a name that escaping would change or that the service reserves,
    and for a name that occurs twice.
    """
    pieces: list[bytes | Part] = []
    seen: set[str] = set()
    for part in parts:
        _check(part.identifier, seen)
        seen.add(part.identifier)
        head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{part.identifier}"; filename="file"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        pieces += [head.encode("utf-8") if len(pieces) == 0 else b"\r\n" + head.encode("utf-8"), part]
    pieces.append(f"\r\n--{boundary}--\r\n".encode())
    size = sum(piece.size if isinstance(piece, Part) else len(piece) for piece in pieces)
    return Framing(tuple(pieces), size, f"multipart/form-data; boundary={boundary}")


def _check(identifier: str, seen: set[str]) -> None:
    reason = ""
    if not identifier or identifier == RESERVED:
        reason = "is empty or reserved"
    elif any(char in identifier for char in _CHANGED):
        reason = "has a quote, backslash or line break, which multipart would change"
    elif identifier in seen:
        reason = "occurs twice"
    if reason:
        raise CodecError(
            "identifier_invalid", f"the quilt identifier {identifier!r:.200} {reason}", identifier=identifier[:200]
        )
