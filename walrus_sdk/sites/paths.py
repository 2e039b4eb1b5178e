"""Site paths: from a file's place in the folder to the path under which it is served, and the order of publishing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from walrus_sdk.codecs.bcs import Writer
from walrus_sdk.errors import CodecError, ValidationError

__all__ = ["MAX_PATH_BCS", "Conflict", "escaped", "find_conflicts", "is_html", "publish_order", "site_path"]

MAX_PATH_BCS = 2050
"""Bytes of a path in BCS, as the official tool limits it (walrus-sites ``site/resource.rs``)."""

_PLAIN = re.compile(r"[ -\[\]-~]{1,2000}")
"""Paths of which nothing needs to be looked at: printable ASCII without a backslash, and short enough."""

_BIDI = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}


def escaped(text: str) -> str:
    """Return a foreign text with everything that could steer a terminal shown as an escape."""
    return "".join(char if _harmless(char) else char.encode("unicode_escape").decode() for char in text)


def _harmless(char: str) -> bool:
    return unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def site_path(relative: str) -> str:
    """Return the site path of a file: ``/`` and its place in the folder (POSIX form), unchanged.

    No two files get the same path. The name is not normalised, so that both tools publish the same paths. Raises
    `ValidationError` ``path_invalid`` for names that a URL cannot reach or that hide what they are: control and bidi
    characters, backslashes, lone surrogates, empty, ``.`` or ``..`` parts, more than 2,050 bytes.
    """
    path = "/" + relative
    if path[-1] == "/" or "//" in path or "/." in path:
        _check_parts(relative)
    if _PLAIN.fullmatch(path):
        return path
    shown = escaped(relative)
    for char in relative:
        if unicodedata.category(char) == "Cc" or unicodedata.bidirectional(char) in _BIDI:
            raise _bad(shown, "control characters cannot be part of it")
        if char == "\\":
            raise _bad(shown, "browsers turn a backslash into a slash, so it would never be found")
    try:
        size = len(bytes(Writer().string(path)))
    except CodecError as error:
        raise _bad(shown, "its name is not valid Unicode") from error
    if size > MAX_PATH_BCS:
        raise _bad(shown[:100] + "…", f"expected at most {MAX_PATH_BCS} bytes, found {size}")
    return path


def _check_parts(relative: str) -> None:
    if any(part in ("", ".", "..") for part in relative.split("/")):
        raise _bad(escaped(relative), "empty, '.' and '..' are not names")


def _bad(shown: str, why: str) -> ValidationError:
    return ValidationError("path_invalid", f"{shown}: {why}", path=shown)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two paths that are one path to some system; `fatal` when no visitor could tell them apart."""

    first: str
    second: str
    fatal: bool


def find_conflicts(paths: Iterable[str]) -> list[Conflict]:
    """Return paths that differ in Unicode form only (fatal), or in case only (worth a warning)."""
    listed = sorted(paths)
    if all(map(str.isascii, listed)) and len(set(map(str.lower, listed))) == len(listed):
        return []
    forms: dict[str, str] = {}
    cases: dict[str, str] = {}
    found = []
    for path in listed:
        form = unicodedata.normalize("NFC", path)
        if form in forms:
            found.append(Conflict(forms[form], path, fatal=True))
        elif form.casefold() in cases:
            found.append(Conflict(cases[form.casefold()], path, fatal=False))
        forms.setdefault(form, path)
        cases.setdefault(form.casefold(), path)
    return found


def is_html(path: str) -> bool:
    """Return whether a path is a page, by its ending."""
    return path.lower().endswith((".html", ".htm", ".xhtml"))


def publish_order(path: str) -> tuple[int, str]:
    """Return the sort key of publishing: what pages refer to first, then pages, then entry pages."""
    if not is_html(path):
        return 0, path
    return (2 if path.rsplit("/", 1)[-1].lower() in {"index.html", "404.html"} else 1), path
