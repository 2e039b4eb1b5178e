"""What people read: values as labelled lines and as rows of tables. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from walrus_sdk.model.options import DeployResult
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.reports import DeploymentReport, DeploymentSummary, VerifyReport
from walrus_sdk.watch.progress import size

__all__ = [
    "DEPLOYMENTS",
    "deployments",
    "facts",
    "plan_page",
    "question",
    "report_page",
    "result_page",
    "verify_page",
]

Page = list[tuple[str, str]]

DEPLOYMENTS = ("deployment", "site", "network", "status", "stored", "started", "version")
"""The head of the table of deployments."""
_MAX_ERRORS = 10
_MAX_EVENTS = 10


def plan_page(plan: Plan, dollars: Decimal | None) -> Page:
    """Return a plan, and what it costs in USD when that is known."""
    page = plan.table()
    if dollars is not None:
        after = next((at for at, (label, _) in enumerate(page) if label == "gas"), len(page) - 1) + 1
        page.insert(after, ("in USD", f"about {dollars:.6f}"))
    if plan.nothing_to_do:
        page.append(("result", "nothing to do: the site is as planned"))
    return page


def question(plan: Plan) -> str:
    """Return what a user says yes to."""
    what = "make a new site" if plan.target.site_id is None else "change the site"
    return f"{what} {plan.target.name!r} on {plan.network}, for {plan.cost.frost} and about {plan.cost.gas} of gas?"


def result_page(result: DeployResult, dollars: Decimal | None) -> Page:
    """Return what a deployment came to."""
    cost = result.cost
    page = [
        ("site", f"{result.site_name} ({result.site_id})"),
        ("address", result.url),
        ("version", f"{result.version}{'' if result.changed else ' (nothing changed)'}"),
        ("stored", f"{size(cost.stored_bytes)} for {cost.frost}; {size(cost.skipped_bytes)} were stored already"),
        ("gas", f"{cost.gas} in {len(result.digests)} transactions"),
        ("verified", result.verified),
        ("deployment", str(result.deployment_id)),
    ]
    if dollars is not None:
        page.insert(5, ("in USD", f"{dollars:.6f}"))
    page += [("paid again", f"{blob_id}: its first store may have been paid in vain")
             for blob_id in result.possibly_paid_in_vain]  # fmt: skip
    return page + [("warning", text) for text in result.warnings]


def verify_page(report: VerifyReport) -> Page:
    """Return what was read back."""
    version = "changed from elsewhere" if report.version is None else str(report.version)
    return [
        ("site", f"{report.site_name} ({report.site_id})"),
        ("address", report.url),
        ("version", version),
        ("verified", f"{report.how}: {report.files} files are served as they are on chain"),
    ]


def deployments(summaries: Iterable[DeploymentSummary]) -> list[Sequence[str]]:
    """Return the table of deployments, newest first."""
    return [
        (
            str(item.deployment_id),
            item.site_name,
            item.network,
            f"{item.status}, can go on" if item.resumable else item.status,
            f"{item.progress:.0%}",
            _time(item.started_ms),
            "" if item.version is None else str(item.version),
        )
        for item in summaries
    ]


def report_page(report: DeploymentReport) -> Page:
    """Return one deployment: what it is, how far it is, what went wrong, what happened last."""
    item, details = report.summary, report.details
    page = [
        ("deployment", str(item.deployment_id)),
        ("site", f"{item.site_name} ({item.site_id or 'not made yet'})"),
        ("network", item.network),
        ("address", item.url),
        ("status", f"{item.status}; run the same command again to go on" if item.resumable else item.status),
        ("reason", item.reason),
        ("version", "" if item.version is None else str(item.version)),
        ("message", item.message),
        ("commit", item.commit),
        ("started", _time(item.started_ms)),
        ("finished", "" if item.finished_ms is None else _time(item.finished_ms)),
        ("files", _states(details.get("entries"), f"{item.progress:.0%} stored")),
        ("effects", _states(details.get("operations"), "")),
    ]
    page += [("transaction", f"{row.get('digest')}: {row.get('state')}") for row in details.get("transactions", ())]
    page += [("error", _failure(row)) for row in details.get("errors", ())[-_MAX_ERRORS:]]
    page += [("paid again", name) for name in details.get("possibly_paid_in_vain", ())]
    page += [("event", f"{row['n']}  {_time(row['wall_ms'])}  {row['type']}")
             for row in details.get("events", ())[-_MAX_EVENTS:]]  # fmt: skip
    return [(label, text) for label, text in page if text]


def facts(fields: Mapping[str, Any]) -> Page:
    """Return fields as they are, for small results."""
    return [(name.replace("_", " "), _fact(value)) for name, value in fields.items()]


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _states(rows: Sequence[Mapping[str, Any]] | None, more: str) -> str:
    """Count rows by state: ``"12: 10 done, 2 intent"``."""
    counts: dict[str, int] = {}
    for row in rows or ():
        counts[str(row.get("state"))] = counts.get(str(row.get("state")), 0) + 1
    if not counts:
        return more
    listed = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    return f"{sum(counts.values())}: {listed}" + (f"; {more}" if more else "")


def _failure(row: Mapping[str, Any]) -> str:
    return f"{row.get('n')}  {row.get('operation', '')}  {row.get('code')}: {row.get('message')}"
