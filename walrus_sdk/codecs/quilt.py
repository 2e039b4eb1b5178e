"""Quilt v1: many files in one blob, each in whole columns of the blob's matrix, with an index in front.

`layout` places files by their sizes alone (packing asks it thousands of times), `encode` writes them, `decode`
and `inspect` read a quilt as a careful reader does: everything is checked, nothing is believed.
Source: walrus-core `quilt_encoding.rs`; docs/explanation/formats.md (quilt).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from walrus_sdk.codecs.bcs import Reader, Writer, uleb
from walrus_sdk.codecs.redstuff import MAX_SYMBOL_SIZE, Buffer, geometry
from walrus_sdk.errors import CodecError, StorageError
from walrus_sdk.model.units import BlobId, QuiltPatchId

__all__ = [
    "MAX_INDEX_COLUMNS",
    "Layout",
    "Patch",
    "QuiltFile",
    "check_identifier",
    "column_size",
    "decode",
    "encode",
    "inspect",
    "layout",
    "max_patches",
    "patch_bytes",
    "patch_ids",
]

MAX_INDEX_COLUMNS = 10
_VERSION = b"\x01"
_INDEX_PREFIX = 5  # version, index length u32
_FILE_HEADER = 6  # version, length u32, mask
_MAX_IDENTIFIER = 65_531
_MAX_TAGS = 65_535

Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class QuiltFile:
    """One file to put into a quilt: identifier, bytes, tags."""

    identifier: str
    data: Buffer
    tags: Tags = field(default_factory=dict)


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
        return _VERSION + self.start.to_bytes(2, "little") + self.end.to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything goes: symbol and blob size in bytes, columns of the index, and the patches in index order."""

    n_shards: int
    symbol_size: int
    blob_size: int
    index_columns: int
    patches: tuple[Patch, ...]


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
    if any(unicodedata.category(char) == "Cc" for char in identifier):
        raise CodecError("identifier_invalid", f"control character in {identifier!r:.80}")
    if identifier != identifier.rstrip():
        raise CodecError("identifier_invalid", f"trailing whitespace in {identifier!r:.80}")


def _string(text: str) -> bytes:
    data = text.encode("utf-8")
    return uleb(len(data)) + data


def _tag_pairs(tags: Tags) -> list[tuple[bytes, bytes]]:
    """Return tags as BCS, sorted by the serialised key (its length prefix first)."""
    return sorted((_string(key), _string(value)) for key, value in tags.items())


def _tag_map(tags: Tags) -> bytes:
    return uleb(len(tags)) + b"".join(key + value for key, value in _tag_pairs(tags))


def _file_head(identifier: str, tags: Tags, size: int) -> bytes:
    """Return the header in front of a file's bytes."""
    name = _string(identifier)
    body = len(name).to_bytes(2, "little") + name
    if tags:
        tag_map = _tag_map(tags)
        if len(tag_map) > _MAX_TAGS:
            raise CodecError("malformed", f"tags of {identifier!r:.80}: expected at most 65535 bytes")
        body += len(tag_map).to_bytes(2, "little") + tag_map
    length = len(body) + size
    if length >= 2**32:
        raise StorageError("file_too_large", f"{identifier!r:.80} does not fit a quilt", found=size)
    return _VERSION + length.to_bytes(4, "little") + (b"\1" if tags else b"\0") + body


