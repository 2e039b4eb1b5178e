"""The structured error body of Walrus's services: what can be told from it, read defensively."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from walrus_sdk.errors import StorageError, WalrusError
from walrus_sdk.http import redact
from walrus_sdk.http.failures import TABLE, network_error

__all__ = ["AUTH_DOMAIN", "DAEMON_DOMAIN", "Reason", "error_of", "read_reason"]

DAEMON_DOMAIN = "daemon.walrus.space"
"""Domain of what a publisher or an aggregator itself says."""

AUTH_DOMAIN = "auth.publisher.walrus.space"
"""Domain of refusals that concern the publisher's token."""

_NETWORK_CODES = frozenset(TABLE.values()) | {
    "rate_limited",
    "service_unavailable",
    "send_failed",
    "redirect_refused",
    "deadline_exceeded",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a service refused: domain and reason of a structured error (both empty without one), and what it says.

    `reason` and `shown` are for people: redacted and short. `text` is all of what it says, to search in, never shown.
    """

    domain: str
    reason: str
    shown: str
    text: str

    def is_one_of(self, domain: str, *reasons: str) -> bool:
        """Whether it is one of these reasons of this domain: the same word of another service means another thing."""
        return self.domain == domain and self.reason in reasons


def read_reason(body: bytes, secrets: Iterable[str] = ()) -> Reason:
    """Read an error body of any form; `shown` is redacted, at most 200 characters.

    The structured form is ``{"error": {"status", "code", "message", "details": [{"@type": "ErrorInfo", "reason",
    "domain"}]}}``; everything else, HTML of a proxy included, counts as text.
    """
    text = body.decode("utf-8", "replace")
    try:
        error = _mapping(_mapping(json.loads(body)).get("error"))
    except (ValueError, RecursionError):
        error = {}
    details = error.get("details")
    info = next((_mapping(d) for d in _listed(details) if _mapping(d).get("@type") == "ErrorInfo"), {})
    structured = "status" in error or bool(info)
    says = str(error.get("message", "")) if structured else text
    hidden = tuple(secrets)
    name = str(info.get("reason", "") or error.get("status", ""))
    return Reason(str(info.get("domain", "")), redact.text(name, hidden)[:100], redact.text(says, hidden)[:200], says)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def error_of(code: str, message: str, **facts: object) -> WalrusError:
    """Make the error of the class that `code` belongs to: network and protocol codes, else storage."""
    if code in _NETWORK_CODES:
        return network_error(code, message, **facts)
    return StorageError(code, message, **facts)
