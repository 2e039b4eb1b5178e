"""What old quilts still hold for a site: appending never rewrites one, so in time they hold what no page uses.

Stored bytes are paid until their end epoch, used or not; waste costs when a quilt is extended for the few pages that it
still has. The offer to repack compares exactly that: extending the sparse quilts, or storing their pages anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from walrus_sdk.codecs.cost import extension_cost
from walrus_sdk.model.network import Prices
from walrus_sdk.model.plan import StoreOperation
from walrus_sdk.model.site import Resource
from walrus_sdk.model.units import BlobId, Frost

__all__ = ["SPARSE", "Quilt", "Waste", "measure", "offer"]

SPARSE = 0.5
"""A quilt of whose content no more than this share is used is sparse."""


@dataclass(frozen=True, slots=True)
class Quilt:
    """A stored quilt as the journal knows it: bytes of each content in it, by SHA-256, and of the assembled blob."""

    contents: Mapping[bytes, int]
    size: int

    def used(self, wanted: Collection[bytes]) -> int:
        """Bytes of its contents that are wanted."""
        return sum(size for sha256, size in self.contents.items() if sha256 in wanted)

    @property
    def held(self) -> int:
        """Bytes of its contents."""
        return sum(self.contents.values())


@dataclass(frozen=True, slots=True)
class Waste:
    """The sparse quilts that a site's pages are in, by id, and the pages: their SHA-256. `share`: what nobody uses."""

    quilts: Mapping[BlobId, Quilt]
    pages: Collection[bytes]
    share: float


def measure(
    pages: Collection[bytes], others: Collection[bytes], there: Iterable[Resource], quilts: Mapping[BlobId, Quilt]
) -> Waste:
    """Return which of a site's quilts are sparse, once it has these pages (SHA-256 of their contents).

    `others` is what is used beside them: pages that stay for a time, pages of other sites. `there` are the site's
    resources as they are, `quilts` what is known of quilts. One that is not known is not judged, and one that none of
    the pages is in need not be extended for this site: it is left already.
    """
    homes: dict[BlobId, set[bytes]] = {}
    for resource in there:
        if resource.blob_id in quilts and resource.patch is not None and resource.blob_hash in pages:
            homes.setdefault(resource.blob_id, set()).add(resource.blob_hash)
    used = frozenset(pages) | frozenset(others)
    sparse = {name for name in homes if quilts[name].used(used) <= quilts[name].held * SPARSE}
    held = sum(quilts[name].held for name in sparse)
    share = 1 - sum(quilts[name].used(used) for name in sparse) / held if held else 0.0
    moved = frozenset().union(*(homes[name] for name in sparse)) if sparse else frozenset[bytes]()
    return Waste({name: quilts[name] for name in sparse}, moved, share)


def offer(waste: Waste, stores: Sequence[StoreOperation], n_shards: int, epochs: int, prices: Prices) -> str | None:
    """Return the offer to repack, in words; `None` where it does not pay.

    `stores` would hold the pages anew. It pays when they cost less than the extension of the sparse quilts by
    as many epochs.
    """
    anew = sum((store.cost for store in stores), Frost())
    extended = sum((extension_cost(quilt.size, n_shards, epochs, prices) for quilt in waste.quilts.values()), Frost())
    if not waste.quilts or not anew < extended:
        return None
    return (
        f"{waste.share:.0%} of the content of old quilts belongs to no page: --repack stores the rest anew for {anew}; "
        f"to extend it where it is, in {len(waste.quilts)} quilts, costs {extended}"
    )
