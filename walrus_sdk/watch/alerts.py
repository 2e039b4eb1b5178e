"""Which alerts begin and which are over, by rules and a view; each fires once and clears once.

What fires is known from the journal, so a monitor that starts anew, or another one, says nothing twice. Only since
when a figure has been beyond its limit is remembered by the monitor itself (`Judge`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from walrus_sdk.model.alerts import Alert, alerts, firing
from walrus_sdk.ports import Change, Put
from walrus_sdk.watch.conditions import Reading, read
from walrus_sdk.watch.rules import Rule
from walrus_sdk.watch.view import View

__all__ = ["Judge", "Verdict", "alerts", "firing", "judge", "written"]

_GONE = "nothing shows it any more"


@dataclass(frozen=True, slots=True)
class Judge:
    """What is remembered between two views: since when (ms) a rule's subject has been beyond the limit."""

    since: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a view changes: alerts that begin (numbered on from the last one), and those that are over."""

    fired: tuple[Alert, ...]
    cleared: tuple[Alert, ...]
    judge: Judge


def judge(rules: Sequence[Rule], view: View, now_firing: Iterable[Alert], last: int, before: Judge) -> Verdict:
    """Hold rules against a view. `now_firing` are the alerts that fire, `last` is the number of the last one so far.

    Alerts of rules that are not among these are left alone.
    """
    open_, number = {(alert.rule, alert.subject): alert for alert in now_firing}, last
    fired, cleared, since = list[Alert](), list[Alert](), dict(before.since)
    for rule in rules:
        readings = read(rule, view)
        if readings is None:
            continue
        seen = {reading.subject: reading for reading in readings}
        for subject, reading in seen.items():
            key = rule.name, subject
            if key in open_:
                if reading.value is not None and rule.clears(reading.value):
                    cleared.append(_cleared(open_[key], view.at_ms, _back(rule, reading.value)))
            elif _has_lasted(rule, reading, since, view.at_ms):
                number += 1
                fired.append(_fired(number, rule, reading, view.at_ms))
        gone = [alert for (name, subject), alert in open_.items() if name == rule.name and subject not in seen]
        cleared += [_cleared(alert, view.at_ms, _GONE) for alert in gone]
        since = {key: ms for key, ms in since.items() if key[0] != rule.name or key[1] in seen}
    return Verdict(tuple(fired), tuple(cleared), Judge(since))


def _has_lasted(rule: Rule, reading: Reading, since: dict[tuple[str, str], int], now: int) -> bool:
    """Return whether a figure has been beyond the limit for long enough; keeps since when."""
    key = rule.name, reading.subject
    if reading.value is None:
        return False
    if not rule.fires(reading.value):
        since.pop(key, None)
        return False
    return now - since.setdefault(key, now) >= rule.for_s * 1000


def _fired(number: int, rule: Rule, reading: Reading, now: int) -> Alert:
    return Alert(
        number=number,
        rule=rule.name,
        kind=rule.kind,
        subject=reading.subject,
        severity=rule.severity,
        fired_ms=now,
        value=float(reading.value or 0.0),
        threshold=rule.limit,
        unit=rule.unit,
        message=reading.message,
        deployment=reading.deployment,
    )


def _back(rule: Rule, value: float) -> str:
    return f"it is at {value:g} {rule.unit}".rstrip()


def _cleared(alert: Alert, now: int, why: str) -> Alert:
    return replace(alert, cleared_ms=now, clearing=why)


def written(fired: Sequence[Alert], cleared: Sequence[Alert], sinks: Iterable[str]) -> Change:
    """Return the rows of a verdict, and one row for each sink that must be told of each alert at least once.

    Each row is expected as it was read: of two monitors one writes, and the other looks again.
    """
    puts, names = list[Put](), tuple(sinks)
    for alert in fired:
        values: dict[str, Any] = {
            "rule": alert.rule,
            "kind": alert.kind,
            "subject": alert.subject,
            "severity": alert.severity.value,
            "deployment": alert.deployment,
            "fired_ms": alert.fired_ms,
            "value": alert.value,
            "threshold": alert.threshold,
            "unit": alert.unit,
            "message": alert.message,
        }
        puts.append(Put("alerts", {"n": alert.number}, values, {}))
    for alert in cleared:
        puts.append(
            Put(
                "alerts",
                {"n": alert.number},
                {"cleared_ms": alert.cleared_ms, "clearing": alert.clearing},
                {"cleared_ms": None},
            )
        )
    for state, those in (("firing", fired), ("cleared", cleared)):
        for alert in those:
            at = alert.fired_ms if state == "firing" else alert.cleared_ms
            puts += [_due(sink, alert, state, at) for sink in names]
    return Change("alerts", puts=tuple(puts))


def _due(sink: str, alert: Alert, state: str, at_ms: int | None) -> Put:
    key = {"sink": sink, "alert": alert.number, "state": state}
    return Put("deliveries", key, {"created_ms": at_ms, "attempts": 0})
