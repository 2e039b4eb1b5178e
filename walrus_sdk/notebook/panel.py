"""The panel: widgets bound to a controller. What is shown is `view`, what happens is `controller`; here they only meet.

panel = walrus_sdk.panel("out/", site_name="my-app")      # the last line of a cell shows it
panel.press("Deploy"); await panel.settled()               # the same as the button; settled: nothing moves any more
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.host import Connection, Handle
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.notebook import grid as grids
from walrus_sdk.notebook.bridge import connection_of, need_widgets, opened, ticks, until
from walrus_sdk.notebook.controller import Controller, Intent
from walrus_sdk.notebook.state import Action, State, counts, file_states
from walrus_sdk.notebook.view import STYLE, View, files_html, focused, text_of, view
from walrus_sdk.notebook.visit import visit_html
from walrus_sdk.service.session import Session
from walrus_sdk.service.unwrap import one_error

if TYPE_CHECKING:
    import ipywidgets

__all__ = ["Panel", "panel"]

_LOG = logging.getLogger(__name__)
_ASKED = frozenset(field.name for field in fields(DeployOptions))
_BUTTONS = tuple(action for action in Action if action not in (Action.CONFIRM, Action.DISMISS))
_STYLES = {Action.DEPLOY: "primary", Action.CONFIRM: "success", Action.CANCEL: "danger"}
_PARTS = ("head", "status", "meter", "cost", "problems", "offer", "note")
_FILES_S = 0.5
"""Seconds between two drawings of the files: their table is most of what is sent."""
_SHARE, _BURST_S, _LEAST_S = 0.01, 0.25, 0.5
"""Drawing takes this share of the process's CPU and no more, beside the first quarter second; twice a second it may.
Looks at the journal cost about as much, and what is sent costs the kernel more than is counted here."""
_READY_S = 30.0


def panel(
    folder: str | Path | None = None,
    *,
    deployment: str | None = None,
    sites: Connection | None = None,
    remote: bool | None = None,
    **options: Any,
) -> Panel:
    """Return a live panel: of a folder that may be deployed, of a deployment by id, or of what is unfinished here.

    `options` are those of `walrus_sdk.open` (network, home, …), unless `sites` is a connection, and the fields of
    `DeployOptions`. `remote` says that the notebook is read on another machine than the kernel's (`None`: as the
    environment tells); then Open site shows a snapshot. The same call again, while the panel is open, returns the same
    panel. Raises `ConfigurationError` ``extra_missing`` without ipywidgets, ``option_invalid``.
    """
    need_widgets()
    asked = {name: value for name, value in options.items() if name in _ASKED}
    session = {name: value for name, value in options.items() if name not in _ASKED}
    if sites is not None and session:
        raise ConfigurationError("option_invalid", f"{', '.join(session)} belong to the connection that was given")
    if sites is not None and sites.closed:
        raise ConfigurationError("option_invalid", "the connection that was given is closed")
    place = Path(folder).expanduser().absolute() if folder is not None else None
    wanted = DeployOptions(**asked)
    return opened(
        ("panel", place, deployment, sites, session, asked, remote),
        lambda: Panel(sites or connection_of(session), place, deployment, wanted, remote=remote),
    )


class Panel:
    """Shows one deployment as it goes, and has a button for each verb. Made by `walrus_sdk.panel`.

    The panel follows the journal: it shows what any process does, and two panels agree. Interrupting a cell that awaits
    `settled` leaves the deployment running.
    """

    def __init__(
        self,
        sites: Connection,
        folder: Path | None,
        deployment: str | None,
        options: DeployOptions,
        *,
        remote: bool | None = None,
    ) -> None:
        self._sites = sites
        self._remote = remote
        self._make: Callable[[Session], Controller] = lambda session: Controller(
            session,
            now_ms=lambda: time.time_ns() // 1_000_000,
            folder=folder,
            deployment=deployment,
            options=options,
        )
        self._controller: Controller | None = None
        self._ready = threading.Event()
        self._drawn = -1
        self._files_of: tuple[object, ...] = ()
        self._files_at_s = 0.0
        self._cpu_s, self._taken_s, self._drawn_s = time.process_time(), 0.0, 0.0
        self._at_end = False
        self._ended = ""
        self._is_painted = True
        self._pressed: Action | None = None
        self._states: list[Any] = []
        self._counts: dict[Any, int] = {}
        self._posted: list[Handle[None]] = []
        self._widgets = _Widgets(self._on_click, self._on_choice)
        self._handle: Handle[None] = sites.submit(self._main)
        self._ready.wait(_READY_S)
        self._draw(force=True)

    # ── for people ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def widget(self) -> ipywidgets.Widget:
        """The widget, to put it beside others."""
        return self._widgets.box

    @property
    def state(self) -> State:
        """Everything that is known right now."""
        found = self._controller.latest if self._controller is not None else State()
        return replace(found, ended=self._ended) if self._ended else found

    @property
    def closed(self) -> bool:
        """Whether it is closed, or its connection is."""
        return self._handle.done

    def press(self, button: str | Action, choice: int | None = None) -> None:
        """Do what a button does, by the word on it (``"Deploy"``, ``"Confirm"``); `choice` is a version for a rollback.

        What the state does not allow is dropped, as a disabled button is. Raises `ConfigurationError`
        ``option_invalid`` for a word that no button has.
        """
        try:
            action = Action(button)
        except ValueError as error:
            known = ", ".join(one.value for one in Action)
            raise ConfigurationError("option_invalid", f"no button {button!r}; there are {known}") from error
        if choice is None:
            self._do(action)
        else:
            self._on_choice(choice)

    async def settled(self) -> None:
        """Wait until nothing moves any more, and send the end once more: in a cell it is saved with the notebook.

        Interrupting the cell ends the waiting only. A deployment that is paused has settled.
        """
        await until(self._has_settled)
        self._widgets.send()

    def wait(self, timeout: float | None = None) -> None:
        """Wait as `settled` does, without an event loop. Raises `TimeoutError` after `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self._has_settled():
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"not settled within {timeout} s")
            time.sleep(0.03)
        self._widgets.send()

    def close(self) -> None:
        """End the panel. A deployment that it began is stopped resumably; one of another process goes on."""
        self._handle.cancel()
        self._handle.settle()
        self._widgets.close()

    def __repr__(self) -> str:
        return f"Panel of {text_of(self.state)}"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Show the widget; where there are none (a forge, a mail), the same as text."""
        found = self._widgets.box._repr_mimebundle_(**options)
        data = found[0] if isinstance(found, tuple) else found
        shown = {**(data or {}), "text/plain": repr(self), "text/html": self._snapshot()}
        return (shown, found[1]) if isinstance(found, tuple) else shown

    def _snapshot(self) -> str:
        state = self.state
        shown = view(state)
        parts = (shown.head, shown.status, shown.meter, shown.cost, shown.problems, shown.note)
        return f'<div class="wsdk-panel">{STYLE}{"".join(parts)}</div>'

    # ── on the host thread ────────────────────────────────────────────────────────────────────────────────────

    async def _main(self, session: Session) -> None:
        why = "it was closed, or its connection was"
        try:
            with one_error():
                controller = self._make(session)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._tick)
                    self._controller = controller
                    tasks.start_soon(self._open_when_found, controller)
                    await controller.run()
        except Exception as error:
            _LOG.exception("a panel has ended")
            why = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._show_end(why)
            self._ready.set()

    def _show_end(self, why: str) -> None:
        """Draw once more, all buttons disabled: nobody looks any more, and nobody listens."""
        self._ended = f"panel has ended: {why}"
        with suppress(Exception):  # where drawing is what is broken, nothing more can be shown
            self._widgets.show(view(self.state))

    async def _open_when_found(self, controller: Controller) -> None:
        await controller.found.wait()
        self._ready.set()

    async def _tick(self) -> None:
        await ticks(self._draw)
        self._is_painted = False  # painting failed

    def _post(self, intent: Intent) -> Handle[None]:
        async def post(_: Session) -> None:
            if self._controller is not None:
                self._controller.post(intent)

        return self._submit(post)

    def _submit(self, work: Callable[[Session], Coroutine[Any, Any, None]]) -> Handle[None]:
        """Start something on the host thread; until it is over the panel has not settled."""
        handle = self._sites.submit(work)
        self._posted = [*(other for other in self._posted if not other.is_over), handle]
        return handle

    def _has_settled(self) -> bool:
        if self.closed:
            return True
        controller = self._controller
        if controller is None or not all(handle.is_over for handle in self._posted):
            return False
        return controller.at_rest and (not self._is_painted or self._is_drawn(controller))

    def _is_drawn(self, controller: Controller) -> bool:
        return self._drawn == controller.version and self._files_of == _files_key(controller.latest)

    def _draw(self, *, force: bool = False) -> None:
        """Bring the widgets to the state; called at the common pace, and by nobody else once it runs."""
        controller = self._controller
        if controller is None or self._ended:
            return
        at, state = controller.version, controller.latest
        is_end = controller.at_rest
        files_due = force or self._files_due(state, is_end=is_end)
        if at == self._drawn and not files_due:
            if is_end and not self._at_end:
                self._at_end = True
                self._widgets.send()  # once more: what came in a rush may have been dropped
            return
        if not (force or is_end or self._may_draw()):
            return
        began_s = time.thread_time()
        self._at_end = False
        if files_due:
            self._states = file_states(state)
            self._counts = counts(self._states)
            self._files_of, self._files_at_s = _files_key(state), time.monotonic()
            self._widgets.show_files(state, self._states)
        shown = view(state, files=self._counts if len(self._states) == len(state.files) else None)
        pressed, offered = self._pressed, state.offer.action if state.offer is not None else None
        if self._widgets.show(shown, pressed, offered) and self._pressed is pressed:
            self._pressed = None  # else it is followed at a later drawing
        self._drawn = at
        self._drawn_s = time.monotonic()
        self._taken_s += time.thread_time() - began_s

    def _may_draw(self) -> bool:
        """Return whether drawing now keeps within its share: a deployment is not to pay for who looks at it."""
        allowed_s = _BURST_S + _SHARE * (time.process_time() - self._cpu_s)
        return self._taken_s < allowed_s or time.monotonic() - self._drawn_s >= _LEAST_S

    def _files_due(self, state: State, *, is_end: bool) -> bool:
        changed = self._files_of != _files_key(state)
        pause_s = _FILES_S if self._taken_s < _BURST_S else 4 * _FILES_S
        return changed and (is_end or time.monotonic() - self._files_at_s >= pause_s)

    # ── handlers: on any thread, so they only post ────────────────────────────────────────────────────────────

    def _on_click(self, action: Action) -> None:
        self._pressed = action
        self._do(action)

    def _do(self, action: Action) -> None:
        if action is Action.OPEN:
            self._submit(self._visit)
        self._post(Intent(action))

    def _on_choice(self, choice: int) -> None:
        self._post(Intent(Action.ROLLBACK, choice))

    async def _visit(self, session: Session) -> None:
        self._widgets.visit(await visit_html(session, self.state, remote=self._remote))


def _files_key(state: State) -> tuple[object, ...]:
    """Return what the states of the files depend on."""
    number = state.seen.event_number if state.seen is not None else 0
    return (state.deployment, len(state.files), number, state.at_work)


class _Widgets:
    """The widgets of one panel; only changes are sent."""

    def __init__(self, on_click: Callable[[Action], None], on_choice: Callable[[int], None]) -> None:
        import ipywidgets as w

        self._on_choice = on_choice
        self._parts = {name: w.HTML() for name in _PARTS}
        self._buttons = {action: self._button(w, action, on_click) for action in Action}
        self._choice = w.Dropdown(description="Version", layout={"display": "none", "width": "420px"})
        self._choice.observe(self._chosen, "value")
        self._quiet = False
        self._visit = w.HTML()
        self._files = w.HTML()
        self._grid: Any | None = None
        self._is_shown: View | None = None
        offer = w.VBox([self._parts["offer"], self._choice, w.HBox([self._buttons[Action.CONFIRM],
                                                                    self._buttons[Action.DISMISS]])])  # fmt: skip
        buttons = w.HBox([self._buttons[action] for action in _BUTTONS], layout={"flex_flow": "row wrap"})
        parts = [w.HTML(STYLE), *(self._parts[name] for name in _PARTS[:5]), buttons, offer, self._parts["note"],
                 self._visit, self._files]  # fmt: skip
        self.box = w.VBox(parts)
        self.box.add_class("wsdk-panel")

    @staticmethod
    def _button(w: Any, action: Action, on_click: Callable[[Action], None]) -> Any:
        layout = {"width": "auto"}
        made = w.Button(description=action.value, disabled=True, button_style=_STYLES.get(action, ""), layout=layout)
        made.add_class(f"wsdk-{action.name.lower()}")
        made.on_click(lambda _: on_click(action))
        return made

    def _chosen(self, change: Any) -> None:
        if not self._quiet and change["new"] is not None:
            self._on_choice(change["new"])

    def show(self, shown: View, pressed: Action | None = None, offered: Action | None = None) -> bool:
        """Show a view; returns whether the focus of the button that was `pressed` was given on (see `view.focused`)."""
        for name, widget in self._parts.items():
            _set(widget, value=getattr(shown, name))
        for action, button in self._buttons.items():
            _set(button, disabled=action not in shown.enabled)
        self._offer(shown)
        following = focused(pressed, self._is_shown, shown, offered)
        if following is not None:
            self._buttons[following].focus()
        self._is_shown = shown
        return following is not None

    def _offer(self, shown: View) -> None:
        confirm, has_offer = self._buttons[Action.CONFIRM], bool(shown.offer)
        _set(confirm, description=shown.confirm or Action.CONFIRM.value)
        _set(confirm.layout, display="" if shown.confirm else "none")
        _set(self._buttons[Action.DISMISS].layout, display="" if has_offer else "none")
        _set(self._choice.layout, display="" if shown.choices else "none")
        self._quiet = True  # what is drawn is no choice of the reader
        try:
            if tuple(self._choice.options) != shown.choices:
                self._choice.options = shown.choices
            if shown.choices:
                _set(self._choice, value=shown.choice)
        finally:
            self._quiet = False

    def show_files(self, state: State, states: list[Any]) -> None:
        """Show where the files stand: as a table, and from a thousand on as a grid too."""
        _set(self._files, value=files_html(state.files, states))
        if len(state.files) <= grids.LEAST_FILES:
            return
        if self._grid is None:
            self._grid = grids.grid()
            if self._grid is not None:
                self.box.children = (*self.box.children[:-1], self._grid, self._files)
        if self._grid is not None:
            _set(self._grid, states=grids.states_bytes(states))

    def visit(self, html: str) -> None:
        """Show where the site is to be seen."""
        _set(self._visit, value=html)

    def send(self) -> None:
        """Send everything once more."""
        for widget in (*self._parts.values(), *self._buttons.values(), self._files, self._visit):
            widget.send_state()
        if self._grid is not None:
            self._grid.send_state()

    def close(self) -> None:
        """Take the widgets from the page."""
        self.box.close()


def _set(widget: Any, **traits: Any) -> None:
    for name, value in traits.items():
        if getattr(widget, name) != value:
            setattr(widget, name, value)
