"""The dashboard: all deployments of a home or a site, with filters, and a panel for the one that is chosen."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

import anyio

from walrus_sdk.errors import WalrusError
from walrus_sdk.host import Connection, Handle
from walrus_sdk.model.html import escape
from walrus_sdk.model.reports import DeploymentSummary
from walrus_sdk.notebook.bridge import connection_of, need_widgets
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
    ``extra_missing`` without ipywidgets.
    """
    need_widgets()
    return Dashboard(sites or connection_of(options), site)


def picture(name: str, home: Any) -> str:
    """Return a plot of a home's history as an image inside the page. Raises ``extra_missing`` without the extra."""
    from walrus_sdk.frames.history import history

    plot = getattr(history(home).plot, name)
    from matplotlib.figure import Figure  # not pyplot: nothing is shared with what the reader draws

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = plot(ax=figure.subplots())
    data = BytesIO()
    figure.savefig(data, format="png", dpi=90)
    told = escape(axes.get_title() or name.replace("_", " "))
    return f'<img alt="{told}" src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}">'


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
        self._site = w.Dropdown(description="Site", options=[ALL, *([site] if site else [])], value=site or ALL)
        self._status = w.Dropdown(description="Status", options=[ALL])
        self._network = w.Dropdown(description="Network", options=[ALL])
        self._text = w.Text(description="Search", continuous_update=False)
        self._one = w.Dropdown(description="Open", options=[("choose a deployment", "")], layout={"width": "520px"})
        self._table = w.HTML()
        self._plot = w.Dropdown(description="Plot", options=[("no plot", ""), *_PLOTS])
        self._plot.observe(lambda change: self._draw(change["new"]), "value")
        self._picture = w.HTML()
        self._below = w.VBox([])
        filters = (self._site, self._status, self._network, self._text)
        for widget in filters:
            widget.observe(lambda _: self._show(), "value")
        self._one.observe(lambda change: self._open(change["new"]), "value")
        row = w.HBox(list(filters), layout={"flex_flow": "row wrap"})
        self._box = w.VBox([w.HTML(STYLE), row, self._table, self._plot, self._picture, self._one, self._below])
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
            self._take(await session.list())

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
            self._one.options = names
            self._one.value = kept

    def _draw(self, name: str) -> None:
        """Draw a question to the history of the home."""
        if not name:
            self._picture.value = ""
            return
        try:
            self._picture.value = picture(name, _home(self._sites))
        except WalrusError as error:
            self._picture.value = f'<p role="alert">{escape(error.message)} <em>{escape(error.next_step)}</em></p>'

    def _open(self, deployment: str) -> None:
        """Show the panel of a deployment; a handler, so the panel is made on the host thread's side of the widget."""
        if deployment:
            made = panel(deployment=deployment, sites=self._sites)
            self._below.children = (made.widget,)
