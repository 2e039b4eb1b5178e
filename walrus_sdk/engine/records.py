"""The rows and events of effects: what is durable of each, and since when its outcome is unknown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from walrus_sdk.engine.context import Context
from walrus_sdk.engine.effect import Effect, Outcome
from walrus_sdk.errors import WalrusError
from walrus_sdk.model import events
from walrus_sdk.model.deployment import EffectState
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change, Put

__all__ = ["Records", "settled_in"]

_TABLE = "operations"
_TIMES = ("released_wall_ms", "released_boot_s", "boot_id", "lost_wall_ms", "lost_boot_s")
_TICK_S = 0.001


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


class Records:
    """Reads and writes the rows of effects, for one deployment; each write is one commit with its event."""

    def __init__(self, context: Context, chain_id: str) -> None:
        self._context = context
        self._world = context.world
        self._chain = chain_id
        self._signs: dict[DeploymentId, int] = {}

    @property
    def _mine(self) -> str:
        return str(self._context.owner.deployment)

    async def row(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """Return what the journal knows of an effect, over all deployments of this home."""
        rows = await self._world.journal.rows(_TABLE, {"chain": self._chain, "kind": kind, "name": name})
        return rows[0] if rows else None

    async def may_have_left(self, digest: str) -> bool:
        """Return whether a transaction may have been sent."""
        row = await self.row("transaction", digest)
        return row is not None and row["state"] in (EffectState.RELEASED.value, EffectState.DONE.value)

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

    def is_foreign(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row belongs to another deployment."""
        return bool(row["deployment"] != self._mine)

    async def spent(self) -> int:
        """Return the FROST that this deployment may have spent so far."""
        rows = await self._world.journal.rows("attempts", {"deployment": self._mine})
        return sum(row["frost"] or 0 for row in rows if row["outcome"] != "failed")

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────────

    async def intent(
        self,
        effect: Effect,
        row: Mapping[str, Any] | None,
        attempt: int,
        *,
        was_open: bool,
        also: Sequence[Change] = (),
    ) -> None:
        """Write the intent, if the row is still as it was read: of two deployments only one begins.

        `also` is written before it, in the same commit.
        """
        values: dict[str, Any] = {
            "deployment": self._mine,
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
        await self._append(*also, Change(events.EFFECT_INTENT, data, (put, tried)))

    async def released(self, effect: Effect, also: Sequence[Change] = ()) -> None:
        """Make durable that the last bytes may have left; `also` is written before it, in the same commit."""
        await self.point(effect, "releasing.before")
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
        await self._append(*also, Change(events.EFFECT_RELEASED, data, (self._put(effect, values),)))
        await self.point(effect, "releasing.after")

    async def done(self, effect: Effect, attempt: int, outcome: Outcome, how: str) -> None:
        """Record an outcome, with the rows that belong to it."""
        await self.point(effect, "outcome.before")
        values = {"state": EffectState.DONE.value, "outcome": json.dumps(dict(outcome.data)), "error": None}
        data = {"kind": effect.kind, "name": effect.name, "operation": effect.operation, "how": how}
        puts = [self._put(effect, values), *outcome.puts]
        if how == "done":
            facts: dict[str, Any] = {"finished_ms": self._world.clock.wall_ms(), "outcome": "done"}
            facts["endpoint"] = str(outcome.data.get("endpoint", ""))
            facts["frost"] = int(outcome.data.get("cost_frost", 0))
            puts.append(self._attempt(effect, attempt, facts))
        await self._append(Change(events.EFFECT_DONE, data | {"outcome": dict(outcome.data)}, tuple(puts)))
        await self.point(effect, "outcome.after")

    async def failed(
        self, effect: Effect, attempt: int, error: WalrusError, before: Mapping[str, Any] | None, *, unknown: bool
    ) -> None:
        """Record a failure: known not to have happened, or lost. `before`: the row of an earlier try that is open."""
        await self.point(effect, "outcome.before")
        clock = self._world.clock
        values: dict[str, Any] = {"error": json.dumps({"code": error.code, "message": error.message})}
        if unknown:
            values |= {"lost_wall_ms": clock.wall_ms(), "lost_boot_s": clock.boot_s()}
        elif before is None:
            values["state"] = EffectState.FAILED.value
        else:  # this try is known to be over, the earlier one is as open as it was
            values |= {name: before[name] for name in _TIMES}
        data: dict[str, Any] = {"kind": effect.kind, "name": effect.name, "operation": effect.operation}
        endpoint = str(error.fields.get("endpoint") or "")
        data |= {"code": error.code, "message": error.message, "open": before is not None, "endpoint": endpoint}
        facts = {"finished_ms": clock.wall_ms(), "outcome": "unknown" if unknown else "failed", "code": error.code}
        facts["endpoint"] = endpoint
        puts = (self._put(effect, values), self._attempt(effect, attempt, facts))
        await self._append(Change(events.EFFECT_UNKNOWN if unknown else events.EFFECT_FAILED, data, puts))
        await self.point(effect, "outcome.after")

    async def lost(self, effect: Effect, attempt: int) -> None:
        """Record the moment at which an answer was given up."""
        clock = self._world.clock
        values = {"lost_wall_ms": clock.wall_ms(), "lost_boot_s": clock.boot_s()}
        facts = {"finished_ms": clock.wall_ms(), "outcome": "unknown", "code": "effect_unsettled"}
        data = {"kind": effect.kind, "name": effect.name, "operation": effect.operation, "code": "effect_unsettled"}
        puts = (self._put(effect, values), self._attempt(effect, attempt, facts))
        await self._append(Change(events.EFFECT_UNKNOWN, data | {"message": "cut off"}, puts))

    async def found(self, effect: Effect, row: Mapping[str, Any] | None, outcome: Outcome) -> None:
        """Record an outcome that was looked up; `row` is what was known of the effect, whose try is over, too."""
        if row is None:
            place = {"deployment": self._mine, "operation": effect.operation, "attempts": 0}
            outcome = Outcome(outcome.data, (self._put(effect, place), *outcome.puts))
        elif row["state"] == EffectState.RELEASED.value:
            outcome = Outcome(outcome.data, (*await self._settled(effect, row), *outcome.puts))
        await self.done(effect, 0, outcome, "found")

    async def _settled(self, effect: Effect, row: Mapping[str, Any]) -> list[Put]:
        """Return what makes the last try without an answer one that was done; what it was to cost, it has cost."""
        place = {"deployment": row["deployment"], "operation": row["operation"], "name": effect.name}
        tries = await self._world.journal.rows("attempts", place)
        doubtful = [tried for tried in tries if tried["outcome"] in (None, "unknown")][-1:]
        now = self._world.clock.wall_ms()
        return [
            Put("attempts", {key: tried[key] for key in ("deployment", "operation", "n")},
                {"outcome": "done", "finished_ms": tried["finished_ms"] or now})
            for tried in doubtful
        ]  # fmt: skip

    async def in_vain(self, effect: Effect) -> None:
        """Say that what was not found may have been paid, and is paid again or given up."""
        await self._append(Change(events.SECOND_PAYMENT_POSSIBLE, {"kind": effect.kind, "name": effect.name}))

    # ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _put(self, effect: Effect, values: Mapping[str, Any]) -> Put:
        return Put(_TABLE, {"chain": self._chain, "kind": effect.kind, "name": effect.name}, values)

    def _attempt(self, effect: Effect, attempt: int, values: Mapping[str, Any]) -> Put:
        key = {
            "deployment": self._mine,
            "operation": effect.operation,
            "n": attempt,
        }
        return Put("attempts", key, {"kind": effect.kind, "name": effect.name, **values})

    async def _append(self, *changes: Change) -> None:
        await self._world.journal.append(self._context.owner, changes)

    async def point(self, effect: Effect, point: str) -> None:
        """Pass a hook point of an effect."""
        await self._world.hook(f"{effect.kind}.{point}")
