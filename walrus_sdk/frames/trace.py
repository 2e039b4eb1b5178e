"""One deployment in the Chrome trace format: for chrome://tracing, Perfetto and others that read it.

Format: "Trace Event Format", the JSON object form; complete events (``ph: X``) nest or are apart within a thread,
instants (``i``) have a scope, metadata (``M``) names processes and threads. Times are microseconds since the
deployment's begin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from walrus_sdk.frames.plots import lanes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["trace"]

_PROCESS = 1
_PHASES, _FIRST_LANE = 1, 2


def trace(deployment: str, frames: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Return the trace of a deployment from its frames ``phases``, ``attempts``, ``errors`` and ``metrics``."""
    spans, attempts = frames["phases"], frames["attempts"].sort_values("start", kind="stable")
    begin: Any = spans["start"].min()
    # Whatever runs at the last sign of life ends there.
    last: Any = max([begin, *spans["end"].dropna(), *attempts["end"].dropna(), *attempts["start"]])

    def at(moment: Any) -> int:
        return int((moment - begin).total_seconds() * 1e6)

    starts = [at(moment) for moment in attempts["start"]]
    ends = [at(moment) for moment in attempts["end"].fillna(last)]
    rows = lanes(starts, ends)
    events = [
        *_names(deployment, max(rows, default=-1) + 1),
        *(_complete(str(row.phase), "phase", at(row.start), at(row.end), _PHASES, {"owner": row.owner})
          for row in spans.itertuples() if isinstance(row.end, datetime)),
        *(_complete(f"{row.kind} {row.operation}", str(row.kind), start, end, _FIRST_LANE + lane, _facts(row))
          for row, start, end, lane in zip(attempts.itertuples(), starts, ends, rows, strict=True)),
        *(_instant(row, at(row.time)) for row in frames["errors"].itertuples()),
        *(_counter(row, at(row.time)) for row in frames["metrics"].itertuples()),
    ]  # fmt: skip
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"deployment": deployment, "begin": None if begin != begin else begin.isoformat()},
    }


def _names(deployment: str, count: int) -> Iterator[dict[str, Any]]:
    yield {"name": "process_name", "ph": "M", "pid": _PROCESS, "tid": 0, "args": {"name": deployment}}
    threads = {_PHASES: "phases"} | {_FIRST_LANE + lane: f"effects {lane + 1}" for lane in range(count)}
    for thread, name in threads.items():
        yield {"name": "thread_name", "ph": "M", "pid": _PROCESS, "tid": thread, "args": {"name": name}}
        yield {"name": "thread_sort_index", "ph": "M", "pid": _PROCESS, "tid": thread, "args": {"sort_index": thread}}


def _complete(name: str, kind: str, start: int, end: int, thread: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name, "cat": kind, "ph": "X", "ts": start, "dur": max(0, end - start), "pid": _PROCESS, "tid": thread,
        "args": dict(facts),
    }  # fmt: skip


def _facts(row: Any) -> dict[str, Any]:
    """Return what is known of a try; what is missing is left out."""
    facts = {"name": row.name, "attempt": int(row.attempt), "outcome": row.outcome, "code": row.code,
             "endpoint": row.endpoint, "bytes": row.bytes}  # fmt: skip
    known = {key: value for key, value in facts.items() if isinstance(value, str | int)}
    return known | ({"cost_frost": str(row.frost)} if row.frost is not None else {})


def _instant(row: Any, at: int) -> dict[str, Any]:
    facts = {"code": row.code, "message": row.message, "operation": row.operation}
    return {
        "name": f"error {row.code}", "cat": "error", "ph": "i", "s": "p", "ts": at, "pid": _PROCESS, "tid": _PHASES,
        "args": {key: value for key, value in facts.items() if isinstance(value, str)},
    }  # fmt: skip


def _counter(row: Any, at: int) -> dict[str, Any]:
    values = {"sent": int(row.bytes_sent), "confirmed": int(row.bytes_confirmed)}
    return {"name": "bytes", "ph": "C", "ts": at, "pid": _PROCESS, "tid": 0, "args": values}
