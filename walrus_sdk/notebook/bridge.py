"""Between widgets and the host thread: one pace for all panels, connections that outlive a cell, waiting that can stop.

A button's handler may run on any thread, so it only posts. What is drawn is drawn from the host's loop, by nobody else:
a blocking cell holds no panel up. Jupyter drops messages above 1,000 a second and with them the last state, so the
pace is one for all panels, and the end is sent once more.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import anyio

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.host import Connection, connect

__all__ = ["connection_of", "interval_s", "need_widgets", "opened", "ticks", "until"]

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_PACE_HZ = 12.0
_AT_FULL_PACE = 4
_BEAT_S = 0.03
"""Seconds between looks at what is waited for: a notebook's Interrupt does not wake a loop that has nothing to do."""

_lock = threading.Lock()
_painters = 0
_open: list[tuple[Any, Any]] = []
_connections: list[tuple[dict[str, Any], Connection]] = []


def need_widgets() -> None:
    """Raise `ConfigurationError` ``extra_missing`` where ipywidgets is not installed."""
    if importlib.util.find_spec("ipywidgets") is None:
        text = "panels need ipywidgets: pip install 'walrus-sdk[notebook]'"
        raise ConfigurationError("extra_missing", text, extra="notebook")


def interval_s(painters: int) -> float:
    """Return the seconds between two paints of one panel: 12 a second for up to four panels, shared above that."""
    return max(1.0, painters / _AT_FULL_PACE) / _PACE_HZ


async def ticks(paint: Callable[[], object]) -> None:
    """Call `paint` at the common pace until cancelled; one that fails is not called again (P10)."""
    global _painters
    with _lock:
        _painters += 1
    try:
        while True:
            await anyio.sleep(interval_s(_painters))
            paint()
    except Exception:
        _LOG.warning("a panel cannot be drawn, and is not drawn any more", exc_info=True)
    finally:
        with _lock:
            _painters -= 1


async def until(reached: Callable[[], bool]) -> None:
    """Wait on any event loop until `reached`, of which another thread decides; stops promptly when cancelled."""
    while not reached():  # noqa: ASYNC110
        await anyio.sleep(_BEAT_S)


def opened(key: Any, make: Callable[[], T]) -> T:
    """Return what was opened with this key and is open still, else a new one: a cell may be run twice."""
    _open[:] = [(known, found) for known, found in _open if not found.closed]
    for known, found in _open:
        if known == key:
            return found  # type: ignore[no-any-return]
    made = make()
    _open.append((key, made))
    return made


def connection_of(options: dict[str, Any]) -> Connection:
    """Return the connection with these options that is open already, else a new one: a cell may be run twice."""
    with _lock:
        _connections[:] = [(known, opened) for known, opened in _connections if not opened.closed]
        for known, opened in _connections:
            if known == options:
                return opened
        opened = connect(**options)
        _connections.append((dict(options), opened))
        return opened
