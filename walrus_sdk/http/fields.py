"""Header fields: refuse what cannot be sent before a library repeats it in an error, and read Retry-After."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from walrus_sdk.errors import ConfigurationError

__all__ = ["MAX_RETRY_AFTER_S", "checked", "received", "retry_after"]

MAX_RETRY_AFTER_S = 86_400.0
"""Longest wait in seconds that is believed; absurd values are cut to it."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?|")


def checked(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the fields with lower-case names. Raises `ConfigurationError` ``option_invalid``, never with a value."""
    for name, value in fields.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            shown = name if _NAME.fullmatch(name) else "(unreadable)"
            raise ConfigurationError(
                "option_invalid", f"the header {shown} has characters that cannot be sent", header=shown
            )
    return {name.lower(): value for name, value in fields.items()}


def received(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the fields of an answer by lower-case name; those that came more than once are joined by commas.

    Values are taken as UTF-8, others as ISO 8859-1 (RFC 9110, 5.5: bytes beyond ASCII have no agreed meaning).
    """
    found: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("ascii").lower(), _text(value)
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("iso-8859-1")


def retry_after(fields: Mapping[str, str], wall_ms: int) -> float | None:
    """Return the seconds that a Retry-After field asks to wait, 0 to 86,400; `None` without a readable one.

    It holds seconds or an HTTP date (RFC 9110, 10.2.3); `wall_ms` is now, in milliseconds since 1970 UTC.
    """
    value = fields.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+", value):
        return min(float(value[:12]), MAX_RETRY_AFTER_S)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    moment = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return min(max(moment.timestamp() - wall_ms / 1000, 0.0), MAX_RETRY_AFTER_S)
