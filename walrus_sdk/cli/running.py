"""A verb's run: a session, signals, progress; async inside, one call outside.

The first SIGINT, SIGTERM or SIGHUP cancels the verb: nothing new begins, what is paid finishes for its grace. The
second ends that grace, and from then on signals do what they do by default. A signal that was ignored when the
process began (`nohup`, a background job of a shell) stays ignored.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskStatus

from walrus_sdk.cli.displays import Display
from walrus_sdk.errors import DeploymentStopped, WalrusError
from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.service.session import Listener, Session
from walrus_sdk.service.unwrap import one_error

__all__ = ["TICK_S", "Verb", "run_verb"]

T = TypeVar("T")
Verb = Callable[[Session, Listener], Awaitable[T]]

TICK_S = 0.1
"""Seconds between two looks at whether the display has something to write."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AT_WORK = frozenset({Phase.STORE, Phase.CHAIN, Phase.VERIFY})


def run_verb(
    open_session: Callable[[], AbstractAsyncContextManager[Session]],
    verb: Verb[T],
    display: Display | None,
    note: Callable[[str], object],
) -> T:
    """Run one verb in a session of its own and return what it returns. Without a `display` nothing wakes up for one.

    Raises what the verb raises, and `DeploymentStopped` ``interrupted`` with the field ``signal`` (a number) when a
    signal stopped it.
    """
    return anyio.run(_Run(open_session, verb, display, note).run)


class _Run(Generic[T]):
    def __init__(
        self,
        open_session: Callable[[], AbstractAsyncContextManager[Session]],
        verb: Verb[T],
        display: Display | None,
        note: Callable[[str], object],
    ) -> None:
        self._open_session = open_session
        self._verb = verb
        self._display = display
        self._note = note
        self._signal: signal.Signals | None = None
        self._session: Session | None = None
        self._last = Progress()

    async def run(self) -> T:
        """Run the verb beside the tasks that take signals and write progress."""
        self._scope = anyio.CancelScope()
        with one_error():
            async with anyio.create_task_group() as tasks:
                await tasks.start(self._take_signals)
                if self._display is not None:
                    tasks.start_soon(self._tick, self._display)
                try:
                    return await self._in_session()
                finally:
                    self._close_display()
                    tasks.cancel_scope.cancel()
        raise AssertionError("the block above returns or raises")

    async def _in_session(self) -> T:
        async with self._open_session() as session:
            self._session = session
            try:
                with one_error(), self._scope:
                    return await self._verb(session, self._show)
            except WalrusError as error:
                if self._signal is None:
                    raise
                raise await self._interrupted(self._signal, session, f"; while it stopped: {error.message}") from error
            assert self._signal is not None, "only a signal cancels the verb"
            raise await self._interrupted(self._signal, session)

    def _show(self, progress: Progress) -> None:
        self._last = progress
        if self._display is not None:
            self._display.show(progress)

    def _close_display(self) -> None:
        if self._display is not None:
            self._display.close()

    @staticmethod
    async def _tick(display: Display) -> None:
        while True:
            display.tick()
            await anyio.sleep(TICK_S)

    async def _take_signals(self, *, task_status: TaskStatus[None]) -> None:
        heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        with anyio.open_signal_receiver(*heard) as signals:
            task_status.started()
            async for number in signals:
                if self._signal is not None:
                    break
                self._signal = number
                self._note("stopping: what is paid is finished first; a second signal does not wait for it")
                self._scope.cancel()
        self._close_display()
        for number in heard:
            signal.signal(number, signal.SIG_DFL)
        if self._session is not None:
            self._session.hurry()

    async def _interrupted(self, number: signal.Signals, session: Session, besides: str = "") -> DeploymentStopped:
        text, deployment = f"stopped by {number.name}{besides}", await self._unfinished(session)
        return DeploymentStopped("interrupted", text, signal=int(number), deployment_id=deployment, resumable=True)

    async def _unfinished(self, session: Session) -> str | None:
        """Return the deployment that was at work, when there is no doubt which one it was."""
        if not self._last.files_found or self._last.phase not in _AT_WORK:
            return None
        found = [item for item in await session.list() if item.status == "interrupted" and item.resumable]
        return str(found[0].deployment_id) if len(found) == 1 else None
