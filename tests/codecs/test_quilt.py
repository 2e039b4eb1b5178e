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
from walrus_sdk.codecs.quilt_layout import index_bytes
from walrus_sdk.codecs.slivers import slivers
from walrus_sdk.errors import CodecError, StorageError
from walrus_sdk.model.units import BlobId

Case = dict[str, Any]


def files_of(case: Case, content: Callable[[Case], bytes]) -> list[quilt.QuiltFile]:
    return [quilt.QuiltFile(f["identifier"], content(f["content"]), f.get("tags", {})) for f in case["files"]]


def tags_of(files: list[quilt.QuiltFile]) -> dict[str, quilt.Tags]:
    return {f.identifier: f.tags for f in files}


def test_a_quilt_equals_the_official_one(quilt_case: Case, content: Callable[[Case], bytes]) -> None:
    n, files = quilt_case["n_shards"], files_of(quilt_case, content)
    plan = quilt.layout([f.identifier for f in files], [len(f.data) for f in files], n, tags=tags_of(files))
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
    assert quilt.decode(blob, n) == sorted(files, key=lambda f: f.identifier.encode())
    measured = quilt.measure([f.identifier for f in files], [len(f.data) for f in files], tags=tags_of(files))
    assert quilt.blob_size(measured, n) == quilt_case["quilt_length"]


IDENTIFIERS = st.text(st.characters(blacklist_categories=["Cc", "Cs"]), min_size=1, max_size=20).map(
    lambda text: "/" + text.rstrip()
)
TAGS = st.dictionaries(st.text(st.characters(blacklist_categories=["Cs"]), max_size=9), st.text("ab", max_size=9))
FILES = st.builds(quilt.QuiltFile, IDENTIFIERS, st.binary(max_size=200), TAGS)
BARE_FILES = st.builds(quilt.QuiltFile, IDENTIFIERS, st.binary(max_size=200))
QUILTS = st.lists(FILES, min_size=1, max_size=6, unique_by=lambda f: f.identifier)
BARE_QUILTS = st.lists(BARE_FILES, min_size=1, max_size=6, unique_by=lambda f: f.identifier)


@settings(deadline=None)
@given(QUILTS, st.sampled_from([10, 13, 31]))
def test_what_is_encoded_is_decoded(files: list[quilt.QuiltFile], n: int) -> None:
    decoded = quilt.decode(quilt.encode(files, n), n)
    assert decoded == sorted(files, key=lambda f: f.identifier.encode())


@settings(deadline=None)
@given(QUILTS, st.sampled_from([10, 13, 31]), st.data())
def test_a_layout_needs_no_content_and_agrees_with_what_is_encoded(
    files: list[quilt.QuiltFile], n: int, data: st.DataObject
) -> None:
    plan, blob = quilt.layout_of(files, n), quilt.encode(files, n)
    assert quilt.inspect(blob, n) == list(plan.patches)
    assert len(blob) == plan.blob_size
    assert redstuff.symbol_size(len(blob), n) == plan.symbol_size
    shuffled = data.draw(st.permutations(files))
    assert quilt.encode(shuffled, n) == blob
    measured = quilt.measure([f.identifier for f in shuffled], [len(f.data) for f in shuffled], tags=tags_of(files))
    stop = data.draw(st.integers(1, len(files)))
    start = data.draw(st.integers(0, stop - 1))
    assert quilt.blob_size(measured, n, start, stop) == quilt.layout_of(shuffled[start:stop], n).blob_size


