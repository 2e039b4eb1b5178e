"""Reading a site: its object and all its dynamic fields, as they were at one version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from walrus_sdk.codecs import objects
from walrus_sdk.codecs.bcs import Reader, Writer
from walrus_sdk.codecs.ids import REDIRECTS_KEY, ROUTES_KEY
from walrus_sdk.codecs.text import from_base64
from walrus_sdk.errors import BlockchainError
from walrus_sdk.model.chain import OwnedObject
from walrus_sdk.model.network import Network
from walrus_sdk.model.site import Redirect, Resource, SiteContent, SiteSnapshot
from walrus_sdk.model.units import ObjectId
from walrus_sdk.sui import decode, documents
from walrus_sdk.sui.graphql import GraphQl

__all__ = ["SiteReader"]

_TRIES = 4
_SITE = "::site::Site"
_RESOURCE_PATH = "::site::ResourcePath"


class SiteReader:
    """Reads sites through GraphQL.

    Fields are listed, 50 a page: with derived ids a request holds 40 keys, and would not see a path that another
    tool added. Every page carries the site's version; a change while pages are read starts the reading anew.
    """

    def __init__(self, graphql: GraphQl, network: Network) -> None:
        self._graphql = graphql
        self._network = network

    async def read(self, site_id: ObjectId, known: SiteSnapshot | None) -> SiteSnapshot | None:
        """Return a site; `known` itself when its version and digest are current. `None`: no such object.

        Raises `BlockchainError` ``wrong_object_type``, ``chain_unavailable`` when it changes all the time.
        """
        for _ in range(_TRIES):
            node = await self._object(site_id)
            if node is None:
                return None
            site = self._checked(site_id, node)
            if known is not None and (known.version, known.digest) == (site.ref.version, site.ref.digest):
                return known
            found = await self._whole(site, node)
            if found is not None:
                return found
        raise BlockchainError("chain_unavailable", f"site {site_id} changes faster than it can be read")

    async def _object(self, site_id: ObjectId) -> Mapping[str, Any] | None:
        data = await self._graphql.read(documents.OBJECTS, {"keys": [{"address": str(site_id)}]})
        return _single(data, site_id)

    def _checked(self, site_id: ObjectId, node: Mapping[str, Any]) -> OwnedObject:
        found = decode.object_of(node)
        if found.type != f"{self._network.type_package}{_SITE}":
            raise BlockchainError("wrong_object_type", f"{site_id} is no site but {found.type or 'a package'}")
        return found

    async def _whole(self, site: OwnedObject, node: Mapping[str, Any]) -> SiteSnapshot | None:
        """Return the site with all its fields; `None` when it changed meanwhile."""
        _, body = decode.contents(node)
        resources: dict[str, Resource] = {}
        routes: tuple[tuple[str, str], ...] | None = None
        redirects: tuple[tuple[str, Redirect], ...] | None = None
        after: str | None = None
        while True:
            data = await self._graphql.read(documents.FIELDS, {"id": str(site.ref.id), "after": after})
            now = _now(data)
            if now is None or decode.reference(now) != site.ref:
                return None
            for key_type, key, value in _fields(data):
                if key_type.endswith(_RESOURCE_PATH):
                    resources[_text(key)] = _resource(value)
                elif key == _key(ROUTES_KEY):
                    routes = _routes(value)
                elif key == _key(REDIRECTS_KEY):
                    redirects = _redirects(value)
            after = decode.page_info(data["address"]["dynamicFields"], after)
            if after is None:
                break
        contents = _site(body)
        content = SiteContent(contents.name, contents.metadata, dict(sorted(resources.items())), routes, redirects)
        return SiteSnapshot(site.ref.id, site.ref.version, site.ref.digest, site.owner, content)


@decode.strict
def _single(data: Mapping[str, Any], site_id: ObjectId) -> Mapping[str, Any] | None:
    node: Mapping[str, Any] | None
    (node,) = data["multiGetObjects"]
    if node is not None and ObjectId.parse(node["address"]) != site_id:
        raise ValueError(f"expected object {site_id}, found {node['address']}")
    return node


@decode.strict
def _now(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    node: Mapping[str, Any] | None = data["object"]
    return node


@decode.strict
def _fields(data: Mapping[str, Any]) -> list[tuple[str, bytes, bytes]]:
    nodes = decode.nodes(data["address"]["dynamicFields"])
    return [
        (
            decode.text(node["name"]["type"]["repr"]),
            from_base64(node["name"]["bcs"]),
            from_base64(node["value"].get("bcs", "")),
        )
        for node in nodes
    ]


def _key(name: bytes) -> bytes:
    return bytes(Writer().bytes(name))


@decode.strict
def _text(key: bytes) -> str:
    return Reader(key).string()


_site = decode.strict(objects.decode_site)
_resource = decode.strict(objects.decode_resource)
_routes = decode.strict(objects.decode_routes)
_redirects = decode.strict(objects.decode_redirects)
