"""The striped transport: each origin's requests are spread over several transports, each with a pool of its own.

httpcore 1.0 looks at every connection of a pool for every connection, twice a request: 32 in one pool cost ten times
the CPU of one, 100 cost a hundred times (docs/decisions/0023). Pools of a few connections each do not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import anyio
import httpx

__all__ = ["STRIPES", "Striped"]

IDLE_S = 30.0
"""Seconds after which a stripe that nobody uses is closed."""

_CLOSE_S = 2.0
STRIPES = 32
"""Transports for one origin. 100 requests in flight make 4 connections a pool at most: up to there it costs nothing."""


class Striped(httpx.AsyncBaseTransport):
    """Gives each request to that stripe of its origin which has the fewest under way, the first of equals.

    One request after another thus stays on one stripe, and its kept connection; a stripe is made by `make` when it is
    first needed, and closed when nobody has used it for `idle_s` seconds: it is asked no more, so it would not notice
    that a service closed its connections. Memory: origins x min(`stripes`, most requests in flight) x one idle
    transport (1.2 KB), beside what the connections take. Nothing waits here: how much is in flight is the caller's to
    limit.
    """

    def __init__(
        self, make: Callable[[], httpx.AsyncBaseTransport], *, stripes: int = STRIPES, idle_s: float = IDLE_S
    ) -> None:
        assert stripes >= 1, "there is at least one stripe"
        self._idle_s = idle_s
        self._make = make
        self._most = stripes
        self._origins: dict[tuple[bytes, bytes, int | None], list[_Stripe]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises what its transport raises."""
        stripe = self._next(request.url)
        stripe.under_way += 1
        try:
            await self._close_idle(request.url)
            response = await stripe.transport.handle_async_request(request)
        except BaseException:
            stripe.end()
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream), "answers are asynchronous here"
        response.stream = _Held(response.stream, stripe)
        return response

    async def _close_idle(self, url: httpx.URL) -> None:
        stripes, oldest = self._of(url), anyio.current_time() - self._idle_s
        idle = [stripe for stripe in stripes if not stripe.under_way and stripe.ended_s < oldest]
        if idle:
            stripes[:] = [stripe for stripe in stripes if stripe not in idle]
            with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_S):
                await _close(idle)

    def _of(self, url: httpx.URL) -> list[_Stripe]:
        return self._origins.setdefault((url.raw_scheme, url.raw_host, url.port), [])

    def _next(self, url: httpx.URL) -> _Stripe:
        stripes = self._of(url)
        best = min(stripes, key=lambda stripe: stripe.under_way, default=None)
        if best is None or (best.under_way and len(stripes) < self._most):
            best = _Stripe(self._make())
            stripes.append(best)
        return best

    async def aclose(self) -> None:
        """Close all connections of all stripes. Raises what the first raises that cannot, when all were tried."""
        stripes = [stripe for origin in self._origins.values() for stripe in origin]
        self._origins.clear()
        errors = await _close(stripes)
        if errors:
            raise errors[0]


async def _close(stripes: Sequence[_Stripe]) -> list[Exception]:
    """Close stripes side by side; returns what went wrong."""
    errors: list[Exception] = []

    async def close(transport: httpx.AsyncBaseTransport) -> None:
        try:
            await transport.aclose()
        except Exception as error:  # the others are closed all the same
            errors.append(error)

    async with anyio.create_task_group() as closing:
        for stripe in stripes:
            closing.start_soon(close, stripe.transport)
    return errors


@dataclass(slots=True, eq=False)
class _Stripe:
    """A transport, how many requests are under way on it, and when the last one ended (the event loop's clock)."""

    transport: httpx.AsyncBaseTransport
    under_way: int = 0
    ended_s: float = 0.0

    def end(self) -> None:
        """Say that a request is over."""
        self.under_way -= 1
        self.ended_s = anyio.current_time()


class _Held(httpx.AsyncByteStream):
    """An answer's body: its stripe counts as busy until it is closed."""

    def __init__(self, inner: httpx.AsyncByteStream, stripe: _Stripe) -> None:
        self._inner = inner
        self._stripe: _Stripe | None = stripe

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._inner.__aiter__()

    async def aclose(self) -> None:
        if self._stripe is not None:
            self._stripe.end()
            self._stripe = None
        await self._inner.aclose()
