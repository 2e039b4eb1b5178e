"""Simulated deaths: after one every port refuses, so that nothing that still runs has an effect."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Death", "Life", "at_point", "is_death"]


class Death(BaseException):
    """The process is dead. Not an `Exception`: nothing in the product may catch it."""


class Life:
    """Whether the process lives; every port asks.

    Its hook points are the boundaries of effects, and with `counts_commits` also the moments before and after each
    commit of the journal and each checkpoint.
    """

    def __init__(self) -> None:
        self.alive = True
        self.counts_commits = False
        self.points: list[str] = []
        self._at: Callable[[int, str], bool] = lambda _number, _point: False

    def die_when(self, at: Callable[[int, str], bool]) -> None:
        """Die at the first hook point for which `at(number, name)` holds; numbers count from 1."""
        self._at = at

    def check(self) -> None:
        """Raise `Death` once dead."""
        if not self.alive:
            raise Death

    def die(self) -> None:
        """Die now."""
        self.alive = False
        raise Death

    async def hook(self, point: str) -> None:
        """Count a hook point (port `Hook`), and die there when it is the one."""
        self.check()
        self.points.append(point)
        if self._at(len(self.points), point):
            self.die()

    async def commit(self, moment: str) -> None:
        """Be just before or after something lasts (``"journal.before"``, ...): a hook point if those count."""
        self.check()
        if self.counts_commits:
            await self.hook(moment)


def at_point(number: int) -> Callable[[int, str], bool]:
    """Choose a hook point by its number."""
    return lambda found, _point: found == number


def is_death(error: BaseException) -> bool:
    """Return whether an error, or a group of them, is a simulated death."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_death(inner) for inner in error.exceptions)
    return isinstance(error, Death)
