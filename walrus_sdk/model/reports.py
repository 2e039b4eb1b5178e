"""What a home tells about its deployments and sites, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from walrus_sdk.model.units import DeploymentId, ObjectId

__all__ = ["DeploymentReport", "DeploymentSummary", "VerifyReport", "iso"]


def iso(ms: int | None) -> str | None:
    """Return milliseconds since 1970 UTC as ISO 8601."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class DeploymentSummary:
    """One deployment in a line.

    `status` is a `Status` value, or ``interrupted`` when its owner is gone before the end, or ``paused`` when its owner
    is asked to begin nothing new. `progress` is the share of its files that are stored, 0 to 1. Times are milliseconds
    since 1970 UTC. `resumable`: the same command goes on. `verb` is what it is a run of: ``deploy``, ``rollback``,
    ``cleanup`` (which is about no site), or a record of:
    ``adopt``, ``forget``.
    """

    deployment_id: DeploymentId
    site_name: str
    network: str
    status: str
    progress: float
    started_ms: int
    finished_ms: int | None = None
    site_id: ObjectId | None = None
    url: str = ""
    version: int | None = None
    message: str = ""
    commit: str = ""
    reason: str = ""
    resumable: bool = False
    verb: str = "deploy"

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields; times as ISO 8601 texts in UTC."""
        return {
            "deployment_id": str(self.deployment_id),
            "site_name": self.site_name,
            "network": self.network,
            "status": self.status,
            "progress": round(self.progress, 4),
            "started": iso(self.started_ms),
            "finished": iso(self.finished_ms),
            "site_id": None if self.site_id is None else str(self.site_id),
            "url": self.url,
            "version": self.version,
            "message": self.message,
            "commit": self.commit,
            "reason": self.reason,
            "resumable": self.resumable,
            "verb": self.verb,
        }


@dataclass(frozen=True, slots=True)
class DeploymentReport:
    """Everything that the journal knows of one deployment; `details` are JSON-ready lists of rows by name."""

    summary: DeploymentSummary
    details: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the summary's fields and the details."""
        return {**self.summary.to_json(), **self.details}


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """A site that was read back as visitors get it, and was right.

    `how` says how much was read (a `Verify` value), `files` how many. `version` is the version in this home that
    the site is at, `None` when it was last changed from elsewhere.
    """

    site_id: ObjectId
    site_name: str
    url: str
    how: str
    files: int
    version: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "site_id": str(self.site_id),
            "site_name": self.site_name,
            "url": self.url,
            "verified": self.how,
            "files": self.files,
            "version": self.version,
        }
