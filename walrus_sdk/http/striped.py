"""The striped transport: each origin's requests are spread over several transports, each with a pool of its own.

httpcore 1.0 looks at every connection of a pool for every connection, twice a request: 32 in one pool cost ten times
the CPU of one, 100 cost a hundred times (docs/decisions/0023). Pools of a few connections each do not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import anyio
import httpx

__all__ = ["STRIPES", "Striped"]

STRIPES = 32
"""Transports for one origin. 100 requests in flight make 4 connections a pool at most: up to there it costs nothing."""


class Striped(httpx.AsyncBaseTransport):
    """Gives each request to that stripe of its origin which has the fewest under way, the first of equals.

    One request after another thus stays on one stripe, and its kept connection; a stripe is made by `make` when it is
    first needed. Memory: origins x min(`stripes`, most requests in flight) x one idle transport (1.2 KB), beside
    what the connections take. Nothing waits here: how much is in flight is the caller's to limit.
    """

    def __init__(self, make: Callable[[], httpx.AsyncBaseTransport], *, stripes: int = STRIPES) -> None:
        assert stripes >= 1, "there is at least one stripe"
        self._make = make
        self._most = stripes
        self._origins: dict[tuple[bytes, bytes, int | None], list[_Stripe]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises what its transport raises."""
        stripe = self._next(request.url)
        stripe.under_way += 1
        try:
            response = await stripe.transport.handle_async_request(request)
        except BaseException:
            stripe.under_way -= 1
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream), "answers are asynchronous here"
        response.stream = _Held(response.stream, stripe)
        return response

    def _next(self, url: httpx.URL) -> _Stripe:
        stripes = self._origins.setdefault((url.raw_scheme, url.raw_host, url.port), [])
        best = min(stripes, key=lambda stripe: stripe.under_way, default=None)
        if best is None or (best.under_way and len(stripes) < self._most):
            best = _Stripe(self._make())
            stripes.append(best)
        return best

    async def aclose(self) -> None:
        """Close all connections of all stripes. Raises what the first raises that cannot, when all were tried."""
        stripes = [stripe for origin in self._origins.values() for stripe in origin]
        self._origins.clear()
        errors: list[Exception] = []

        async def close(transport: httpx.AsyncBaseTransport) -> None:
            try:
                await transport.aclose()
            except Exception as error:  # the others are closed all the same
                errors.append(error)

        async with anyio.create_task_group() as closing:
            for stripe in stripes:
                closing.start_soon(close, stripe.transport)
        if errors:
            raise errors[0]


@dataclass(slots=True)
class _Stripe:
    transport: httpx.AsyncBaseTransport
    under_way: int = 0


class _Held(httpx.AsyncByteStream):
    """An answer's body: its stripe counts as busy until it is closed."""

    def __init__(self, inner: httpx.AsyncByteStream, stripe: _Stripe) -> None:
        self._inner = inner
        self._stripe: _Stripe | None = stripe

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._inner.__aiter__()

    async def aclose(self) -> None:
        if self._stripe is not None:
            self._stripe.under_way -= 1
            self._stripe = None
        await self._inner.aclose()
