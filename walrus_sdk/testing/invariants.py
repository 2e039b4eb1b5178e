"""What must hold, as checks of three things only: the durable state, the world's own log, what callers were told.

Each violation names its invariant (PAY-1, STATE-4, …; docs/explanation/proof.md lists them).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from walrus_sdk.codecs import transaction as tx
from walrus_sdk.errors import ErrorClass, WalrusError
from walrus_sdk.localnet.blobs import Registration
from walrus_sdk.model import events
from walrus_sdk.model.chain import ObjectRef
from walrus_sdk.model.deployment import MOVES, Event, Status
from walrus_sdk.model.options import DeployResult
from walrus_sdk.model.units import BlobId, Digest, ObjectId
from walrus_sdk.ports import StoreRequest
from walrus_sdk.testing.journal import Disk
from walrus_sdk.testing.world import SimulatedWorld

__all__ = ["Violation", "Watcher", "check_state", "fold"]

_STATES = {
    events.EFFECT_INTENT: "intent",
    events.EFFECT_RELEASED: "released",
    events.EFFECT_DONE: "done",
    events.EFFECT_FAILED: "failed",
    events.EFFECT_UNKNOWN: "released",
}


class Violation(AssertionError):
    """An invariant does not hold."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


def fold(disk: Disk) -> dict[tuple[str, str], str]:
    """Return the state of each effect as the events tell it, in the order in which they were committed."""
    told: dict[tuple[str, str], str] = {}
    for event in disk.history:
        state = _STATES.get(event.type)
        if state is None:
            continue
        key = (str(event.data["kind"]), str(event.data["name"]))
        still_open = state == "intent" and told.get(key) == "released"
        told[key] = "released" if still_open or event.data.get("open") else state
    return told


def check_state(disk: Disk) -> None:
    """Check the durable state: histories without gaps (STATE-4), legal moves (STATE-3), pauses, rows as events tell."""
    for name, past in disk.events.items():
        if [event.number for event in past] != list(range(1, len(past) + 1)):
            raise Violation("STATE-4", f"the events of {name} are not numbered without gaps")
        _check_moves(name, [event.data for event in past if event.type == events.DEPLOYMENT_STATUS])
        _check_pauses(name, past)
    told = fold(disk)
    for (_, kind, name), row in disk.tables["operations"].items():
        if (kind, name) in told and row["state"] != told[(kind, name)]:
            raise Violation("STATE-4", f"{kind} {name} is {row['state']}, its events say {told[(kind, name)]}")


def _check_moves(name: str, moves: Iterable[Mapping[str, Any]]) -> None:
    now: str | None = None
    for move in moves:
        if now is not None and move["from"] != now:
            raise Violation("STATE-3", f"{name} moved from {move['from']}, and it was {now}")
        if Status(move["to"]) not in MOVES[Status(move["from"])]:
            raise Violation("STATE-3", f"{name} moved from {move['from']} to {move['to']}")
        now = move["to"]


def _check_pauses(name: str, past: Iterable[Event]) -> None:
    """Check that no store began between the moment in which an owner heard a pause and its continuing (PAUSE-1)."""
    paused: Event | None = None
    for event in past:
        if event.type == events.DEPLOYMENT_PAUSED:
            paused = event
        elif event.type == events.DEPLOYMENT_CONTINUED or (paused and event.incarnation != paused.incarnation):
            paused = None
        if paused is None or event.type != events.EFFECT_INTENT or event.data["kind"] != "store":
            continue
        if event.wall_ms > paused.wall_ms:  # what was being written down in that moment had begun
            raise Violation("PAUSE-1", f"{event.data['name']} of {name} began while it was paused")


@dataclass(slots=True)
class _Sent:
    """A transaction that was on the wire: how often, and how often it was refused for certain."""

    transaction: tx.TransactionData
    times: int = 0
    refused: int = 0


def _used(transaction: tx.TransactionData) -> list[ObjectRef]:
    owned = [arg.ref for arg in transaction.kind.inputs if isinstance(arg, tx.OwnedArg)]
    return [*transaction.gas.payment, *owned]


