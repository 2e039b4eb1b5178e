"""Packing: every content once, within all limits, and cheaper than the obvious ways."""

from __future__ import annotations

import hashlib
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walrus_sdk.codecs import quilt_layout, redstuff
from walrus_sdk.errors import StorageError, ValidationError
from walrus_sdk.model.network import Prices
from walrus_sdk.model.plan import Entry, Piece, StoreKind, StoreOperation
from walrus_sdk.model.units import BlobId, Frost
from walrus_sdk.planning import packing
from walrus_sdk.ports import Part
from walrus_sdk.walrus.framing import boundary_of, quilt_form

PRICES = Prices(Frost(7000), Frost(2000))
LIMITS = packing.Limits(10 * 2**20, 100 * 2**20, 128 * 2**20, 666)


def piece(number: int, size: int) -> Piece:
    name = f"/file-{number:05}.html"
    return Piece(name, name[1:], size, hashlib.sha256(name.encode()).digest())


def pack(pieces: list[Piece], n: int = 1000, limits: packing.Limits = LIMITS) -> list[StoreOperation]:
    return packing.pack(pieces, n, 5, PRICES, limits)


def price(operations: list[StoreOperation]) -> int:
    return sum(operation.units + packing.REQUEST_UNITS for operation in operations)


SIZES = st.lists(st.integers(0, 200_000), min_size=1, max_size=60)


@given(SIZES, st.sampled_from([100, 1000]))
@settings(max_examples=60, deadline=None)
def test_every_content_is_stored_once_within_all_limits(sizes: list[int], n: int) -> None:
    pieces = [piece(i, size) for i, size in enumerate(sizes)]
    limits = packing.Limits(150_000, 400_000, 128 * 2**20, 20)
    operations = pack(pieces, n, limits)
    stored = [found.sha256 for operation in operations for found in operation.pieces]
    assert sorted(stored) == sorted(found.sha256 for found in pieces)
    for operation in operations:
        if operation.kind is StoreKind.BLOB:
            assert operation.body_size <= limits.max_blob_body
            assert len(operation.pieces) == 1
        else:
            assert operation.body_size <= limits.max_quilt_body
            assert len(operation.pieces) <= limits.max_quilt_files
        assert operation.units == redstuff.storage_units(operation.blob_size, n)


@given(SIZES, st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_the_plan_does_not_depend_on_the_order_in_which_files_were_found(sizes: list[int], seed: int) -> None:
    pieces = [piece(i, size) for i, size in enumerate(sizes)]
    mixed = list(pieces)
    Random(seed).shuffle(mixed)
    assert pack(mixed) == pack(pieces)


@given(st.lists(st.integers(0, 400_000), min_size=2, max_size=120))
@settings(max_examples=40, deadline=None)
def test_no_plan_is_dearer_than_one_quilt_of_everything(sizes: list[int]) -> None:
    pieces = [piece(i, size) for i, size in enumerate(sizes)]
    assert price(pack(pieces)) <= price(_quilt(pieces))


def test_one_large_file_does_not_make_every_column_of_a_quilt_tall() -> None:
    pieces = [piece(i, 2048) for i in range(665)] + [piece(999, 5 * 2**20)]
    operations = pack(pieces)
    assert len(operations) >= 2
    assert max(operation.blob_size for operation in operations) < 10 * 2**20
    assert price(operations) < price(_quilt(pieces)) / 10


def test_a_thousand_mixed_files_cost_far_less_than_in_path_order() -> None:
    pieces = [piece(i, 5_000_000 if i % 100 == 0 else 2_000 + i) for i in range(1000)]
    in_path_order = sum(price(_quilt(pieces[i : i + 500])) for i in range(0, 1000, 500))
    assert price(pack(pieces)) < in_path_order / 2, in_path_order


def _quilt(pieces: list[Piece]) -> list[StoreOperation]:
    """Return one quilt of everything, however dear."""
    found = quilt_layout.layout([p.identifier for p in pieces], [p.size for p in pieces], 1000)
    units = redstuff.storage_units(found.blob_size, 1000)
    return [StoreOperation("x", StoreKind.QUILT, tuple(pieces), found.blob_size, 0, units, Frost())]


def test_one_small_file_is_a_plain_blob() -> None:
    (operation,) = pack([piece(1, 1000)])
    assert operation.kind is StoreKind.BLOB


def test_the_largest_operation_comes_first() -> None:
    sizes = [op.body_size for op in pack([piece(i, 10 ** (i % 7)) for i in range(50)])]
    assert sizes == sorted(sizes, reverse=True)


def test_a_file_that_fits_nowhere_is_named() -> None:
    with pytest.raises(ValidationError) as shards:
        pack([piece(1, 10), piece(2, 2_000_000)], n=10)
    assert (shards.value.code, shards.value.fields["path"]) == ("file_too_large", "file-00002.html")
    with pytest.raises(StorageError) as body:
        pack([piece(1, 10), piece(2, 200_000_000)])
    assert (body.value.code, body.value.fields["path"]) == ("body_too_large", "file-00002.html")


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40), min_size=1, max_size=8, unique=True))
@settings(max_examples=100, deadline=None)
def test_the_estimated_body_is_never_smaller_than_the_one_that_is_sent(names: list[str]) -> None:
    pieces = [
        Piece(packing.identifier_of("/" + name, hashlib.sha256(name.encode()).digest()), name, 7, b"") for name in names
    ]
    parts = [Part(p.identifier, p.size, b"", b"") for p in pieces]  # type: ignore[arg-type]
    form = quilt_form(parts, boundary_of(BlobId(bytes(32))))
    assert form.size <= packing.body_size(pieces)


