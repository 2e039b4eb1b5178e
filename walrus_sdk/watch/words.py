"""Views in words, for every face alike: how fast, how long still, what waits, and what is new since a line was told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.units import Frost
from walrus_sdk.model.views import DeploymentView, Eta, OperationView, Rates, Step, Waiting
from walrus_sdk.watch.progress import news, size

__all__ = [
    "counts",
    "duration",
    "ending",
    "event_line",
    "fresh",
    "machine",
    "money",
    "operation",
    "speed",
    "stalled",
    "waits",
]

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_STALLED_S = 10.0
"""Seconds without any movement after which a log says what is waited for: an answer to a store may take some."""
_NEAR_S = 10.0
"""Seconds below which an end is "a few seconds" away: nobody plans by more."""


def duration(seconds: float) -> str:
    """Return a time for people in its two largest units: ``"8 s"``, ``"2 min 5 s"``, ``"3 h"``."""
    left = max(0, round(seconds))
    parts: list[tuple[int, str]] = []
    for unit, length in _UNITS:
        if left >= length or (unit == "s" and not parts):
            parts.append((left // length, unit))
            left %= length
        elif parts:
            parts.append((0, unit))
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count or len(parts) == 1)


def speed(rates: Rates) -> str:
    """Return both rates: ``"2.1 MB/s now, 1.8 MB/s on average"``; empty while none is known."""
    if rates.now is None and rates.smooth is None:
        return ""
    now = f"{size(round(rates.now or 0))}/s now"
    return now if rates.smooth is None else f"{now}, {size(round(rates.smooth))}/s on average"


def ending(eta: Eta | None) -> str:
    """Return when it will be over, with its band, what that is told from, and why it is later; empty when unknown."""
    if eta is None:
        return ""
    near = eta.seconds < _NEAR_S
    text = "a few seconds left" if near else f"about {duration(eta.seconds)} left"
    if not near:
        text += f" ({duration(eta.low_s)} to {duration(eta.high_s)}, {eta.basis})"
    return f"{text}; later, as: {eta.reason}" if eta.reason else text


def counts(steps: Mapping[Step, int]) -> str:
    """Return how many operations are at which step: ``"12 done, 3 sent, 40 planned"``."""
    order = (Step.DONE, Step.FAILED, Step.UNKNOWN, Step.SENT, Step.BEGUN, Step.NAMED, Step.PLANNED)
    return ", ".join(f"{steps[step]:,} {step.value}" for step in order if steps.get(step))


def money(view: DeploymentView) -> str:
    """Return what stores have cost, of what they may."""
    return f"{Frost(view.paid_frost)} of {Frost(view.planned_frost)} planned"


def machine(view: DeploymentView) -> str:
    """Return what the process takes of its machine; empty where that is not known."""
    found = view.resources
    parts = []
    if found.cpu_s is not None:
        parts.append(f"{duration(found.cpu_s)} of CPU")
    if found.rss_bytes is not None:
        parts.append(f"{size(found.rss_bytes)} of memory")
    if found.open_files is not None:
        parts.append(f"{found.open_files} open files")
    if found.disk_free_bytes is not None:
        parts.append(f"{size(found.disk_free_bytes)} of disk left")
    return ", ".join(parts)


def waits(waiting: Waiting, at_ms: int) -> str:
    """Return what waits on what, and for how long already."""
    since = "" if waiting.since_ms is None else f" for {duration((at_ms - waiting.since_ms) / 1000)}"
    return f"{waiting.what} waits{since}: {waiting.on}"


def operation(item: OperationView) -> str:
    """Return where an operation stands: its step, how much was sent, the failure that it met last."""
    parts = [item.step.value]
    if item.step is Step.BEGUN and item.size:
        parts = [f"{size(item.sent)} of {size(item.size)} sent"]
    if item.attempts > 1:
        parts.append(f"attempt {item.attempts}")
    if item.code:
        parts.append(f"{item.code}: {item.message}")
    return "; ".join(parts)


def fresh(told: Progress | None, view: DeploymentView) -> str | None:
    """Return a line for a log when there is something new since `told`, with the time that is left."""
    text = news(told, view.progress)
    if text is None:
        return None
    left = ending(view.eta) if view.phase is Phase.STORE else ""
    return f"{text}; {left}" if left else text


def stalled(view: DeploymentView) -> str | None:
    """Return what is waited for longest, where nothing has moved for ten seconds although somebody works on it."""
    since = [one for one in view.waiting if one.since_ms is not None]
    if not view.live or view.idle_s < _STALLED_S or not since:
        return None
    return waits(min(since, key=lambda one: one.since_ms or 0), view.at_ms)


def event_line(facts: Mapping[str, Any]) -> str:
    """Return a line of the log for people: time, event, and its plain facts."""
    known = ("time", "deployment_id", "n", "incarnation", "event")
    rest = " ".join(f"{name}={value}" for name, value in facts.items() if name not in known and _is_plain(value))
    return (
        f"{facts.get('time')}  {facts.get('deployment_id')} {facts.get('n'):>5}  {facts.get('event')}  {rest}".rstrip()
    )


def _is_plain(value: object) -> bool:
    return not isinstance(value, dict | list)
