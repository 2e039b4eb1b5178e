"""The portal: shows sites to browsers at ``http://<base36>.localhost:<port>/``, as the official server portal does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from starlette.responses import Response

from walrus_sdk.codecs import ids, objects, quilt
from walrus_sdk.codecs.bcs import Writer
from walrus_sdk.errors import CodecError
from walrus_sdk.localnet.blobs import Bytes
from walrus_sdk.localnet.exchange import Exchange
from walrus_sdk.localnet.world import World
from walrus_sdk.model.site import Redirect, Resource
from walrus_sdk.model.units import ObjectId
from walrus_sdk.sites import portal as rules

__all__ = ["Portal"]

_PAGE = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
    "<style>body{{font:16px/1.5 system-ui;max-width:40rem;margin:4rem auto;padding:0 1rem}}</style>"
    "<h1>{title}</h1><p>{text}</p></html>"
)
_LANDING = (
    "This is a simulation of Walrus and Sui on your own machine: nothing here is stored anywhere else or worth money."
)


@dataclass(frozen=True, slots=True)
class _Found:
    """A resource and the object that holds it."""

    resource: Resource
    object_id: ObjectId
    version: int


class Portal:
    """Serves the sites of one network."""

    def __init__(self, world: World) -> None:
        self._world = world

    def site_of(self, host: str) -> ObjectId | None:
        """Return the site that a Host header names."""
        return rules.site_of_host(host)

    def is_subdomain(self, host: str) -> bool:
        """Whether a Host header asks for a site at all, known or not."""
        return host.rsplit(":", 1)[0].lower().endswith(".localhost")

    def unknown(self) -> Response:
        """Return the page for a subdomain that names no site."""
        return _missing(404)

    def landing(self) -> Response:
        """Return the page at the plain address."""
        return _page(200, "walrus_sdk local network", _LANDING)

    async def serve(self, exchange: Exchange, site: ObjectId) -> Response:
        """Answer a visitor; any method is answered alike, ranges are ignored."""
        await exchange.at("portal.request")
        answer = self._answer(exchange, site)
        for name in exchange.request.cookies:
            answer.headers.append("set-cookie", f"{name}=; expires=Thu, 01 Jan 1970 00:00:00 GMT; path=/")
        return answer

    def _answer(self, exchange: Exchange, site: ObjectId) -> Response:
        path = rules.url_path(exchange.raw_path)
        if path is None:
            return Response("Not found", 404, media_type="text/plain")
        if path.startswith("/__wal__/"):
            return Response("OK" if path == "/__wal__/healthz" else "", 200 if path == "/__wal__/healthz" else 404)
        decision = rules.resolve(
            path, lambda name: self._resource(site, name) is not None, self._routes(site), self._redirects(site)
        )
        if isinstance(decision, rules.Moved):
            redirect = decision.redirect
            return Response(status_code=redirect.status, headers={"location": redirect.location})
        if isinstance(decision, rules.Missing):
            return _missing(decision.status)
        found = self._resource(site, decision.path)
        assert found is not None
        return self._resource_answer(found, decision.status)

    def _field(self, field_id: ObjectId, key_size: int) -> tuple[objects.Field, int] | None:
        item = self._world.chain.objects.get(field_id)
        return (objects.decode_field(item.contents, key_size), item.version) if item is not None else None

    def _resource(self, site: ObjectId, path: str) -> _Found | None:
        id_ = ids.resource_field_id(site, path, self._world.genesis.type_package)
        found = self._field(id_, len(bytes(Writer().string(path))))
        if found is None:
            return None
        field, version = found
        return _Found(objects.decode_resource(field.value), id_, version)

    def _routes(self, site: ObjectId) -> tuple[tuple[str, str], ...]:
        found = self._field(ids.routes_field_id(site), len(ids.ROUTES_KEY) + 1)
        return objects.decode_routes(found[0].value) if found is not None else ()

    def _redirects(self, site: ObjectId) -> tuple[tuple[str, Redirect], ...]:
        found = self._field(ids.redirects_field_id(site), len(ids.REDIRECTS_KEY) + 1)
        return objects.decode_redirects(found[0].value) if found is not None else ()

    def _resource_answer(self, found: _Found, status: int) -> Response:
        data = self._content(found.resource)
        if data is None:
            return _missing(404)
        if data is _STOPPED:
            return _page(503, "Sorry", "The aggregator does not serve what this page is made of.")
        if hashlib.sha256(data).digest() != found.resource.blob_hash:
            return _page(422, "Hash mismatch", "What the aggregator sent is not what the site's owner published.")
        answer = Response(data, status)
        for name, value in found.resource.headers:
            answer.headers[name] = value
        answer.headers["x-resource-sui-object-version"] = str(found.version)
        answer.headers["x-resource-sui-object-id"] = str(found.object_id)
        answer.headers["x-unix-time-cached"] = str(self._world.chain.now_ms())
        return answer

    def _content(self, resource: Resource) -> bytes | None:
        """Return what an aggregator sends for a resource: `None` for its 404, `_STOPPED` for any other refusal."""
        blob = self._world.blobs.read(resource.blob_id)
        if blob is None:
            registered = self._world.blobs.status(resource.blob_id) == "registered"
            return _STOPPED if registered else None
        try:
            patch = rules.patch_of(resource)
            if patch is None:
                return _cut(blob, resource)
            # A read of a patch takes no range: the whole patch comes back, and the hash decides.
            return bytes(quilt.patch_bytes(blob, patch.start, patch.end, self._world.genesis.n_shards).data)
        except CodecError as error:
            return None if error.code == "malformed" else _STOPPED


_STOPPED = bytes(bytearray(b"refused"))
"""Stands for a refusal of the aggregator other than 404; compared by identity."""


def _cut(data: Bytes, resource: Resource) -> bytes:
    """Read a resource's range as an aggregator does: both ends inside the blob, or it refuses."""
    part = resource.range
    if part is None:
        return data[:]
    if part.start is None or part.end is None or not part.start <= part.end < len(data):
        return _STOPPED
    return data[part.start : part.end + 1]


def _missing(status: int) -> Response:
    if status == 508:
        return _page(508, "Loop detected", "A redirect of this site leads to itself.")
    return _page(404, "404: page not found", "This site has no such page.")


def _page(status: int, title: str, text: str) -> Response:
    return Response(_PAGE.format(title=title, text=text), status, media_type="text/html")
