"""Take secrets and control characters out of what people see: addresses, headers, texts that servers sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

__all__ = ["MAX_TEXT", "headers", "hidden", "text", "url"]

MAX_TEXT = 512
"""Characters of a foreign text that an error may carry."""

_HIDDEN = "***"
_SHAPES = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;]+"), rf"\1 {_HIDDEN}"),
    (re.compile(r"\beyJ[\w-]*\.[\w-]+(\.[\w-]*)?"), _HIDDEN),
    (re.compile(r"\bsuiprivkey1[0-9a-z]+"), _HIDDEN),
    (
        re.compile(
            r"(?i)\b(key|secret|password|passwd|token)(\W{1,3})(0x[0-9a-f]{64}|[0-9a-f]{64}|[\w+/]{43,44}=?)(?![\w+/=])"
        ),
        rf"\1\2{_HIDDEN}",
    ),
    (re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^\s/?#@]*@"), r"\1"),
    (re.compile(r"(?i)(\bhttps?://[^\s?#\"'<>]+)[?#][^\s\"'<>]*"), r"\1"),
)
_OPEN_HEADERS = frozenset(
    "accept accept-encoding cache-control connection content-length content-range content-type date etag host "
    "range retry-after server user-agent".split()
)


def url(address: str) -> str:
    """Return an address without user, password, query and fragment; a fixed text when it cannot be read."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "(an address that cannot be read)"
    if not parts.scheme or not host:
        return "(an address that cannot be read)"
    host = f"[{host}]" if ":" in host else host
    return _printable(f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path}")[:MAX_TEXT]


def headers(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with the values of all but a few harmless names hidden."""
    return {name: text(value) if name.lower() in _OPEN_HEADERS else _HIDDEN for name, value in fields.items()}


def text(foreign: str, secrets: Iterable[str] = ()) -> str:
    """Return a text fit for an error: known `secrets` and what looks like one hidden, escaped, at most 512 characters.

    Shapes: Bearer and Basic credentials, JWTs, Sui private keys, 64 hex digits or 32 bytes in base64 after a word
    like "key", users and queries in URLs. Control, bidirectional and zero-width characters are shown as escapes.
    """
    for secret in secrets:
        if secret:
            foreign = foreign.replace(secret, _HIDDEN)
    # Cut only after hiding, so that no half of a secret survives; a first cut bounds the work.
    return _printable(hidden(foreign[: 16 * MAX_TEXT]).strip())[:MAX_TEXT]


def hidden(foreign: str) -> str:
    """Return a text of any length with everything that looks like a secret hidden; for logs, whose lines are ours."""
    for shape, shown in _SHAPES:
        foreign = shape.sub(shown, foreign)
    return foreign


def _printable(foreign: str) -> str:
    if foreign.isprintable():  # as nearly all are
        return foreign
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in foreign)
