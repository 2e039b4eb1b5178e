"""The effect step: the one way to do anything that leaves the process.

Write the intent durably; look, when an earlier try is open; do it; write the outcome durably; only then tell.
Every effect has a name before it happens (a blob id, a transaction's digest), so a lost answer is looked up.
From the release of the last bytes on, doing and recording run on through a cancellation for a time of grace.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel

from walrus_sdk.engine.context import Context
from walrus_sdk.engine.effect import Absent, Birth, Done, Effect, Found, Look, Outcome
from walrus_sdk.engine.patience import Patience
from walrus_sdk.engine.records import Records
from walrus_sdk.errors import (
    DeploymentStopped,
    EffectFailed,
    EffectUnknown,
    ErrorClass,
    LimitError,
    OwnershipError,
    WalrusError,
)
from walrus_sdk.model.deployment import EffectState
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change, Release

__all__ = ["Performer"]

_UNDER_WAY = (EffectState.INTENT, EffectState.RELEASED)
_OTHERS_S = 8.0
"""Seconds between looks at an effect that another live deployment is at."""
_AT_ONCE = nullcontext()
_SAYS_NOTHING = frozenset({"answer_too_large", "blob_id_mismatch"})
"""Answers of no use that do not say either that nothing happened: it stays open, and is not tried again by itself."""


class Performer:
    """Performs the effects of one deployment. It never retries, and waits for nothing but its turn.

    `records` are the rows of effects.
    """

    def __init__(self, context: Context, chain_id: str) -> None:
        self._context = context
        self.records = Records(context, chain_id)
        self._finishing = 0
        self._budget = anyio.Lock()

    async def perform(
        self,
        effect: Effect,
        do: Callable[[Release], Awaitable[Outcome]],
        look: Look,
        *,
        look_first: bool = False,
        own_only: bool = False,
        look_again: Look | None = None,
        enough: Callable[[Mapping[str, Any]], bool] = lambda _: True,
        may_repeat: Callable[[], bool] = lambda: True,
        price: Callable[[], Awaitable[int]] | None = None,
        birth: Birth | None = None,
        turn: AbstractAsyncContextManager[object] = _AT_ONCE,
    ) -> Done:
        """Bring an effect about, once.

        `look_first` asks for a look even when nothing is open. `enough` tells whether an outcome still serves,
        `own_only` lets what other deployments recorded not count, `look_again` looks at what is recorded.
        `may_repeat` is asked before something whose outcome stays unknown is done again. `price` tells what it costs
        now (FROST), for a limit: prices change after a plan was made. `birth` is that of an effect which no row knows:
        there is nothing to look for. `turn` is entered, which may wait, before anything is written down, and left when
        it is over.

        Raises `EffectFailed` (known not to have happened); `EffectUnknown` (may have happened), with ``settles_in``
        (seconds until the next look makes sense) when nothing was done now; `DeploymentStopped`
        ``attempts_exhausted`` when it may not be repeated; `OwnershipError` ``row_changed`` when what a birth expects
        is not so any more.
        """
        row = await self.records.row(effect.kind, effect.name) if birth is None else None
        state = EffectState(row["state"]) if row is not None else EffectState.PLANNED
        if row is not None and state is EffectState.DONE and not (own_only and self.records.is_foreign(row)):
            recorded: Mapping[str, Any] = json.loads(row["outcome"])
            if enough(recorded) and (look_again is None or not isinstance(await look_again(), Absent)):
                return Done(recorded, "recorded")
        if row is not None and state in _UNDER_WAY:
            await self._check_other_owner(effect, row)
        if state is EffectState.RELEASED or look_first:
            found = await look()
            if isinstance(found, Found) and enough(found.outcome.data):
                await self.records.found(effect, row, found.outcome)
                return Done(found.outcome.data, "found")
        if row is not None and state is EffectState.RELEASED:
            await self._before_again(effect, row, may_repeat)  # no turn is waited for only to fail
        async with turn:
            if price is not None and self._context.options.max_cost is not None:
                effect = replace(effect, frost=await price())
            if state is EffectState.RELEASED and not effect.same_again:
                if await self.records.row(effect.kind, effect.name) != row:  # changed while the turn was waited for
                    raise _overtaken(effect)
                await self.records.in_vain(effect)
            return await self._do(effect, row, do, birth)

    async def settle(
        self, effect: Effect, look: Look, enough: Callable[[Mapping[str, Any]], bool] = lambda _: True
    ) -> None:
        """Look for an effect that was left open until it is found or can no longer complete; nothing is done again.

        What is not found may have been paid in vain, which is said. Raises `EffectUnknown` with ``settles_in``
        (seconds) while it may still complete.
        """
        row = await self.records.row(effect.kind, effect.name)
        if row is None or row["state"] != EffectState.RELEASED.value:
            return
        found = await look()
        if isinstance(found, Found) and enough(found.outcome.data):
            await self.records.found(effect, row, found.outcome)
            return
        await self._check_time(effect, row)
        if not effect.same_again:
            await self.records.in_vain(effect)

    async def adopt(self, effect: Effect, found: Found) -> Done:
        """Record an effect that was found and cannot be done from here."""
        row = await self.records.row(effect.kind, effect.name)
        if row is None or row["state"] != EffectState.DONE.value:
            await self.records.found(effect, row, found.outcome)
        return Done(found.outcome.data, "found")

    async def _check_other_owner(self, effect: Effect, row: Mapping[str, Any]) -> None:
        """Leave an effect to the live deployment that is at it: its outcome is used, and not paid beside it.

        An answer that it lost, and that can no longer come, is nobody's any more.
        """
        if not self.records.is_foreign(row) or not self._context.is_live(DeploymentId(row["deployment"])):
            return
        wait = _OTHERS_S
        if row["state"] == EffectState.RELEASED.value and row["lost_wall_ms"] is not None:
            wait = min(wait, await self.records.settles_in(row))
        if wait > 0:
            text = f"{row['deployment']} is at the same {effect.kind} {effect.name}"
            raise EffectUnknown("effect_unsettled", text, name=effect.name, settles_in=wait, holder=row["deployment"])

    async def _check_time(self, effect: Effect, row: Mapping[str, Any]) -> None:
        wait = await self.records.settles_in(row)
        if wait > 0:
            text = f"{effect.kind} {effect.name} may still complete for {math.ceil(wait)} s"
            raise EffectUnknown("effect_unsettled", text, name=effect.name, settles_in=wait)

    async def _before_again(self, effect: Effect, row: Mapping[str, Any], may_repeat: Callable[[], bool]) -> None:
        """Check that what was looked for in vain may be done again."""
        if not effect.same_again:
            await self._check_time(effect, row)
        if not may_repeat():
            text = f"{effect.kind} {effect.name} stays unknown, and it was tried as often as allowed"
            raise DeploymentStopped("attempts_exhausted", text, name=effect.name)

    # ── doing ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _do(
        self,
        effect: Effect,
        row: Mapping[str, Any] | None,
        do: Callable[[Release], Awaitable[Outcome]],
        birth: Birth | None,
    ) -> Done:
        await self._context.gate.passed()
        attempt = (row["attempts"] or 0) + 1 if row is not None else 1
        was_open = row is not None and row["state"] == EffectState.RELEASED.value
        await self.records.point(effect, "intent.before")
        try:
            async with self._budget:
                await self._check_budget(effect)
                made = birth.changes if birth is not None else ()
                await self.records.intent(effect, row, attempt, was_open=was_open, also=made)
        except OwnershipError as error:
            if error.code != "row_changed" or birth is not None:
                raise
            raise _overtaken(effect) from error
        await self.records.point(effect, "intent.after")
        also = await birth.recorded() if birth is not None else ()
        step = _Step(self, effect, attempt, do, row if was_open else None, also)
        return await step.run()

    async def _check_budget(self, effect: Effect) -> None:
        """Check that this and all that may have been paid stay within the limit (PAY-3). Raises ``cost_limit``."""
        limit = self._context.options.max_cost
        if limit is None or not effect.frost:
            return
        spent = await self.records.spent()
        if spent + effect.frost > limit.units:
            text = f"{spent} FROST may be spent already, {effect.frost} more would be over the limit of {limit}"
            raise LimitError("cost_limit", text, found=str(spent + effect.frost), expected=str(limit.units))

    # ── grace ─────────────────────────────────────────────────────────────────────────────────────────────────

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


def _overtaken(effect: Effect) -> EffectUnknown:
    text = f"another deployment began {effect.kind} {effect.name} just now"
    return EffectUnknown("effect_unsettled", text, name=effect.name, settles_in=_OTHERS_S)


class _Step:
    """One try of one effect, from its durable intent on."""

    def __init__(
        self,
        performer: Performer,
        effect: Effect,
        attempt: int,
        do: Callable[[Release], Awaitable[Outcome]],
        before: Mapping[str, Any] | None,
        also: Sequence[Change],
    ) -> None:
        self._performer = performer
        self._records = performer.records
        self._effect = effect
        self._attempt = attempt
        self._do = do
        self._before = before
        self._also = also
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
                await self._records.lost(self._effect, self._attempt)
            raise EffectUnknown("effect_unsettled", text, name=self._effect.name)
        return Done(self._outcome.data, "done")

    async def _work(self) -> None:
        records, effect = self._records, self._effect
        await records.point(effect, "do.before")
        try:
            outcome = await self._do(self._release)
        except WalrusError as error:
            await self._failed(error)
        else:
            await records.point(effect, "do.after")
            await records.done(effect, self._attempt, outcome, "done")
            self._outcome = outcome

    async def _release(self) -> None:
        await anyio.lowlevel.checkpoint_if_cancelled()  # a stop that came before still stops it, and all that is beside
        self._released = self._scope.shield = True  # before the row is written: a stop between them would leave it open
        await self._records.released(self._effect, self._also)

    async def _failed(self, error: WalrusError) -> None:
        unknown = self._released and error.error_class is ErrorClass.LOOK_FIRST
        is_open = unknown or (self._released and error.code in _SAYS_NOTHING)
        effect = self._effect
        await self._records.failed(effect, self._attempt, error, self._before, unknown=is_open)
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
