"""The dashboard: all deployments of a home or a site, with filters, and a panel for the one that is chosen."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

import anyio

from walrus_sdk.errors import WalrusError
from walrus_sdk.host import Connection, Handle
from walrus_sdk.model.html import escape
from walrus_sdk.model.reports import DeploymentSummary
from walrus_sdk.notebook.bridge import connection_of, need_widgets, opened
from walrus_sdk.notebook.panel import panel
from walrus_sdk.notebook.view import MAX_ROWS, STYLE
from walrus_sdk.service.session import Session

if TYPE_CHECKING:
    import ipywidgets

__all__ = ["Dashboard", "Filter", "chosen", "dashboard", "table_html"]

ALL = "all"
_PLOTS = (
    ("how deployments ended", "success_rate"),
    ("what they cost", "cost"),
    ("bytes a second", "throughput"),
    ("errors", "errors"),
)
_LOOK_S = 2.0
"""Seconds between two looks at the home."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deployments are shown; `ALL` for any. `text` is looked for in ids, names, messages and reasons."""

    site: str = ALL
    status: str = ALL
    network: str = ALL
    text: str = ""


def chosen(found: Iterable[DeploymentSummary], wanted: Filter) -> list[DeploymentSummary]:
    """Return the deployments that a filter lets through, in their order."""
    text = wanted.text.strip().lower()
    return [
        item
        for item in found
        if wanted.site in (ALL, item.site_name)
        and wanted.status in (ALL, item.status)
        and wanted.network in (ALL, item.network)
        and (not text or text in f"{item.deployment_id} {item.site_name} {item.message} {item.reason}".lower())
    ]


def table_html(found: Sequence[DeploymentSummary]) -> str:
    """Return deployments as a table, newest first, at most as many as a panel shows files."""
    names = ("deployment", "site", "network", "status", "stored", "started", "version", "message")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(_row(item) for item in found[:MAX_ROWS])
    more = f"<p>and {len(found) - MAX_ROWS:,} more</p>" if len(found) > MAX_ROWS else ""
    return (
        '<div class="wsdk-files" tabindex="0" role="region" aria-label="Deployments">'
        f'<table class="wsdk-table"><caption>{len(found):,} deployments</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</div>"
    )


