"""A journal that also writes its events to a log: the same port, one layer on top."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from walrus_sdk.model.deployment import Event
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change, Journal, Ownership, Threads
from walrus_sdk.watch import logs

__all__ = ["LoggedJournal"]


class LoggedJournal:
    """Wraps a `Journal`; `write` takes lines and blocks, so it runs in a thread."""

    def __init__(self, inner: Journal, write: Callable[[Sequence[str]], None], threads: Threads) -> None:
        self._inner = inner
        self._write = write
        self._threads = threads

    async def append(self, owner: Ownership | None, changes: Sequence[Change]) -> Sequence[Event]:
        """Commit, then log; see the port."""
        events = await self._inner.append(owner, changes)
        if events:
            await self._threads.run(self._write, [logs.line(event) for event in events])
        return events

    async def events(self, deployment: DeploymentId, *, after: int = 0) -> Sequence[Event]:
        """Read events; see the port."""
        return await self._inner.events(deployment, after=after)

    async def rows(
        self, table: str, where: Mapping[str, Any] | None = None, *, columns: Sequence[str] = ()
    ) -> Sequence[Mapping[str, Any]]:
        """Read rows; see the port."""
        return await self._inner.rows(table, where, columns=columns)

    async def claim(self, deployment: DeploymentId, *, new: bool = False, take_over: bool = False) -> Ownership:
        """Become the owner; see the port."""
        return await self._inner.claim(deployment, new=new, take_over=take_over)

    async def release(self, owner: Ownership) -> None:
        """Give the ownership back; see the port."""
        await self._inner.release(owner)

    async def cache(self, key: str, value: bytes | None = None) -> bytes | None:
        """Use the cache; see the port."""
        return await self._inner.cache(key, value)
