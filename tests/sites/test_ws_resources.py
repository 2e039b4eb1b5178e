"""ws-resources.json: read as the official tool reads it, every mistake named, formatting kept."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walrus_sdk.errors import ValidationError
from walrus_sdk.model.site import Metadata, Redirect
from walrus_sdk.model.units import ObjectId
from walrus_sdk.sites.content_types import CONTENT_TYPES, content_type
from walrus_sdk.sites.headers import headers_for
from walrus_sdk.sites.ws_resources import WsResources, check_site_name, parse, with_site

SITE = ObjectId(bytes(range(32)))

FULL = b"""{
  "headers": {
    "/*": {"X-All": "1"},
    "/assets/*": {"Cache-Control": "max-age=60", "Content-Type": "text/x"}
  },
  "routes": {"/b": "/b.html", "/a": "/a.html"},
  "redirects": {"/old": {"location": "/new", "status_code": 308}},
  "metadata": {"link": "https://example.org", "creator": null},
  "site_name": "Tides",
  "object_id": "0x5",
  "ignore": ["/private/*"]
}
"""


def test_everything_that_the_file_may_say_is_read() -> None:
    rules = parse(FULL)
    assert rules.routes == (("/a", "/a.html"), ("/b", "/b.html"))
    assert rules.redirects == (("/old", Redirect("/new", 308)),)
    assert rules.metadata == Metadata(link="https://example.org")
    assert (rules.site_name, rules.object_id) == ("Tides", ObjectId.parse("0x5"))
    assert rules.ignores("/private/x/y")
    assert not rules.ignores("/private")


def test_nothing_said_is_nothing_wanted() -> None:
    assert parse(b"{}") == WsResources()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"header": {}}', "unknown key"),
        ('{\n "metadata": {"colour": "red"}}', "line 2"),
        ('{"routes": {"/a": 1}}', "expected a path"),
        ('{"routes": []}', "expected an object"),
        ('{"headers": {"/a": {"X": 5}}}', "expected a text"),
        ('{"headers": {"/a**": {}}}', "whole path component"),
        ('{"headers": {"/a": {"X Y": "v"}}}', "not a header name"),
        ('{"headers": {"/a": {"X": "v\\r\\nSet-Cookie: a"}}}', "control character"),
        ('{"redirects": {"/a": {"location": "/b"}}}', "location and status_code"),
        ('{"redirects": {"/a": {"location": "/b", "status_code": 200}}}', "expected status"),
        ('{"redirects": {"/a": {"location": "/b\\n", "status_code": 301}}}', "control characters"),
        ('{"ignore": "x"}', "list of globs"),
        ('{"object_id": "five"}', "object_id"),
        ('{"site_name": "a", "site_name": "b"}', "stands twice"),
        ('{"site_name": NaN}', "NaN"),
        ('{"site_name": "\\ud800"}', "Unicode"),
        ("{", "line 1"),
        ("[]", "expected an object"),
        ("[" * 100_000, "levels deep"),
        ('{"redirects": {"/a": {"location": "/b", "status_code": ' + "9" * 5000 + "}}}", "too large"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, part: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse(text.encode())
    assert part in caught.value.message
    assert caught.value.code in {"ws_resources_invalid", "header_invalid", "route_invalid"}


def test_bytes_that_are_not_utf8_and_huge_files_are_refused() -> None:
    for data in (b'{"site_name": "\xff"}', b" " * (5 * 1024 * 1024)):
        with pytest.raises(ValidationError):
            parse(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["headers", "routes", "/a", "location", "status_code", "ignore", "metadata", "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_gives_a_value_or_the_documented_error(value: Any) -> None:
    with suppress(ValidationError):
        assert isinstance(parse(json.dumps(value).encode()), WsResources)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_the_documented_error(data: bytes) -> None:
    with suppress(ValidationError):
        assert isinstance(parse(data), WsResources)


@pytest.mark.parametrize(
    "data",
    [
        FULL,
        b"{}",
        b"{ }",
        b"{\n}\n",
        b'{"ignore": []}',
        b'{\n\t"site_name":\t"caf\xc3\xa9",\n\t"routes": {"object_id": "x"}\n}',
        b'{"object_id": null, "metadata": {"link": "\\"object_id\\": \\"y\\""}}',
    ],
)
def test_writing_the_id_changes_the_id_and_nothing_else(data: bytes) -> None:
    written = with_site(data, SITE)
    before, after = json.loads(data), json.loads(written)
    assert after.pop("object_id") == str(SITE)
    before.pop("object_id", None)
    assert before == after
    assert with_site(written, SITE) == written
    for line in data.decode().splitlines():
        if "object_id" not in line and line.strip() not in ("{}", "{ }", '{"ignore": []}'):
            assert line in written.decode()


def test_a_name_is_written_where_there_is_none_and_kept_where_there_is_one() -> None:
    assert json.loads(with_site(b"{}", SITE, "new"))["site_name"] == "new"
    assert json.loads(with_site(FULL, SITE, "new"))["site_name"] == "Tides"
    assert json.loads(with_site(None, SITE, "new")) == {"object_id": str(SITE), "site_name": "new"}


def test_the_deepest_glob_wins_and_the_first_key_of_equals() -> None:
    rules = parse(FULL).headers
    assert dict(headers_for("/assets/a.css", rules)) == {
        "cache-control": "max-age=60",
        "content-encoding": "identity",
        "content-type": "text/x",
    }
    tie = parse(b'{"headers": {"/index.html": {"a": "exact"}, "/*": {"a": "glob"}}}').headers
    assert dict(headers_for("/index.html", tie))["a"] == "glob"
    case = parse(b'{"headers": {"/*": {"x-a": "low", "X-A": "high"}}}').headers
    assert dict(headers_for("/i", case))["x-a"] == "low"


def test_content_types_are_those_of_the_official_table() -> None:
    assert len(CONTENT_TYPES) == 76
    expected = {
        "/a.html": "text/html",
        "/a.js": "text/javascript",
        "/a.ogg": "video/ogg",
        "/a.ts": "video/mp2t",
        "/a.wasm": "application/octet-stream",
        "/A.HTML": "application/octet-stream",
        "/html": "text/html",
        "/.css": "text/css",
        "/a.tar.gz": "application/gzip",
        "/a.b/c": "application/octet-stream",
    }
    assert {path: content_type(path) for path in expected} == expected


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\nb", "a\x1b[31m"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        check_site_name(name)
    assert caught.value.code == "site_name_invalid"
