"""The loop above the effect step: again after a pause, looks until settled, or the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from walrus_sdk.engine.context import Context
from walrus_sdk.errors import DeploymentStopped, EffectUnknown, WalrusError
from walrus_sdk.planning.retry import Stop, budget, look_pause, next_action

__all__ = ["Retries"]

T = TypeVar("T")


class Retries:
    """Retries of one deployment, within its budget."""

    def __init__(self, context: Context, operations: int) -> None:
        self._context = context
        self._left = budget(operations, context.options.recovery)

    async def run(self, what: str, once: Callable[[], Awaitable[T]]) -> T:
        """Call `once` until it succeeds or there is no sense in another try. Raises the reason.

        A look that finds nothing before the settle time is over is no attempt: it is repeated until then.
        """
        attempts = looks = 0
        while True:
            try:
                return await once()
            except EffectUnknown as error:
                pause = self._until_next_look(error, looks)
                looks += 1
                await self._pause(f"{what}: looking for it", pause)
            except WalrusError as error:
                attempts += 1
                await self._again(what, attempts, error)

    def _until_next_look(self, error: EffectUnknown, looks: int) -> float:
        settles_in = error.fields.get("settles_in")
        pause = look_pause(looks)
        return min(pause, float(settles_in)) if settles_in is not None else pause

    async def _again(self, what: str, attempts: int, error: WalrusError) -> None:
        random, options = self._context.world.random, self._context.options.recovery
        action = next_action(attempts, error, options, random.uniform(0.0, 1.0))
        if isinstance(action, Stop):
            raise action.error
        if self._left <= 0:
            text = f"the deployment has used up its retries; the last failure: {error.message}"
            raise DeploymentStopped("attempts_exhausted", text) from error
        self._left -= 1
        self._context.feed.add(retries=1)
        await self._pause(f"{what}: {error.message}", action.pause_s)

    async def _pause(self, why: str, seconds: float) -> None:
        if seconds > 0:
            self._context.feed.set(waiting=f"{why} (again in {seconds:.0f} s)")
            await self._context.world.sleep(seconds)
            self._context.feed.set(waiting="")
