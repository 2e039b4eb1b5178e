"""The aggregators' client: what a failed read means, what is asked next, and which bytes reach the reader."""

from __future__ import annotations

import json
from typing import Any

import pytest

from walrus_sdk.errors import WalrusError
from walrus_sdk.http.client import HttpClient
from walrus_sdk.model.units import BlobId
from walrus_sdk.walrus.aggregator import Aggregators

pytestmark = pytest.mark.anyio

BLOB = BlobId(b"\x11" * 32)
DAEMON = "daemon.walrus.space"


def structured(status: str, code: int, reason: str, domain: str) -> dict[str, Any]:
    info = {"@type": "ErrorInfo", "reason": reason, "domain": domain, "metadata": {}}
    return {"error": {"status": status, "code": code, "message": "why", "details": [info]}}


async def test_a_truncated_read_goes_on_where_it_ended_at_the_next_address(served: Any) -> None:
    data, asked = bytes(range(200)), []

    async def cut(peer: Any) -> None:
        await peer.head()
        await peer.stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n" + data[:120])

    async def rest(peer: Any) -> None:
        head = (await peer.head()).decode().lower()
        asked.append(next(line for line in head.splitlines() if line.startswith("range")))
        await peer.answer(206, data[120:], "content-range: bytes 120-199/200")

    body = bytearray()
    async with served(cut) as one, served(rest) as two, HttpClient() as http:
        size = await Aggregators(http, [one, two], wall_ms=lambda: 0).read(BLOB, body.extend, max_size=1000)
    assert (size, bytes(body), asked) == (200, data, ["range: bytes=120-199"])


@pytest.mark.parametrize(
    ("status", "document", "code"),
    [
        (404, structured("NOT_FOUND", 404, "BLOB_NOT_FOUND", DAEMON), "blob_not_found"),
        (404, structured("NOT_FOUND", 404, "QUILT_PATCH_NOT_FOUND", DAEMON), "blob_not_found"),
        (404, structured("NOT_FOUND", 404, "BLOB_NOT_FOUND", "cdn.example"), "http_error"),
        (404, b"", "http_error"),
        (403, structured("SIZE_EXCEEDED", 403, "BLOB_TOO_LARGE", DAEMON), "blob_too_large"),
        (403, structured("SIZE_EXCEEDED", 403, "BLOB_TOO_LARGE", "cdn.example"), "http_error"),
        (429, b"the aggregator is receiving too many requests", "rate_limited"),
        (451, structured("UNAVAILABLE_FOR_LEGAL_REASONS", 451, "FORBIDDEN_BLOB", DAEMON), "blob_blocked"),
        (500, structured("INTERNAL", 500, "INTERNAL_ERROR", "global"), "blob_unavailable"),
        (502, b"<html>", "service_unavailable"),
        (503, structured("UNAVAILABLE", 503, "BLOB_UNAVAILABLE", DAEMON), "blob_unavailable"),
        (503, structured("UNAVAILABLE", 503, "BLOB_UNAVAILABLE", "cdn.example"), "service_unavailable"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_each_failure_of_a_read_has_its_meaning(served: Any, status: int, document: Any, code: str) -> None:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()

    async def handle(peer: Any) -> None:
        while True:
            await peer.head()
            await peer.answer(status, body)

    async with served(handle) as url, HttpClient() as http:
        with pytest.raises(WalrusError) as caught:
            await Aggregators(http, [url], wall_ms=lambda: 0).read(BLOB, lambda _: None, max_size=10)
    assert caught.value.code == code


async def test_a_miss_is_asked_again_under_another_cache_key(served: Any) -> None:
    lines: list[str] = []

    async def handle(peer: Any) -> None:
        while True:
            line = (await peer.head()).decode().splitlines()[0]
            lines.append(line)
            if "?" in line:
                await peer.answer(200, b"here")
            else:
                await peer.answer(404, json.dumps(structured("NOT_FOUND", 404, "BLOB_NOT_FOUND", DAEMON)).encode())

    body = bytearray()
    async with served(handle) as url, HttpClient() as http:
        await Aggregators(http, [url], wall_ms=lambda: 0).read(BLOB, body.extend, max_size=10)
    assert bytes(body) == b"here"
    assert len(lines) == 2
    assert "consistency_check=false" in lines[1], "the only queries that an aggregator accepts"


async def test_more_bytes_than_allowed_are_not_read(served: Any) -> None:
    async def handle(peer: Any) -> None:
        await peer.head()
        await peer.answer(200, bytes(1000))

    async with served(handle) as url, HttpClient() as http:
        with pytest.raises(WalrusError) as caught:
            await Aggregators(http, [url], wall_ms=lambda: 0).read(BLOB, lambda _: None, max_size=999)
    assert caught.value.code == "answer_too_large"


@pytest.mark.parametrize("how", ["announced", "sent in chunks", "sent until the end"])
async def test_an_aggregator_of_too_many_bytes_leads_to_the_next_one(served: Any, how: str) -> None:
    async def flood(peer: Any) -> None:
        await peer.head()
        if how == "announced":
            await peer.answer(200, b"y" * 51)
            return
        chunked = how == "sent in chunks"
        await peer.stream.send(b"HTTP/1.1 200 OK\r\n" + b"transfer-encoding: chunked\r\n" * chunked + b"\r\n")
        while True:
            await peer.stream.send(b"7\r\nyyyyyyy\r\n" if chunked else b"yyyyyyy")

    async def honest(peer: Any) -> None:
        await peer.head()
        await peer.answer(200, b"x" * 50)

    body = bytearray()
    async with served(flood) as one, served(honest) as two, HttpClient() as http:
        size = await Aggregators(http, [one, two], wall_ms=lambda: 0).read(BLOB, body.extend, max_size=50)
    assert (size, bytes(body)) == (50, b"x" * 50), "none of the first one's bytes is among them"


async def test_bytes_that_cannot_be_taken_back_are_not_continued_from_another_aggregator(served: Any) -> None:
    large, asked = 3 * 1024 * 1024, []

    async def flood(peer: Any) -> None:
        await peer.head()
        await peer.stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.stream.send(bytes(65_536))

    async def honest(peer: Any) -> None:
        asked.append(await peer.head())
        await peer.answer(200, bytes(large))

    async with served(flood) as one, served(honest) as two, HttpClient() as http:
        with pytest.raises(WalrusError) as caught:
            await Aggregators(http, [one, two], wall_ms=lambda: 0).read(BLOB, lambda _: None, max_size=large)
    assert (caught.value.code, asked) == ("answer_too_large", [])


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 1024 * 1024 + 1, 2_500_000])
async def test_an_answer_of_unknown_length_is_read_whole(served: Any, size: int) -> None:
    data = bytes(n % 251 for n in range(size))

    async def handle(peer: Any) -> None:
        await peer.head()
        await peer.stream.send(b"HTTP/1.1 200 OK\r\n\r\n" + data)

    body = bytearray()
    async with served(handle) as url, HttpClient() as http:
        found = await Aggregators(http, [url], wall_ms=lambda: 0).read(BLOB, body.extend, max_size=max(size, 1))
    assert (found, bytes(body)) == (size, data)
