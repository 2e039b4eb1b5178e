"""Versions of a site, what lies between two of them, and what a cleanup would do, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from walrus_sdk.model.html import Facts, Shown
from walrus_sdk.model.reports import iso
from walrus_sdk.model.units import BlobId, DeploymentId, Digest, ObjectId, WalrusEpoch

__all__ = ["BlobFate", "CleanupReport", "Download", "Lock", "Version", "VersionDiff"]


_SHOWN = 50
"""Paths of each kind that a notebook shows."""


@dataclass(frozen=True, slots=True)
class Version:
    """One complete published state of a site that this home can name and restore.

    `end_epoch` is the first Walrus epoch in which a part of it is gone (`None`: not known here). `current`: the site
    on chain is at this version. `kept`: cleanup spares it, because it is pinned or among the last.
    """

    number: int
    site_id: ObjectId
    deployment_id: DeploymentId
    created_ms: int
    message: str
    commit: str
    tags: tuple[str, ...]
    files: int
    digest: Digest
    end_epoch: WalrusEpoch | None
    current: bool
    pinned: bool
    verb: str = "deploy"

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "version": self.number,
            "site_id": str(self.site_id),
            "deployment_id": str(self.deployment_id),
            "created": iso(self.created_ms),
            "message": self.message,
            "commit": self.commit,
            "tags": list(self.tags),
            "files": self.files,
            "digest": str(self.digest),
            "end_epoch": None if self.end_epoch is None else self.end_epoch.number,
            "current": self.current,
            "pinned": self.pinned,
            "verb": self.verb,
        }


@dataclass(frozen=True, slots=True)
class VersionDiff(Shown):
    """What differs from one state of a site to another: paths, and the rules that differ."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    same: int
    rules: tuple[str, ...]

    def facts(self) -> tuple[str, Facts]:
        """Return what a notebook shows: a line for each path and rule that differs."""
        groups = (("added", self.added), ("changed", self.changed), ("removed", self.removed), ("rules", self.rules))
        rows = [(label, name) for label, names in groups for name in names[:_SHOWN]]
        rows += [(label, f"and {len(names) - _SHOWN:,} more") for label, names in groups if len(names) > _SHOWN]
        return "What differs", [*rows, ("the same", f"{self.same:,} files")]

    @property
    def empty(self) -> bool:
        """Whether there is no difference."""
        return not (self.added or self.changed or self.removed or self.rules)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "added": list(self.added),
            "changed": list(self.changed),
            "removed": list(self.removed),
            "same": self.same,
            "rules": list(self.rules),
        }


@dataclass(frozen=True, slots=True)
class Download:
    """Where a version was written: files in all, those that were there already, bytes that were read."""

    folder: str
    files: int
    there: int
    bytes_read: int

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {"folder": self.folder, "files": self.files, "there": self.there, "bytes_read": self.bytes_read}


@dataclass(frozen=True, slots=True)
class Lock:
    """A site that does not take deploys: why, and since when (milliseconds since 1970 UTC)."""

    site_id: ObjectId
    reason: str
    since_ms: int

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {"site_id": str(self.site_id), "reason": self.reason, "since": iso(self.since_ms)}


@dataclass(frozen=True, slots=True)
class BlobFate:
    """A blob that no kept version refers to: deleted, or left until its end because it is permanent."""

    blob_id: BlobId
    size: int
    end_epoch: WalrusEpoch
    deletable: bool
    object_id: ObjectId | None

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "blob_id": str(self.blob_id),
            "size": self.size,
            "end_epoch": self.end_epoch.number,
            "deletable": self.deletable,
            "object_id": None if self.object_id is None else str(self.object_id),
        }


@dataclass(frozen=True, slots=True)
class CleanupReport(Shown):
    """What a cleanup does, or would do: deployments and versions forgotten, blobs deleted or waiting for their end.

    `possibly_paid_in_vain` names the blobs of which deployments that it forgets, and those that came to nothing, know
    that, and no result tells any more.
    """

    deployments: tuple[DeploymentId, ...]
    versions: tuple[tuple[ObjectId, int], ...]
    deleted: tuple[BlobFate, ...]
    waiting: tuple[BlobFate, ...]
    dry_run: bool
    deployment_id: DeploymentId | None = None
    digests: tuple[Digest, ...] = ()
    possibly_paid_in_vain: tuple[str, ...] = ()

    def facts(self) -> tuple[str, Facts]:
        """Return what a notebook shows: how much goes, and what ends by itself."""
        would = "would be " if self.dry_run else ""
        facts = [
            (f"{would}forgotten", f"{len(self.deployments):,} deployments, {len(self.versions):,} versions"),
            (f"{would}deleted", f"{len(self.deleted):,} blobs, {sum(blob.size for blob in self.deleted):,} bytes"),
        ]
        facts += [(f"{would}deleted", str(blob.blob_id)) for blob in self.deleted[:_SHOWN]]
        if self.waiting:
            facts.append(("end by themselves", f"{len(self.waiting):,} blobs that are permanent"))
        facts += [("paid in vain", f"{name}: possibly; no other result tells it")
                  for name in self.possibly_paid_in_vain]  # fmt: skip
        return "Cleanup (dry run)" if self.dry_run else "Cleanup", facts

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "dry_run": self.dry_run,
            "deployments": [str(item) for item in self.deployments],
            "versions": [{"site_id": str(site_id), "version": number} for site_id, number in self.versions],
            "deleted": [blob.to_json() for blob in self.deleted],
            "waiting": [blob.to_json() for blob in self.waiting],
            "deployment_id": None if self.deployment_id is None else str(self.deployment_id),
            "digests": [str(digest) for digest in self.digests],
            "possibly_paid_in_vain": list(self.possibly_paid_in_vain),
        }
