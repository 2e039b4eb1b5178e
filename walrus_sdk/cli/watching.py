"""``monitor`` and ``logs``: what is watched, while it runs and after."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import click

from walrus_sdk.cli import exits
from walrus_sdk.cli.calls import Call, command
from walrus_sdk.cli.displays import JSON_PAUSE_S
from walrus_sdk.cli.screens import screen
from walrus_sdk.cli.streams import printable
from walrus_sdk.errors import DeploymentStopped
from walrus_sdk.model.alerts import Notice
from walrus_sdk.model.deployment import Status
from walrus_sdk.model.progress import Progress
from walrus_sdk.model.views import DeploymentView
from walrus_sdk.watch import words
from walrus_sdk.watch.progress import size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

    from walrus_sdk.cli.output import Page
    from walrus_sdk.service.session import Listener, Session

__all__ = ["COMMANDS", "ended", "view_page"]

_DRAW_S = 0.5
"""Seconds between two drawings of a screen, at least, where only bytes have moved; what happened is drawn at once."""


@command(
    "monitor",
    click.argument("deployment", metavar="[ID]", required=False),
    click.option("--files", type=click.IntRange(0), default=0, metavar="N",
                 help="With --json: tell of at most N files, failed and active ones first."),
)  # fmt: skip
def monitor(call: Call, deployment: str | None, files: int) -> int:
    """Watch deployment ID (default: the newest that is under way) until it ends, whichever process works on it.

    A whole screen on a terminal, lines elsewhere, objects with --json. Ctrl-C ends the watching only. The exit code is
    that of the deployment: 0 complete, 3 can go on, 1 failed or cancelled. Needs no network.
    """
    shown = _display(call, files)

    async def follow(session: Session, _: Listener) -> DeploymentView:
        which = deployment or await session.newest()
        async for view in session.follow(which, files=shown.files):
            shown.take(view)
        return view

    try:
        last = call.watch(follow, shown)
    except DeploymentStopped as error:
        if error.code != "interrupted":
            raise
        call.output.note("the watching ended; the deployment goes on")
        return exits.exit_code(error)
    call.output.result(last.to_json(), view_page(last))
    return ended(last)


def ended(view: DeploymentView) -> int:
    """Return the exit code that tells how a deployment ended."""
    if view.summary.status == Status.COMPLETED.value:
        return exits.DONE
    return exits.LATER if view.summary.resumable else exits.FAILED


def view_page(view: DeploymentView) -> Page:
    """Return a deployment as it stands, for people."""
    item = view.summary
    page = [
        ("deployment", str(item.deployment_id)),
        ("site", item.site_name or f"({item.verb})"),
        ("status", f"{item.status}, can go on" if item.resumable else item.status),
        (
            "stored",
            f"{view.files_done:,} of {view.files_total:,} files, {size(view.bytes_done)} of {size(view.bytes_total)}",
        ),
        ("operations", words.counts(view.steps)),
        ("tried again", f"{view.retries:,} times"),
        ("paid", words.money(view)),
        *(("waits", words.waits(one, view.at_ms)) for one in view.waiting),
    ]
    return page if not item.url else [*page, ("address", item.url)]


# ── displays ──────────────────────────────────────────────────────────────────────────────────────────────────────


class _Watching(Protocol):
    """A display that is handed views; `files` is how many files it shows at most."""

    files: int

    def take(self, view: DeploymentView) -> None:
        """Take the latest view."""

    def show(self, progress: Progress) -> None:
        """Take progress: a watcher works on nothing, so there is none."""

    def tick(self) -> None:
        """Write what is due."""

    def close(self) -> None:
        """Leave the screen as it is, for what follows."""


def _display(call: Call, files: int) -> _Watching:
    if call.output.as_json:
        return _Objects(call.output.progress, call.outside.monotonic_s, files)
    console = call.output.screen()
    return _Lines(call.output.text) if console is None else _Screen(console, call.outside.monotonic_s)


class _Lines:
    """Plain lines: at each phase, each tenth of it, each failure, each alert, and when something is waited for.

    Of a deployment in which nothing moves, what it waits for is told once.
    """

    files = 0

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._told: Progress | None = None
        self._failed = 0
        self._stalled_ms = 0
        self._alerts: set[int] = set()

    def take(self, view: DeploymentView) -> None:
        for alert in [one for one in view.alerts if one.number not in self._alerts]:
            self._write(printable(Notice(alert).text))
            self._alerts.add(alert.number)
        failed = max(view.failures, len(view.errors))
        for error in view.errors[max(0, len(view.errors) - (failed - self._failed)) :]:
            self._write(printable(f"{error.operation}: {error.code}: {error.message}"))
        self._failed = failed
        text = words.fresh(self._told, view)
        if text is not None:
            self._told = view.progress
            self._write(printable(text))
        stalled = words.stalled(view)
        if stalled is not None and self._stalled_ms != view.moved_ms:
            self._stalled_ms = view.moved_ms
            self._write(printable(stalled))

    def show(self, progress: Progress) -> None:
        pass

    def tick(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Objects:
    """One object for what is new, at most twice a second."""

    def __init__(
        self, write: Callable[[Mapping[str, Any]], object], monotonic_s: Callable[[], float], files: int
    ) -> None:
        self.files = files
        self._write = write
        self._now_s = monotonic_s
        self._due: DeploymentView | None = None
        self._last_s: float | None = None

    def take(self, view: DeploymentView) -> None:
        self._due = view
        self.tick()

    def show(self, progress: Progress) -> None:
        pass

    def tick(self) -> None:
        now = self._now_s()
        if self._due is None or (self._last_s is not None and now - self._last_s < JSON_PAUSE_S):
            return
        view, self._due, self._last_s = self._due, None, now
        self._write(view.to_json())

    def close(self) -> None:
        self._due = None  # the result says it


class _Screen:
    """The whole screen of a terminal, given back at the end."""

    def __init__(self, console: Console, monotonic_s: Callable[[], float]) -> None:
        self._console = console
        self._now_s = monotonic_s
        self._last_s: float | None = None
        self.files = console.size.height  # there is room for no more
        self._live: Live | None = None
        self._due: DeploymentView | None = None
        self._closed = False

    def take(self, view: DeploymentView) -> None:
        if self._live is not None or view.live:  # what is over is told below, and needs no screen
            self._due = view
        if self._live is None or view.events:  # what happened is told at once
            self._last_s = None
            self.tick()

    def show(self, progress: Progress) -> None:
        pass

    def tick(self) -> None:
        now = self._now_s()
        if self._due is None or self._closed or (self._last_s is not None and now - self._last_s < _DRAW_S):
            return
        view, self._due, self._last_s = self._due, None, now
        if self._live is None:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False, screen=True,
                              redirect_stdout=False, redirect_stderr=False)  # fmt: skip
            self._live.start()
        room = self._console.size
        self._live.update(screen(view, room.width, room.height), refresh=True)

    def close(self) -> None:
        self._closed = True
        if self._live is not None:
            self._live.stop()
            self._live = None


# ── logs ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@command(
    "logs",
    click.argument("deployment", metavar="[ID]", required=False),
    click.option("--lines", type=click.IntRange(0), metavar="N",
                 help="Only the last N lines (default: all of a deployment, else 50)."),
    click.option("--follow", is_flag=True, help="Go on with what comes: of a deployment until nobody works on it."),
)  # fmt: skip
def logs(call: Call, deployment: str | None, lines: int | None, follow: bool) -> int | None:
    """Show the events of deployment ID, or the log of this home; one line each. Needs no network.

    The log file of the home is logs/deployment.log: JSON lines, secrets taken out, set aside at 16 MiB. The events of a
    deployment come from the journal and are complete.
    """
    last = (None if deployment else 50) if lines is None else lines

    async def tell(session: Session, _: Listener) -> None:
        async for line in session.log(deployment, last=last, follow=follow):
            _tell(call, line)

    try:
        call.watch(tell, _Lines(call.output.text))
    except DeploymentStopped as error:
        if error.code != "interrupted":
            raise
        return exits.exit_code(error)
    return None


def _tell(call: Call, line: str) -> None:
    try:
        facts = json.loads(line)
        text = words.event_line(facts)
    except (ValueError, TypeError, AttributeError):  # cut off, as by a full disk
        facts, text = {"text": line}, line
    if call.output.as_json:
        call.output.rows([{"happened": facts.pop("time", None), **facts}], (), ())
    else:
        call.output.text(printable(text))


COMMANDS = (monitor, logs)