@settings(deadline=None)
@given(QUILTS, st.sampled_from([10, 13]))
def test_a_symbol_two_bytes_smaller_would_not_hold_the_files(files: list[quilt.QuiltFile], n: int) -> None:
    plan, shape = quilt.layout_of(files, n), redstuff.geometry(n)
    measured = quilt.measure([f.identifier for f in files], [len(f.data) for f in files], tags=tags_of(files))
    index = 5 + 1 + int(measured.entries.sum())
    column = (plan.symbol_size - 2) * shape.rows
    needed = [-(-int(size) // column) for size in (index, *measured.stored)] if column else []
    assert not column or sum(needed) > shape.columns or needed[0] > quilt.MAX_INDEX_COLUMNS


@settings(deadline=None)
@given(QUILTS, st.binary(min_size=1, max_size=1))
def test_a_quilt_can_be_written_into_a_used_buffer(files: list[quilt.QuiltFile], dirt: bytes) -> None:
    plan = quilt.layout_of(files, 10)
    room = bytearray(dirt * plan.blob_size)
    quilt.encode_into(memoryview(room), files, plan)
    assert room == quilt.encode(files, 10)


@settings(deadline=None)
@given(QUILTS)
def test_a_patch_is_read_from_its_columns_alone(files: list[quilt.QuiltFile]) -> None:
    blob, plan = quilt.encode(files, 10), quilt.layout_of(files, 10)
    pairs = {pair.index: pair for pair in slivers(blob, 10)}
    for patch in plan.patches:
        run = b"".join(pairs[9 - column].secondary for column in range(patch.start, patch.end))
        assert len(run) == (patch.end - patch.start) * quilt.column_size(len(blob), 10)
        assert quilt.read_patch(run) == quilt.patch_bytes(blob, patch.start, patch.end, 10)


def test_files_that_are_not_those_of_the_plan_are_refused() -> None:
    a, b = quilt.QuiltFile("a", b"12"), quilt.QuiltFile("b", b"34")
    plan = quilt.layout_of([a, b], 10)
    others = [[a], [a, a], [a, b, b], [a, quilt.QuiltFile("c", b"34")], [a, quilt.QuiltFile("b", b"345")]]
    for files in [*others, [a, quilt.QuiltFile("b", b"34", {"t": "1"})]]:
        with pytest.raises(CodecError):
            quilt.encode_into(bytearray(plan.blob_size), files, plan)
    with pytest.raises(CodecError):
        quilt.encode_into(bytearray(plan.blob_size + 1), [a, b], plan)


@settings(deadline=None, max_examples=200)
@given(QUILTS, st.data())
def test_a_damaged_quilt_gives_files_or_one_documented_error(files: list[quilt.QuiltFile], data: st.DataObject) -> None:
    blob = bytearray(quilt.encode(files, 10))
    plan = quilt.layout_of(files, 10)
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, min(len(blob), 400) - 1))] ^= data.draw(st.integers(1, 255))
    for patch in plan.patches:
        with suppress(CodecError):
            assert len(quilt.patch_bytes(blob, patch.start, patch.end, 10).data) < len(blob)
    try:
        patches = quilt.inspect(blob, 10)
    except CodecError:
        with pytest.raises(CodecError):
            quilt.decode(blob, 10)
        return
    assert [(p.identifier, p.size) for p in patches] == [(f.identifier, len(f.data)) for f in quilt.decode(blob, 10)]


# ── quilts made by hand: with 10 shards and symbols of 16 bytes, 7 columns of 64 ──────────────────────────────────────


def raw_quilt(columns: dict[int, bytes], n: int = 10) -> bytes:
    """Lay bytes down the columns from the given ones on."""
    shape = redstuff.geometry(n)
    size = shape.rows * 16
    cells = bytearray(shape.columns * size)
    for column, data in columns.items():
        cells[column * size : column * size + len(data)] = data
    return b"".join(cells[c * size + r * 16 :][:16] for r in range(shape.rows) for c in range(shape.columns))


def index(body: bytes, *, version: int = 1, length: int | None = None) -> bytes:
    return bytes([version]) + (len(body) if length is None else length).to_bytes(4, "little") + body


def entry(end: int, name: bytes = b"a", tags: bytes = b"\0") -> bytes:
    return end.to_bytes(2, "little") + bytes([len(name)]) + name + tags


def stored(
    data: bytes = b"xyz", name: bytes = b"a", *, mask: int = 0, tags: bytes = b"", version: int = 1, length: int = -1
) -> bytes:
    body = (len(name) + 1).to_bytes(2, "little") + bytes([len(name)]) + name + tags + data
    return bytes([version]) + (len(body) if length < 0 else length).to_bytes(4, "little") + bytes([mask]) + body


ONE = index(b"\1" + entry(2))


def test_a_quilt_made_by_hand_is_read() -> None:
    assert quilt.decode(raw_quilt({0: ONE, 1: stored()}), 10) == [quilt.QuiltFile("a", b"xyz")]
    two = index(b"\2" + entry(2, b"b") + entry(4))
    blob = raw_quilt({0: two, 1: stored(name=b"b"), 2: stored(b"-" * 70)})
    assert [(p.identifier, p.start, p.end, p.size) for p in quilt.inspect(blob, 10)] == [
        ("b", 1, 2, 3),
        ("a", 2, 4, 70),
    ]


def test_unknown_bits_of_the_mask_and_an_empty_tag_map_are_read_as_no_tags() -> None:
    for file in (stored(mask=0xFE), stored(mask=1, tags=b"\1\0\0")):
        assert quilt.decode(raw_quilt({0: ONE, 1: file}), 10) == [quilt.QuiltFile("a", b"xyz")]


