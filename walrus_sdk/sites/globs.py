"""Globs of the Rust ``glob`` crate (``Pattern::matches`` with default options), which the official tool uses.

``?`` is any character and ``*`` any run of them, ``/`` included; ``**`` must be a whole path component and stands for
any number of components, also none; ``[abc]``, ``[a-z]``, ``[!a]`` are sets. Case counts. Source: crate
``glob`` 0.3; docs/explanation/sites.md. Matching takes time proportional to pattern times text, whatever they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from walrus_sdk.errors import ValidationError

__all__ = ["Glob", "compile_glob"]


@dataclass(frozen=True, slots=True)
class _Char:
    char: str


@dataclass(frozen=True, slots=True)
class _Any:
    """``?``"""


@dataclass(frozen=True, slots=True)
class _Run:
    """``*``"""


@dataclass(frozen=True, slots=True)
class _Tree:
    """``**``, with the separator behind it."""


@dataclass(frozen=True, slots=True)
class _Set:
    ranges: tuple[tuple[str, str], ...]
    inverted: bool

    def has(self, char: str) -> bool:
        return any(low <= char <= high for low, high in self.ranges) is not self.inverted


_Token = _Char | _Any | _Run | _Tree | _Set


@dataclass(frozen=True, slots=True)
class Glob:
    """A compiled glob."""

    pattern: str
    tokens: tuple[_Token, ...]

    @property
    def depth(self) -> int:
        """The number of its ``/``-separated parts: what decides between several globs that match."""
        return len(self.pattern.split("/"))

    def matches(self, text: str) -> bool:
        """Return whether the whole of `text` matches."""
        places = {0}  # how much of the text may be used up so far
        for token in self.tokens:
            places = _advance(token, places, text)
            if not places:
                return False
        return len(text) in places


def _advance(token: _Token, places: set[int], text: str) -> set[int]:
    end = len(text)
    match token:
        case _Run():
            return set(range(min(places), end + 1))
        case _Tree():
            low = min(places)
            return places | {i for i in range(low + 1, end + 1) if i == end or text[i - 1] == "/"}
        case _Any():
            return {i + 1 for i in places if i < end}
        case _Char(char):
            return {i + 1 for i in places if i < end and text[i] == char}
        case _Set():
            return {i + 1 for i in places if i < end and token.has(text[i])}


def compile_glob(pattern: str) -> Glob:
    """Return the compiled glob. Raises `ValidationError` ``ws_resources_invalid`` where the crate refuses it."""
    tokens: list[_Token] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "*":
            at = _stars(pattern, at, tokens)
        elif char == "[":
            at = _set(pattern, at, tokens)
        else:
            tokens.append(_Any() if char == "?" else _Char(char))
            at += 1
    return Glob(pattern, tuple(tokens))


def _bad(pattern: str, why: str) -> ValidationError:
    return ValidationError("ws_resources_invalid", f"glob {pattern!r:.100}: {why}", pattern=pattern[:200])


def _stars(pattern: str, at: int, tokens: list[_Token]) -> int:
    stop = at
    while stop < len(pattern) and pattern[stop] == "*":
        stop += 1
    if stop - at == 1:
        tokens.append(_Run())
        return stop
    if stop - at > 2:
        raise _bad(pattern, "expected at most two stars in a row")
    whole = (at == 0 or pattern[at - 1] == "/") and (stop == len(pattern) or pattern[stop] == "/")
    if not whole:
        raise _bad(pattern, "** must be a whole path component")
    if not (len(tokens) > 1 and isinstance(tokens[-1], _Tree)):
        tokens.append(_Tree())
    return min(stop + 1, len(pattern))


def _set(pattern: str, at: int, tokens: list[_Token]) -> int:
    inverted = pattern[at + 1 : at + 2] == "!"
    first = at + 2 if inverted else at + 1
    # The first character of a set is never its end, so that ``[]]`` holds a bracket.
    close = pattern.find("]", first + 1)
    if close < 0 or first >= len(pattern):
        raise _bad(pattern, "a set is not closed")
    body, ranges, i = pattern[first:close], [], 0
    while i < len(body):
        if i + 3 <= len(body) and body[i + 1] == "-":
            ranges.append((body[i], body[i + 2]))
            i += 3
        else:
            ranges.append((body[i], body[i]))
            i += 1
    tokens.append(_Set(tuple(ranges), inverted))
    return close + 1
