"""One line of a comparison: what was measured, against what, and whether it is enough."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["Row", "Samples", "interleaved", "machine", "save"]

Samples = Mapping[str, Sequence[float]]
"""What each contender came to, a figure a round."""


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity. `ours` and `theirs` are medians in `unit`; `ratio` is what `limit` and `aim` speak of.

    With `at_most` the ratio must not be above its limit (a cost over a floor), else not below it (how many times
    better than something else). Without a limit the row only tells. `samples` are all rounds.
    """

    quantity: str
    against: str
    ours: float
    theirs: float
    unit: str
    ratio: float
    limit: float | None = None
    aim: float | None = None
    at_most: bool = False
    note: str = ""
    samples: Samples = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """``ok``, ``ok (aim)``, ``short``, or nothing where there is no limit."""
        if self.limit is None:
            return ""
        if self.aim is not None and self._reaches(self.aim):
            return "ok (aim)"
        return "ok" if self._reaches(self.limit) else "short"

    def _reaches(self, figure: float) -> bool:
        return self.ratio <= figure if self.at_most else self.ratio >= figure

    @property
    def spread(self) -> float | None:
        """The largest distance of a round from its contender's median, as a share of it; `None` of a single round."""
        found: list[float] = []
        for values in self.samples.values():
            middle = statistics.median(values)
            found += [abs(value - middle) / middle for value in values if middle]
        return max(found, default=None)

    def to_json(self) -> dict[str, Any]:
        """Return everything, with the verdict."""
        return asdict(self) | {"verdict": self.verdict, "spread": self.spread}


def interleaved(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure each contender once a round, in turn, so that whatever else the machine does meets all of them.

    The first one of a round is another each time.
    """
    found: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            found[name].append(contenders[name]())
    return found


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    model = ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        model = platform.processor()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "processor": model,
    }


def save(rows: Iterable[Row], path: Path) -> None:
    """Write rows as JSON, with the machine and the date."""
    data = {"machine": machine(), "rows": [row.to_json() for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
