"""A Walrus Site as values: what the chain holds, and what a version of a site is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from walrus_sdk.model.units import BlobId, Digest, ObjectId, QuiltPatchId, SuiAddress

__all__ = ["PATCH_HEADER", "ByteRange", "Metadata", "Redirect", "Resource", "SiteContent", "SiteSnapshot"]

PATCH_HEADER = "x-wal-quilt-patch-internal-id"
"""Header of a resource that lives in a quilt: ``0x`` + the 5-byte internal patch id in hex."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of a blob, both ends inclusive; `None` leaves an end open."""

    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class Resource:
    """One path of a site as the chain records it.

    `path` is the site path with its leading ``/`` (not percent-encoded), `headers` are in stored order,
    `blob_hash` is the SHA-256 of the bytes served, `blob_id` names the blob or the quilt that holds them.
    """

    path: str
    headers: tuple[tuple[str, str], ...]
    blob_id: BlobId
    blob_hash: bytes
    range: ByteRange | None = None

    @property
    def patch(self) -> QuiltPatchId | None:
        """The quilt patch that holds the bytes; `None` for a plain blob. Raises `CodecError` for a bad header."""
        for name, value in self.headers:
            if name == PATCH_HEADER:
                return QuiltPatchId.from_internal(self.blob_id, _hex(value))
        return None

    @property
    def visible_headers(self) -> dict[str, str]:
        """The headers without the patch header."""
        return {name: value for name, value in self.headers if name != PATCH_HEADER}


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        return b""


@dataclass(frozen=True, slots=True)
class Redirect:
    """An answer with a Location: `status` is one of 301, 302, 303, 307, 308."""

    location: str
    status: int


@dataclass(frozen=True, slots=True)
class Metadata:
    """What wallets and explorers show for a site; each field is optional."""

    link: str | None = None
    image_url: str | None = None
    description: str | None = None
    project_url: str | None = None
    creator: str | None = None


@dataclass(frozen=True, slots=True)
class SiteContent:
    """Everything that makes one state of a site: name, metadata, resources by path, routes, redirects.

    Routes and redirects are pairs in stored order (the order decides ties); `None` means that the table does
    not exist on chain, which portals treat like an empty one.
    """

    name: str
    metadata: Metadata = Metadata()
    resources: Mapping[str, Resource] = field(default_factory=dict)
    routes: tuple[tuple[str, str], ...] | None = None
    redirects: tuple[tuple[str, Redirect], ...] | None = None


@dataclass(frozen=True, slots=True)
class SiteSnapshot:
    """A site as read from the chain at one version of its object."""

    site_id: ObjectId
    version: int
    digest: Digest
    owner: SuiAddress | None
    content: SiteContent