class Watcher:
    """Looks on while a world lives: at each payment, each transaction, each result that somebody was told."""

    def __init__(self, world: SimulatedWorld) -> None:
        self._world = world
        self._told: list[DeployResult] = []
        self._change: tuple[ObjectId, set[str], set[str]] | None = None
        self._sent: dict[tuple[ObjectId, int], str] = {}
        self._wire: dict[str, _Sent] = {}
        self._sites: dict[tuple[ObjectId, int], frozenset[BlobId]] = {}
        self._stored: set[BlobId] = set()
        self.payments = 0
        self.watch()

    def watch(self) -> None:
        """Look on in the world's new life."""
        self._world.store.paying = self._paying
        self._world.chain.executing = self._executing
        self._world.chain.answered = self._answered
        self._world.chain.after = self._after

    # ── while it happens ──────────────────────────────────────────────────────────────────────────────────────

    def _row(self, kind: str, name: str) -> Mapping[str, Any] | None:
        return self._world.disk.tables["operations"].get((self._world.net.genesis.chain_id, kind, name))

    def _paying(self, request: StoreRequest, end: int) -> None:
        self.payments += 1
        row = self._row("store", str(request.blob_id))
        if row is None or row["state"] not in ("released", "done"):
            state = row["state"] if row is not None else "nothing"
            raise Violation("STATE-5", f"{request.blob_id} is paid while the journal knows {state} of it")
        if row["state"] == "done" and _covers(row, end) and not request.deletable:
            raise Violation("PAY-1", f"{request.blob_id} is paid again although it is recorded until {end}")
        found = self._world.net.blobs.certified(request.blob_id, permanent=True)
        if found is not None and found.end_epoch >= end and not request.deletable:
            raise Violation("PAY-1", f"{request.blob_id} is paid again although it is certified until {end}")

    def _may_happen(self, digest: str) -> bool:
        """Return whether a transaction that was sent can still be executed, by the chain and its own bytes alone."""
        chain, sent = self._world.net.chain, self._wire[digest]
        if Digest.parse(digest) in chain.records or sent.refused == sent.times:
            return False
        expiration = sent.transaction.expiration
        if isinstance(expiration, tx.EpochExpiration) and chain.sui_epoch.number > expiration.epoch.number:
            return False
        there = [chain.objects.get(ref.id) for ref in _used(sent.transaction)]
        return all(
            item is not None and item.version == ref.version
            for item, ref in zip(there, _used(sent.transaction), strict=True)
        )

    def _answered(self, transaction: bytes, error: Exception | None) -> None:
        if isinstance(error, WalrusError) and error.error_class is not ErrorClass.LOOK_FIRST:
            self._wire[str(tx.transaction_digest(transaction))].refused += 1

    def _executing(self, transaction: bytes) -> None:
        digest = str(tx.transaction_digest(transaction))
        row = self._row("transaction", digest)
        signed = self._world.disk.tables["transactions"].get((self._world.net.genesis.chain_id, digest))
        known = signed is not None and signed["bytes"] == transaction
        if not known or row is None or row["state"] not in ("released", "done"):
            raise Violation("STATE-5", f"transaction {digest} is sent before it is journalled")
        sent = self._wire.setdefault(digest, _Sent(tx.decode_transaction(transaction)))
        sent.times += 1
        self._check_alone(sent.transaction, digest)

    def _check_alone(self, transaction: tx.TransactionData, digest: str) -> None:
        """Check that what is sent uses no object of another transaction that may still happen (PAY-4, PAY-5)."""
        for ref in _used(transaction):
            first = self._sent.get((ref.id, ref.version))
            if first is not None and first != digest and self._may_happen(first):
                raise Violation("PAY-5", f"{ref.id} at {ref.version} is in {first}, which may happen, and in {digest}")
            self._sent[(ref.id, ref.version)] = digest

    def expects(self, site_id: ObjectId, paths: Iterable[str]) -> None:
        """Tell that a site is to have these paths next: until all are there, none of the old ones may go (SERVE-2)."""
        self._change = site_id, set(self._world.chain.resources(site_id)), set(paths)

    def _after(self) -> None:
        if self._world.net.chain.equivocations:
            raise Violation("PAY-5", f"two transactions over one object: {self._world.net.chain.equivocations[0]}")
        self._check_stored()
        if self._change is None:
            return
        site_id, old, new = self._change
        now = set(self._world.chain.resources(site_id))
        if new - now and old - now:
            raise Violation("SERVE-2", f"{min(old - now)} went before {min(new - now)} was there")

    def _check_stored(self) -> None:
        """Check that no site refers to anything that was never certified (CONTENT-3)."""
        for site_id, needed in self._world.chain.references(self._world.signer.address, self._sites).items():
            for blob_id in needed - self._stored:
                if not any(found.certified for found in self._world.net.blobs.registrations(str(blob_id))):
                    raise Violation("CONTENT-3", f"site {site_id} refers to {blob_id}, which was never stored")
                self._stored.add(blob_id)

    def told(self, result: DeployResult) -> None:
        """Note a result that a caller was given."""
        self._told.append(result)

    # ── afterwards ────────────────────────────────────────────────────────────────────────────────────────────

    async def check(self, sites: int) -> None:
        """Check everything that must hold at every moment; `sites` is how many sites were asked for so far."""
        world, disk = self._world, self._world.disk
        check_state(disk)
        if world.net.chain.equivocations:
            raise Violation("PAY-5", f"two transactions over one object: {world.net.chain.equivocations[0]}")
        self._check_served()
        found = await world.site_ids()
        if len(found) > sites:
            raise Violation("PAY-4", f"{len(found)} sites were made, {sites} were asked for")
        self._check_told()
        self._check_doubles()

    def _check_served(self) -> None:
        """Check that no site, and no version that is kept, refers to bytes that were deleted before their time."""
        gone = {blob_id for blob_id in map(BlobId.parse, self._world.paid()) if self._is_deleted(blob_id)}
        if not gone:
            return
        for site_id, needed in self._world.chain.references(self._world.signer.address, self._sites).items():
            if gone & needed:
                raise Violation("SERVE-4", f"site {site_id} refers to {min(gone & needed)}, which was deleted")
        for row in self._world.disk.tables["versions"].values():
            if gone & _blobs_of(row["manifest"]):
                raise Violation("SERVE-3", f"version {row['n']} needs {min(gone & _blobs_of(row['manifest']))}")

    def _is_deleted(self, blob_id: BlobId) -> bool:
        blobs, now = self._world.net.blobs, self._world.net.chain.walrus_epoch.number
        bought = [found for found in blobs.registrations(str(blob_id)) if found.certified]
        return any(found.end_epoch > now for found in bought) and blobs.certified(blob_id) is None

    def _check_told(self) -> None:
        deployments = self._world.disk.tables["deployments"]
        for result in self._told:
            row = deployments.get((str(result.deployment_id),))
            if row is None and str(result.deployment_id) in self._world.disk.dropped:
                continue  # cleaned up since
            if row is None or row["status"] != "completed":
                raise Violation("STATE-1", f"{result.deployment_id} was told to be complete, and is not")

    def _check_doubles(self) -> None:
        """Check that payments beyond the first of a lifetime are said somewhere (PAY-2)."""
        disk = self._world.disk
        said = {
            str(event.data["name"])
            for past in (*disk.events.values(), disk.forgotten)
            for event in past
            if event.type == events.SECOND_PAYMENT_POSSIBLE
        }
        for blob_id, times in self._world.paid().items():
            if times > self._lifetimes(blob_id) and blob_id not in said:
                raise Violation("PAY-2", f"{blob_id} was paid {times} times, and nothing says so")

    def _lifetimes(self, blob_id: str) -> int:
        """Return how many payments were meant: one for each end and kind, and one more for each that was deleted."""
        bought = self._world.net.blobs.registrations(blob_id)
        meant = {(found.end_epoch, found.deletable) for found in bought}
        gone = [found for found in bought if found.deletable and not self._is_there(found)]
        return max(1, len(meant) + len(gone))

    def _is_there(self, found: Registration) -> bool:
        return self._world.net.chain.objects.get(ObjectId.parse(found.object_id)) is not None


@lru_cache(maxsize=64)
def _blobs_of(manifest: str) -> frozenset[BlobId]:
    return frozenset(BlobId.parse(resource["blob_id"]) for resource in json.loads(manifest)["resources"].values())


def _covers(row: Mapping[str, Any], end: int) -> bool:
    return bool(row["outcome"]) and int(json.loads(row["outcome"])["end_epoch"]) >= end
