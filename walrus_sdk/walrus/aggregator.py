"""Reading from aggregators: fresh, capped, resumed at the next address where one breaks off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import anyio

from walrus_sdk.errors import StorageError, WalrusError
from walrus_sdk.http import origins
from walrus_sdk.http.circuits import Circuits
from walrus_sdk.http.client import MAX_REFUSAL, HttpClient, Reading, Timeouts
from walrus_sdk.http.failover import READ_MOVES_ON, first_of
from walrus_sdk.http.fields import retry_after
from walrus_sdk.model.units import BlobId, QuiltPatchId
from walrus_sdk.walrus.reader import Cursor
from walrus_sdk.walrus.reasons import DAEMON_DOMAIN, Reason, error_of, read_reason

__all__ = ["Aggregators"]

_MISSES = ("BLOB_NOT_FOUND", "QUILT_PATCH_NOT_FOUND")
_MOVES_ON = READ_MOVES_ON | {"blob_not_found", "blob_unavailable", "blob_too_large"}

# All have the meaning of no query, so each is another cache key for the same bytes. The route refuses queries
# that it does not know; the patch route ignores them all.
_FRESH_KEYS = (
    {"strict_consistency_check": "false"},
    {"skip_consistency_check": "false"},
    {"strict_consistency_check": "false", "skip_consistency_check": "false"},
    {"skip_consistency_check": "false", "strict_consistency_check": "false"},
)


class Aggregators:
    """One or more aggregators, asked in order; one that fails again and again is asked last for a while.

    `wall_ms` is the wall clock in milliseconds (to read Retry-After dates), `clock` gives monotonic seconds. A read
    may take `base_s` seconds plus the time of its bytes at `floor_bytes_s` bytes a second, the slowest pace that is
    waited for.
    """

    def __init__(
        self,
        http: HttpClient,
        urls: Sequence[str],
        *,
        wall_ms: Callable[[], int],
        clock: Callable[[], float] = anyio.current_time,
        base_s: float = 60.0,
        floor_bytes_s: int = 65_536,
    ) -> None:
        for url in urls:
            origins.checked(url)
        self._http = http
        self._circuits = Circuits(urls, clock)
        self._wall_ms = wall_ms
        self._base_s = base_s
        self._floor_bytes_s = floor_bytes_s
        self._misses = 0

    async def read(
        self,
        ref: BlobId | QuiltPatchId,
        sink: Callable[[bytes], object],
        *,
        span: tuple[int, int] | None = None,
        max_size: int,
    ) -> int:
        """Feed the bytes of a blob or patch to `sink` and return their number.

        `span` is ``(start, length)`` in bytes. A miss is asked again past caches, and at the next address, before
        ``blob_not_found`` is raised; an answer that says more than a miss wins over it. Raises `StorageError`,
        `NetworkError` (``answer_too_large`` beyond `max_size` bytes) or `ProtocolError`. The bytes are the
        aggregator's word: compare their hash.
        """
        cursor = Cursor(sink, span, max_size)
        size = max_size if span is None else min(span[1], max_size)
        limits = replace(self._http.timeouts, total_s=self._base_s + size / self._floor_bytes_s)

        async def read_from(url: str) -> int:
            await self._read_from(url, ref, cursor, limits)
            return cursor.delivered

        def moves_on(error: WalrusError) -> bool:
            # Bytes that the sink has cannot be taken back: after too many of them no other answer would be whole.
            return error.code in _MOVES_ON or (error.code == "answer_too_large" and not cursor.delivered)

        return await first_of(self._circuits, read_from, moves_on=moves_on, rank=_rank)

    async def _read_from(self, url: str, ref: BlobId | QuiltPatchId, cursor: Cursor, limits: Timeouts) -> None:
        try:
            await self._attempt(origins.join(url, _route(ref)), cursor, limits)
        except StorageError as error:
            if error.code != "blob_not_found":
                raise
            await self._read_past_caches(url, ref, cursor, limits)

    async def _read_past_caches(self, url: str, ref: BlobId | QuiltPatchId, cursor: Cursor, limits: Timeouts) -> None:
        turn = self._misses
        key = {"fresh": str(turn)} if isinstance(ref, QuiltPatchId) else _FRESH_KEYS[turn % len(_FRESH_KEYS)]
        try:
            await self._attempt(origins.join(url, _route(ref), key), cursor, limits)
        except StorageError as error:
            if error.code == "blob_not_found":
                self._misses += 1  # a cache may keep this miss too: not under this key again soon
            raise

    async def _attempt(self, address: str, cursor: Cursor, limits: Timeouts) -> None:
        if cursor.done:
            return
        # A cache that honours requests is passed by: a look-up must not find a miss of a minute ago.
        headers = {"cache-control": "no-cache"} | ({"range": cursor.range} if cursor.range else {})
        async with self._http.stream(address, headers=headers, timeouts=limits) as reading:
            if reading.status not in {200, 206}:
                raise _refused(reading, await reading.beginning(MAX_REFUSAL), self._wall_ms())
            cursor.begin(reading)
            async for chunk in reading.chunks():
                if cursor.take(chunk, reading.endpoint):
                    break
            cursor.end(reading)


def _route(ref: BlobId | QuiltPatchId) -> str:
    kind = "by-quilt-patch-id/" if isinstance(ref, QuiltPatchId) else ""
    return f"/v1/blobs/{kind}{ref}"


def _rank(error: WalrusError) -> int:
    # That a blob exists but cannot be had here says more than a miss; a miss says more than a broken line.
    vague = error.code in READ_MOVES_ON or error.code == "answer_too_large"
    return 0 if vague else 1 if error.code == "blob_not_found" else 2


def _refused(reading: Reading, body: bytes, wall_ms: int) -> WalrusError:
    reason = read_reason(body, reading.secrets)
    code = _code(reading.status, reason)
    name = f" {reason.reason}" if reason.reason else ""
    return error_of(
        code,
        f"{reading.endpoint}: the aggregator answered {reading.status}{name}: {reason.shown or 'no reason given'}",
        endpoint=reading.endpoint,
        http_status=reading.status,
        reason=reason.reason or None,
        retry_after=retry_after(reading.headers, wall_ms),
    )


def _code(status: int, reason: Reason) -> str:
    if status == 404:
        # Without Walrus's own word it is the miss of another server: a wrong URL, not a missing blob.
        return "blob_not_found" if reason.is_one_of(DAEMON_DOMAIN, *_MISSES) else "http_error"
    if status == 403 and reason.is_one_of(DAEMON_DOMAIN, "BLOB_TOO_LARGE"):
        return "blob_too_large"
    if status == 500 or (status == 503 and reason.is_one_of(DAEMON_DOMAIN, "BLOB_UNAVAILABLE")):
        return "blob_unavailable"  # servers before v1.47 say 500 where later ones say 503
    if status >= 500 or status == 408:
        return "service_unavailable"
    return {416: "range_not_satisfiable", 429: "rate_limited", 451: "blob_blocked"}.get(status, "http_error")
