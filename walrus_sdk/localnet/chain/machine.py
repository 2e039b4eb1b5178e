"""What Move functions work on: slots with values, the sandbox of one transaction, and the ways to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NoReturn

from walrus_sdk.codecs import ids
from walrus_sdk.localnet.chain.objects import Objects, Owner, StoredObject
from walrus_sdk.localnet.genesis import Genesis
from walrus_sdk.model.chain import ExecutionFailure
from walrus_sdk.model.units import Digest, ObjectId, WalrusEpoch

__all__ = ["NO_DROP", "Context", "Failed", "Function", "Sandbox", "Slot", "abort"]

NO_DROP = {"Site", "Blob", "Storage", "Coin", "Option<Storage>", "object"}
_COPY = {"String", "Metadata", "u8", "u16", "u32", "u64", "u256", "bool", "address"}


class Failed(Exception):
    """Execution failed: everything but gas is undone."""

    def __init__(self, failure: ExecutionFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def abort(module: str, code: int | None, function: str) -> NoReturn:
    """Abort like a Move function; `module` as ``package::module``, `code` `None` for a bare assertion."""
    shown = "a clever code" if code is None else str(code)
    text = f"MoveAbort in {module}::{function}, abort code {shown}"
    raise Failed(ExecutionFailure("MOVE_ABORT", text, module=module, function=function, abort_code=code))


@cache
def _copies(type_: str) -> bool:
    return type_.removeprefix("Option<").removeprefix("vector<").rstrip(">") in _COPY


@dataclass(slots=True)
class Slot:
    """A value between commands: its Move type in short form, its content, and where it lives.

    `object_id` is set for objects. `moved` is true once it was given away.
    """

    type: str
    data: Any
    object_id: ObjectId | None = None
    moved: bool = False

    @property
    def copies(self) -> bool:
        """Whether using the value leaves it where it is."""
        return _copies(self.type)

    @property
    def drops(self) -> bool:
        """Whether the value may be left unused."""
        return self.type not in NO_DROP


@dataclass(slots=True)
class Sandbox:
    """What one transaction writes and deletes over the objects of a moment; nothing is kept before commit."""

    store: Objects
    written: dict[ObjectId, StoredObject] = field(default_factory=dict)
    deleted: set[ObjectId] = field(default_factory=set)
    created: set[ObjectId] = field(default_factory=set)

    def get(self, id_: ObjectId) -> StoredObject | None:
        """Return an object as the transaction sees it."""
        if id_ in self.deleted:
            return None
        return self.written.get(id_) or self.store.get(id_)

    def put(self, id_: ObjectId, type_: str, owner: Owner, contents: bytes) -> None:
        """Create or change an object; version, digest and previous transaction come at commit."""
        old = self.store.get(id_)
        self.deleted.discard(id_)
        if old is None:
            self.created.add(id_)
            self.written[id_] = StoredObject(id_, 0, type_, owner, contents)
        else:
            self.written[id_] = StoredObject(id_, old.version, type_, owner, contents, old.previous, old.rebate)

    def delete(self, id_: ObjectId) -> None:
        """Delete an object; one made in the same transaction leaves no trace."""
        self.written.pop(id_, None)
        self.created.discard(id_)
        if self.store.get(id_) is not None:
            self.deleted.add(id_)

    def children(self, parent: ObjectId) -> Iterator[StoredObject]:
        """Yield the dynamic fields of an object."""
        ids_ = set(self.store.ids_of(parent.raw)) | {w.id for w in self.written.values() if w.owner.id == parent.raw}
        for id_ in sorted(ids_):
            found = self.get(id_)
            if found is not None:
                yield found


@dataclass(slots=True)
class Context:
    """What a Move function may use: the sandbox, the transaction's digest for fresh ids, and a counter of work."""

    sandbox: Sandbox
    genesis: Genesis
    digest: Digest
    walrus_epoch: WalrusEpoch
    work: int = 0
    fresh: int = 0

    def new_id(self) -> ObjectId:
        """Return the id of one more object."""
        self.fresh += 1
        return ids.fresh_object_id(self.digest, self.fresh - 1)


@dataclass(frozen=True, slots=True)
class Function:
    """A public Move function: parameter types, result types, and what it does.

    ``&T`` and ``&mut T`` parameters get the slot itself, others the value. `run` returns one value per result.
    """

    parameters: tuple[str, ...]
    results: tuple[str, ...]
    run: Callable[..., tuple[Any, ...]]