def _fit(sizes: Sequence[int], n_shards: int) -> int:
    """Return the least symbol size at which the index and all files find their columns."""
    shape = geometry(n_shards)
    rows, columns = shape.rows, shape.columns
    low = max(
        -(-sum(sizes) // shape.symbols),
        -(-sizes[0] // (MAX_INDEX_COLUMNS * rows)),
        -(-_INDEX_PREFIX // rows),
    )
    high = max(low, -(-max(sizes) // ((columns // len(sizes)) * rows)))
    array = np.asarray(sizes, dtype=np.int64)
    while low < high:
        middle = (low + high) // 2
        if int((-(-array // (middle * rows))).sum()) <= columns:
            high = middle
        else:
            low = middle + 1
    size = low + low % 2
    if size > MAX_SYMBOL_SIZE:
        raise StorageError("file_too_large", f"the files do not fit a quilt with {n_shards} shards", found=sum(sizes))
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
    order = sorted(range(len(identifiers)), key=lambda i: identifiers[i].encode("utf-8", "surrogatepass"))
    names = [identifiers[i] for i in order]
    _check_names(names, n_shards)
    heads = [len(_file_head(name, tags.get(name, {}), sizes[i])) for name, i in zip(names, order, strict=True)]
    index_size = len(uleb(len(names))) + sum(
        2 + len(_string(name)) + len(_tag_map(tags.get(name, {}))) for name in names
    )
    stored = [_INDEX_PREFIX + index_size, *(head + sizes[i] for head, i in zip(heads, order, strict=True))]
    symbol = _fit(stored, n_shards)
    shape = geometry(n_shards)
    column = symbol * shape.rows
    index_columns = -(-stored[0] // column)
    patches, start = [], index_columns
    for name, i, size in zip(names, order, stored[1:], strict=True):
        end = start + -(-size // column)
        patches.append(Patch(name, dict(tags.get(name, {})), start, end, sizes[i]))
        start = end
    assert start <= shape.columns, "the fit left a file without columns"
    return Layout(n_shards, symbol, shape.symbols * symbol, index_columns, tuple(patches))


def _check_names(names: Sequence[str], n_shards: int) -> None:
    if not names:
        raise CodecError("malformed", "a quilt needs at least one file")
    if len(names) > max_patches(n_shards):
        raise CodecError(
            "too_many_patches", f"expected at most {max_patches(n_shards)} files, found {len(names)}", found=len(names)
        )
    for name, following in zip(names, [*names[1:], None], strict=True):
        check_identifier(name)
        if name == following:
            raise CodecError("identifier_invalid", f"identifier stands twice: {name!r:.80}")


def encode(files: Sequence[QuiltFile], n_shards: int = 1000) -> bytes:
    """Return the quilt of `files` as the bytes of its blob; see `layout` for the errors.

    Memory besides the files: twice the quilt (its columns, and the blob that is their transpose).
    """
    plan = layout(
        [file.identifier for file in files],
        [len(file.data) for file in files],
        n_shards,
        tags={file.identifier: file.tags for file in files if file.tags},
    )
    shape = geometry(n_shards)
    column = plan.symbol_size * shape.rows
    columns = np.zeros(shape.columns * column, dtype=np.uint8)
    _put(columns, 0, _index(plan))
    by_name = {file.identifier: file for file in files}
    for patch in plan.patches:
        file = by_name[patch.identifier]
        head = _file_head(file.identifier, file.tags, len(file.data))
        _put(columns, patch.start * column, head)
        _put(columns, patch.start * column + len(head), file.data)
    # A column is one file's run of symbols; the blob is stored row by row.
    return columns.reshape(shape.columns, shape.rows, plan.symbol_size).swapaxes(0, 1).tobytes()


def _put(columns: np.ndarray[tuple[int], np.dtype[np.uint8]], at: int, data: Buffer) -> None:
    if len(data):
        columns[at : at + len(data)] = np.frombuffer(data, dtype=np.uint8)


def _index(plan: Layout) -> bytes:
    writer = Writer().uleb(len(plan.patches))
    for patch in plan.patches:
        writer.u16(patch.end).string(patch.identifier).raw(_tag_map(patch.tags))
    body = bytes(writer)
    return _VERSION + len(body).to_bytes(4, "little") + body


def patch_ids(quilt: BlobId, plan: Layout | Sequence[Patch]) -> dict[str, QuiltPatchId]:
    """Return each file's patch id by identifier."""
    patches = plan.patches if isinstance(plan, Layout) else plan
    return {patch.identifier: QuiltPatchId(quilt, patch.start, patch.end) for patch in patches}


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────


class _Columns:
    """A quilt's columns as byte strings, out of the row-major blob."""

    def __init__(self, blob: Buffer, n_shards: int) -> None:
        shape = geometry(n_shards)
        if not len(blob) or len(blob) % shape.symbols or len(blob) // shape.symbols > MAX_SYMBOL_SIZE:
            raise CodecError("not_a_quilt", f"{len(blob)} bytes are not a quilt with {n_shards} shards")
        symbol = len(blob) // shape.symbols
        self._grid = np.frombuffer(blob, dtype=np.uint8).reshape(shape.rows, shape.columns, symbol)
        self.count, self.size = shape.columns, shape.rows * symbol

    def read(self, start: int, end: int, limit: int | None = None) -> bytes:
        """Return columns start..end joined, or the first `limit` bytes of them."""
        end = end if limit is None else min(end, start + -(-limit // self.size))
        return self._grid[:, start:end].swapaxes(0, 1).tobytes()[:limit]


def _read_tags(reader: Reader) -> dict[str, str]:
    tags: dict[str, str] = {}
    last = b""
    for _ in range(reader.length()):
        key, value = reader.string(), reader.string()
        if tags and _string(key) <= last:
            raise CodecError("malformed", "tags are not in order")
        last = _string(key)
        tags[key] = value
    return tags


def _read_index(columns: _Columns) -> list[tuple[int, str, dict[str, str]]]:
    head = columns.read(0, min(columns.count, MAX_INDEX_COLUMNS), _INDEX_PREFIX)
    length = int.from_bytes(head[1:], "little")
    if len(head) < _INDEX_PREFIX or head[:1] != _VERSION or length > MAX_INDEX_COLUMNS * columns.size - _INDEX_PREFIX:
        raise CodecError("not_a_quilt", "there is no quilt index in front")
    body = columns.read(0, min(columns.count, MAX_INDEX_COLUMNS), _INDEX_PREFIX + length)[_INDEX_PREFIX:]
    if len(body) != length:
        raise CodecError("malformed", "the quilt index is cut off")
    reader = Reader(body)
    entries = [(reader.u16(), reader.string(), _read_tags(reader)) for _ in range(reader.length())]
    reader.end()
    return entries


def inspect(blob: Buffer, n_shards: int = 1000) -> list[Patch]:
    """Return the patches of a quilt in index order, checked against the files' own headers.

    Raises `CodecError` ``not_a_quilt`` or ``malformed``.
    """
    columns = _Columns(blob, n_shards)
    entries = _read_index(columns)
    start = -(-(_INDEX_PREFIX + _index_length(columns)) // columns.size)
    patches: list[Patch] = []
    seen: set[str] = set()
    for end, identifier, tags in entries:
        if not start < end <= columns.count or identifier in seen:
            raise CodecError("malformed", f"patch {identifier!r:.80} has no place of its own")
        check_identifier(identifier)
        size = _check_patch(columns, start, end, identifier, tags)
        patches.append(Patch(identifier, tags, start, end, size))
        seen.add(identifier)
        start = end
    return patches


def _index_length(columns: _Columns) -> int:
    return int.from_bytes(columns.read(0, MAX_INDEX_COLUMNS, _INDEX_PREFIX)[1:], "little")


def _check_patch(columns: _Columns, start: int, end: int, identifier: str, tags: dict[str, str]) -> int:
    head = _file_head(identifier, tags, 0)
    stored = columns.read(start, end, _FILE_HEADER)
    length = int.from_bytes(stored[1:5], "little")
    if -(-(_FILE_HEADER + length) // columns.size) != end - start:
        raise CodecError("malformed", f"patch {identifier!r:.80} does not fill its columns")
    found = columns.read(start, end, len(head))
    if found[:1] != _VERSION or found[5] & 1 != head[5] or found[_FILE_HEADER:] != head[_FILE_HEADER:]:
        raise CodecError("malformed", f"patch {identifier!r:.80} differs from its entry in the index")
    return length - (len(head) - _FILE_HEADER)


def decode(blob: Buffer, n_shards: int = 1000) -> list[QuiltFile]:
    """Return the files of a quilt in index order. Raises `CodecError` ``not_a_quilt`` or ``malformed``."""
    columns = _Columns(blob, n_shards)
    files = []
    for patch in inspect(blob, n_shards):
        head = len(_file_head(patch.identifier, patch.tags, 0))
        data = columns.read(patch.start, patch.end, head + patch.size)[head:]
        files.append(QuiltFile(patch.identifier, data, patch.tags))
    return files


def patch_bytes(blob: Buffer, start: int, end: int, n_shards: int = 1000) -> QuiltFile:
    """Return the file whose columns are ``[start, end)``, as an aggregator reads it: from its own header.

    Raises `CodecError` ``malformed`` when no file starts there or it does not end there.
    """
    columns = _Columns(blob, n_shards)
    if not 0 < start < end <= columns.count:
        raise CodecError("malformed", f"no columns {start}..{end}")
    head = columns.read(start, end, _FILE_HEADER)
    length = int.from_bytes(head[1:5], "little")
    if len(head) < _FILE_HEADER or head[:1] != _VERSION or -(-(_FILE_HEADER + length) // columns.size) != end - start:
        raise CodecError("malformed", f"no file at columns {start}..{end}")
    body = columns.read(start, end, _FILE_HEADER + length)[_FILE_HEADER:]
    reader = Reader(body)
    name = Reader(reader.raw(reader.u16()))
    identifier = name.string()
    name.end()
    check_identifier(identifier)
    tags: dict[str, str] = {}
    if head[5] & 1:
        tag_reader = Reader(reader.raw(reader.u16()))
        tags = _read_tags(tag_reader)
        tag_reader.end()
    return QuiltFile(identifier, body[reader.at :], tags)
