"""What a home tells about its deployments and sites, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from walrus_sdk.model.html import Facts, Shown
from walrus_sdk.model.units import DeploymentId, ObjectId

__all__ = ["DeploymentReport", "DeploymentSummary", "Page", "VerifyReport", "iso"]


def iso(ms: int | None) -> str | None:
    """Return milliseconds since 1970 UTC as ISO 8601."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class DeploymentSummary(Shown):
    """One deployment in a line.

    `status` is a `Status` value, or ``interrupted`` when its owner is gone before the end, or ``paused`` when its owner
    is asked to begin nothing new. `progress` is the share of its files that are stored, 0 to 1. Times are milliseconds
    since 1970 UTC. `resumable`: the same command goes on. `verb` is what it is a run of: ``deploy``, ``rollback``,
    ``cleanup`` (which is about no site), or a record of: ``adopt``, ``forget``. `folder` is where its files were.
    `chain` is the id of the chain that it is for.
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
    folder: str = ""
    chain: str = ""

    def facts(self) -> tuple[str, Facts]:
        """Return what a notebook shows; what is not known is left out."""
        facts = [
            ("status", f"{self.status}, can go on" if self.resumable else self.status),
            ("reason", self.reason),
            ("site", str(self.site_id or "")),
            ("network", self.network),
            ("address", self.url),
            ("version", "" if self.version is None else str(self.version)),
            ("stored", f"{self.progress:.0%} of its files"),
            ("started", iso(self.started_ms) or ""),
            ("finished", iso(self.finished_ms) or ""),
            ("message", self.message),
            ("commit", self.commit),
            ("folder", self.folder),
        ]
        return f"{self.verb} {self.site_name} {self.deployment_id}", [(label, text) for label, text in facts if text]

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
            "folder": self.folder,
        }


@dataclass(frozen=True, slots=True)
class DeploymentReport(Shown):
    """Everything that the journal knows of one deployment; `details` are JSON-ready lists of rows by name."""

    summary: DeploymentSummary
    details: Mapping[str, Any]

    def facts(self) -> tuple[str, Facts]:
        """Return what a notebook shows: the summary, how many of each there are, and the last failures."""
        caption, facts = self.summary.facts()
        counted = [
            (name, f"{len(rows):,}")
            for name in ("entries", "operations", "attempts", "transactions", "checkpoints", "events")
            if (rows := self.details.get(name))
        ]
        failures = [
            ("error", f"{row.get('operation', '')}: {row.get('code')}: {row.get('message')}")
            for row in self.details.get("errors", ())[-5:]
        ]
        return caption, [*facts, *counted, *failures]

    def to_json(self) -> dict[str, Any]:
        """Return the summary's fields and the details."""
        return {**self.summary.to_json(), **self.details}


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a site as visitors get it: the path that is served, its content type, its bytes."""

    path: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class VerifyReport(Shown):
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

    def facts(self) -> tuple[str, Facts]:
        """Return what a notebook shows."""
        version = "changed from elsewhere" if self.version is None else str(self.version)
        read = f"{self.how}: {self.files:,} files are served as they are on chain"
        facts = [("verified", read), ("address", self.url), ("site", str(self.site_id)), ("version", version)]
        return f"Verified {self.site_name}", facts

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
