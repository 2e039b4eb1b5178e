"""What old quilts still hold for a site: appending never rewrites one, so in time they hold what no page uses.

Stored bytes are paid until their end epoch, used or not; waste costs when a quilt is extended for the few pages that it
still has. The offer to repack compares exactly that: extending the sparse quilts, or storing their pages anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from walrus_sdk.codecs.cost import extension_cost
from walrus_sdk.model.network import Prices
from walrus_sdk.model.plan import Entry, StoreOperation
from walrus_sdk.model.site import Resource
from walrus_sdk.model.units import BlobId, Frost

__all__ = ["SPARSE", "Quilt", "Waste", "measure", "offer"]

SPARSE = 0.5
"""A quilt of whose bytes no more than this share belongs to pages is sparse."""


@dataclass(frozen=True, slots=True)
class Quilt:
    """A stored quilt as the journal knows it: bytes of its files (`held`), bytes of the assembled blob (`size`)."""

    held: int
    size: int


@dataclass(frozen=True, slots=True)
class Waste:
    """The sparse quilts of a site: by id what is stored, and by SHA-256 the content that is still wanted from them."""

    quilts: Mapping[BlobId, Quilt]
    wanted: Mapping[bytes, int]

    @property
    def share(self) -> float:
        """The share of their bytes that no page uses; 0 without any."""
        held = sum(quilt.held for quilt in self.quilts.values())
        return 1 - sum(self.wanted.values()) / held if held else 0.0


def measure(entries: Iterable[Entry], there: Collection[Resource], quilts: Mapping[BlobId, Quilt]) -> Waste:
    """Return which of a site's quilts are sparse, once it has these entries.

    `there` are its resources as they are, `quilts` what is known of quilts. One that is not known is not judged, and
    one of which nothing is wanted need not be extended: it is left already.
    """
    sizes = {entry.sha256: entry.size for entry in entries}
    used: dict[BlobId, dict[bytes, int]] = {}
    for resource in there:
        if resource.blob_id in quilts and resource.patch is not None:
            content = used.setdefault(resource.blob_id, {})
            if resource.blob_hash in sizes:
                content[resource.blob_hash] = sizes[resource.blob_hash]
    sparse = {name for name, content in used.items() if content and sum(content.values()) <= quilts[name].held * SPARSE}
    wanted = {sha256: size for name in sparse for sha256, size in used[name].items()}
    return Waste({name: quilts[name] for name in sparse}, wanted)


def offer(waste: Waste, stores: Sequence[StoreOperation], n_shards: int, epochs: int, prices: Prices) -> str | None:
    """Return the offer to repack, in words; `None` where it does not pay.

    `stores` would hold the wanted content anew. It pays when they cost less than the extension of the sparse quilts by
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
