"""The publisher: takes bodies, pays, certifies. Its stores are not atomic, and a hang-up can end one anywhere."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import anyio.abc
from anyio import to_thread
from starlette.responses import Response

from walrus_sdk.codecs import quilt, redstuff
from walrus_sdk.errors import WalrusError
from walrus_sdk.localnet.blobs import LedgerRow, Registration
from walrus_sdk.localnet.exchange import Exchange, SleepFor, attended
from walrus_sdk.localnet.http_walrus.bodies import sink_for, too_large
from walrus_sdk.localnet.http_walrus.errors import internal_error, refuse
from walrus_sdk.localnet.http_walrus.forms import quilt_files
from walrus_sdk.localnet.http_walrus.gate import Bandwidth, Gate
from walrus_sdk.localnet.http_walrus.queries import StoreQuery, store_query
from walrus_sdk.localnet.http_walrus.tokens import Tokens, check_size
from walrus_sdk.localnet.replies import json_response
from walrus_sdk.localnet.world import World
from walrus_sdk.model.units import BlobId

__all__ = ["Publisher"]

Json = dict[str, Any]
Claims = Mapping[str, Any]

_FAILED = "error_in_200"


class Publisher:
    """The stores of one network. `background` outlives requests: stores run there, some longer than their client stays.

    `now` is monotonic seconds, for the uplink; tokens are held against the wall clock.
    """

    def __init__(
        self,
        world: World,
        sleep: SleepFor,
        background: anyio.abc.TaskGroup,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._world = world
        self._sleep = sleep
        self._background = background
        self._gates = {"blobs": Gate("publisher"), "quilts": Gate("publisher")}
        self._bandwidth = Bandwidth(now, sleep)
        self._tokens = Tokens(time.time)

    async def blobs(self, exchange: Exchange) -> Response:
        """``PUT /v1/blobs``."""
        return await self._request(exchange, "blobs", self._put_blob)

    async def quilts(self, exchange: Exchange) -> Response:
        """``PUT /v1/quilts``."""
        return await self._request(exchange, "quilts", self._put_quilt)

    # ── who runs a store, and what a hang-up does to it ───────────────────────────────────────────────────────

    async def _request(self, exchange: Exchange, route: str, put: Callable[..., Awaitable[Response]]) -> Response:
        shape = self._world.faults.shape
        claims: Any = {}
        if shape.jwt_secret:
            length = exchange.headers.get("content-length")
            size = int(length) if length is not None else None
            claims = self._tokens.check(exchange.headers.get("authorization"), shape, store_query(exchange.query), size)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._gates[route].enter(shape.slots, shape.queue))
            query = store_query(exchange.query)
            await exchange.at("publisher.request")
            body = await self._body(exchange, route)
            place = stack.pop_all()

        async def store() -> Response:
            async with place:  # held until the store ends, whoever was answered before that
                return await put(exchange, query, body, claims)

        drops = shape.on_disconnect == "drop"
        return await attended(exchange, self._background, store, drops=drops)

    # ── bodies ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _body(self, exchange: Exchange, route: str) -> Any:
        """Read a whole body: bytes of a blob, parts of a quilt, or their number in sink mode."""
        shape = self._world.faults.shape
        limit = shape.max_blob_body if route == "blobs" else shape.max_quilt_body
        sink = sink_for(route, exchange.headers.get("content-type", ""), only_count=shape.sink)
        size = 0
        async for chunk in exchange.body():
            size += len(chunk)
            if size > limit:
                raise too_large(route)
            await self._bandwidth.take(len(chunk), shape.bytes_per_s)
            sink.feed(chunk)
        return sink.finish()

    # ── stores ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _put_blob(self, exchange: Exchange, query: StoreQuery, body: Any, claims: Claims) -> Response:
        check_size(claims, body if isinstance(body, int) else len(body))
        if isinstance(body, int):
            return json_response(self._sunk("blob", body))
        return json_response(await self._store(exchange, query, body, "blob", len(body)))

    async def _put_quilt(self, exchange: Exchange, query: StoreQuery, body: Any, claims: Claims) -> Response:
        if isinstance(body, int):
            return json_response({"blobStoreResult": self._sunk("quilt", body), "storedQuiltBlobs": []})
        files = quilt_files(body)
        shards = self._world.genesis.n_shards
        try:
            plan = quilt.layout_of(files, shards)
            blob = await to_thread.run_sync(quilt.encode, files, shards)
        except WalrusError as error:
            raise refuse("INVALID_ARGUMENT", "MALFORMED_REQUEST", error.message) from error
        check_size(claims, len(blob))  # the size of the quilt, not of what came in
        received = sum(len(content) for _, content in body)
        result = await self._store(exchange, query, blob, "quilt", received)
        if "newlyCreated" not in result and "alreadyCertified" not in result:
            return json_response({"blobStoreResult": result, "storedQuiltBlobs": []})
        blob_id = BlobId.parse(_named(result))
        ids = quilt.patch_ids(blob_id, plan)
        stored = [
            {"identifier": p.identifier, "quiltPatchId": str(ids[p.identifier]), "range": [p.start, p.end]}
            for p in plan.patches
        ]
        return json_response({"blobStoreResult": result, "storedQuiltBlobs": stored})

    def _sunk(self, kind: str, size: int) -> Json:
        self._world.blobs.note(LedgerRow(kind, str(BlobId(bytes(32))), False, 0, size, ""))
        return {"alreadyCertified": {"blobId": str(BlobId(bytes(32))), "event": _event(""), "endEpoch": 2**31}}

    async def _store(self, exchange: Exchange, query: StoreQuery, data: bytes, kind: str, received: int) -> Json:
        """Look, pay, certify; every moment is a point for faults."""
        world, owner = self._world, query.send_object_to or self._world.genesis.publisher
        await exchange.at("publisher.body")
        try:
            blob_id = await self._name(data)
        except WalrusError as error:
            return _failure(None, "encode_blob", error.message)
        if _FAILED in exchange.struck:
            return _failure(blob_id, "check_blob_is_blocked", f"the blob ID {blob_id} is blocked")
        found = self._existing(blob_id, query)
        if found is not None:
            world.blobs.note(LedgerRow(kind, str(blob_id), False, 0, received, str(owner)))
            return _named_wrongly(exchange, {"alreadyCertified": self._already(found, query)})
        await exchange.at("publisher.before_pay")
        if _FAILED in exchange.struck:
            return _failure(blob_id, "check_blob_is_blocked", f"the blob ID {blob_id} is blocked")
        if not 1 <= query.epochs <= world.genesis.max_epochs_ahead:
            raise internal_error()
        reused = self._unfinished(blob_id, query)
        cost = world.blobs.price(len(data), query.epochs) if reused is None else 0
        paid = reused or world.blobs.pay(blob_id, len(data), query.epochs, deletable=not query.permanent)
        world.blobs.note(LedgerRow(kind, str(blob_id), reused is None, cost, received, str(owner)))
        await exchange.at("publisher.after_pay")
        await self._sleep(world.faults.shape.latency_s)
        if _FAILED in exchange.struck:
            return _failure(blob_id, "certify", "the certification transaction has no result for the blob")
        if paid.end_epoch <= world.chain.walrus_epoch.number or world.blobs.owner_of(paid) != world.genesis.publisher:
            raise internal_error()  # the Move call aborts: the storage is over, or another store was quicker
        certified = world.blobs.certify(paid, data, owner)
        result = {"newlyCreated": self._created(certified, len(data), query, cost, reused=reused is not None)}
        await exchange.at("publisher.after_certify")
        if _FAILED in exchange.struck:
            return _failure(blob_id, "certify", "the certification transaction has no result for the blob")
        return _named_wrongly(exchange, result)

    async def _name(self, data: bytes) -> BlobId:
        blobs = self._world.blobs
        known = blobs.known_id(data)
        if known is None:
            known = await to_thread.run_sync(blobs.encode, data)
            blobs.remember_id(data, known)
        return known

    def _existing(self, blob_id: BlobId, query: StoreQuery) -> Registration | None:
        """Return the copy that makes a store unnecessary, by the official publisher's rule."""
        blobs = self._world.blobs
        if query.force:
            return None
        if query.permanent:
            found = blobs.certified(blob_id, permanent=True)
            enough = found is not None and found.end_epoch >= blobs.epoch.number + query.epochs
            return found if enough else None
        if query.reuse_resources:
            found = blobs.certified(blob_id)
            return found if found is not None and blobs.owner_of(found) == self._world.genesis.publisher else None
        return None

    def _unfinished(self, blob_id: BlobId, query: StoreQuery) -> Registration | None:
        """Return a registration of the publisher's own that was paid and never certified, if it may be used."""
        if not query.reuse_resources:
            return None
        blobs, end = self._world.blobs, self._world.blobs.epoch.number + query.epochs
        return blobs.unfinished(blob_id, self._world.genesis.publisher, end, deletable=not query.permanent)

    def _already(self, found: Registration, query: StoreQuery) -> Json:
        answer: Json = {"blobId": found.blob_id, "endEpoch": found.end_epoch}
        return answer | ({"event": _event(found.event)} if query.permanent else {"object": found.object_id})

    def _created(self, found: Registration, size: int, query: StoreQuery, cost: int, *, reused: bool) -> Json:
        blob = self._world.blobs.object_of(found)
        length = {"encodedLength": redstuff.encoded_size(size, self._world.genesis.n_shards)}
        anew = {"registerFromScratch": length | {"epochsAhead": query.epochs}}
        result = {
            "blobObject": {
                "id": found.object_id,
                "registeredEpoch": blob.registered_epoch.number,
                "blobId": found.blob_id,
                "size": size,
                "encodingType": "RS2",
                "certifiedEpoch": blob.certified_epoch.number if blob.certified_epoch else None,
                "storage": {
                    "id": str(blob.storage_id),
                    "startEpoch": blob.start_epoch.number,
                    "endEpoch": blob.end_epoch.number,
                    "storageSize": blob.storage_size,
                },
                "deletable": blob.deletable,
            },
            "resourceOperation": {"reuseRegistration": length} if reused else anew,
            "cost": cost,
        }
        if query.share:
            result["sharedBlobObject"] = str(self._world.blobs.share(found))
        return result


def _failure(blob_id: BlobId | None, phase: str, message: str) -> Json:
    """Return the failure of one blob, which the services send with status 200."""
    return {"error": {"blobId": str(blob_id) if blob_id else None, "failurePhase": phase, "errorMsg": message}}


def _named_wrongly(exchange: Exchange, result: Json) -> Json:
    """Return a result with another blob id in it when a fault asks for it."""
    if "wrong_blob_id" in exchange.struck:
        _rename(result, str(BlobId(hashlib.sha256(_named(result).encode()).digest())))
    return result


def _event(digest: str) -> Json:
    return {"txDigest": digest, "eventSeq": "0"}


def _named(result: Json) -> str:
    (kind, value), *_ = result.items()
    return str(value["blobObject"]["blobId"] if kind == "newlyCreated" else value["blobId"])


def _rename(result: Json, blob_id: str) -> None:
    (kind, value), *_ = result.items()
    (value["blobObject"] if kind == "newlyCreated" else value)["blobId"] = blob_id
