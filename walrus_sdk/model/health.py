"""What an examination of a home found, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Examination", "Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: its state (``ok``, ``warning``, ``bad``), what to do, whether it was mended."""

    what: str
    state: str
    text: str
    next_step: str = ""
    repaired: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "what": self.what,
            "state": "repaired" if self.repaired else self.state,
            "text": self.text,
            "next_step": self.next_step,
        }


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that was looked at."""

    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is bad, or what was bad is mended."""
        return all(item.state != "bad" or item.repaired for item in self.findings)

    def to_json(self) -> Mapping[str, Any]:
        """Return JSON-ready fields."""
        return {"healthy": self.healthy, "findings": [item.to_json() for item in self.findings]}
