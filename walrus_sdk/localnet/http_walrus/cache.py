"""A caching proxy before the aggregator, as operators run one: a 404 stays for a while after the blob is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import Response

from walrus_sdk.localnet.exchange import Exchange
from walrus_sdk.localnet.faults import Shape
from walrus_sdk.localnet.replies import Answered

__all__ = ["CachingProxy"]

_HIT_S = 86400.0


@dataclass(frozen=True, slots=True)
class _Kept:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    until: float

    def response(self, how: str) -> Response:
        headers = dict(self.headers) | {"x-cache-status": how}
        return Response(self.body, self.status, headers)


class CachingProxy:
    """Keeps answers by full URL; `now` is monotonic seconds.

    A range is asked of the origin unless a 404 is kept; a deaf cache answers it with the whole body, if it has that.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kept: dict[str, _Kept] = {}

    async def serve(
        self, exchange: Exchange, shape: Shape, origin: Callable[[Exchange], Awaitable[Response | None]]
    ) -> Response | None:
        """Answer from the cache, or ask the origin and keep what may be kept."""
        if shape.not_found_cache_s <= 0 or exchange.method not in ("GET", "HEAD"):
            return await origin(exchange)
        ranged = "range" in exchange.headers
        key = f"{exchange.raw_path}?{exchange.query}"
        kept = self._kept.get(key)
        bypass = "cache-control" in exchange.headers and not shape.cache_deaf
        usable = kept is not None and (kept.status == 404 or not ranged or shape.cache_deaf)
        if kept is not None and usable and kept.until > self._now() and not bypass:
            return kept.response("HIT")
        try:
            answer = await origin(exchange)
        except Answered as error:
            answer = error.response
        if answer is None:
            return None
        if answer.status_code >= 500 and kept is not None and usable:
            return kept.response("STALE")
        whole = answer.status_code == 200 and exchange.method == "GET"
        life = _HIT_S if whole else shape.not_found_cache_s if answer.status_code == 404 else 0
        if life:
            headers = tuple((name, value) for name, value in answer.headers.items() if name != "content-length")
            self._kept[key] = _Kept(answer.status_code, headers, bytes(answer.body), self._now() + life)
        answer.headers["x-cache-status"] = "BYPASS" if bypass else "MISS"
        return answer
