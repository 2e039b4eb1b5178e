"""The HTTP client against servers that want it to stop, to remember, to tell, or to read for ever."""

from __future__ import annotations

import traceback
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from walrus_sdk.errors import ConfigurationError, NetworkError, WalrusError
from walrus_sdk.http import client
from walrus_sdk.http.client import MAX_REFUSAL, HttpClient, Timeouts
from walrus_sdk.http.wire import Line, StopSending, is_answer

pytestmark = pytest.mark.anyio

QUICK = Timeouts(connect_s=2, send_s=2, read_s=2, total_s=5)
TOKEN = "t0ken-that-nobody-may-see"


class Sending:
    """A body of four chunks that looks for an early answer before each, and keeps what it found."""

    size = 4 * 8192

    def __init__(self, before: Any = None) -> None:
        self.seen: list[bool] = []
        self._before = before

    async def chunks(self, line: Line) -> AsyncGenerator[bytes, None]:
        for number in range(4):
            if number and self._before is not None:
                await self._before()
            self.seen.append(await line.answered())
            if self.seen[-1]:
                raise StopSending
            yield bytes(8192)
        if await line.settle():
            raise StopSending


# ── interim answers ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("data", "answered"),
    [
        (b"", False),
        (b"H", False),
        (b"HTTP/1.1 1", False),
        (b"HTTP/1.1 100 Continue\r\n", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 1", False),
        (b"HTTP/1.1 102 Processing\n\nHTTP/1.1 413 Too Large", True),
        (b"HTTP/1.1 413", True),
        (b"HTTP/1.1 100\r\n\r\nHTTP/1.1 2", True),
        (b"HTTP/1.1 101 Switching Protocols\r\n", True),
        (b"SSH-2.0", True),
        (b"HTTP/1.1 1x0 ", True),
        (b"<", True),
    ],
)
def test_only_what_is_not_an_interim_answer_is_an_answer(data: bytes, answered: bool) -> None:
    assert is_answer(data) is answered


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"]
)
async def test_an_interim_answer_that_nobody_asked_for_does_not_end_the_sending(served: Any, interim: bytes) -> None:
    got = []

    async def handler(peer: Any) -> None:
        await peer.head()
        await peer.stream.send(interim)
        got.append(len(await peer.body(Sending.size)))
        await peer.answer(200, b"stored")

    body = Sending()
    async with served(handler) as url, HttpClient(timeouts=QUICK) as http:
        answer = await http.send("PUT", url, body)
    assert (answer.status, answer.body, got) == (200, b"stored", [Sending.size])


async def test_an_answer_behind_an_interim_one_ends_the_sending(served: Any) -> None:
    async def handler(peer: Any) -> None:
        await peer.head()
        await peer.stream.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 4")
        await peer.stream.send(b"29 Busy\r\ncontent-length: 2\r\n\r\nno")
        await peer.hang()

    class Endless(Sending):
        size = 10**9

        async def chunks(self, line: Line) -> AsyncGenerator[bytes, None]:
            while True:
                if await line.answered():
                    raise StopSending
                yield bytes(65_536)

    async with served(handler) as url, HttpClient(timeouts=QUICK) as http:
        answer = await http.send("PUT", url, Endless())
    assert (answer.status, answer.body) == (429, b"no")


# ── cookies ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_cookie_is_neither_kept_nor_sent_back(served: Any) -> None:
    heads = []

    async def handler(peer: Any) -> None:
        while True:
            heads.append((await peer.head()).lower())
            await peer.answer(200, b"x", "set-cookie: id=tracked; path=/; max-age=9999")

    async with served(handler) as url, HttpClient() as http:
        for _ in range(2):
            await http.get(url + "/v1")
        await http.post(url + "/v1", b"")
    assert len(heads) == 3
    assert not any(b"cookie" in head for head in heads)


