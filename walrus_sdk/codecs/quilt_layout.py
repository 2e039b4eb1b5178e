"""Where the files of a quilt go, by their names, tags and sizes alone: packing asks this thousands of times.

Each file takes whole columns of the blob's matrix; the index lies in the first ones. `measure` reads names and tags
once, after which `blob_size` answers for any run of those files in a few dozen microseconds.
Source: walrus-core `quilt_encoding.rs`; docs/explanation/formats.md (quilt).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from walrus_sdk.codecs.bcs import uleb
from walrus_sdk.codecs.redstuff import MAX_SYMBOL_SIZE, geometry
from walrus_sdk.errors import CodecError, StorageError

__all__ = [
    "FILE_HEADER",
    "INDEX_PREFIX",
    "MAX_INDEX_COLUMNS",
    "VERSION",
    "Layout",
    "Measured",
    "Patch",
    "Tags",
    "blob_size",
    "check_identifier",
    "column_size",
    "file_head",
    "index_bytes",
    "layout",
    "max_patches",
    "measure",
    "string",
]

MAX_INDEX_COLUMNS = 10
"""The most columns that an index may take."""
VERSION = b"\x01"
INDEX_PREFIX = 5
"""Bytes in front of the index: version, and its length (u32)."""
FILE_HEADER = 6
"""Bytes in front of a file that its own length does not count: version, that length (u32), mask."""
_MAX_IDENTIFIER = 65_531
_MAX_TAGS = 65_535
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # Unicode's category Cc, which is closed for good

Tags: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Patch:
    """One file of a quilt: columns ``[start, end)``; `size` is that of the file in bytes."""

    identifier: str
    tags: Tags
    start: int
    end: int
    size: int

    @property
    def internal_id(self) -> bytes:
        """The 5 bytes that name the patch inside its quilt."""
        return VERSION + self.start.to_bytes(2, "little") + self.end.to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything goes: symbol and blob size in bytes, columns of the index, and the patches in index order."""

    n_shards: int
    symbol_size: int
    blob_size: int
    index_columns: int
    patches: tuple[Patch, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What each file takes in bytes: `stored` in its columns (header and content), `entries` in the index."""

    stored: NDArray[np.int64]
    entries: NDArray[np.int64]


def max_patches(n_shards: int) -> int:
    """Return the most files that a quilt holds: one column each, and one for the index."""
    return geometry(n_shards).columns - 1


def column_size(blob_size: int, n_shards: int) -> int:
    """Return the bytes of one column of a quilt of `blob_size` bytes."""
    return blob_size // geometry(n_shards).columns


def check_identifier(identifier: str) -> None:
    """Raise `CodecError` ``identifier_invalid`` unless Walrus takes it: no control characters, no trailing space."""
    try:
        size = len(identifier.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise CodecError("identifier_invalid", f"not valid Unicode: {identifier!r:.80}") from error
    if not 1 <= size <= _MAX_IDENTIFIER:
        raise CodecError("identifier_invalid", f"expected 1 to {_MAX_IDENTIFIER} bytes, found {size}")
    if _CONTROL.search(identifier):
        raise CodecError("identifier_invalid", f"control character in {identifier!r:.80}")
    if identifier != identifier.rstrip():
        raise CodecError("identifier_invalid", f"trailing whitespace in {identifier!r:.80}")


def string(text: str) -> bytes:
    """Return `text` as a BCS string. Raises `CodecError` ``malformed`` for lone surrogates."""
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CodecError("malformed", f"not valid Unicode: {text!r:.80}") from error
    return uleb(len(data)) + data


def _tag_map(tags: Tags) -> bytes:
    """Return tags as a BCS map: sorted by the serialised key, whose length prefix comes first."""
    if not tags:
        return b"\0"
    pairs = sorted((string(key), string(value)) for key, value in tags.items())
    return uleb(len(pairs)) + b"".join(key + value for key, value in pairs)


def file_head(identifier: str, tags: Tags, size: int) -> bytes:
    """Return the header in front of a file of `size` bytes.

    Raises `CodecError` ``malformed`` for tags over 65,535 bytes, `StorageError` ``file_too_large`` from 4 GiB on.
    """
    name = string(identifier)
    body = len(name).to_bytes(2, "little") + name
    if tags:
        tag_map = _tag_map(tags)
        if len(tag_map) > _MAX_TAGS:
            raise CodecError(
                "malformed", f"tags of {identifier!r:.80}: expected at most {_MAX_TAGS} bytes, found {len(tag_map)}"
            )
        body += len(tag_map).to_bytes(2, "little") + tag_map
    length = len(body) + size
    if length >= 2**32:
        raise StorageError("file_too_large", f"{identifier!r:.80} does not fit a quilt", found=size)
    return VERSION + length.to_bytes(4, "little") + (b"\1" if tags else b"\0") + body


def index_bytes(plan: Layout) -> bytes:
    """Return the index with its prefix, as it stands from the quilt's first column on."""
    body = uleb(len(plan.patches)) + b"".join(
        patch.end.to_bytes(2, "little") + string(patch.identifier) + _tag_map(patch.tags) for patch in plan.patches
    )
    return VERSION + len(body).to_bytes(4, "little") + body


def measure(identifiers: Sequence[str], sizes: Sequence[int], *, tags: Mapping[str, Tags] | None = None) -> Measured:
    """Measure files by identifier, size (bytes) and tags, in the order given; for `blob_size`.

    Raises `CodecError` ``identifier_invalid`` or ``malformed``, `StorageError` ``file_too_large``.
    """
    tags = tags or {}
    stored, entries = [], []
    for identifier, size in zip(identifiers, sizes, strict=True):
        check_identifier(identifier)
        own = tags.get(identifier, {})
        stored.append(len(file_head(identifier, own, size)) + size)
        entries.append(2 + len(string(identifier)) + len(_tag_map(own)))
    return Measured(np.asarray(stored, dtype=np.int64), np.asarray(entries, dtype=np.int64))


def blob_size(measured: Measured, n_shards: int = 1000, start: int = 0, stop: int | None = None) -> int:
    """Return the size in bytes of a quilt of the files ``start..stop``, in whatever order they stand.

    Raises `CodecError` ``malformed`` (no file) or ``too_many_patches``, `StorageError` ``file_too_large``.
    """
    stored, entries = measured.stored[start:stop], measured.entries[start:stop]
    return geometry(n_shards).symbols * _symbol_size(stored, _index_size(entries), n_shards)


def _index_size(entries: NDArray[np.int64]) -> int:
    return INDEX_PREFIX + len(uleb(len(entries))) + int(entries.sum())


def _check_count(count: int, n_shards: int) -> None:
    if not count:
        raise CodecError("malformed", "a quilt needs at least one file")
    if count > max_patches(n_shards):
        raise CodecError(
            "too_many_patches", f"expected at most {max_patches(n_shards)} files, found {count}", found=count
        )


def _symbol_size(stored: NDArray[np.int64], index: int, n_shards: int) -> int:
    """Return the least even symbol size at which an index of `index` bytes and all files find their columns."""
    _check_count(len(stored), n_shards)
    shape = geometry(n_shards)
    rows, columns = shape.rows, shape.columns
    total = index + int(stored.sum())
    low = max(-(-total // shape.symbols), -(-index // (MAX_INDEX_COLUMNS * rows)), -(-INDEX_PREFIX // rows))
    high = max(low, -(-max(index, int(stored.max())) // ((columns // (1 + len(stored))) * rows)))
    while low < high:
        middle = (low + high) // 2
        column = middle * rows
        if -(-index // column) - int((-stored // column).sum()) <= columns:
            high = middle
        else:
            low = middle + 1
    size = low + low % 2
    if size > MAX_SYMBOL_SIZE:
        raise StorageError("file_too_large", f"the files do not fit a quilt with {n_shards} shards", found=total)
    return size


def layout(
    identifiers: Sequence[str],
    sizes: Sequence[int],
    n_shards: int = 1000,
    *,
    tags: Mapping[str, Tags] | None = None,
) -> Layout:
    """Place files by identifier and size (bytes), without their content; `tags` by identifier.

    Raises `CodecError` ``identifier_invalid``, ``too_many_patches`` or ``malformed`` (no file, a double
    identifier), `StorageError` ``file_too_large``.
    """
    tags = tags or {}
    _check_count(len(identifiers), n_shards)
    measured = measure(identifiers, sizes, tags=tags)
    order = sorted(range(len(identifiers)), key=identifiers.__getitem__)
    for one, other in pairwise(order):
        if identifiers[one] == identifiers[other]:
            raise CodecError("identifier_invalid", f"identifier stands twice: {identifiers[one]!r:.80}")
    index = _index_size(measured.entries)
    symbol = _symbol_size(measured.stored, index, n_shards)
    shape = geometry(n_shards)
    column = symbol * shape.rows
    taken = (-(-measured.stored // column)).tolist()
    patches, start = [], -(-index // column)
    index_columns = start
    for i in order:
        end = start + taken[i]
        patches.append(Patch(identifiers[i], dict(tags.get(identifiers[i], {})), start, end, sizes[i]))
        start = end
    assert start <= shape.columns, "the fit left a file without columns"
    return Layout(n_shards, symbol, shape.symbols * symbol, index_columns, tuple(patches))
