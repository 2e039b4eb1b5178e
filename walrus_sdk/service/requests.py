"""Requests to whoever owns a deployment, as rows of the journal: cancel it, or hand it over.

A request names the incarnation that it is for, so that one that nobody heard is not heard by a later owner.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change, Ownership, Put
from walrus_sdk.service.connection import Connection

__all__ = ["CANCEL", "TAKE_OVER", "ask", "is_for", "reason_of"]

CANCEL = "cancel"
TAKE_OVER = "take_over"


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