def test_an_index_prefix_may_cross_a_column_edge() -> None:
    for size, first in ((53, 1), (54, 1), (55, 2)):  # prefix, count and entry take size + 10 bytes of columns of 64
        name = b"n" * size
        blob = raw_quilt({0: index(b"\1" + entry(first + 2, name)), first: stored(b"-" * 20, name)})
        assert [(p.start, p.end) for p in quilt.inspect(blob, 10)] == [(first, first + 2)]


TAGGED = b"\2\1b\0\2aa\0"  # {"b": "", "aa": ""}: the shorter key first
HOSTILE = {
    "no index": {0: b""},
    "another version": {0: index(b"\1" + entry(2), version=2), 1: stored()},
    "index longer than the quilt": {0: index(b"\1" + entry(2), length=7 * 64 - 4), 1: stored()},
    "index of 4 GiB": {0: index(b"\1" + entry(2), length=2**32 - 1), 1: stored()},
    "bytes behind the index": {0: index(b"\1" + entry(2) + b"\0"), 1: stored()},
    "index cut off": {0: index(b"\2" + entry(2)), 1: stored()},
    "more patches than columns": {0: index(b"\7" + entry(2) * 7), 1: stored()},
    "two thousand million patches": {0: index(b"\xff\xff\xff\xff\7"), 1: stored()},
    "a number longer than it must be": {0: index(b"\x81\0" + entry(2)), 1: stored()},
    "a patch without columns": {0: index(b"\1" + entry(1)), 1: stored()},
    "patches that run backwards": {0: index(b"\2" + entry(3) + entry(2, b"b")), 1: stored(b"-" * 70), 2: stored()},
    "a patch beyond the last column": {0: index(b"\1" + entry(8)), 1: stored(b"-" * 400)},
    "the same name twice": {0: index(b"\2" + entry(2) + entry(3)), 1: stored(), 2: stored()},
    "a name that is not UTF-8": {0: index(b"\1" + entry(2, b"\xff")), 1: stored(name=b"\xff")},
    "a control character": {0: index(b"\1" + entry(2, b"\n")), 1: stored(name=b"\n")},
    "an empty name": {0: index(b"\1" + entry(2, b"")), 1: stored(name=b"")},
    "tags out of order": {
        0: index(b"\1" + entry(2, tags=b"\2\2aa\0\1b\0")),
        1: stored(mask=1, tags=b"\x08\0\2\2aa\0\1b\0"),
    },
    "a tag twice": {
        0: index(b"\1" + entry(2, tags=b"\2\1b\0\1b\0")),
        1: stored(mask=1, tags=b"\7\0\2\1b\0\1b\0"),
    },
    "no file": {0: ONE},
    "a file of another version": {0: ONE, 1: stored(version=2)},
    "another name in the file": {0: ONE, 1: stored(name=b"b")},
    "tags in the file only": {0: ONE, 1: stored(mask=1, tags=b"\x08\0" + TAGGED)},
    "tags in the index only": {0: index(b"\1" + entry(2, tags=TAGGED)), 1: stored()},
    "bytes behind the tags": {
        0: index(b"\1" + entry(2, tags=TAGGED)),
        1: stored(mask=1, tags=b"\x09\0" + TAGGED + b"\0"),
    },
    "a file longer than its columns": {0: ONE, 1: stored(length=59)},
    "a file of 4 GiB": {0: ONE, 1: stored(length=2**32 - 1)},
    "a file shorter than its columns": {0: index(b"\1" + entry(3)), 1: stored()},
    "a name longer than the file": {0: ONE, 1: stored(length=3)},
    "bytes behind a name": {0: ONE, 1: b"\1\x08\0\0\0\0\3\0\1a\0xyz"},
    "no room for a name": {0: ONE, 1: stored(length=1)},
    "no room for tags": {0: ONE, 1: stored(b"", mask=1)},
}


def test_an_index_takes_ten_columns_and_not_one_byte_more() -> None:
    for size, valid in ((10 * 34 * 16 - 11, True), (10 * 34 * 16 - 10, False)):  # 5 + count, end, length, no tags
        name = b"n" * size
        field = bytes([size & 0x7F | 0x80, size >> 7]) + name
        body = b"\1" + (21).to_bytes(2, "little") + field + b"\0"
        file = (len(field)).to_bytes(2, "little") + field + b"-" * 500
        blob = raw_quilt({0: index(body), 10: b"\1" + len(file).to_bytes(4, "little") + b"\0" + file}, 100)
        if valid:
            assert [(p.start, p.end, p.size) for p in quilt.inspect(blob, 100)] == [(10, 21, 500)]
        else:
            with pytest.raises(CodecError) as caught:
                quilt.inspect(blob, 100)
            assert caught.value.code == "not_a_quilt"


