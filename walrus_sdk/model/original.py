"""The values of the original design: what the journal tells of one deployment, under the names that it had there.

All are frozen views, made of a `DeploymentReport` by `of`; nothing is stored in this form. Times are milliseconds
since 1970 UTC, sizes bytes, amounts FROST and MIST, lifetimes Walrus epochs, shares 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from walrus_sdk.errors import CODES, ErrorClass
from walrus_sdk.model.deployment import EffectState, Status
from walrus_sdk.model.reports import DeploymentReport
from walrus_sdk.model.units import BlobId, DeploymentId, Digest, Frost, Mist, ObjectId, SuiEpoch, WalrusEpoch

__all__ = [
    "ERROR_KIND",
    "LABELS_KIND",
    "DeploymentHealth",
    "DeploymentOptions",
    "DeploymentProgress",
    "DeploymentResult",
    "DeploymentState",
    "ErrorRecord",
    "FileProgress",
    "RecoveryState",
    "TransactionOperation",
    "UploadOperation",
    "WalrusOperations",
]

LABELS_KIND = "labels"
"""The kind of the row of `requests` that holds a deployment's labels."""
ERROR_KIND = "error:"
"""How the kinds of the rows of `requests` begin that hold errors which a user recorded."""


@dataclass(frozen=True, slots=True)
class DeploymentOptions:
    """What `WalrusSitesDeploymentService.deploy` is asked for; `None`: as the project file or the network says.

    `build_directory` is the built site. `epochs`: Walrus epochs that new storage is paid for. `gas_budget`: the most
    that one transaction may use, in MIST. How failures are met is said once, when the service is made.
    """

    build_directory: str | Path
    site_name: str | None = None
    network: str | None = None
    epochs: int | None = None
    gas_budget: Mist | None = None


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """One failure: a code, what was found, when (ms), and the operation that it happened to (empty: none).

    Codes of this package are rows of `walrus_sdk.errors.CODES`; who records an error of his own may use others.
    """

    code: str
    message: str
    time_ms: int | None = None
    operation: str = ""

    @property
    def error_class(self) -> ErrorClass | None:
        """What can be done about it; `None` for a code that is not of this package."""
        return CODES[self.code].error_class if self.code in CODES else None

    @property
    def recoverable(self) -> bool:
        """Whether another try makes sense, by itself or after input or wallet were mended."""
        return self.error_class is not None and self.error_class is not ErrorClass.GIVE_UP

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {"code": self.code, "message": self.message, "time_ms": self.time_ms, "operation": self.operation}


@dataclass(frozen=True, slots=True)
class FileProgress:
    """How far the files are.

    `uploaded_files` counts those that this deployment stored; `completed_files` are the paths whose content is known
    to be stored, by whichever deployment; `failed_files` those whose store failed and was not done since.
    """

    total_files: int
    uploaded_files: int
    failed_files: tuple[str, ...]
    completed_files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UploadOperation:
    """One store of a blob or quilt: its files (site paths), their size in bytes, and how far it is.

    `status` is an `EffectState` value. `blob_id` is known once it is computed, `end_epoch` (exclusive) and `cost`
    once it is done; a store that another deployment did costs nothing here.
    """

    id: str
    files: tuple[str, ...]
    size: int
    status: str
    attempts: int = 0
    blob_id: BlobId | None = None
    end_epoch: WalrusEpoch | None = None
    cost: Frost = field(default_factory=lambda: Frost(0))


@dataclass(frozen=True, slots=True)
class TransactionOperation:
    """One transaction: its step in the plan, its digest, its state, and the last Sui epoch in which it can happen.

    `status` is ``signed``, ``final``, ``failed`` (executed without effect) or ``dead`` (proven never to happen).
    """

    step: int
    digest: Digest
    status: str
    expires: SuiEpoch | None = None


@dataclass(frozen=True, slots=True)
class WalrusOperations:
    """Everything that leaves the machine for a deployment."""

    uploads: tuple[UploadOperation, ...]
    transactions: tuple[TransactionOperation, ...]


