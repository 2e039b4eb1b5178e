"""What workers compute, threads or processes: plain values in, plain values out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from walrus_sdk.codecs import quilt, redstuff

__all__ = ["blob_name", "quilt_name"]


def blob_name(data: bytes | bytearray, n_shards: int) -> bytes:
    """Return the 32 bytes of the blob id of `data`."""
    return redstuff.blob_id(data, n_shards).raw


def quilt_name(
    identifiers: Sequence[str], contents: Sequence[bytes | bytearray], n_shards: int
) -> tuple[bytes, list[list[int]]]:
    """Return the 32 bytes of a quilt's blob id, and ``[start, end]`` of each file in the order given."""
    files = [quilt.QuiltFile(name, data) for name, data in zip(identifiers, contents, strict=True)]
    plan = quilt.layout_of(files, n_shards)
    blob = np.empty(plan.blob_size, dtype=np.uint8).data  # filled below, so not with zeros first
    quilt.encode_into(blob, files, plan)
    places = {patch.identifier: [patch.start, patch.end] for patch in plan.patches}
    return redstuff.blob_id(blob, n_shards).raw, [places[name] for name in identifiers]
