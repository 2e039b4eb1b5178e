"""Figures over deployments, folded from their events: of one (`performance`), and summed over a home (`METRICS`).

What the journal tells of the phases: *hash* is the scan of the folder (told by the plan's event), *encode* the
computing of blob ids, *wait* from a known blob id to the first try and between tries, *send* from an effect's intent to
the release of its last bytes, *certify* from there to the answer (the publisher pays and certifies), *chain* the
transactions, *verify* from the last transaction to the site that was read back. All but hash and verify are summed over
operations that run side by side: busy seconds, which may be more than the clock's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from walrus_sdk.errors import CODES
from walrus_sdk.model.deployment import Status
from walrus_sdk.model.performance import Failures, Performance
from walrus_sdk.model.samples import Sample
from walrus_sdk.watch.runs import Run, Try

__all__ = [
    "METRICS",
    "OTHER",
    "PHASES",
    "PORT",
    "Endpoints",
    "Key",
    "Metric",
    "Sums",
    "figures",
    "performance",
    "phases_s",
]

PHASES = ("hash", "encode", "wait", "send", "certify", "chain", "verify")
"""The phases that are told apart."""

PORT = 8917
"""Where `walrus-sdk metrics --serve` listens unless another port is named."""

OTHER = "other"
"""The label of what is beyond a bound: codes that are not of this package, endpoints after the first twenty."""

_MOST_ENDPOINTS = 20
_ENDED = frozenset({Status.COMPLETED.value, Status.FAILED.value, Status.CANCELLED.value})


# ── one deployment ────────────────────────────────────────────────────────────────────────────────────────────────


def performance(run: Run, samples: Iterable[Sample] = ()) -> Performance:
    """Return the figures of a deployment by its events, and by the samples of its process where there are some."""
    tries = run.tries
    stores = [one for one in tries if one.kind == "store" and one.outcome == "done"]
    named = [run.named[one.operation] for one in stores if one.operation in run.named]
    files, size = sum(one.files for one in named), sum(one.size for one in named)
    busy_s = _span_s(one for one in run.tries if one.kind == "store")
    resources = _resources(samples)
    return Performance(
        deployment=run.deployment,
        status=run.status,
        began_ms=run.began_ms,
        duration_s=_duration_s(run),
        files=int(run.facts.get("files", 0)),
        stored_files=files,
        stored_bytes=size,
        skipped_bytes=int(run.facts.get("skipped_bytes") or 0),
        files_per_s=files / busy_s if busy_s else 0.0,
        bytes_per_s=size / busy_s if busy_s else 0.0,
        tries=len(tries),
        retries=sum(one.number > 1 for one in tries),
        owners=run.owners,
        failures=_failures(tries),
        phases_s=phases_s(run),
        planned_frost=int(run.facts.get("cost_frost") or 0),
        paid_frost=run.paid("store"),
        planned_mist=int(run.facts.get("gas_mist") or 0),
        paid_mist=max(0, run.paid("transaction")),
        possibly_paid_in_vain=run.in_vain,
        **resources,
    )


def _duration_s(run: Run) -> float:
    ended = [at for status, at in run.moves if status in _ENDED]
    return max(0, (ended[-1] if ended else run.last_ms) - run.began_ms) / 1000


def _span_s(tries: Iterable[Try]) -> float:
    found = list(tries)
    if not found:
        return 0.0
    return max(0, max(one.ended_ms or one.began_ms for one in found) - min(one.began_ms for one in found)) / 1000


def _failures(tries: Iterable[Try]) -> tuple[Failures, ...]:
    counts: dict[tuple[str, str, str], int] = {}
    for one in tries:
        if one.is_failure:
            key = one.kind, one.code, one.endpoint
            counts[key] = counts.get(key, 0) + 1
    return tuple(Failures(*key, count) for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _resources(samples: Iterable[Sample]) -> dict[str, Any]:
    """Return CPU seconds, added over owners, and the highest memory and descriptors."""
    cpu: dict[int, tuple[float, float]] = {}
    memory, opened = list[int](), list[int]()
    for sample in samples:
        found = sample.resources
        if found.cpu_s is not None:
            first, _ = cpu.get(sample.incarnation, (found.cpu_s, 0.0))
            cpu[sample.incarnation] = first, found.cpu_s
        if found.rss_bytes is not None:
            memory.append(found.rss_bytes)
        if found.open_files is not None:
            opened.append(found.open_files)
    return {
        "cpu_s": sum(last - first for first, last in cpu.values()) if cpu else None,
        "peak_memory_bytes": max(memory, default=None),
        "peak_open_files": max(opened, default=None),
    }


def phases_s(run: Run) -> Mapping[str, float]:
    """Return the seconds of each of `PHASES`."""
    found = dict.fromkeys(PHASES, 0.0)
    found["hash"] = float(run.facts.get("scan_s") or 0.0)
    found["encode"] = sum(one.encode_s or 0.0 for one in run.named.values())
    free_ms = {operation: one.at_ms for operation, one in run.named.items()}
    last_ms = 0
    for one in sorted(run.tries, key=lambda one: one.began_ms):
        ended = one.ended_ms if one.ended_ms is not None else one.began_ms
        if one.kind == "transaction":
            found["chain"] += max(0, ended - one.began_ms) / 1000
            last_ms = max(last_ms, ended)
        elif one.kind == "store":
            found["wait"] += max(0, one.began_ms - free_ms.get(one.operation, one.began_ms)) / 1000
            free_ms[one.operation] = ended
            released = one.released_ms if one.released_ms is not None else ended
            found["send"] += max(0, released - one.began_ms) / 1000
            found["certify"] += max(0, ended - released) / 1000
    if run.verified_ms is not None and last_ms:
        found["verify"] = max(0, run.verified_ms - last_ms) / 1000
    return {name: round(seconds, 3) for name, seconds in found.items()}


# ── a home ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of a home: its type (``counter``, ``gauge``, ``histogram``), what it counts, its labels and buckets."""

    name: str
    type: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_LONG = (1, 5, 10, 30, 60, 300, 600, 1800, 3600)


