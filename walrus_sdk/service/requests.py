"""Requests to whoever owns a deployment, as rows of the journal: cancel it, or hand it over.

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
from walrus_sdk.ports import Change, Ownership, Put
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.unwrap import one_error

__all__ = ["BEAT_S", "CANCEL", "TAKE_OVER", "ask", "at_work", "is_for", "last_beat", "reason_of"]

CANCEL = "cancel"
TAKE_OVER = "take_over"
BEAT_S = 2.0
"""Seconds between the signs of life of an owner that has heard a request and needs time for it."""

_BEAT = "beat"


async def ask(connection: Connection, deployment: DeploymentId, kind: str, reason: str) -> None:
    """Ask the newest owner of a deployment for something."""
    incarnation = await incarnation_of(connection, deployment)
    key = {"deployment": str(deployment), "kind": kind}
    data = json.dumps({"incarnation": incarnation, "reason": reason})
    put = Put("requests", key, {"created_ms": connection.clock.wall_ms(), "data": data})
    await connection.journal.append(None, [Change("request", {}, (put,))])


async def incarnation_of(connection: Connection, deployment: DeploymentId) -> int:
    """Return the number of a deployment's newest owner; 0 when it never had one."""
    rows = await connection.journal.rows("incarnations", {"deployment": str(deployment)})
    return max((int(row["n"]) for row in rows), default=0)


def is_for(row: Mapping[str, Any], owner: Ownership) -> bool:
    """Return whether a row of `requests` is meant for this owner."""
    return bool(row["data"]) and json.loads(row["data"]).get("incarnation") == owner.incarnation


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
