"""Replaced assets that stay for a time: pages that visitors have open still ask for them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from walrus_sdk.model.plan import SiteChange
from walrus_sdk.sites.paths import is_html

__all__ = ["has_hash", "retire"]

_TOKEN = re.compile(r"[A-Za-z0-9_]{8,}")


def has_hash(path: str) -> bool:
    """Return whether a file's name holds a hash of its content, as bundlers write them (``app.3f2a9c1b.js``)."""
    stem = PurePosixPath(path).name.rpartition(".")[0]
    last = re.split(r"[.-]", stem)[-1]
    return (
        last != stem
        and _TOKEN.fullmatch(last) is not None
        and any(sign.isdigit() for sign in last)
        and any(sign.isalpha() for sign in last)
    )


def retire(
    change: SiteChange, retiring: Mapping[str, int], now_ms: int, keep_ms: int, living: Collection[str]
) -> tuple[SiteChange, dict[str, int]]:
    """Return the change with replaced assets that stay, and until when each does (milliseconds since 1970 UTC).

    `retiring` holds those that stay already, `living` the paths whose bytes can still be read. Only names with a hash
    stay, so that no old content is served under a name that means something, and never HTML.
    """
    ends: dict[str, int] = {}
    for path in change.remove:
        if path not in living:
            continue
        if path in retiring:
            end = retiring[path]
        elif keep_ms > 0 and has_hash(path) and not is_html(path):
            end = now_ms + keep_ms
        else:
            continue
        if end > now_ms:
            ends[path] = end
    kept = replace(
        change,
        remove=tuple(path for path in change.remove if path not in ends),
        keep=tuple(sorted((*change.keep, *ends))),
    )
    return kept, ends
