"""Which HTTP headers a resource gets: one glob wins, defaults fill the gaps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from walrus_sdk.errors import ValidationError
from walrus_sdk.sites.content_types import content_type
from walrus_sdk.sites.globs import Glob

__all__ = ["check_header", "headers_for"]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_MAX_VALUE = 8192


def check_header(name: str, value: str) -> None:
    """Raise `ValidationError` ``header_invalid`` unless name and value can stand in an HTTP answer.

    Names are tokens (RFC 9110 5.6.2), values have no control characters but the tab and at most 8,192 bytes.
    """
    if not _TOKEN.fullmatch(name):
        raise ValidationError("header_invalid", f"not a header name: {name!r:.100}", header=name[:100])
    if any((ord(char) < 32 and char != "\t") or ord(char) == 127 for char in value):
        raise ValidationError("header_invalid", f"control character in the value of {name}", header=name)
    if len(value.encode("utf-8", "replace")) > _MAX_VALUE:
        raise ValidationError("header_invalid", f"{name}: expected at most {_MAX_VALUE} bytes", header=name)


def headers_for(path: str, rules: Sequence[tuple[Glob, Mapping[str, str]]]) -> tuple[tuple[str, str], ...]:
    """Return the headers of `path`, names in lower case, sorted by name.

    `rules` stand in byte order of their globs. Of those that match, the one with the most ``/``-separated parts wins,
    the first of equals, and it alone counts. Then ``content-type`` (by extension) and ``content-encoding: identity``
    fill what it left out. Source: walrus-sites ``site/resource.rs``; docs/explanation/sites.md.
    """
    best: tuple[Glob, Mapping[str, str]] | None = None
    for rule in rules:
        if rule[0].matches(path) and (best is None or rule[0].depth > best[0].depth):
            best = rule
    if best is None:
        return _defaults(content_type(path))
    # Names that differ in case fall together; the last in sort order wins, as in the official tool.
    headers = dict(_defaults(content_type(path))) | {name.lower(): best[1][name] for name in sorted(best[1])}
    return tuple(sorted(headers.items()))


@lru_cache(maxsize=256)
def _defaults(kind: str) -> tuple[tuple[str, str], ...]:
    return ("content-encoding", "identity"), ("content-type", kind)
