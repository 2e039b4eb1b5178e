"""The object store: current objects, by owner and by type, and enough history for reads that lag."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from walrus_sdk.localnet.storage import Tables
from walrus_sdk.model.chain import ObjectRef
from walrus_sdk.model.units import Digest, ObjectId

__all__ = ["GENESIS_DIGEST", "ObjectStore", "Objects", "Owner", "StoredObject", "View"]

GENESIS_DIGEST = Digest(bytes(32))
_TABLE = "objects"
_HISTORY = 200
"""Transactions that a lagging read can be behind."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns an object: ``AddressOwner`` and ``ObjectOwner`` have an `id`, ``Shared`` its initial version."""

    kind: str
    id: bytes = b""
    initial_version: int = 0


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One version of an object. `rebate` is what was paid for its storage, in MIST."""

    id: ObjectId
    version: int
    type: str
    owner: Owner
    contents: bytes
    previous: Digest = GENESIS_DIGEST
    rebate: int = 0

    @property
    def digest(self) -> Digest:
        """A digest of this version (its own form: only equality matters to clients)."""
        head = f"{self.id}{self.version}{self.type}{self.owner.kind}".encode()
        body = head + self.owner.id + self.previous.raw + self.contents
        return Digest(blake2b(body, digest_size=32).digest())

    @property
    def ref(self) -> ObjectRef:
        """The reference that transactions use."""
        return ObjectRef(self.id, self.version, self.digest)

    def to_json(self) -> bytes:
        """Return the form that is stored."""
        owner = [self.owner.kind, self.owner.id.hex(), self.owner.initial_version]
        row = [self.version, self.type, owner, self.contents.hex(), str(self.previous), self.rebate]
        return json.dumps(row).encode()

    @classmethod
    def from_json(cls, key: bytes, data: bytes) -> StoredObject:
        """Read the stored form."""
        version, type_, (kind, owner, initial), contents, previous, rebate = json.loads(data)
        place = Owner(kind, bytes.fromhex(owner), initial)
        return cls(ObjectId(key), version, type_, place, bytes.fromhex(contents), Digest.parse(previous), rebate)


class Objects(Protocol):
    """Objects of one moment."""

    def get(self, id_: ObjectId) -> StoredObject | None:
        """Return an object, `None` where there is none."""
        ...

    def ids_of(self, owner: bytes) -> Iterable[ObjectId]:
        """Return the ids of what an address or object owns."""
        ...


class View:
    """Objects as they are, or as they were some transactions ago."""

    def __init__(self, store: ObjectStore, undone: Mapping[ObjectId, StoredObject | None]) -> None:
        self._store = store
        self._undone = undone

    def get(self, id_: ObjectId) -> StoredObject | None:
        """Return an object, `None` where there is none."""
        return self._undone[id_] if id_ in self._undone else self._store.get(id_)

    def ids_of(self, owner: bytes) -> Iterable[ObjectId]:
        """Return the ids of what an address or object owns."""
        return [item.id for item in self.owned_by(owner)]

    def owned_by(self, owner: bytes) -> Sequence[StoredObject]:
        """Return what an address or object owns, in order of ids."""
        return tuple(self._owned_then(owner)) if self._undone else self._store.owned_by(owner)

    def _owned_then(self, owner: bytes) -> Iterator[StoredObject]:
        ids = set(self._store.ids_of(owner))
        ids |= {id_ for id_, old in self._undone.items() if old is not None and old.owner.id == owner}
        for id_ in sorted(ids, key=bytes):
            found = self.get(id_)
            if found is not None and found.owner.id == owner:
                yield found


class ObjectStore:
    """All current objects."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._objects: dict[ObjectId, StoredObject] = {}
        self._by_owner: dict[bytes, set[ObjectId]] = {}
        self._in_order: dict[bytes, tuple[StoredObject, ...]] = {}
        self._history: deque[dict[ObjectId, StoredObject | None]] = deque(maxlen=_HISTORY)
        for key, value in tables.items(_TABLE):
            self._place(StoredObject.from_json(key, value))

    def _place(self, item: StoredObject) -> None:
        self._remove(item.id)
        self._objects[item.id] = item
        if item.owner.id:
            self._by_owner.setdefault(item.owner.id, set()).add(item.id)
            self._in_order.pop(item.owner.id, None)

    def _remove(self, id_: ObjectId) -> None:
        old = self._objects.pop(id_, None)
        if old is not None and old.owner.id:
            self._by_owner[old.owner.id].discard(id_)
            self._in_order.pop(old.owner.id, None)

    def get(self, id_: ObjectId) -> StoredObject | None:
        """Return an object, `None` where there is none."""
        return self._objects.get(id_)

    def ids_of(self, owner: bytes) -> Iterable[ObjectId]:
        """Return the ids of what an address or object owns."""
        return self._by_owner.get(owner, ())

    def owned_by(self, owner: bytes) -> tuple[StoredObject, ...]:
        """Return what an address or object owns, in order of ids; kept until it changes, as it is read in pages."""
        known = self._in_order.get(owner)
        if known is None:
            known = tuple(self._objects[id_] for id_ in sorted(self.ids_of(owner), key=bytes))
            if known:
                self._in_order[owner] = known
        return known

    def all(self) -> Iterator[StoredObject]:
        """Yield every object, in order of ids."""
        for id_ in sorted(self._objects):
            yield self._objects[id_]

    def apply(self, written: Iterable[StoredObject], deleted: Iterable[ObjectId] = ()) -> None:
        """Take over the outcome of one transaction; the caller commits the tables."""
        written, deleted = list(written), list(deleted)
        self._history.append({id_: self._objects.get(id_) for id_ in [*(w.id for w in written), *deleted]})
        for item in written:
            self._place(item)
            self._tables.put(_TABLE, item.id.raw, item.to_json)
        for id_ in deleted:
            self._remove(id_)
            self._tables.delete(_TABLE, id_.raw)

    def begin(self) -> None:
        """Let the state be the one that the chain began with: no read is behind it."""
        self._history.clear()

    def view(self, behind: int = 0) -> View:
        """Return the state as it was `behind` transactions ago (at most 200; 0 is now)."""
        undone: dict[ObjectId, StoredObject | None] = {}
        for changes in list(self._history)[max(0, len(self._history) - behind) :]:
            for id_, old in changes.items():
                undone.setdefault(id_, old)
        return View(self, undone)
