"""What people read: values as labelled lines and as rows of tables. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from walrus_sdk.model.health import Examination
from walrus_sdk.model.options import DeployResult
from walrus_sdk.model.plan import Packing, Plan
from walrus_sdk.model.reports import DeploymentReport, DeploymentSummary, VerifyReport
from walrus_sdk.model.versions import CleanupReport, Version, VersionDiff
from walrus_sdk.watch.progress import size

__all__ = [
    "DEPLOYMENTS",
    "VERSIONS",
    "cleanup_page",
    "deployments",
    "diff_page",
    "examination_page",
    "facts",
    "plan_page",
    "question",
    "report_page",
    "result_page",
    "summary_page",
    "verify_page",
    "versions",
]

Page = list[tuple[str, str]]

DEPLOYMENTS = ("deployment", "site", "network", "status", "stored", "started", "version")
"""The head of the table of deployments."""
VERSIONS = ("version", "published", "files", "until epoch", "message", "tags", "commit", "deployment")
"""The head of the table of versions; a star marks the one that the site is at."""
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


def packings(ways: Sequence[Packing]) -> Page:
    """Return ways to pack the same files, a line each."""
    return [
        (
            way.name,
            f"{way.blobs} blobs, {way.quilts} quilts, {way.units} units, {way.cost}, {size(way.sent_bytes)} sent",
        )
        for way in ways
    ]


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
            item.site_name or f"({item.verb})",
            item.network,
            f"{item.status}, can go on" if item.resumable else item.status,
            f"{item.progress:.0%}",
            _time(item.started_ms),
            "" if item.version is None else str(item.version),
        )
        for item in summaries
    ]


def summary_page(item: DeploymentSummary) -> Page:
    """Return a deployment in short."""
    site, stored = item.site_name or f"({item.verb})", f"{item.progress:.0%}"
    return [("deployment", str(item.deployment_id)), ("site", site), ("status", item.status), ("stored", stored)]


def versions(found: Iterable[Version]) -> list[Sequence[str]]:
    """Return the table of versions, newest first."""
    return [
        (
            f"{item.number}{' *' if item.current else ''}",
            _time(item.created_ms),
            str(item.files),
            "" if item.end_epoch is None else str(item.end_epoch),
            item.message + (" [pinned]" if item.pinned else ""),
            " ".join(item.tags),
            item.commit[:12],
            str(item.deployment_id),
        )
        for item in found
    ]


def diff_page(found: VersionDiff) -> Page:
    """Return what differs."""
    page = [("added", path) for path in found.added]
    page += [("changed", path) for path in found.changed]
    page += [("removed", path) for path in found.removed]
    page += [("rules", name) for name in found.rules]
    return [*page, ("the same", f"{found.same} files")]


def cleanup_page(found: CleanupReport) -> Page:
    """Return what a cleanup did, or would do."""
    would = "would be " if found.dry_run else ""
    page = [
        (f"{would}forgotten", f"{len(found.deployments)} deployments, {len(found.versions)} versions"),
        (f"{would}deleted", f"{len(found.deleted)} blobs"),
    ]
    page += [(f"{would}forgotten", str(deployment)) for deployment in found.deployments]
    page += [(f"{would}forgotten", f"version {number} of {site_id}") for site_id, number in found.versions]
    page += [(f"{would}deleted", f"{blob.blob_id}, {size(blob.size)}") for blob in found.deleted]
    page += [
        ("ends by itself", f"{blob.blob_id}, {size(blob.size)}, in Walrus epoch {blob.end_epoch}")
        for blob in found.waiting
    ]
    page += [("paid in vain", f"{name}: possibly; no other result tells it")
             for name in found.possibly_paid_in_vain]  # fmt: skip
    return page + ([("next step", "the same with --yes does it")] if found.dry_run else [])


def examination_page(found: Examination) -> Page:
    """Return what an examination found, what is not well last."""
    page: Page = []
    for item in sorted(found.findings, key=lambda item: ("ok", "warning", "bad").index(item.state)):
        state = "mended" if item.repaired else item.state
        page.append(
            (state, f"{item.what}: {item.text}" + (f" {item.next_step}" if state in ("warning", "bad") else ""))
        )
    return page


def report_page(report: DeploymentReport) -> Page:
    """Return one deployment: what it is, how far it is, what went wrong, what happened last."""
    item, details = report.summary, report.details
    page = [
        ("deployment", str(item.deployment_id)),
        ("what", "" if item.verb == "deploy" else item.verb),
        ("site", f"{item.site_name} ({item.site_id or 'not made yet'})" if item.site_name else ""),
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
