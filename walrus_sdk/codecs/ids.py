"""Ids that follow from other facts: dynamic fields, fresh objects, the fields of a site.

Source: docs/explanation/formats.md (ids).
"""

from __future__ import annotations

from hashlib import blake2b

from walrus_sdk.codecs.bcs import Writer
from walrus_sdk.codecs.type_tags import PrimitiveTag, StructTag, TypeTag, VectorTag, write_type_tag
from walrus_sdk.model.units import Digest, ObjectId

__all__ = [
    "REDIRECTS_KEY",
    "ROUTES_KEY",
    "dynamic_field_id",
    "fresh_object_id",
    "redirects_field_id",
    "resource_field_id",
    "resource_path_tag",
    "routes_field_id",
]

ROUTES_KEY = b"routes"
REDIRECTS_KEY = b"redirects"
_BYTES_TAG = VectorTag(PrimitiveTag("u8"))


def dynamic_field_id(parent: ObjectId, key: bytes, key_type: TypeTag) -> ObjectId:
    """Return the id of the field of `parent` whose key has the BCS `key`."""
    tag = bytes(write_type_tag(Writer(), key_type))
    body = b"\xf0" + parent.raw + len(key).to_bytes(8, "little") + key + tag
    return ObjectId(blake2b(body, digest_size=32).digest())


def fresh_object_id(transaction: Digest, count: int) -> ObjectId:
    """Return the id of the `count`-th (from 0) object that a transaction makes."""
    return ObjectId(blake2b(b"\xf1" + transaction.raw + count.to_bytes(8, "little"), digest_size=32).digest())


def resource_path_tag(type_package: ObjectId) -> StructTag:
    """Return the key type of resources."""
    return StructTag(type_package, "site", "ResourcePath")


def resource_field_id(site: ObjectId, path: str, type_package: ObjectId) -> ObjectId:
    """Return the id of the dynamic field that holds a site's resource."""
    return dynamic_field_id(site, bytes(Writer().string(path)), resource_path_tag(type_package))


def routes_field_id(site: ObjectId) -> ObjectId:
    """Return the id of the dynamic field that holds a site's routes."""
    return dynamic_field_id(site, bytes(Writer().bytes(ROUTES_KEY)), _BYTES_TAG)


def redirects_field_id(site: ObjectId) -> ObjectId:
    """Return the id of the dynamic field that holds a site's redirects."""
    return dynamic_field_id(site, bytes(Writer().bytes(REDIRECTS_KEY)), _BYTES_TAG)
