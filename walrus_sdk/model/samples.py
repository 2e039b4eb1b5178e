"""Samples: how far a deployment's process is at one moment, and what it takes of its machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from walrus_sdk.model.progress import Phase, Progress

__all__ = ["Resources", "Sample"]

_PROGRESS = frozenset(item.name for item in fields(Progress)) - {"phase"}
_NOTHING = Progress()


@dataclass(frozen=True, slots=True)
class Resources:
    """What a process takes and has left, by its operating system; `None` where that does not tell.

    `cpu_s`: CPU seconds of the process since it began, of its children those that have ended. `rss_bytes`: memory
    that is resident. `open_files`: open descriptors. `disk_free_bytes`: room on the disk of the state folder for the
    user that works.
    """

    cpu_s: float | None = None
    rss_bytes: int | None = None
    open_files: int | None = None
    disk_free_bytes: int | None = None


_UNKNOWN = Resources()


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of ``samples``, written by the process that works on a deployment.

    `number` is its place in the journal: later samples have higher ones. `wall_ms` is milliseconds since 1970 UTC,
    `incarnation` the owner that wrote it. `phases_s` are the seconds that this owner has spent in each phase so far,
    `sending` the bytes that left this machine of each store that is under way.
    """

    number: int
    wall_ms: int
    incarnation: int
    progress: Progress
    phases_s: Mapping[Phase, float] = field(default_factory=dict)
    sending: Mapping[str, int] = field(default_factory=dict)
    resources: Resources = _UNKNOWN

    def data(self) -> str:
        """Return the column ``data``: JSON, without fields of `Progress` that are what they are at the start."""
        progress = {name: value for name, value in asdict(self.progress).items() if value != getattr(_NOTHING, name)}
        facts = {
            "incarnation": self.incarnation,
            "progress": {**progress, "phase": self.progress.phase.value},
            "phases_s": {phase.value: round(seconds, 3) for phase, seconds in self.phases_s.items()},
            "sending": dict(self.sending),
            **{name: value for name, value in asdict(self.resources).items() if value is not None},
        }
        return json.dumps(facts, separators=(",", ":"))

    @classmethod
    def of(cls, number: int, wall_ms: int, data: str) -> Sample:
        """Read a row; what a later version may have added is left out. Raises `ValueError` for anything else."""
        try:
            facts = json.loads(data)
            progress = {name: value for name, value in facts["progress"].items() if name in _PROGRESS}
            known = {phase.value: phase for phase in Phase}
            return cls(
                number,
                wall_ms,
                facts["incarnation"],
                Progress(phase=Phase(facts["progress"]["phase"]), **progress),
                {known[name]: seconds for name, seconds in facts["phases_s"].items() if name in known},
                facts["sending"],
                Resources(**{item.name: facts.get(item.name) for item in fields(Resources)}),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a sample: {data:.80}") from error
