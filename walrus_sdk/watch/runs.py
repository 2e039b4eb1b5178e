"""A deployment's events folded: its tries, its times, what it paid, when it last moved.

Everything here follows from events alone, so it is the same during a deployment, after it, and in another process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from walrus_sdk.model import events
from walrus_sdk.model.chain import failure_code
from walrus_sdk.model.deployment import Event, Status

__all__ = ["Named", "Run", "Try", "fold", "origin"]

_MOVES_ON = frozenset(
    {
        events.DEPLOYMENT_PLANNED, events.DEPLOYMENT_STATUS, events.DEPLOYMENT_TAKEN_UP, events.DEPLOYMENT_IMPORTED,
        events.DEPLOYMENT_CONTINUED,
        events.STORE_NAMED, events.TRANSACTION_SIGNED, events.EFFECT_DONE, events.VERIFIED, events.SITE_VERSION,
    }
)  # fmt: skip
"""Events after which a deployment is further than before; another try of the same thing is none."""


def origin(address: str) -> str:
    """Return scheme, host and port of an address, lower case; an empty text for none.

    What has a path of its own for each request would be another endpoint each time.
    """
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower() if parts.scheme and parts.netloc else ""


@dataclass(frozen=True, slots=True)
class Try:
    """One try of one effect; times are milliseconds since 1970 UTC, `None` while it is not so far.

    `released_ms`: its last bytes were about to leave. `outcome` is ``done``, ``failed`` (known not to have happened),
    ``unknown``, ``cut_off`` (its owner ended before it), or empty while it is under way. `code` is the error's,
    `endpoint` an origin. `size` are the content's bytes, where known. `paid`: FROST of a store, MIST of a transaction.
    """

    kind: str
    operation: str
    name: str
    number: int
    began_ms: int
    released_ms: int | None = None
    ended_ms: int | None = None
    outcome: str = ""
    code: str = ""
    endpoint: str = ""
    size: int = 0
    paid: int = 0

    @property
    def seconds(self) -> float:
        """How long it took; 0 while it is under way."""
        return max(0, (self.ended_ms or self.began_ms) - self.began_ms) / 1000

    @property
    def is_failure(self) -> bool:
        """Whether it ended badly, by an answer or for want of one."""
        return self.outcome in ("failed", "unknown")


@dataclass(frozen=True, slots=True)
class Named:
    """A store whose blob id is known: when (ms), how many files and content bytes, and the seconds of encoding."""

    at_ms: int
    files: int = 0
    size: int = 0
    encode_s: float | None = None


class Run:
    """What the events of one deployment tell. `add` takes them in order; the rest is read.

    `facts` are those of its plan, `moves` its statuses with their times, `progressed_ms` when it was last further
    than before; `is_paused`: somebody asked that nothing new begins. `found` counts effects that were done already,
    `in_vain` stores that may have been paid in vain.
    """

    def __init__(self, deployment: str) -> None:
        self.deployment = deployment
        self.facts: Mapping[str, Any] = {}
        self.began_ms = 0
        self.last_ms = 0
        self.last_number = 0
        self.progressed_ms = 0
        self.incarnation = 0
        self.moves: list[tuple[str, int]] = []
        self.tries: list[Try] = []
        self.named: dict[str, Named] = {}
        self.found = 0
        self.in_vain = 0
        self.owners = 0
        self.is_paused = False
        self.verified_ms: int | None = None
        self.verified_files = 0
        self._open: dict[tuple[str, str], Try] = {}

    @property
    def status(self) -> str:
        """The status that it moved to last."""
        return self.moves[-1][0] if self.moves else Status.PENDING.value

    @property
    def under_way(self) -> tuple[Try, ...]:
        """The tries that have not ended, the oldest first."""
        return tuple(self._open.values())

    def add(self, event: Event) -> None:
        """Take one event in."""
        self.last_ms, self.last_number = event.wall_ms, event.number
        self.began_ms = self.began_ms or event.wall_ms
        if event.incarnation > self.incarnation:
            self._new_owner(event)
        data = event.data
        if event.type in _MOVES_ON or data.get("attempt") == 1:
            self.progressed_ms = event.wall_ms
        if event.type == events.DEPLOYMENT_PLANNED:
            self.facts = data
        elif event.type == events.DEPLOYMENT_STATUS:
            self.moves.append((str(data["to"]), event.wall_ms))
        elif event.type == events.STORE_NAMED:
            size, seconds = data.get("bytes", 0), data.get("encode_s")
            self.named[data["operation"]] = Named(event.wall_ms, data.get("files", 0), size, seconds)
        elif event.type in (events.DEPLOYMENT_PAUSED, events.DEPLOYMENT_CONTINUED):
            self.is_paused = event.type == events.DEPLOYMENT_PAUSED
        elif event.type == events.SECOND_PAYMENT_POSSIBLE:
            self.in_vain += 1
        elif event.type == events.VERIFIED:
            self.verified_ms, self.verified_files = event.wall_ms, int(data.get("files", 0))
        elif event.type.startswith("effect.") and "kind" in data and "name" in data:
            self._effect(event)

    def _new_owner(self, event: Event) -> None:
        """End what the owner before this one left: it cannot be told from events how it ended."""
        self.incarnation = event.incarnation
        self.owners += 1
        self.is_paused = False  # a pause is for the process that works on it
        for one in self._open.values():
            self.tries.append(replace(one, ended_ms=max(one.began_ms, self.progressed_ms), outcome="cut_off"))
        self._open.clear()

    def _effect(self, event: Event) -> None:
        data = event.data
        key = str(data["kind"]), str(data["name"])
        if event.type == events.EFFECT_INTENT:
            named = self.named.get(str(data["operation"]))
            size = named.size if named is not None and key[0] == "store" else 0
            self._open[key] = Try(*_swap(key, data), int(data["attempt"]), event.wall_ms, size=size)
        elif event.type == events.EFFECT_RELEASED:
            if key in self._open:
                self._open[key] = replace(self._open[key], released_ms=event.wall_ms)
        elif event.type == events.EFFECT_DONE:
            self._done(key, event)
        elif event.type in (events.EFFECT_FAILED, events.EFFECT_UNKNOWN):
            outcome = "failed" if event.type == events.EFFECT_FAILED else "unknown"
            endpoint = origin(str(data.get("endpoint") or ""))
            self._end(key, event, outcome=outcome, code=str(data.get("code") or ""), endpoint=endpoint)

    def _done(self, key: tuple[str, str], event: Event) -> None:
        outcome = event.data.get("outcome") or {}
        paid = int(outcome.get("cost_frost", 0) or outcome.get("gas", 0) or 0)
        how = event.data.get("how")
        if how == "done":
            endpoint = origin(str(outcome.get("endpoint") or ""))
            failure = outcome.get("failure")  # of a transaction that is final, was charged, and did nothing
            ended = {"outcome": "failed", "code": failure_code(failure)} if failure else {"outcome": "done"}
            self._end(key, event, endpoint=endpoint, paid=paid, **ended)
            return
        self._open.pop(key, None)
        self.found += 1
        if how == "found" and paid > 0:  # its answer was lost, and it was paid by this deployment
            operation = str(event.data.get("operation", ""))
            one = Try(key[0], operation, key[1], 0, event.wall_ms, ended_ms=event.wall_ms, outcome="done", paid=paid)
            self.tries.append(one)

    def _end(self, key: tuple[str, str], event: Event, **values: Any) -> None:
        one = self._open.pop(key, None)
        if one is None:  # of a try whose beginning is not in this history: it was imported, or ended before
            one = Try(*_swap(key, event.data), 0, event.wall_ms)
        self.tries.append(replace(one, ended_ms=event.wall_ms, **values))


def _swap(key: tuple[str, str], data: Mapping[str, Any]) -> tuple[str, str, str]:
    return key[0], str(data.get("operation", "")), key[1]


def fold(deployment: str, history: Iterable[Event]) -> Run:
    """Return what a whole history tells."""
    run = Run(deployment)
    for event in history:
        run.add(event)
    return run
