"""What may be cleaned up, as a pure function of what is there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from walrus_sdk.model.chain import BlobObject
from walrus_sdk.model.units import BlobId, DeploymentId, ObjectId, WalrusEpoch
from walrus_sdk.model.versions import BlobFate
from walrus_sdk.planning.history import kept, old_deployments

__all__ = ["CleanupFacts", "Decision", "Extent", "decide"]


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a cleanup goes: histories older than so many days, all versions of a site but the last so many.

    `only` is a deployment: then histories and versions stay, and blobs go that it stored.
    """

    older_than_days: float
    keep_last: int
    only: DeploymentId | None = None


@dataclass(frozen=True, slots=True)
class CleanupFacts:
    """What a cleanup is decided from.

    `versions` and `deployments` are rows. `recorded` are the blobs that this home (or the one deployment) stored,
    `owned` the Blob objects of the wallet, `needed` the blobs that sites on chain, versions that stay and unfinished
    deployments refer to.
    """

    versions: Sequence[Mapping[str, Any]]
    deployments: Sequence[Mapping[str, Any]]
    recorded: Collection[BlobId]
    owned: Sequence[BlobObject]
    needed: Collection[BlobId]
    epoch: WalrusEpoch
    now_ms: int
    extent: Extent


@dataclass(frozen=True, slots=True)
class Decision:
    """What goes: histories, versions, blobs that are deleted, blobs that wait for their end; and whose checkpoints."""

    deployments: tuple[DeploymentId, ...]
    versions: tuple[tuple[str, ObjectId, int], ...]
    deleted: tuple[BlobFate, ...]
    waiting: tuple[BlobFate, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing is to be done."""
        return not (self.deployments or self.versions or self.deleted)


def decide(facts: CleanupFacts) -> Decision:
    """Return what may go: only what this home made, and what nothing that stays refers to (invariant SERVE-4)."""
    extent, histories = facts.extent, facts.extent.only is None
    stay = kept(facts.versions, extent.keep_last) if histories else facts.versions
    places = {(row["chain"], row["site_id"], row["n"]) for row in stay}
    old = old_deployments(facts.deployments, {row["deployment"] for row in stay}, facts.now_ms, extent.older_than_days)
    blobs = [_fate(blob) for blob in facts.owned if _is_unneeded(facts, blob)]
    return Decision(
        deployments=tuple(DeploymentId(name) for name in old) if histories else (),
        versions=tuple(
            (row["chain"], ObjectId.parse(row["site_id"]), row["n"])
            for row in facts.versions
            if (row["chain"], row["site_id"], row["n"]) not in places
        ),
        deleted=tuple(blob for blob in blobs if blob.deletable),
        waiting=tuple(blob for blob in blobs if not blob.deletable),
    )


def _is_unneeded(facts: CleanupFacts, blob: BlobObject) -> bool:
    return (
        blob.blob_id in facts.recorded
        and blob.blob_id not in facts.needed
        and blob.end_epoch.number > facts.epoch.number
    )


def _fate(blob: BlobObject) -> BlobFate:
    return BlobFate(blob.blob_id, blob.size, blob.end_epoch, blob.deletable, blob.ref.id)
