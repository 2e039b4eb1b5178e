"""The contents of Move objects that a deployment meets, in BCS, both ways.

Walrus Sites: `Site`, `Resource`, `Routes`, `Redirects`, and the dynamic fields that hold them. Walrus: `Blob`,
`System` and the head of its inner state. Sui: coins. ``VecMap`` is a vector of pairs in insertion order.
Source: docs/explanation/formats.md (objects).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from walrus_sdk.codecs.bcs import Reader, Writer
from walrus_sdk.model.site import ByteRange, Metadata, Redirect, Resource
from walrus_sdk.model.units import BlobId, ObjectId, WalrusEpoch

__all__ = [
    "BlobContents",
    "Field",
    "SiteContents",
    "SystemContents",
    "SystemInner",
    "decode_blob",
    "decode_coin",
    "decode_field",
    "decode_redirects",
    "decode_resource",
    "decode_routes",
    "decode_site",
    "decode_system",
    "decode_system_inner",
    "encode_blob",
    "encode_coin",
    "encode_field",
    "encode_redirects",
    "encode_resource",
    "encode_routes",
    "encode_site",
    "encode_system",
    "encode_system_inner",
]


@dataclass(frozen=True, slots=True)
class SiteContents:
    """``site::Site``: id, name and the metadata fields."""

    id: ObjectId
    name: str
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Field:
    """``dynamic_field::Field<K, V>``: the field's own id, and key and value in BCS."""

    id: ObjectId
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class BlobContents:
    """``blob::Blob`` with its storage; sizes in bytes, epochs are Walrus epochs, `end_epoch` is exclusive."""

    id: ObjectId
    registered_epoch: WalrusEpoch
    blob_id: BlobId
    size: int
    certified_epoch: WalrusEpoch | None
    storage_id: ObjectId
    start_epoch: WalrusEpoch
    end_epoch: WalrusEpoch
    storage_size: int
    deletable: bool
    encoding_type: int = 1


@dataclass(frozen=True, slots=True)
class SystemContents:
    """``system::System``: the newest Walrus package, and the version under which its inner state hangs."""

    id: ObjectId
    version: int
    package: ObjectId
    new_package: ObjectId | None = None


@dataclass(frozen=True, slots=True)
class SystemInner:
    """The head of ``SystemStateInnerV1``: shards, Walrus epoch, capacity in bytes, prices in FROST per unit."""

    n_shards: int
    epoch: WalrusEpoch
    total_capacity: int
    used_capacity: int
    storage_price: int
    write_price: int


# ── Walrus Sites ──────────────────────────────────────────────────────────────────────────────────────────────────


def _write_pair(writer: Writer, pair: tuple[str, str]) -> None:
    writer.string(pair[0]).string(pair[1])


def _read_pair(reader: Reader) -> tuple[str, str]:
    return reader.string(), reader.string()


def encode_site(site: SiteContents) -> bytes:
    """Return a Site's BCS."""
    writer, data = Writer().raw(site.id.raw).string(site.name), site.metadata
    for text in (data.link, data.image_url, data.description, data.project_url, data.creator):
        writer.option(text, Writer.string)
    return bytes(writer)


def decode_site(data: bytes) -> SiteContents:
    """Read a Site's BCS. Raises `CodecError` ``malformed``, like all readers here."""
    reader = Reader(data)
    id_, name = ObjectId(reader.raw(32)), reader.string()
    texts = [reader.option(Reader.string) for _ in range(5)]
    reader.end()
    return SiteContents(id_, name, Metadata(*texts))


def _write_range(writer: Writer, part: ByteRange) -> None:
    writer.option(part.start, Writer.u64).option(part.end, Writer.u64)


def encode_resource(resource: Resource) -> bytes:
    """Return a Resource's BCS; blob id and hash are u256 whose bytes are just theirs."""
    writer = Writer().string(resource.path).vector(resource.headers, _write_pair)
    return bytes(writer.raw(resource.blob_id.raw).raw(resource.blob_hash).option(resource.range, _write_range))


def decode_resource(data: bytes) -> Resource:
    """Read a Resource's BCS."""
    reader = Reader(data)
    path, headers = reader.string(), reader.vector(_read_pair)
    blob_id, blob_hash = BlobId(reader.raw(32)), reader.raw(32)
    part = reader.option(lambda r: ByteRange(r.option(Reader.u64), r.option(Reader.u64)))
    reader.end()
    return Resource(path, headers, blob_id, blob_hash, part)


def encode_routes(routes: Sequence[tuple[str, str]]) -> bytes:
    """Return the BCS of Routes, in the order given."""
    return bytes(Writer().vector(routes, _write_pair))