def _row(item: DeploymentSummary) -> str:
    status = f"{item.status}, can go on" if item.resumable else item.status
    started = datetime.fromtimestamp(item.started_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    cells = [item.site_name or f"({item.verb})", item.network, status, f"{item.progress:.0%}", started]
    cells += ["" if item.version is None else str(item.version), item.message]
    shown = [escape(cell) for cell in cells]
    shown[2] = f'<span class="wsdk-state wsdk-{escape(item.status)}">{shown[2]}</span>'
    columns = "".join(f"<td>{cell}</td>" for cell in shown)
    return f'<tr><th scope="row">{escape(str(item.deployment_id))}</th>{columns}</tr>'


def dashboard(site: str | None = None, *, sites: Connection | None = None, **options: Any) -> Dashboard:
    """Return a dashboard of a home's deployments, of one `site` (a name) or of all.

    `options` are those of `walrus_sdk.open`, unless `sites` is a connection. Raises `ConfigurationError`
    ``extra_missing`` without ipywidgets. The same call again, while the dashboard is open, returns the same one.
    """
    need_widgets()
    key = ("dashboard", site, sites, options)
    return opened(key, lambda: Dashboard(sites or connection_of(options), site))


def picture(name: str, home: Any, site: str = ALL) -> str:
    """Return a plot of a home's history, or of one site's, as an image inside the page.

    Raises `ConfigurationError` ``extra_missing`` without the extra.
    """
    from walrus_sdk.frames import plots, questions
    from walrus_sdk.frames.history import history

    found = history(home)

    def mine(frame: Any) -> Any:
        if site == ALL:
            return frame
        of_site = found.deployments.loc[found.deployments["site_name"] == site, "deployment"]
        return frame[frame["deployment"].isin(of_site)]

    drawings: dict[str, Callable[[Any], Any]] = {
        "success_rate": lambda ax: plots.success_rate(questions.success_rate(mine(found.deployments)), ax),
        "cost": lambda ax: plots.cost(questions.cost_per_deployment(mine(found.deployments)), ax),
        "throughput": lambda ax: plots.throughput(questions.throughput(mine(found.attempts)), ax),
        "errors": lambda ax: plots.errors(questions.error_patterns(mine(found.errors)), ax),
    }
    from matplotlib.figure import Figure  # not pyplot: nothing is shared with what the reader draws

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = drawings[name](figure.subplots())
    data = BytesIO()
    figure.savefig(data, format="png", dpi=90)
    told = escape(axes.get_title() or name.replace("_", " "))
    return f'<img alt="{told}" src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}">'


def _alert(error: WalrusError) -> str:
    return f'<p role="alert">{escape(error.message)} <em>{escape(error.next_step)}</em></p>'


def _home(sites: Connection) -> Any:
    """Return the home of a connection, `None` for that of the environment."""
    settings = sites.options.get("settings")
    return sites.options.get("home") or (settings.home if settings is not None else None)


class Dashboard:
    """A table of deployments that follows the journal, filters above it, and a panel below. Made by `dashboard`."""

    def __init__(self, sites: Connection, site: str | None) -> None:
        import ipywidgets as w

        self._sites = sites
        self._found: list[DeploymentSummary] = []
        self._lock = threading.Lock()
        self._quiet = False
        self._site = w.Dropdown(description="Site", options=[ALL, *([site] if site else [])], value=site or ALL)
        self._status = w.Dropdown(description="Status", options=[ALL])
        self._network = w.Dropdown(description="Network", options=[ALL])
        self._text = w.Text(description="Search", continuous_update=False)
        self._one = w.Dropdown(description="Open", options=[("choose a deployment", "")], layout={"width": "520px"})
        self._problem = w.HTML()
        self._table = w.HTML()
        self._plot = w.Dropdown(description="Plot", options=[("no plot", ""), *_PLOTS])
        self._plot.observe(self._chosen_by_reader(lambda: self._draw(self._plot.value)), "value")
        self._site.observe(self._chosen_by_reader(lambda: self._draw(self._plot.value)), "value")
        self._picture = w.HTML()
        self._below = w.VBox([])
        filters = (self._site, self._status, self._network, self._text)
        for widget in filters:
            widget.observe(self._chosen_by_reader(self._show), "value")
        self._one.observe(self._chosen_by_reader(lambda: self._open(self._one.value)), "value")
        row = w.HBox(list(filters), layout={"flex_flow": "row wrap"})
        self._box = w.VBox(
            [w.HTML(STYLE), row, self._problem, self._table, self._plot, self._picture, self._one, self._below]
        )
        self._box.add_class("wsdk-panel")
        self._handle: Handle[None] = sites.submit(self._look)
        self._take(sites.list().wait())

    @property
    def widget(self) -> ipywidgets.Widget:
        """The widget, to put it beside others."""
        return self._box

    @property
    def shown(self) -> list[DeploymentSummary]:
        """The deployments that the filters let through."""
        text = self._text.value
        return chosen(self._found, Filter(self._site.value, self._status.value, self._network.value, text))

    @property
    def closed(self) -> bool:
        """Whether it is closed, or its connection is."""
        return self._handle.done

    def close(self) -> None:
        """End it; what was opened below goes on."""
        self._handle.cancel()
        self._box.close()

    def __repr__(self) -> str:
        return f"Dashboard of {len(self._found)} deployments"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        found = self._box._repr_mimebundle_(**options)
        data = found[0] if isinstance(found, tuple) else found
        shown = {**(data or {}), "text/plain": repr(self), "text/html": STYLE + table_html(self.shown)}
        return (shown, found[1]) if isinstance(found, tuple) else shown

    async def _look(self, session: Session) -> None:
        while True:
            await anyio.sleep(_LOOK_S)
            try:
                found = await session.list()
            except WalrusError as error:
                self._problem.value = _alert(error)
                continue
            self._problem.value = ""
            self._take(found)

    def _chosen_by_reader(self, act: Callable[[], None]) -> Callable[[Any], None]:
        """Return an observer that acts on what a reader chooses, and not on what is drawn, on the host thread."""
        return lambda _: None if self._quiet else act()

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    def _take(self, found: list[DeploymentSummary]) -> None:
        with self._lock:
            if found == self._found:
                return
            self._found = found
        for widget, names in (
            (self._site, {item.site_name for item in found if item.site_name}),
            (self._status, {item.status for item in found}),
            (self._network, {item.network for item in found if item.network}),
        ):
            wanted = (ALL, *sorted({*names, *({widget.value} - {ALL})}))
            if tuple(widget.options) != wanted:
                with self._drawing():
                    kept = widget.value
                    widget.options = wanted
                    widget.value = kept
        self._show()

    def _show(self) -> None:
        html = table_html(self.shown)
        if self._table.value != html:
            self._table.value = html
        names = [("choose a deployment", ""), *((str(item.deployment_id),) * 2 for item in self.shown[:MAX_ROWS])]
        if list(self._one.options) != names:
            kept = self._one.value if any(value == self._one.value for _, value in names) else ""
            with self._drawing():
                self._one.options = names
                self._one.value = kept

    def _draw(self, name: str) -> None:
        """Draw a question to the history of the home."""
        if not name:
            self._picture.value = ""
            return
        try:
            self._picture.value = picture(name, _home(self._sites), self._site.value)
        except WalrusError as error:
            self._picture.value = _alert(error)

    def _open(self, deployment: str) -> None:
        """Show the panel of a deployment; called by a reader's choice, so never on the host thread."""
        if deployment:
            made = panel(deployment=deployment, sites=self._sites)
            self._below.children = (made.widget,)
