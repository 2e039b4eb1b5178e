"""A deployment's plan as frozen values: what to store, what the site becomes, what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

from walrus_sdk.model.html import Facts, Shown
from walrus_sdk.model.site import Metadata, Redirect, Resource
from walrus_sdk.model.units import BlobId, Digest, Frost, Mist, ObjectId, QuiltPatchId, SuiAddress, WalrusEpoch

__all__ = [
    "Cost",
    "Entry",
    "FileStat",
    "Packing",
    "Piece",
    "Plan",
    "SiteChange",
    "SiteTarget",
    "Snapshot",
    "SourceFile",
    "StoreKind",
    "StoreOperation",
    "Stored",
]


@dataclass(frozen=True, slots=True)
class FileStat:
    """What must not change between reading a file twice (F1): size, times in ns, inode, device."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of the folder: site path, path relative to the root (POSIX), stat, SHA-256."""

    path: str
    source: str
    stat: FileStat
    sha256: bytes

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.stat.size


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent scan of a folder: files sorted by site path, and what was left out, with the reason."""

    root: str
    files: tuple[SourceFile, ...]
    ignored: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource of the manifest: where it is served, what its bytes are, which headers it gets.

    `source` is the file relative to the root. `headers` are the visible ones (no patch header), sorted by name.
    """

    path: str
    source: str
    size: int
    sha256: bytes
    headers: tuple[tuple[str, str], ...]


class StoreKind(Enum):
    """How content is stored: as a blob of its own, or as patches of a quilt."""

    BLOB = "blob"
    QUILT = "quilt"


@dataclass(frozen=True, slots=True)
class Piece:
    """One content of a store operation: quilt identifier, source file, size, SHA-256."""

    identifier: str
    source: str
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class StoreOperation:
    """One planned store: a blob (one piece) or a quilt (pieces sorted by identifier).

    `key` names the operation inside the plan (``"store-0001"``), stable over resumes. `blob_size` is the size of
    the assembled blob, `body_size` that of the request body (both bytes), `units` its storage units,
    `cost` storage and write fee together.
    """

    key: str
    kind: StoreKind
    pieces: tuple[Piece, ...]
    blob_size: int
    body_size: int
    units: int
    cost: Frost


@dataclass(frozen=True, slots=True)
class Packing:
    """One way to store a plan's files: how many blobs and quilts, their storage units, what they cost, what is sent.

    `sent_bytes` is the size of all request bodies.
    """

    name: str
    blobs: int
    quilts: int
    units: int
    cost: Frost
    sent_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields, amounts as decimal text."""
        return {
            "name": self.name,
            "blobs": self.blobs,
            "quilts": self.quilts,
            "units": self.units,
            "cost_frost": str(self.cost.units),
            "sent_bytes": self.sent_bytes,
        }


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a content lives on Walrus: a blob, or a patch of a quilt, readable before `end_epoch` begins."""

    sha256: bytes
    blob_id: BlobId
    patch: QuiltPatchId | None
    end_epoch: WalrusEpoch | None


@dataclass(frozen=True, slots=True)
class SiteTarget:
    """Which site is meant: an existing object (with the version and digest that were read), or a new one."""

    name: str
    owner: SuiAddress
    site_id: ObjectId | None = None
    version: int | None = None
    digest: Digest | None = None
    how: str = "new"


