"""Matching with stars in bounded time (pattern times text); no regular expressions, so nothing can blow up."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["match_segments", "match_stars"]


def match_stars(pattern: str, text: str, *, any_char: str = "") -> bool:
    """Return whether `text` is `pattern` with each ``*`` replaced by any characters.

    `any_char`, where given, stands for any one character of the text.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return len(text) == len(pattern) and _stands_at(pattern, text, 0, any_char)
    *middle, last = rest
    at, stop = len(first), len(text) - len(last)
    if at > stop or not _stands_at(first, text, 0, any_char) or not _stands_at(last, text, stop, any_char):
        return False
    for part in middle:
        found = _find(part, text, at, stop, any_char)
        if found is None:
            return False
        at = found + len(part)
    return True


def _stands_at(part: str, text: str, at: int, any_char: str) -> bool:
    if not any_char or any_char not in part:
        return text.startswith(part, at)
    span = text[at : at + len(part)]
    return len(span) == len(part) and all(a in (any_char, b) for a, b in zip(part, span, strict=True))


def _find(part: str, text: str, at: int, stop: int, any_char: str) -> int | None:
    return next((i for i in range(at, stop - len(part) + 1) if _stands_at(part, text, i, any_char)), None)


def match_segments(pattern: str, path: str) -> bool:
    """Return whether `path` matches segment by segment; ``**`` as a whole segment stands for any number of them."""
    wanted, found = pattern.split("/"), path.split("/")
    if "**" not in wanted:
        return len(wanted) == len(found) and _all_match(wanted, found)
    at = wanted.index("**")
    head, tail = wanted[:at], wanted[at + 1 :]
    if len(head) + len(tail) > len(found):
        return False
    return _all_match(head, found[: len(head)]) and _all_match(tail, found[len(found) - len(tail) :])


def _all_match(wanted: Sequence[str], found: Sequence[str]) -> bool:
    return all(match_stars(pattern, segment) for pattern, segment in zip(wanted, found, strict=True))
