"""Globs as the Rust crate has them; routes and redirects as the official matcher decides them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walrus_sdk.errors import ValidationError
from walrus_sdk.sites import rules
from walrus_sdk.sites.globs import compile_glob

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "sites" / "routing.json"
CASES = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]


def test_every_decision_of_the_official_matcher_is_ours() -> None:
    assert len(CASES) == 2500
    for entries, path, route, route_glob, redirect in CASES:
        assert rules.match_route(entries, path) == route, (entries, path)
        assert rules.match_route(entries, path, glob_routing=True) == route_glob, (entries, path)
        assert rules.match_redirect(entries, path) == redirect, (entries, path)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("/*", "/a/b/c.html", True),
        ("/a/**/b", "/a/b", True),
        ("/a/**/b", "/a/x/y/b", True),
        ("/a/**/b", "/a/xb", False),
        ("**", "anything/at/all", True),
        ("/a/**", "/a/", True),
        ("/a/**", "/a", False),
        ("/?.css", "//.css", True),
        ("*.js", "/deep/.hidden.js", True),
        ("/[a-c]x", "/bx", True),
        ("/[!a-c]x", "/bx", False),
        ("/[]]x", "/]x", True),
        ("/[!]]x", "/ax", True),
        ("/[a-]x", "/-x", True),
        ("/A", "/a", False),
        ("/a/**/**/b", "/a/b", True),
    ],
)
def test_a_glob_matches_as_in_rust(pattern: str, text: str, matches: bool) -> None:
    assert compile_glob(pattern).matches(text) is matches


@pytest.mark.parametrize("pattern", ["***", "a**", "**a", "/a**/b", "[", "[]", "[!]", "[a", "x[!"])
def test_a_bad_glob_is_refused_as_in_rust(pattern: str) -> None:
    with pytest.raises(ValidationError) as caught:
        compile_glob(pattern)
    assert caught.value.code == "ws_resources_invalid"


def naive(pattern: list[str], text: str) -> bool:
    """The definition: try every way to use up the text."""
    if not pattern:
        return text == ""
    token, rest = pattern[0], pattern[1:]
    if token == "*":
        return any(naive(rest, text[i:]) for i in range(len(text) + 1))
    if token == "**/":
        ends = [0, *[i + 1 for i, char in enumerate(text) if char == "/"], len(text)]
        return any(naive(rest, text[i:]) for i in ends)
    return bool(text) and (token in ("?", text[0])) and naive(rest, text[1:])


TOKENS = st.lists(st.sampled_from(["a", "b", "*", "?", "/a"]), max_size=6).filter(
    lambda parts: "**" not in "".join(parts)
)


@given(TOKENS, st.booleans(), st.text("ab/", max_size=8))
def test_a_glob_agrees_with_its_definition(parts: list[str], tree: bool, text: str) -> None:
    flat = [char for part in parts for char in part]
    pattern = ("**/" if tree else "") + "".join(parts)
    if "***" in pattern or (tree and "**" in "".join(parts)):
        return
    assert compile_glob(pattern).matches(text) is naive((["**/"] if tree else []) + flat, text)


def test_a_hostile_pattern_takes_no_time() -> None:
    assert not compile_glob("*a" * 300 + "b").matches("a" * 600)
    assert not rules.match_route(["/*x*"], "/" + "a" * 5000)
    assert rules.match_redirect(["/" + "a*/" * 300], "/" + "ab/" * 300) == 0


def test_a_pattern_that_the_portal_would_skip_is_known_beforehand() -> None:
    assert not rules.route_is_valid("/a(b)")
    assert not rules.route_is_valid("/*/*/*")
    assert rules.route_is_valid("/*/x.y/*")
    assert not rules.redirect_is_valid("/a*b*")
    assert not rules.redirect_is_valid("/**/x/**")
    assert rules.redirect_is_valid("/a*/**/b*")
