"""Blobs: registered, certified, expired, deleted; their bytes; and the ledger of what was paid.

Paying and certifying are two moments, as on the real network: what happens between them is lost money.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

from walrus_sdk.codecs import cost, objects, redstuff
from walrus_sdk.localnet.chain.objects import Owner, StoredObject
from walrus_sdk.localnet.chain.state import SuiState
from walrus_sdk.localnet.storage import Tables
from walrus_sdk.model.units import BlobId, Digest, ObjectId, SuiAddress, WalrusEpoch

__all__ = ["BlobBytes", "Blobs", "Bytes", "FolderBytes", "LedgerRow", "MemoryBytes", "Registration"]


Bytes = bytes | mmap.mmap
"""Bytes in memory or in a mapped file; a slice of either is `bytes`."""

_MAPS = 64
"""Blobs whose files stay mapped."""


class BlobBytes(Protocol):
    """Where the bytes of blobs are kept."""

    def read(self, blob_id: BlobId) -> Bytes | None:
        """Return a blob's bytes."""
        ...

    def write(self, blob_id: BlobId, data: bytes) -> None:
        """Keep a blob's bytes, all or nothing."""
        ...


class MemoryBytes:
    """Bytes that die with the process."""

    def __init__(self) -> None:
        self._blobs: dict[BlobId, bytes] = {}

    def read(self, blob_id: BlobId) -> bytes | None:
        """Return a blob's bytes."""
        return self._blobs.get(blob_id)

    def write(self, blob_id: BlobId, data: bytes) -> None:
        """Keep a blob's bytes."""
        self._blobs[blob_id] = data


class FolderBytes:
    """One file a blob (0600), named by its id, written beside and renamed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._maps: OrderedDict[BlobId, Bytes] = OrderedDict()

    def read(self, blob_id: BlobId) -> Bytes | None:
        """Return a blob's bytes, mapped: a patch of a large quilt is read without the rest."""
        found = self._maps.get(blob_id)
        if found is None:
            try:
                with (self._folder / str(blob_id)).open("rb") as file:
                    empty = os.fstat(file.fileno()).st_size == 0
                    found = b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except FileNotFoundError:
                return None
            self._maps[blob_id] = found
            if len(self._maps) > _MAPS:
                self._maps.popitem(last=False)
        self._maps.move_to_end(blob_id)
        return found

    def write(self, blob_id: BlobId, data: bytes) -> None:
        """Keep a blob's bytes."""
        place = self._folder / str(blob_id)
        beside = place.with_name(f"{place.name}.{os.getpid()}.part")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
        beside.replace(place)


@dataclass(frozen=True, slots=True)
class Registration:
    """A blob that was paid for: its object on chain, and until when (exclusive Walrus epoch)."""

    object_id: str
    blob_id: str
    end_epoch: int
    deletable: bool
    certified: bool = False
    event: str = ""


