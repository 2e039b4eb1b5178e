"""The aggregator: reads of blobs, ranges, patches and lists, with the headers and errors of the official one."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from starlette.responses import Response

from walrus_sdk.codecs import quilt
from walrus_sdk.errors import CodecError
from walrus_sdk.localnet.blobs import Blobs, Bytes
from walrus_sdk.localnet.exchange import ClientDisconnect, Exchange
from walrus_sdk.localnet.http_walrus.errors import internal_error, refuse, refuse_text
from walrus_sdk.localnet.http_walrus.gate import Gate
from walrus_sdk.localnet.http_walrus.queries import byte_range, read_options
from walrus_sdk.localnet.replies import Answered, json_response
from walrus_sdk.localnet.world import World
from walrus_sdk.model.units import BlobId, ObjectId, QuiltPatchId

__all__ = ["Aggregator"]

_SLOTS, _QUEUE = 256, 320
_TAGS_SHOWN = ("content-type", "authorization", "content-disposition", "content-encoding", "content-language",
               "content-location", "link")  # fmt: skip
_VISIBLE = re.compile(r"[\x20-\x7e]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Aggregator:
    """The reads of one network."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._blobs: Blobs = world.blobs
        self._gates: dict[str, Gate] = {}

    async def serve(self, exchange: Exchange) -> Response | None:
        """Answer a read; `None` when no route of the aggregator has this path."""
        route = next((r for r in _ROUTES if r[0].fullmatch(exchange.raw_path)), None)
        if route is None:
            return None
        pattern, name = route
        found = pattern.fullmatch(exchange.raw_path)
        assert found is not None
        allowed = ("GET", "HEAD", "POST") if name == "_concat" else ("GET", "HEAD")
        if exchange.method not in allowed:
            return Response(status_code=405, headers={"allow": ",".join(allowed)})
        gate = self._gates.setdefault(name, Gate("aggregator"))
        async with gate.enter(_SLOTS, _QUEUE):
            await exchange.at("aggregator.request")
            answer: Response = await getattr(self, name)(exchange, *map(_segment, found.groups()))
            return answer

    # ── blobs ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _blob(self, exchange: Exchange, text: str) -> Response:
        blob_id = _blob_id(text)
        read_options(exchange.query)
        return _ranged(exchange, self._bytes(blob_id), str(blob_id))

    async def _by_object(self, exchange: Exchange, text: str) -> Response:
        try:
            object_id = ObjectId.parse(text)
        except CodecError as error:
            raise _bad_url(error) from error
        read_options(exchange.query)
        blob_id = self._blobs.blob_of_object(object_id)
        if blob_id is None:
            raise internal_error()
        return _ranged(exchange, self._bytes(blob_id), str(blob_id))

    async def _byte_range(self, exchange: Exchange, text: str) -> Response:
        blob_id = _blob_id(text)
        start, length = byte_range(exchange.query)
        data = self._bytes(blob_id, unavailable=False)
        if length == 0 or start + length > len(data):
            raise refuse("INVALID_ARGUMENT", "INVALID_BYTE_RANGE", "the byte range lies outside the blob")
        headers = _headers(exchange, f"{blob_id}-{start}-{length}")
        return Response(data[start : start + length], headers=headers)

    async def _stream(self, exchange: Exchange, text: str) -> Response:
        blob_id = _blob_id(text)
        if self._blobs.status(blob_id) == "registered":
            raise refuse("INTERNAL", "SLIVER_RETRIEVAL_FAILED", "failed to retrieve the slivers of the blob")
        data = self._bytes(blob_id)
        return Response(data[:], headers={**_headers(exchange, str(blob_id)), "x-walrus-streaming": "true"})

    def _bytes(self, blob_id: BlobId, *, unavailable: bool = True) -> Bytes:
        data = self._blobs.read(blob_id)
        if data is not None:
            return data
        if self._blobs.status(blob_id) == "registered":
            if unavailable:
                raise refuse("UNAVAILABLE", "BLOB_UNAVAILABLE", "the blob is not available at the moment")
            raise internal_error()
        message = "the requested blob ID does not exist on Walrus, ensure that it was entered correctly"
        raise refuse("NOT_FOUND", "BLOB_NOT_FOUND", message)

    # ── quilts ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _patch(self, exchange: Exchange, text: str) -> Response:
        try:
            patch = QuiltPatchId.parse(text)
        except CodecError as error:
            raise _bad_url(error) from error
        data = self._bytes(patch.quilt)
        try:
            found = quilt.patch_bytes(data, patch.start, patch.end, self._world.genesis.n_shards)
        except CodecError as error:
            raise self._no_patch_of(data) from error
        return _patch_answer(exchange, patch.quilt, found)

    def _no_patch_of(self, data: Bytes) -> Answered:
        """Return the error for a patch that `data` does not have: opaque when it is no quilt at all."""
        try:
            quilt.inspect(data, self._world.genesis.n_shards)
        except CodecError:
            return internal_error()
        return _no_patch()

    async def _named_patch(self, exchange: Exchange, text: str, identifier: str) -> Response:
        blob_id = _blob_id(text)
        for found in self._files(blob_id):
            if found.identifier == identifier:
                return _patch_answer(exchange, blob_id, found)
        raise _no_patch()

    async def _patches(self, _exchange: Exchange, text: str) -> Response:
        blob_id = _blob_id(text)
        data = self._bytes(blob_id)
        try:
            found = quilt.inspect(data, self._world.genesis.n_shards)
        except CodecError as error:
            raise internal_error() from error
        ids = quilt.patch_ids(blob_id, found)
        tags = {file.identifier: dict(file.tags) for file in self._files(blob_id)}
        return json_response(
            [
                {"identifier": p.identifier, "patch_id": str(ids[p.identifier]), "tags": tags[p.identifier]}
                for p in found
            ]
        )

    def _files(self, blob_id: BlobId) -> list[quilt.QuiltFile]:
        try:
            return quilt.decode(self._bytes(blob_id), self._world.genesis.n_shards)
        except CodecError as error:
            raise internal_error() from error

    # ── several blobs ─────────────────────────────────────────────────────────────────────────────────────────

    async def _concat(self, exchange: Exchange) -> Response:
        if exchange.method == "POST":
            ids = await _posted_ids(exchange)
        else:
            found = re.fullmatch(r"ids=([^&]*)", exchange.query)
            if found is None:
                raise refuse_text(400, "Failed to deserialize query string: missing field `ids`")
            ids = [part for part in unquote(found[1]).split(",") if part]
        if not ids:
            raise refuse_text(400, "at least one blob ID or object ID must be provided")
        blobs = [self._either(text) for text in ids]
        tag = base64.urlsafe_b64encode(hashlib.sha256(",".join(ids).encode()).digest()).rstrip(b"=").decode()
        body = bytearray()
        parts = [self._blobs.read(blob_id) for blob_id in blobs]
        for part in parts:
            if part is None:
                break
            body += part[:]
        answer = Response(bytes(body), headers=_headers(exchange, tag))
        del answer.headers["content-length"]  # sent in chunks
        if None in parts:  # too late for an error: 200 has gone out, so the body breaks off
            await exchange.cut(answer, len(body))
            raise ClientDisconnect
        return answer

    def _either(self, text: str) -> BlobId:
        try:
            return BlobId.parse(text)
        except CodecError:
            pass
        try:
            found = self._blobs.blob_of_object(ObjectId.parse(text))
        except CodecError as error:
            raise refuse("INVALID_ARGUMENT", "INVALID_ID_FORMAT", f"invalid ID: {text}") from error
        if found is None:
            raise refuse("NOT_FOUND", "OBJECT_ID_RESOLUTION_FAILED", f"cannot resolve object ID {text}")
        return found


