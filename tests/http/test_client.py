"""The HTTP client against hostile servers."""

from __future__ import annotations

import gzip
import socket
import ssl
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from walrus_sdk.errors import ConfigurationError, NetworkError, ProtocolError, WalrusError
from walrus_sdk.http.client import HttpClient, Timeouts

pytestmark = pytest.mark.anyio

QUICK = Timeouts(connect_s=2, send_s=2, read_s=2, total_s=5)


def mocked(handler: Any) -> HttpClient:
    return HttpClient(transport=httpx.MockTransport(handler))


async def test_a_small_answer_is_returned_whole_with_lower_case_headers(served: Any) -> None:
    async def handler(peer: Any) -> None:
        head = await peer.head()
        assert b"accept-encoding: identity" in head.lower()
        await peer.answer(418, b'{"a": 1}', "X-Thing: yes")

    async with served(handler) as url, HttpClient() as http:
        answer = await http.get(url + "/v1")
    assert (answer.status, answer.json(), answer.headers["x-thing"]) == (418, {"a": 1}, "yes")
    assert answer.endpoint == url + "/v1"


async def test_a_connection_is_kept_for_the_next_read(served: Any) -> None:
    opened = []

    async def handler(peer: Any) -> None:
        opened.append(peer)
        while True:
            await peer.head()
            await peer.answer(200, b"x")

    async with served(handler) as url, HttpClient() as http:
        for _ in range(3):
            assert (await http.get(url)).body == b"x"
    assert len(opened) == 1


async def test_a_post_sends_its_body_with_a_length(served: Any) -> None:
    seen = []

    async def handler(peer: Any) -> None:
        seen.append((await peer.head()).lower())
        seen.append(await peer.body(5))
        await peer.answer(200, b"{}")

    async with served(handler) as url, HttpClient() as http:
        answer = await http.post(url, b"hello", headers={"content-type": "text/plain"})
    assert answer.status == 200
    assert seen[1] == b"hello"
    assert b"content-length: 5" in seen[0]


async def test_nobody_listening_is_connect_failed() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        async with HttpClient() as http:
            with pytest.raises(NetworkError) as caught:
                await http.get(f"http://127.0.0.1:{reserved.getsockname()[1]}/x")
    assert caught.value.code == "connect_failed"


async def test_a_name_that_does_not_resolve_is_dns_failed() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no") from socket.gaierror(-2, "Name or service not known")

    async with mocked(refuse) as http:
        with pytest.raises(NetworkError) as caught:
            await http.get("https://nowhere.example")
    assert caught.value.code == "dns_failed"


async def test_a_certificate_that_is_not_trusted_is_refused(served: Any, server_tls: ssl.SSLContext) -> None:
    async def handler(peer: Any) -> None:
        await peer.head()

    async with served(handler, server_tls) as url, HttpClient(timeouts=QUICK) as http:
        with pytest.raises(NetworkError) as caught:
            await http.get(url)
    assert caught.value.code == "tls_failed"


async def test_an_own_authority_is_trusted_when_its_file_is_given(
    served: Any, server_tls: ssl.SSLContext, certificate: Path
) -> None:
    async def handler(peer: Any) -> None:
        await peer.head()
        await peer.answer(200, b"safe")

    async with served(handler, server_tls) as url, HttpClient(ca_file=str(certificate)) as http:
        assert (await http.get(url)).body == b"safe"


async def test_silence_is_timeout_read(served: Any) -> None:
    async def handler(peer: Any) -> None:
        await peer.hang()

    async with served(handler) as url, HttpClient(timeouts=Timeouts(read_s=0.05)) as http:
        with pytest.raises(NetworkError) as caught:
            await http.get(url)
    assert caught.value.code == "timeout_read"


async def test_an_answer_that_trickles_meets_the_total_deadline(served: Any) -> None:
    async def handler(peer: Any) -> None:
        await peer.stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while True:
            await peer.stream.send(b"x")
            await anyio.lowlevel.checkpoint()

    async with served(handler) as url, HttpClient(timeouts=Timeouts(read_s=60, total_s=0.1)) as http:
        with pytest.raises(NetworkError) as caught:
            await http.get(url, max_size=10**9)
    assert caught.value.code in {"deadline_exceeded", "connection_lost"}


async def test_interim_answers_for_ever_meet_the_total_deadline(served: Any) -> None:
    async def handler(peer: Any) -> None:
        while True:
            await peer.stream.send(b"HTTP/1.1 102 Processing\r\n\r\n")
            await anyio.lowlevel.checkpoint()

    async with served(handler) as url, HttpClient(timeouts=Timeouts(read_s=60, total_s=0.1)) as http:
        with pytest.raises(NetworkError) as caught:
            await http.get(url)
    assert caught.value.code == "deadline_exceeded"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", "connection_lost"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{", "connection_lost"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", "connection_lost"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "bad_answer"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab", "bad_answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "bad_answer"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000, "bad_answer"),
    ],
)
async def test_a_broken_answer_is_never_taken_half(served: Any, sent: bytes, code: str) -> None:
    async def handler(peer: Any) -> None:
        await peer.head()
        if sent:
            await peer.stream.send(sent)

    async with served(handler) as url, HttpClient(timeouts=QUICK) as http:
        with pytest.raises((NetworkError, ProtocolError)) as caught:
            await http.get(url)
    assert caught.value.code == code


