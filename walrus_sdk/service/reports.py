"""What the journal tells of deployments: rows folded into reports, without a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from walrus_sdk.errors import CodecError, ConfigurationError
from walrus_sdk.model import events
from walrus_sdk.model.deployment import Status
from walrus_sdk.model.reports import DeploymentReport, DeploymentSummary
from walrus_sdk.model.units import DeploymentId, ObjectId
from walrus_sdk.planning.state import LIVE, is_unfinished
from walrus_sdk.ports import Journal
from walrus_sdk.service import requests

__all__ = ["deployment_id", "report", "row", "summaries", "summarised"]

IsLive = Callable[[DeploymentId], bool]

_HIDDEN = frozenset({"bytes", "signatures"})
"""Columns that nobody is shown: whoever has them could send the transaction."""


def deployment_id(text: str | DeploymentId) -> DeploymentId:
    """Read a deployment id. Raises `ConfigurationError` ``deployment_not_found``."""
    if isinstance(text, DeploymentId):
        return text
    try:
        return DeploymentId(text)
    except CodecError as error:
        raise ConfigurationError("deployment_not_found", f"no deployment has the id {text!r:.80}") from error


async def summaries(journal: Journal, is_live: IsLive, *, counts: bool = True) -> list[DeploymentSummary]:
    """Return all deployments of this home, newest first; without `counts` their files are not read (see `summary`)."""
    rows = await journal.rows("deployments")
    return [await _summary(journal, row, is_live, counts=counts) for row in reversed(rows)]


async def report(journal: Journal, deployment: DeploymentId, is_live: IsLive) -> DeploymentReport:
    """Return everything about one deployment. Raises `ConfigurationError` ``deployment_not_found``."""
    found = await row(journal, deployment)
    return DeploymentReport(await _summary(journal, found, is_live), await _details(journal, deployment, found))


async def row(journal: Journal, deployment: DeploymentId) -> Mapping[str, Any]:
    """Return the row of one deployment. Raises `ConfigurationError` ``deployment_not_found``."""
    rows = await journal.rows("deployments", {"id": str(deployment)})
    if not rows:
        raise ConfigurationError("deployment_not_found", f"this home has no deployment {deployment}")
    return rows[0]


async def _summary(
    journal: Journal, row: Mapping[str, Any], is_live: IsLive, *, counts: bool = True
) -> DeploymentSummary:
    deployment, status = DeploymentId(row["id"]), Status(row["status"])
    live = status in LIVE and is_live(deployment)
    paused = live and await requests.is_paused(journal, deployment)
    progress = 1.0 if status is Status.COMPLETED else await _progress(journal, deployment) if counts else 0.0
    return summarised(row, progress, live=live, paused=paused)


def summarised(row: Mapping[str, Any], progress: float, *, live: bool, paused: bool) -> DeploymentSummary:
    """Return a deployment's row as it is shown; `live`: a process works on it, `paused`: it begins nothing new."""
    status = Status(row["status"])
    interrupted = status in LIVE and not live
    return DeploymentSummary(
        deployment_id=DeploymentId(row["id"]),
        site_name=row["site_name"] or "",
        network=row["network"] or "",
        status="interrupted" if interrupted else "paused" if paused and status in LIVE else status.value,
        progress=progress,
        started_ms=row["created_ms"],
        finished_ms=row["finished_ms"],
        site_id=ObjectId.parse(row["site_id"]) if row["site_id"] else None,
        url=row["url"] or "",
        version=row["version"],
        message=row["message"] or "",
        commit=row["commit_id"] or "",
        reason=row["reason"] or "",
        resumable=is_unfinished(row) and (interrupted or status is Status.FAILED),
        verb=row["verb"],
        folder=row["folder"] or "",
        chain=row["chain"] or "",
    )


async def _progress(journal: Journal, deployment: DeploymentId) -> float:
    """Return the share of a deployment's files that are stored."""
    states = [row["state"] for row in await journal.rows("entries", {"deployment": str(deployment)})]
    return states.count("stored") / len(states) if states else 0.0


async def _details(journal: Journal, deployment: DeploymentId, row: Mapping[str, Any]) -> dict[str, Any]:
    mine = {"deployment": str(deployment)}
    history = await journal.events(deployment)
    plans = await journal.rows("plans", {"digest": row["plan_digest"]})
    tables = ("entries", "operations", "attempts", "transactions", "checkpoints", "incarnations", "requests")
    details: dict[str, Any] = {name: [_shown(item) for item in await journal.rows(name, mine)] for name in tables}
    details["plan"] = json.loads(plans[0]["json"]) if plans else None
    details["result"] = json.loads(row["result"]) if row["result"] else None
    details["events"] = [
        {"n": e.number, "incarnation": e.incarnation, "wall_ms": e.wall_ms, "type": e.type, "data": dict(e.data)}
        for e in history
    ]
    failed = (events.EFFECT_FAILED, events.EFFECT_UNKNOWN)
    details["errors"] = [
        {"n": e.number, "wall_ms": e.wall_ms, **e.data}
        for e in history
        if e.type in failed and e.data.get("operation") != ""  # of another deployment's store, that was cleaned up
    ]
    twice = {e.data["name"] for e in history if e.type == events.SECOND_PAYMENT_POSSIBLE}
    details["possibly_paid_in_vain"] = sorted(twice)
    return details


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as JSON-ready fields; texts that hold JSON are opened."""
    shown = {name: value for name, value in row.items() if name not in _HIDDEN}
    for name in ("facts", "outcome", "error", "data"):
        if isinstance(shown.get(name), str) and shown[name].startswith("{"):
            shown[name] = json.loads(shown[name])
    return shown
