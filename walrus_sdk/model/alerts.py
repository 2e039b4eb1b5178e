"""Alerts as they are journalled: one row from the moment one fires to the moment it clears.

`n` counts all alerts of a home from 1, so a webhook's receiver knows a repeat by the number and the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from walrus_sdk.model.reports import iso

__all__ = ["HOME", "ONLY_ONE", "WALLET", "Alert", "AlertOptions", "Notice", "Severity", "alerts", "firing"]

HOME, WALLET = "home", "wallet"
ONLY_ONE = frozenset({HOME, WALLET})
"""Subjects of which there is one."""


class Severity(Enum):
    """How much an alert matters; chosen by its rule."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Alert:
    """One row of ``alerts``.

    `rule` is the rule's name, `kind` what it looks at, `subject` what it is about (a deployment's id, an endpoint, a
    site, ``home``); a rule has at most one open alert for a subject. `value` passed `threshold`, both in `unit`
    (``s``, ``bytes``, ``share``, ``FROST``, ...). Times are milliseconds since 1970 UTC; `cleared_ms` is `None` while
    it fires. `clearing` says why it cleared.
    """

    number: int
    rule: str
    kind: str
    subject: str
    severity: Severity
    fired_ms: int
    value: float
    threshold: float
    unit: str
    message: str
    deployment: str | None = None
    cleared_ms: int | None = None
    clearing: str = ""

    @property
    def is_firing(self) -> bool:
        """Whether it has not cleared yet."""
        return self.cleared_ms is None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Alert:
        """Read a row."""
        return cls(
            number=row["n"],
            rule=row["rule"],
            kind=row["kind"] or row["rule"],
            subject=row["subject"],
            severity=Severity(row["severity"]),
            fired_ms=row["fired_ms"],
            value=row["value"],
            threshold=row["threshold"],
            unit=row["unit"] or "",
            message=row["message"] or "",
            deployment=row["deployment"],
            cleared_ms=row["cleared_ms"],
            clearing=row["clearing"] or "",
        )

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields; times as ISO 8601 texts in UTC."""
        return {
            "alert": self.number,
            "state": "firing" if self.is_firing else "cleared",
            "rule": self.rule,
            "kind": self.kind,
            "subject": self.subject,
            "severity": self.severity.value,
            "deployment_id": self.deployment,
            "value": self.value,
            "threshold": self.threshold,
            "unit": self.unit,
            "message": self.message,
            "clearing": self.clearing,
            "fired": iso(self.fired_ms),
            "cleared": iso(self.cleared_ms),
        }


@dataclass(frozen=True, slots=True)
class Notice:
    """What sinks are told: an alert fired, or cleared. `name` is the same whenever the same is told again."""

    alert: Alert

    @property
    def state(self) -> str:
        """``firing`` or ``cleared``."""
        return "firing" if self.alert.is_firing else "cleared"

    @property
    def name(self) -> str:
        """What names it within its home: ``alert-17-firing``."""
        return f"alert-{self.alert.number}-{self.state}"

    @property
    def text(self) -> str:
        """One line for people."""
        alert = self.alert
        if alert.is_firing:
            return f"{alert.severity.value}: {alert.rule}: {alert.message}"
        about = "" if alert.subject in ONLY_ONE else f"{alert.subject}: "  # a clearing does not say what it was about
        return f"cleared: {alert.rule}: {about}{alert.clearing or alert.message}"


@dataclass(frozen=True, slots=True)
class AlertOptions:
    """What a monitor is asked for; `None`: as the project file and the environment say.

    `rules` by name, as docs/reference/alerts.md has them. `webhooks`: addresses by name, whose origins must be among
    `webhook_origins`; `webhook_key` signs. `wallet`: ask the network what the sites' owner has, every five minutes.
    `every_s`: seconds between two looks at the journal.
    """

    rules: Mapping[str, Any] | None = None
    webhooks: Mapping[str, str] | None = field(default=None, repr=False)
    webhook_origins: tuple[str, ...] | None = None
    webhook_key: str | None = field(default=None, repr=False)
    wallet: bool = False
    every_s: float = 2.0


def alerts(rows: Iterable[Mapping[str, Any]]) -> tuple[Alert, ...]:
    """Return the alerts of a home, from the rows of ``alerts``, the oldest first."""
    return tuple(sorted((Alert.of(row) for row in rows), key=lambda alert: alert.number))


def firing(rows: Iterable[Mapping[str, Any]], deployment: str | None = None) -> tuple[Alert, ...]:
    """Return the alerts that fire now, the oldest first; of one deployment, where it is named."""
    found = (alert for alert in alerts(rows) if alert.is_firing)
    return tuple(alert for alert in found if deployment is None or alert.deployment == deployment)
