"""Quilt v1: many files in one blob, each in whole columns of the blob's matrix, with an index in front.

`layout` places files by their sizes alone, `encode` writes them, `inspect` and `decode` read a quilt and believe
nothing. This module is the face of three: placing is `quilt_layout`, reading is `quilt_read`, writing is here.
Source: walrus-core `quilt_encoding.rs`; docs/explanation/formats.md (quilt).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from walrus_sdk.codecs.buffers import flat
from walrus_sdk.codecs.quilt_layout import (
    MAX_INDEX_COLUMNS,
    Layout,
    Measured,
    Patch,
    Tags,
    blob_size,
    check_identifier,
    column_size,
    file_head,
    index_bytes,
    layout,
    max_patches,
    measure,
)
from walrus_sdk.codecs.quilt_read import QuiltFile, decode, inspect, patch_bytes, read_patch
from walrus_sdk.codecs.redstuff import geometry
from walrus_sdk.errors import CodecError
from walrus_sdk.model.units import BlobId, QuiltPatchId

__all__ = [
    "MAX_INDEX_COLUMNS",
    "Layout",
    "Measured",
    "Patch",
    "QuiltFile",
    "Tags",
    "blob_size",
    "check_identifier",
    "column_size",
    "decode",
    "encode",
    "encode_into",
    "inspect",
    "layout",
    "layout_of",
    "max_patches",
    "measure",
    "patch_bytes",
    "patch_ids",
    "read_patch",
]


def layout_of(files: Sequence[QuiltFile], n_shards: int = 1000) -> Layout:
    """Return where `files` go; see `layout` for the errors."""
    return layout(
        [file.identifier for file in files],
        [len(flat(file.data)) for file in files],
        n_shards,
        tags={file.identifier: file.tags for file in files if file.tags},
    )


def encode(files: Sequence[QuiltFile], n_shards: int = 1000) -> bytes:
    """Return the quilt of `files` as the bytes of its blob; see `layout` for the errors.

    Memory besides the files: twice the quilt. With `layout_of` and `encode_into` it is the quilt once.
    """
    plan = layout_of(files, n_shards)
    blob = bytearray(plan.blob_size)
    encode_into(blob, files, plan)
    return bytes(blob)


def encode_into(blob: bytearray | memoryview, files: Sequence[QuiltFile], plan: Layout) -> None:
    """Write the quilt of `files`, placed by `plan`, into `blob`: all of its `plan.blob_size` bytes, in one copy.

    Raises `CodecError` ``malformed`` when `blob` has another size, or when the files are not those of the plan.
    """
    shape, target = geometry(plan.n_shards), np.frombuffer(blob, dtype=np.uint8)
    by_name = {file.identifier: file for file in files}
    names = {patch.identifier for patch in plan.patches}
    if len(target) != plan.blob_size or len(files) != len(names) or by_name.keys() != names:
        raise CodecError("malformed", f"the plan places {len(names)} other files in {plan.blob_size} bytes")
    target[:] = 0
    grid = target.reshape(shape.rows, shape.columns, plan.symbol_size)
    _place(grid, 0, plan.index_columns, index_bytes(plan), flat(b""))
    for patch in plan.patches:
        file = by_name[patch.identifier]
        data = flat(file.data)
        if len(data) != patch.size or dict(file.tags) != patch.tags:
            name = f"{patch.identifier!r:.80}"
            raise CodecError("malformed", f"{name} is not the one planned", expected=patch.size, found=len(data))
        _place(grid, patch.start, patch.end, file_head(patch.identifier, patch.tags, len(data)), data)


def _place(grid: NDArray[np.uint8], start: int, end: int, head: bytes, data: NDArray[np.uint8]) -> None:
    """Write `head` and `data`, one behind the other, down the columns from `start` on; they must take all to `end`.

    Columns that hold data only are filled from where the data lies; the first and the last ones go through a copy.
    """
    rows, _, symbol = grid.shape
    size = rows * symbol
    if -(-(len(head) + len(data)) // size) != end - start:
        raise CodecError("malformed", f"{len(head) + len(data)} bytes do not fill columns {start}..{end}")
    first = -(-len(head) // size)
    whole = max(0, len(head) + len(data) - first * size) // size
    cut = first * size - len(head)
    inner = data[cut : cut + whole * size]
    _fill(grid, start, np.concatenate((np.frombuffer(head, dtype=np.uint8), data[:cut])))
    _fill(grid, start + first, inner)
    _fill(grid, start + first + whole, data[cut + len(inner) :])


def _fill(grid: NDArray[np.uint8], column: int, run: NDArray[np.uint8]) -> None:
    rows, _, symbol = grid.shape
    count = -(-len(run) // (rows * symbol))
    if count * rows * symbol != len(run):
        run = np.concatenate((run, np.zeros(count * rows * symbol - len(run), dtype=np.uint8)))
    grid[:, column : column + count] = run.reshape(count, rows, symbol).swapaxes(0, 1)


def patch_ids(quilt: BlobId, plan: Layout | Sequence[Patch]) -> dict[str, QuiltPatchId]:
    """Return each file's patch id by identifier."""
    patches = plan.patches if isinstance(plan, Layout) else plan
    return {patch.identifier: QuiltPatchId(quilt, patch.start, patch.end) for patch in patches}
