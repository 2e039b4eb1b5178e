"""The loop above the effect step: again after a pause, looks until settled, or the end."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from walrus_sdk.engine.context import Context
from walrus_sdk.errors import DeploymentStopped, EffectFailed, EffectUnknown, OwnershipError, WalrusError
from walrus_sdk.planning.retry import PATIENT_FACTOR, Stop, budget, is_busy, look_pause, next_action

__all__ = ["MayRepeat", "Retries"]

T = TypeVar("T")

_OTHERS_AT_MOST_S = 900.0
"""Seconds that a deployment waits for another one that is at the same store, or has all coins, and for a publisher that
takes nothing because it is busy.
"""

MayRepeat = Callable[[], bool]
"""Asked before something whose outcome stays unknown is done again; a yes uses up a retry."""


class Retries:
    """Retries of one deployment, within its budget."""

    def __init__(self, context: Context, operations: int) -> None:
        self._context = context
        self._left = budget(operations, context.options.recovery)
        self._done_at = -math.inf

    async def run(
        self, what: str, once: Callable[[MayRepeat], Awaitable[T]], *, patient: bool = False, paced: bool = False
    ) -> T:
        """Call `once` until it succeeds or there is no sense in another try. Raises the reason.

        A look that finds nothing before the settle time is over is no try: it is repeated until then. A try whose
        answer was lost counts as one; `once` asks what it is given before it does again what may have happened.
        `patient`: such repeats cost nothing (the same signed transaction), so there may be more of them. A service that
        asked for a pause with an answer that says nothing is not asked again before it; others are looked at meanwhile.
        `paced`: `once` waits for its turn, so a refusal because of too many requests is no failed try: it only makes
        the turns come slower, for as long as anything gets done.
        """
        tries = looks = 0
        held = free_at = 0.0
        refused_at = math.inf
        clock = self._context.world.clock
        allowed = self._context.options.recovery.max_retries * (PATIENT_FACTOR if patient else 1)

        def may_repeat() -> bool:
            if tries == 0:
                return True  # left open by an earlier run
            if tries > allowed or not (patient or self._left > 0):
                return False
            wait = free_at - clock.monotonic()
            if wait > 0:
                raise EffectUnknown("effect_unsettled", f"{what}: the service asked for a pause", settles_in=wait)
            self._left -= not patient
            self._context.feed.add(retries=1)
            return True

        while True:
            try:
                done = await once(may_repeat)
                self._done_at = clock.monotonic()
            except EffectUnknown as error:
                if "settles_in" not in error.fields:
                    tries, looks = tries + 1, looks if patient else 0
                    free_at = clock.monotonic() + _asked_s(error)
                pause = self._until_next_look(error, looks, free_at - clock.monotonic())
                looks += 1
                held = self._held(error, held + pause) if "holder" in error.fields else 0.0
                await self._pause(f"{what}: looking for it", pause)
            except WalrusError as error:
                if paced and is_busy(error):
                    refused_at = min(refused_at, clock.monotonic())
                    since_s = max(refused_at, self._done_at, self._context.gate.opened_s)
                    self._check_busy(error, clock.monotonic() - since_s)
                    continue
                tries += 1
                await self._again(what, tries, error)
            else:
                return done

    @staticmethod
    def _check_busy(error: WalrusError, seconds: float) -> None:
        """Raise the refusal when nothing got done for too long."""
        if seconds > _OTHERS_AT_MOST_S:
            raise error.cause if isinstance(error, EffectFailed) and error.cause is not None else error

    def _spend(self) -> bool:
        """Take one retry from the deployment's budget, if there is one."""
        if self._left <= 0:
            return False
        self._left -= 1
        return True

    @staticmethod
    def _held(error: EffectUnknown, seconds: float) -> float:
        """Return how long another deployment holds this one up. Raises `OwnershipError` when that is too long."""
        if seconds > _OTHERS_AT_MOST_S:
            holder = error.fields["holder"]
            text = f"{error.message}, for {seconds / 60:.0f} minutes: take {holder} over, or cancel it"
            raise OwnershipError("deployment_owned", text, holder=holder)
        return seconds

    @staticmethod
    def _until_next_look(error: EffectUnknown, looks: int, asked_s: float) -> float:
        settles_in = error.fields.get("settles_in")
        pause = look_pause(looks, asked_s)
        return min(pause, float(settles_in)) if settles_in is not None else pause

    async def _again(self, what: str, attempts: int, error: WalrusError) -> None:
        random, options = self._context.world.random, self._context.options.recovery
        action = next_action(attempts, error, options, random.uniform(0.0, 1.0))
        if isinstance(action, Stop):
            raise action.error
        if not self._spend():
            text = f"the deployment has used up its retries; the last failure: {error.message}"
            raise DeploymentStopped("attempts_exhausted", text) from error
        self._context.feed.add(retries=1)
        await self._pause(f"{what}: {error.message}", action.pause_s)

    async def _pause(self, why: str, seconds: float) -> None:
        if seconds > 0:
            self._context.feed.set(waiting=f"{why} (again in {seconds:.0f} s)")
            await self._context.world.sleep(seconds)
            self._context.feed.set(waiting="")


def _asked_s(error: EffectUnknown) -> float:
    """Return the seconds that a service asked to be left alone (Retry-After) when it said nothing of the outcome."""
    asked = error.cause.fields.get("retry_after") if error.cause is not None else None
    return float(asked) if isinstance(asked, int | float) else 0.0
