"""How long a stop waits for paid effects that are under way: a time of grace, and none once the user insists."""

from __future__ import annotations

import math

import anyio

__all__ = ["Patience"]


class Patience:
    """The scopes of one verb that run on through a cancellation, and whether they still may."""

    def __init__(self) -> None:
        self._scopes: list[anyio.CancelScope] = []
        self._over = False

    @property
    def is_tried(self) -> bool:
        """Whether something runs on, or ran on, through a cancellation."""
        return bool(self._scopes)

    def limit(self, scope: anyio.CancelScope, deadline: float) -> None:
        """Let `scope` run on until `deadline` (the event loop's clock), or not at all when patience is over."""
        scope.deadline = -math.inf if self._over else deadline
        self._scopes.append(scope)

    def end(self) -> None:
        """Cut off what still runs on; its outcome stays unknown and is looked up next time."""
        self._over = True
        for scope in self._scopes:
            scope.deadline = -math.inf