# ── TLS files ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("content", [None, b"", b"not a certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
@pytest.mark.anyio
async def test_a_file_of_authorities_that_cannot_be_used_is_named_with_the_first_request(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_bytes(content)
    async with HttpClient(ca_file=str(path)) as http:
        with pytest.raises(ConfigurationError, match=r"authority\.pem") as caught:
            await http.get("https://localhost:1/")
    assert (caught.value.code, caught.value.fields["path"]) == ("setting_invalid", str(path))


def test_a_folder_is_no_file_of_authorities(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="authorities"):
        client._tls(tmp_path)


def test_an_own_authority_is_trusted_beside_the_usual_ones(certificate: Path) -> None:
    own, usual = client._tls(str(certificate)), client._tls(None)
    assert own.cert_store_stats()["x509"] == usual.cert_store_stats()["x509"] + 1


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("announced", [True, False])
async def test_of_an_endless_refusal_only_the_beginning_is_read(served: Any, announced: bool) -> None:
    async def handler(peer: Any) -> None:
        await peer.head()
        await peer.body(Sending.size)
        length = b"content-length: 1000000000\r\n" if announced else b""
        await peer.stream.send(b"HTTP/1.1 413 X\r\n" + length + b"\r\n")
        while True:
            await peer.stream.send(b"x" * 1000)

    async with served(handler) as url, HttpClient(timeouts=QUICK) as http:
        answer = await http.send("PUT", url, Sending())
    assert (answer.status, answer.body) == (413, b"x" * MAX_REFUSAL)


async def test_a_refusal_whose_reason_does_not_come_is_known_by_its_status(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_REASON_S", 0.05)

    async def handler(peer: Any) -> None:
        await peer.head()
        await peer.body(Sending.size)
        await peer.stream.send(b"HTTP/1.1 413 X\r\ncontent-length: 99\r\n\r\ntoo la")
        await peer.hang()

    async with served(handler) as url, HttpClient() as http:
        answer = await http.send("PUT", url, Sending())
    assert (answer.status, answer.body) == (413, b"too la")


async def test_an_encoded_refusal_is_a_refusal_without_a_reason(served: Any) -> None:
    async def handler(peer: Any) -> None:
        await peer.head()
        await peer.body(Sending.size)
        await peer.answer(413, b"\x1f\x8b", "content-encoding: gzip")

    async with served(handler) as url, HttpClient(timeouts=QUICK) as http:
        answer = await http.send("PUT", url, Sending())
    assert (answer.status, answer.body) == (413, b"")


# ── echoes ────────────────────────────────────────────────────────────────────────────────────────────────────────

ECHOES = {
    "status line": b"%s oops\r\n\r\n",
    "long status line": b"x" * 170 + b"%s\r\n\r\n",
    "header line": b"HTTP/1.1 200 OK\r\n%s\x01\r\n\r\n",
    "location": b"HTTP/1.1 302 X\r\nlocation: https://other.example/%s\r\ncontent-length: 0\r\n\r\n",
    "long location": b"HTTP/1.1 302 X\r\nlocation: https://other.example/"
    + b"x" * 450
    + b"%s\r\ncontent-length: 0\r\n\r\n",
    "encoding": b"HTTP/1.1 200 OK\r\ncontent-encoding: " + b"x" * 40 + b"%s\r\ncontent-length: 1\r\n\r\nx",
    "chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%s\r\nx",
    "content type": b"HTTP/1.1 200 OK\r\ncontent-type: " + b"x" * 40 + b"%s\r\ncontent-length: 1\r\n\r\nx",
}


@pytest.mark.parametrize("given", ["header", "address"])
@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
async def test_no_error_repeats_the_credentials_that_a_server_echoes(served: Any, echo: bytes, given: str) -> None:
    async def handler(peer: Any) -> None:
        head = await peer.head()
        line = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"authorization"))
        await peer.stream.send(echo % line.split(b" ")[-1])

    headers = {"authorization": f"Bearer {TOKEN}"} if given == "header" else {}
    async with served(handler) as url, HttpClient(timeouts=QUICK) as http:
        address = url if given == "header" else url.replace("://", f"://me:{TOKEN}@")
        with pytest.raises(WalrusError) as caught:
            (await http.get(address, headers=headers)).json()
    secret = TOKEN if given == "header" else "bWU6dDBrZW4tdGhhdC1ub2JvZHktbWF5LXNlZQ"
    told = str(caught.value.to_dict()) + "".join(traceback.format_exception(caught.value))
    assert not any(secret[:n] in told for n in range(8, len(secret) + 1)), "not even its beginning"


async def test_an_error_without_an_echo_keeps_its_cause(served: Any) -> None:
    async def handler(peer: Any) -> None:
        await peer.head()
        await peer.stream.send(b"SSH-2.0-OpenSSH\r\n\r\n")

    async with served(handler) as url, HttpClient(timeouts=QUICK) as http:
        with pytest.raises(WalrusError) as caught:
            await http.get(url, headers={"authorization": f"Bearer {TOKEN}"})
    assert "SSH" in caught.value.message
    assert caught.value.__cause__ is not None


async def test_an_announced_flood_is_still_refused_where_an_answer_is_wanted(served: Any) -> None:
    async def handler(peer: Any) -> None:
        await peer.head()
        await peer.body(Sending.size)
        await peer.stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        await peer.hang()

    async with served(handler) as url, HttpClient(timeouts=QUICK) as http:
        with pytest.raises(NetworkError) as caught:
            await http.send("PUT", url, Sending())
    assert caught.value.code == "answer_too_large"


# ── answers that nobody asked for ─────────────────────────────────────────────────────────────────────────────────


async def test_an_answer_that_was_there_before_its_request_is_refused(served: Any) -> None:
    async def handler(peer: Any) -> None:
        while True:
            await peer.head()
            await peer.stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na" * 2)

    async with served(handler) as url, HttpClient(timeouts=QUICK) as http:
        assert (await http.get(url)).body == b"a"
        with pytest.raises(WalrusError, match="before its request") as caught:
            await http.get(url)
        assert (await http.get(url)).body == b"a", "on a connection of its own"
    assert caught.value.code == "bad_answer"
