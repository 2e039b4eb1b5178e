"""A deployment's events as lines of a log: one JSON object each."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from walrus_sdk.model.deployment import Event

__all__ = ["line"]


def line(event: Event) -> str:
    """Return an event as one line of JSON (no line end): time (ISO 8601, UTC), deployment, number, type, facts."""
    time = datetime.fromtimestamp(event.wall_ms / 1000, UTC).isoformat(timespec="milliseconds")
    facts = {
        "time": time,
        "deployment_id": str(event.deployment),
        "n": event.number,
        "incarnation": event.incarnation,
        "event": event.type,
        **event.data,
    }
    return json.dumps(facts, ensure_ascii=True, separators=(",", ":"))
