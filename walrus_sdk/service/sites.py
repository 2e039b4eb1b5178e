"""Sites by whatever a user calls them, read back as visitors get them."""

from __future__ import annotations

import hashlib

from walrus_sdk.engine.feed import Feed
from walrus_sdk.engine.verify import check_bytes, choose
from walrus_sdk.errors import BlockchainError, CodecError, ConfigurationError, StorageError
from walrus_sdk.model.options import DeployOptions, Verify
from walrus_sdk.model.progress import Phase
from walrus_sdk.model.reports import Page, VerifyReport
from walrus_sdk.model.site import SiteSnapshot
from walrus_sdk.model.units import ObjectId
from walrus_sdk.service.connection import Connection
from walrus_sdk.sites import portal
from walrus_sdk.sites.portal import INDEX_PAGE

__all__ = ["find_site", "page", "url_of", "verify"]


async def find_site(connection: Connection, text: str) -> ObjectId:
    """Return the site that `text` means: an object id, a base36 address, or a name of this home or of the key's owner.

    Raises `BlockchainError` ``site_not_found``, `ConfigurationError` ``name_ambiguous``.
    """
    for read in (_hex_id, ObjectId.parse_base36):
        try:
            return read(text)
        except CodecError:
            continue
    chain_id = (await connection.chain.state()).chain_id
    rows = await connection.journal.rows("sites", {"chain": chain_id, "name": text})
    found = {ObjectId.parse(row["object_id"]) for row in rows if row["object_id"]}
    if not found:
        owner = connection.signer().address
        found = {site_id for site_id, name in await connection.chain.sites(owner) if name == text}
    if len(found) > 1:
        listed = ", ".join(str(site_id) for site_id in sorted(found))
        raise ConfigurationError("name_ambiguous", f"{len(found)} sites are named {text!r}: {listed}")
    if not found:
        raise BlockchainError("site_not_found", f"no site named {text!r:.120} on {connection.network.name}")
    return found.pop()


def _hex_id(text: str) -> ObjectId:
    if not text.startswith("0x"):
        raise CodecError("malformed", "a hex id begins with 0x")
    return ObjectId.parse(text)


def url_of(connection: Connection, site_id: ObjectId) -> str:
    """Return the address at which the network's portal serves a site."""
    return connection.network.portal.format(base36=site_id.base36)


async def verify(connection: Connection, text: str, how: Verify, feed: Feed) -> VerifyReport:
    """Read a site's files as visitors get them and compare each with the hash on chain.

    Raises `StorageError` ``verification_failed`` with the paths that are wrong.
    """
    site = await _read(connection, await find_site(connection, text))
    done, paths = choose(list(site.content.resources), [], how, str(site.site_id))
    feed.phase(Phase.VERIFY)
    await check_bytes(connection.store(DeployOptions()), connection.sleep, site, paths, feed)
    feed.phase(Phase.DONE)
    url, version = url_of(connection, site.site_id), await _version(connection, site)
    return VerifyReport(site.site_id, site.content.name, url, done, len(paths), version)


async def page(connection: Connection, text: str, path: str, max_size: int) -> Page | None:
    """Read one page of a site as the portal serves it, `None` when there is none; its bytes are those on chain.

    Raises `StorageError` ``content_mismatch``, ``answer_too_large`` beyond `max_size` bytes.
    """
    content = (await _read(connection, await find_site(connection, text))).content
    wanted = INDEX_PAGE if path == "/" else path
    decision = portal.resolve(wanted, content.resources.__contains__, content.routes, content.redirects)
    if not isinstance(decision, portal.Serve) or decision.status != 200:
        return None
    resource, body = content.resources[decision.path], bytearray()
    ref = portal.patch_of(resource) or resource.blob_id
    await connection.store(DeployOptions()).read(ref, body.extend, max_size=max_size)
    if hashlib.sha256(body).digest() != resource.blob_hash:
        raise StorageError("content_mismatch", f"{path}: the bytes served are not those on chain", path=path)
    headers = {name.lower(): value for name, value in resource.visible_headers.items()}
    return Page(decision.path, headers.get("content-type", "application/octet-stream"), bytes(body))


async def _read(connection: Connection, site_id: ObjectId) -> SiteSnapshot:
    site = await connection.chain.site(site_id)
    if site is None:
        text = f"no site {site_id} on {connection.network.name}"
        raise BlockchainError("site_not_found", text, site_id=str(site_id))
    return site


async def _version(connection: Connection, site: SiteSnapshot) -> int | None:
    rows = await connection.journal.rows("versions", {"site_id": str(site.site_id), "digest": str(site.digest)})
    return max((row["n"] for row in rows), default=None)