def _table(*metrics: Metric) -> Mapping[str, Metric]:
    return {metric.name: metric for metric in metrics}


METRICS: Mapping[str, Metric] = _table(
    Metric("walrus_sdk_deployments_total", "counter", "Deployments that came to an end, each time they did.",
           ("network", "verb", "outcome")),
    Metric("walrus_sdk_deployment_duration_seconds", "histogram", "Seconds from the plan to completion.",
           ("network", "verb"), _LONG),
    Metric("walrus_sdk_stored_files_total", "counter", "Files that were stored.", ("network",)),
    Metric("walrus_sdk_stored_bytes_total", "counter", "Content bytes that were stored.", ("network",)),
    Metric("walrus_sdk_skipped_bytes_total", "counter", "Content bytes that were stored already.", ("network",)),
    Metric("walrus_sdk_tries_total", "counter", "Tries of effects that ended.", ("network", "kind", "outcome")),
    Metric("walrus_sdk_retries_total", "counter", "Tries after the first one.", ("network", "kind")),
    Metric("walrus_sdk_errors_total", "counter", "Tries that failed, by error code and by who answered.",
           ("network", "kind", "code", "endpoint")),
    Metric("walrus_sdk_store_duration_seconds", "histogram", "Seconds from a store's intent to its good answer.",
           ("network", "endpoint"), _SECONDS),
    Metric("walrus_sdk_transaction_duration_seconds", "histogram", "Seconds from a transaction's intent to finality.",
           ("network",), _SECONDS),
    Metric("walrus_sdk_phase_seconds_total", "counter", "Busy seconds of each phase, summed over operations.",
           ("network", "phase")),
    Metric("walrus_sdk_storage_planned_frost_total", "counter", "FROST that plans were to cost.", ("network",)),
    Metric("walrus_sdk_storage_paid_frost_total", "counter", "FROST that was paid for storage.", ("network",)),
    Metric("walrus_sdk_gas_paid_mist_total", "counter", "MIST that was paid for gas; a larger rebate counts as 0.",
           ("network",)),
    Metric("walrus_sdk_possibly_paid_in_vain_total", "counter", "Stores that may have been paid in vain.",
           ("network",)),
    Metric("walrus_sdk_alerts_total", "counter", "Alerts that fired.", ("rule", "severity")),
    Metric("walrus_sdk_alerts_firing", "gauge", "Alerts that fire now.", ("rule", "severity")),
    Metric("walrus_sdk_deployments_standing", "gauge", "Deployments by where they stand now.", ("network", "status")),
    Metric("walrus_sdk_last_success_timestamp_seconds", "gauge", "When a deployment was last completed.",
           ("network",)),
    Metric("walrus_sdk_under_way_stores", "gauge", "Stores of the deployments under way.", ("network", "state")),
    Metric("walrus_sdk_under_way_bytes", "gauge", "Content bytes to store of the deployments under way.",
           ("network", "state")),
    Metric("walrus_sdk_process_cpu_seconds", "gauge", "CPU seconds of the processes that deploy now."),
    Metric("walrus_sdk_process_resident_memory_bytes", "gauge", "Resident memory of the processes that deploy now."),
    Metric("walrus_sdk_process_open_files", "gauge", "Open descriptors of the processes that deploy now."),
    Metric("walrus_sdk_state_disk_free_bytes", "gauge", "Room on the disk of the state folder."),
)  # fmt: skip
"""Every metric of a home. No label holds a deployment, a path or a text: see docs/decisions/0028."""

