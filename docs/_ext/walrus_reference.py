"""Directives that write reference pages from the code: error codes, commands, environment, faults, alerts, metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from walrus_sdk import settings
from walrus_sdk.errors import CODES
from walrus_sdk.frames.schema import Column
from walrus_sdk.frames.tables import SCHEMAS
from walrus_sdk.localnet import faults
from walrus_sdk.watch.metrics import METRICS
from walrus_sdk.watch.rules import KINDS, Kind


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> nodes.table:
    """Make a table of texts; the first column is set as code."""
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=1) for _ in head]
    group += nodes.thead("", _row(head, code=False))
    group += nodes.tbody("", *[_row(row) for row in rows])
    return nodes.table("", group)


def _row(cells: Sequence[str], *, code: bool = True) -> nodes.row:
    row = nodes.row()
    for index, text in enumerate(cells):
        inner = nodes.literal(text, text) if code and index == 0 else nodes.Text(text)
        row += nodes.entry("", nodes.paragraph("", "", inner))
    return row


class Errors(Directive):
    """``walrus-errors``: the catalogue of error codes."""

    def run(self) -> list[nodes.Node]:
        """Write one row a code."""
        rows = [(r.code, r.error_class.value, r.meaning, r.next_step) for r in CODES.values()]
        return [table(("code", "class", "meaning", "next step"), rows)]


class Environment(Directive):
    """``walrus-environment``: the variables that are read."""

    def run(self) -> list[nodes.Node]:
        """Write one row a variable."""
        return [table(("variable", "meaning"), settings.ENVIRONMENT.items())]


class FaultTables(Directive):
    """``walrus-faults``: points, actions, and what holds all the time."""

    def run(self) -> list[nodes.Node]:
        """Write two tables from the local network's own, and its docstrings of rules and of the shape."""
        return [
            table(("point", "what is true there"), faults.POINTS.items()),
            table(("action", "what happens"), faults.ACTIONS.items()),
            *_paragraphs(faults.Fault),
            *_paragraphs(faults.Shape),
        ]


def _paragraphs(cls: type) -> list[nodes.Node]:
    """Return what a docstring says below its first line."""
    text = (cls.__doc__ or "").replace("``", "").replace("`", "")
    return [nodes.paragraph("", " ".join(part.split())) for part in text.split("\n\n")[1:]]


class Frames(Directive):
    """``walrus-frames``: the columns of every frame."""

    def run(self) -> list[nodes.Node]:
        """Write one section a frame."""
        made: list[nodes.Node] = []
        for schema in SCHEMAS.values():
            section = nodes.section("", nodes.title(schema.name, schema.name), ids=[f"frame-{schema.name}"])
            section += nodes.paragraph("", f"A row is {schema.meaning}.")
            rows = [(column.name, column.kind.value, _meaning(column)) for column in schema.columns]
            section += table(("column", "dtype", "meaning"), rows)
            made.append(section)
        return made


def _meaning(column: Column) -> str:
    """Return what a column means, with its states where these fit on a line."""
    few = 0 < len(column.states) <= 12
    return column.meaning.replace("`", "") + (f" ({', '.join(column.states)})" if few else "")


class AlertRules(Directive):
    """``walrus-alert-rules``: the kinds of rules."""

    def run(self) -> list[nodes.Node]:
        """Write one row a kind."""
        head = ("kind", "fires when", "subject", "figure, second figure", "defaults", "on")
        return [table(head, (_kind_cells(kind) for kind in KINDS.values()))]


def _kind_cells(kind: Kind) -> tuple[str, ...]:
    side = "at or below" if kind.is_floor else "at or above"
    figure = "—" if kind.limit_key is None else f"{kind.limit_key}, {kind.clear_key}"
    first, second = f"{kind.limit:,.10g}", f"{kind.limit * kind.band:,.10g}"
    said = [] if kind.limit_key is None else [f"{side} {first} {kind.unit}, clears beyond {second}"]
    said += [f"window_s {kind.window_s:g}"] if kind.window_s is not None else []
    said += [f"least {kind.least}"] if kind.least is not None else []
    said.append(kind.severity.value)
    return kind.name, kind.meaning, kind.subject, figure, "; ".join(said), "yes" if kind.is_default else "no"


class Metrics(Directive):
    """``walrus-metrics``: the metrics of a home."""

    def run(self) -> list[nodes.Node]:
        """Write one row a metric."""
        rows = [(m.name, m.type, ", ".join(m.labels) or "—", m.help) for m in METRICS.values()]
        return [table(("metric", "type", "labels", "what it is"), rows)]


class Commands(Directive):
    """``walrus-commands``: every command with its arguments and options."""

    def run(self) -> list[nodes.Node]:
        """Write one section a command."""
        from walrus_sdk.cli.main import main

        return [section for path, command in _leaves(main, ()) for section in _section(path, command)]


def _leaves(command: click.Command, path: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _leaves(command.commands[name], (*path, name))
    else:
        yield path, command


def _section(path: tuple[str, ...], command: click.Command) -> list[nodes.Node]:
    title = "walrus-sdk " + " ".join(path)
    section = nodes.section("", nodes.title(title, title), ids=["-".join(("cli", *path))])
    section += nodes.paragraph("", (command.help or "").split("\n\n")[0].replace("\n", " "))
    rows = []
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            rows.append((", ".join(parameter.opts + parameter.secondary_opts), parameter.help or ""))
        else:
            rows.append((parameter.human_readable_name, "argument" if parameter.required else "argument, optional"))
    if rows:
        section += table(("option", "meaning"), rows)
    return [section]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("walrus-errors", Errors)
    app.add_directive("walrus-alert-rules", AlertRules)
    app.add_directive("walrus-metrics", Metrics)
    app.add_directive("walrus-environment", Environment)
    app.add_directive("walrus-commands", Commands)
    app.add_directive("walrus-faults", FaultTables)
    app.add_directive("walrus-frames", Frames)
    return {"parallel_read_safe": True}
