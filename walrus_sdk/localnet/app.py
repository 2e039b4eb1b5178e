"""One port, many services: requests are told apart by Host and path."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import anyio.abc
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from walrus_sdk.localnet.control import PREFIX, Control
from walrus_sdk.localnet.exchange import ClientDisconnect, Exchange, SleepFor, attended
from walrus_sdk.localnet.http_sui.graphql import GraphQlService
from walrus_sdk.localnet.http_sui.grpc_web import batch_get_objects
from walrus_sdk.localnet.http_walrus.aggregator import Aggregator
from walrus_sdk.localnet.http_walrus.cache import CachingProxy
from walrus_sdk.localnet.http_walrus.publisher import Publisher
from walrus_sdk.localnet.portal import Portal
from walrus_sdk.localnet.replies import Answered, json_response, text_response
from walrus_sdk.localnet.world import World

__all__ = ["LocalApp"]

_BATCH_GET = "/sui.rpc.v2.LedgerService/BatchGetObjects"
_MAX_SUI_BODY = 512 * 1024
_CORS = {"access-control-allow-origin": "*"}
_PREFLIGHT = {
    **_CORS,
    "access-control-allow-methods": "*",
    "access-control-allow-headers": "*",
    "access-control-max-age": "86400",
}

Route = Callable[[Exchange], Awaitable[Response]]


class LocalApp:
    """The ASGI application of a local network. `last_request` is when it was last asked, in monotonic seconds."""

    def __init__(self, world: World, control: Control, *, sleep: SleepFor, background: anyio.abc.TaskGroup) -> None:
        self._world = world
        self._sleep = sleep
        self._background = background
        self._control = control
        self._aggregator = Aggregator(world)
        self._cache = CachingProxy(time.monotonic)
        self._graphql = GraphQlService(world.chain)
        self._portal = Portal(world)
        publisher = Publisher(world, sleep, background)
        self._routes: dict[str, dict[str, Route]] = {
            "/v1/blobs": {"PUT": publisher.blobs},
            "/v1/quilts": {"PUT": publisher.quilts},
            "/graphql": {"POST": self._sui},
            _BATCH_GET: {"POST": self._grpc},
            "/status": {"GET": _ok, "HEAD": _ok},
        }
        self.last_request = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        self.last_request = time.monotonic()
        exchange = Exchange(scope, receive, send, self._world.faults, self._sleep)
        try:
            response = await self._answer(exchange)
        except Answered as answered:
            response = answered.response
        except ClientDisconnect:
            return
        if "truncate" in exchange.struck:
            await exchange.truncated(response)
        else:
            await response(scope, receive, send)

    async def _answer(self, exchange: Exchange) -> Response:
        host, path = exchange.headers.get("host", ""), exchange.raw_path
        site = self._portal.site_of(host)
        if site is not None:
            return await self._portal.serve(exchange, site)
        if self._portal.is_subdomain(host):
            return self._portal.unknown()
        if path.startswith(PREFIX):
            return await self._control.serve(exchange)
        if exchange.method == "OPTIONS":
            return Response(headers=_PREFLIGHT)
        try:
            answer = await self._service(exchange)
        except Answered as answered:
            answer = answered.response
        answer.headers.setdefault("access-control-allow-origin", "*")
        return answer

    async def _service(self, exchange: Exchange) -> Response:
        methods = self._routes.get(exchange.raw_path)
        if methods is not None:
            handler = methods.get(exchange.method)
            if handler is None:
                return Response(status_code=405, headers={"allow": ",".join(methods)})
            return await handler(exchange)
        answer = await self._cache.serve(exchange, self._world.faults.shape, self._aggregator.serve)
        if answer is not None:
            return answer
        if exchange.raw_path == "/" and exchange.method in ("GET", "HEAD"):
            return self._portal.landing()
        return Response(status_code=404)

    # ── Sui ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _sui_body(self, exchange: Exchange) -> bytes:
        body = bytearray()
        async for chunk in exchange.body():
            body += chunk
            if len(body) > _MAX_SUI_BODY:
                raise Answered(text_response("Payload too large", 413))
        return bytes(body)

    async def _sui(self, exchange: Exchange) -> Response:
        body = await self._sui_body(exchange)
        await exchange.at("sui.request")
        if b"executeTransaction" in body:
            return await attended(exchange, self._background, lambda: self._execute(exchange, body))
        await exchange.at("sui.read")
        return json_response(self._graphql.answer(body, behind=self._behind(exchange)))

    def _behind(self, exchange: Exchange) -> int:
        """Return how many transactions the node that answers has not seen yet."""
        lag = exchange.lag
        if lag is None:
            return 0
        return self._world.chain.committed_within(lag.late_s) if lag.late_s else lag.behind

    async def _execute(self, exchange: Exchange, body: bytes) -> Response:
        await exchange.at("sui.execute.before")
        congested = "congestion" in exchange.struck
        answer = self._graphql.answer(body, behind=self._behind(exchange), congested=congested)
        await exchange.at("sui.execute.after")
        return json_response(answer)

    async def _grpc(self, exchange: Exchange) -> Response:
        body = await self._sui_body(exchange)
        await exchange.at("sui.request")
        await exchange.at("sui.read")
        kind = exchange.headers.get("content-type", "")
        text = kind.startswith("application/grpc-web-text")
        view = self._world.chain.objects.view(self._behind(exchange))
        answer = batch_get_objects(body, view, text=text)
        return Response(answer, media_type="application/grpc-web-text+proto" if text else "application/grpc-web+proto")


async def _ok(_exchange: Exchange) -> Response:
    return text_response("OK", 200)
