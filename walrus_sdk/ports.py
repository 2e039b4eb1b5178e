"""The ports: protocols of few methods through which the engine reaches everything outside itself.

Lives here: the protocols, the values that cross them, and `World`, which holds one of each.
Must not live here: an implementation. Adapters implement them for the real world (`source`, `journal`,
`walrus`, `sui`), `testing` for a simulated one; each port has one contract suite that both must pass.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from walrus_sdk.model.chain import BlobObject, Coin, OwnedObject, Simulation, TransactionOutcome
from walrus_sdk.model.deployment import Event
from walrus_sdk.model.network import ChainState
from walrus_sdk.model.plan import Piece, Snapshot, StoreKind
from walrus_sdk.model.site import SiteSnapshot
from walrus_sdk.model.units import (
    BlobId,
    DeploymentId,
    Digest,
    Frost,
    ObjectId,
    QuiltPatchId,
    SuiAddress,
    WalrusEpoch,
)

__all__ = [
    "FREE_TABLES",
    "BlobStore",
    "Chain",
    "Change",
    "Checkpoints",
    "Clock",
    "Content",
    "Drop",
    "Folder",
    "FolderLook",
    "Hook",
    "Ids",
    "Journal",
    "JsonText",
    "Ownership",
    "Part",
    "Put",
    "Random",
    "Release",
    "ScanProgress",
    "ScanRules",
    "Signer",
    "SigningRequest",
    "Sleep",
    "StoreReceipt",
    "StoreRequest",
    "Threads",
    "World",
    "no_hook",
]

T = TypeVar("T")


# ── time, chance, work ────────────────────────────────────────────────────────────────────────────────────────────


class Clock(Protocol):
    """The clocks. Leases and back-off use `monotonic`; settle times use `boot_s` within one boot, else `wall_ms`."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC; for people, may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def boot_s(self) -> float:
        """Seconds since boot, time in suspend included."""
        ...

    def boot_id(self) -> str:
        """A text that differs from boot to boot."""
        ...


class Sleep(Protocol):
    """Waits."""

    async def __call__(self, seconds: float) -> None:
        """Wait `seconds`; cancellation leaves nothing behind."""
        ...