def _shared_id(found: Registration) -> ObjectId:
    """Return the id of the shared object that may wrap a blob's object."""
    return ObjectId(blake2b(b"shared" + ObjectId.parse(found.object_id).raw, digest_size=32).digest())


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One store: what came in and what was paid; nothing that depends on the clock."""

    kind: str
    blob_id: str
    paid: bool
    cost_frost: int
    bytes_received: int
    owner: str


class Blobs:
    """All blobs of one network. Every method that changes something has committed when it returns."""

    def __init__(self, tables: Tables, chain: SuiState, content: BlobBytes) -> None:
        self._tables = tables
        self._chain = chain
        self._content = content
        self._by_blob: dict[BlobId, dict[str, Registration]] = {}
        self._ledger: list[dict[str, Any]] = [json.loads(value) for _, value in tables.items("ledger")]
        for key, value in tables.items("registrations"):
            found = Registration(**json.loads(value))
            self._by_blob.setdefault(BlobId.parse(found.blob_id), {})[key.hex()] = found

    # ── naming ────────────────────────────────────────────────────────────────────────────────────────────────

    def known_id(self, data: bytes) -> BlobId | None:
        """Return the id of bytes that were encoded before."""
        raw = self._tables.get("encoded", hashlib.sha256(data).digest())
        return BlobId(raw) if raw is not None else None

    def encode(self, data: bytes) -> BlobId:
        """Compute the id of bytes: a second of work at 1000 shards, so not on the event loop."""
        return redstuff.blob_id(data, self._chain.genesis.n_shards)

    def remember_id(self, data: bytes, blob_id: BlobId) -> None:
        """Remember the id of bytes, so that they are encoded once."""
        self._tables.put("encoded", hashlib.sha256(data).digest(), blob_id.raw)

    # ── the life of a blob ────────────────────────────────────────────────────────────────────────────────────

    def _live(self, found: Registration) -> bool:
        """Whether the nodes still keep it: not expired, and not deleted if that is possible."""
        held = (ObjectId.parse(found.object_id), _shared_id(found))
        there = not found.deletable or any(self._chain.objects.get(id_) is not None for id_ in held)
        return there and found.end_epoch > self._chain.walrus_epoch.number

    def certified(self, blob_id: BlobId, *, permanent: bool = False) -> Registration | None:
        """Return the certified registration that lives longest; with `permanent` only such that cannot be deleted."""
        found = [
            r
            for r in self._by_blob.get(blob_id, {}).values()
            if r.certified and self._live(r) and not (permanent and r.deletable)
        ]
        return max(found, key=lambda r: r.end_epoch, default=None)

    def unfinished(self, blob_id: BlobId, owner: SuiAddress, end_epoch: int, *, deletable: bool) -> Registration | None:
        """Return what `owner` has paid for until `end_epoch` (exclusive) at least and never certified, if anything."""
        found = [r for r in self._by_blob.get(blob_id, {}).values() if not r.certified and self._live(r)]
        fit = [r for r in found if r.end_epoch >= end_epoch and r.deletable == deletable and self.owner_of(r) == owner]
        return max(fit, key=lambda r: r.end_epoch, default=None)

    def registrations(self, blob_id: str) -> list[Registration]:
        """Return every registration of a blob, whatever became of it."""
        return list(self._by_blob.get(BlobId.parse(blob_id), {}).values())

    def pay(self, blob_id: BlobId, size: int, epochs: int, *, deletable: bool) -> Registration:
        """Register a blob and pay for it; until it is certified the object is the publisher's, whoever gets it."""
        genesis, now = self._chain.genesis, self._chain.walrus_epoch
        seed = f"blob {self._chain.checkpoint} {blob_id}".encode()
        id_, storage = (ObjectId(blake2b(tag + seed, digest_size=32).digest()) for tag in (b"o", b"s"))
        encoded = redstuff.encoded_size(size, genesis.n_shards)
        contents = objects.BlobContents(id_, now, blob_id, size, None, storage, now, now + epochs, encoded, deletable)
        self._write_object(contents, genesis.publisher)
        made = Registration(str(id_), str(blob_id), now.number + epochs, deletable)
        self._put(made)
        return made

    def _write_object(self, contents: objects.BlobContents, owner: SuiAddress) -> Digest:
        item = StoredObject(
            contents.id,
            0,
            f"{self._chain.genesis.blob_package}::blob::Blob",
            Owner("AddressOwner", owner.raw),
            objects.encode_blob(contents),
        )
        return self._chain.system_transaction([item])

    def _put(self, found: Registration) -> None:
        key = ObjectId.parse(found.object_id).raw
        self._by_blob.setdefault(BlobId.parse(found.blob_id), {})[key.hex()] = found
        self._tables.put("registrations", key, lambda: json.dumps(asdict(found)).encode())
        self._tables.commit()

    def certify(self, found: Registration, data: bytes, owner: SuiAddress) -> Registration:
        """Keep the bytes and certify a paid blob; its object goes to `owner`."""
        blob_id = BlobId.parse(found.blob_id)
        self._content.write(blob_id, data)
        item = self._chain.objects.get(ObjectId.parse(found.object_id))
        assert item is not None, "only this service changes a blob that is not certified"
        contents = replace(objects.decode_blob(item.contents), certified_epoch=self._chain.walrus_epoch)
        digest = self._write_object(contents, owner)
        certified = replace(found, certified=True, event=str(digest))
        self._put(certified)
        return certified

    def object_of(self, found: Registration) -> objects.BlobContents:
        """Return a registration's object."""
        item = self._chain.objects.get(ObjectId.parse(found.object_id))
        assert item is not None
        return objects.decode_blob(item.contents)

    def owner_of(self, found: Registration) -> SuiAddress | None:
        """Return who owns a registration's object; `None` when it was deleted or is shared."""
        item = self._chain.objects.get(ObjectId.parse(found.object_id))
        return SuiAddress(item.owner.id) if item is not None and item.owner.kind == "AddressOwner" else None

    def share(self, found: Registration) -> ObjectId:
        """Wrap a blob's object into a shared one; returns its id."""
        id_ = _shared_id(found)
        contents = id_.raw + objects.encode_blob(self.object_of(found)) + bytes(8)
        kind = f"{self._chain.genesis.blob_package}::shared_blob::SharedBlob"
        shared = StoredObject(id_, 0, kind, Owner("Shared", initial_version=1), contents)
        self._chain.system_transaction([shared], [ObjectId.parse(found.object_id)])
        return id_

    def status(self, blob_id: BlobId) -> str:
        """Return what the nodes know: ``certified``, ``registered`` (paid, no bytes), or ``unknown``."""
        if self.certified(blob_id) is not None:
            return "certified"
        live = any(self._live(found) for found in self._by_blob.get(blob_id, {}).values())
        return "registered" if live else "unknown"

    def read(self, blob_id: BlobId) -> Bytes | None:
        """Return the bytes of a blob that is certified and lives."""
        return self._content.read(blob_id) if self.certified(blob_id) is not None else None

    def blob_of_object(self, object_id: ObjectId) -> BlobId | None:
        """Return the blob of a Blob object."""
        item = self._chain.objects.get(object_id)
        if item is None:
            return None
        if item.type.endswith("::shared_blob::SharedBlob"):
            return objects.decode_blob(item.contents[32:-8]).blob_id
        return objects.decode_blob(item.contents).blob_id if item.type.endswith("::blob::Blob") else None

    def price(self, size: int, epochs: int) -> int:
        """Return what a store costs now, in FROST."""
        return cost.store_cost(size, self._chain.genesis.n_shards, epochs, self._chain.prices).units

    @property
    def epoch(self) -> WalrusEpoch:
        """The current Walrus epoch."""
        return self._chain.walrus_epoch

    # ── the ledger ────────────────────────────────────────────────────────────────────────────────────────────

    def note(self, row: LedgerRow) -> None:
        """Add a row to the ledger."""
        self._tables.put("ledger", len(self._ledger).to_bytes(8, "big"), json.dumps(asdict(row)).encode())
        self._ledger.append(asdict(row))
        self._tables.commit()

    def ledger(self) -> list[dict[str, Any]]:
        """Return all rows, oldest first."""
        return [dict(row) for row in self._ledger]
