"""Bugs towards the outside: servers that redirect, trickle, echo and take a token once; what people are shown."""

from __future__ import annotations

import json
import traceback
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from html.parser import HTMLParser
from typing import Any

import anyio
import httpx

from tests.conftest import Peer, serving
from tests.torture.planted.hunting import Bug, alone, in_virtual_time, replaced
from tests.walrus.test_publisher import AUTH, Story, blob, created, structured
from walrus_sdk.cli import github
from walrus_sdk.errors import NetworkError, WalrusError
from walrus_sdk.http import redact
from walrus_sdk.http.client import HttpClient, Reading, Timeouts
from walrus_sdk.testing.invariants import Violation
from walrus_sdk.walrus.publisher import Publisher

__all__ = ["BUGS"]

# ── what finds them ───────────────────────────────────────────────────────────────────────────────────────────────


@alone
async def a_publisher_that_takes_a_token_once() -> None:
    """A publisher takes each token once, and its answer to the first store is a failure."""
    seen: list[str] = []
    given = iter(("first", "second", "third"))

    async def token() -> str:
        return next(given)

    async def handle(peer: Peer) -> None:
        lines = (await peer.head()).decode().splitlines()
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        await peer.body(int(fields["content-length"]))
        used = fields["authorization"] in seen
        seen.append(fields["authorization"])
        refusal = structured("RESOURCE_EXHAUSTED", 429, "TOKEN_ALREADY_USED", AUTH)
        status = 429 if used else 500 if len(seen) == 1 else 200
        await peer.answer(status, json.dumps(refusal if used else created()).encode(), close=True)

    async with serving(handle) as url, HttpClient() as http:
        publisher = Publisher(http, url, wall_ms=lambda: 0, token=token)
        for _ in range(2):
            try:
                await publisher.store(blob(), Story().release)
            except WalrusError:
                continue
    if len(set(seen)) < len(seen):
        raise Violation("LIVE-3", "a spent one-use token was sent again")


class _Trickle(httpx.AsyncByteStream):
    """A body of one byte every ten seconds, for ever."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await anyio.sleep(10)
            yield b"x"


@in_virtual_time
async def an_answer_that_trickles() -> None:
    """An answer's bytes come one by one, each in good time, for hours."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=_Trickle()))
    async with HttpClient(transport=transport, timeouts=Timeouts(read_s=30, total_s=120)) as http:
        with anyio.move_on_after(3 * 3600):
            try:
                await http.get("https://service.example/")
            except NetworkError as error:
                if error.code == "deadline_exceeded":
                    return
                raise
    raise Violation("LIVE-2", "two minutes were allowed, and three hours were waited")


@alone
async def a_server_that_sends_elsewhere() -> None:
    """A server answers reads and writes with a redirect to another origin."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if request.url.host != "service.example":
            return httpx.Response(200)
        return httpx.Response(307, headers={"location": "https://other.example/"})

    refused = 0
    async with HttpClient(transport=httpx.MockTransport(answer)) as http:
        for ask in (http.get("https://service.example/"), http.post("https://service.example/", b"ours")):
            try:
                await ask
            except NetworkError as error:
                refused += error.code == "redirect_refused"
    if set(asked) != {"service.example"}:
        raise Violation("SECRET-5", f"{asked[-1]} was asked, which nobody configured")
    assert refused == 2, "redirects are refused and not taken for answers"


class _Elements(HTMLParser):
    """Counts the elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.found.append(tag)


@alone
async def a_site_with_markup_in_its_name() -> None:
    """A site's name and a server's words have elements in them, and are shown on a page that renders them."""
    hostile = 'tides<img src=x onerror="alert(1)">'
    page = _Elements()
    page.feed(github.summary({"site_name": hostile, "version": 1}, f"{hostile}: version 1"))
    page.feed(github.error_summary(NetworkError("bad_answer", f"found {hostile}")))
    page.close()
    if page.found:
        raise Violation("SECRET-4", f"a name brought {len(page.found)} elements into a page")


_SECRET = "t0ken-that-nobody-may-see"


def _told(error: BaseException) -> str:
    fields: Mapping[str, Any] = error.to_dict() if isinstance(error, WalrusError) else {}
    return "".join((str(error), repr(error), str(fields), *traceback.format_exception(error)))


def _check_silent(error: WalrusError) -> None:
    if _SECRET in _told(error):
        raise Violation("SECRET-1", f"the credentials of a request are in the text of {error.code}")


@asynccontextmanager
async def _echoing(status: bytes) -> AsyncIterator[str]:
    """Serve answers that repeat the credentials of the request."""

    async def handle(peer: Peer) -> None:
        head = await peer.head()
        line = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"authorization"))
        await peer.stream.send(status + line.split(b" ")[-1] + b"\r\n\r\n")

    async with serving(handle) as url:
        yield url


@alone
async def a_password_in_an_address() -> None:
    """An address with a password in it cannot be reached in time."""
    async with HttpClient(transport=httpx.MockTransport(_hangs), timeouts=Timeouts(total_s=0.01)) as http:
        try:
            await http.get(f"https://me:{_SECRET}@service.example/")
        except NetworkError as error:
            _check_silent(error)
            return
    raise AssertionError("nobody answered")


async def _hangs(_: httpx.Request) -> httpx.Response:
    await anyio.sleep_forever()
    raise AssertionError("it sleeps for ever")


@alone
async def a_server_that_echoes() -> None:
    """A server repeats the token of a request where no answer can be read."""
    async with _echoing(b"HTTP/1.1 ") as url, HttpClient() as http:
        try:
            await http.get(url, headers={"authorization": f"Bearer {_SECRET}"})
        except WalrusError as error:
            _check_silent(error)
            return
    raise AssertionError("that was no answer")


# ── how they are planted ──────────────────────────────────────────────────────────────────────────────────────────

_usual_token = Publisher._next_token


def _token_kept(stack: ExitStack) -> None:
    """Ask for a token once, and keep it."""
    kept: dict[Publisher, str] = {}

    async def token(self: Publisher) -> str:
        if self not in kept:
            kept[self] = await _usual_token(self)
        return kept[self]

    replaced(Publisher, "_next_token", token)(stack)


@asynccontextmanager
async def _unlimited(self: HttpClient, address: str, limits: Timeouts) -> AsyncIterator[None]:
    """Trust in the limits of each read."""
    yield


async def _follows(self: HttpClient, request: httpx.Request, address: str) -> Reading:
    client = httpx.AsyncClient(transport=self._transport, follow_redirects=True)
    return Reading(await client.send(request, stream=True), address)


def _as_it_is(foreign: Any, secrets: object = ()) -> str:
    return str(foreign)


BUGS = (
    Bug(15, "a one-use token is kept", "LIVE-3", _token_kept, a_publisher_that_takes_a_token_once),
    Bug(22, "no total deadline", "LIVE-2", replaced(HttpClient, "_limited", _unlimited), an_answer_that_trickles),
    Bug(
        23, "redirects are followed", "SECRET-5", replaced(HttpClient, "_send", _follows), a_server_that_sends_elsewhere
    ),
    Bug(
        24,
        "an unescaped name in a page",
        "SECRET-4",
        replaced(github, "_cell", _as_it_is),
        a_site_with_markup_in_its_name,
    ),
    Bug(25, "a whole address in an error", "SECRET-1", replaced(redact, "url", _as_it_is), a_password_in_an_address),
    Bug(25, "a server's words in an error", "SECRET-1", replaced(redact, "text", _as_it_is), a_server_that_echoes),
)
