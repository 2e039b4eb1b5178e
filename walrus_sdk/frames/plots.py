"""Tidy frames as pictures: each takes Axes, or makes a figure with pyplot, and returns the Axes.

States differ by colour and by hatch or mark, so that a picture can be read without colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from walrus_sdk.frames.spans import PHASES
from walrus_sdk.frames.typed import need

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["cost", "errors", "lanes", "phases", "success_rate", "throughput"]

_COINS = 1e9
"""FROST of a WAL, and MIST of a SUI."""
_ENDS = {"completed": ("tab:green", ""), "failed": ("tab:red", "//"), "cancelled": ("tab:gray", ".."),
         "unfinished": ("tab:orange", "xx")}  # fmt: skip
_OUTCOMES = {
    "done": ("tab:blue", ""),
    "failed": ("tab:red", "//"),
    "unknown": ("tab:orange", "xx"),
    "": ("white", ".."),
}
_BANDS = dict(zip(PHASES, ("#9e9e9e", "#1f77b4", "#9467bd", "#2ca02c", "#17becf"), strict=True))
_MOST = 15
"""Bars of a ranking: more cannot be read."""


def _axes(ax: Axes | None, height: float = 3.6) -> Axes:
    need("matplotlib")
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(8, height), layout="constrained")[1]


def _empty(ax: Axes, title: str) -> Axes:
    ax.set_title(title)
    ax.text(0.5, 0.5, "nothing recorded", ha="center", va="center", transform=ax.transAxes)
    ax.set_axis_off()
    return ax


def _labels(ax: Axes, values: Sequence[str]) -> None:
    """Name places of the x axis, as many as can be read; a dollar sign is no formula."""
    step = max(1, -(-len(values) // 12))
    shown = [value.replace("$", r"\$") for value in values[::step]]
    ax.set_xticks(range(0, len(values), step), shown, rotation=30, ha="right")


def _moments(times: pd.Series[Any]) -> list[str]:
    """Return moments as short as tells them apart."""
    if len(times) and (times == times.dt.floor("D")).all():
        return list(times.dt.strftime("%Y-%m-%d"))
    one_day = times.dt.floor("D").nunique() == 1
    return list(times.dt.strftime("%H:%M:%S" if one_day else "%m-%d %H:%M"))


def success_rate(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw what `questions.success_rate` returned: bars by how deployments ended, the rate as a number above."""
    ax = _axes(ax)
    title = "Deployments by how they ended (UTC)"
    if frame.empty:
        return _empty(ax, title)
    places, base = range(len(frame)), frame["completed"].to_numpy() * 0
    for name, (colour, hatch) in _ENDS.items():
        values = frame[name].to_numpy()
        if values.any():
            ax.bar(places, values, bottom=base, color=colour, hatch=hatch, edgecolor="black", linewidth=0.5, label=name)
        base = base + values
    for place, height, rate in zip(places, base, frame["rate"], strict=True):
        if rate == rate:  # not NaN
            ax.annotate(f"{rate:.0%}", (place, height), ha="center", va="bottom", fontsize=8)
    _labels(ax, _moments(frame["start"]))
    ax.set_ylabel("deployments")
    ax.locator_params(axis="y", integer=True)
    ax.set_ylim(0, 1.25 * float(max(base)))  # room for the rates, and for the legend
    ax.set_title(title)
    ax.legend(fontsize=8, ncols=len(_ENDS), loc="upper right")
    return ax


