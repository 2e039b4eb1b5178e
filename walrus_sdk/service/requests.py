"""Requests to whoever owns a deployment, as rows of the journal: cancel it, hand it over, pause.

A request names the incarnation that it is for, so that one that nobody heard is not heard by a later owner.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio

from walrus_sdk.errors import WalrusError
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change, Journal, Ownership, Put
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.unwrap import one_error

__all__ = [
    "BEAT_S",
    "CANCEL",
    "PAUSE",
    "TAKE_OVER",
    "ask",
    "asked_of",
    "at_work",
    "incarnation_of",
    "is_paused",
    "last_beat",
    "reason_of",
    "take_back",
]

CANCEL = "cancel"
TAKE_OVER = "take_over"
PAUSE = "pause"
BEAT_S = 2.0
"""Seconds between the signs of life of an owner that has heard a request and needs time for it."""

_BEAT = "beat"
_KINDS = frozenset({CANCEL, TAKE_OVER, PAUSE})
_NOBODY = -1


async def ask(connection: Connection, deployment: DeploymentId, kind: str, reason: str) -> None:
    """Ask the newest owner of a deployment for something."""
    await _write(connection, deployment, kind, await incarnation_of(connection.journal, deployment), reason)


async def take_back(connection: Connection, deployment: DeploymentId, kind: str) -> None:
    """Let a request be for nobody any more."""
    await _write(connection, deployment, kind, _NOBODY, "")


async def _write(connection: Connection, deployment: DeploymentId, kind: str, incarnation: int, reason: str) -> None:
    key = {"deployment": str(deployment), "kind": kind}
    data = json.dumps({"incarnation": incarnation, "reason": reason})
    put = Put("requests", key, {"created_ms": connection.clock.wall_ms(), "data": data})
    await connection.journal.append(None, [Change("request", {}, (put,))])


async def incarnation_of(journal: Journal, deployment: DeploymentId) -> int:
    """Return the number of a deployment's newest owner; 0 when it never had one."""
    rows = await journal.rows("incarnations", {"deployment": str(deployment)})
    return max((int(row["n"]) for row in rows), default=0)


async def asked_of(journal: Journal, owner: Ownership) -> frozenset[str]:
    """Return the kinds of requests that are meant for this owner."""
    rows = await journal.rows("requests", {"deployment": str(owner.deployment)})
    return frozenset(row["kind"] for row in rows if row["kind"] in _KINDS and _incarnation(row) == owner.incarnation)


def _incarnation(row: Mapping[str, Any]) -> int | None:
    """Return the number of the owner that a request is for."""
    found: int | None = json.loads(row["data"]).get("incarnation") if row["data"] else None
    return found


async def is_paused(journal: Journal, deployment: DeploymentId) -> bool:
    """Return whether a deployment's newest owner is asked to pause."""
    rows = await journal.rows("requests", {"deployment": str(deployment), "kind": PAUSE})
    return bool(rows) and _incarnation(rows[0]) == await incarnation_of(journal, deployment)


async def reason_of(connection: Connection, deployment: DeploymentId, kind: str) -> str:
    """Return the reason that was given with a request."""
    rows = await connection.journal.rows("requests", {"deployment": str(deployment), "kind": kind})
    return str(json.loads(rows[0]["data"]).get("reason") or "") if rows and rows[0]["data"] else ""


@asynccontextmanager
async def at_work(connection: Connection, deployment: DeploymentId) -> AsyncIterator[None]:
    """Show, as long as the block lasts, that the owner has heard a request and works on it."""

    async def beat() -> None:
        while True:
            put = Put("requests", {"deployment": str(deployment), "kind": _BEAT}, {"created_ms": clock.wall_ms()})
            with suppress(WalrusError):  # whoever asked will think that nobody is there, and that is all
                await connection.journal.append(None, [Change("request", {}, (put,))])
            await connection.sleep(BEAT_S)

    clock = connection.clock
    with one_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(beat)
            yield
            tasks.cancel_scope.cancel()


async def last_beat(connection: Connection, deployment: DeploymentId) -> int:
    """Return when an owner last showed that it works on a request (its milliseconds since 1970 UTC); 0 for never."""
    rows = await connection.journal.rows("requests", {"deployment": str(deployment), "kind": _BEAT})
    return int(rows[0]["created_ms"]) if rows else 0