@dataclass(frozen=True, slots=True)
class RecoveryState:
    """What can be done about a deployment: resume it, from which checkpoint (a file's name), roll its site back."""

    can_resume: bool
    last_checkpoint: str | None
    rollback_available: bool


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """One deployment. `status` is a `Status` value, or ``interrupted`` when its owner is gone before the end.

    `started_ms`, `finished_ms`: milliseconds since 1970 UTC. `labels` are the user's own.
    """

    id: DeploymentId
    status: str
    site_name: str
    network: str
    started_ms: int
    finished_ms: int | None
    progress: FileProgress
    walrus_operations: WalrusOperations
    recovery: RecoveryState
    errors: tuple[ErrorRecord, ...]
    labels: Mapping[str, str]

    @classmethod
    def of(cls, report: DeploymentReport, *, rollback_available: bool = False) -> DeploymentState:
        """Return the state that a report tells of; whether there is an earlier version is not part of a report."""
        item, details = report.summary, report.details
        uploads = tuple(_uploads(details))
        checkpoints = [str(row["file"]) for row in details.get("checkpoints", ())]
        return cls(
            id=item.deployment_id,
            status=item.status,
            site_name=item.site_name,
            network=item.network,
            started_ms=item.started_ms,
            finished_ms=item.finished_ms,
            progress=_files(details, uploads),
            walrus_operations=WalrusOperations(uploads, tuple(_transactions(details))),
            recovery=RecoveryState(item.resumable, checkpoints[-1] if checkpoints else None, rollback_available),
            errors=_errors(details),
            labels=_labels(details),
        )


@dataclass(frozen=True, slots=True)
class DeploymentProgress:
    """How far a deployment is: files and bytes of its stores, transactions that are final, failures on the way.

    `share` (0 to 1) counts files that are known to be stored; it is 1 only when the deployment is complete.
    `bytes_per_s` is smoothed, `eta_s` seconds until the end; `None` where it is not known. `waiting`: what waits
    on what.
    """

    deployment_id: DeploymentId
    status: str
    share: float
    total_files: int
    stored_files: int
    total_bytes: int
    stored_bytes: int
    final_transactions: int
    errors: int
    phase: str = ""
    bytes_per_s: float | None = None
    eta_s: float | None = None
    waiting: tuple[str, ...] = ()

    @classmethod
    def of(cls, report: DeploymentReport) -> DeploymentProgress:
        """Return the progress that a report tells of."""
        item, details = report.summary, report.details
        entries = details.get("entries", ())
        stored = [row for row in entries if row["state"] == "stored"]
        done = item.status == Status.COMPLETED.value
        return cls(
            deployment_id=item.deployment_id,
            status=item.status,
            share=1.0 if done else min(item.progress, 0.99),
            total_files=len(entries),
            stored_files=len(stored),
            total_bytes=sum(row["size"] or 0 for row in entries),
            stored_bytes=sum(row["size"] or 0 for row in stored),
            final_transactions=sum(row["state"] == "final" for row in details.get("transactions", ())),
            errors=len(_errors(details)),
        )


@dataclass(frozen=True, slots=True)
class DeploymentResult:
    """What a deployment came to. A failure is raised, so this is what a deployment that is complete tells.

    `cost` (FROST) and `gas` (MIST) are what was spent; `errors` is what went wrong on the way and was mended.
    """

    deployment_id: DeploymentId
    status: str
    site_name: str
    site_id: ObjectId | None
    url: str
    version: int | None
    digests: tuple[Digest, ...]
    cost: Frost
    gas: Mist
    started_ms: int
    finished_ms: int | None
    errors: tuple[ErrorRecord, ...]

    @property
    def success(self) -> bool:
        """Whether it is complete."""
        return self.status == Status.COMPLETED.value

    @classmethod
    def of(cls, report: DeploymentReport) -> DeploymentResult:
        """Return the result that a report tells of."""
        item, result = report.summary, report.details.get("result") or {}
        return cls(
            deployment_id=item.deployment_id,
            status=item.status,
            site_name=item.site_name,
            site_id=item.site_id,
            url=item.url,
            version=item.version,
            digests=tuple(Digest.parse(text) for text in result.get("digests", ())),
            cost=Frost(int(result.get("cost_frost", 0))),
            gas=Mist(int(result.get("gas_mist", 0))),
            started_ms=item.started_ms,
            finished_ms=item.finished_ms,
            errors=_errors(report.details),
        )