@dataclass(frozen=True, slots=True)
class SiteChange:
    """What the site becomes, as a difference to what it is.

    `add`, `replace`, `remove` are site paths; `add` and `replace` have an `Entry` in the plan. `None` for name,
    metadata, routes, redirects means "leave as it is"; an empty tuple of rules means "remove the table".
    """

    add: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    name: str | None = None
    metadata: Metadata | None = None
    routes: tuple[tuple[str, str], ...] | None = None
    redirects: tuple[tuple[str, Redirect], ...] | None = None

    @property
    def empty(self) -> bool:
        """Whether the site on chain is already what the plan wants."""
        rules = self.name, self.metadata, self.routes, self.redirects
        return not (self.add or self.replace or self.remove) and all(rule is None for rule in rules)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a plan costs: FROST for storage (paid by the publisher in publisher mode), MIST for gas (an estimate).

    `transactions` counts the transactions, `requests` the store requests, `stored_bytes` the bytes sent for storing,
    `skipped_bytes` the bytes of the site that are stored already.
    """

    frost: Frost = Frost()
    gas: Mist = Mist()
    requests: int = 0
    transactions: int = 0
    stored_bytes: int = 0
    skipped_bytes: int = 0

    def usd(self, wal_price: Decimal | None, sui_price: Decimal | None) -> Decimal | None:
        """Return the cost in USD by the prices of one WAL and one SUI; `None` when no price is given."""
        if wal_price is None and sui_price is None:
            return None
        return Decimal(self.frost.coins) * (wal_price or 0) + Decimal(self.gas.coins) * (sui_price or 0)


@dataclass(frozen=True, slots=True)
class Plan(Shown):
    """Everything a deployment will do, frozen before anything is spent.

    `digest` names the frozen plan and is never recomputed to decide; `request_digest` names what was asked for
    (files, ws-resources, options, chain, owner, target site), so that asking again resumes. `known` maps the
    SHA-256 of content that is stored already to its place. `base` holds the resources whose bytes are where they are
    to be: those that stay, and, in a rollback, those that come back. `verb` says what the plan is for; `lock` is the
    reason with which the site is locked when it begins; `retiring` maps paths that stay for a time only to its end
    (milliseconds since 1970 UTC); `deletes` names Blob objects to delete.
    """

    digest: str
    request_digest: str
    chain_id: str
    network: str
    n_shards: int
    root: str
    target: SiteTarget
    entries: Mapping[str, Entry]
    operations: tuple[StoreOperation, ...]
    known: Mapping[bytes, Stored]
    base: Mapping[str, Resource]
    change: SiteChange
    epochs: int
    end_epoch: WalrusEpoch
    cost: Cost
    warnings: tuple[str, ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()
    message: str = ""
    commit: str = ""
    atomic: bool = True
    options: Mapping[str, object] = field(default_factory=dict)
    verb: str = "deploy"
    tags: tuple[str, ...] = ()
    lock: str = ""
    retiring: Mapping[str, int] = field(default_factory=dict)
    deletes: tuple[ObjectId, ...] = ()

    @property
    def nothing_to_do(self) -> bool:
        """Whether the plan stores nothing and changes nothing."""
        return not self.operations and self.change.empty and self.target.site_id is not None

    def table(self) -> list[tuple[str, str]]:
        """Return the plan for people: what, and how much of it."""
        change, cost = self.change, self.cost
        site = f"{self.target.name} ({self.target.site_id or 'new'}: {self.target.how})"
        files = f"{len(change.add)} new, {len(change.replace)} changed, {len(change.remove)} removed"
        quilts = sum(operation.kind is StoreKind.QUILT for operation in self.operations)
        rules = [name for name in ("name", "metadata", "routes", "redirects") if getattr(change, name) is not None]
        rows = [
            ("site", site),
            ("network", f"{self.network}, chain {self.chain_id}"),
            ("files", f"{files}, {len(change.keep)} as they are"),
            ("rules", f"{', '.join(rules)} to write" if rules else "as they are"),
            ("store", f"{quilts} quilts and {len(self.operations) - quilts} blobs, {cost.stored_bytes} bytes"),
            ("stored already", f"{cost.skipped_bytes} bytes"),
            ("until", f"Walrus epoch {self.end_epoch} ({self.epochs} epochs)"),
            ("transactions", f"{cost.transactions}{'' if self.atomic else ', not atomic'}"),
            ("storage", str(cost.frost)),
            ("gas", f"about {cost.gas}"),
        ]
        if self.retiring:
            rows.append(("kept for a time", f"{len(self.retiring)} replaced assets"))
        rows += [("ignored", f"{path} ({why})") for path, why in self.ignored[:20]]
        return [*rows, *(("warning", text) for text in self.warnings)]

    def facts(self) -> tuple[str, Facts]:
        """Return what a notebook shows: the table, and how much is to do."""
        done = " (nothing to do)" if self.nothing_to_do else ""
        return f"Plan of {self.verb} {self.target.name}{done}", self.table()

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON-ready fields, amounts as decimal text with the unit in the name."""
        change, cost = self.change, self.cost
        rules = [name for name in ("name", "metadata", "routes", "redirects") if getattr(change, name) is not None]
        return {
            "digest": self.digest,
            "request_digest": self.request_digest,
            "network": self.network,
            "chain_id": self.chain_id,
            "n_shards": self.n_shards,
            "folder": self.root,
            "site_name": self.target.name,
            "site_id": None if self.target.site_id is None else str(self.target.site_id),
            "site_found": self.target.how,
            "owner": str(self.target.owner),
            "nothing_to_do": self.nothing_to_do,
            "add": list(change.add),
            "replace": list(change.replace),
            "remove": list(change.remove),
            "keep": len(change.keep),
            "rules": rules,
            "stores": [
                {
                    "operation": operation.key,
                    "kind": operation.kind.value,
                    "files": len(operation.pieces),
                    "body_bytes": operation.body_size,
                    "blob_bytes": operation.blob_size,
                    "storage_units": operation.units,
                    "cost_frost": str(operation.cost.units),
                }
                for operation in self.operations
            ],
            "epochs": self.epochs,
            "end_epoch": self.end_epoch.number,
            "transactions": cost.transactions,
            "atomic": self.atomic,
            "cost_frost": str(cost.frost.units),
            "gas_mist": str(cost.gas.units),
            "stored_bytes": cost.stored_bytes,
            "skipped_bytes": cost.skipped_bytes,
            "verb": self.verb,
            "message": self.message,
            "commit": self.commit,
            "tags": list(self.tags),
            "retiring": sorted(self.retiring),
            "warnings": list(self.warnings),
            "ignored": [{"path": path, "reason": why} for path, why in self.ignored],
        }

    def __rich__(self) -> str:
        """Return the table as lines, for terminals and notebooks."""
        width = max(len(label) for label, _ in self.table())
        return "\n".join(f"{label:<{width}}  {text}" for label, text in self.table())
