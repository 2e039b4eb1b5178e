"""The port `BlobStore` over HTTP: publishers to store through, aggregators to read from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import anyio

from walrus_sdk.errors import ConfigurationError, WalrusError
from walrus_sdk.http.circuits import Circuits
from walrus_sdk.http.failover import first_of
from walrus_sdk.http.failures import NOT_SENT
from walrus_sdk.model.units import BlobId, QuiltPatchId
from walrus_sdk.ports import Release, StoreReceipt, StoreRequest
from walrus_sdk.walrus.aggregator import Aggregators
from walrus_sdk.walrus.publisher import Publisher

__all__ = ["HttpBlobStore"]

_STORE_MOVES_ON = NOT_SENT | {"timeout_send", "send_failed", "deadline_exceeded", "service_unavailable"}


class HttpBlobStore:
    """Stores at the publisher that is asked for, reads from the aggregators.

    Another publisher is asked only while nothing was released: what one publisher may have stored is looked up first.
    A publisher that fails again and again, or asked for a pause, is asked last for a while. `clock` gives monotonic
    seconds.
    """

    def __init__(
        self,
        publishers: Sequence[Publisher],
        aggregators: Aggregators,
        *,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self._publishers = {publisher.url: publisher for publisher in publishers}
        self._circuits = Circuits(tuple(self._publishers), clock)
        self._aggregators = aggregators

    @property
    def publishers(self) -> int:
        """How many publishers there are."""
        return len(self._publishers)

    async def store(self, request: StoreRequest, release: Release, *, at: int = 0) -> StoreReceipt:
        """Send one blob or quilt (see `BlobStore.store`). Raises ``publisher_missing`` without a publisher."""
        if not self._publishers:
            raise ConfigurationError("publisher_missing", "no publisher is configured for this network")
        urls, released = list(self._publishers), False

        async def release_once() -> None:
            nonlocal released
            # From here on it counts as released, even if the row's commit fails: no second publisher gets it.
            assert not released, "a store is released once"
            released = True
            await release()

        async def store_at(url: str) -> StoreReceipt:
            receipt = await self._publishers[url].store(request, release_once)
            return replace(receipt, publisher=urls.index(url))

        def moves_on(error: WalrusError) -> bool:
            return not released and error.code in _STORE_MOVES_ON

        return await first_of(self._circuits, store_at, first=urls[at], moves_on=moves_on)

    async def read(
        self,
        ref: BlobId | QuiltPatchId,
        sink: Callable[[bytes], object],
        *,
        span: tuple[int, int] | None = None,
        max_size: int,
    ) -> int:
        """Feed the bytes of a blob or patch to `sink` (see `BlobStore.read`)."""
        return await self._aggregators.read(ref, sink, span=span, max_size=max_size)
