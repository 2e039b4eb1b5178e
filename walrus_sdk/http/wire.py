"""The transport under the client: httpcore, with connections that can say whether an answer has arrived early.

A service that refuses a large body answers before it has read it. Without looking, the rest is still sent (or hangs),
and on asyncio the answer is lost with the reset that follows. So the body of a paid request asks its `Line`.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import anyio
import httpcore
import httpx

__all__ = [
    "LINE",
    "JoiningStream",
    "Line",
    "Outgoing",
    "StopSending",
    "Stream",
    "Transport",
    "WatchedStream",
    "is_answer",
]

LINE = "line"
"""Name of the request extension that holds a `Line`; such a request has a connection that can be watched."""

_PROBE_S = 0.02
_WATCH_EVERY_S = 0.1
_PROBE_BYTES = 65_536
_MAX_CONNECTIONS = 100
_PAID_KEPT_S = 1.0
"""Seconds for which a connection is kept for the next held body: balancers close what was idle for longer."""
_JOINED_BYTES = 65_536
"""Up to this size a body's first chunk is joined to its head: beyond, the copy costs more than a system call."""


_INTERIM = re.compile(rb"HTTP/1\.1 1(?!01)\d\d[ \r\n]")
_INTERIM_START = b"HTTP/1.1 1"
_HEAD_END = re.compile(rb"\r?\n\r?\n")


def is_answer(data: bytes) -> bool:
    """Whether bytes that came early begin an answer: interim ones (1xx, not asked for) only say "go on".

    What may yet become an interim answer is none; a switch of protocols (101) ends the exchange.
    """
    while data:
        if len(data) < len(_INTERIM_START) + 3:
            return not _INTERIM_START.startswith(data[: len(_INTERIM_START)])
        if not _INTERIM.match(data):
            return True
        end = _HEAD_END.search(data)
        if end is None:
            return False
        data = data[end.end() :]
    return False


class StopSending(Exception):
    """Raised by a body when its service has answered already: nothing more is sent, the answer is read."""


