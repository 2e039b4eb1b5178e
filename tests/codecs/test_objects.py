"""Ids and contents of objects on chain."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walrus_sdk.codecs import ids, objects
from walrus_sdk.codecs.text import chain_id
from walrus_sdk.errors import CodecError
from walrus_sdk.model.site import PATCH_HEADER, ByteRange, Metadata, Redirect, Resource
from walrus_sdk.model.units import BlobId, DeploymentId, Digest, Frost, Mist, ObjectId, QuiltPatchId, WalrusEpoch

VECTORS = json.loads((Path(__file__).resolve().parents[1] / "vectors" / "sui" / "ids.json").read_text(encoding="utf-8"))
TYPES = ObjectId.parse("0x26eb7ee8688da02c5f671679524e379f0b837a12f1d1d799f255b7eea260ad27")


@pytest.mark.parametrize("site", VECTORS["sites"], ids=[s["site"][:10] for s in VECTORS["sites"]])
def test_the_ids_of_a_site_equal_the_official_ones(site: dict[str, Any]) -> None:
    site_id = ObjectId.parse(site["site"])
    assert site_id.base36 == site["base36"]
    assert ObjectId.parse_base36(site["base36"]) == site_id
    assert str(ids.routes_field_id(site_id)) == site["routes"]
    assert str(ids.redirects_field_id(site_id)) == site["redirects"]
    for resource in site["resources"]:
        assert str(ids.resource_field_id(site_id, resource["path"], TYPES)) == resource["field"]


def test_a_leading_zero_byte_keeps_its_digit() -> None:
    site = ObjectId.parse("0x05fb8843a23017cbf1c907bd559a2d6191b77bc595d4c83853cca14cc784c0a8")
    assert site.base36 == "5d8t4gd5q8x4xcfyctpygyr5pnk85x54o7ndeq2j4pg9l7rmw"
    low = ObjectId(b"\0\0" + b"\5" * 30)
    assert low.base36.startswith("00")
    assert ObjectId.parse_base36(low.base36.upper()) == low


def test_a_patch_header_and_a_patch_id_are_one_thing() -> None:
    quilt = BlobId.parse("Jqz2KSMu18pygjkC-WVEQqtUZRo18-cuf_566VZSxVo")
    patch = QuiltPatchId.parse("Jqz2KSMu18pygjkC-WVEQqtUZRo18-cuf_566VZSxVoBDAAZAA")
    assert patch == QuiltPatchId.from_internal(quilt, bytes.fromhex("010c001900"))
    assert Resource("/a", ((PATCH_HEADER, "0x010c001900"),), quilt, bytes(32)).patch == patch


IDS = st.binary(min_size=32, max_size=32)
RESOURCES = st.builds(
    Resource,
    st.text(),
    st.lists(st.tuples(st.text(), st.text()), max_size=3).map(tuple),
    IDS.map(BlobId),
    IDS,
    st.none() | st.builds(ByteRange, st.none() | st.integers(0, 2**64 - 1), st.none() | st.integers(0, 2**64 - 1)),
)
EPOCHS = st.integers(0, 2**32 - 1).map(WalrusEpoch)
BLOBS = st.builds(
    objects.BlobContents,
    IDS.map(ObjectId),
    EPOCHS,
    IDS.map(BlobId),
    st.integers(0, 2**64 - 1),
    st.none() | EPOCHS,
    IDS.map(ObjectId),
    EPOCHS,
    EPOCHS,
    st.integers(0, 2**64 - 1),
    st.booleans(),
)


@given(RESOURCES, BLOBS, st.lists(st.tuples(st.text(), st.text())), st.text(), st.none() | st.text())
def test_objects_are_read_as_written(
    resource: Resource, blob: objects.BlobContents, routes: list[tuple[str, str]], name: str, link: str | None
) -> None:
    assert objects.decode_resource(objects.encode_resource(resource)) == resource
    assert objects.decode_blob(objects.encode_blob(blob)) == blob
    assert objects.decode_routes(objects.encode_routes(routes)) == tuple(routes)
    redirects = tuple((path, Redirect(to, 301)) for path, to in routes)
    assert objects.decode_redirects(objects.encode_redirects(redirects)) == redirects
    site = objects.SiteContents(blob.id, name, Metadata(link=link))
    assert objects.decode_site(objects.encode_site(site)) == site
    system = objects.SystemContents(blob.id, 2, blob.storage_id, None)
    assert objects.decode_system(objects.encode_system(system)) == system
    inner = objects.SystemInner(1000, blob.start_epoch, 5, 4, 3, 2)
    assert objects.decode_system_inner(objects.encode_system_inner(inner) + b"what follows") == inner
    field = objects.Field(blob.id, b"key", objects.encode_resource(resource))
    assert objects.decode_field(objects.encode_field(field), 3) == field
    assert objects.decode_coin(objects.encode_coin(blob.id, blob.size)) == (blob.id, blob.size)


@given(st.binary(max_size=200))
def test_foreign_bytes_are_read_to_a_value_or_refused(junk: bytes) -> None:
    for read in (
        objects.decode_resource,
        objects.decode_blob,
        objects.decode_routes,
        objects.decode_redirects,
        objects.decode_site,
        objects.decode_system,
        objects.decode_system_inner,
        objects.decode_coin,
    ):
        with suppress(CodecError):
            read(junk)


def test_ids_are_read_strictly() -> None:
    assert str(ObjectId.parse("0x2")) == "0x" + "2".rjust(64, "0")
    for bad in ("", "0x", "0xg", "0x" + "1" * 65, "2 "):
        with pytest.raises(CodecError):
            ObjectId.parse(bad)
    good = str(BlobId(bytes(range(32))))
    for bad in (good + "=", good[:-1], good[:-1] + "9", good + "A", " " + good, good[:-1] + "\n"):
        with pytest.raises(CodecError):
            BlobId.parse(bad)
    for bad in ("deploy_1_ab", "deploy_1700000000000_XYZW", "../deploy_1700000000000_abcd"):
        with pytest.raises(CodecError):
            DeploymentId(bad)
    assert str(DeploymentId.make(1_700_000_000_000, 0xABCDEF)) == "deploy_1700000000000_00abcdef"


def test_a_chain_is_named_by_four_bytes_of_its_genesis() -> None:
    assert chain_id(str(Digest(bytes.fromhex("4c78adac") + bytes(28)))) == "4c78adac"


def test_amounts_of_different_coins_never_mix() -> None:
    assert Frost(2) + Frost(3) == Frost(5)
    assert Frost(1) != Mist(1)
    assert str(Frost(2_331_000)) == "0.002331 WAL"
    assert str(Mist(1_000_000_000)) == "1 SUI"
    with pytest.raises(CodecError):
        Frost(1) - Frost(2)
    with pytest.raises(TypeError):
        assert Frost(1) < Mist(2)