def decode_routes(data: bytes) -> tuple[tuple[str, str], ...]:
    """Read the BCS of Routes."""
    reader = Reader(data)
    routes = reader.vector(_read_pair)
    reader.end()
    return routes


def encode_redirects(redirects: Sequence[tuple[str, Redirect]]) -> bytes:
    """Return the BCS of Redirects, in the order given."""

    def write(writer: Writer, pair: tuple[str, Redirect]) -> None:
        writer.string(pair[0]).string(pair[1].location).u16(pair[1].status)

    return bytes(Writer().vector(redirects, write))


def decode_redirects(data: bytes) -> tuple[tuple[str, Redirect], ...]:
    """Read the BCS of Redirects."""
    reader = Reader(data)
    redirects = reader.vector(lambda r: (r.string(), Redirect(r.string(), r.u16())))
    reader.end()
    return redirects


# ── Sui ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def encode_field(field: Field) -> bytes:
    """Return a dynamic field's BCS: id, key, value, nothing between."""
    return field.id.raw + field.key + field.value


def decode_field(data: bytes, key_size: int) -> Field:
    """Read a dynamic field whose key takes `key_size` bytes."""
    reader = Reader(data)
    return Field(ObjectId(reader.raw(32)), reader.raw(key_size), reader.raw(reader.left))


def encode_coin(id_: ObjectId, balance: int) -> bytes:
    """Return a coin's BCS; `balance` in base units."""
    return bytes(Writer().raw(id_.raw).u64(balance))


def decode_coin(data: bytes) -> tuple[ObjectId, int]:
    """Read a coin's id and balance."""
    reader = Reader(data)
    result = ObjectId(reader.raw(32)), reader.u64()
    reader.end()
    return result


# ── Walrus ────────────────────────────────────────────────────────────────────────────────────────────────────────


def encode_blob(blob: BlobContents) -> bytes:
    """Return a Blob's BCS."""
    writer = Writer().raw(blob.id.raw).u32(blob.registered_epoch.number).raw(blob.blob_id.raw).u64(blob.size)
    writer.u8(blob.encoding_type)
    writer.option(blob.certified_epoch, lambda inner, epoch: inner.u32(epoch.number))
    writer.raw(blob.storage_id.raw).u32(blob.start_epoch.number).u32(blob.end_epoch.number).u64(blob.storage_size)
    return bytes(writer.boolean(blob.deletable))


def decode_blob(data: bytes) -> BlobContents:
    """Read a Blob's BCS."""
    reader = Reader(data)
    id_, registered, blob_id = ObjectId(reader.raw(32)), WalrusEpoch(reader.u32()), BlobId(reader.raw(32))
    size, encoding = reader.u64(), reader.u8()
    certified = reader.option(lambda r: WalrusEpoch(r.u32()))
    storage_id, start, end = ObjectId(reader.raw(32)), WalrusEpoch(reader.u32()), WalrusEpoch(reader.u32())
    storage_size, deletable = reader.u64(), reader.boolean()
    reader.end()
    return BlobContents(
        id_, registered, blob_id, size, certified, storage_id, start, end, storage_size, deletable, encoding
    )


def encode_system(system: SystemContents) -> bytes:
    """Return the System object's BCS."""
    writer = Writer().raw(system.id.raw).u64(system.version).raw(system.package.raw)
    return bytes(writer.option(system.new_package, lambda inner, package: inner.raw(package.raw)))


def decode_system(data: bytes) -> SystemContents:
    """Read the System object's BCS."""
    reader = Reader(data)
    id_, version, package = ObjectId(reader.raw(32)), reader.u64(), ObjectId(reader.raw(32))
    new_package = reader.option(lambda r: ObjectId(r.raw(32)))
    reader.end()
    return SystemContents(id_, version, package, new_package)


def encode_system_inner(inner: SystemInner) -> bytes:
    """Return the head of the inner state, for a committee without members (a simulation has no storage nodes)."""
    writer = Writer().uleb(0).u16(inner.n_shards).u32(inner.epoch.number).bytes(bytes(48))
    writer.u64(inner.total_capacity).u64(inner.used_capacity)
    return bytes(writer.u64(inner.storage_price).u64(inner.write_price))


def decode_system_inner(data: bytes) -> SystemInner:
    """Read the head of the inner state; what follows the prices is left alone."""
    reader = Reader(data)
    reader.vector(lambda r: (r.bytes(), r.u16(), r.raw(32)))  # committee members: public key, weight, node id
    n_shards, epoch = reader.u16(), WalrusEpoch(reader.u32())
    reader.bytes()  # the committee's aggregated key
    total, used, storage_price, write_price = reader.u64(), reader.u64(), reader.u64(), reader.u64()
    return SystemInner(n_shards, epoch, total, used, storage_price, write_price)
