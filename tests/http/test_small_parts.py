"""Redaction, addresses, header fields, failover."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest

from walrus_sdk.errors import ConfigurationError, NetworkError, StorageError, WalrusError
from walrus_sdk.http import fields, origins, redact
from walrus_sdk.http.circuits import Circuits
from walrus_sdk.http.client import HttpClient
from walrus_sdk.http.failover import first_of

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiJhIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:hush@h.example:8443/a/b?key=s3cret#frag", "https://h.example:8443/a/b"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("nonsense", "(an address that cannot be read)"),
        ("https://h:port/", "(an address that cannot be read)"),
    ],
)
def test_an_address_is_shown_without_user_and_query(address: str, shown: str) -> None:
    assert redact.url(address) == shown


@pytest.mark.parametrize(
    "foreign",
    [
        "Authorization: Bearer s3cret.token",
        "authorization=basic s3cret",
        f"token {JWT} is spent",
        "https://me:s3cret@h.example/",
        "see https://h.example/a?sig=s3cret now",
        "suiprivkey1s3cret",
        "key: " + "ab" * 32,
        'keystore key: "' + "AB" * 22 + '"',
        "an opaque s3cret value",
    ],
)
def test_secrets_in_a_foreign_text_are_hidden(foreign: str) -> None:
    shown = redact.text(foreign, ["s3cret", JWT])
    by_shape = redact.text(foreign)
    assert "s3cret" not in shown
    assert "opaque" in foreign or "s3cret" not in by_shape
    assert JWT not in by_shape
    assert "ab" * 32 not in by_shape
    assert "AB" * 22 not in by_shape


def test_a_foreign_text_is_cut_and_escaped() -> None:
    shown = redact.text("\x1b[31m\u202e\u200b\nx" + "y" * 10_000)
    assert len(shown) == redact.MAX_TEXT
    assert shown.isprintable()


def test_headers_are_hidden_unless_harmless() -> None:
    shown = redact.headers({"Authorization": "Bearer x", "X-API-Key": "y", "Content-Type": "text/html"})
    assert shown == {"Authorization": "***", "X-API-Key": "***", "Content-Type": "text/html"}


@pytest.mark.anyio
async def test_the_log_shows_each_exchange_without_its_query(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with HttpClient(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as http:
        await http.get("https://me:hush@h.example/a?key=s3cret")
    assert "GET https://h.example/a 200" in caplog.text
    assert "s3cret" not in caplog.text
    assert "hush" not in caplog.text


@pytest.mark.parametrize(
    "address", ["https://h.example", "http://localhost:1", "http://a.localhost", "http://127.3.2.1", "http://[::1]:8"]
)
def test_https_and_loopback_are_allowed(address: str) -> None:
    assert origins.checked(address).host


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("http://h.example", "insecure_url"),
        ("http://10.0.0.1", "insecure_url"),
        ("http://127.0.0.1.h.example", "insecure_url"),
        ("ftp://h.example", "setting_invalid"),
        ("h.example", "setting_invalid"),
        ("", "setting_invalid"),
        ("https://h.example:99999999/", "setting_invalid"),
        ("https://s3cret@[", "setting_invalid"),
    ],
)
def test_other_addresses_are_refused_without_their_secrets(address: str, code: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        origins.checked(address)
    assert caught.value.code == code
    assert "s3cret" not in str(caught.value)


def test_a_route_is_joined_to_a_base_with_path_and_query() -> None:
    joined = origins.join("https://h.example/walrus/?api=1", "/v1/blobs", {"epochs": "5"})
    assert joined == "https://h.example/walrus/v1/blobs?api=1&epochs=5"
    assert origins.join("https://h.example", "/v1/blobs") == "https://h.example/v1/blobs"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("9" * 400, fields.MAX_RETRY_AFTER_S),
        ("Tue, 24 Nov 2026 00:01:00 GMT", 60.0),
        ("Tue, 24 Nov 2026 00:01:00 -0000", 60.0),
        ("Mon, 23 Nov 2026 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("Tue, 99 Nov 99999 00:00:00 GMT", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str, seconds: float | None) -> None:
    assert fields.retry_after({"retry-after": value}, 1_795_478_400_000) == seconds


def refusing(codes: dict[str, str], asked: list[str]) -> Any:
    async def call(url: str) -> str:
        asked.append(url)
        if url in codes:
            code = codes[url]
            raise (StorageError if code.startswith("blob") else NetworkError)(code, url)
        return url

    return call


@pytest.mark.anyio
async def test_the_first_address_that_works_answers() -> None:
    asked: list[str] = []
    assert await first_of(Circuits(["a", "b", "c"]), refusing({"a": "connect_failed"}, asked)) == "b"
    assert asked == ["a", "b"]


@pytest.mark.anyio
async def test_an_answer_that_settles_the_matter_is_not_asked_elsewhere() -> None:
    asked: list[str] = []
    with pytest.raises(WalrusError) as caught:
        await first_of(Circuits(["a", "b"]), refusing({"a": "blob_blocked"}, asked))
    assert caught.value.code == "blob_blocked"
    assert asked == ["a"]


@pytest.mark.anyio
async def test_the_most_telling_error_is_raised_when_all_fail() -> None:
    codes = {"a": "connect_failed", "b": "blob_not_found", "c": "timeout_read"}
    with pytest.raises(WalrusError) as caught:
        await first_of(Circuits(list(codes)), refusing(codes, []), moves_on=lambda _: True)
    assert caught.value.code == "blob_not_found"
    assert caught.value.fields["tried"] == 3


@pytest.mark.anyio
async def test_no_address_is_a_setting_to_mend() -> None:
    with pytest.raises(ConfigurationError):
        await first_of(Circuits([]), refusing({}, []))
