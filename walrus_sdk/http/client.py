"""The HTTP client of a session: one exchange at a time is described, limited and mapped; nothing is repeated."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol, Self

import anyio
import httpx

from walrus_sdk.errors import ConfigurationError, NetworkError, ProtocolError, WalrusError
from walrus_sdk.http import failures, fields, origins, redact
from walrus_sdk.http.striped import Striped
from walrus_sdk.http.wire import LINE, Line, Outgoing, Stream, Transport

__all__ = ["MAX_ANSWER", "MAX_REFUSAL", "Answer", "Body", "HttpClient", "Reading", "Timeouts", "usual_tls"]

_LOG = logging.getLogger(__name__)

MAX_ANSWER = 8 * 1024 * 1024
"""Bytes of a small answer: a quilt's 666 patches with identifiers of 2 KiB, escaped as JSON, fit."""

MAX_REFUSAL = 16 * 1024
"""Bytes of a refusal that are read for its reason: what a proxy adds to it is not waited for."""

_MAX_REDIRECTS = 3
_SMALL_BYTES = 64 * 1024
"""A body up to this size fits into the buffers of a connection: no write of it hangs, so no task looks for answers."""
_KEEPALIVE_S = 4.0
_CLOSE_S = 2.0
_REASON_S = 10.0
"""Seconds for the body of a refusal: its status is known, and says enough when the reason does not come."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits of one exchange in seconds: to connect, between two sends, between two reads, and in all.

    The read limit never fires for an answer that trickles; the total does.
    """

    connect_s: float = 10.0
    send_s: float = 60.0
    read_s: float = 30.0
    total_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole small answer: status, headers by lower-case name, body, and the redacted address that gave it.

    `secrets` are those of the request, which the answer may echo.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    endpoint: str
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def shown(self, text: str, most: int = 200) -> str:
        """Return a text of the answer fit for an error, at most `most` characters."""
        return redact.text(text, self.secrets)[:most]

    def json(self) -> Any:
        """Return the body as JSON. Raises `ProtocolError` ``bad_answer``."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            # The body itself is not quoted: whatever answered may have echoed our headers.
            found = self.shown(self.headers.get("content-type", "no content type"), 60)
            message = f"{self.endpoint}: JSON expected, found {len(self.body)} bytes of {found} (status {self.status})"
            raise ProtocolError("bad_answer", message, endpoint=self.endpoint, http_status=self.status) from error


class Body(Protocol):
    """A request body of known size that may ask its connection whether it was answered early."""

    @property
    def size(self) -> int:
        """Exact number of bytes (Content-Length)."""
        ...

    def chunks(self, line: Line) -> AsyncGenerator[bytes, None]:
        """Yield the bytes once; may raise `StopSending` when `line` was answered."""
        ...


class Reading:
    """An answer whose body is read in chunks as it comes; made by `HttpClient.stream`."""

    def __init__(self, response: httpx.Response, address: str, secrets: tuple[str, ...] = ()) -> None:
        self._response = response
        self._address = address
        self.secrets = secrets
        self._chunks: _Chunks | None = None
        self.status = response.status_code
        self.headers = fields.received(response.headers.raw)

    @property
    def endpoint(self) -> str:
        """The redacted address."""
        return redact.url(self._address)

    @property
    def length(self) -> int | None:
        """The body's announced bytes, `None` when it is not announced."""
        value = self.headers.get("content-length", "")
        return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None

    def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the body as it was sent (no content decoding), once. Raises errors of the tree."""
        assert self._chunks is None, "an answer is read once"
        # Not `aiter_raw`: it refuses a response that a test's transport made with its content in hand.
        stream = self._response.stream
        assert isinstance(stream, httpx.AsyncByteStream), "answers are asynchronous here"
        self._chunks = _Chunks(aiter(stream), self._address, self.secrets)
        return self._chunks

    async def whole(self, max_size: int) -> bytes:
        """Return the body. Raises ``answer_too_large`` beyond `max_size` bytes; an encoded body is ``bad_answer``."""
        if self._encoding != "identity":
            found = redact.text(self._encoding, self.secrets)
            message = f"{self.endpoint}: an encoded body was not asked for, found {found!r:.60}"
            raise ProtocolError("bad_answer", message, endpoint=self.endpoint)
        if (self.length or 0) > max_size:
            raise too_large(self.endpoint, max_size)
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > max_size:
                raise too_large(self.endpoint, max_size)
        return bytes(body)

    async def beginning(self, max_size: int) -> bytes:
        """Return at most `max_size` bytes of the body, those that come within seconds; nothing of an encoded one."""
        body = bytearray()
        with anyio.move_on_after(_REASON_S):
            async for chunk in self.chunks():
                body += chunk
                if len(body) >= max_size:
                    break
        return bytes(body[:max_size]) if self._encoding == "identity" else b""

    @property
    def _encoding(self) -> str:
        return self.headers.get("content-encoding", "identity").lower()

    async def aclose(self) -> None:
        """Drop what is left of the answer, and its connection with it."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_S):
            try:
                await self._drop_rest()
                await self._response.aclose()
            except (httpx.HTTPError, httpx.StreamError, OSError, anyio.ClosedResourceError, anyio.BrokenResourceError):
                return  # it is being thrown away

    async def _drop_rest(self) -> None:
        # The libraries' iterators are nested generators; left suspended, trio warns of each. A stopped connection
        # makes the innermost end, and so all of them.
        if self._chunks is None or self._chunks.ended:
            return
        stream = self._response.extensions.get("network_stream")
        if isinstance(stream, Stream):
            stream.stop()
            with suppress(httpx.HTTPError):
                async for _ in self._chunks.raw:
                    continue
                stream.go_on()  # the rest was here already: the connection is whole, and is used again
        elif isinstance(self._chunks.raw, AsyncGenerator):
            await self._chunks.raw.aclose()


