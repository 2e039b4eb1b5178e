"""Progress on its way out: three live lines, plain lines, or JSON objects. A display never waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from walrus_sdk.cli.streams import printable
from walrus_sdk.model.progress import Progress
from walrus_sdk.watch.progress import Line, State, lines, news

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

__all__ = ["Display", "JsonDisplay", "LiveDisplay", "PlainDisplay"]

JSON_PAUSE_S = 0.5
"""Seconds between two progress objects, at least."""
WAIT_PAUSE_S = 5.0
"""Seconds between two plain lines that only tell what is waited for, at least."""
_BAR = 12
_STYLE = {State.AHEAD: "dim", State.WORKING: "bold", State.OVER: "green"}


class Display(Protocol):
    """Shows progress: `show` takes what is new, `tick` is called several times a second, `close` ends it."""

    def show(self, progress: Progress) -> None:
        """Take the latest progress."""

    def tick(self) -> None:
        """Write what is due."""

    def close(self) -> None:
        """Leave the screen as it is, for what follows."""


class JsonDisplay:
    """One object for what is new, at most twice a second."""

    def __init__(self, write: Callable[[Mapping[str, Any]], object], monotonic_s: Callable[[], float]) -> None:
        self._write = write
        self._now_s = monotonic_s
        self._due: Progress | None = None
        self._last_s: float | None = None

    def show(self, progress: Progress) -> None:
        """Take the latest progress; write it when the last one is old enough."""
        self._due = progress
        self.tick()

    def tick(self) -> None:
        """Write what has been held back, when it is time."""
        now = self._now_s()
        if self._due is None or (self._last_s is not None and now - self._last_s < JSON_PAUSE_S):
            return
        progress, self._due, self._last_s = self._due, None, now
        self._write({**asdict(progress), "phase": progress.phase.value})

    def close(self) -> None:
        """Drop what is held back: the result says more."""
        self._due = None


class PlainDisplay:
    """A line at each phase, at each tenth of it, and when something is waited for."""

    def __init__(self, write: Callable[[str], object], monotonic_s: Callable[[], float]) -> None:
        self._write = write
        self._now_s = monotonic_s
        self._told: Progress | None = None
        self._waited_s: float | None = None

    def show(self, progress: Progress) -> None:
        """Write a line when there is news."""
        text = news(self._told, progress)
        if text is None:
            return
        if progress.waiting and not progress.paused:
            now, last = self._now_s(), self._waited_s
            same = self._told is not None and self._told.phase is progress.phase
            if same and last is not None and now - last < WAIT_PAUSE_S:
                return
            self._waited_s = now
        self._told = progress
        self._write(text)

    def tick(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""


class LiveDisplay:
    """Three lines that are rewritten in place; what was there last stays on the screen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._due: Progress | None = None
        self._closed = False

    def show(self, progress: Progress) -> None:
        """Keep the latest progress for the next tick."""
        self._due = progress

    def tick(self) -> None:
        """Rewrite the lines when something changed."""
        if self._due is None or self._closed:
            return
        progress, self._due = self._due, None
        if self._live is None:
            self._live = self._start()
        self._live.update(_grid(lines(progress)), refresh=True)

    def _start(self) -> Live:
        from rich.live import Live

        live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        live.start()
        return live

    def close(self) -> None:
        """Write the last state and give the cursor back."""
        self.tick()
        self._closed = True
        if self._live is not None:
            self._live.stop()


def _grid(three: tuple[Line, Line, Line]) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True, min_width=max(len(line.label) for line in three))
    grid.add_column(width=_BAR)
    grid.add_column(ratio=1)
    for line in three:
        share = 0.0 if line.share is None else line.share
        bar = ProgressBar(1.0, share, width=_BAR, style="bright_black", complete_style="cyan", finished_style="green")
        grid.add_row(Text(line.label, style=_STYLE[line.state]), bar, Text(printable(line.text)))
    return grid
