"""RedStuff (encoding type RS2): sizes, slivers, Merkle roots and the blob id of any bytes, for any number of shards.

The bytes fill a matrix of R x C symbols row by row; every row and every column is extended to n symbols with
Reed-Solomon repair symbols; the id commits to all of them. Source: walrus-core `encoding/`, `metadata.rs`;
docs/explanation/formats.md (RedStuff).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from walrus_sdk.codecs import leopard, merkle, tiers
from walrus_sdk.codecs.bcs import uleb
from walrus_sdk.codecs.buffers import Buffer, flat
from walrus_sdk.errors import CodecError, StorageError
from walrus_sdk.model.units import BlobId

__all__ = [
    "MAX_SYMBOL_SIZE",
    "Buffer",
    "Geometry",
    "Metadata",
    "blob_id",
    "encoded_size",
    "geometry",
    "grid",
    "max_blob_size",
    "metadata",
    "pair_shard",
    "sliver_bcs",
    "storage_units",
    "symbol_size",
]

MAX_SYMBOL_SIZE = 65534
_UNIT = 1024 * 1024
_ENCODING = b"\x01"  # RS2
_LANES = 1 << 19  # elements of one codec call: near the best speed, and a few MB of working memory
_ALONE = 1 << 20  # bytes of encoded size up to which a thread more costs more than it saves
_GROUP = 64  # columns of one group at most: bounds the leaf hashes held as objects of their own


@dataclass(frozen=True, slots=True)
class Geometry:
    """The shape that a number of shards gives: `rows` (R, primary) times `columns` (C, secondary) source symbols."""

    n_shards: int
    faulty: int
    rows: int
    columns: int

    @property
    def symbols(self) -> int:
        """Source symbols of a blob."""
        return self.rows * self.columns


@cache
def geometry(n_shards: int) -> Geometry:
    """Return the shape for `n_shards` (1 to 65,535): f = (n-1)//3, R = n-2f, C = n-f. Raises `CodecError`."""
    if not 1 <= n_shards <= 0xFFFF:
        raise CodecError("malformed", f"expected 1 to 65535 shards, found {n_shards}")
    faulty = (n_shards - 1) // 3
    return Geometry(n_shards, faulty, n_shards - 2 * faulty, n_shards - faulty)