@pytest.mark.parametrize("path", ['/a"b', "/a\\b", "/a\rb", "/a\nb", "/a ", "/\x7f"])
def test_a_name_that_a_form_would_change_is_replaced_by_the_hash(path: str) -> None:
    assert packing.identifier_of(path, b"\xab" * 32) == "ab" * 32


def test_equal_content_is_one_piece_under_its_first_path() -> None:
    entries = {path: Entry(path, path[1:], 3, b"\1" * 32, ()) for path in ("/b", "/a")}
    (found,) = packing.pieces_of(entries, [])
    assert found.identifier == "/a"
    assert packing.pieces_of(entries, [b"\1" * 32]) == []


@given(SIZES, st.sampled_from([100, 1000]))
@settings(max_examples=30, deadline=None)
def test_every_way_to_pack_holds_every_file_within_the_limits(sizes: list[int], n: int) -> None:
    pieces = [piece(i, size) for i, size in enumerate(sizes)]
    limits = packing.Limits(250_000, 400_000, 128 * 2**20, 20)
    for operation in (found := packing.fill(pieces, n, 5, PRICES, limits)):
        assert len(operation.pieces) <= limits.max_quilt_files
        assert operation.body_size <= limits.max_quilt_body
    assert sorted(p.sha256 for operation in found for p in operation.pieces) == sorted(p.sha256 for p in pieces)


def test_alternatives_are_told_beside_what_was_chosen() -> None:
    pieces = [piece(i, size) for i, size in enumerate([2_000] * 300 + [400_000] * 3)]
    operations = pack(pieces)
    chosen, by_size, by_path, each = packing.alternatives(operations, 1000, 5, PRICES, LIMITS)
    assert (chosen.blobs + chosen.quilts, chosen.cost) == (len(operations), sum_of(operations))
    assert (each.blobs, each.quilts) == (303, 0)
    assert chosen.units <= min(by_size.units, by_path.units, each.units)
    assert by_size.quilts == by_path.quilts == 1, "filled up as far as they go"
    assert each.cost.units > 20 * chosen.cost.units


def sum_of(operations: list[StoreOperation]) -> Frost:
    return sum((operation.cost for operation in operations), Frost())


def test_a_file_that_fits_nowhere_is_named_by_every_way() -> None:
    with pytest.raises(StorageError) as caught:
        packing.fill([piece(1, 10), piece(2, 10**6)], 1000, 5, PRICES, packing.Limits(10_000, 20_000, 2**27, 666))
    assert caught.value.fields["path"] == piece(2, 0).source