@dataclass(frozen=True, slots=True)
class DeploymentHealth:
    """Whether somebody should look at a deployment, and why: one sentence each in `findings`."""

    deployment_id: DeploymentId
    status: str
    findings: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether there is nothing to look at."""
        return not self.findings

    @classmethod
    def of(cls, report: DeploymentReport) -> DeploymentHealth:
        """Return the health that a report tells of."""
        return cls(report.summary.deployment_id, report.summary.status, tuple(_findings(report)))


# ── from a report's rows ──────────────────────────────────────────────────────────────────────────────────────────


def _uploads(details: Mapping[str, Any]) -> Iterable[UploadOperation]:
    rows = {row["operation"]: row for row in details.get("operations", ()) if row["kind"] == "store"}
    files: dict[str, list[Mapping[str, Any]]] = {}
    for entry in details.get("entries", ()):
        if entry["operation"] is not None:
            files.setdefault(entry["operation"], []).append(entry)
    for operation, entries in files.items():
        row = rows.get(operation, {})
        stored = all(entry["state"] == "stored" for entry in entries)
        outcome = row.get("outcome") or {}
        yield UploadOperation(
            id=operation,
            files=tuple(entry["path"] for entry in entries),
            size=sum(entry["size"] or 0 for entry in entries),
            # Without a row of its own it is planned, or was done by another deployment.
            status=row.get("state") or (EffectState.DONE if stored else EffectState.PLANNED).value,
            attempts=row.get("attempts") or 0,
            blob_id=BlobId.parse(row["name"]) if row else None,
            end_epoch=WalrusEpoch(outcome["end_epoch"]) if "end_epoch" in outcome else None,
            cost=Frost(int(outcome.get("cost_frost", 0))),
        )


def _transactions(details: Mapping[str, Any]) -> Iterable[TransactionOperation]:
    for row in details.get("transactions", ()):
        expires = SuiEpoch(row["expires"]) if row["expires"] is not None else None
        yield TransactionOperation(row["step"], Digest.parse(row["digest"]), row["state"], expires)


def _files(details: Mapping[str, Any], uploads: Iterable[UploadOperation]) -> FileProgress:
    entries = details.get("entries", ())
    stored = [row for row in entries if row["state"] == "stored"]
    failed = [path for one in uploads if one.status == EffectState.FAILED.value for path in one.files]
    return FileProgress(
        total_files=len(entries),
        uploaded_files=sum(row["operation"] is not None for row in stored),
        failed_files=tuple(sorted(failed)),
        completed_files=tuple(row["path"] for row in stored),
    )


def _errors(details: Mapping[str, Any]) -> tuple[ErrorRecord, ...]:
    """Return what the engine met, then what the user recorded."""
    met = [
        ErrorRecord(row.get("code", ""), row.get("message", ""), row["wall_ms"], row.get("operation", ""))
        for row in details.get("errors", ())
    ]
    told = [row["data"] for row in details.get("requests", ()) if str(row["kind"]).startswith(ERROR_KIND)]
    return (*met, *(ErrorRecord(**data) for data in told))


def _labels(details: Mapping[str, Any]) -> Mapping[str, str]:
    rows = [row for row in details.get("requests", ()) if row["kind"] == LABELS_KIND]
    return dict(rows[0]["data"]["labels"]) if rows else {}


def _findings(report: DeploymentReport) -> Iterable[str]:
    item, details = report.summary, report.details
    if item.status == Status.FAILED.value:
        yield f"it failed: {item.reason}" + ("; it can be resumed" if item.resumable else "")
    if item.status == "interrupted":
        yield "nobody works on it; it can be resumed"
    twice = details.get("possibly_paid_in_vain", ())
    if twice:
        yield f"{len(twice)} stores may have been paid in vain"
    if item.status in (Status.COMPLETED.value, Status.CANCELLED.value):
        return
    states = [row["state"] for row in details.get("operations", ())]
    failed, lost = states.count(EffectState.FAILED.value), states.count(EffectState.RELEASED.value)
    if failed:
        yield f"{failed} effects failed at their last try"
    if lost and item.status == "interrupted":
        yield f"{lost} effects may have happened; they are looked up by name first"
