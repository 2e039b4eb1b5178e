"""Packing files into blobs and quilts so that storage and requests cost least.

A quilt is a grid whose columns are as tall as its files ask for: one large file beside many small ones inflates
every column. So files are sorted by size, cut into contiguous groups, and the cuts are chosen by dynamic programming.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from walrus_sdk.codecs import quilt_layout, redstuff
from walrus_sdk.codecs.cost import store_cost
from walrus_sdk.errors import CodecError, StorageError, ValidationError
from walrus_sdk.model.network import Prices
from walrus_sdk.model.plan import Entry, Packing, Piece, StoreKind, StoreOperation
from walrus_sdk.model.units import Frost

__all__ = ["REQUEST_UNITS", "Limits", "alternatives", "body_size", "fill", "identifier_of", "pack", "pieces_of"]

REQUEST_UNITS = 16
"""What one more request is worth, in storage units (MiB of encoded size): a store takes seconds, whatever its size."""

_STEP = 20
"""Cuts are looked for at every 20th file: a finer search finds plans at most a few units better."""

_PART = 160
"""Bytes that a part of a multipart body takes beside identifier and content, generously."""

_ESCAPED = re.compile(r'["\\\r\n]')


@dataclass(frozen=True, slots=True)
class Limits:
    """What a store may be: bytes of a request body by kind, bytes of an assembled quilt, files in one."""

    max_blob_body: int
    max_quilt_body: int
    max_quilt_size: int
    max_quilt_files: int


def identifier_of(path: str, sha256: bytes) -> str:
    """Return the name of a file in a quilt: its site path, or its hash where a form would not carry the path as is."""
    try:
        quilt_layout.check_identifier(path)
    except CodecError:
        return sha256.hex()
    return sha256.hex() if _ESCAPED.search(path) else path


def pieces_of(entries: Mapping[str, Entry], stored: Iterable[bytes]) -> list[Piece]:
    """Return what has to be stored: each content once, under its first path; `stored` lists the hashes left out."""
    found: dict[bytes, Piece] = {}
    skip = set(stored)
    for path in sorted(entries):
        entry = entries[path]
        if entry.sha256 not in skip and entry.sha256 not in found:
            identifier = identifier_of(path, entry.sha256)
            found[entry.sha256] = Piece(identifier, entry.source, entry.size, entry.sha256)
    return list(found.values())


def body_size(pieces: Sequence[Piece]) -> int:
    """Return an upper bound of the bytes of the multipart body that carries `pieces`."""
    return sum(piece.size + len(piece.identifier.encode()) + _PART for piece in pieces) + _PART


def pack(pieces: Sequence[Piece], n_shards: int, epochs: int, prices: Prices, limits: Limits) -> list[StoreOperation]:
    """Return the stores that hold `pieces`, largest first; keys are numbered in that order.

    Raises `ValidationError`/`StorageError` ``file_too_large`` or ``body_too_large`` with the file that fits nowhere.
    """
    search = _Search(sorted(pieces, key=lambda piece: (piece.size, piece.identifier)), n_shards, limits)
    return _operations([search.group(a, b) for a, b in search.cuts()], n_shards, epochs, prices)


def fill(pieces: Sequence[Piece], n_shards: int, epochs: int, prices: Prices, limits: Limits) -> list[StoreOperation]:
    """Return the stores that hold `pieces` in the order given, each filled up as far as it goes; else as `pack`."""
    search = _Search(pieces, n_shards, limits)
    return _operations([search.group(a, b) for a, b in search.full()], n_shards, epochs, prices)


def alternatives(
    operations: Sequence[StoreOperation], n_shards: int, epochs: int, prices: Prices, limits: Limits
) -> list[Packing]:
    """Return what the chosen stores come to, and other ways to hold the same files, each at today's prices."""
    pieces = [piece for operation in operations for piece in operation.pieces]
    by_size = sorted(pieces, key=lambda piece: (piece.size, piece.identifier))
    by_path = sorted(pieces, key=lambda piece: piece.identifier)
    ways = {
        "chosen": operations,
        "quilts filled up by size": fill(by_size, n_shards, epochs, prices, limits),
        "quilts filled up by path": fill(by_path, n_shards, epochs, prices, limits),
        "one blob a file": fill(by_path, n_shards, epochs, prices, replace(limits, max_quilt_files=1)),
    }
    return [_summed(name, found) for name, found in ways.items()]


def _summed(name: str, operations: Sequence[StoreOperation]) -> Packing:
    return Packing(
        name,
        blobs=sum(operation.kind is StoreKind.BLOB for operation in operations),
        quilts=sum(operation.kind is StoreKind.QUILT for operation in operations),
        units=sum(operation.units for operation in operations),
        cost=sum((operation.cost for operation in operations), Frost()),
        sent_bytes=sum(operation.body_size for operation in operations),
    )


