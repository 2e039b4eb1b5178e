"""Live progress inside the process that works: counts go in, frozen snapshots come out.

What must survive the process is an event in the journal; this is only for eyes.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from typing import Any

from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.ports import Content

__all__ = ["Feed", "counted"]

_LOG = logging.getLogger(__name__)
_NAMES = frozenset(item.name for item in fields(Progress))


class Feed:
    """Holds the latest `Progress` and hands each change to one listener, which must be quick and may fail.

    `sending` are the bytes sent of each store that is under way; `entered` is told of each phase as it begins.
    """

    def __init__(self, listener: Callable[[Progress], object] | None = None) -> None:
        self._listener = listener
        self._values: dict[str, Any] = {}
        self._now: Progress | None = None
        self.sending: dict[str, int] = {}
        self.entered: Callable[[Phase], object] | None = None

    @property
    def now(self) -> Progress:
        """The latest snapshot; made when somebody looks, as counts change far more often than that."""
        if self._now is None:
            self._now = Progress(**self._values)
        return self._now

    def set(self, **values: Any) -> None:
        """Replace fields of the snapshot."""
        assert values.keys() <= _NAMES, values
        self._values.update(values)
        self._publish()

    def add(self, **amounts: int) -> None:
        """Add to counting fields of the snapshot."""
        assert amounts.keys() <= _NAMES, amounts
        for name, amount in amounts.items():
            self._values[name] = self._values.get(name, 0) + amount
        self._publish()

    def phase(self, phase: Phase) -> None:
        """Enter a phase."""
        if self.entered is not None:
            self.entered(phase)
        self.set(phase=phase, waiting="")

    def sent(self, operation: str, size: int) -> None:
        """Count bytes of a store as sent."""
        self.sending[operation] = self.sending.get(operation, 0) + size
        self.add(bytes_sent=size)

    def ended(self, operation: str) -> None:
        """Say that a try of a store is over."""
        self.sending.pop(operation, None)

    def _publish(self) -> None:
        self._now = None
        if self._listener is None:
            return
        try:
            self._listener(self.now)
        except KeyboardInterrupt:
            raise
        except BaseException:
            # P10: a broken progress view never holds up a deployment, not even one that asks the program to end. It is
            # no coroutine, so what it raises is no cancellation.
            self._listener = None
            _LOG.warning("a progress view failed, and is not called again", exc_info=True)


def counted(content: Content, feed: Feed, operation: str) -> Content:
    """Wrap content of a store so that its bytes count as sent while they are read."""
    return _Counted(content, feed, operation)


class _Counted:
    def __init__(self, content: Content, feed: Feed, operation: str) -> None:
        self._content = content
        self._feed = feed
        self._operation = operation

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _CountedIterator(self._content.__aiter__(), self._feed, self._operation)


class _CountedIterator:
    def __init__(self, inner: AsyncIterator[bytes], feed: Feed, operation: str) -> None:
        self._inner = inner
        self._feed = feed
        self._operation = operation

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._inner.__anext__()
        self._feed.sent(self._operation, len(chunk))
        return chunk

    async def aclose(self) -> None:
        close = getattr(self._inner, "aclose", None)
        if close is not None:
            await close()
