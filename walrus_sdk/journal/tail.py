"""The end of a journal, as watchers read it: on a connection of its own, so that nobody waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
from anyio import to_thread

from walrus_sdk.journal.reader import Reader
from walrus_sdk.model.samples import Sample
from walrus_sdk.model.units import DeploymentId

__all__ = ["JournalTail"]


class JournalTail:
    """Implements `watch.tail.Tail` over a journal file that is there; opened when it is first asked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: Reader | None = None
        self._readers = anyio.CapacityLimiter(1)

    async def changed(self) -> int:
        """Return a number that differs when somebody has committed; see the protocol."""
        return await to_thread.run_sync(self._changed, limiter=self._readers)

    async def samples(self, deployment: DeploymentId, *, after: int = 0) -> Sequence[Sample]:
        """Read samples; see the protocol."""
        return await to_thread.run_sync(self._samples, deployment, after, limiter=self._readers)

    async def latest(self, deployment: DeploymentId) -> Sample | None:
        """Read the last sample; see the protocol."""
        return await to_thread.run_sync(self._latest, deployment, limiter=self._readers)

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _opened(self) -> Reader:
        if self._reader is None:
            self._reader = Reader(self._path)
        return self._reader

    def _changed(self) -> int:
        return self._opened().data_version()

    def _samples(self, deployment: DeploymentId, after: int) -> Sequence[Sample]:
        return self._opened().samples(deployment, after)

    def _latest(self, deployment: DeploymentId) -> Sample | None:
        return self._opened().latest(deployment)
