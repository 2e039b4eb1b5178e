"""Patterns of routes and redirects: the two grammars of the portal, and which of several matches wins.

*Default grammar* (routes): every ``*`` stands for any characters, ``/`` included; at most two; no brackets, braces,
``+?^$|`` or backslash; a dot is any character; the longest pattern wins, the first stored of equals.
*Glob grammar* (redirects always, routes where a
portal switches it on): at most one ``*`` in a segment, staying inside it; at most one whole-segment ``**``, crossing
segments; most literal characters win, then fewest stars, then the first stored. A pattern outside its grammar is
skipped without a word by the portal, which is why planning warns about it. Source: walrus-sites
``portal/common/lib``; docs/explanation/sites.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from walrus_sdk.sites.wildcards import match_segments, match_stars

__all__ = ["match_redirect", "match_route", "redirect_is_valid", "route_is_valid"]

_FORBIDDEN = set("()[]{}+?^$|\\")


def route_is_valid(pattern: str) -> bool:
    """Return whether the default grammar takes a route pattern."""
    return pattern.count("*") <= 2 and not _FORBIDDEN & set(pattern)


def redirect_is_valid(pattern: str) -> bool:
    """Return whether the glob grammar takes a pattern."""
    trees = 0
    for segment in pattern.split("/"):
        if segment == "**":
            trees += 1
        elif segment.count("*") > 1:
            return False
    return trees <= 1


def match_route(patterns: Iterable[str], path: str, *, glob_routing: bool = False) -> int | None:
    """Return the index of the route that wins for `path`; `glob_routing` as the portal's switch of that name."""
    if glob_routing:
        return _best_glob([_as_glob(pattern) for pattern in patterns], path)
    best, length = None, -1
    for index, pattern in enumerate(patterns):
        if len(pattern) > length and route_is_valid(pattern) and match_stars(pattern, path, any_char="."):
            best, length = index, len(pattern)
    return best


def match_redirect(patterns: Iterable[str], path: str) -> int | None:
    """Return the index of the redirect that wins for `path`."""
    return _best_glob(patterns, path)


def _as_glob(pattern: str) -> str:
    """Rewrite a route for the glob grammar, as the portal does, so that a trailing star still crosses segments."""
    if "**" in pattern:
        return pattern
    if pattern == "*":
        return "/**"
    return pattern[:-1] + "**/*" if pattern.endswith("/*") else pattern


def _best_glob(patterns: Iterable[str], path: str) -> int | None:
    best: int | None = None
    rank: tuple[int, int] | None = None
    for index, pattern in enumerate(patterns):
        if not redirect_is_valid(pattern) or not match_segments(pattern, path):
            continue
        stars = pattern.count("*")
        trees = pattern.split("/").count("**")
        own = (-(len(pattern) - stars - trees), stars)
        if rank is None or own < rank:
            best, rank = index, own
    return best
