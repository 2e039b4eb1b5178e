"""A deployment's events folded: its tries, its times, what it paid, when it last moved.

Everything here follows from events alone, so it is the same during a deployment, after it, and in another process.
Nothing else reads events: views, figures and alerts are made of a `Run`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
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
    """Return scheme, host and port of an address, lower case, without a port that is the scheme's own; empty for none.

    What has a path of its own for each request would be another endpoint each time.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    if not parts.scheme or not host:
        return ""
    is_usual = port in (None, {"http": 80, "https": 443}.get(parts.scheme))
    return f"{parts.scheme}://{host}" if is_usual else f"{parts.scheme}://{host}:{port}"


@dataclass(frozen=True, slots=True)
class Try:
    """One try of one effect; times are milliseconds since 1970 UTC, `None` while it is not so far.

    `released_ms`: its last bytes were about to leave. `outcome` is ``done``, ``failed`` (known not to have happened),
    ``unknown``, ``cut_off`` (its owner ended before it), or empty while it is under way. `code` and `message` are the
    error's, `endpoint` an origin. `size` are the content's bytes, where known. `paid`: FROST of a store, MIST of a
    transaction.
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
    message: str = ""

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
    name: str = ""


@dataclass
class Run:
    """What the events of one deployment tell. `add` takes them in order; the rest is read.

    `facts` are those of its plan, `moves` its statuses with their times, `progressed_ms` when it was last further
    than before; `is_paused`: somebody asked that nothing new begins. `tries` have ended, in the order of their end.
    By operation: `latest` has the last try (one that was done is the last), also what was found or recorded without
    one, `failed` the last failure of what is not done, `signed` the digest of a transaction and when it was signed.
    `found` counts effects that were done already, `in_vain` stores that may have been paid in vain.
    """

    deployment: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    began_ms: int = 0
    last_ms: int = 0
    last_number: int = 0
    progressed_ms: int = 0
    incarnation: int = 0
    moves: list[tuple[str, int]] = field(default_factory=list)
    tries: list[Try] = field(default_factory=list)
    latest: dict[str, Try] = field(default_factory=dict)
    failed: dict[str, Try] = field(default_factory=dict)
    named: dict[str, Named] = field(default_factory=dict)
    signed: dict[str, tuple[str, int]] = field(default_factory=dict)
    found: int = 0
    in_vain: int = 0
    owners: int = 0
    is_paused: bool = False
    verified_ms: int | None = None
    verified_files: int = 0
    _open: dict[tuple[str, str], Try] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """The status that it moved to last."""
        return self.moves[-1][0] if self.moves else Status.PENDING.value

    @property
    def under_way(self) -> tuple[Try, ...]:
        """The tries that have not ended, the oldest first."""
        return tuple(self._open.values())

    @property
    def failures(self) -> list[Try]:
        """The tries that failed, or whose answer was lost, in order."""
        return [one for one in self.tries if one.is_failure]

    @property
    def cap_frost(self) -> int | None:
        """The limit of what its stores may cost; `None` where none was set."""
        cap = self.facts.get("max_cost_frost")
        return None if cap is None else int(cap)

    def paid(self, kind: str) -> int:
        """Return what effects of a kind have cost: FROST of stores, MIST of transactions (less what came back)."""
        return sum(one.paid for one in self.tries if one.kind == kind)

    def copy(self) -> Run:
        """Return a run that goes on from here by itself."""
        return replace(
            self,
            moves=list(self.moves),
            tries=list(self.tries),
            latest=dict(self.latest),
            failed=dict(self.failed),
            named=dict(self.named),
            signed=dict(self.signed),
            _open=dict(self._open),
        )

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
            self.named[data["operation"]] = Named(
                event.wall_ms, data.get("files", 0), size, seconds, str(data["blob_id"])
            )
        elif event.type == events.TRANSACTION_SIGNED:
            self.signed[f"transaction-{data['step']:04}"] = str(data["digest"]), event.wall_ms
        elif event.type == events.TRANSACTION_DEAD:
            self._dead(event)
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
            self._take(replace(one, ended_ms=max(one.began_ms, self.progressed_ms), outcome="cut_off"))
        self._open.clear()

    def _dead(self, event: Event) -> None:
        """Take in that a signed transaction can never happen any more; that is no try, and none may have been begun."""
        digest, code = str(event.data["digest"]), str(event.data["code"])
        for operation, (name, _) in self.signed.items():
            if name == digest:
                at, why = event.wall_ms, "it can never happen any more"
                self._note(Try("transaction", operation, name, 0, at, None, at, "failed", code, message=why))

    def _effect(self, event: Event) -> None:
        data = event.data
        if event.type != events.EFFECT_RELEASED and not data.get("operation"):
            return  # of a store that another deployment recorded, and that is gone: it was cleaned up, or is not found
        key = str(data["kind"]), str(data["name"])
        if event.type == events.EFFECT_INTENT:
            self._begin(key, event)
        elif event.type == events.EFFECT_RELEASED:
            if key not in self._open and "operation" in data:  # it was imported
                self._begin(key, event)
            if key in self._open:
                self._open[key] = self._note(replace(self._open[key], released_ms=event.wall_ms))
        elif event.type == events.EFFECT_DONE:
            self._done(key, event)
        elif event.type in (events.EFFECT_FAILED, events.EFFECT_UNKNOWN):
            one = replace(
                self._ended(key, event),
                outcome="failed" if event.type == events.EFFECT_FAILED else "unknown",
                code=str(data.get("code") or ""),
                message=str(data.get("message") or ""),
                endpoint=origin(str(data.get("endpoint") or "")),
            )
            self._take(one)
            if data.get("open"):  # this try is known to be over, the one before it is as open as it was
                self._note(replace(one, outcome="unknown"))

    def _begin(self, key: tuple[str, str], event: Event) -> None:
        named = self.named.get(str(event.data["operation"]))
        size = named.size if named is not None and key[0] == "store" else 0
        elsewhere = event.data.get("how") == "imported"  # the try of another machine has no number here
        number = 0 if elsewhere else int(event.data.get("attempt", 0))
        one = Try(*_swap(key, event.data), number, event.wall_ms, size=size)
        self._open[key] = self._note(one)

    def _done(self, key: tuple[str, str], event: Event) -> None:
        outcome, how = event.data.get("outcome") or {}, event.data.get("how")
        failure = outcome.get("failure")  # of a transaction that is final, was charged, and did nothing
        one = replace(
            self._ended(key, event) if how == "done" else Try(*_swap(key, event.data), 0, event.wall_ms),
            ended_ms=event.wall_ms,
            outcome="failed" if failure else "done",
            code=failure_code(failure) if failure else "",
            message=str(outcome.get("message") or failure) if failure else "",
            endpoint=origin(str(outcome.get("endpoint") or "")) if how == "done" else "",
            paid=int(outcome.get("cost_frost", 0) or outcome.get("gas", 0) or 0),
        )
        if how != "done":
            self._open.pop(key, None)
            self.found += 1
        if how == "done" or (how == "found" and one.paid > 0):  # its answer was lost, and this deployment paid for it
            self._take(one)
        else:
            self._note(one)

    def _ended(self, key: tuple[str, str], event: Event) -> Try:
        """Return the open try of an effect, ended; where its beginning is not in this history, one without a number."""
        one = self._open.pop(key, None) or Try(*_swap(key, event.data), 0, event.wall_ms)
        return replace(one, ended_ms=event.wall_ms)

    def _take(self, one: Try) -> None:
        self.tries.append(one)
        self._note(one)

    def _note(self, one: Try) -> Try:
        """Keep the latest try of an operation; what is done stays so, and has no failure any more."""
        before = self.latest.get(one.operation)
        if before is None or before.outcome != "done":
            self.latest[one.operation] = one
            if one.is_failure:
                self.failed[one.operation] = one
            elif one.outcome == "done":
                self.failed.pop(one.operation, None)
        return one


def _swap(key: tuple[str, str], data: Mapping[str, Any]) -> tuple[str, str, str]:
    return key[0], str(data.get("operation", "")), key[1]


def fold(deployment: str, history: Iterable[Event]) -> Run:
    """Return what a whole history tells."""
    run = Run(deployment)
    for event in history:
        run.add(event)
    return run