class _Chunks:
    """The chunks of an answer; not a generator, for readers may leave it in the middle (see `Reading._drop_rest`)."""

    def __init__(self, raw: AsyncIterator[bytes], address: str, secrets: tuple[str, ...]) -> None:
        self.raw = raw
        self._secrets = secrets
        self.ended = False
        self._address = address

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self.raw)
        except StopAsyncIteration:
            self.ended = True
            raise
        except Exception as error:
            self.ended = True
            mapped = _mapped(error, self._address, self._secrets)
            raise mapped from mapped.__cause__


def too_large(endpoint: str, max_size: int) -> NetworkError:
    """Return the error for an answer of more than `max_size` bytes."""
    message = f"{endpoint}: the answer has more than {max_size} bytes"
    return NetworkError("answer_too_large", message, endpoint=endpoint, expected=max_size)


def _mapped(error: Exception, address: str, secrets: tuple[str, ...]) -> Exception:
    return error if isinstance(error, WalrusError) else failures.translate(error, address, secrets) or error


class HttpClient:
    """One client for a session's services; close it with `aclose` or use it as a context manager.

    TLS is always verified (`ca_file` adds an own authority, read with the first request); environment proxies and
    .netrc are not read, cookies not kept; redirects are followed for reads only, within one origin, at most three.
    Each exchange is a line in the log at INFO. `transport` replaces the network in tests.
    """

    def __init__(
        self,
        *,
        timeouts: Timeouts | None = None,
        user_agent: str = "walrus-sdk",
        ca_file: str | Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.timeouts = timeouts or Timeouts()
        self._transport = _network(ca_file) if transport is None else transport
        self._usual = {
            "accept": "*/*", "accept-encoding": "identity", "connection": "keep-alive", "user-agent": user_agent,
        }  # fmt: skip

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_S):
            await self._transport.aclose()

    async def get(
        self,
        address: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_size: int = MAX_ANSWER,
        timeouts: Timeouts | None = None,
    ) -> Answer:
        """Read a small answer, whatever its status.

        Raises `NetworkError`, `ProtocolError` or `ConfigurationError`.
        """
        async with self.stream(address, headers=headers, timeouts=timeouts) as reading:
            return Answer(
                reading.status, reading.headers, await reading.whole(max_size), reading.endpoint, reading.secrets
            )

    async def post(
        self,
        address: str,
        content: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        max_size: int = MAX_ANSWER,
        timeouts: Timeouts | None = None,
    ) -> Answer:
        """Send a small body and read a small answer; a redirect is refused. Raises as `get`."""
        limits = timeouts or self.timeouts
        async with self._limited(address, limits):
            request = self._request("POST", address, headers, limits, content=content)
            reading = await self._send(request, address)
            return await _answer(reading, lambda: reading.whole(max_size))

    async def send(
        self,
        method: str,
        address: str,
        body: Body,
        *,
        headers: Mapping[str, str] | None = None,
        max_size: int = MAX_ANSWER,
        timeouts: Timeouts | None = None,
    ) -> Answer:
        """Send a held body on a watched connection and read a small answer; an early answer ends the sending.

        Of a refusal (status 400 and above) the first 16 KiB are read. Raises as `get`; what the body itself raises
        comes through unchanged. Cancellation closes the connection.
        """
        limits = timeouts or self.timeouts
        async with (
            self._limited(address, limits) as scope,
            _closing(body.chunks(line := Line(scope, is_small=body.size <= _SMALL_BYTES))) as chunks,
        ):
            outgoing = Outgoing(chunks)
            fixed = {**(headers or {}), "content-length": str(body.size)}
            request = self._request(method, address, fixed, limits, stream=outgoing)
            request.extensions[LINE] = line
            send = self._send_small if line.is_small else self._send_watched
            reading = await send(request, outgoing, line, address)
            refusal = reading.status >= 400
            return await _answer(
                reading, lambda: reading.beginning(MAX_REFUSAL) if refusal else reading.whole(max_size)
            )

    @asynccontextmanager
    async def stream(
        self, address: str, *, headers: Mapping[str, str] | None = None, timeouts: Timeouts | None = None
    ) -> AsyncIterator[Reading]:
        """Open a GET and give its answer chunk by chunk; redirects within the origin are followed. Raises as `get`."""
        limits = timeouts or self.timeouts
        async with self._limited(address, limits):
            reading = await self._open(address, headers, limits)
            try:
                yield reading
            finally:
                await reading.aclose()

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def _limited(self, address: str, limits: Timeouts) -> AsyncIterator[anyio.CancelScope]:
        with anyio.move_on_after(limits.total_s) as scope:
            yield scope
        if scope.cancelled_caught:
            endpoint = redact.url(address)
            message = f"{endpoint}: not done within {limits.total_s:g} s"
            raise NetworkError("deadline_exceeded", message, endpoint=endpoint, expected=limits.total_s)

    def _request(
        self, method: str, address: str, headers: Mapping[str, str] | None, limits: Timeouts, **body: Any
    ) -> httpx.Request:
        url, credentials = origins.split_user(origins.checked(address))
        phases = {
            "connect": limits.connect_s, "write": limits.send_s, "read": limits.read_s, "pool": limits.total_s,
        }  # fmt: skip
        # httpx names the host only where it makes the body itself.
        host = {"host": url.netloc.decode("ascii")}
        merged = {**self._usual, **host, **credentials, **fields.checked(headers or {})}
        return httpx.Request(method, url, headers=merged, extensions={"timeout": phases}, **body)

    async def _send(self, request: httpx.Request, address: str) -> Reading:
        secrets = origins.secrets_of(origins.checked(address), request.headers.get("authorization"))
        try:
            response = await self._transport.handle_async_request(request)
        except Exception as error:
            mapped = _mapped(error, address, secrets)
            raise mapped from mapped.__cause__
        if _LOG.isEnabledFor(logging.INFO):
            _LOG.info("%s %s %d", request.method, redact.url(address), response.status_code)
        return Reading(response, address, secrets)

    async def _send_small(self, request: httpx.Request, outgoing: Outgoing, _: Line, address: str) -> Reading:
        try:
            return await self._send(request, address)
        except Exception as error:
            raise outgoing.fault or error from error.__cause__

    async def _send_watched(self, request: httpx.Request, outgoing: Outgoing, line: Line, address: str) -> Reading:
        failure: Exception | None = None
        reading: Reading | None = None
        # The failure is carried out by hand: a task group would wrap it in an exception group.
        async with anyio.create_task_group() as group:
            group.start_soon(line.watch)
            try:
                reading = await self._send(request, address)
            except Exception as error:
                failure = outgoing.fault or error
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure
        assert reading is not None, "neither an answer nor a failure"
        return reading

    async def _open(self, address: str, headers: Mapping[str, str] | None, limits: Timeouts) -> Reading:
        for left in range(_MAX_REDIRECTS, -1, -1):
            request = self._request("GET", address, headers, limits)
            reading = await self._send(request, address)
            target = _redirect(reading)
            if target is None:
                return reading
            await reading.aclose()
            if not left or not origins.same_origin(target, request.url):
                raise _redirected(reading, target)
            address = str(target.copy_with(userinfo=origins.checked(address).userinfo))
        raise AssertionError("the loop above returns or raises")


