"""Whether new effects may begin: closed by a pause, opened when the deployment is to go on."""

from __future__ import annotations

import math
from collections.abc import Callable

import anyio

__all__ = ["Gate"]


class Gate:
    """Stands before every effect of one execution; open, it costs one look.

    `opened_s` is when it was last opened again (the monotonic clock, seconds): patience with others counts from then.
    """

    def __init__(self) -> None:
        self._opened: anyio.Event | None = None
        self._then: Callable[[], object] | None = None
        self.opened_s = -math.inf

    @property
    def is_open(self) -> bool:
        """Whether effects may begin."""
        return self._opened is None

    def close(self) -> None:
        """Let nothing begin from now on; what is under way goes on."""
        if self._opened is None:
            self._opened = anyio.Event()

    def open(self, now_s: float) -> None:
        """Let effects begin again."""
        if self._opened is not None:
            self._opened.set()
            self._opened, self.opened_s = None, now_s
            if self._then is not None:
                self._then()

    def when_opened(self, then: Callable[[], object]) -> None:
        """Call `then` each time that it is opened again; it must be quick."""
        self._then = then

    async def passed(self) -> None:
        """Wait while it is closed. Cancelled, it leaves nothing behind."""
        while self._opened is not None:
            await self._opened.wait()