def throughput(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw what `questions.throughput` returned: bytes a second while stores were under way."""
    ax = _axes(ax)
    title = "Stored while stores were under way (UTC)"
    if frame.empty:
        return _empty(ax, title)
    ax.plot(range(len(frame)), frame["bytes_per_s"] / 1e6, marker="o", color="tab:blue")
    _labels(ax, _moments(frame["start"]))
    ax.set_ylabel("MB/s")
    ax.set_ylim(bottom=0)
    ax.set_title(title)
    return ax


def errors(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw what `questions.error_patterns` returned: the most frequent patterns, a bar each."""
    shown = frame.head(_MOST)
    ax = _axes(ax, 1.4 + 0.35 * len(shown))
    title = "Errors by code and endpoint"
    if shown.empty:
        return _empty(ax, title)
    ends = shown["endpoint"].astype("str").where(shown["endpoint"].notna(), "").tolist()
    codes = shown["code"].astype("str").where(shown["code"].notna(), "no code")
    kinds = shown["kind"].astype("str").where(shown["kind"].notna(), "deployment")
    heads = [f"{code} ({kind})" for code, kind in zip(codes, kinds, strict=True)]
    names = [f"{head}\n{end}" if end else head for head, end in zip(heads, ends, strict=True)]
    ax.barh(range(len(shown)), shown["count"], color="tab:red", hatch="//", edgecolor="black", linewidth=0.5)
    ax.set_yticks(range(len(shown)), [name.replace("$", r"\$") for name in names], fontsize=8)
    ax.invert_yaxis()
    ax.locator_params(axis="x", integer=True)
    ax.set_xlabel("errors")
    more = f" (the first {_MOST} of {len(frame)})" if len(frame) > _MOST else ""
    ax.set_title(title + more)
    return ax


def cost(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw what `questions.cost_per_deployment` returned: WAL planned and paid."""
    ax = _axes(ax)
    title = "Storage, planned and paid"
    if frame.empty:
        return _empty(ax, title)
    places = list(range(len(frame)))
    for name, label, shift, colour, hatch in (
        ("planned_frost", "planned", -0.2, "white", "//"),
        ("paid_frost", "paid, or may have been", 0.2, "tab:blue", ""),
    ):
        values = frame[name].astype("float64").fillna(0) / _COINS
        beside = [place + shift for place in places]
        ax.bar(beside, values, 0.4, label=label, color=colour, hatch=hatch, edgecolor="black", linewidth=0.5)
    _labels(ax, _moments(frame["start"]))
    ax.set_ylabel("WAL")
    ax.set_title(title)
    ax.legend(fontsize=8)
    return ax


def lanes(starts: Sequence[float], ends: Sequence[float]) -> list[int]:
    """Return a lane for each stretch of time, so that no two in one lane overlap; in the order of `starts`."""
    free: list[float] = []
    found = []
    for start, end in zip(starts, ends, strict=True):
        lane = next((at for at, until in enumerate(free) if until <= start), len(free))
        free[lane : lane + 1] = [max(start, end)]
        found.append(lane)
    return found


def phases(spans: pd.DataFrame, attempts: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw one deployment over time (seconds): its frame `phases` above, its frame `attempts` below, a bar each."""
    ax = _axes(ax, 4.2)
    title = "One deployment over time"
    if spans.empty:
        return _empty(ax, title)
    begin = spans["start"].min()

    def seconds(times: pd.Series[Any]) -> list[float]:
        return list((times - begin).dt.total_seconds())

    tries = attempts.sort_values("start", kind="stable")
    last = max([spans["end"].max(), *tries["end"].dropna(), *tries["start"]])
    _draw_phases(ax, list(spans["phase"]), seconds(spans["start"]), seconds(spans["end"]))
    starts, ends = seconds(tries["start"]), seconds(tries["end"].fillna(last))
    rows = [-1 - lane for lane in lanes(starts, ends)]
    drawn = set()
    for start, end, row, outcome in zip(starts, ends, rows, tries["outcome"].astype("object"), strict=True):
        known = outcome if isinstance(outcome, str) else ""
        colour, hatch = _OUTCOMES[known]
        label = None if known in drawn else (known or "running")
        drawn.add(known)
        ax.broken_barh([(start, end - start)], (row - 0.4, 0.8), facecolors=colour, hatch=hatch, edgecolor="black",
                       linewidth=0.5, label=label)  # fmt: skip
    ax.set_yticks([1, -0.5 + (min(rows, default=-1)) / 2], ["phases", "tries"])
    ax.set_xlabel("seconds")
    ax.set_title(title)
    if drawn:
        ax.legend(title="tries", fontsize=8, loc="lower right")
    return ax


def _draw_phases(ax: Axes, names: Sequence[str], starts: Sequence[float], ends: Sequence[float]) -> None:
    least = (max(ends) - min(starts)) * 0.1
    for name, start, end in zip(names, starts, ends, strict=True):
        ax.broken_barh([(start, end - start)], (0.6, 0.8), facecolors=_BANDS[name], edgecolor="black", linewidth=0.5)
        if end - start > least:
            ax.text((start + end) / 2, 1, name, ha="center", va="center", color="white", fontsize=8)
