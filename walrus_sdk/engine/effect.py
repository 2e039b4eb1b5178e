"""The effect step: the one way to do anything that leaves the process.

Write the intent durably; look, when an earlier try is open; do it; write the outcome durably; only then tell.
Every effect has a name before it happens (a blob id, a transaction's digest), so a lost answer is looked up.
From the release of the last bytes on, doing and recording run on through a cancellation for a time of grace.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import anyio

from walrus_sdk.engine.context import Context
from walrus_sdk.engine.patience import Patience
from walrus_sdk.errors import (
    DeploymentStopped,
    EffectFailed,
    EffectUnknown,
    ErrorClass,
    LimitError,
    OwnershipError,
    WalrusError,
)
from walrus_sdk.model import events
from walrus_sdk.model.deployment import EffectState
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change, Put, Release

__all__ = ["POINTS", "Absent", "Done", "Effect", "Found", "Look", "Outcome", "Performer", "Readable", "settled_in"]

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

_TABLE = "operations"
_UNDER_WAY = (EffectState.INTENT, EffectState.RELEASED)
_TIMES = ("released_wall_ms", "released_boot_s", "boot_id", "lost_wall_ms", "lost_boot_s")
_TICK_S = 0.001
_OTHERS_S = 8.0
"""Seconds between looks at an effect that another live deployment is at."""


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


def settled_in(row: Mapping[str, Any], settle_s: float, boot_id: str, boot_s: float, wall_ms: int) -> float:
    """Return the seconds until a released effect counts as settled; 0 when it does.

    Counted from the later of the release and the moment the answer was lost: by the clock of this boot when it is
    the same boot, else by the wall clock.
    """
    if row.get("boot_id") == boot_id:
        since = boot_s - max(row.get("released_boot_s") or 0.0, row.get("lost_boot_s") or 0.0)
    else:
        since = (wall_ms - max(row.get("released_wall_ms") or 0, row.get("lost_wall_ms") or 0)) / 1000
        since = max(0.0, since)  # a wall clock that was set back proves nothing
    return max(0.0, settle_s - since)


class Performer:
    """Performs the effects of one deployment. It never retries and never waits for time."""

    def __init__(self, context: Context, chain_id: str) -> None:
        self._context = context
        self._world = context.world
        self._chain = chain_id
        self._finishing = 0
        self._signs: dict[DeploymentId, int] = {}
        self._budget = anyio.Lock()

    async def row(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """Return what the journal knows of an effect, over all deployments of this home."""
        rows = await self._world.journal.rows(_TABLE, {"chain": self._chain, "kind": kind, "name": name})
        return rows[0] if rows else None

    async def open_row(self, effect: Effect) -> Mapping[str, Any] | None:
        """Return the row of an effect whose outcome is not known."""
        row = await self.row(effect.kind, effect.name)
        return row if row is not None and row["state"] == EffectState.RELEASED.value else None

    async def settles_in(self, row: Mapping[str, Any]) -> float:
        """Return the seconds until a released effect counts as settled.

        Of an owner that died with it, its last event is the last moment at which it may still have waited.
        """
        clock, settle_s = self._world.clock, self._context.settle_s
        wait = settled_in(row, settle_s, clock.boot_id(), clock.boot_s(), clock.wall_ms())
        if row["lost_wall_ms"] is None and settle_s > 0:
            last = await self._last_sign(DeploymentId(row["deployment"]))
            wait = max(wait, settle_s - max(0.0, (clock.wall_ms() - last) / 1000))
        return max(0.0, wait) if wait > _TICK_S else 0.0

    async def _last_sign(self, deployment: DeploymentId) -> int:
        """Return when the last owner before this one wrote its last event (milliseconds since 1970 UTC)."""
        if deployment not in self._signs:
            mine = self._context.owner
            past = await self._world.journal.events(deployment)
            earlier = [e.wall_ms for e in past if deployment != mine.deployment or e.incarnation < mine.incarnation]
            self._signs[deployment] = max(earlier, default=0)
        return self._signs[deployment]

    async def perform(
        self,
        effect: Effect,
        do: Callable[[Release], Awaitable[Outcome]],
        look: Look,
        *,
        look_first: bool = False,
        own_only: bool = False,
        look_again: bool = False,
        enough: Callable[[Mapping[str, Any]], bool] = lambda _: True,
        may_repeat: Callable[[], bool] = lambda: True,
    ) -> Done:
        """Bring an effect about, once.

        `look_first` asks for a look even when nothing is open. `enough` tells whether an outcome still serves,
        `own_only` lets what other deployments recorded not count, `look_again` asks for a look at what is recorded.
        `may_repeat` is asked before something whose outcome stays unknown is done again.

        Raises `EffectFailed` (known not to have happened); `EffectUnknown` (may have happened), with ``settles_in``
        (seconds until the next look makes sense) when nothing was done now; `DeploymentStopped`
        ``attempts_exhausted`` when it may not be repeated.
        """
        row = await self.row(effect.kind, effect.name)
        state = EffectState(row["state"]) if row is not None else EffectState.PLANNED
        if row is not None and state is EffectState.DONE and not (own_only and self._is_foreign(row)):
            recorded: Mapping[str, Any] = json.loads(row["outcome"])
            if enough(recorded) and not (look_again and isinstance(await look(), Absent)):
                return Done(recorded, "recorded")
        if row is not None and state in _UNDER_WAY:
            await self._check_other_owner(effect, row)
        if state is EffectState.RELEASED or look_first:
            found = await look()
            if isinstance(found, Found) and enough(found.outcome.data):
                await self._commit_found(effect, row, found.outcome)
                return Done(found.outcome.data, "found")
            if row is not None and state is EffectState.RELEASED:
                await self._before_again(effect, row, may_repeat)
        return await self._do(effect, row, do)

    async def settle(
        self, effect: Effect, look: Look, enough: Callable[[Mapping[str, Any]], bool] = lambda _: True
    ) -> None:
        """Look for an effect that was left open until it is found or can no longer complete; nothing is done again.

        What is not found may have been paid in vain, which is said. Raises `EffectUnknown` with ``settles_in``
        (seconds) while it may still complete.
        """
        row = await self.row(effect.kind, effect.name)
        if row is None or row["state"] != EffectState.RELEASED.value:
            return
        found = await look()
        if isinstance(found, Found) and enough(found.outcome.data):
            await self._commit_found(effect, row, found.outcome)
            return
        await self._check_time(effect, row)
        if not effect.same_again:
            await self._append(Change(events.SECOND_PAYMENT_POSSIBLE, {"kind": effect.kind, "name": effect.name}))

    async def adopt(self, effect: Effect, found: Found) -> Done:
        """Record an effect that was found and cannot be done from here."""
        row = await self.row(effect.kind, effect.name)
        if row is None or row["state"] != EffectState.DONE.value:
            await self._commit_found(effect, row, found.outcome)
        return Done(found.outcome.data, "found")

    def _is_foreign(self, row: Mapping[str, Any]) -> bool:
        return bool(row["deployment"] != str(self._context.owner.deployment))

    async def _check_other_owner(self, effect: Effect, row: Mapping[str, Any]) -> None:
        """Leave an effect to the live deployment that is at it: its outcome is used, and not paid beside it.

        An answer that it lost, and that can no longer come, is nobody's any more.
        """
        if not self._is_foreign(row) or not self._context.is_live(DeploymentId(row["deployment"])):
            return
        wait = _OTHERS_S
        if row["state"] == EffectState.RELEASED.value and row["lost_wall_ms"] is not None:
            wait = min(wait, await self.settles_in(row))
        if wait > 0:
            text = f"{row['deployment']} is at the same {effect.kind} {effect.name}"
            raise EffectUnknown("effect_unsettled", text, name=effect.name, settles_in=wait)

    async def _check_time(self, effect: Effect, row: Mapping[str, Any]) -> None:
        wait = await self.settles_in(row)
        if wait > 0:
            text = f"{effect.kind} {effect.name} may still complete for {math.ceil(wait)} s"
            raise EffectUnknown("effect_unsettled", text, name=effect.name, settles_in=wait)

    async def _before_again(self, effect: Effect, row: Mapping[str, Any], may_repeat: Callable[[], bool]) -> None:
        """Check that what was looked for in vain may be done again, and say so when that may cost twice."""
        if not effect.same_again:
            await self._check_time(effect, row)
        if not may_repeat():
            text = f"{effect.kind} {effect.name} stays unknown, and it was tried as often as allowed"
            raise DeploymentStopped("attempts_exhausted", text, name=effect.name)
        if not effect.same_again:
            await self._append(Change(events.SECOND_PAYMENT_POSSIBLE, {"kind": effect.kind, "name": effect.name}))

    # ── doing ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _do(
        self, effect: Effect, row: Mapping[str, Any] | None, do: Callable[[Release], Awaitable[Outcome]]
    ) -> Done:
        attempt = (row["attempts"] or 0) + 1 if row is not None else 1
        was_open = row is not None and row["state"] == EffectState.RELEASED.value
        await self._point(effect, "intent.before")
        try:
            async with self._budget:
                await self._check_budget(effect)
                await self._intent(effect, row, attempt, was_open=was_open)
        except OwnershipError as error:
            if error.code != "row_changed":
                raise
            text = f"another deployment began {effect.kind} {effect.name} just now"
            raise EffectUnknown("effect_unsettled", text, name=effect.name, settles_in=_OTHERS_S) from error
        await self._point(effect, "intent.after")
        step = _Step(self, effect, attempt, do, row if was_open else None)
        return await step.run()

    async def _check_budget(self, effect: Effect) -> None:
        """Check that this and all that may have been paid stay within the limit (PAY-3). Raises ``cost_limit``."""
        limit = self._context.options.max_cost
        if limit is None or not effect.frost:
            return
        rows = await self._world.journal.rows("attempts", {"deployment": str(self._context.owner.deployment)})
        spent = sum(row["frost"] or 0 for row in rows if row["outcome"] != "failed")
        if spent + effect.frost > limit.units:
            text = f"{spent} FROST may be spent already, {effect.frost} more would be over the limit of {limit}"
            raise LimitError("cost_limit", text, found=str(spent + effect.frost), expected=str(limit.units))

    async def _intent(self, effect: Effect, row: Mapping[str, Any] | None, attempt: int, *, was_open: bool) -> None:
        """Write the intent, if the row is still as it was read: of two deployments only one begins."""
        values: dict[str, Any] = {
            "deployment": str(self._context.owner.deployment),
            "operation": effect.operation,
            "attempts": attempt,
            "reserved_frost": effect.frost,
            "reserved_mist": effect.mist,
            "facts": json.dumps(dict(effect.facts)),
            "error": None,
        }
        if not was_open:  # what was released stays so, with its time, until its outcome is known
            values["state"] = EffectState.INTENT.value
        data = {"kind": effect.kind, "name": effect.name, "operation": effect.operation, "attempt": attempt}
        tried = self._attempt(effect, attempt, {"started_ms": self._world.clock.wall_ms(), "frost": effect.frost})
        seen = {} if row is None else {name: row[name] for name in ("deployment", "state", "attempts")}
        put = replace(self._put(effect, values), expect=seen)
        await self._append(Change(events.EFFECT_INTENT, data, (put, tried)))

    async def released(self, effect: Effect) -> None:
        """Make durable that the last bytes may have left."""
        await self._point(effect, "releasing.before")
        clock = self._world.clock
        values = {
            "state": EffectState.RELEASED.value,
            "released_wall_ms": clock.wall_ms(),
            "released_boot_s": clock.boot_s(),
            "boot_id": clock.boot_id(),
            "lost_wall_ms": None,
            "lost_boot_s": None,
        }
        data = {"kind": effect.kind, "name": effect.name}
        await self._append(Change(events.EFFECT_RELEASED, data, (self._put(effect, values),)))
        await self._point(effect, "releasing.after")

    async def done(self, effect: Effect, attempt: int, outcome: Outcome, how: str) -> None:
        """Record an outcome, with the rows that belong to it."""
        await self._point(effect, "outcome.before")
        values = {"state": EffectState.DONE.value, "outcome": json.dumps(dict(outcome.data)), "error": None}
        data = {"kind": effect.kind, "name": effect.name, "operation": effect.operation, "how": how}
        puts = [self._put(effect, values), *outcome.puts]
        if how == "done":
            facts: dict[str, Any] = {"finished_ms": self._world.clock.wall_ms(), "outcome": "done"}
            facts["endpoint"] = str(outcome.data.get("endpoint", ""))
            facts["frost"] = int(outcome.data.get("cost_frost", 0))
            puts.append(self._attempt(effect, attempt, facts))
        await self._append(Change(events.EFFECT_DONE, data | {"outcome": dict(outcome.data)}, tuple(puts)))
        await self._point(effect, "outcome.after")

    async def failed(
        self, effect: Effect, attempt: int, error: WalrusError, before: Mapping[str, Any] | None, *, unknown: bool
    ) -> None:
        """Record a failure: known not to have happened, or lost. `before`: the row of an earlier try that is open."""
        await self._point(effect, "outcome.before")
        clock = self._world.clock
        values: dict[str, Any] = {"error": json.dumps({"code": error.code, "message": error.message})}
        if unknown:
            values |= {"lost_wall_ms": clock.wall_ms(), "lost_boot_s": clock.boot_s()}
        elif before is None:
            values["state"] = EffectState.FAILED.value
        else:  # this try is known to be over, the earlier one is as open as it was
            values |= {name: before[name] for name in _TIMES}
        data: dict[str, Any] = {"kind": effect.kind, "name": effect.name, "operation": effect.operation}
        data |= {"code": error.code, "message": error.message, "open": before is not None}
        facts = {"finished_ms": clock.wall_ms(), "outcome": "unknown" if unknown else "failed", "code": error.code}
        puts = (self._put(effect, values), self._attempt(effect, attempt, facts))
        await self._append(Change(events.EFFECT_UNKNOWN if unknown else events.EFFECT_FAILED, data, puts))
        await self._point(effect, "outcome.after")

    async def lost(self, effect: Effect, attempt: int) -> None:
        """Record the moment at which an answer was given up."""
        clock = self._world.clock
        values = {"lost_wall_ms": clock.wall_ms(), "lost_boot_s": clock.boot_s()}
        facts = {"finished_ms": clock.wall_ms(), "outcome": "unknown", "code": "effect_unsettled"}
        data = {"kind": effect.kind, "name": effect.name, "operation": effect.operation, "code": "effect_unsettled"}
        puts = (self._put(effect, values), self._attempt(effect, attempt, facts))
        await self._append(Change(events.EFFECT_UNKNOWN, data | {"message": "cut off"}, puts))

    async def _commit_found(self, effect: Effect, row: Mapping[str, Any] | None, outcome: Outcome) -> None:
        if row is None:
            place = {"deployment": str(self._context.owner.deployment), "operation": effect.operation, "attempts": 0}
            outcome = Outcome(outcome.data, (self._put(effect, place), *outcome.puts))
        await self.done(effect, 0, outcome, "found")

    # ── rows, points, grace ───────────────────────────────────────────────────────────────────────────────────

    def _put(self, effect: Effect, values: Mapping[str, Any]) -> Put:
        return Put(_TABLE, {"chain": self._chain, "kind": effect.kind, "name": effect.name}, values)

    def _attempt(self, effect: Effect, attempt: int, values: Mapping[str, Any]) -> Put:
        key = {
            "deployment": str(self._context.owner.deployment),
            "operation": effect.operation,
            "n": attempt,
        }
        return Put("attempts", key, {"kind": effect.kind, "name": effect.name, **values})

    async def _append(self, change: Change) -> None:
        await self._world.journal.append(self._context.owner, [change])

    async def _point(self, effect: Effect, point: str) -> None:
        await self._world.hook(f"{effect.kind}.{point}")

    async def point(self, effect: Effect, point: str) -> None:
        """Pass a hook point."""
        await self._point(effect, point)

    def finishing(self, effect: Effect) -> None:
        """Tell how many paid effects run on through a cancellation."""
        self._finishing += 1
        plural = "s" if self._finishing > 1 else ""
        self._context.feed.set(waiting=f"finishing {self._finishing} paid {effect.kind}{plural}")

    @property
    def patience(self) -> Patience:
        """Whether the user still waits."""
        return self._context.patience

    @property
    def grace_s(self) -> float:
        """How long a paid effect may run on after a cancellation, in seconds."""
        return self._context.network.grace_s


class _Step:
    """One try of one effect, from its durable intent on."""

    def __init__(
        self,
        performer: Performer,
        effect: Effect,
        attempt: int,
        do: Callable[[Release], Awaitable[Outcome]],
        before: Mapping[str, Any] | None,
    ) -> None:
        self._performer = performer
        self._effect = effect
        self._attempt = attempt
        self._do = do
        self._before = before
        self._scope = anyio.CancelScope()
        self._released = False
        self._outcome: Outcome | None = None
        self._error: Exception | None = None

    async def run(self) -> Done:
        """Do it and record what came of it."""
        async with anyio.create_task_group() as watch:
            watch.start_soon(self._grace)
            with self._scope:
                try:
                    await self._work()
                except Exception as error:  # carried out of the task group as it is, not as a group
                    self._error = error
            self._over = True
            watch.cancel_scope.cancel()
        if self._error is not None:
            raise self._error
        if self._outcome is None:
            text = f"{self._effect.kind} {self._effect.name} was cut off after its last bytes left"
            with anyio.CancelScope(shield=True):
                await self._performer.lost(self._effect, self._attempt)
            raise EffectUnknown("effect_unsettled", text, name=self._effect.name)
        return Done(self._outcome.data, "done")

    async def _work(self) -> None:
        performer, effect = self._performer, self._effect
        await performer.point(effect, "do.before")
        try:
            outcome = await self._do(self._release)
        except WalrusError as error:
            await self._failed(error)
        else:
            await performer.point(effect, "do.after")
            await performer.done(effect, self._attempt, outcome, "done")
            self._outcome = outcome

    async def _release(self) -> None:
        self._released = self._scope.shield = True  # before the row is written: a stop between them would leave it open
        await self._performer.released(self._effect)

    async def _failed(self, error: WalrusError) -> None:
        unknown = self._released and error.error_class is ErrorClass.LOOK_FIRST
        performer, effect = self._performer, self._effect
        await performer.failed(effect, self._attempt, error, self._before, unknown=unknown)
        fields = {"name": effect.name, "attempt": self._attempt}
        if unknown:
            text = f"the answer to {effect.kind} {effect.name} was lost: {error.message}"
            raise EffectUnknown("effect_unsettled", text, cause=error, **fields) from error
        text = f"{effect.kind} {effect.name} failed: {error.message}"
        raise EffectFailed("effect_failed", text, cause=error, **fields) from error

    _over = False

    async def _grace(self) -> None:
        """Start the time of grace when a cancellation arrives, not before."""
        try:
            await anyio.sleep_forever()
        finally:
            if self._released and not self._over:
                self._performer.patience.limit(self._scope, anyio.current_time() + self._performer.grace_s)
                self._performer.finishing(self._effect)
