"""Blob ids: equal to the official encoder's, for every shape."""

from __future__ import annotations

import hashlib
import mmap
import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from walrus_sdk.codecs import leopard, merkle, redstuff, tiers
from walrus_sdk.codecs.slivers import slivers
from walrus_sdk.errors import CodecError, StorageError

Case = dict[str, Any]
Array: TypeAlias = NDArray[Any]


@pytest.fixture(params=tiers.available())
def tier(request: pytest.FixtureRequest) -> str:
    """Each tier that this machine runs."""
    return str(request.param)


def test_a_blob_id_equals_the_official_one(blob_case: Case, content: Callable[[Case], bytes], tier: str) -> None:
    n, length = blob_case["n_shards"], blob_case["content"]["length"]
    if "error" in blob_case:
        with pytest.raises(StorageError) as caught:
            redstuff.blob_id(content(blob_case["content"]), n, tier=tier)
        assert caught.value.code == "file_too_large"
        return
    shape = redstuff.geometry(n)
    assert (shape.rows, shape.columns) == (blob_case["primary_source_symbols"], blob_case["secondary_source_symbols"])
    assert redstuff.symbol_size(length, n) == blob_case["symbol_size"]
    assert redstuff.encoded_size(length, n) == blob_case["encoded_size"]
    assert redstuff.storage_units(length, n) == blob_case["storage_units"]
    metadata = redstuff.metadata(content(blob_case["content"]), n, tier=tier)
    assert metadata.root_hash.hex() == blob_case["root_hash"]
    assert str(metadata.blob_id) == blob_case["blob_id"]
    assert int.from_bytes(metadata.blob_id.raw, "little") == int(blob_case["blob_id_u256"])
    assert redstuff.pair_shard(metadata.blob_id, 0, n) == blob_case["rotation"]


def test_slivers_and_metadata_equal_the_official_ones(sliver_case: Case, content: Callable[[Case], bytes]) -> None:
    n, data = sliver_case["n_shards"], content(sliver_case["content"])
    metadata, pairs = redstuff.metadata(data, n), slivers(data, n)
    assert metadata.to_bcs().hex() == sliver_case["metadata_with_id_bcs"]
    assert pairs[0].primary_bcs().hex() == sliver_case["primary_0_bcs"]
    assert pairs[0].secondary_bcs().hex() == sliver_case["secondary_of_pair_0_bcs"]
    found = [
        (pair.index, pair.shard, pair.primary.hex(), pair.secondary.hex(), first.hex(), second.hex())
        for pair, (first, second) in zip(pairs, metadata.pairs, strict=True)
    ]
    names = "pair_index", "shard_index", "primary", "secondary", "primary_hash", "secondary_hash"
    assert found == [tuple(pair[name] for name in names) for pair in sliver_case["pairs"]]


# ── the definition, written as directly as it can be: no fast transform, no batch, no saving ──────────────────────────

BASIS = "0001 ACCA 3C0E 163E C582 ED2E 914C 4012 6C98 10D8 6A72 B900 FDB8 FB34 FF38 991E"
VALUES = np.zeros(65536, dtype=np.uint64)  # element -> polynomial over GF(2)
for bit, base in enumerate(BASIS.split()):
    VALUES[1 << bit : 2 << bit] = VALUES[: 1 << bit] ^ np.uint64(int(base, 16))
NUMBERS = np.argsort(VALUES)


def times(a: Array, b: Array) -> Array:
    """Multiply polynomials modulo 0x1002D, with broadcasting."""
    a, b = np.broadcast_arrays(a, b)
    product = np.zeros(a.shape, dtype=np.uint64)
    for i in range(16):
        product ^= (a << np.uint64(i)) * (b >> np.uint64(i) & np.uint64(1))
    for i in range(30, 15, -1):
        product ^= (product >> np.uint64(i) & np.uint64(1)) * np.uint64(0x1002D << (i - 16))
    return product


def inverse(a: Array) -> Array:
    result, square = np.ones_like(a), a
    for _ in range(15):  # the exponent 65534 is fifteen ones and a zero
        square = times(square, square)
        result = times(result, square)
    return result


