"""Progress in words: three lines (prepared, stored, on chain), and what is new since a line was told.

"Sent" is what left this machine, "confirmed" what is known to be stored; shares count what is confirmed only, so that
nothing stands at 100 % while it is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from walrus_sdk.model.progress import Phase, Progress

__all__ = ["Line", "State", "has_moved", "lines", "news", "size"]

_ORDER = tuple(Phase)
_CONFIRMED = (
    "phase", "files_hashed", "bytes_hashed", "stores_encoded", "stores_confirmed", "bytes_confirmed",
    "transactions_confirmed", "checks_done",
)  # fmt: skip
"""What stays when it is reached."""
_TELL = {
    Phase.SCAN: "preparing",
    Phase.PLAN: "planning",
    Phase.STORE: "storing",
    Phase.CHAIN: "on chain",
    Phase.VERIFY: "verifying",
}


class State(Enum):
    """Whether a line's work has begun, is under way, or is over."""

    AHEAD = "ahead"
    WORKING = "working"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of three. `share` is what is confirmed of the whole, 0 to 1; `None` while the whole is not known."""

    label: str
    text: str
    state: State
    share: float | None = None


def lines(progress: Progress) -> tuple[Line, Line, Line]:
    """Return the lines "prepared", "stored" and "on chain"; what is waited for stands on the line of the phase."""
    return _with_wait(_prepared, progress), _with_wait(_stored, progress), _with_wait(_on_chain, progress)


def news(told: Progress | None, now: Progress) -> str | None:
    """Return a line for a log when there is something new since `told`: a phase, a tenth of it, a reason to wait."""
    waits = bool(_waits_for(now)) and (told is None or _waits_for(now) != _waits_for(told))
    if told is not None and _step(told) == _step(now) and not waits:
        return None
    if now.phase is Phase.DONE:
        return "done"
    text = _read_back(now) if now.phase is Phase.VERIFY else _MAKERS[now.phase](now).text
    waiting = f"; {_waits_for(now)}" if _waits_for(now) else ""
    return f"{_TELL[now.phase]}: {text or 'begun'}{waiting}"


def has_moved(before: Progress | None, now: Progress) -> bool:
    """Return whether a deployment is further than it was; events say the same by `Run.progressed_ms`.

    The beginning of another try is no progress. Bytes that leave in another try are: it ends well or badly, and then
    something else is told.
    """
    if before is None:
        return True
    if any(getattr(before, name) != getattr(now, name) for name in _CONFIRMED):
        return True
    return before.retries == now.retries and before.bytes_sent != now.bytes_sent


def size(count: int) -> str:
    """Return a number of bytes for people: ``"532 B"``, ``"1.5 kB"`` (decimal units)."""
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.95:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1000:.1f} TB"


def _step(progress: Progress) -> tuple[Phase, int]:
    """Return what a log line is written for: the phase, and the tenth of it that is done."""
    checks = _share(progress.checks_done, progress.checks_total)
    share = checks if progress.phase is Phase.VERIFY else _MAKERS[progress.phase](progress).share
    return progress.phase, int((share or 0.0) * 10)


def _with_wait(make: Callable[[Progress], Line], progress: Progress) -> Line:
    line = make(progress)
    waiting = _waits_for(progress)
    if not waiting or make is not _MAKERS[progress.phase]:
        return line
    return replace(line, text=f"{line.text} · {waiting}" if line.text else waiting)


def _waits_for(progress: Progress) -> str:
    """Return what is waited for; a pause is the reason above all others."""
    return "paused: nothing new begins" if progress.paused and progress.phase is not Phase.DONE else progress.waiting


def _past(progress: Progress, phase: Phase) -> bool:
    return _ORDER.index(progress.phase) > _ORDER.index(phase)


def _share(done: int, total: int) -> float | None:
    return min(1.0, done / total) if total else None


def _prepared(progress: Progress) -> Line:
    files, encoded, total = progress.files_hashed, progress.stores_encoded, progress.stores_total
    over = _past(progress, Phase.STORE) or (progress.phase is Phase.STORE and encoded >= total > 0)
    state = State.OVER if over else State.WORKING
    if not progress.files_found:
        return Line("prepared", "" if over else "looking for files", State.AHEAD if over else state)
    read = f"{files:,} of {progress.files_found:,}" if progress.phase is Phase.SCAN else f"{files:,}"
    text = f"{read} files read, {size(progress.bytes_hashed)}"
    if total and not over:
        text += f"; {encoded:,} of {total:,} blob ids computed"
    return Line("prepared", text, state, 1.0 if over else _share(encoded, total))


def _stored(progress: Progress) -> Line:
    done, total = progress.stores_confirmed, progress.stores_total
    over = _past(progress, Phase.STORE)
    if not total:
        text = "nothing to store" if over and progress.files_found else ""
        return Line("stored", text, State.OVER if text else State.AHEAD, 1.0 if text else None)
    text = (
        f"{size(progress.bytes_confirmed)} of {size(progress.bytes_total)} confirmed, "
        f"{size(progress.bytes_sent)} sent; {done:,} of {total:,} stores"
    )
    if progress.retries:
        text += f"; {progress.retries:,} tried again"
    share = _share(progress.bytes_confirmed, progress.bytes_total)
    return Line("stored", text, State.OVER if over else State.WORKING, share if share is not None else 1.0)


def _on_chain(progress: Progress) -> Line:
    if not _past(progress, Phase.STORE):
        return Line("on chain", "", State.AHEAD)
    done, total = progress.transactions_confirmed, progress.transactions_total
    parts = [f"{done:,} of {total:,} transactions confirmed"] if total else []
    if progress.checks_total:
        parts.append(_read_back(progress))
    over = progress.phase is Phase.DONE
    if not parts:
        parts.append("nothing to change" if over else "preparing transactions")
    whole = total + progress.checks_total
    share = _share(done + progress.checks_done, whole)
    return Line("on chain", "; ".join(parts), State.OVER if over else State.WORKING, 1.0 if over else share)


def _read_back(progress: Progress) -> str:
    return f"{progress.checks_done:,} of {progress.checks_total:,} files read back" if progress.checks_total else ""


_MAKERS: Mapping[Phase, Callable[[Progress], Line]] = {
    Phase.SCAN: _prepared,
    Phase.PLAN: _prepared,
    Phase.STORE: _stored,
    Phase.CHAIN: _on_chain,
    Phase.VERIFY: _on_chain,
    Phase.DONE: _on_chain,
}
"""Which line tells of a phase."""
