"""Connections of held bodies: kept for a second, one at a time, and never the way by which an answer gets lost."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import httpcore
import pytest

from walrus_sdk.errors import WalrusError
from walrus_sdk.http.client import HttpClient, Timeouts
from walrus_sdk.http.wire import Line, StopSending

pytestmark = pytest.mark.anyio

QUICK = Timeouts(connect_s=2, send_s=2, read_s=2, total_s=5)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


async def _nothing() -> None:
    pass


class Paid:
    """A body of a thousand bytes that waits for `release` before it leaves, as that of a store does."""

    size = 1000

    def __init__(self, release: Callable[[], Awaitable[object]] = _nothing) -> None:
        self.released = False
        self._release = release

    async def chunks(self, line: Line) -> AsyncGenerator[bytes, None]:
        if await line.settle():
            raise StopSending
        await self._release()
        self.released = True
        yield bytes(self.size)


class Service:
    """Answers each request with the number of its connection, and of the request on it."""

    def __init__(self) -> None:
        self.connections = 0
        self.after: Callable[[Any], Awaitable[object]] = lambda _: _nothing()

    async def __call__(self, peer: Any) -> None:
        self.connections += 1
        mine = self.connections
        for number in range(1, 10):
            await peer.head()
            await peer.body(Paid.size)
            await peer.stream.send(ANSWER + b"%d%d" % (mine, number))
            await self.after(peer)


async def put(http: HttpClient, url: str, body: Paid | None = None) -> bytes:
    return (await http.send("PUT", url, body or Paid())).body


async def test_one_store_after_another_goes_out_on_the_same_connection(served: Any) -> None:
    async with served(Service()) as url, HttpClient(timeouts=QUICK) as http:
        assert [await put(http, url) for _ in range(3)] == [b"11", b"12", b"13"]


async def test_over_tls_one_handshake_serves_many_stores(
    served: Any, server_tls: ssl.SSLContext, certificate: Path
) -> None:
    async with served(Service(), server_tls) as url, HttpClient(timeouts=QUICK, ca_file=certificate) as http:
        assert [await put(http, url) for _ in range(3)] == [b"11", b"12", b"13"]


async def test_stores_at_the_same_time_have_a_connection_each(served: Any) -> None:
    answers: list[bytes] = []
    together = anyio.Event()

    async def release() -> None:
        if len(bodies) == 3:
            together.set()
        await together.wait()

    async def one() -> None:
        bodies.append(body := Paid(release))
        answers.append(await put(http, url, body))

    bodies: list[Paid] = []
    async with served(Service()) as url, HttpClient(timeouts=QUICK) as http, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(one)
    assert sorted(answers) == [b"11", b"21", b"31"]


async def test_a_connection_that_was_idle_for_over_a_second_is_not_used_again(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(Service()) as url, HttpClient(timeouts=QUICK) as http:
        assert await put(http, url) == b"11"
        now = time.monotonic()
        monkeypatch.setattr(httpcore._async.http11.time, "monotonic", lambda: now + 1.1)
        assert await put(http, url) == b"21"


async def test_a_connection_that_the_service_closed_meanwhile_is_not_used(served: Any) -> None:
    service, gone = Service(), anyio.Event()

    async def hang_up(peer: Any) -> None:
        await peer.stream.aclose()
        gone.set()
        await anyio.sleep_forever()

    service.after = hang_up
    async with served(service) as url, HttpClient(timeouts=QUICK) as http:
        assert await put(http, url) == b"11"
        await gone.wait()
        assert await put(http, url) == b"21"


async def test_a_service_that_hangs_up_on_the_next_store_takes_no_release(served: Any) -> None:
    """It closes the connection as the head of the second request arrives: nothing of that store has left."""
    gone = anyio.Event()

    async def handler(peer: Any) -> None:
        await peer.head()
        await peer.body(Paid.size)
        await peer.stream.send(ANSWER + b"ok")
        await peer.head()
        await peer.stream.aclose()
        gone.set()

    class Late(Paid):
        async def chunks(self, line: Line) -> AsyncGenerator[bytes, None]:
            await gone.wait()
            while not await line.answered():
                await anyio.lowlevel.checkpoint()
            async for chunk in super().chunks(line):
                yield chunk

    async with served(handler) as url, HttpClient(timeouts=QUICK) as http:
        assert await put(http, url) == b"ok"
        late = Late()
        with pytest.raises(WalrusError):
            await put(http, url, late)
    assert not late.released


async def test_what_a_service_sends_between_two_stores_ends_its_connection(served: Any) -> None:
    service, got, said = Service(), anyio.Event(), anyio.Event()

    async def once_more(peer: Any) -> None:
        await got.wait()
        await peer.stream.send(ANSWER + b"no")
        said.set()

    service.after = once_more
    async with served(service) as url, HttpClient(timeouts=QUICK) as http:
        assert await put(http, url) == b"11"
        got.set()
        await said.wait()
        assert await put(http, url) == b"21"


async def test_a_second_answer_that_came_with_the_first_ends_the_connection(served: Any) -> None:
    async def handler(peer: Any) -> None:
        await peer.head()
        await peer.body(Paid.size)
        await peer.stream.send(ANSWER + b"ok" + ANSWER + b"no")
        await peer.head()

    async with served(handler) as url, HttpClient(timeouts=QUICK) as http:
        assert [await put(http, url) for _ in range(3)] == [b"ok"] * 3


async def test_a_refusal_that_was_read_keeps_the_connection_and_one_that_was_not_ends_it(served: Any) -> None:
    connections = 0

    async def handler(peer: Any) -> None:
        nonlocal connections
        connections += 1
        await peer.head()
        await peer.body(Paid.size)
        await peer.stream.send(b"HTTP/1.1 500 no\r\ncontent-length: 4\r\n\r\nbusy")
        await peer.head()
        await peer.body(Paid.size)
        await peer.stream.send(b"HTTP/1.1 500 no\r\ncontent-length: 40000\r\n\r\n" + bytes(20_000))
        await peer.head()

    async with served(handler) as url, HttpClient(timeouts=QUICK) as http:
        assert [(await http.send("PUT", url, Paid())).status for _ in range(3)] == [500, 500, 500]
    assert connections == 2


# ── cancellation leaves none open ─────────────────────────────────────────────────────────────────────────────────


class Ends:
    """Answers so many stores, and then says that bytes came, and that the client has ended the connection."""

    def __init__(self, kept: int = 0) -> None:
        self.came = anyio.Event()
        self.ended = anyio.Event()
        self._kept = kept

    async def __call__(self, peer: Any) -> None:
        for _ in range(self._kept):
            await peer.head()
            await peer.body(Paid.size)
            await peer.stream.send(ANSWER + b"ok")
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                await peer.stream.receive()
                self.came.set()
        self.ended.set()


async def test_a_store_that_is_cancelled_before_it_begins_ends_the_kept_connection(served: Any) -> None:
    service = Ends(kept=1)
    async with served(service) as url, HttpClient(timeouts=QUICK) as http:
        assert await put(http, url) == b"ok"
        with anyio.CancelScope() as scope:
            scope.cancel()
            await put(http, url)
        with anyio.fail_after(2):
            await service.ended.wait()


async def test_a_handshake_that_is_cancelled_ends_its_connection(served: Any) -> None:
    service = Ends()
    async with served(service) as url, HttpClient(timeouts=QUICK) as http:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(put, http, url.replace("http:", "https:"))
            await service.came.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(2):
            await service.ended.wait()