@asynccontextmanager
async def _closing(chunks: AsyncGenerator[bytes, None]) -> AsyncIterator[AsyncGenerator[bytes, None]]:
    try:
        yield chunks
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_S):
            await chunks.aclose()


async def _answer(reading: Reading, read: Callable[[], Awaitable[bytes]]) -> Answer:
    try:
        _refuse_redirect(reading)
        return Answer(reading.status, reading.headers, await read(), reading.endpoint, reading.secrets)
    finally:
        await reading.aclose()


def _redirect(reading: Reading) -> httpx.URL | None:
    if reading.status not in {301, 302, 303, 307, 308}:
        return None
    try:
        return httpx.URL(reading._address).join(reading.headers.get("location", ""))
    except httpx.InvalidURL:
        return httpx.URL("")


def _refuse_redirect(reading: Reading) -> None:
    target = _redirect(reading)
    if target is not None:
        raise _redirected(reading, target)


def _redirected(reading: Reading, target: httpx.URL) -> NetworkError:
    shown = redact.url(redact.text(str(target), reading.secrets))
    message = f"{reading.endpoint}: redirects to {shown} ({reading.status}), which is not followed"
    return NetworkError("redirect_refused", message, endpoint=reading.endpoint, found=shown)


def _network(ca_file: str | Path | None) -> httpx.AsyncBaseTransport:
    tls = cache(partial(_tls, ca_file))  # read once for all stripes
    return Striped(lambda: Transport(tls, keepalive_s=_KEEPALIVE_S))


def _tls(ca_file: str | Path | None) -> ssl.SSLContext:
    if ca_file is None:
        return usual_tls()
    context = _new_tls()
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        why = "holds no certificate" if isinstance(error, ssl.SSLError) else f"cannot be read ({error.strerror})"
        message = f"the file of certificate authorities {str(ca_file)!r:.200} {why}"
        raise ConfigurationError("setting_invalid", message, path=str(ca_file)) from error
    return context


@cache
def usual_tls() -> ssl.SSLContext:
    """Return the context of all clients without certificates of their own: reading the usual ones takes 20 ms."""
    return _new_tls()


def _new_tls() -> ssl.SSLContext:
    context = httpx.create_ssl_context(trust_env=False)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
