"""Blob ids: equal to the official encoder's, for every shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walrus_sdk.codecs import leopard, merkle, redstuff
from walrus_sdk.errors import CodecError, StorageError

Case = dict[str, Any]


def test_a_blob_id_equals_the_official_one(blob_case: Case, content: Callable[[Case], bytes]) -> None:
    n, length = blob_case["n_shards"], blob_case["content"]["length"]
    if "error" in blob_case:
        with pytest.raises(StorageError) as caught:
            redstuff.blob_id(content(blob_case["content"]), n)
        assert caught.value.code == "file_too_large"
        return
    shape = redstuff.geometry(n)
    assert (shape.rows, shape.columns) == (blob_case["primary_source_symbols"], blob_case["secondary_source_symbols"])
    assert redstuff.symbol_size(length, n) == blob_case["symbol_size"]
    assert redstuff.encoded_size(length, n) == blob_case["encoded_size"]
    assert redstuff.storage_units(length, n) == blob_case["storage_units"]
    metadata = redstuff.metadata(content(blob_case["content"]), n)
    assert metadata.root_hash.hex() == blob_case["root_hash"]
    assert str(metadata.blob_id) == blob_case["blob_id"]
    assert int.from_bytes(metadata.blob_id.raw, "little") == int(blob_case["blob_id_u256"])
    assert redstuff.pair_shard(metadata.blob_id, 0, n) == blob_case["rotation"]


def test_slivers_and_metadata_equal_the_official_ones(sliver_case: Case, content: Callable[[Case], bytes]) -> None:
    n, data = sliver_case["n_shards"], content(sliver_case["content"])
    shape, symbols, metadata = redstuff.geometry(n), redstuff.grid(data, n), redstuff.metadata(data, n)
    assert metadata.to_bcs().hex() == sliver_case["metadata_with_id_bcs"]
    size, first, last = symbols.shape[2], symbols[0, : shape.columns].tobytes(), symbols[: shape.rows, n - 1].tobytes()
    assert redstuff.sliver_bcs(first, size, 0).hex() == sliver_case["primary_0_bcs"]
    assert redstuff.sliver_bcs(last, size, n - 1).hex() == sliver_case["secondary_of_pair_0_bcs"]
    for pair in sliver_case["pairs"]:
        index = pair["pair_index"]
        primary = symbols[index, : shape.columns].tobytes()
        secondary = symbols[: shape.rows, n - 1 - index].tobytes()
        assert primary.hex() == pair["primary"]
        assert secondary.hex() == pair["secondary"]
        assert redstuff.pair_shard(metadata.blob_id, index, n) == pair["shard_index"]
        assert metadata.pairs[index][0].hex() == pair["primary_hash"]
        assert metadata.pairs[index][1].hex() == pair["secondary_hash"]


def naive_metadata(data: bytes, n: int) -> tuple[tuple[bytes, bytes], ...]:
    """The definition, without any saving: every symbol hashed, every tree built."""
    symbols = redstuff.grid(data, n)
    rows = [merkle.root([symbols[r, c].tobytes() for c in range(n)]) for r in range(n)]
    columns = [merkle.root([symbols[r, c].tobytes() for r in range(n)]) for c in range(n)]
    return tuple((rows[i], columns[n - 1 - i]) for i in range(n))


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=3000), n=st.integers(4, 24), zeros=st.integers(0, 2000))
def test_the_savings_change_nothing(data: bytes, n: int, zeros: int) -> None:
    data += bytes(zeros)
    assert redstuff.metadata(data, n).pairs == naive_metadata(data, n)


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


def test_bytes_bytearray_and_memoryview_give_the_same_id() -> None:
    data = b"tide" * 500
    assert len({redstuff.blob_id(kind(data), 10) for kind in (bytes, bytearray, memoryview)}) == 1


def test_a_number_of_shards_outside_the_format_is_refused() -> None:
    for n in (0, -1, 65_536):
        with pytest.raises(CodecError):
            redstuff.geometry(n)