def test_more_patches_than_columns_are_refused_before_they_are_read() -> None:
    with pytest.raises(CodecError, match="7 patches in 7 columns"):
        quilt.inspect(raw_quilt({0: index(b"\7" + entry(2) * 3)}), 10)


def test_the_length_of_a_long_list_of_patches_is_counted() -> None:
    names = [
        "n" * 600,
        *(f"{i:03}" for i in range(199)),
    ]  # 5 + 2 + 2005 bytes of index: one byte into the fourth column
    files = [quilt.QuiltFile(name, b"") for name in names]
    plan = quilt.layout_of(files, 1000)
    assert len(index_bytes(plan)) == 3 * 668 + 1
    assert (plan.symbol_size, plan.index_columns) == (2, 4)
    assert quilt.inspect(quilt.encode(files, 1000), 1000) == list(plan.patches)


def test_the_index_is_no_file_even_where_it_reads_like_one() -> None:
    both = index(b"\1" + entry(2, tags=b"\1\0\0"))
    assert quilt.read_patch(both + b"\0").identifier == "a"
    with pytest.raises(CodecError, match="no columns 0"):
        quilt.patch_bytes(raw_quilt({0: both, 1: stored()}), 0, 1, 10)


@pytest.mark.parametrize("missing", [1, 2, 3, 5, 8, 11])
def test_a_patch_whose_columns_are_cut_off_is_refused(missing: int) -> None:
    assert quilt.read_patch(stored()).data == b"xyz"
    with pytest.raises(CodecError):
        quilt.read_patch(stored()[:-missing])


@pytest.mark.parametrize("case", HOSTILE)
def test_what_a_careful_reader_refuses(case: str) -> None:
    blob = raw_quilt(HOSTILE[case])
    for read in (quilt.inspect, quilt.decode):
        with pytest.raises(CodecError):
            read(blob, 10)


def test_tags_in_order_are_read() -> None:
    blob = raw_quilt({0: index(b"\1" + entry(2, tags=TAGGED)), 1: stored(mask=1, tags=b"\x08\0" + TAGGED)})
    assert quilt.decode(blob, 10) == [quilt.QuiltFile("a", b"xyz", {"b": "", "aa": ""})]


@pytest.mark.parametrize("length", [0, 1, 27, 28 * 16 + 1, 28, 28 * 15])
def test_a_length_that_no_quilt_has_is_refused(length: int) -> None:
    with pytest.raises(CodecError) as caught:
        quilt.inspect(ONE.ljust(length, b"\0")[:length], 10)
    assert caught.value.code == "not_a_quilt"


@pytest.mark.parametrize(("start", "end"), [(0, 1), (1, 1), (2, 1), (1, 8), (1, 3), (3, 4)])
def test_columns_that_are_not_one_file_are_refused(start: int, end: int) -> None:
    with pytest.raises(CodecError):
        quilt.patch_bytes(raw_quilt({0: ONE, 1: stored()}), start, end, 10)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=600), st.integers(1, 12))
def test_bytes_that_are_no_quilt_are_refused_in_one_way(junk: bytes, symbol: int) -> None:
    blob = junk.ljust(28 * symbol, b"\0")[: 28 * symbol]
    for read in (quilt.inspect, quilt.decode):
        with suppress(CodecError):
            assert read(blob, 10) is not None


@settings(deadline=None)
@given(BARE_QUILTS)
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


@pytest.mark.parametrize("tags", [{"k": "v" * 65_536}, {"\ud800": "v"}, {"k": "\udfff"}])
def test_tags_that_no_reader_would_take_are_refused(tags: dict[str, str]) -> None:
    with pytest.raises(CodecError) as caught:
        quilt.encode([quilt.QuiltFile("a", b"", tags)], 100)
    assert caught.value.code == "malformed"


def test_more_than_a_quilt_can_hold_is_refused_by_size() -> None:
    for sizes in ([2**32], [redstuff.max_blob_size(10)], [redstuff.max_blob_size(10) // 7] * 6):
        names = [str(i) for i in range(len(sizes))]
        with pytest.raises(StorageError) as caught:
            quilt.layout(names, sizes, 10)
        assert caught.value.code == "file_too_large"


def test_one_large_file_inflates_every_column() -> None:
    names, sizes = [str(i) for i in range(666)], [2048] * 665 + [5 * 1024 * 1024]
    measured = quilt.measure(names, sizes)
    assert quilt.blob_size(measured, 1000) > 400 * quilt.blob_size(measured, 1000, 0, 665)
    assert quilt.blob_size(measured, 1000) == quilt.layout(names, sizes, 1000).blob_size
