"""Quilts: byte-equal to the official encoder's, and never believed when read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walrus_sdk.codecs import quilt, redstuff, tasks
from walrus_sdk.errors import CodecError
from walrus_sdk.model.units import BlobId

Case = dict[str, Any]


def files_of(case: Case, content: Callable[[Case], bytes]) -> list[quilt.QuiltFile]:
    return [quilt.QuiltFile(f["identifier"], content(f["content"]), f.get("tags", {})) for f in case["files"]]


def test_a_quilt_equals_the_official_one(quilt_case: Case, content: Callable[[Case], bytes]) -> None:
    n, files = quilt_case["n_shards"], files_of(quilt_case, content)
    plan = quilt.layout(
        [f.identifier for f in files], [len(f.data) for f in files], n, tags={f.identifier: f.tags for f in files}
    )
    blob = quilt.encode(files, n)
    assert (plan.symbol_size, plan.blob_size, plan.index_columns) == (
        quilt_case["symbol_size"],
        quilt_case["quilt_length"],
        quilt_case["index_columns"],
    )
    assert hashlib.sha256(blob).hexdigest() == quilt_case["quilt_sha256"]
    assert "quilt_hex" not in quilt_case or blob.hex() == quilt_case["quilt_hex"]
    metadata = redstuff.metadata(blob, n)
    assert (str(metadata.blob_id), metadata.root_hash.hex()) == (quilt_case["blob_id"], quilt_case["root_hash"])
    assert redstuff.encoded_size(len(blob), n) == quilt_case["encoded_size"]
    expected = [(p["identifier"], p["start_index"], p["end_index"], p["patch_id"]) for p in quilt_case["patches"]]
    ids = quilt.patch_ids(metadata.blob_id, plan)
    assert [(p.identifier, p.start, p.end, str(ids[p.identifier])) for p in plan.patches] == expected
    assert [(p.identifier, p.start, p.end) for p in quilt.inspect(blob, n)] == [e[:3] for e in expected]
    for patch in plan.patches:
        original = next(f for f in files if f.identifier == patch.identifier)
        assert quilt.patch_bytes(blob, patch.start, patch.end, n) == original


IDENTIFIERS = st.text(st.characters(blacklist_categories=["Cc", "Cs"]), min_size=1, max_size=20).map(
    lambda text: "/" + text.rstrip()
)
TAGS = st.dictionaries(st.text(st.characters(blacklist_categories=["Cs"]), max_size=9), st.text("ab", max_size=9))
FILES = st.builds(quilt.QuiltFile, IDENTIFIERS, st.binary(max_size=200), TAGS)
QUILTS = st.lists(FILES, min_size=1, max_size=6, unique_by=lambda f: f.identifier)


@settings(deadline=None)
@given(QUILTS, st.sampled_from([10, 13, 31]))
def test_what_is_encoded_is_decoded(files: list[quilt.QuiltFile], n: int) -> None:
    decoded = quilt.decode(quilt.encode(files, n), n)
    assert decoded == sorted(files, key=lambda f: f.identifier.encode())


@settings(deadline=None, max_examples=200)
@given(QUILTS, st.data())
def test_a_damaged_quilt_gives_files_or_one_documented_error(files: list[quilt.QuiltFile], data: st.DataObject) -> None:
    blob = bytearray(quilt.encode(files, 10))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, min(len(blob), 400) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        patches = quilt.inspect(blob, 10)
    except CodecError:
        return
    assert all(0 <= p.size <= len(blob) for p in patches)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=600), st.integers(1, 12))
def test_bytes_that_are_no_quilt_are_refused_in_one_way(junk: bytes, symbol: int) -> None:
    blob = junk.ljust(28 * symbol, b"\0")[: 28 * symbol]
    for read in (quilt.inspect, quilt.decode):
        with suppress(CodecError):
            assert read(blob, 10) is not None


@given(QUILTS.filter(lambda files: all(not f.tags for f in files)))
@settings(deadline=None)
def test_a_worker_names_the_same_quilt(files: list[quilt.QuiltFile]) -> None:
    raw, places = tasks.quilt_name([f.identifier for f in files], [bytes(f.data) for f in files], 10)
    blob = quilt.encode(files, 10)
    assert BlobId(raw) == redstuff.blob_id(blob, 10)
    by_name = {p.identifier: [p.start, p.end] for p in quilt.inspect(blob, 10)}
    assert places == [by_name[f.identifier] for f in files]


@pytest.mark.parametrize(
    ("identifiers", "code"),
    [
        ([], "malformed"),
        (["a", "a"], "identifier_invalid"),
        ([""], "identifier_invalid"),
        (["a "], "identifier_invalid"),
        (["a\n"], "identifier_invalid"),
        (["a\x85b"], "identifier_invalid"),
        (["\ud800"], "identifier_invalid"),
        (["x" * 65_532], "identifier_invalid"),
        ([str(i) for i in range(7)], "too_many_patches"),
    ],
)
def test_what_walrus_would_refuse_is_refused_before_anything_is_stored(identifiers: list[str], code: str) -> None:
    with pytest.raises(CodecError) as caught:
        quilt.layout(identifiers, [1] * len(identifiers), 10)
    assert caught.value.code == code


def test_tags_that_are_too_large_are_refused() -> None:
    with pytest.raises(CodecError):
        quilt.encode([quilt.QuiltFile("a", b"", {"k": "v" * 65_536})], 100)