class Random(Protocol):
    """Chance for jitter and samples; never for secrets."""

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`."""
        ...


class Ids(Protocol):
    """Fresh names."""

    def deployment_id(self) -> DeploymentId:
        """A deployment id that no other has."""
        ...


class Threads(Protocol):
    """Work off the event loop; inline in virtual time, where a thread would break the clock."""

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run blocking I/O in a worker thread."""
        ...

    async def compute(self, function: Callable[..., T], *args: Any) -> T:
        """Run a pure, CPU-bound function of plain values where it does not hold up the loop (a thread or process)."""
        ...


# ── storage ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Content(Protocol):
    """Bytes of known length, in chunks; raises `ValidationError` ``file_changed`` when they are not those planned."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Start at the first byte; each call starts anew."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """One content of a store request: identifier (unused for a blob), size in bytes, SHA-256, and the bytes.

    `verified`: the content itself keeps its last chunk back until size and SHA-256 are those planned, as that of a
    `Folder` does; any other is hashed by the store while it is sent.
    """

    identifier: str
    size: int
    sha256: bytes
    content: Content
    verified: bool = False


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A store: what, for how many Walrus epochs from now, for whom. `blob_id` is the effect's name."""

    kind: StoreKind
    blob_id: BlobId
    parts: tuple[Part, ...]
    epochs: int
    owner: SuiAddress
    deletable: bool = False


@dataclass(frozen=True, slots=True)
class StoreReceipt:
    """A publisher's answer: blob id, end epoch (exclusive), FROST paid, and whether it was stored before.

    `patches` maps identifiers to patch ids for a quilt. `object_id` is the Blob object, where one was made for us.
    `publisher` is the one that stored it, by its number.
    """

    blob_id: BlobId
    end_epoch: WalrusEpoch
    cost: Frost
    already_certified: bool
    object_id: ObjectId | None = None
    patches: Mapping[str, QuiltPatchId] = field(default_factory=dict)
    endpoint: str = ""
    publisher: int = 0


class JsonText(str):
    """A part of a checkpoint that is JSON already: written once, it goes into each of them as it is."""

    __slots__ = ()


Release = Callable[[], Awaitable[None]]
"""Called once, just before the last bytes of a paid body leave; it makes the `released` row durable."""


class BlobStore(Protocol):
    """Where bytes live. Implementations map failures to the error tree; they never retry and never journal."""

    @property
    def publishers(self) -> int:
        """How many publishers there are to store at, numbered from 0."""
        ...

    async def store(self, request: StoreRequest, release: Release, *, at: int = 0) -> StoreReceipt:
        """Send one blob or quilt to publisher number `at`, or to another one while that one is known not to work.

        All but the last chunk (at most 64 KiB) is sent, then `release` is awaited, then the rest. Raises an error
        of class ``look_first`` when the outcome is unknown, any other class when it is known not to be stored.
        """
        ...

    async def read(
        self,
        ref: BlobId | QuiltPatchId,
        sink: Callable[[bytes], object],
        *,
        span: tuple[int, int] | None = None,
        max_size: int,
    ) -> int:
        """Feed the bytes of a blob or patch to `sink` and return their number.

        `span` is ``(start, length)`` in bytes. Raises `StorageError` ``blob_not_found`` and its siblings, and
        ``answer_too_large`` beyond `max_size` bytes.
        """
        ...


# ── chain ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Chain(Protocol):
    """Sui, as far as a site needs it. Reads are fresh; amounts are base units."""

    async def state(self) -> ChainState:
        """Read chain id, epochs, gas price, shard count, prices and Walrus packages."""
        ...

    async def site(self, site_id: ObjectId, *, known: SiteSnapshot | None = None) -> SiteSnapshot | None:
        """Read a site; `known` itself is returned when its version and digest are current. `None`: no such object."""
        ...

    async def sites(self, owner: SuiAddress) -> Sequence[tuple[ObjectId, str]]:
        """List the Site objects that `owner` holds, with their names."""
        ...

    async def blobs(self, owner: SuiAddress) -> Sequence[BlobObject]:
        """List the Blob objects that `owner` holds."""
        ...

    async def coins(self, owner: SuiAddress) -> Sequence[Coin]:
        """List the SUI coins of `owner`, largest first."""
        ...

    async def objects(self, ids: Sequence[ObjectId]) -> Sequence[OwnedObject | None]:
        """Read current references; `None` where there is no such object."""
        ...

    async def simulate(self, transaction: bytes, *, estimate: bool = False) -> Simulation:
        """Dry-run a transaction's bytes; with `estimate` the payment may be empty (for a gas figure)."""
        ...

    async def execute(self, transaction: bytes, signatures: Sequence[bytes]) -> TransactionOutcome:
        """Send a signed transaction and wait for finality; sending the same bytes again is safe."""
        ...

    async def transaction(self, digest: Digest) -> TransactionOutcome | None:
        """Look a transaction up; `None`: not known here yet, which does not mean never executed."""
        ...


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """What a signer is shown: the bytes to sign, their digest, and what they are meant to do."""

    transaction: bytes
    digest: Digest
    purpose: str
    site: ObjectId | None
    gas_budget: int
    plan_digest: str


class Signer(Protocol):
    """Signs site transactions as their owner."""

    @property
    def address(self) -> SuiAddress:
        """The address that signs and pays gas."""
        ...

    async def sign(self, request: SigningRequest) -> bytes:
        """Return the serialised signature (flag, signature, public key). Raises ``signature_refused``."""
        ...


# ── journal ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Put:
    """Insert or update one row: `key` finds it, `values` are set; columns not named keep their value.

    `expect`: columns that the row must still have (empty: there must be no such row), else nothing of the whole
    append is written and it raises `OwnershipError` ``row_changed``: somebody else was faster.
    """

    table: str
    key: Mapping[str, Any]
    values: Mapping[str, Any]
    expect: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """Delete the rows of a table that are equal to `where` (never empty)."""

    table: str
    where: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """An event and the rows that it changes, committed together. `data` holds JSON-ready values.

    `drops` are carried out last, after the event is written.
    """

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    puts: tuple[Put, ...] = ()
    drops: tuple[Drop, ...] = ()


FREE_TABLES = frozenset({"alerts", "deliveries", "locks", "requests", "samples", "versions"})
"""Tables that may be written without owning a deployment: what people ask for, what they mark, what watchers saw, and
what is only for eyes: a sample of an owner that was fenced off names its incarnation, and does no harm."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """The right to write a deployment's state: its id and the incarnation that every commit is checked against."""

    deployment: DeploymentId
    incarnation: int


class Journal(Protocol):
    """The durable state: events and rows, without knowing their meaning. At most six methods, for good."""

    async def append(self, owner: Ownership | None, changes: Sequence[Change]) -> Sequence[Event]:
        """Commit events and rows durably in one transaction.

        Without an owner only rows of `FREE_TABLES` are written, and no event.

        Raises `OwnershipError` ``fenced`` when a newer incarnation exists and ``row_changed`` when a row is not as
        a put expects it, `StateError` when it cannot be written; then nothing of it is there.
        """
        ...

    async def events(self, deployment: DeploymentId, *, after: int = 0) -> Sequence[Event]:
        """Read the events of a deployment numbered above `after`, in order."""
        ...

    async def rows(
        self, table: str, where: Mapping[str, Any] | None = None, *, columns: Sequence[str] = ()
    ) -> Sequence[Mapping[str, Any]]:
        """Read rows of a table by equality, in insertion order: all their columns, or those that are named."""
        ...

    async def claim(self, deployment: DeploymentId, *, new: bool = False, take_over: bool = False) -> Ownership:
        """Become the owner: take the operating-system lock and the next incarnation.

        Raises `OwnershipError` ``deployment_owned`` (who, since when) while another live process owns it; with
        `take_over` that one is fenced off instead: it can write nothing any more.
        """
        ...

    async def release(self, owner: Ownership) -> None:
        """Give the ownership back."""
        ...

    async def cache(self, key: str, value: bytes | None = None) -> bytes | None:
        """Read (or, with `value`, write) an entry of the cache, which may be deleted at any time."""
        ...


class Checkpoints(Protocol):
    """Self-contained files from which a deployment can go on, even on another machine."""

    async def write(self, deployment: DeploymentId, number: int, moment: str, data: Mapping[str, Any]) -> str:
        """Write ``<nn>-<moment>.json.zst`` durably and return its name; values of `data` may be `JsonText`."""
        ...

    async def remove(self, deployment: DeploymentId) -> None:
        """Remove all checkpoints of a deployment; there may be none."""
        ...


# ── folder ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ScanRules:
    """How a folder is scanned: site paths to leave out, files allowed although they look secret, own files to skip."""

    ignore: Callable[[str], bool]
    allow_files: Container[str] = frozenset()
    skip_files: frozenset[str] = frozenset()
    site_path: Callable[[str], str] = lambda relative: "/" + relative


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far a scan got: files found, files hashed, bytes hashed."""

    found: int
    hashed: int
    bytes_hashed: int


@dataclass(frozen=True, slots=True)
class FolderLook:
    """What a folder looks like: a digest of names and statuses, how many files it has (ignored ones too), their bytes.

    `settled`: nothing in it is so young that it could change without looking different.
    """

    digest: bytes
    files: int
    size: int
    settled: bool


class Folder(Protocol):
    """The site folder."""

    async def look(self) -> FolderLook | None:
        """Look at the folder without reading a file; `None` when that does not tell what a scan would find.

        Two looks that are equal, the first of them settled, mean that a scan after the first found what a scan would
        find now.
        """
        ...

    async def scan(self, rules: ScanRules, progress: Callable[[ScanProgress], None]) -> Snapshot:
        """Walk, check and hash the folder. Raises `ValidationError` with the file that is at fault."""
        ...

    async def doubt(self, sources: Collection[str]) -> Mapping[str, bytes]:
        """Hash scanned files again whose hash was only remembered; returns the hashes that were wrong, by source."""
        ...

    def content(self, source: str, size: int, sha256: bytes) -> Content:
        """Open a scanned file for reading; the last chunk comes only when the bytes are those that were hashed."""
        ...

    def contents(self, pieces: Sequence[Piece]) -> Sequence[Content]:
        """Open the files of one store, to be read in this order: small ones may be read together. As `content`."""
        ...

    async def read(self, source: str, *, max_size: int) -> bytes | None:
        """Read a small file of the folder whole; `None` when there is none."""
        ...


# ── the world ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Hook(Protocol):
    """Called before and after every journal commit and external call of an effect; crash tests count these."""

    async def __call__(self, point: str) -> None:
        """`point` is one of `walrus_sdk.engine.effect.POINTS`."""
        ...


async def no_hook(point: str) -> None:
    """Do nothing: the hook of the real world."""


@dataclass(frozen=True, slots=True)
class World:
    """One of each port: all that the engine is given."""

    clock: Clock
    sleep: Sleep
    random: Random
    ids: Ids
    threads: Threads
    store: BlobStore
    chain: Chain
    signer: Signer
    journal: Journal
    checkpoints: Checkpoints
    folder: Folder
    hook: Hook = no_hook