@cache
def weights(points: range, targets: range) -> Array:
    """Lagrange: the matrix that takes values at `points` to values of their polynomial at `targets`."""
    at, to = VALUES[list(points)], VALUES[list(targets)]
    above, below = np.ones((len(to), len(at)), dtype=np.uint64), np.ones(len(at), dtype=np.uint64)
    for j in range(len(at)):
        other = np.arange(len(at)) != j
        above[:, other] = times(above[:, other], (to ^ at[j])[:, None])
        below[other] = times(below[other], at[other] ^ at[j])
    return times(above, inverse(below))


def naive_repair(source: Array, count: int) -> Array:
    """Repair symbols by interpolation; elements in, elements out, shape (symbols, lanes)."""
    k = len(source)
    k_size, count_size = 1 << (k - 1).bit_length(), 1 << (count - 1).bit_length()
    result = np.zeros((count, source.shape[1]), dtype=np.uint64)
    size = min(k_size, count_size)
    for start in range(0, k, size):
        block = VALUES[source[start : start + size].astype(np.int64)]
        points, targets = range(start + size, start + 2 * size), range(count)
        if k_size <= count_size:
            points, targets = range(size), range(size, size + count)
        matrix = weights(points, targets)
        for i in range(len(block)):
            result ^= times(matrix[:, i, None], block[i])
    return NUMBERS[result.astype(np.int64)].astype(np.uint64)


