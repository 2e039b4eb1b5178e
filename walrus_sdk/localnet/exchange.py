"""One request and its connection: the body as it comes, faults at named points, and a client that goes away."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from walrus_sdk.localnet.faults import Fault, Faults

__all__ = ["Answered", "ClientDisconnect", "Exchange", "SleepFor", "http_error", "json_response", "text_response"]

SleepFor = Callable[[float], Awaitable[None]]
"""How this process waits: seconds."""

_HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


class Answered(Exception):
    """The request is to be answered with `response`, whatever was going on."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def json_response(data: Any, status: int = 200) -> Response:
    """Return data as JSON."""
    return Response(json.dumps(data), status, media_type="application/json")


def text_response(text: str, status: int) -> Response:
    """Return a text as the services send it."""
    return Response(text, status, {"content-type": "text/plain; charset=utf-8"})


def http_error(status: int, kind: str) -> Response:
    """Return an error that something in front of the services might give: ``json``, ``text`` or ``html``."""
    if kind == "html":
        return Response(_HTML.format(f"{status} Error"), status, media_type="text/html")
    if kind == "text":
        return text_response("upstream connect error or disconnect/reset before headers", status)
    detail = {"@type": "ErrorInfo", "reason": "INTERNAL_ERROR", "domain": "global", "metadata": {}}
    message = "an internal error has occurred, please report it"
    body = {"error": {"status": "INTERNAL", "code": status, "message": message, "details": [detail]}}
    return json_response(body, status)


class Exchange:
    """A request with its connection. `faults` are asked by `at`; `sleep` waits for latencies."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, faults: Faults, sleep: SleepFor) -> None:
        self.request = Request(scope, receive)
        self.method: str = scope["method"]
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        self.raw_path = raw.decode("ascii", "replace").partition("?")[0]
        self.query: str = scope["query_string"].decode("ascii", "replace")
        self.headers: Mapping[str, str] = self.request.headers
        self.read_behind = 0
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

    async def at(self, point: str) -> Fault | None:
        """Let a fault strike at a point of `faults.POINTS`.

        Latency is waited for. An error raises `Answered`. A drop or stall waits for the client to be gone and goes on
        (whether work then ends is the service's choice). Anything else is returned: the caller carries it out.
        """
        fault = self._faults.hit(point)
        if fault is None:
            return None
        if fault.action == "latency":
            await self._sleep(fault.latency_s)
            return None
        if fault.action == "error":
            raise Answered(http_error(fault.status, fault.kind))
        if fault.action in ("drop", "stall"):
            if fault.action == "drop":
                self.abort()
            await self.gone()
            return None
        if fault.action == "lag":
            self.read_behind = fault.behind
        return fault

    async def truncated(self, response: Response) -> None:
        """Send the head of an answer and half of its body, then close."""
        body = bytes(response.body)
        await self._send(
            {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
        )
        await self._send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        self.abort()