def _operations(groups: Iterable[_Group], n_shards: int, epochs: int, prices: Prices) -> list[StoreOperation]:
    ordered = sorted(groups, key=lambda group: (-group.body, group.first))
    return [
        StoreOperation(
            key=f"store-{number:04}",
            kind=group.kind,
            pieces=tuple(sorted(group.pieces, key=lambda piece: piece.identifier)),
            blob_size=group.blob,
            body_size=group.body,
            units=redstuff.storage_units(group.blob, n_shards),
            cost=store_cost(group.blob, n_shards, epochs, prices),
        )
        for number, group in enumerate(ordered, 1)
    ]


@dataclass(frozen=True, slots=True)
class _Group:
    kind: StoreKind
    pieces: tuple[Piece, ...]
    blob: int
    body: int

    @property
    def first(self) -> str:
        return self.pieces[0].identifier


class _Search:
    """The search for the cheapest cuts of files sorted by size."""

    def __init__(self, pieces: Sequence[Piece], n_shards: int, limits: Limits) -> None:
        self._pieces = pieces
        self._shards = n_shards
        self._limits = limits
        self._max_files = min(quilt_layout.max_patches(n_shards), limits.max_quilt_files)
        self._bodies = [0]
        for piece in pieces:
            self._bodies.append(self._bodies[-1] + body_size([piece]) - _PART)

    @cached_property
    def _measured(self) -> quilt_layout.Measured:
        return quilt_layout.measure([p.identifier for p in self._pieces], [p.size for p in self._pieces])

    def group(self, start: int, stop: int) -> _Group:
        """Return a group; a single file is a blob where it may be one. Raises when it cannot be stored."""
        pieces = tuple(self._pieces[start:stop])
        if len(pieces) == 1 and pieces[0].size <= self._limits.max_blob_body:
            redstuff.encoded_size(pieces[0].size, self._shards)
            return _Group(StoreKind.BLOB, pieces, pieces[0].size, pieces[0].size)
        blob = quilt_layout.blob_size(self._measured, self._shards, start, stop)
        return _Group(StoreKind.QUILT, pieces, blob, self._bodies[stop] - self._bodies[start] + _PART)

    def _price(self, start: int, stop: int) -> int | None:
        """Return what a group costs in units; `None` when it cannot be stored as one."""
        if stop - start > self._max_files:
            return None
        body = self._bodies[stop] - self._bodies[start] + _PART
        single = stop - start == 1
        if body > self._limits.max_quilt_body and not (single and self._fits_blob(start)):
            return None
        try:
            group = self.group(start, stop)
            fits = group.kind is StoreKind.BLOB or group.blob <= self._limits.max_quilt_size
            return redstuff.storage_units(group.blob, self._shards) + REQUEST_UNITS if fits else None
        except (StorageError, CodecError):
            return None

    def _fits_blob(self, index: int) -> bool:
        return self._pieces[index].size <= self._limits.max_blob_body

    def _positions(self) -> list[int]:
        """Return where cuts are tried: every 20th file, and every file where 20 do not fit together."""
        count, step = len(self._pieces), min(_STEP, self._max_files)
        found: list[int] = [0]
        for start in range(0, count, step):
            stop = min(start + step, count)
            if self._price(start, stop) is None:
                found += range(start + 1, stop)
            found.append(stop)
        return found

    def cuts(self) -> list[tuple[int, int]]:
        """Return the cheapest groups as ``(start, stop)``."""
        if not self._pieces:
            return []
        at = self._positions()
        best: list[tuple[int, int]] = [(0, 0)]  # units so far, index of the position before
        for j in range(1, len(at)):
            lowest = bisect_left(at, at[j] - self._max_files)
            options = []
            for i in range(j - 1, lowest - 1, -1):
                price = self._price(at[i], at[j])
                if price is None:
                    break  # larger groups do not fit either
                options.append((best[i][0] + price, i))
            if not options:
                raise self._misfit(at[j - 1])
            best.append(min(options))
        found, j = [], len(at) - 1
        while j:
            i = best[j][1]
            found.append((at[i], at[j]))
            j = i
        return found

    def full(self) -> list[tuple[int, int]]:
        """Return groups as ``(start, stop)``, each with as many of the next files as it takes."""
        found: list[tuple[int, int]] = []
        start = 0
        while start < len(self._pieces):
            low, high = start, min(len(self._pieces), start + self._max_files)  # all of ``start..low`` fit
            while low < high:
                middle = (low + high + 1) // 2
                if self._price(start, middle) is None:
                    high = middle - 1
                else:
                    low = middle
            if low == start:
                raise self._misfit(start)
            found.append((start, low))
            start = low
        return found

    def _misfit(self, index: int) -> Exception:
        piece = self._pieces[index]
        largest = max(self._limits.max_blob_body, self._limits.max_quilt_body)
        if piece.size > largest:
            text = f"{piece.source}: {piece.size} bytes, and the publisher takes bodies of at most {largest}"
            return StorageError("body_too_large", text, path=piece.source, found=piece.size, expected=largest)
        text = f"{piece.source}: {piece.size} bytes are more than a blob can hold with {self._shards} shards"
        return ValidationError("file_too_large", text, path=piece.source, found=piece.size)