@pytest.mark.parametrize("announced", [True, False])
async def test_more_bytes_than_allowed_are_refused(served: Any, announced: bool) -> None:
    async def handler(peer: Any) -> None:
        await peer.head()
        length = b"content-length: 1000000\r\n" if announced else b""
        await peer.stream.send(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n")
        while True:
            await peer.stream.send(b"x" * 1000)

    async with served(handler) as url, HttpClient(timeouts=QUICK) as http:
        with pytest.raises(NetworkError) as caught:
            await http.get(url, max_size=5000)
    assert caught.value.code == "answer_too_large"


async def test_a_compressed_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b"\0" * 5_000_000)

    async with mocked(lambda _: httpx.Response(200, headers={"content-encoding": "gzip"}, content=bomb)) as http:
        with pytest.raises(ProtocolError) as caught:
            await http.get("https://service.example/")
        async with http.stream("https://service.example/") as reading:
            raw = b"".join([chunk async for chunk in reading.chunks()])
    assert caught.value.code == "bad_answer"
    assert raw == bomb


async def test_a_redirect_within_the_origin_is_followed_for_reads() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/old":
            return httpx.Response(307, headers={"location": "/new"})
        return httpx.Response(200, content=b"here")

    async with mocked(answer) as http:
        assert (await http.get("https://service.example/old")).body == b"here"


@pytest.mark.parametrize(
    "location",
    [
        "https://other.example/",
        "http://service.example/",
        "https://service.example:444/",
        "http://127.0.0.1/",
        "//x",
        "https://[",
    ],
)
async def test_a_redirect_to_another_origin_is_refused_without_a_request(location: str) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(302, headers={"location": location})

    async with mocked(answer) as http:
        with pytest.raises(NetworkError) as caught:
            await http.get("https://service.example/old")
    assert caught.value.code == "redirect_refused"
    assert asked == ["service.example"]


async def test_redirects_in_a_circle_end() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(1)
        return httpx.Response(302, headers={"location": "/again"})

    async with mocked(answer) as http:
        with pytest.raises(NetworkError) as caught:
            await http.get("https://service.example/")
    assert caught.value.code == "redirect_refused"
    assert len(asked) == 4


async def test_a_post_is_never_redirected() -> None:
    async with mocked(lambda _: httpx.Response(307, headers={"location": "/new"})) as http:
        with pytest.raises(NetworkError) as caught:
            await http.post("https://service.example/", b"x")
    assert caught.value.code == "redirect_refused"


async def test_environment_proxies_are_not_used(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(peer: Any) -> None:
        await peer.head()
        await peer.answer(200, b"direct")

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with served(handler) as url, HttpClient() as http:
        assert (await http.get(url)).body == b"direct"


async def test_credentials_of_the_url_travel_in_a_header_only(served: Any) -> None:
    seen = []

    async def handler(peer: Any) -> None:
        seen.append(await peer.head())
        await peer.answer(500)

    async with served(handler) as url, HttpClient() as http:
        answer = await http.get(url.replace("://", "://me:hush@"))
    assert b"authorization: Basic bWU6aHVzaA==" in seen[0]
    assert b"hush" not in seen[0]
    assert answer.endpoint == url


async def test_a_header_that_cannot_be_sent_is_refused_without_its_value() -> None:
    async with mocked(lambda _: httpx.Response(200)) as http:
        for value in ("sec\r\nret", "sécret", " secret", "secret\x00"):
            with pytest.raises(ConfigurationError) as caught:
                await http.get("https://service.example", headers={"authorization": value})
            assert value not in str(caught.value.to_dict())


async def _give_up_reading(http: HttpClient, url: str) -> None:
    async with http.stream(url) as reading:
        async for _ in reading.chunks():
            raise LookupError


async def test_stopping_in_the_middle_of_an_answer_leaves_nothing_behind(served: Any) -> None:
    async def handler(peer: Any) -> None:
        await peer.head()
        await peer.stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n")
        while True:
            await peer.stream.send(b"x" * 1000)

    async with served(handler) as url, HttpClient(timeouts=QUICK) as http:
        for _ in range(3):
            async with http.stream(url) as reading:
                async for chunk in reading.chunks():
                    assert chunk
                    break
        with pytest.raises(LookupError):
            await _give_up_reading(http, url)


async def test_an_error_of_the_readers_own_code_is_not_the_networks() -> None:
    async with mocked(lambda _: httpx.Response(200, content=b"x")) as http:
        with pytest.raises(FileNotFoundError):
            async with http.stream("https://service.example/"):
                raise FileNotFoundError


async def test_cancellation_is_not_swallowed(served: Any) -> None:
    async def handler(peer: Any) -> None:
        await peer.hang()

    async with served(handler) as url, HttpClient() as http:
        with anyio.move_on_after(0.05) as scope:
            await http.get(url)
    assert scope.cancelled_caught


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a":', b"[" * 100_000, b"\xff\xfe", b"1" * 5000])
async def test_an_answer_that_is_not_json_is_bad_and_not_quoted(body: bytes) -> None:
    async with mocked(lambda _: httpx.Response(200, content=body, headers={"content-type": "text/html"})) as http:
        answer = await http.get("https://service.example/")
    with pytest.raises(WalrusError) as caught:
        answer.json()
    assert caught.value.code == "bad_answer"
    assert "text/html" in caught.value.message
