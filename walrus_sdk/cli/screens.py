"""A deployment on a whole screen: a view as lines and tables, as many as there is room for. Pure but for rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from walrus_sdk.cli.displays import grid
from walrus_sdk.cli.streams import printable
from walrus_sdk.model.views import DeploymentView, OperationView, Step
from walrus_sdk.watch import words
from walrus_sdk.watch.progress import lines, size

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = ["screen"]

_STYLES = {Step.DONE: "green", Step.FAILED: "red", Step.UNKNOWN: "yellow", Step.SENT: "cyan", Step.BEGUN: "cyan"}
_FIXED = 14
"""Lines that are there in any case: head, progress, facts, and the space between."""
_WAITS, _ERRORS = 4, 3


def screen(view: DeploymentView, height: int) -> RenderableType:
    """Return what is shown of a deployment on `height` lines; what has no room is counted."""
    from rich.console import Group
    from rich.text import Text

    item = view.summary
    head = Text.assemble(
        (printable(item.site_name or f"({item.verb})"), "bold"), f" on {item.network}  ",
        (item.status, "bold green" if item.status == "completed" else "bold"), f"  {item.deployment_id}",
    )  # fmt: skip
    parts: list[RenderableType] = [head, Text(), grid(lines(view.progress)), Text(), _facts(view)]
    waiting, errors = view.waiting[:_WAITS], view.errors[-_ERRORS:]
    if waiting:
        parts += [Text(), *(Text(printable(words.waits(one, view.at_ms)), style="yellow") for one in waiting)]
    if errors:
        texts = [printable(f"{one.operation}  {one.code}: {one.message}") for one in errors]
        parts += [Text(), *(Text(text, style="red", no_wrap=True, overflow="ellipsis") for text in texts)]
    room = height - _FIXED - len(waiting) - len(errors) - 2 * bool(waiting or errors)
    active = [one for one in view.operations.values() if one.is_active or one.step is Step.FAILED]
    if room > 2 and active:
        parts += [Text(), _operations(active, room // 2 if view.files else room)]
        room -= min(len(active), room // 2) + 2
    if room > 2 and view.files:
        parts += [Text(), _files(view, room - 2)]
    return Group(*parts)


def _facts(view: DeploymentView) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    done, total = (
        f"{view.files_done:,} of {view.files_total:,} files",
        f"{size(view.bytes_done)} of {size(view.bytes_total)}",
    )
    facts = [
        ("stored", f"{view.share:.0%}: {done}, {total}"),
        ("speed", words.speed(view.rates)),
        ("end", words.ending(view.eta)),
        ("operations", f"{words.counts(view.steps)}; {view.retries:,} tried again"),
        ("paid", words.money(view)),
        ("process", words.machine(view)),
    ]
    for label, text in facts:
        table.add_row(label, Text(printable(text)))
    return table


def _operations(active: list[OperationView], room: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for title in ("operation", "files", "bytes"):
        table.add_column(title, no_wrap=True, justify="left" if title == "operation" else "right")
    table.add_column("where it stands", no_wrap=True, overflow="ellipsis", ratio=1)
    for item in sorted(active, key=lambda one: one.since_ms)[:room]:
        stands = Text(printable(words.operation(item)), style=_STYLES.get(item.step, ""))
        table.add_row(item.key, f"{item.files:,}", size(item.size), stands)
    if len(active) > room:
        table.add_row(Text(f"and {len(active) - room} more", style="dim"))
    return table


def _files(view: DeploymentView, room: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("file", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("bytes", no_wrap=True, justify="right")
    table.add_column("state", no_wrap=True)
    for file in view.files[:room]:
        table.add_row(
            Text(printable(file.path)), size(file.size), Text(file.step.value, style=_STYLES.get(file.step, ""))
        )
    return table
