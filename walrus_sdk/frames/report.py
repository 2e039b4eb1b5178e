"""The report of one deployment: a page in one file, and a trace."""

from __future__ import annotations

import base64
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from walrus_sdk.errors import ConfigurationError, StateError
from walrus_sdk.frames import plots, questions
from walrus_sdk.frames.history import History, history
from walrus_sdk.frames.trace import trace
from walrus_sdk.frames.typed import need
from walrus_sdk.model.units import DeploymentId, Frost, Mist

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Report", "report"]

_FRAMES = ("deployments", "files", "operations", "attempts", "errors", "transactions", "metrics", "phases")
_ROWS = 20

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
body { color: #111; background: #fff }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
caption { text-align: left; font-weight: 600; padding: .3rem 0 }
th, td { border: 1px solid #767676; padding: .25rem .6rem; text-align: left; vertical-align: top }
th, td { overflow-wrap: anywhere }
td.n { text-align: right; font-variant-numeric: tabular-nums }
img { max-width: 100%; height: auto }
"""


def report(deployment: str | DeploymentId, *, home: str | Path | None = None) -> Report:
    """Return the report of a deployment, from the journal of a home, whoever works in it meanwhile.

    Raises `ConfigurationError` ``deployment_not_found``, and what `history` raises.
    """
    return of(history(home), deployment)


def of(found: History, deployment: str | DeploymentId) -> Report:
    """Return the report of a deployment of a history. Raises `ConfigurationError` ``deployment_not_found``."""
    frames = found.only(deployment).read(*_FRAMES)
    if frames["deployments"].empty:
        raise ConfigurationError("deployment_not_found", f"this history has no deployment {str(deployment)!r:.80}")
    return Report(str(deployment), frames)


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """One deployment, told: as a page (`html`), as a Chrome trace (`trace`), or written to files."""

    deployment: str
    frames: dict[str, pd.DataFrame]

    def html(self) -> str:
        """Return the page: all in one, without scripts, everything escaped."""
        need("matplotlib")
        return _page(f"Deployment {self.deployment}", _sections(self))

    def trace(self) -> dict[str, Any]:
        """Return the deployment in the Chrome trace format, JSON-ready."""
        return trace(self.deployment, self.frames)

    def write_html(self, path: str | Path) -> Path:
        """Write the page; only its owner may read it. Raises `StateError` ``state_unwritable``."""
        return _write(Path(path).expanduser(), self.html())

    def write_trace(self, path: str | Path) -> Path:
        """Write the trace as JSON; only its owner may read it. Raises `StateError` ``state_unwritable``."""
        return _write(Path(path).expanduser(), json.dumps(self.trace(), separators=(",", ":")))

    def __repr__(self) -> str:
        return f"Report of {self.deployment}"


def _write(path: Path, text: str) -> Path:
    """Write a file anew: what stood there, with its mode, is replaced by one that only its owner may read."""
    try:
        if path.exists() and not path.is_file():  # a device or a pipe is written to
            path.write_text(text, encoding="utf-8")
            return path
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # its mode is 0600
        os.close(number)
        try:
            Path(name).write_text(text, encoding="utf-8")
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink()
            raise
    except OSError as error:
        raise StateError("state_unwritable", f"{path}: {error.strerror}", path=str(path)) from error
    return path


# ── the page ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _page(title: str, sections: Iterable[str]) -> str:
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n<main>\n<h1>{escape(title)}</h1>\n" + "\n".join(sections) + "\n</main>\n</body>\n</html>\n"
    )


def _sections(told: Report) -> Iterator[str]:
    frames = told.frames
    row = frames["deployments"].iloc[0]
    yield _table("Summary", ("what", "value"), _summary(row))
    yield "<h2>Timeline</h2>"
    spans = questions.phase_times(frames["phases"])
    yield _picture(lambda ax: plots.phases(frames["phases"], frames["attempts"], ax), _in_words(told, spans), 8, 4.5)
    yield "<h2>Phases</h2>"
    yield _table(
        "How long it was busy with what",
        ("phase", "seconds", "share"),
        ((str(s.phase), _seconds(s.duration), _share(s.share)) for s in spans.itertuples()),
    )
    yield "<h2>Slowest files</h2>"
    slow = questions.slowest_files(frames["files"], _ROWS)
    yield _table(
        f"The {len(slow)} files whose store took longest",
        ("path", "bytes", "seconds", "tries", "operation"),
        (
            (_text(s.path), f"{s.size:,}", _seconds(s.duration), _text(s.attempts), _text(s.operation))
            for s in slow.itertuples()
        ),
    )
    yield from _errors(frames["errors"])
    yield "<h2>Cost</h2>"
    yield _table("What it was planned to cost, and did", ("what", "planned", "paid"), _costs(row))
    yield _table("Stores", ("operation", "files", "bytes", "tries", "state", "paid"), _stores(frames))
    yield _table(
        "Transactions",
        ("step", "digest", "state", "gas", "failure"),
        ((_text(t.step), _text(t.digest), _text(t.state), _sui(t.gas_mist), _text(t.failure))
         for t in frames["transactions"].itertuples()),
    )  # fmt: skip


def _stores(frames: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, ...]]:
    """Return a row for each store: what a later deployment has taken over since is known by its tries here."""
    stores, attempts = (frames[name][frames[name]["kind"] == "store"] for name in ("operations", "attempts"))
    rows: dict[str, Any] = {str(row.operation): row for row in stores.itertuples()}
    files = frames["files"]["operation"].value_counts()
    for name in sorted({*rows, *attempts["operation"]}):
        tries = attempts[attempts["operation"] == name]
        if tries.empty:  # found, and never tried here
            size, state, paid = rows[name].bytes, rows[name].state, rows[name].paid_frost
        else:
            size, state = tries["bytes"].iloc[-1], tries["outcome"].iloc[-1]
            state = rows[name].state if name in rows else state
            paid = sum(tries["frost"][tries["outcome"] != "failed"].dropna())
        yield name, f"{files.get(name, 0):,}", _text(size), f"{len(tries):,}", _text(state), _wal(paid)


def _errors(errors: pd.DataFrame) -> Iterator[str]:
    yield "<h2>Errors</h2>"
    if errors.empty:
        yield "<p>There were none.</p>"
        return
    patterns = questions.error_patterns(errors)
    words = "; ".join(f"{_text(p.code)}: {p.count} times" for p in patterns[["code", "count"]].itertuples(index=False))
    yield _picture(lambda ax: plots.errors(patterns, ax), f"Errors by code. {words}", 8, 1.5 + 0.4 * len(patterns[:15]))
    yield _table(
        "Every error" if len(errors) <= 10 * _ROWS else f"The last {10 * _ROWS} of {len(errors)} errors",
        ("time (UTC)", "operation", "code", "what can be done", "message"),
        ((_moment(e.time), _text(e.operation), _text(e.code), _text(e.error_class), _text(e.message))
         for e in errors.tail(10 * _ROWS).itertuples()),
    )  # fmt: skip


def _summary(row: Any) -> Iterator[tuple[str, str]]:
    named = {
        "site": row["site_name"], "network": row["network"], "verb": row["verb"], "status": row["status"],
        "reason": row["reason"], "version": row["version"], "address": row["url"], "message": row["message"],
        "commit": row["commit"], "files": f"{row['files']:,} ({row['new_files']:,} to store)",
        "bytes": f"{row['bytes']:,} ({row['new_bytes']:,} to store)", "tries": f"{row['attempts']:,}",
        "failed tries": f"{row['failed_attempts']:,}", "owners": row["owners"], "started": _moment(row["start"]),
        "ended": _moment(row["end"]), "duration": _seconds(row["duration"]) + " s",
    }  # fmt: skip
    return ((name, _text(value)) for name, value in named.items() if _text(value))


def _costs(row: Any) -> Iterator[tuple[str, str, str]]:
    yield "storage", _wal(row["planned_frost"]), _wal(row["paid_frost"])
    yield "gas", _sui(row["planned_mist"]), _sui(row["gas_mist"])


def _in_words(told: Report, spans: pd.DataFrame) -> str:
    parts = ", ".join(f"{s.phase} {_seconds(s.duration)} s" for s in spans.itertuples())
    outcomes = told.frames["attempts"]["outcome"].astype("object").fillna("running").value_counts()
    tries = ", ".join(f"{count} {name}" for name, count in outcomes.items())
    return f"Timeline. Phases: {parts or 'none'}. Tries: {tries or 'none'}."


def _table(caption: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; the first cell of a row is its head."""
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    body = "".join(f"<tr>{_cells([str(cell) for cell in row])}</tr>\n" for row in rows)
    if not body:
        return f"<p>{escape(caption)}: nothing recorded.</p>"
    parts = (f"<caption>{escape(caption)}</caption>", f"<thead><tr>{titles}</tr></thead>", f"<tbody>\n{body}</tbody>")
    return "<table>\n" + "\n".join(parts) + "\n</table>"


def _cells(row: Sequence[str]) -> str:
    first = f'<th scope="row">{escape(row[0])}</th>'
    return first + "".join(f"<td{_class(cell)}>{escape(cell)}</td>" for cell in row[1:])


def _class(cell: str) -> str:
    return ' class="n"' if cell.replace(",", "").replace(".", "").isdecimal() else ""


def _picture(draw: Callable[[Axes], Axes], words: str, width: float, height: float) -> str:
    """Draw on a figure of its own (no pyplot) and return it inline, with the same in words."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.add_subplot())
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, metadata={"Software": None})
    text = base64.b64encode(data.getvalue()).decode()
    return f'<figure><img alt="{escape(words)}" src="data:image/png;base64,{text}"></figure>'


# ── cells ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _missing(value: Any) -> bool:
    import pandas as pd

    return value is None or value is pd.NA or value is pd.NaT or value != value


def _text(value: Any) -> str:
    return "" if _missing(value) else str(value)


def _moment(value: Any) -> str:
    return "" if _missing(value) else str(value.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3])


def _seconds(value: Any) -> str:
    return "" if _missing(value) else f"{value.total_seconds():,.3f}"


def _share(value: Any) -> str:
    return "" if _missing(value) else f"{value:.0%}"


def _wal(value: Any) -> str:
    return "" if _missing(value) else str(Frost(value))


def _sui(value: Any) -> str:
    return "" if _missing(value) else f"{Mist(value)}" if value >= 0 else f"-{Mist(-value)}"
