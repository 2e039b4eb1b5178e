"""The striped transport: requests are spread, kept together where nothing is gained by spreading, and none is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpcore
import httpx
import pytest

from walrus_sdk.http.client import HttpClient
from walrus_sdk.http.striped import Striped
from walrus_sdk.http.wire import JoiningStream

pytestmark = pytest.mark.anyio


class Body(httpx.AsyncByteStream):
    def __init__(self) -> None:
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"x"

    async def aclose(self) -> None:
        self.is_closed = True


class Recorded(httpx.AsyncBaseTransport):
    """A transport that answers once it may, and knows what it was asked at the same time."""

    def __init__(self, may: anyio.Event) -> None:
        self.may = may
        self.asked = self.now = self.most = 0
        self.is_closed = False
        self.fails = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.may.wait()
        finally:
            self.now -= 1
        if self.fails:
            raise httpx.ConnectError("no")
        return httpx.Response(200, stream=Body())

    async def aclose(self) -> None:
        self.is_closed = True
        if self.fails:
            raise httpx.CloseError("no")


class Several:
    """A striped transport over recorded ones."""

    def __init__(self, stripes: int) -> None:
        self.may = anyio.Event()
        self.made: list[Recorded] = []
        self.transport = Striped(self._make, stripes=stripes)

    def _make(self) -> Recorded:
        self.made.append(Recorded(self.may))
        return self.made[-1]

    async def get(self, host: str = "a.example") -> httpx.Response:
        return await self.transport.handle_async_request(httpx.Request("GET", f"https://{host}/"))


async def test_one_request_after_another_stays_on_one_stripe() -> None:
    several = Several(8)
    several.may.set()
    for _ in range(5):
        await (await several.get()).aclose()
    assert [stripe.asked for stripe in several.made] == [5]


async def test_requests_at_the_same_time_are_spread_evenly_over_at_most_so_many_stripes() -> None:
    several = Several(4)
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(several.get)
        await anyio.wait_all_tasks_blocked()
        assert sorted(stripe.now for stripe in several.made) == [2, 2, 3, 3]
        several.may.set()


async def test_each_origin_has_stripes_of_its_own() -> None:
    several = Several(4)
    several.may.set()
    for host in ("a.example", "b.example", "a.example:8443"):
        await (await several.get(host)).aclose()
    assert [stripe.asked for stripe in several.made] == [1, 1, 1]


async def test_a_stripe_is_busy_until_its_answer_is_closed() -> None:
    several = Several(4)
    several.may.set()
    open_answer = await several.get()
    second = await several.get()
    await open_answer.aclose()
    await open_answer.aclose()
    assert [stripe.asked for stripe in several.made] == [1, 1]
    await (await several.get()).aclose()
    assert [stripe.asked for stripe in several.made] == [2, 1]
    await second.aclose()


@pytest.mark.parametrize("how", ["failed", "cancelled"])
async def test_a_request_that_comes_to_nothing_leaves_its_stripe_free(how: str) -> None:
    several = Several(4)
    if how == "cancelled":
        with anyio.move_on_after(0):
            await several.get()
        several.may.set()
    else:
        several.may.set()
        await (await several.get()).aclose()
        several.made[0].fails = True
        with pytest.raises(httpx.ConnectError):
            await several.get()
        several.made[0].fails = False
    before = several.made[0].asked
    await (await several.get()).aclose()
    assert [stripe.asked for stripe in several.made] == [before + 1]


async def test_all_stripes_are_closed_also_when_one_of_them_cannot_be() -> None:
    several = Several(4)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(several.get)
        await anyio.wait_all_tasks_blocked()
        several.may.set()
    several.made[1].fails = True
    with pytest.raises(httpx.CloseError):
        await several.transport.aclose()
    assert [stripe.is_closed for stripe in several.made] == [True, True, True]


async def test_many_reads_at_once_have_few_connections_in_a_pool_and_each_its_answer(served: Any) -> None:
    async def handler(peer: Any) -> None:
        while True:
            head = await peer.head()
            await peer.answer(200, head.split()[1])

    got: dict[int, bytes] = {}
    async with served(handler) as url, HttpClient() as http:

        async def read(number: int) -> None:
            got[number] = (await http.get(f"{url}/{number}")).body

        for _ in range(2):  # over new connections, then over kept ones
            async with anyio.create_task_group() as tasks:
                for number in range(100):
                    tasks.start_soon(read, number)
        (stripes,) = http._transport._origins.values()  # type: ignore[attr-defined]
        pools = [stripe.transport._pools[0].connections for stripe in stripes]
    assert got == {number: b"/%d" % number for number in range(100)}
    assert max(map(len, pools)) <= 4


# ── heads and bodies of kept connections ──────────────────────────────────────────────────────────────────────────


class Wire(httpcore.AsyncNetworkStream):
    def __init__(self) -> None:
        self.events: list[bytes] = []

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.events.append(bytes(buffer))

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.events.append(b"(read)")
        return b"x"


HEAD = b"POST / HTTP/1.1\r\nhost: a\r\n\r\n"
LARGE = bytes(1_000_000)


@pytest.mark.parametrize(
    ("writes", "sent"),
    [
        ([HEAD, b"body", b""], [HEAD + b"body", b"(read)"]),
        ([HEAD, b""], [HEAD, b"(read)"]),
        ([HEAD], [HEAD, b"(read)"]),
        ([HEAD, LARGE, b""], [HEAD, LARGE, b"(read)"]),
        ([HEAD, b"ends like a head\r\n\r\n", b"", b""], [HEAD + b"ends like a head\r\n\r\n", b"(read)"]),
        ([HEAD, b"1", b"2\r\n\r\n", b"3", b""], [HEAD + b"1", b"2\r\n\r\n3", b"(read)"]),
    ],
    ids=["small body", "no body", "no end", "large body", "body like a head", "several chunks"],
)
async def test_a_head_goes_out_with_what_follows_it_and_before_anything_is_read(
    writes: list[bytes], sent: list[bytes]
) -> None:
    wire = Wire()
    stream = JoiningStream(wire)
    for buffer in writes:
        await stream.write(buffer)
    assert not stream.heard
    await stream.read(10)
    assert stream.heard
    assert wire.events == sent


async def test_a_stripe_that_nobody_uses_any_more_is_closed(anyio_backend: Any) -> None:
    made: list[Recorded] = []
    may = anyio.Event()
    may.set()

    def make() -> Recorded:
        made.append(Recorded(may))
        return made[-1]

    def request() -> httpx.Request:
        return httpx.Request("GET", "http://service.example/")

    striped = Striped(make, idle_s=-1.0)  # at once
    answers = [await striped.handle_async_request(request()) for _ in range(3)]
    for answer in answers[1:]:
        await answer.aclose()
    await striped.handle_async_request(request())
    assert [transport.is_closed for transport in made] == [False, False, True], "the first is in use, one was chosen"
    await striped.aclose()
