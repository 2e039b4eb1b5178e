"""What each kind of rule reads from a view: a figure for each subject. Pure; one function a kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from walrus_sdk.errors import CODES, ErrorClass
from walrus_sdk.model.alerts import HOME, WALLET
from walrus_sdk.model.deployment import Status
from walrus_sdk.planning.state import LIVE
from walrus_sdk.watch.rules import Rule
from walrus_sdk.watch.runs import Try
from walrus_sdk.watch.view import RunView, View

__all__ = ["CONDITIONS", "Reading", "is_endpoints_fault", "read"]

_LIVE = frozenset(status.value for status in LIVE)
_THEIR_FAULT = frozenset({ErrorClass.RETRY, ErrorClass.LOOK_FIRST})


@dataclass(frozen=True, slots=True)
class Reading:
    """A subject's figure in the unit of the rule; `None`: not known just now, which changes nothing.

    `message` is one sentence that holds while it is beyond the limit.
    """

    subject: str
    value: float | None
    message: str = ""
    deployment: str | None = None


Readings = Iterable[Reading] | None
"""`None`: this view does not show such subjects at all. What is missing among others is not there any more."""


def read(rule: Rule, view: View) -> Readings:
    """Return the figures that a rule is about."""
    return CONDITIONS[rule.kind](rule, view)


def is_endpoints_fault(one: Try) -> bool:
    """Return whether a failed try speaks against the service that was asked, not against what was asked of it."""
    row = CODES.get(one.code)
    return one.is_failure and (row is None or row.error_class in _THEIR_FAULT)


def _live(view: View) -> list[RunView]:
    return [run for run in view.runs if run.is_live and run.status in _LIVE]


def _failed(_: Rule, view: View) -> Iterable[Reading]:
    for run in view.runs:
        if run.status == Status.FAILED.value and not run.is_mended:
            code = run.reason.partition(":")[0]  # not its text, which may name files of this machine
            message = f"{run.deployment} of {run.site_name!r} failed" + (f" with {code}" if code else "")
            yield Reading(run.deployment, 1.0, message, run.deployment)


def _interrupted(_: Rule, view: View) -> Iterable[Reading]:
    for run in view.runs:
        if run.status in _LIVE and not run.is_live and not run.is_mended:
            idle_s = max(0.0, (view.at_ms - run.progressed_ms) / 1000)
            message = f"{run.deployment} of {run.site_name!r} was left {run.status}; resume goes on with it"
            yield Reading(run.deployment, idle_s, message, run.deployment)


def _stuck(_: Rule, view: View) -> Iterable[Reading]:
    for run in _live(view):
        if run.is_paused:
            continue  # somebody wants it to wait
        idle_s = max(0.0, (view.at_ms - run.progressed_ms) / 1000)
        waits = f"; it waits for {run.waiting}" if run.waiting else ""
        message = f"{run.deployment} of {run.site_name!r} has made no progress for {idle_s:.0f} s{waits}"
        yield Reading(run.deployment, idle_s, message, run.deployment)


def _error_rate(rule: Rule, view: View) -> Iterable[Reading]:
    since = view.at_ms - rule.window_s * 1000
    for run in _live(view):
        tries = [one for one in run.tries if (one.ended_ms or 0) >= since and one.outcome != "cut_off"]
        failed = [one for one in tries if one.is_failure]
        if len(tries) < rule.least:
            yield Reading(run.deployment, 0.0, deployment=run.deployment)
            continue
        most = max((one.code for one in failed), key=[one.code for one in failed].count, default="")
        often = f"{len(failed)} of {len(tries)} tries failed within {rule.window_s:.0f} s"
        yield Reading(run.deployment, len(failed) / len(tries), f"{often}, most with {most}", run.deployment)


def _endpoint(rule: Rule, view: View) -> Iterable[Reading]:
    since = view.at_ms - rule.window_s * 1000
    for endpoint, tries in _by_endpoint(view, since).items():
        row = 0
        for one in reversed(tries):
            if not is_endpoints_fault(one):
                break
            row += 1
        yield Reading(endpoint, row, f"{endpoint} failed {row} times in a row, last with {tries[-1].code}")


def _slow(rule: Rule, view: View) -> Iterable[Reading]:
    since = view.at_ms - rule.window_s * 1000
    for endpoint, tries in _by_endpoint(view, since).items():
        times = [one.seconds for one in tries if one.kind == "store" and one.outcome == "done"]
        value = _median(times) if len(times) >= rule.least else 0.0
        yield Reading(endpoint, value, f"a store at {endpoint} takes {value:.1f} s (median of {len(times)})")


def _median(values: list[float]) -> float:
    """Return the middle value, the lower of two; the library's own would be loaded by every session."""
    return sorted(values)[(len(values) - 1) // 2]


def _by_endpoint(view: View, since: float) -> Mapping[str, list[Try]]:
    """Return the tries since a time by who was asked.

    A transaction that went well does not say which node it was: it speaks for each that failed one before.
    """
    found: dict[str, list[Try]] = {}
    for one in view.tries:
        if (one.ended_ms or 0) < since:
            continue
        if one.endpoint:
            found.setdefault(one.endpoint, []).append(one)
        elif one.kind == "transaction" and one.outcome == "done":
            for tries in found.values():
                if tries[-1].kind == "transaction":
                    tries.append(one)
    return found


def _memory(_: Rule, view: View) -> Iterable[Reading]:
    for run in _live(view):
        message = f"the process of {run.deployment} holds {run.memory_bytes or 0:,} bytes of memory"
        yield Reading(run.deployment, run.memory_bytes, message, run.deployment)


def _open_files(_: Rule, view: View) -> Iterable[Reading]:
    for run in _live(view):
        message = f"the process of {run.deployment} has {run.open_files or 0:,} open descriptors"
        yield Reading(run.deployment, run.open_files, message, run.deployment)


def _cost(_: Rule, view: View) -> Iterable[Reading]:
    for run in _live(view):
        if run.cap_frost is not None:
            share = run.spent_frost / max(1, run.cap_frost)
            message = f"{run.deployment} has spent {run.spent_frost} of at most {run.cap_frost} FROST"
            yield Reading(run.deployment, share, message, run.deployment)


def _disk(_: Rule, view: View) -> Readings:
    if view.disk_free_bytes is None:
        return None
    return [Reading(HOME, view.disk_free_bytes, f"{view.disk_free_bytes:,} bytes are left on the state's disk")]


def _sui(_: Rule, view: View) -> Readings:
    if view.wallet is None:
        return None
    return [Reading(WALLET, view.wallet.mist, f"the sites' owner has {view.wallet.mist} MIST left for gas")]


def _wal(_: Rule, view: View) -> Readings:
    if view.wallet is None:
        return None
    return [Reading(WALLET, view.wallet.frost, f"the sites' owner has {view.wallet.frost} FROST left for storage")]


def _expiring(_: Rule, view: View) -> Readings:
    if view.sites is None:
        return None
    return [
        Reading(
            site.site_id,
            None if site.ends_ms is None else max(0.0, (site.ends_ms - view.at_ms) / 1000),
            f"{site.name!r} on {site.network} serves something that may end with Walrus epoch {site.end_epoch}",
        )
        for site in view.sites
    ]


CONDITIONS: Mapping[str, Callable[[Rule, View], Readings]] = {
    "failed": _failed,
    "interrupted": _interrupted,
    "stuck": _stuck,
    "error_rate": _error_rate,
    "endpoint": _endpoint,
    "slow": _slow,
    "memory": _memory,
    "open_files": _open_files,
    "disk": _disk,
    "sui_balance": _sui,
    "wal_balance": _wal,
    "cost": _cost,
    "expiring": _expiring,
}
"""How each kind of `rules.KINDS` reads a view."""
