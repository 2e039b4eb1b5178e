"""A deployment as who watches it sees it: frozen values, whichever process works on it, during and after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from walrus_sdk.model.alerts import Alert
from walrus_sdk.model.deployment import Event
from walrus_sdk.model.original import ErrorRecord
from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.reports import DeploymentSummary, iso
from walrus_sdk.model.samples import Resources

__all__ = ["DeploymentView", "Eta", "FileView", "OperationView", "Rates", "Step", "Waiting"]


class Step(Enum):
    """How far one operation is, as it is seen from outside."""

    PLANNED = "planned"
    """Nothing is done yet."""
    NAMED = "named"
    """Its blob id is known, or its transaction signed; it waits for its turn."""
    BEGUN = "begun"
    """Its intent is durable; it may be on the wire."""
    SENT = "sent"
    """All of it may have left; the answer is waited for."""
    UNKNOWN = "unknown"
    """The answer was lost; it is looked for until it can no longer complete."""
    FAILED = "failed"
    """The last try is known not to have happened."""
    DONE = "done"
    """It is known to have happened."""


@dataclass(frozen=True, slots=True)
class OperationView:
    """One operation: `key` as in the plan, `kind` ``store`` or ``transaction``, `name` its blob id or digest.

    `files` and `size` (bytes) are what it stores, `sent` the bytes of the try under way that have left. `since_ms`:
    when it came to its step. `code` and `message` tell of the last failure, if any.
    """

    key: str
    kind: str
    step: Step = Step.PLANNED
    files: int = 0
    size: int = 0
    sent: int = 0
    name: str = ""
    attempts: int = 0
    since_ms: int = 0
    code: str = ""
    message: str = ""

    @property
    def is_active(self) -> bool:
        """Whether it is under way."""
        return self.step in (Step.BEGUN, Step.SENT, Step.UNKNOWN)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "operation": self.key,
            "kind": self.kind,
            "step": self.step.value,
            "name": self.name,
            "files": self.files,
            "bytes": self.size,
            "sent": self.sent,
            "attempts": self.attempts,
            "since": iso(self.since_ms),
            "code": self.code,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class FileView:
    """One file: its path on the site, size in bytes, the step of the operation that stores it, and how much was sent.

    `sent` is the file's part of what its operation has sent, in bytes. `operation` is empty where there is none.
    """

    path: str
    size: int
    step: Step
    sent: int = 0
    operation: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "path": self.path,
            "bytes": self.size,
            "step": self.step.value,
            "sent": self.sent,
            "operation": self.operation,
        }


@dataclass(frozen=True, slots=True)
class Rates:
    """Bytes a second: `now` what left the machine between the last two samples, `smooth` what gets stored (over 20 s).

    `None` while there is nothing to tell it from.
    """

    now: float | None = None
    smooth: float | None = None


@dataclass(frozen=True, slots=True)
class Eta:
    """When a deployment is expected to be complete: seconds from `at_ms` on, with a band (`low_s` to `high_s`).

    `basis` says what it was told from. `reason` says why it was last moved to a later moment; empty when it never was.
    """

    at_ms: int
    seconds: float
    low_s: float
    high_s: float
    basis: str
    reason: str = ""

    @property
    def finish_ms(self) -> int:
        """The moment, in milliseconds since 1970 UTC."""
        return self.at_ms + round(self.seconds * 1000)


@dataclass(frozen=True, slots=True)
class Waiting:
    """`what` waits on `on`, for people; since `since_ms` (milliseconds since 1970 UTC) where that is known."""

    what: str
    on: str
    since_ms: int | None = None


_NO_RATES = Rates()
_NO_RESOURCES = Resources()


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """A deployment at one moment (`at_ms`).

    `live`: a process works on it. `progress` is its last sample, `sampled_ms` when that was; without a sample it is
    told from the events. `files_done` and `bytes_done` are known to be stored, those included that were stored
    before (`bytes_total` is all files together). `moved_ms`: when it came further last. `operations` by their keys, in
    the order of the plan. `paid_frost` is what stores have cost so far, `planned_frost` what they are to by the plan,
    `cap_frost` the limit that was set, `paid_mist` the gas, less what was given back; `possibly_paid_in_vain` counts
    stores that were done again although the first may have been paid. `failures` counts tries that failed, `errors`
    are the last of them, `events` those that are new in a stream of views, `event_number` is the number of the last one
    so far. `files` are as many as were asked for, failed and active ones first. `alerts` are those about it that fire,
    where a monitor holds rules against this home.
    """

    summary: DeploymentSummary
    at_ms: int
    live: bool
    phase: Phase
    progress: Progress
    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int
    steps: Mapping[Step, int]
    moved_ms: int
    sampled_ms: int | None = None
    rates: Rates = _NO_RATES
    eta: Eta | None = None
    retries: int = 0
    waiting: tuple[Waiting, ...] = ()
    operations: Mapping[str, OperationView] = field(default_factory=dict)
    resources: Resources = _NO_RESOURCES
    planned_frost: int = 0
    cap_frost: int | None = None
    paid_frost: int = 0
    paid_mist: int = 0
    possibly_paid_in_vain: int = 0
    failures: int = 0
    errors: tuple[ErrorRecord, ...] = ()
    events: tuple[Event, ...] = ()
    event_number: int = 0
    files: tuple[FileView, ...] = ()
    alerts: tuple[Alert, ...] = ()

    @property
    def share(self) -> float:
        """What is done of the whole, 0 to 1: files that are stored; 1 only when the deployment is complete."""
        if self.summary.status == "completed":
            return 1.0
        return min(0.99, self.files_done / self.files_total) if self.files_total else 0.0

    @property
    def idle_s(self) -> float:
        """Seconds since it came further; another try of the same thing is no progress."""
        return max(0.0, (self.at_ms - self.moved_ms) / 1000)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields: one line of `walrus-sdk monitor --json`. Amounts are decimal strings."""
        return {
            **{name: value for name, value in asdict(self.progress).items() if name != "waiting"},
            **self.summary.to_json(),
            "phase": self.phase.value,
            "live": self.live,
            "progress": round(self.share, 4),
            "files_done": self.files_done,
            "files_total": self.files_total,
            "bytes_done": self.bytes_done,
            "bytes_to_store": self.progress.bytes_total,
            "bytes_total": self.bytes_total,
            "bytes_per_s": _rounded(self.rates.now),
            "bytes_per_s_smooth": _rounded(self.rates.smooth),
            "eta_s": _rounded(self.eta.seconds if self.eta else None),
            "eta_low_s": _rounded(self.eta.low_s if self.eta else None),
            "eta_high_s": _rounded(self.eta.high_s if self.eta else None),
            "eta_basis": self.eta.basis if self.eta else "",
            "eta_reason": self.eta.reason if self.eta else "",
            "retries": self.retries,
            "idle_s": _rounded(self.idle_s),
            "waiting": [{"what": w.what, "on": w.on, "since": iso(w.since_ms)} for w in self.waiting],
            "steps": {step.value: count for step, count in self.steps.items() if count},
            "planned_frost": str(self.planned_frost),
            "cap_frost": None if self.cap_frost is None else str(self.cap_frost),
            "paid_frost": str(self.paid_frost),
            "paid_mist": str(self.paid_mist),
            "possibly_paid_in_vain": self.possibly_paid_in_vain,
            "operations": [item.to_json() for item in self.operations.values() if item.is_active],
            "files": [file.to_json() for file in self.files],
            "failures": self.failures,
            "event_number": self.event_number,
            "errors": [
                {"operation": one.operation, "code": one.code, "message": one.message, "happened": iso(one.time_ms)}
                for one in self.errors
            ],
            "alerts": [alert.to_json() for alert in self.alerts],
            **asdict(self.resources),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
