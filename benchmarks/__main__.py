"""``python -m benchmarks [NAME ...]``: run comparisons, print a table, save JSON and a plot.

Without names those of uploads; ``--list`` tells all. ``--out DIR`` (benchmarks/results) is where JSON and plot go.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.rows import Row, machine, save

UPLOADS: dict[str, str] = {
    "blob-ids": "blob_ids:blob_ids",
    "many-small-files": "uploads:many_small_files",
    "small-requests": "clients:small_requests",
    "large-bodies": "clients:large_bodies",
    "bodies-in-memory": "clients:bodies_in_memory",
    "large-site": "memory:large_site",
    "refused-bodies": "pacing:refused_bodies",
    "pacing-model": "pacing:scenarios",
    "journal": "journal:journal_on_disk",
    "no-change": "prepass:no_change",
    "resume-plan": "prepass:planning_a_resume",
}
"""What runs when nothing is named: how fast content gets onto Walrus (less than 20 minutes on two processors)."""

LOOKING: dict[str, str] = {
    "history-frames": "frames:history_frames",
    "watching": "watching:watching",
    "alerting": "alerting:alerting",
    "panel-page": "panel:panel_page",
    "panel-cpu": "panel:panel_cpu",
}
"""What those cost who look on: ``make bench-looking`` (an hour)."""

COMPARISONS = UPLOADS | LOOKING
"""Names, and the functions that measure: ``module:function``, each yields rows as they come."""


def _load(place: str) -> Callable[[], Iterable[Row]]:
    module, name = place.split(":")
    found: Callable[[], Iterable[Row]] = getattr(importlib.import_module(f"benchmarks.{module}"), name)
    return found


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def table(rows: Sequence[Row]) -> Table:
    """Return rows as they are printed."""
    made = Table(box=None, pad_edge=False)
    for name, justify in (
        ("quantity", "left"), ("against", "left"), ("ours", "right"), ("theirs", "right"), ("ratio", "right"),
        ("limit", "right"), ("aim", "right"), ("spread", "right"), ("verdict", "left"), ("note", "left"),
    ):  # fmt: skip
        made.add_column(name, justify=justify)  # type: ignore[arg-type]  # one of rich's three words
    for row in rows:
        sign = "≤ " if row.at_most else "≥ "
        made.add_row(
            row.quantity, row.against, f"{_figure(row.ours)} {row.unit}", f"{_figure(row.theirs)} {row.unit}",
            f"{row.ratio:.3g}", sign + _figure(row.limit) if row.limit is not None else "",
            sign + _figure(row.aim) if row.aim is not None else "", "" if row.spread is None else f"{row.spread:.0%}",
            row.verdict, row.note,
        )  # fmt: skip
    return made


def _share(row: Row) -> float:
    """Return a row's ratio as a multiple of its limit, above 1 where it is better."""
    limit = row.limit or 1.0
    return limit / max(row.ratio, 1e-3) if row.at_most else row.ratio / limit


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw how far each ratio is beyond its limit (1 is the limit, to the right is better)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    limited = [row for row in rows if row.limit]
    figure, axes = pyplot.subplots(figsize=(9, 0.5 * len(limited) + 1.2))
    shares = [_share(row) for row in limited]
    colours = ["tab:red" if row.verdict == "short" else "tab:green" for row in limited]
    axes.barh([f"{row.quantity}, {row.against}" for row in limited], shares, color=colours)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("ratio as a multiple of its limit")
    axes.invert_yaxis()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)


def main(arguments: Sequence[str]) -> int:
    """Run comparisons; returns 0, as no figure is a test."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(COMPARISONS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--list", action="store_true", help="tell the names and end")
    asked = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 200)
    if asked.list:
        console.print("\n".join(COMPARISONS))
        return 0
    unknown = [name for name in asked.names if name not in COMPARISONS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(COMPARISONS)}")
    found: list[Row] = []
    began = time.perf_counter()
    for name in asked.names or UPLOADS:
        console.print(f"[bold]{name}[/] ({time.perf_counter() - began:.0f} s)")
        for row in _load(COMPARISONS[name])():
            found.append(row)
            console.print(table([row]))
    console.rule(f"{time.perf_counter() - began:.0f} s; " + ", ".join(f"{k} {v}" for k, v in machine().items()))
    console.print(table(found))
    save(found, asked.out / "rows.json")
    plot(found, asked.out / "rows.png")
    console.print(f"saved in {asked.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
