"""Events and rows that belong to a deployment as a whole: status, checkpoints, notes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio

from walrus_sdk.engine.context import Context
from walrus_sdk.errors import OwnershipError
from walrus_sdk.model import events
from walrus_sdk.model.deployment import Status, may_move
from walrus_sdk.model.plan import Plan
from walrus_sdk.ports import Change, JsonText, Put

__all__ = ["Diary"]


_OF_OPERATIONS = ("kind", "name", "operation", "state", "released_wall_ms", "outcome")
_OF_TRANSACTIONS = ("step", "digest", "expires", "expected_id", "state")


class Diary:
    """Writes one deployment's status, notes and checkpoints."""

    def __init__(self, context: Context, plan: Plan, status: Status) -> None:
        self._context = context
        self._plan = plan
        self.status = status
        self._checkpoints = 0
        self._checkpointing = anyio.Lock()
        self._tenth = 0
        self._written_plan: JsonText | None = None
        self._errors: list[dict[str, Any]] = []
        self._last_event = 0

    def _row(self, **values: Any) -> Put:
        now = self._context.world.clock.wall_ms()
        return Put("deployments", {"id": str(self._context.owner.deployment)}, {**values, "updated_ms": now})

    async def move(self, status: Status, *, puts: Sequence[Put] = (), **values: Any) -> None:
        """Enter a status; `values` are columns of the deployment's row. The same status again does nothing.

        Raises `OwnershipError` ``illegal_move``.
        """
        if status is self.status:
            return
        if not may_move(self.status, status):
            text = f"a deployment that is {self.status.value} cannot become {status.value}"
            raise OwnershipError("illegal_move", text, deployment_id=str(self._context.owner.deployment))
        data = {"from": self.status.value, "to": status.value}
        data |= {name: values[name] for name in ("reason",) if values.get(name)}
        row = replace(self._row(status=status.value, **values), expect={"status": self.status.value})
        await self._append(Change(events.DEPLOYMENT_STATUS, data, (row, *puts)))
        self.status = status

    async def event(self, kind: str, data: Mapping[str, Any], puts: Sequence[Put] = ()) -> None:
        """Write an event with its rows."""
        await self._append(Change(kind, data, tuple(puts)))

    async def _append(self, change: Change) -> None:
        await self._context.world.journal.append(self._context.owner, [change])

    # ── checkpoints ───────────────────────────────────────────────────────────────────────────────────────────

    async def stored(self, done: int, total: int) -> None:
        """Write a checkpoint when another tenth of the files is stored; of several at once only the highest."""
        tenth = done * 10 // total if total else 10
        if tenth <= self._tenth:
            return
        self._tenth = tenth
        async with self._checkpointing:
            if tenth == self._tenth:  # else there is a higher one by now
                await self._append(await self._checkpoint(f"upload-{tenth * 10}"))

    async def checkpoint(self, moment: str) -> None:
        """Write a self-contained checkpoint of everything that is known now."""
        async with self._checkpointing:
            await self._append(await self._checkpoint(moment))

    async def checkpoint_file(self, moment: str) -> Change:
        """Write a checkpoint's file alone; returns the change that records it, for the next commit of the caller."""
        async with self._checkpointing:
            return await self._checkpoint(moment)

    async def _checkpoint(self, moment: str) -> Change:
        journal, deployment = self._context.world.journal, self._context.owner.deployment
        if not self._checkpoints:
            self._checkpoints = len(await journal.rows("checkpoints", {"deployment": str(deployment)}))
        self._checkpoints += 1
        number = self._checkpoints
        await self._read_on()
        data = {
            "deployment": str(deployment),
            "chain_id": self._plan.chain_id,
            "plan_digest": self._plan.digest,
            "plan": await self._plan_json(),
            "operations": await self._operations(),
            "transactions": await self._transactions(),
            "errors": list(self._errors),
            "last_event": self._last_event,
        }
        name = await self._context.world.checkpoints.write(deployment, number, moment, data)
        key = {"deployment": str(deployment), "n": number}
        now = self._context.world.clock.wall_ms()
        row = Put("checkpoints", key, {"moment": moment, "file": name, "created_ms": now, "event": data["last_event"]})
        return Change(events.CHECKPOINT, {"number": number, "moment": moment, "file": name}, (row,))

    async def _read_on(self) -> None:
        """Take over the errors among the events since the last checkpoint."""
        past = await self._context.world.journal.events(self._context.owner.deployment, after=self._last_event)
        for event in past:
            self._last_event = event.number
            if event.type in (events.EFFECT_FAILED, events.EFFECT_UNKNOWN):
                self._errors.append(dict(event.data))

    async def _plan_json(self) -> JsonText:
        if self._written_plan is None:  # it never changes
            rows = await self._context.world.journal.rows("plans", {"digest": self._plan.digest}, columns=("json",))
            self._written_plan = JsonText(rows[0]["json"])
        return self._written_plan

    async def _operations(self) -> list[dict[str, Any]]:
        mine = {"deployment": str(self._context.owner.deployment)}
        rows = await self._context.world.journal.rows("operations", mine, columns=_OF_OPERATIONS)
        return [
            {
                "kind": row["kind"],
                "name": row["name"],
                "operation": row["operation"],
                "state": row["state"],
                "released_wall_ms": row["released_wall_ms"],
                "outcome": json.loads(row["outcome"]) if row["outcome"] else None,
            }
            for row in rows
        ]

    async def _transactions(self) -> list[dict[str, Any]]:
        mine = {"deployment": str(self._context.owner.deployment)}
        # No signed bytes: whoever has the file must not be able to send them.
        return [
            dict(row) for row in await self._context.world.journal.rows("transactions", mine, columns=_OF_TRANSACTIONS)
        ]
