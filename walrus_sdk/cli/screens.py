"""A deployment on a whole screen: a view as lines, as many as there is room for. Pure but for rich.

Lines of a fixed width, and no tables of rich: a screen is drawn twice a second beside a deployment that it must not
slow, and laying out tables takes ten times as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from walrus_sdk.cli.streams import printable
from walrus_sdk.model.alerts import Notice
from walrus_sdk.model.views import DeploymentView, OperationView, Step
from walrus_sdk.watch import words
from walrus_sdk.watch.progress import Line, State, lines, size

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["screen"]

_STEPS = {Step.DONE: "green", Step.FAILED: "red", Step.UNKNOWN: "yellow", Step.SENT: "cyan", Step.BEGUN: "cyan"}
_STATES = {State.AHEAD: "dim", State.WORKING: "bold", State.OVER: "green"}
_ALERTS, _WAITS, _ERRORS = 3, 4, 3
_BAR, _LABEL = 12, 10

_Styled = Sequence[tuple[str, str]]
"""One line: texts with their styles."""
_EMPTY: _Styled = ()


def screen(view: DeploymentView, width: int, height: int) -> Text:
    """Return what is shown of a deployment on `height` lines of `width` characters; what has no room is counted."""
    from rich.text import Text

    alerts: list[_Styled] = [[(Notice(one).text, "bold red")] for one in view.alerts[:_ALERTS]]
    waits: list[_Styled] = [[(words.waits(one, view.at_ms), "yellow")] for one in view.waiting[:_WAITS]]
    errors: list[_Styled] = [[(f"{one.operation}  {one.code}: {one.message}", "red")] for one in view.errors[-_ERRORS:]]
    shown: list[_Styled] = [_head(view), _EMPTY, *map(_bar, lines(view.progress)), _EMPTY, *_facts(view)]
    for part in (alerts, waits, errors):
        if part:
            shown += [_EMPTY, *part]
    active = [one for one in view.operations.values() if one.is_active or one.step is Step.FAILED]
    room = height - len(shown)
    if active and room > 3:
        shown += [_EMPTY, *_operations(active, room // 2 if view.files else room - 2)]
    room = height - len(shown)
    if view.files and room > 2:
        shown += [_EMPTY, *_files(view, width, room - 2)]
    text = Text(no_wrap=True, overflow="crop", end="")
    for number, line in enumerate(shown[:height]):
        text.append("\n" if number else "")
        left = width
        for piece, style in line:
            cut = printable(piece)[:left]
            text.append(cut, style)
            left -= len(cut)
    return text


def _head(view: DeploymentView) -> _Styled:
    item = view.summary
    status = "bold green" if item.status == "completed" else "bold"
    name = item.site_name or f"({item.verb})"
    return [(name, "bold"), (f" on {item.network}  ", ""), (item.status, status), (f"  {item.deployment_id}", "dim")]


def _bar(line: Line) -> _Styled:
    done = round(_BAR * (line.share or 0.0))
    style = "green" if line.state is State.OVER else "cyan"
    label = (f"{line.label:<{_LABEL}} ", _STATES[line.state])
    return [label, ("━" * done, style), ("─" * (_BAR - done), "dim"), (f" {line.text}", "")]


def _facts(view: DeploymentView) -> list[_Styled]:
    done = f"{view.files_done:,} of {view.files_total:,} files, {size(view.bytes_done)} of {size(view.bytes_total)}"
    facts = (
        ("stored", f"{view.share:.0%}: {done}"),
        ("speed", words.speed(view.rates)),
        ("end", words.ending(view.eta)),
        ("operations", f"{words.counts(view.steps)}; {view.retries:,} tried again"),
        ("paid", words.money(view)),
        ("process", words.machine(view)),
    )
    return [[(f"{label:<{_LABEL}} ", "dim"), (text, "")] for label, text in facts if text]


def _operations(active: list[OperationView], room: int) -> Iterable[_Styled]:
    """Yield a head, operations that are under way, longest first, and how many more there are: `room` lines and one."""
    yield [(f"{'operation':<18} {'files':>7} {'bytes':>10}  where it stands", "bold")]
    active.sort(key=lambda one: one.since_ms)
    for item in active[:room]:
        stands = (words.operation(item), _STEPS.get(item.step, ""))
        yield [(f"{item.key:<18} {item.files:>7,} {size(item.size):>10}  ", ""), stands]
    if len(active) > room:
        yield [(f"and {len(active) - room:,} more", "dim")]


def _files(view: DeploymentView, width: int, room: int) -> Iterable[_Styled]:
    wide = max(10, width - 22)
    yield [(f"{'file':<{wide}} {'bytes':>10}  state", "bold")]
    for file in view.files[:room]:
        name = printable(file.path)
        name = name if len(name) <= wide else f"{name[: wide - 1]}…"
        yield [(f"{name:<{wide}} {size(file.size):>10}  ", ""), (file.step.value, _STEPS.get(file.step, ""))]
