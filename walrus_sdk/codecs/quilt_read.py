"""Reading quilts as a careful reader does: everything is checked, nothing is believed.

Work and memory are bounded by the bytes given: lengths are compared with what is there before anything is read,
and `inspect` copies headers only. Source: walrus-core `quilt_encoding.rs`; docs/explanation/formats.md (quilt).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from walrus_sdk.codecs.bcs import Reader
from walrus_sdk.codecs.buffers import Buffer, flat
from walrus_sdk.codecs.quilt_layout import (
    FILE_HEADER,
    INDEX_PREFIX,
    MAX_INDEX_COLUMNS,
    VERSION,
    Patch,
    Tags,
    check_identifier,
    string,
)
from walrus_sdk.codecs.redstuff import MAX_SYMBOL_SIZE, geometry
from walrus_sdk.errors import CodecError

__all__ = ["QuiltFile", "decode", "inspect", "patch_bytes", "read_patch"]


@dataclass(frozen=True, slots=True)
class QuiltFile:
    """One file of a quilt, or to put into one: identifier, bytes, tags."""

    identifier: str
    data: Buffer
    tags: Tags = field(default_factory=dict)


class _Columns:
    """A quilt's columns as byte strings, out of the row-major blob."""

    def __init__(self, blob: Buffer, n_shards: int) -> None:
        shape, content = geometry(n_shards), flat(blob)
        symbol, rest = divmod(len(content), shape.symbols)
        # An odd symbol size divides too, but no encoder makes it: storage nodes would cut such a blob otherwise.
        if not symbol or rest or symbol % 2 or symbol > MAX_SYMBOL_SIZE:
            raise CodecError("not_a_quilt", f"{len(content)} bytes are not a quilt with {n_shards} shards")
        self._grid = content.reshape(shape.rows, shape.columns, symbol)
        self._symbol = symbol
        self.count, self.size = shape.columns, shape.rows * symbol

    def read(self, column: int, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` on of the run that begins at `column`; fewer where the quilt ends."""
        column, offset = column + offset // self.size, offset % self.size
        size = min(size, (self.count - column) * self.size - offset)
        parts: list[bytes] = []
        while size > 0:
            if offset or size < self.size:
                parts.append(self._cut(column, offset, min(offset + size, self.size)))
                taken = 1
            else:
                taken = size // self.size
                parts.append(self._grid[:, column : column + taken].swapaxes(0, 1).tobytes())
            size, column, offset = size - len(parts[-1]), column + taken, 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _cut(self, column: int, start: int, stop: int) -> bytes:
        """Return bytes ``start..stop`` of one column, reading no more rows than they lie in."""
        first = start // self._symbol
        rows = self._grid[first : -(-stop // self._symbol), column].tobytes()
        return rows[start - first * self._symbol : stop - first * self._symbol]


@dataclass(frozen=True, slots=True)
class _Head:
    """A file's header as it was found: where its bytes begin in its run of columns, and how many they are."""

    identifier: str
    tags: dict[str, str]
    data_at: int
    size: int

    @property
    def end(self) -> int:
        return self.data_at + self.size


def _read_head(read: Callable[[int, int], bytes], room: int) -> _Head:
    """Read the header of the file whose run is `read(offset, size)`, with `room` bytes to lie in."""
    fixed = read(0, FILE_HEADER + 2)
    if len(fixed) < FILE_HEADER + 2 or fixed[:1] != VERSION:
        raise CodecError("malformed", "there is no file header in front")
    end = FILE_HEADER + int.from_bytes(fixed[1:5], "little")
    if end > room:
        raise CodecError("malformed", f"a file of {end} bytes in columns of {room}", expected=room, found=end)
    at, size = FILE_HEADER + 2, int.from_bytes(fixed[6:8], "little")
    name = Reader(read(at, _within(at, size, end)))
    identifier = name.string()
    name.end()
    check_identifier(identifier)
    at += size
    tags: dict[str, str] = {}
    if fixed[5] & 1:  # other bits mean nothing today
        size = int.from_bytes(read(at, _within(at, 2, end)), "little")
        at += 2
        tag_map = Reader(read(at, _within(at, size, end)))
        tags = _read_tags(tag_map)
        tag_map.end()
        at += size
    return _Head(identifier, tags, at, end - at)


def _within(at: int, size: int, end: int) -> int:
    if at + size > end:
        raise CodecError("malformed", f"a header field of {size} bytes at {at} in a file of {end}")
    return size


def _read_tags(reader: Reader) -> dict[str, str]:
    tags: dict[str, str] = {}
    last = b""
    for _ in range(reader.length()):
        key, value = reader.string(), reader.string()
        if string(key) <= last:
            raise CodecError("malformed", "tags are not in order")
        last = string(key)
        tags[key] = value
    return tags


def _read_index(columns: _Columns) -> tuple[int, list[tuple[int, str, dict[str, str]]]]:
    """Return the number of columns that the index takes, and its entries (end, identifier, tags)."""
    room = min(columns.count, MAX_INDEX_COLUMNS) * columns.size
    head = columns.read(0, 0, INDEX_PREFIX)
    length = int.from_bytes(head[1:], "little")
    if len(head) < INDEX_PREFIX or head[:1] != VERSION or INDEX_PREFIX + length > room:
        raise CodecError("not_a_quilt", "there is no quilt index in front")
    reader = Reader(columns.read(0, INDEX_PREFIX, length))
    count = reader.length()
    if count >= columns.count:
        raise CodecError("malformed", f"{count} patches in {columns.count} columns")
    entries = [(reader.u16(), reader.string(), _read_tags(reader)) for _ in range(count)]
    reader.end()
    return -(-(INDEX_PREFIX + length) // columns.size), entries


def _head_at(columns: _Columns, start: int, end: int) -> _Head:
    """Return the header of the file that lies in columns ``[start, end)``: all of them, and no other."""
    head = _read_head(lambda offset, size: columns.read(start, offset, size), (end - start) * columns.size)
    if -(-head.end // columns.size) != end - start:
        raise CodecError("malformed", f"{head.identifier!r:.80} does not fill columns {start}..{end}")
    return head


def _patches(columns: _Columns) -> list[tuple[Patch, _Head]]:
    start, entries = _read_index(columns)
    found: list[tuple[Patch, _Head]] = []
    seen: set[str] = set()
    for end, identifier, tags in entries:
        if not start < end <= columns.count or identifier in seen:
            raise CodecError("malformed", f"patch {identifier!r:.80} has no place of its own")
        head = _head_at(columns, start, end)
        if (head.identifier, head.tags) != (identifier, tags):
            raise CodecError("malformed", f"patch {identifier!r:.80} differs from its entry in the index")
        found.append((Patch(identifier, tags, start, end, head.size), head))
        seen.add(identifier)
        start = end
    return found


def inspect(blob: Buffer, n_shards: int = 1000) -> list[Patch]:
    """Return the patches of a quilt in index order, checked against the files' own headers; no content is copied.

    Raises `CodecError` ``not_a_quilt``, ``malformed`` or ``identifier_invalid``.
    """
    return [patch for patch, _ in _patches(_Columns(blob, n_shards))]


def decode(blob: Buffer, n_shards: int = 1000) -> list[QuiltFile]:
    """Return the files of a quilt in index order; see `inspect` for the errors. Memory: the files' own size."""
    columns = _Columns(blob, n_shards)
    return [
        QuiltFile(patch.identifier, columns.read(patch.start, head.data_at, head.size), patch.tags)
        for patch, head in _patches(columns)
    ]


def patch_bytes(blob: Buffer, start: int, end: int, n_shards: int = 1000) -> QuiltFile:
    """Return the file whose columns are ``[start, end)``, as an aggregator reads it: from its own header.

    Raises `CodecError` ``not_a_quilt``; ``malformed`` when no file starts there or it does not end there;
    ``identifier_invalid``.
    """
    columns = _Columns(blob, n_shards)
    if not 0 < start < end <= columns.count:
        raise CodecError("malformed", f"no columns {start}..{end} in a quilt of {columns.count}")
    head = _head_at(columns, start, end)
    return QuiltFile(head.identifier, columns.read(start, head.data_at, head.size), head.tags)


def read_patch(run: Buffer) -> QuiltFile:
    """Return the file in `run`, the bytes of its columns joined (secondary slivers, top to bottom).

    Raises `CodecError` ``malformed`` or ``identifier_invalid``.
    """
    content = flat(run)
    head = _read_head(lambda offset, size: content[offset : offset + size].tobytes(), len(content))
    return QuiltFile(head.identifier, content[head.data_at : head.end].tobytes(), head.tags)
