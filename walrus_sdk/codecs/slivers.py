"""Slivers: what each shard keeps of a blob. Nothing here is needed to name, store or read a blob.

Primary sliver i is row i of the matrix, secondary sliver j is column j; pair i joins primary i and secondary n-1-i,
and the pairs are dealt to the shards from an offset that the blob id gives.
Source: walrus-core `encoding/blob_encoding.rs`, `mapping.rs`; docs/explanation/formats.md (RedStuff).
"""

from __future__ import annotations

from dataclasses import dataclass

from walrus_sdk.codecs.buffers import Buffer
from walrus_sdk.codecs.redstuff import blob_id, geometry, grid, pair_shard, sliver_bcs

__all__ = ["SliverPair", "slivers"]


@dataclass(frozen=True, slots=True)
class SliverPair:
    """The two slivers that one shard keeps: C*s bytes of a row, R*s bytes of a column, with s the symbol size."""

    index: int
    shard: int
    n_shards: int
    symbol_size: int
    primary: bytes
    secondary: bytes

    def primary_bcs(self) -> bytes:
        """Return the primary sliver as storage nodes serve it."""
        return sliver_bcs(self.primary, self.symbol_size, self.index)

    def secondary_bcs(self) -> bytes:
        """Return the secondary sliver as storage nodes serve it."""
        return sliver_bcs(self.secondary, self.symbol_size, self.n_shards - 1 - self.index)


def slivers(data: Buffer, n_shards: int) -> list[SliverPair]:
    """Return all pairs of a blob in pair order; the errors are those of `blob_id`.

    Memory: n*n*s for the whole grid, and the slivers themselves. Meant for checks with small blobs.
    """
    symbols, shape, name = grid(data, n_shards), geometry(n_shards), blob_id(data, n_shards)
    return [
        SliverPair(
            index,
            pair_shard(name, index, n_shards),
            n_shards,
            symbols.shape[2],
            symbols[index, : shape.columns].tobytes(),
            symbols[: shape.rows, n_shards - 1 - index].tobytes(),
        )
        for index in range(n_shards)
    ]
