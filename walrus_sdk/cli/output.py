"""Everything that a command says: results and rows on the standard output, progress and errors on the error stream.

With `--json` the standard output holds one object a line, ``{"v":1,"type":…,"time":…}``: progress, rows, and last a
result or an error; nothing else.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, cast

from walrus_sdk.cli.displays import Display, JsonDisplay, LiveDisplay, PlainDisplay
from walrus_sdk.cli.exits import goes_on
from walrus_sdk.cli.github import GitHub
from walrus_sdk.cli.outside import Outside
from walrus_sdk.cli.streams import Stream, printable
from walrus_sdk.errors import WalrusError
from walrus_sdk.service import complaints
from walrus_sdk.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Output", "Page"]

Page = Sequence[tuple[str, str]]
"""Something for people: a label and a text on each line."""

_WIDE = 100_000
"""Columns of what is no terminal: nothing is cut or wrapped there."""
_SHOWN_PATHS = 10


class Output:
    """The one way out of a command. `as_json` and `verbose` are told by the command line, the rest by `settle`.

    `plain_progress`: progress as lines, on a terminal too.
    """

    def __init__(self, outside: Outside, *, as_json: bool = False, verbose: bool = False) -> None:
        self.as_json = as_json
        self.verbose = verbose
        self._outside = outside
        self._out, self._err = Stream(outside.out), Stream(outside.err)
        self.plain_progress = False
        self._plain = False
        self._no_color = False
        self._github: GitHub | None = None
        self._log: logging.Handler | None = None
        self._log_level = logging.WARNING

    def settle(self, settings: Settings, *, as_json: bool, verbose: bool) -> None:
        """Take over what the settings say of colours, CI and logging."""
        self.as_json = as_json
        self.verbose = verbose or settings.verbose
        self._no_color = settings.no_color
        self._plain = settings.ci or self.verbose
        if self.verbose and self._log is None:
            self._log = logging.StreamHandler(cast(IO[str], self._err))
            self._log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
            self._log_level = logging.getLogger().level
            logging.getLogger().addHandler(self._log)
            logging.getLogger().setLevel(min(self._log_level, logging.INFO))

    def report_to(self, settings: Settings) -> None:
        """Hand the result, or the error, to GitHub Actions too, when that is where this runs."""
        self._github = GitHub(settings.github_output, settings.github_summary)

    def close(self) -> None:
        """Hand on what is buffered and stop logging."""
        if self._log is not None:
            logging.getLogger().removeHandler(self._log)
            logging.getLogger().setLevel(self._log_level)
            self._log = None
        self._out.flush()
        self._err.flush()

    @property
    def on_terminal(self) -> bool:
        """Whether somebody looks at the error stream."""
        return self._err.isatty() and not self._plain

    # ── what a command says ───────────────────────────────────────────────────────────────────────────────────

    def result(self, fields: Mapping[str, Any], page: Page, title: str = "") -> None:
        """Say what came out: `fields` for programs, `page` for people; `title` heads the summary in GitHub Actions."""
        if self._github is not None:
            self._warn_all(self._github.result(fields, title))
        if self.as_json:
            self._object("result", fields)
        else:
            self.page(page)

    def page(self, page: Page) -> None:
        """Say something to people: labelled lines."""
        width = max((len(label) for label, _ in page), default=0)
        for label, text in page:
            self._out.write(f"{label:<{width}}  {printable(text)}".rstrip() + "\n")
        self._out.flush()

    def rows(self, rows: Iterable[Mapping[str, Any]], head: Sequence[str], cells: Iterable[Sequence[str]]) -> None:
        """Say a list: `rows` for programs, one object each; a table of `head` and `cells` for people."""
        if self.as_json:
            for row in rows:
                self._object("row", row)
        else:
            self._table(head, cells)

    def text(self, text: str) -> None:
        """Write text as it is, for people or shells."""
        self._out.write(text + "\n")
        self._out.flush()

    def note(self, text: str) -> None:
        """Say something beside the result, on the error stream."""
        self._err.write(printable(text) + "\n")
        self._err.flush()

    def prompt(self, text: str) -> None:
        """Write a question without ending its line."""
        self._err.write(text)
        self._err.flush()

    def error(self, error: WalrusError) -> None:
        """Say what went wrong and what to do about it."""
        if self._github is not None:
            self._warn_all(self._github.error(error))
        if self.verbose and error.code == "internal":
            self._err.write("".join(traceback.format_exception(error)))
        if self.as_json:
            fields = {"deployment_id": None, **error.to_dict(), "resumable": goes_on(error)}
            self._object("error", fields)
        else:
            self._error_page(error)

    def display(self) -> Display:
        """Return what shows progress here: objects, live lines on a terminal, plain lines elsewhere."""
        if self.as_json:
            return JsonDisplay(lambda fields: self._object("progress", fields), self._outside.monotonic_s)
        if self.on_terminal and not self.plain_progress:
            console = self._console(self._err)
            if not console.is_dumb_terminal:
                return LiveDisplay(console)
        return PlainDisplay(self.note, self._outside.monotonic_s)

    def progress(self, fields: Mapping[str, Any]) -> None:
        """Say how far something is, to programs."""
        self._object("progress", fields)

    def screen(self) -> Console | None:
        """Return the whole screen, where a person looks at the standard output on a terminal that can do it."""
        if self.as_json or self._plain or not self._out.isatty():
            return None
        console = self._console(self._out)
        return None if console.is_dumb_terminal else console

    # ── how it is written ─────────────────────────────────────────────────────────────────────────────────────

    def _object(self, kind: str, fields: Mapping[str, Any]) -> None:
        time = datetime.fromtimestamp(self._outside.wall_ms() / 1000, UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"v": 1, "type": kind, "time": time, **fields}, separators=(",", ":"), default=str)
        self.text(line)

    def _console(self, stream: Stream) -> Console:
        from rich.console import Console

        width = None if stream.isatty() else _WIDE
        file = cast(IO[str], stream)
        no_color = self._no_color or None
        return Console(file=file, width=width, no_color=no_color, highlight=False, markup=False, emoji=False)

    def _table(self, head: Sequence[str], cells: Iterable[Sequence[str]]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in head:
            table.add_column(title, overflow="fold")
        for row in cells:
            table.add_row(*(Text(printable(cell)) for cell in row))
        self._console(self._out).print(table)
        self._out.flush()

    def _error_page(self, error: WalrusError) -> None:
        from rich.text import Text

        head = Text.assemble(("error", "bold red"), f": {printable(error.message)} [{error.code}]")
        self._console(self._err).print(head, soft_wrap=True)
        for label, text in _facts(error):
            self.note(f"  {label:<10}  {text}")

    def _warn_all(self, warnings: Iterable[str]) -> None:
        for text in warnings:
            self.note(f"warning: {text}")


def _facts(error: WalrusError) -> Iterable[tuple[str, str]]:
    """Yield the lines under an error: the files it is about, what to do, what can go on."""
    path, paths = error.fields.get("path"), error.fields.get("paths")
    if isinstance(path, str) and path not in error.message:
        yield "file", path
    if isinstance(paths, list | tuple):
        for one in paths[:_SHOWN_PATHS]:
            yield "file", str(one)
        if len(paths) > _SHOWN_PATHS:
            yield "files", f"and {len(paths) - _SHOWN_PATHS} more"
    yield "next step", error.next_step
    if error.fields.get("deployment_id"):
        more = "the same command goes on with it" if goes_on(error) else "it has ended"
        yield "deployment", f"{error.fields['deployment_id']}: {more}"
    complaint = complaints.about(error)
    if complaint is not None:
        yield "known as", complaint.text
        yield from (("check", check.replace("`", "")) for check in complaint.checks)
    for note in getattr(error, "__notes__", ()):
        yield "note", note