class Stream(httpcore.AsyncNetworkStream):
    """A connection whose reading can be stopped, and that knows whether anything was heard since the last request."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._stopped = False
        self.heard = False
        """Whether bytes were taken since the last were sent: without any, an answer was there before its request."""

    def stop(self) -> None:
        """Let every later read fail: iterators over the answer then end from within, and leave nothing suspended."""
        self._stopped = True

    def go_on(self) -> None:
        """Let reads through again: the answer came to its end without one."""
        self._stopped = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the next bytes; ``b""`` at the end."""
        self.heard = True
        if self._stopped:
            raise httpcore.ReadError("reading was stopped")
        return await self._inner.read(max_bytes, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Return the connection wrapped in TLS, a stream of the same kind."""
        return type(self)(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """Return what the wrapped stream knows."""
        return self._inner.get_extra_info(info)


class JoiningStream(Stream):
    """A kept connection: the head of a request goes out together with what follows it.

    One system call instead of two for each small request, and one packet where both fit.
    """

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        super().__init__(inner)
        self._waiting = b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes; the end of a head waits for the next write, which may be empty, or the next read."""
        self.heard = False
        if not self._waiting and buffer.endswith(b"\r\n\r\n"):
            self._waiting = buffer
            return
        waiting, self._waiting = self._waiting, b""
        if waiting and len(buffer) > _JOINED_BYTES:
            await self._inner.write(waiting, timeout)
            waiting = b""
        if joined := waiting + buffer if waiting else buffer:
            await self._inner.write(joined, timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the next bytes; ``b""`` at the end."""
        if self._waiting:
            await self.write(b"", timeout)
        return await super().read(max_bytes, timeout)


class WatchedStream(Stream):
    """A connection that can look for early bytes without losing them.

    Looking has to read: on TLS a readable socket may hold session tickets only. What was read is kept for `read`.
    """

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        super().__init__(inner)
        self._lock = anyio.Lock(fast_acquire=True)
        self._kept = b""
        self._answered = False
        self._settled = False
        self._writing: anyio.CancelScope | None = None

    async def answered(self) -> bool:
        """Whether bytes, or the end of the stream, came from the peer; ends a write that is under way if so."""
        await anyio.lowlevel.checkpoint()  # a refusal that comes before the release is worth a turn of the loop
        async with self._lock:
            if not self._settled and not self._answered and await self._probe():
                self._answered = True
                if self._writing is not None:
                    self._writing.cancel()
        return self._answered

    def begin(self) -> None:
        """Begin an exchange: what is there from now on comes early."""
        self._answered = self._settled = False

    async def settle(self) -> bool:
        """Look a last time; from now on nobody but `read` takes bytes."""
        found = await self.answered()
        async with self._lock:
            self._settled = True
        return found

    async def _probe(self) -> bool:
        if not self._inner.get_extra_info("is_readable"):
            return False
        try:
            found = await self._inner.read(_PROBE_BYTES, timeout=_PROBE_S)
        except httpcore.ReadTimeout:
            return False
        except (httpcore.ReadError, OSError):
            return True
        self._kept += found
        return not found or len(self._kept) > _PROBE_BYTES or is_answer(self._kept)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the next bytes, those kept by a look first; ``b""`` at the end."""
        async with self._lock:
            self._settled = True
        if self._kept and not self._stopped:
            self.heard = True
            data, self._kept = self._kept[:max_bytes], self._kept[max_bytes:]
            return data
        return await super().read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes; fails with `httpcore.WriteError` when an early answer is noticed meanwhile."""
        self.heard = False
        if not buffer:
            return
        with anyio.CancelScope() as scope:
            self._writing = scope
            try:
                await self._inner.write(buffer, timeout)
            finally:
                self._writing = None
        if scope.cancelled_caught:
            raise httpcore.WriteError("the service answered before the body was sent")

    def get_extra_info(self, info: str) -> Any:
        """Return what the wrapped stream knows; bytes kept by a look count as readable."""
        if info == "is_readable" and self._kept:
            return True
        return super().get_extra_info(info)


class _Backend(httpcore.AsyncNetworkBackend):
    """Opens connections of one kind; anyio's backend serves asyncio and trio alike."""

    def __init__(self, kind: type[Stream]) -> None:
        self._inner = httpcore.AnyIOBackend()
        self._kind = kind

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return self._kind(await self._inner.connect_tcp(host, port, timeout, local_address, socket_options))

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


class Line:
    """The connection of one request, as its body sees it; with a transport of a test there is none to see.

    `scope` is that of the exchange. With `is_small` the whole body fits into the connection's buffers.
    """

    def __init__(self, scope: anyio.CancelScope | None = None, *, is_small: bool = False) -> None:
        self._stream: WatchedStream | None = None
        self._settled = False
        self._scope = scope
        self.is_small = is_small

    def take(self, stream: WatchedStream) -> None:
        """Take the connection on which the request goes out."""
        stream.begin()
        self._stream = stream

    def held_up(self, seconds: float) -> None:
        """Give the exchange so much more time: its body waited for something that is not the service's fault."""
        if self._scope is not None:
            self._scope.deadline += seconds

    async def answered(self) -> bool:
        """Whether the service has answered, or hung up, already."""
        return self._stream is not None and await self._stream.answered()

    async def settle(self) -> bool:
        """Look a last time before the last bytes; afterwards nothing looks any more."""
        self._settled = True
        return self._stream is not None and await self._stream.settle()

    async def watch(self) -> None:
        """Look from time to time while a write may hang because nobody reads (run beside the sending)."""
        while not self._settled:
            await anyio.sleep(_WATCH_EVERY_S)
            if await self.answered():
                return


class Outgoing(httpx.AsyncByteStream):
    """A request's body for the transport; remembers a failure of the body itself, which is not the network's.

    Not an async generator: trio warns about those that a cancelled or refused request leaves behind.
    """

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        self._chunks = chunks
        self.fault: Exception | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next chunk. Raises `httpcore.WriteError` for `StopSending`: httpcore then reads the answer."""
        try:
            return await self._chunks.__anext__()
        except StopAsyncIteration:
            raise
        except StopSending as stop:
            raise httpcore.WriteError("the service answered before the body was sent") from stop
        except Exception as error:
            self.fault = error
            raise


_MAPPED: Mapping[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.TimeoutException: httpx.TimeoutException,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.NetworkError: httpx.NetworkError,
    httpcore.ProxyError: httpx.ProxyError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    httpcore.ProtocolError: httpx.ProtocolError,
    httpcore.ConnectionNotAvailable: httpx.ConnectError,
}


@contextmanager
def _as_httpx() -> Iterator[None]:
    try:
        yield
    except tuple(_MAPPED) as error:
        kind = next(_MAPPED[base] for base in type(error).__mro__ if base in _MAPPED)
        raise kind(str(error)) from error


class _Incoming(httpx.AsyncByteStream):
    def __init__(self, stream: Any, closed: _Closed) -> None:
        self._stream = stream
        self._closed = closed
        self._chunks: AsyncIterator[bytes] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._chunks is None:  # who iterates again goes on
            self._chunks = self._stream.__aiter__()
        return self

    async def __anext__(self) -> bytes:
        assert self._chunks is not None, "iterated before it was started"
        with _as_httpx():
            return await self._chunks.__anext__()

    async def aclose(self) -> None:
        with _as_httpx():
            await self._stream.aclose()
            await self._closed()


_Closed = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    """A pool notices by itself that an answer was closed."""


async def _shut(connection: httpcore.AsyncHTTP11Connection | Stream) -> None:
    """Close a connection although the caller is cancelled: that sends nothing and waits for nobody."""
    with anyio.CancelScope(shield=True):
        await connection.aclose()


class _Paid:
    """Connections for held bodies: each is watched, and kept for a second at most; the one used last is used first.

    One that was closed while it was idle is noticed before the release of what goes out on it (`Line.settle`).
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        tls.set_alpn_protocols(["http/1.1"])
        self._tls = tls
        self._backend = _Backend(WatchedStream)
        self._kept: list[tuple[httpcore.AsyncHTTP11Connection, WatchedStream]] = []
        self._busy: set[httpcore.AsyncHTTP11Connection] = set()

    async def handle(self, request: httpcore.Request, line: Line) -> tuple[httpcore.Response, _Closed]:
        """Send a request; returns its answer, and what is to be awaited when that is closed."""
        origin = request.url.origin
        connection, stream = await self._kept_one(origin) or await self._opened(origin, request.extensions["timeout"])
        line.take(stream)
        self._busy.add(connection)
        try:
            answer = await connection.handle_async_request(request)
        except BaseException:
            self._busy.discard(connection)
            await _shut(connection)  # it closes itself, but for a cancellation that comes before it has begun
            raise
        return answer, lambda: self._take_back(connection, stream)

    async def _kept_one(self, origin: httpcore.Origin) -> tuple[httpcore.AsyncHTTP11Connection, WatchedStream] | None:
        while self._kept:
            connection, stream = self._kept.pop()
            if connection.can_handle_request(origin) and not connection.has_expired():
                return connection, stream
            await connection.aclose()
        return None

    async def _opened(
        self, origin: httpcore.Origin, timeouts: Mapping[str, float | None]
    ) -> tuple[httpcore.AsyncHTTP11Connection, WatchedStream]:
        host, seconds = origin.host.decode("ascii"), timeouts.get("connect")
        stream: Any = await self._backend.connect_tcp(host, origin.port, seconds)
        if origin.scheme == b"https":
            try:
                stream = await stream.start_tls(self._tls, host, seconds)
            except BaseException:
                await _shut(stream)  # httpcore forgets it when it is cancelled
                raise
        return httpcore.AsyncHTTP11Connection(origin, stream, keepalive_expiry=_PAID_KEPT_S), stream

    async def _take_back(self, connection: httpcore.AsyncHTTP11Connection, stream: WatchedStream) -> None:
        if connection not in self._busy:
            return  # all were closed meanwhile
        self._busy.discard(connection)
        spare, _ = connection._h11_state.trailing_data  # it came with the answer, and is nobody's (N13)
        if connection.is_available() and not spare:
            self._kept.append((connection, stream))
        else:
            await connection.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        connections = [*self._busy, *(connection for connection, _ in self._kept)]
        self._busy.clear()
        self._kept.clear()
        for connection in connections:
            await connection.aclose()


class Transport(httpx.AsyncBaseTransport):
    """Sends requests over kept connections: those of held bodies can be watched, and are kept for a second only.

    A kept connection may be closed by a balancer just when a paid request goes out on it, so that its answer is lost:
    a second is less than any balancer waits. `tls` is called with the first request: what is wrong with its files
    matters to nobody before.
    """

    def __init__(self, tls: Callable[[], ssl.SSLContext], *, keepalive_s: float) -> None:
        self._tls = tls
        self._keepalive_s = keepalive_s
        self._pools: tuple[httpcore.AsyncConnectionPool, _Paid] | None = None

    def _open(self) -> tuple[httpcore.AsyncConnectionPool, _Paid]:
        tls = self._tls()
        pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=_MAX_CONNECTIONS,
            network_backend=_Backend(JoiningStream),
            max_keepalive_connections=_MAX_CONNECTIONS,
            keepalive_expiry=self._keepalive_s,
        )
        return pool, _Paid(tls)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises the exceptions of httpx."""
        line = request.extensions.get(LINE)
        assert isinstance(request.stream, httpx.AsyncByteStream), "bodies are asynchronous here"
        sent = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions={"timeout": request.extensions.get("timeout", {})},
        )
        self._pools = self._pools or self._open()
        pool, paid = self._pools
        with _as_httpx():
            if line is not None:
                answer, closed = await paid.handle(sent, line)
            else:
                answer, closed = await pool.handle_async_request(sent), _nothing
        stream = answer.extensions.get("network_stream")
        if isinstance(stream, Stream) and not stream.heard:
            await answer.aclose()
            await stream.aclose()  # what else comes on it is nobody's
            await closed()
            raise httpx.RemoteProtocolError("an answer that came before its request")
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Incoming(answer.stream, closed),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools or ():
            await pool.aclose()
