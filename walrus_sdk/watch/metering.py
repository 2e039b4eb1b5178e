"""Reads a journal into the figures of `metrics.METRICS`: all of it once, then only what is new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from walrus_sdk.model.alerts import alerts
from walrus_sdk.model.deployment import Status
from walrus_sdk.model.samples import Resources, Sample
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.planning.state import LIVE
from walrus_sdk.watch.gather import Eyes, Rows
from walrus_sdk.watch.metrics import Endpoints, Key, Sums, figures
from walrus_sdk.watch.runs import Run

__all__ = ["Meter"]

_COLUMNS = ("id", "verb", "status", "network", "updated_ms", "finished_ms")
_LIVE = frozenset(status.value for status in LIVE)


class Meter:
    """The figures of one home. Events of deployments that ended are read once, and forgotten; their sums stay."""

    def __init__(self, journal: Rows, eyes: Eyes) -> None:
        self._journal = journal
        self._eyes = eyes
        self._sums = Sums()
        self._endpoints = Endpoints()
        self._live: dict[str, Run] = {}
        self._read: dict[str, int | None] = {}
        self._change: int | None = None
        self._rows: Sequence[Mapping[str, Any]] = ()
        self._shown: Mapping[Key, float] = {}

    async def read(self) -> Mapping[Key, float]:
        """Return the figures as they are now. Raises `StateError` when the journal cannot be read."""
        tail = self._eyes.tail
        change = await tail.changed() if tail is not None else None
        if change is None or change != self._change:
            self._rows = await self._journal.rows("deployments", columns=_COLUMNS)
            for row in self._rows:
                await self._take(row)
            self._shown, self._change = {**self._sums.values, **await self._alerts()}, change
        # Whether a process lives is not in the journal: one that was killed writes nothing any more.
        now = _standing(self._rows, self._eyes) | await self._under_way(self._rows)
        return {**self._shown, **now, **self._machine()}

    async def _take(self, row: Mapping[str, Any]) -> None:
        """Read what is new of a deployment: always while it is under way, else when its row was written."""
        name, live = row["id"], row["status"] in _LIVE
        if not live and name not in self._live and self._read.get(name, -1) == row["updated_ms"]:
            return
        run = self._live.pop(name, None) or Run(name)
        for event in await self._journal.events(DeploymentId(name), after=run.last_number):
            run.add(event)
        self._sums.give(name, figures(run, row["network"] or "", row["verb"] or "", self._endpoints))
        if live:
            self._live[name] = run
        self._read[name] = row["updated_ms"]

    async def _alerts(self) -> dict[Key, float]:
        columns = ("n", "rule", "kind", "subject", "severity", "fired_ms", "value", "threshold", "unit", "message",
                   "deployment", "cleared_ms", "clearing")  # fmt: skip
        found = alerts(await self._journal.rows("alerts", columns=columns))
        fired = Counter((one.rule, one.severity.value) for one in found)
        firing = Counter((one.rule, one.severity.value) for one in found if one.is_firing)
        every: dict[Key, float] = {
            ("walrus_sdk_alerts_total", labels, None): float(count) for labels, count in fired.items()
        }
        return every | {("walrus_sdk_alerts_firing", labels, None): float(firing[labels]) for labels in fired}

    async def _under_way(self, rows: Sequence[Mapping[str, Any]]) -> dict[Key, float]:
        found: Counter[Key] = Counter()
        processes: dict[object, Sample] = {}
        for row in rows:
            if row["status"] not in _LIVE or not self._eyes.is_live(DeploymentId(row["id"])) or self._eyes.tail is None:
                continue
            sample = await self._eyes.tail.latest(DeploymentId(row["id"]))
            if sample is not None:
                found.update(_of_sample(sample, row["network"] or ""))
                process = await self._process(row["id"], sample.incarnation)
                if process not in processes or processes[process].wall_ms < sample.wall_ms:
                    processes[process] = sample
        for sample in processes.values():
            found.update(_of_process(sample.resources))
        return {key: float(value) for key, value in found.items()}

    async def _process(self, deployment: str, incarnation: int) -> object:
        """Return what tells the process of an owner from others: one process may have several deployments."""
        owner = {"deployment": deployment, "n": incarnation}
        rows = await self._journal.rows("incarnations", owner, columns=("host", "pid"))
        return (rows[0]["host"], rows[0]["pid"]) if rows else deployment

    def _machine(self) -> dict[Key, float]:
        free = self._eyes.disk_free()
        return {} if free is None else {("walrus_sdk_state_disk_free_bytes", (), None): float(free)}


def _standing(rows: Sequence[Mapping[str, Any]], eyes: Eyes) -> dict[Key, float]:
    """Return how many deployments stand where, and when one was last completed."""
    found: Counter[Key] = Counter()
    last: dict[Key, float] = {}
    for row in rows:
        status, network = row["status"], row["network"] or ""
        if status in _LIVE and not eyes.is_live(DeploymentId(row["id"])):
            status = "interrupted"
        found[("walrus_sdk_deployments_standing", (network, status), None)] += 1
        if status == Status.COMPLETED.value:
            key: Key = ("walrus_sdk_last_success_timestamp_seconds", (network,), None)
            last[key] = max(last.get(key, 0.0), (row["finished_ms"] or 0) / 1000)
    return {key: float(value) for key, value in found.items()} | last


def _of_sample(sample: Sample, network: str) -> Mapping[Key, Any]:
    now = sample.progress
    stores = {"total": now.stores_total, "encoded": now.stores_encoded, "confirmed": now.stores_confirmed}
    sizes = {"total": now.bytes_total, "sent": now.bytes_sent, "confirmed": now.bytes_confirmed}
    found: dict[Key, Any] = {
        ("walrus_sdk_under_way_stores", (network, state), None): count for state, count in stores.items()
    }
    return found | {("walrus_sdk_under_way_bytes", (network, state), None): count for state, count in sizes.items()}


def _of_process(taken: Resources) -> Mapping[Key, Any]:
    """Return what is known of what a process takes."""
    found = {
        "walrus_sdk_process_cpu_seconds": taken.cpu_s,
        "walrus_sdk_process_resident_memory_bytes": taken.rss_bytes,
        "walrus_sdk_process_open_files": taken.open_files,
    }
    return {(name, (), None): value for name, value in found.items() if value is not None}
