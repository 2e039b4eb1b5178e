"""The life of a deployment as values: statuses, effect states, events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from walrus_sdk.model.units import DeploymentId

__all__ = ["MOVES", "PUBLISHING", "EffectState", "Event", "Status", "may_move"]


class Status(Enum):
    """Where a deployment stands. `interrupted` (its owner died) and `paused` (a request) are derived, never stored."""

    PENDING = "pending"
    UPLOADING = "uploading"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


MOVES: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.UPLOADING, Status.PROCESSING, Status.COMPLETED, Status.FAILED, Status.CANCELLED}),
    Status.UPLOADING: frozenset({Status.PROCESSING, Status.FAILED, Status.CANCELLED}),
    Status.PROCESSING: frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED}),
    Status.FAILED: frozenset({Status.UPLOADING, Status.PROCESSING, Status.CANCELLED}),
    Status.COMPLETED: frozenset(),
    Status.CANCELLED: frozenset(),
}
"""The table of legal moves; the moves out of `failed` need `can_resume` besides."""


PUBLISHING = frozenset({"deploy", "rollback"})
"""The verbs that publish a version and have a `DeployResult`; all others are records of something else."""


def may_move(old: Status, new: Status, *, can_resume: bool = True) -> bool:
    """Return whether a deployment may go from `old` to `new`."""
    if old is Status.FAILED and new in (Status.UPLOADING, Status.PROCESSING) and not can_resume:
        return False
    return new in MOVES[old]


class EffectState(Enum):
    """How far an effect got: planned, intent durable, released (its last bytes may have left), done, failed."""

    PLANNED = "planned"
    INTENT = "intent"
    RELEASED = "released"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a deployment's history.

    `number` counts from 1 without gaps inside a deployment; `wall_ms` is for people, order is by number;
    `monotonic_s` counts within one boot. `data` holds JSON-ready values.
    """

    deployment: DeploymentId
    number: int
    incarnation: int
    wall_ms: int
    monotonic_s: float
    type: str
    data: Mapping[str, Any]