def naive_extend(symbols: list[bytes], count: int) -> list[bytes]:
    """Append `count` repair symbols, lane by lane: 32 low bytes, 32 high bytes, and so on; the last block halves."""
    size = len(symbols[0])
    blocks = [range(start, min(start + 64, size)) for start in range(0, size, 64)]
    pairs = [(b[i], b[i + len(b) // 2]) for b in blocks for i in range(len(b) // 2)]
    lanes = np.array([[s[low] | s[high] << 8 for low, high in pairs] for s in symbols], dtype=np.uint64)
    repaired = []
    for line in naive_repair(lanes, count) if count else []:
        symbol = bytearray(size)
        for (low, high), element in zip(pairs, line, strict=True):
            symbol[low], symbol[high] = int(element) & 255, int(element) >> 8
        repaired.append(bytes(symbol))
    return symbols + repaired


def naive_root(level: list[bytes]) -> bytes:
    while len(level) > 1:
        level = level + [bytes(32)] * (len(level) % 2)
        level = [digest(b"\1" + level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


def naive_id(data: bytes, n: int) -> bytes:
    faulty = (n - 1) // 3
    rows, columns = n - 2 * faulty, n - faulty
    size = next(s for s in range(2, 65536, 2) if s * rows * columns >= max(len(data), 1))
    padded = data.ljust(rows * columns * size, b"\0")
    cells = [padded[i : i + size] for i in range(0, len(padded), size)]
    wide = [naive_extend(cells[r * columns : (r + 1) * columns], n - columns) for r in range(rows)]
    turned = [naive_extend([wide[r][c] for r in range(rows)], n - rows) for c in range(n)]
    by_row = [naive_root([digest(b"\0" + turned[c][r]) for c in range(n)]) for r in range(n)]
    by_column = [naive_root([digest(b"\0" + symbol) for symbol in turned[c]]) for c in range(n)]
    root = naive_root([digest(b"\0" + by_row[i] + by_column[n - 1 - i]) for i in range(n)])
    return digest(b"\1" + len(data).to_bytes(8, "little") + root)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=1500), n=st.integers(1, 24), zeros=st.integers(0, 1000))
def test_the_id_is_the_one_of_the_plain_definition(data: bytes, n: int, zeros: int) -> None:
    data += bytes(zeros)
    assert {redstuff.blob_id(data, n, tier=name).raw for name in tiers.available()} == {naive_id(data, n)}


@pytest.mark.parametrize(("k", "count"), [(1, 1), (5, 3), (3, 5), (9, 4), (4, 4), (34, 66), (67, 33), (40, 7), (7, 40)])
def test_repair_symbols_are_values_of_the_interpolating_polynomial(k: int, count: int) -> None:
    source = np.random.default_rng(k).integers(0, 65536, (k, 3), dtype=np.uint16)
    assert (leopard.repair(source, count) == naive_repair(source, count)).all()


@pytest.mark.parametrize(("k", "count"), [(100, 50), (50, 100), (64, 64), (129, 20)])
def test_a_wide_call_gives_what_narrow_calls_give(k: int, count: int) -> None:
    source = np.random.default_rng(count).integers(0, 65536, (k, 3000), dtype=np.uint16)
    wide = leopard.repair(source, count)
    for start in range(0, 3000, 500):
        part = np.ascontiguousarray(source[:, start : start + 500])
        assert (leopard.repair(part, count) == wide[:, start : start + 500]).all()


def test_more_symbols_than_the_field_has_points_are_refused() -> None:
    for k, count in ((43_690, 21_845), (21_846, 43_689)):
        with pytest.raises(CodecError):
            leopard.repair(np.zeros((k, 1), dtype=np.uint16), count)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_repair_is_linear_and_any_lane_stands_alone(k: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 65536, (k, 3), dtype=np.uint16) for _ in range(2))
    assert (leopard.repair(a, count) ^ leopard.repair(b, count) == leopard.repair(a ^ b, count)).all()
    assert (leopard.repair(a, count)[:, 1] == leopard.repair(np.ascontiguousarray(a[:, 1:2]), count)[:, 0]).all()


@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_symbols_and_elements_are_each_others_inverse(half: int, seed: int) -> None:
    symbols = np.random.default_rng(seed).integers(0, 256, (3, 2 * half), dtype=np.uint8)
    assert (leopard.to_bytes(leopard.to_elements(symbols)) == symbols).all()


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=40), st.data())
def test_a_proof_leads_to_the_root_and_no_other_leaf_does(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = merkle.proof(leaves, index)
    assert merkle.verify(leaves[index], index, path, merkle.root(leaves))
    assert not merkle.verify(leaves[index] + b"!", index, path, merkle.root(leaves))


def test_any_kind_of_buffer_gives_the_same_id(tmp_path: Path, tier: str) -> None:
    data = b"tide" * 500
    wide = np.frombuffer(data, dtype=np.uint32)
    every_other = memoryview(b"".join(bytes([byte, 0]) for byte in data))[::2]
    path = tmp_path / "blob"
    path.write_bytes(data)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        kinds = [data, bytearray(data), memoryview(data), memoryview(wide), every_other, mapped]
        assert len({redstuff.blob_id(kind, 10, tier=tier) for kind in kinds}) == 1
        del kinds


def test_a_large_blob_is_neither_copied_nor_held_as_a_grid(tier: str) -> None:
    data = bytes(32 * 1024 * 1024)
    shape, size = redstuff.geometry(100), redstuff.symbol_size(len(data), 100)
    promised = shape.rows * (100 - shape.columns) * size + 32 * 100**2 + 20_000_000
    assert promised < 1.2 * len(data), "a copy of the data or its grid would not go unseen"
    redstuff.blob_id(b"", 100, tier=tier)  # tables are made once
    tracemalloc.start()
    try:
        redstuff.blob_id(data, 100, tier=tier)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < promised


def test_one_byte_more_than_a_blob_can_hold_is_refused() -> None:
    assert redstuff.symbol_size(redstuff.max_blob_size(4), 4) == redstuff.MAX_SYMBOL_SIZE
    for n in (1, 4, 1000):
        with pytest.raises(StorageError) as caught:
            redstuff.encoded_size(redstuff.max_blob_size(n) + 1, n)
        assert (caught.value.code, caught.value.fields["expected"]) == ("file_too_large", redstuff.max_blob_size(n))


def test_a_number_of_shards_outside_the_format_is_refused() -> None:
    for n in (0, -1, 65_536):
        with pytest.raises(CodecError):
            redstuff.geometry(n)
