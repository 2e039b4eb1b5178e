"""How long a blob id and a quilt take, by tier. Run: ``pytest benchmarks/micro --benchmark-enable``.

The figures to hold are ratios to the official encoder (WASM, one thread): `benchmarks.wasm.compare`.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from walrus_sdk.codecs import quilt, redstuff, tiers

SIZES = [1_000, 20_000, 445_556, 1_000_000, 10_000_000, 100_000_000]
WAYS = [(tier, threads) for tier in tiers.available() for threads in ((1,) if tier == tiers.PURE else (1, 2))]


def pseudo_random(length: int) -> bytes:
    """Bytes without zero runs, so that no saving for empty rows applies."""
    return hashlib.shake_128(b"tide").digest(length)


@pytest.mark.parametrize("length", SIZES, ids="{:,}".format)
@pytest.mark.parametrize(("tier", "threads"), WAYS, ids=[f"{tier}-{threads}" for tier, threads in WAYS])
def test_blob_id_at_1000_shards(benchmark: Any, length: int, tier: str, threads: int) -> None:
    if benchmark.disabled and length > 1_000_000:
        pytest.skip("only when it is measured")
    data = pseudo_random(length)
    redstuff.blob_id(b"", 1000, tier=tier)  # the tables are made once a process
    how = {"threads": threads, "tier": tier}
    name = benchmark.pedantic(redstuff.blob_id, args=(data, 1000), kwargs=how, rounds=3 if length < 10**8 else 1)
    benchmark.group = f"blob id of {length:,} bytes"
    assert name == redstuff.blob_id(data, 1000)


def test_blob_id_at_10_shards(benchmark: Any) -> None:
    data = pseudo_random(20_000)
    assert benchmark(redstuff.blob_id, data, 10).raw != bytes(32)


def names_and_sizes(count: int) -> tuple[list[str], list[int]]:
    return [f"/assets/chunk-{i:05d}.js" for i in range(count)], [i * 7919 % 20_000 for i in range(count)]


def test_layout_of_a_full_quilt(benchmark: Any) -> None:
    names, sizes = names_and_sizes(666)
    assert len(benchmark(quilt.layout, names, sizes, 1000).patches) == 666


def test_size_of_a_full_quilt_once_measured(benchmark: Any) -> None:
    names, sizes = names_and_sizes(666)
    measured = quilt.measure(names, sizes)
    assert benchmark(quilt.blob_size, measured, 1000) == quilt.layout(names, sizes, 1000).blob_size


def test_encoding_a_full_quilt(benchmark: Any) -> None:
    names, sizes = names_and_sizes(666)
    files = [quilt.QuiltFile(name, bytes(size)) for name, size in zip(names, sizes, strict=True)]
    plan = quilt.layout_of(files, 1000)
    room = bytearray(plan.blob_size)
    benchmark(quilt.encode_into, room, files, plan)
    assert len(quilt.inspect(room, 1000)) == 666