def symbol_size(length: int, n_shards: int) -> int:
    """Return the symbol size in bytes (even) for `length` bytes. Raises `StorageError` ``file_too_large``."""
    size = -(-max(length, 1) // geometry(n_shards).symbols)
    size += size % 2
    if size > MAX_SYMBOL_SIZE:
        raise StorageError(
            "file_too_large",
            f"expected at most {max_blob_size(n_shards)} bytes with {n_shards} shards, found {length}",
            expected=max_blob_size(n_shards),
            found=length,
        )
    return size


def max_blob_size(n_shards: int) -> int:
    """Return the largest blob in bytes: R * C * 65,534."""
    return geometry(n_shards).symbols * MAX_SYMBOL_SIZE


def encoded_size(length: int, n_shards: int) -> int:
    """Return what a blob of `length` bytes occupies on all nodes, metadata included: n*((R+C)*s + 64*n + 32) bytes."""
    shape = geometry(n_shards)
    return n_shards * ((shape.rows + shape.columns) * symbol_size(length, n_shards) + 64 * n_shards + 32)


def storage_units(length: int, n_shards: int) -> int:
    """Return the storage units (MiB of encoded size, rounded up) that a blob of `length` bytes is priced by."""
    return -(-encoded_size(length, n_shards) // _UNIT)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What commits to a blob: length in bytes, and per sliver pair the roots of its primary and secondary sliver."""

    unencoded_length: int
    pairs: tuple[tuple[bytes, bytes], ...]

    @property
    def root_hash(self) -> bytes:
        """The Merkle root over the pairs, in pair order."""
        return merkle.root([primary + secondary for primary, secondary in self.pairs])

    @property
    def blob_id(self) -> BlobId:
        """BLAKE2b-256 of encoding type, length (u64 LE) and root."""
        body = _ENCODING + self.unencoded_length.to_bytes(8, "little") + self.root_hash
        return BlobId(blake2b(body, digest_size=32).digest())

    def to_bcs(self) -> bytes:
        """Return the metadata with its id, in BCS, as storage nodes serve it."""
        head = self.blob_id.raw + b"\0" + _ENCODING + self.unencoded_length.to_bytes(8, "little")
        return head + uleb(len(self.pairs)) + b"".join(b"\1" + first + b"\1" + second for first, second in self.pairs)


def blob_id(data: Buffer, n_shards: int = 1000, *, threads: int = 0, tier: str | None = None) -> BlobId:
    """Return the id under which Walrus stores `data`; a memory map is read in place.

    `tier` is one of `tiers.available()`, by default the first; `threads` (0: one a processor, at most 4) are those of
    the compiled tier, which leaves the interpreter free meanwhile. Raises `StorageError` ``file_too_large``,
    `CodecError` ``malformed`` for a number of shards that has no code.
    Memory besides `data`, in bytes, with s the symbol size: R*(n-C)*s for the repair columns (about half the blob), and

    - compiled: 32*n*n/W with W hashes at a time (8, 4 or 2), C*s for one row, 2 MB for a leaf table, 128 for each of
      at most 65,536 factors of the code, and W*n*(s+32) for a group of columns in each thread;
    - pure: 32*n*n for leaf hashes, at most R*C*s of padding (small blobs; large ones: one row), 20 MB for one group of
      columns. Measured at 1000 shards: 44 MB for a blob of 1 KB, 67 MB for one of 10 MB, 100 MB for one of 100 MB.

    Time: 3*n*n hashes at most, and the codec's share, which grows with `data`.
    """
    return metadata(data, n_shards, threads=threads, tier=tier).blob_id


def metadata(data: Buffer, n_shards: int = 1000, *, threads: int = 0, tier: str | None = None) -> Metadata:
    """Return the metadata of `data`; see `blob_id` for errors, memory and time."""
    content, shape = flat(data), geometry(n_shards)
    symbol_size(len(content), n_shards)  # refuses what is too large
    for k in (shape.rows, shape.columns):
        leopard.check_code(k, n_shards - k)
    native = None if tier == tiers.PURE else tiers.compiled()
    if native is None and tier not in (tiers.PURE, None):
        raise ValueError(f"expected a tier of {tiers.available()}, found {tier!r}")
    if native is None:
        return _metadata(content, n_shards)
    if not threads and encoded_size(len(content), n_shards) < _ALONE:
        threads = 1
    roots = native.roots(content, n_shards, threads, tier)
    pairs = ((roots[at : at + 32], roots[at + 32 : at + 64]) for at in range(0, len(roots), 64))
    return Metadata(len(content), tuple(pairs))


def _metadata(content: NDArray[np.uint8], n_shards: int) -> Metadata:
    """Return the metadata of `content` by the pure tier."""
    source = _matrix(content, n_shards)
    rows, size = source.shape.rows, source.symbol_size
    repaired = _repair_columns(source)
    leaves = np.empty((n_shards, n_shards, 32), dtype=np.uint8)
    secondary: list[bytes] = []
    zero_leaf = merkle.hash_leaf(bytes(size))
    step = max(1, min(_GROUP, _LANES // (rows * size // 2)))
    for start in range(0, n_shards, step):
        columns = _columns(source, repaired, start, min(start + step, n_shards))
        hashes = _hash_leaves(columns)
        leaves[:, start : start + hashes.shape[1]] = hashes
        turned = np.ascontiguousarray(hashes.swapaxes(0, 1))
        secondary.extend(merkle.root_of_hashes(column.tobytes(), zero_leaf) for column in turned)
    del source, repaired
    primary = _row_roots(leaves, zero_leaf)
    return Metadata(len(content), tuple((primary[i], secondary[n_shards - 1 - i]) for i in range(n_shards)))


def grid(data: Buffer, n_shards: int) -> NDArray[np.uint8]:
    """Return all n x n symbols, shape (n, n, symbol size): for checks with small blobs, as it holds all at once."""
    source = _matrix(flat(data), n_shards)
    return _columns(source, _repair_columns(source), 0, n_shards)


def pair_shard(blob: BlobId, pair: int, n_shards: int) -> int:
    """Return the shard that keeps sliver pair `pair`: pairs are rotated by the id read as a big-endian number."""
    return (pair + int.from_bytes(blob.raw, "big")) % n_shards


def sliver_bcs(data: bytes, symbol_size: int, index: int) -> bytes:
    """Return a sliver in BCS: its bytes, the symbol size (u16) and its own index (u16)."""
    return uleb(len(data)) + data + symbol_size.to_bytes(2, "little") + index.to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class _Matrix:
    """The R x C source symbols: whole rows where the caller has them, and a copy of the rest, padded with zeros."""

    shape: Geometry
    symbol_size: int
    whole: NDArray[np.uint8]
    padded: NDArray[np.uint8]
    used: int  # rows that hold any content; all below are zero

    def part(self, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Return a rectangle of the matrix; one that lies in both pieces is joined by a copy."""
        cut = len(self.whole)
        upper = self.whole[rows.start : min(rows.stop, cut), columns]
        lower = self.padded[max(rows.start - cut, 0) : max(rows.stop - cut, 0), columns]
        if not len(lower):
            return upper
        return np.concatenate((upper, lower)) if len(upper) else lower


def _matrix(content: NDArray[np.uint8], n_shards: int) -> _Matrix:
    shape, size = geometry(n_shards), symbol_size(len(content), n_shards)
    row = shape.columns * size
    cut = len(content) // row
    rest = content[cut * row :]
    padded = np.zeros((shape.rows - cut) * row, dtype=np.uint8)
    padded[: len(rest)] = rest
    return _Matrix(
        shape,
        size,
        content[: cut * row].reshape(cut, shape.columns, size),
        padded.reshape(shape.rows - cut, shape.columns, size),
        -(-len(content) // row),
    )


def _repair_columns(source: _Matrix) -> NDArray[np.uint8]:
    """Extend the rows that hold content: shape (R, n-C, size)."""
    rows, columns, size = source.shape.rows, source.shape.columns, source.symbol_size
    count = source.shape.n_shards - columns
    result = np.zeros((rows, count, size), dtype=np.uint8)
    step = max(1, _LANES // (columns * size // 2))
    for start in range(0, source.used, step):
        part = source.part(slice(start, min(start + step, source.used)), slice(0, columns))
        lanes = leopard.to_elements(part).swapaxes(0, 1).reshape(columns, len(part) * size // 2)
        extra = leopard.repair(lanes, count).reshape(count, len(part), size // 2).swapaxes(0, 1)
        result[start : start + len(part)] = leopard.to_bytes(extra)
    return result


def _columns(source: _Matrix, repaired: NDArray[np.uint8], start: int, stop: int) -> NDArray[np.uint8]:
    """Return columns start..stop extended to n symbols each: shape (n, stop-start, size)."""
    cut, rows, size = source.shape.columns, source.shape.rows, source.symbol_size
    left = source.part(slice(0, rows), slice(start, min(stop, cut)))
    right = repaired[:, max(start - cut, 0) : max(stop - cut, 0)]
    part = np.concatenate((left, right), axis=1) if start < cut < stop else left if start < cut else right
    count = source.shape.n_shards - rows
    lanes = leopard.to_elements(part).reshape(rows, (stop - start) * size // 2)
    extra = leopard.repair(lanes, count).reshape(count, stop - start, size // 2)
    return np.concatenate((part, leopard.to_bytes(extra)), axis=0)


@cache
def _small_leaves() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the table of all leaf hashes of 2-byte symbols (2 MB), filled as they are met, and which are there."""
    return np.zeros((65536, 32), dtype=np.uint8), np.zeros(65536, dtype=np.bool_)


def _hash_leaves(symbols: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the leaf hash of each symbol: shape (..., size) to (..., 32)."""
    size = symbols.shape[-1]
    if size == 2:
        return _hash_small_leaves(symbols)
    flat = symbols.tobytes()
    hash_leaf = merkle.hash_leaf
    joined = b"".join([hash_leaf(flat[i : i + size]) for i in range(0, len(flat), size)])
    return np.frombuffer(joined, dtype=np.uint8).reshape(*symbols.shape[:-1], 32)


def _hash_small_leaves(symbols: NDArray[np.uint8]) -> NDArray[np.uint8]:
    table, there = _small_leaves()
    values = np.ascontiguousarray(symbols).view("<u2")[..., 0]
    met = np.zeros(65536, dtype=np.bool_)
    met[values] = True
    for value in np.flatnonzero(met & ~there):
        table[value] = np.frombuffer(merkle.hash_leaf(int(value).to_bytes(2, "little")), dtype=np.uint8)
        there[value] = True
    hashes: NDArray[np.uint8] = table[values]
    return hashes


def _row_roots(leaves: NDArray[np.uint8], zero_leaf: bytes) -> list[bytes]:
    """Return the root of each row; rows of zeros only share one."""
    known: dict[bytes, bytes] = {}
    zero_row = zero_leaf * leaves.shape[1]
    roots = []
    for row in leaves:
        line = row.tobytes()
        if line == zero_row and line in known:
            roots.append(known[line])
            continue
        root = merkle.root_of_hashes(line, zero_leaf)
        if line == zero_row:
            known[line] = root
        roots.append(root)
    return roots
