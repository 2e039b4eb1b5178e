"""Figures of one deployment as frozen values: how fast, how well, what it cost, down to the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from walrus_sdk.model.reports import iso

__all__ = ["Failures", "FileCost", "Performance"]


@dataclass(frozen=True, slots=True)
class Failures:
    """How often tries of a kind failed with a code at an endpoint (an origin; empty: not told)."""

    kind: str
    code: str
    endpoint: str
    count: int


@dataclass(frozen=True, slots=True)
class Performance:
    """Figures of one deployment; times in seconds, sizes in bytes, amounts in FROST and MIST.

    `duration_s` is from the plan to the end, or to its last event. `phases_s`: see `walrus_sdk.watch.metrics`.
    `files_per_s` and `bytes_per_s` are over the time from the first store to the last answer. `stored_*` is what this
    deployment stored, `skipped_bytes` what was stored already. `cpu_s`, `peak_memory_bytes` and `peak_open_files` are
    those of its process, as far as they were sampled; `None`: they were not.
    """

    deployment: str
    status: str
    began_ms: int
    duration_s: float
    files: int
    stored_files: int
    stored_bytes: int
    skipped_bytes: int
    files_per_s: float
    bytes_per_s: float
    tries: int
    retries: int
    owners: int
    failures: tuple[Failures, ...]
    phases_s: Mapping[str, float]
    planned_frost: int
    paid_frost: int
    planned_mist: int
    paid_mist: int
    possibly_paid_in_vain: int
    cpu_s: float | None = None
    peak_memory_bytes: int | None = None
    peak_open_files: int | None = None

    @property
    def error_rate(self) -> float:
        """The share of tries that failed; 0 when there was none."""
        return sum(one.count for one in self.failures) / self.tries if self.tries else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields, amounts as decimal text."""
        return {
            "deployment_id": self.deployment,
            "status": self.status,
            "began": iso(self.began_ms),
            "duration_s": self.duration_s,
            "files": self.files,
            "stored_files": self.stored_files,
            "stored_bytes": self.stored_bytes,
            "skipped_bytes": self.skipped_bytes,
            "files_per_s": self.files_per_s,
            "bytes_per_s": self.bytes_per_s,
            "tries": self.tries,
            "retries": self.retries,
            "error_rate": self.error_rate,
            "owners": self.owners,
            "failures": [
                {"kind": one.kind, "code": one.code, "endpoint": one.endpoint, "count": one.count}
                for one in self.failures
            ],
            "phases_s": dict(self.phases_s),
            "planned_frost": str(self.planned_frost),
            "paid_frost": str(self.paid_frost),
            "planned_mist": str(self.planned_mist),
            "paid_mist": str(self.paid_mist),
            "possibly_paid_in_vain": self.possibly_paid_in_vain,
            "cpu_s": self.cpu_s,
            "peak_memory_bytes": self.peak_memory_bytes,
            "peak_open_files": self.peak_open_files,
        }


@dataclass(frozen=True, slots=True)
class FileCost:
    """What one path of a site cost, in FROST. `operation` stores it; `None`: its bytes were stored already.

    `saved_frost` is `None` where nobody here knows what the bytes cost once.
    """

    path: str
    size: int
    operation: str | None
    planned_frost: int
    paid_frost: int
    saved_frost: int | None

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields, amounts as decimal text."""
        return {
            "path": self.path,
            "size": self.size,
            "operation": self.operation,
            "planned_frost": str(self.planned_frost),
            "paid_frost": str(self.paid_frost),
            "saved_frost": None if self.saved_frost is None else str(self.saved_frost),
        }
