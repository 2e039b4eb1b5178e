"""A publisher and an aggregator without HTTP: stores are not atomic, and answers can be lost at each moment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import anyio

from walrus_sdk.codecs import quilt, tasks
from walrus_sdk.errors import NetworkError, StorageError, ValidationError, WalrusError
from walrus_sdk.localnet.blobs import Blobs, LedgerRow, Registration
from walrus_sdk.model.plan import StoreKind
from walrus_sdk.model.units import BlobId, Frost, ObjectId, QuiltPatchId, WalrusEpoch
from walrus_sdk.ports import Part, Release, StoreReceipt, StoreRequest
from walrus_sdk.testing.death import Life
from walrus_sdk.testing.machine import computed
from walrus_sdk.testing.virtual import turn

__all__ = ["MOMENTS", "MemoryStore", "lost"]

MOMENTS = ("request", "released", "paid", "certified")
"""A store's moments: nothing sent yet; whole, nothing looked up; paid, not certified; certified, not answered."""


def lost(what: str = "the answer was lost") -> NetworkError:
    """Return the error of an answer that never came."""
    return NetworkError("connection_lost", what)


class MemoryStore:
    """Implements `ports.BlobStore` over the blobs of a local network.

    `faults` is called at each moment of a store with its name and the blob id; what it returns is raised there.
    `max_epochs` is the longest lifetime that it buys, whatever is asked. `finishes` tells whether a store whose client
    went away is finished all the same (else it is dropped where it stands). `paying` is told of each payment, just
    before. `reading` may fail a read, `garbled` changes what is read; `lies` tells whether an answer names another blob
    than was stored. `latency_s` is what each moment takes. `stored` counts the requests that came in whole,
    `publishers` those that there are to ask.
    """

    def __init__(self, blobs: Blobs, n_shards: int, life: Life) -> None:
        self.blobs = blobs
        self.faults: Callable[[str, BlobId], BaseException | None] = lambda _moment, _blob_id: None
        self.max_epochs = 1000
        self.finishes: Callable[[BlobId], bool] = lambda _blob_id: False
        self.paying: Callable[[StoreRequest, int], None] = lambda _request, _end: None
        self.reading: Callable[[], Exception | None] = lambda: None
        self.garbled: Callable[[bytes], bytes] = lambda data: data
        self.lies: Callable[[], bool] = lambda: False
        self.latency_s = 0.0
        self.stored = 0
        self.publishers = 1
        self._n_shards = n_shards
        self._life = life

    async def store(self, request: StoreRequest, release: Release, *, at: int = 0) -> StoreReceipt:
        """Store one blob or quilt; see the port."""
        await self._moment("request", request.blob_id)
        contents = [await _whole(part) for part in request.parts]
        data, blob_id = self._assembled(request, contents)
        await release()
        self.stored += 1
        steps = self._steps(request, blob_id, data, sum(map(len, contents)))
        try:
            for moment, step in steps:
                await self._moment(moment, request.blob_id)
                receipt = step()
            await self._moment("certified", request.blob_id)
        except BaseException:
            if self.finishes(request.blob_id):
                for _, step in steps:
                    step()
            raise
        receipt = replace(receipt, publisher=at)
        return replace(receipt, blob_id=BlobId(bytes(32))) if self.lies() else receipt

    def _steps(
        self, request: StoreRequest, blob_id: BlobId, data: bytes, received: int
    ) -> Iterator[tuple[str, Callable[[], StoreReceipt]]]:
        """Yield what a store does, with the moment before each; none of it is undone when the client goes away."""
        epochs = min(request.epochs, self.max_epochs)
        bought: list[Registration] = []

        def look_and_pay() -> StoreReceipt:
            end = self.blobs.epoch.number + epochs
            found = None if request.deletable else self.blobs.certified(blob_id, permanent=True)
            if found is not None and found.end_epoch >= end:
                self._note(request, found, 0, received)
                return _receipt(found, Frost(), already=True)
            self.paying(request, end)
            bought.append(self.blobs.pay(blob_id, len(data), epochs, deletable=request.deletable))
            self._note(request, bought[0], self.blobs.price(len(data), epochs), received)
            return _receipt(bought[0], Frost(), already=False)

        def certify() -> StoreReceipt:
            if bought[0].end_epoch <= self.blobs.epoch.number:
                raise StorageError("store_failed", "its storage is over before it is certified")
            certified = self.blobs.certify(bought[0], data, request.owner)
            return _receipt(certified, Frost(self.blobs.price(len(data), epochs)), already=False)

        yield "released", look_and_pay
        if bought:
            yield "paid", certify

    async def _moment(self, moment: str, blob_id: BlobId) -> None:
        await anyio.sleep(self.latency_s)
        self._life.check()
        fault = self.faults(moment, blob_id)
        if fault is not None:
            raise fault

    def _assembled(self, request: StoreRequest, contents: list[bytes]) -> tuple[bytes, BlobId]:
        """Return the blob of what came in, and its id."""
        if request.kind is StoreKind.BLOB:
            return contents[0], BlobId(computed(tasks.blob_name, contents[0], self._n_shards))
        names = tuple(part.identifier for part in request.parts)
        files = [quilt.QuiltFile(name, data) for name, data in zip(names, contents, strict=True)]
        raw, _ = computed(tasks.quilt_name, names, tuple(contents), self._n_shards)
        return quilt.encode(files, self._n_shards), BlobId(raw)

    def _note(self, request: StoreRequest, found: Registration, price: int, received: int) -> None:
        kind = request.kind.value
        self.blobs.note(LedgerRow(kind, found.blob_id, price > 0, price, received, str(request.owner)))

    async def read(
        self,
        ref: BlobId | QuiltPatchId,
        sink: Callable[[bytes], object],
        *,
        span: tuple[int, int] | None = None,
        max_size: int,
    ) -> int:
        """Feed the bytes of a blob or patch to `sink`; see the port."""
        await turn()
        self._life.check()
        fault = self.reading()
        if fault is not None:
            raise fault
        data = self.garbled(self.bytes_of(ref))
        if span is not None:
            data = data[span[0] : span[0] + span[1]]
        if len(data) > max_size:
            raise NetworkError("answer_too_large", f"more than {max_size} bytes")
        sink(data)
        return len(data)

    def bytes_of(self, ref: BlobId | QuiltPatchId) -> bytes:
        """Return what is stored at this moment. Raises `StorageError` ``blob_not_found``."""
        blob_id = ref.quilt if isinstance(ref, QuiltPatchId) else ref
        whole = self.blobs.read(blob_id)
        if whole is None:
            raise StorageError("blob_not_found", f"no blob {blob_id}")
        if isinstance(ref, BlobId):
            return bytes(whole)
        try:
            return bytes(quilt.patch_bytes(whole, ref.start, ref.end, self._n_shards).data)
        except WalrusError as error:
            raise StorageError("blob_not_found", f"no patch {ref}") from error


async def _whole(part: Part) -> bytes:
    data = bytearray()
    async for chunk in part.content:
        data += chunk
    if len(data) != part.size or hashlib.sha256(data).digest() != part.sha256:
        raise ValidationError("file_changed", f"{part.identifier!r} changed while it was sent", path=part.identifier)
    return bytes(data)


def _receipt(found: Registration, cost: Frost, *, already: bool) -> StoreReceipt:
    return StoreReceipt(
        BlobId.parse(found.blob_id),
        WalrusEpoch(found.end_epoch),
        cost,
        already,
        None if already else ObjectId.parse(found.object_id),
        endpoint="memory",
    )
