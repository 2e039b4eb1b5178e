"""One request and its connection: the body as it comes, faults at named points, and a client that goes away."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from email.utils import formatdate

import anyio
import anyio.abc
import anyio.lowlevel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from walrus_sdk.localnet.faults import Fault, Faults
from walrus_sdk.localnet.http_sui.failures import node_error
from walrus_sdk.localnet.http_walrus.errors import fault_answer, overload
from walrus_sdk.localnet.replies import Answered, json_response

__all__ = ["ClientDisconnect", "Exchange", "SleepFor", "attended"]

SleepFor = Callable[[float], Awaitable[None]]
"""How this process waits: seconds."""

_SHEDS = ("publisher", "aggregator")


class Exchange:
    """A request with its connection. `faults` are asked by `at`; `sleep` waits for latencies."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, faults: Faults, sleep: SleepFor) -> None:
        self.request = Request(scope, receive)
        self.method: str = scope["method"]
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        self.raw_path = raw.decode("ascii", "replace").partition("?")[0]
        self.query: str = scope["query_string"].decode("ascii", "replace")
        self.headers: Mapping[str, str] = self.request.headers
        self.lag: Fault | None = None
        self.struck: set[str] = set()
        self.answerable = anyio.Event()
        self.ahead: Response | None = None
        self._receive = receive
        self._send = send
        self._faults = faults
        self._sleep = sleep
        self._gone = anyio.Event()
        self._watched = False

    # ── the connection ────────────────────────────────────────────────────────────────────────────────────────

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Raises `ClientDisconnect` when the client goes away first."""
        async for chunk in self.request.stream():
            if chunk:
                yield chunk

    async def gone(self) -> None:
        """Wait until the client has gone away; only after the whole body was read."""
        if self._watched:
            await self._gone.wait()
            return
        self._watched = True
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()

    def abort(self) -> None:
        """Close the connection at once, without an answer."""
        transport = getattr(getattr(self._send, "__self__", None), "transport", None)
        if transport is not None:
            transport.abort()

    # ── faults ────────────────────────────────────────────────────────────────────────────────────────────────

    async def at(self, point: str) -> None:
        """Let a fault strike at a point of `faults.POINTS`; a moment at which a request that was dropped ends.

        Latency is waited for. An error or an overload raises `Answered`. A drop or stall waits for the client to be
        gone; then it raises `ClientDisconnect`, but a store goes on: whether it ends is the publisher's choice. A
        gateway's timeout leaves its answer in `ahead`, and the work goes on (see `attended`). The other actions go to
        `struck`, for the service to carry out.
        """
        await anyio.lowlevel.checkpoint()
        fault = self._faults.hit(point)
        if fault is None:
            return
        service = point.partition(".")[0]
        match fault.action:
            case "latency":
                await self._sleep(fault.latency_s)
            case "error":
                raise Answered(_asking(fault, fault_answer(service, fault.status or 500, fault.kind)))
            case "too_many_requests":
                answer = overload(service) if service in _SHEDS else fault_answer(service, 429, "text")
                raise Answered(_asking(fault, answer))
            case "gateway_timeout":
                self.ahead = _asking(fault, fault_answer(service, fault.status or 504, "html"))
                self.answerable.set()
                await self._sleep(fault.latency_s)
            case "drop" | "stall" if self.ahead is None:
                if fault.action == "drop":
                    self.abort()
                await self.gone()
                if service != "publisher":
                    raise ClientDisconnect
                await anyio.lowlevel.checkpoint()
            case "node_error":
                raise Answered(json_response(node_error(fault.error)))
            case "lag":
                self.lag = fault
            case other:
                self.struck.add(other)

    async def truncated(self, response: Response) -> None:
        """Send the head of an answer and half of its body, then close."""
        await self.cut(response, len(bytes(response.body)) // 2)

    async def cut(self, response: Response, size: int) -> None:
        """Send the head of an answer and `size` bytes of its body, then close."""
        body = bytes(response.body)
        await self._send(
            {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
        )
        await self._send({"type": "http.response.body", "body": body[:size], "more_body": True})
        self.abort()


async def attended(
    exchange: Exchange,
    background: anyio.abc.TaskGroup,
    work: Callable[[], Awaitable[Response]],
    *,
    drops: bool = False,
) -> Response:
    """Do the work of a request in `background`; returns its answer, or the one that a proxy in front gave first.

    `drops`: the work is dropped at its next moment when the client goes away (then `ClientDisconnect` is raised), but
    not behind a proxy that has answered already: that one keeps its connection.
    """
    outcome: list[Response | Exception] = []
    scope = anyio.CancelScope()

    async def run() -> None:
        try:
            with scope:
                outcome.append(await work())
        except Exception as error:
            outcome.append(error)
        finally:
            exchange.answerable.set()

    async def watch() -> None:
        await exchange.gone()
        scope.cancel()

    background.start_soon(run)
    async with anyio.create_task_group() as tasks:
        if drops:
            tasks.start_soon(watch)
        await exchange.answerable.wait()
        tasks.cancel_scope.cancel()
    if exchange.ahead is not None:
        return exchange.ahead
    if not outcome:
        raise ClientDisconnect
    found = outcome[0]
    if isinstance(found, Exception):
        raise found
    return found


def _asking(fault: Fault, answer: Response) -> Response:
    """Return an answer that asks to be left alone for a while, if the fault says so."""
    if fault.retry_after_s is not None:
        until = math.ceil(time.time() + fault.retry_after_s)
        asked = formatdate(until, usegmt=True) if fault.retry_after_date else str(fault.retry_after_s)
        answer.headers["retry-after"] = asked
    return answer
