"""What an effect is: anything that leaves the process, with a name that is known before it happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from walrus_sdk.ports import Change, Put

__all__ = ["POINTS", "Absent", "Birth", "Done", "Effect", "Found", "Look", "Outcome", "Readable"]

POINTS = tuple(
    f"{kind}.{step}.{when}"
    for kind, steps in (
        ("store", ("intent", "releasing", "do", "outcome")),
        ("transaction", ("intent", "releasing", "do", "outcome")),
    )
    for step in steps
    for when in ("before", "after")
)
"""Every moment around a commit or an external call of an effect, eight for each kind; crash tests count these."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect: its kind (``store``, ``transaction``), its name, and the operation of the plan that asks for it.

    `facts` are JSON-ready and help to find it again; `frost` and `mist` are what it may cost. `same_again`: doing it
    again is the same effect, not another one (a signed transaction), so there is nothing to wait for.
    """

    kind: str
    name: str
    operation: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    frost: int = 0
    mist: int = 0
    same_again: bool = False


@dataclass(frozen=True, slots=True)
class Birth:
    """What goes with the intent of an effect that no row knows: nobody has it before it is recorded.

    `changes` are in the commit of the intent, all or none; `recorded` is called after it, before anything is done, and
    what it returns is written with the release.
    """

    changes: tuple[Change, ...]
    recorded: Callable[[], Awaitable[Sequence[Change]]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an effect came to: JSON-ready data, and the rows that are written with it."""

    data: Mapping[str, Any]
    puts: tuple[Put, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """Looked up, and it is there."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Readable:
    """Looked up, and its bytes are there; not who stored them, nor until when."""


@dataclass(frozen=True, slots=True)
class Absent:
    """Looked up, and it is not there; which proves nothing before the settle time is over."""


Look = Callable[[], Awaitable[Found | Readable | Absent]]


@dataclass(frozen=True, slots=True)
class Done:
    """An effect that is known to have happened. `how`: ``done`` now, ``found`` by its name, ``recorded`` before."""

    data: Mapping[str, Any]
    how: str