Key = tuple[str, tuple[str, ...], float | None]
"""A metric's name, its label values, and the bucket's upper bound: `None` for what is no histogram.

Of a histogram, the count of the bucket ``+Inf`` is the count of all; the sum stands under the name with ``_sum``.
"""


@dataclass
class Sums:
    """Figures of many deployments added up; what one has given can be taken back and given anew."""

    _values: dict[Key, float] = field(default_factory=dict)
    _given: dict[str, Mapping[Key, float]] = field(default_factory=dict)

    @property
    def values(self) -> dict[Key, float]:
        """The sums. All that is added has three decimals at most, so nothing else is left of rounding."""
        return {key: round(value, 3) for key, value in self._values.items()}

    def give(self, deployment: str, figures: Mapping[Key, float]) -> None:
        """Set what a deployment gives."""
        for key, value in self._given.get(deployment, {}).items():
            self._values[key] -= value
        for key, value in figures.items():
            self._values[key] = self._values.get(key, 0.0) + value
        self._given[deployment] = figures


class Endpoints:
    """The endpoints that have a label of their own: the first twenty that were met."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def label(self, endpoint: str) -> str:
        """Return the label of an endpoint."""
        if endpoint not in self._known and len(self._known) < _MOST_ENDPOINTS:
            self._known.add(endpoint)
        return endpoint if endpoint in self._known else OTHER


def figures(run: Run, network: str, verb: str, endpoints: Endpoints) -> Mapping[Key, float]:
    """Return what one deployment adds to the counters and histograms of its home."""
    found: dict[Key, float] = {}

    def add(name: str, *labels: str, by: float = 1) -> None:
        key = f"walrus_sdk_{name}", labels, None
        found[key] = found.get(key, 0.0) + by

    shown = performance(run)
    for status, at in run.moves:
        if status in _ENDED:
            add("deployments_total", network, verb, status)
        if status == Status.COMPLETED.value:
            _observe(found, "walrus_sdk_deployment_duration_seconds", (network, verb), (at - run.began_ms) / 1000)
    add("stored_files_total", network, by=shown.stored_files)
    add("stored_bytes_total", network, by=shown.stored_bytes)
    add("skipped_bytes_total", network, by=shown.skipped_bytes)
    add("storage_planned_frost_total", network, by=shown.planned_frost)
    add("storage_paid_frost_total", network, by=shown.paid_frost)
    add("gas_paid_mist_total", network, by=sum(max(0, one.paid) for one in run.tries if one.kind == "transaction"))
    add("possibly_paid_in_vain_total", network, by=run.in_vain)
    for phase, seconds in shown.phases_s.items():
        add("phase_seconds_total", network, phase, by=seconds)
    for one in run.tries:
        add("tries_total", network, one.kind, one.outcome)
        if one.number > 1:
            add("retries_total", network, one.kind)
        if one.is_failure:
            code = one.code if one.code in CODES else OTHER
            add("errors_total", network, one.kind, code, endpoints.label(one.endpoint))
        elif one.outcome == "done" and one.number:
            _observe_try(found, one, network, endpoints)
    return found


def _observe_try(found: dict[Key, float], one: Try, network: str, endpoints: Endpoints) -> None:
    if one.kind == "store":
        labels = (network, endpoints.label(one.endpoint))
        _observe(found, "walrus_sdk_store_duration_seconds", labels, one.seconds)
    else:
        _observe(found, "walrus_sdk_transaction_duration_seconds", (network,), one.seconds)


def _observe(found: dict[Key, float], name: str, labels: Sequence[str], value: float) -> None:
    """Count a value in its histogram; buckets are counted each for itself here, and added up when they are shown."""
    buckets = (*METRICS[name].buckets, float("inf"))
    bound = buckets[bisect_left(buckets, value)]
    for key, by in (((name, tuple(labels), bound), 1.0), ((f"{name}_sum", tuple(labels), None), value)):
        found[key] = found.get(key, 0.0) + by
