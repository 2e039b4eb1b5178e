"""Query strings, read as strictly as the services do: an unknown or repeated parameter is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_plus

from walrus_sdk.errors import CodecError
from walrus_sdk.localnet.http_walrus.errors import refuse, refuse_text
from walrus_sdk.model.units import SuiAddress

__all__ = ["StoreQuery", "byte_range", "read_options", "store_query"]

_U32 = 2**32 - 1
_U64 = 2**64 - 1
_STORE = ("encoding_type", "epochs", "permanent", "deletable", "force", "reuse_resources", "send_object_to", "share",
          "quilt_version")  # fmt: skip
_READ = ("strict_consistency_check", "skip_consistency_check")


@dataclass(frozen=True, slots=True)
class StoreQuery:
    """What a store asks for."""

    epochs: int
    permanent: bool
    force: bool
    reuse_resources: bool
    send_object_to: SuiAddress | None
    share: bool


def _bad(why: str) -> Exception:
    return refuse_text(400, f"Failed to deserialize query string: {why}")


def _pairs(query: str, known: tuple[str, ...]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for part in query.split("&") if query else []:
        name, _, value = part.partition("=")
        name, value = unquote_plus(name), unquote_plus(value)
        if name not in known:
            expected = ", ".join(f"`{item}`" for item in known)
            raise _bad(f"unknown field `{name}`, expected one of {expected}")
        if name in found:
            raise _bad(f"duplicate field `{name}`")
        found[name] = value
    return found


def _flag(values: Mapping[str, str], name: str) -> bool:
    text = values.get(name, "false")
    if text not in ("true", "false"):
        raise _bad(f"{name}: provided string was not `true` or `false`")
    return text == "true"


def _number(values: Mapping[str, str], name: str, limit: int) -> int:
    text = values[name]
    if not re.fullmatch(r"\+?[0-9]+", text) or int(text) > limit:
        raise _bad(f"{name}: invalid digit found in string")
    return int(text)


def store_query(query: str) -> StoreQuery:
    """Read the query of a store. Raises `Answered` (400)."""
    values = _pairs(query, _STORE)
    if values.get("encoding_type", "RS2") != "RS2":
        raise _bad(f"encoding_type: unknown variant `{values['encoding_type']}`, expected `RS2`")
    if "share" in values and "send_object_to" in values:
        raise _bad("duplicate field `share`")
    epochs = _number(values, "epochs", _U32) if "epochs" in values else 1
    permanent, deletable = _flag(values, "permanent"), _flag(values, "deletable")
    asked = StoreQuery(
        epochs,
        permanent,
        _flag(values, "force"),
        _flag(values, "reuse_resources"),
        _address(values.get("send_object_to")),
        values.get("share") == "true",
    )
    if permanent and deletable:
        message = "the blob cannot be both deletable and permanent"
        raise refuse("INVALID_ARGUMENT", "INVALID_BLOB_PERSISTENCE", message)
    return asked


def _address(text: str | None) -> SuiAddress | None:
    """Return an address; a malformed one is silently lost, as it is there."""
    try:
        return SuiAddress.parse(text) if text is not None else None
    except CodecError:
        return None


def read_options(query: str) -> None:
    """Check the query of a read. Raises `Answered` (400)."""
    values = _pairs(query, _READ)
    strict, skipped = _flag(values, _READ[0]), _flag(values, _READ[1])
    if strict and skipped:
        message = "the strict and the skipped consistency check exclude each other"
        raise refuse("INVALID_ARGUMENT", "INVALID_CONSISTENCY_CHECK", message)


def byte_range(query: str) -> tuple[int, int]:
    """Read start and length of a byte-range read. Raises `Answered` (400)."""
    values = _pairs(query, ("start", "length"))
    for name in ("start", "length"):
        if name not in values:
            raise _bad(f"missing field `{name}`")
    return _number(values, "start", _U64), _number(values, "length", _U64)