_ROUTES = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"/v1/blobs/by-object-id/([^/]+)", "_by_object"),
        (r"/v1/blobs/by-quilt-patch-id/([^/]+)", "_patch"),
        (r"/v1/blobs/by-quilt-id/([^/]+)/([^/]+)", "_named_patch"),
        (r"/v1/blobs/([^/]+)/byte-range", "_byte_range"),
        (r"/v1/blobs/([^/]+)", "_blob"),
        (r"/v1/quilts/([^/]+)/patches", "_patches"),
        (r"/v1alpha/blobs/concat", "_concat"),
        (r"/v1alpha/blobs/([^/]+)/stream", "_stream"),
    )
)


def _segment(text: str) -> str:
    """Decode a segment of a path. Raises `Answered` (400)."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise refuse_text(400, f"Invalid URL: Invalid UTF-8 in `{text}`") from error


def _bad_url(error: CodecError) -> Answered:
    return refuse_text(400, f"Invalid URL: {error.message}")


def _blob_id(text: str) -> BlobId:
    try:
        return BlobId.parse(text)
    except CodecError as error:
        raise _bad_url(error) from error


def _no_patch() -> Answered:
    return refuse("NOT_FOUND", "QUILT_PATCH_NOT_FOUND", "the requested quilt patch does not exist on Walrus")


def _headers(exchange: Exchange, etag: str, tags: Mapping[str, str] | None = None) -> dict[str, str]:
    headers = {
        "x-content-type-options": "nosniff",
        "cache-control": "public, max-age=86400, stale-while-revalidate=3600",
        "etag": etag,
    }
    accept = exchange.headers.get("accept")
    if accept is not None and "*" not in accept:
        headers["content-type"] = accept  # what was asked for is echoed, whatever the bytes are
    elif exchange.method == "GET" and "content-type" in exchange.headers:
        headers["content-type"] = exchange.headers["content-type"]
    for name, value in (tags or {}).items():
        if name.lower() in _TAGS_SHOWN and _TOKEN.fullmatch(name) and _VISIBLE.fullmatch(value):
            headers.setdefault(name.lower(), value)
    return headers


def _ranged(exchange: Exchange, data: Bytes, etag: str) -> Response:
    asked = exchange.headers.get("range")
    headers = _headers(exchange, etag)
    if asked is None:
        return Response(data[:], headers=headers)
    found = re.fullmatch(r"bytes=([0-9]+)-([0-9]+)", asked)
    start, end = (int(found[1]), int(found[2])) if found else (1, 0)
    if start > end or end >= len(data):
        raise refuse("RANGE_NOT_SATISFIABLE", "INVALID_BYTE_RANGE", "the byte range lies outside the blob")
    headers["content-range"] = f"bytes {start}-{end}/{len(data)}"
    return Response(data[start : end + 1], 206, headers)


def _patch_answer(exchange: Exchange, blob_id: BlobId, found: quilt.QuiltFile) -> Response:
    headers = _headers(exchange, str(blob_id), found.tags)
    if _VISIBLE.fullmatch(found.identifier):
        headers["x-quilt-patch-identifier"] = found.identifier
    return Response(bytes(found.data), headers=headers)


async def _posted_ids(exchange: Exchange) -> list[str]:
    if exchange.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise refuse_text(415, "Expected request with `Content-Type: application/json`")
    body = b"".join([chunk async for chunk in exchange.body()])
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise refuse_text(400, f"Failed to parse the request body as JSON: {error}") from error
    known = {"ids", "strict_consistency_check", "skip_consistency_check"}
    if not isinstance(asked, dict) or not set(asked) <= known or not _well_typed(asked):
        raise refuse_text(422, "Failed to deserialize the JSON body into the target type")
    if asked.get("strict_consistency_check") and asked.get("skip_consistency_check"):
        message = "the strict and the skipped consistency check exclude each other"
        raise refuse("INVALID_ARGUMENT", "INVALID_CONSISTENCY_CHECK", message)
    return list(asked["ids"])


def _well_typed(asked: dict[str, Any]) -> bool:
    ids, flags = asked.get("ids"), [value for name, value in asked.items() if name != "ids"]
    texts = isinstance(ids, list) and all(isinstance(item, str) for item in ids)
    return texts and all(flag is None or isinstance(flag, bool) for flag in flags)
