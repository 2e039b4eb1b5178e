"""What a panel shows of a state, and which buttons are enabled. Pure: a state goes in, texts and HTML come out.

All that comes from outside (names of files and sites, messages of services) is escaped. A state is always a word and a
colour. The text of ``role=status`` changes only with the state and at each tenth, or a screen reader would never stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from itertools import islice

from walrus_sdk.errors import CODES
from walrus_sdk.model.alerts import Notice
from walrus_sdk.model.html import escape, facts_html
from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.units import Frost, Mist
from walrus_sdk.model.views import Step
from walrus_sdk.notebook.state import (
    Action,
    File,
    FileState,
    Problem,
    State,
    counts,
    file_states,
    problems_of,
)
from walrus_sdk.watch import progress as words
from walrus_sdk.watch.progress import size
from walrus_sdk.watch.words import ending, money, speed

__all__ = ["MAX_ROWS", "STYLE", "View", "enabled", "files_html", "focused", "text_of", "view"]

MAX_ROWS = 200
"""Files that the table shows; all others are a count."""
_MAX_PROBLEMS = 10
_OVER = ("completed", "cancelled")
"""The statuses under which what failed on the way is of no concern any more."""

PUBLISHING = ("deploy", "rollback")


@dataclass(frozen=True, slots=True)
class View:
    """What is shown: HTML of each part, the status in words, and the buttons that are enabled."""

    head: str
    status: str
    meter: str
    cost: str
    offer: str
    confirm: str
    choices: tuple[tuple[str, int], ...]
    choice: int | None
    problems: str
    note: str
    enabled: frozenset[Action]


def view(state: State, *, files: dict[FileState, int] | None = None) -> View:
    """Return what is shown of a state; `files` are the counts of its files, where they are known already."""
    found = files if files is not None else counts(file_states(state))
    return View(
        head=_head(state),
        status=_status_html(_status(state, found)),
        meter=_meter(state, found),
        cost=_cost(state),
        offer="" if state.offer is None else facts_html(state.offer.title, state.offer.facts),
        confirm="" if state.offer is None else state.offer.confirm,
        choices=() if state.offer is None else state.offer.choices,
        choice=None if state.offer is None else state.offer.choice,
        problems=_problems(state),
        note=_note(state),
        enabled=enabled(state),
    )


# ── which verbs are legal ─────────────────────────────────────────────────────────────────────────────────────────


def enabled(state: State) -> frozenset[Action]:
    """Return the actions that the state allows: those whose verb would not be refused for what the state is."""
    if state.ended:
        return frozenset()
    free, found = not state.busy, state.summary
    publishes = found is not None and found.verb in PUBLISHING
    legal = {
        Action.DEPLOY: free and bool(state.folder) and not state.at_work,
        Action.PAUSE: publishes and state.at_work and state.status != "paused",
        Action.CONTINUE: publishes and state.status == "paused",
        Action.CANCEL: bool(state.busy) or state.at_work or (found is not None and found.resumable),
        Action.RESUME: free and publishes and state.can_go_on,
        Action.RETRY: free and publishes and state.can_go_on and _has_failures(state),
        Action.ROLLBACK: free and not state.at_work and any(not version.current for version in state.versions),
        Action.CLEANUP: free and not state.at_work,
        Action.VERIFY: free and not state.at_work and bool(state.versions),
        Action.OPEN: bool(_url(state)),
        Action.CONFIRM: free and not state.at_work and state.offer is not None and bool(state.offer.confirm),
        Action.DISMISS: free and state.offer is not None,
    }
    return frozenset(action for action, is_legal in legal.items() if is_legal)


def focused(pressed: Action | None, before: View | None, now: View, offered: Action | None) -> Action | None:
    """Return the button that takes the focus of one that was `pressed` and disabled; `None`: not yet, or none does.

    What was `offered` on that press is to be confirmed next. Else it is the same button when it is enabled again, or
    the next one; never *Cancel*, which a second Enter would press, nor *Open site*, which is enabled all the time.
    """
    earlier = before.enabled if before is not None else now.enabled
    if pressed is None:
        return None
    if pressed is offered and Action.CONFIRM in now.enabled - earlier:
        return Action.CONFIRM
    if pressed in now.enabled & earlier:
        return None
    if pressed in now.enabled:
        return pressed
    skipped = (Action.CANCEL, Action.OPEN, Action.CONFIRM, Action.DISMISS)
    return next((action for action in Action if action in now.enabled and action not in skipped), None)


def _has_failures(state: State) -> bool:
    return state.status == "failed" or (state.seen is not None and state.seen.steps.get(Step.FAILED, 0) > 0)


def _url(state: State) -> str:
    """Return the site's address, where it has been published."""
    return state.url or (state.summary.url if state.summary is not None else "")


# ── texts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _head(state: State) -> str:
    """Return what the panel is about, and as of when: a panel whose kernel is gone stays on the screen."""
    found = state.summary
    name = state.site_name or (found.site_name if found is not None else "") or "(no site yet)"
    facts = [state.network or (found.network if found is not None else ""), state.deployment or state.folder]
    if state.now_ms:
        facts.append(f"as of {_time(state.now_ms)}")
    told = " · ".join(escape(text) for text in facts if text)
    return f'<div class="wsdk-head"><strong>{escape(name)}</strong> <span class="wsdk-faint">{told}</span></div>'


def _status(state: State, files: dict[FileState, int]) -> str:
    """Return the status in words; it changes with the state, and at each tenth of the files."""
    if state.summary is None:
        return state.busy or ("ready" if state.folder else "nothing here yet")
    word, total = state.status, sum(files.values())
    if state.summary.resumable:
        word += ", can go on" if state.can_go_on else ", of another chain"
    if state.at_work and total:
        word += f": {files[FileState.STORED] * 10 // total * 10} % of {total:,} files stored"
    elif word == "completed" and state.summary.version is not None:
        word += f": version {state.summary.version}"
    return f"{word} ({state.busy})" if state.busy and not state.at_work else word


def text_of(state: State) -> str:
    """Return a state as one line without ids or times, so that a saved notebook stays the same."""
    return f"{state.site_name or state.folder or 'this home'}: {_status(state, counts(file_states(state)))}"


def _status_html(text: str) -> str:
    word = escape(text)
    return f'<div role="status" aria-live="polite" class="wsdk-status wsdk-{_class(text)}">{word}</div>'


def _class(text: str) -> str:
    return "".join(letter for letter in text.split(",")[0].split(":")[0].split(" ")[0] if letter.isalpha())


def _meter(state: State, files: dict[FileState, int]) -> str:
    """Return the three lines of progress, and the rate; outside the region that is read aloud."""
    progress = _progress(state)
    if progress is None:
        return ""
    bars = "".join(_bar(line) for line in words.lines(progress))
    return f'<div class="wsdk-meter">{bars}<div class="wsdk-faint">{escape(_pace(state, files))}</div></div>'


def _bar(line: words.Line) -> str:
    share = line.share if line.share is not None else 0.0
    value = f"{share * 100:.1f}"
    return (
        f'<div class="wsdk-line"><span class="wsdk-label">{escape(line.label)}</span>'
        f'<span class="wsdk-bar" role="progressbar" aria-label="{escape(line.label)}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{value}" aria-valuetext="{escape(line.text or line.state.value)}">'
        f'<span class="wsdk-fill" style="width:{value}%"></span></span>'
        f'<span class="wsdk-text">{escape(line.text or line.state.value)}</span></div>'
    )


def _progress(state: State) -> Progress | None:
    """Return the progress of the panel's own verb, or else what the journal tells of the deployment."""
    told, seen = state.progress, state.seen
    if told is None or told.deployment not in ("", state.deployment):
        told = seen.progress if seen is not None and seen.files_total else None
    return replace(told, phase=Phase.DONE) if told is not None and state.status == "completed" else told


def _pace(state: State, files: dict[FileState, int]) -> str:
    """Return files stored of all, and while it works how fast, and when it will be over."""
    total, seen = sum(files.values()), state.seen
    parts = [f"{files[FileState.STORED]:,} of {total:,} files stored"] if total else []
    if seen is not None and state.at_work:
        parts += [speed(seen.rates), ending(seen.eta)]
    return " · ".join(part for part in parts if part)


def _cost(state: State) -> str:
    """Return what is spent, against the plan and against the limit."""
    seen = state.seen
    if seen is None or not (seen.planned_frost or seen.paid_frost or seen.paid_mist):
        return ""
    parts = [f"spent {money(seen)}"]
    if seen.cap_frost is not None:
        parts.append(f"limit {Frost(seen.cap_frost)}")
    if seen.paid_mist > 0:
        parts.append(f"gas {Mist(seen.paid_mist)}")
    if seen.possibly_paid_in_vain:
        parts.append(f"{seen.possibly_paid_in_vain:,} stores may have been paid in vain")
    return f'<div class="wsdk-faint">{escape(" · ".join(parts))}</div>'


def _problems(state: State) -> str:
    """Return failures with their next steps, the panel's own first; they are read aloud at once."""
    found = [state.problem] if state.problem is not None else []
    summary = state.summary
    if summary is not None and summary.status == "failed" and summary.reason:
        code, _, message = summary.reason.partition(": ")
        row = CODES.get(code)
        if row is not None and all(problem.code != code for problem in found):
            found.append(Problem(code, message, row.next_step))
    over = summary is None or summary.status in _OVER
    rest = problems_of(state.seen) if state.seen is not None and not over else []
    shown = [*found, *rest[-_MAX_PROBLEMS:]]
    lines = "".join(f"<li>{_problem(problem)}</li>" for problem in shown)
    if len(rest) > _MAX_PROBLEMS:
        lines += f"<li>and {len(rest) - _MAX_PROBLEMS:,} more</li>"
    lines += "".join(f"<li>{escape(Notice(alert).text)}</li>" for alert in state.alerts)
    return f'<div role="alert" class="wsdk-problems"><ul>{lines}</ul></div>' if lines else ""


def _note(state: State) -> str:
    note = f"<p>{escape(state.note)}</p>" if state.note else ""
    return note + (f'<p role="alert">{escape(state.ended)}</p>' if state.ended else "")


def _problem(problem: Problem) -> str:
    where = f"{escape(problem.where)}: " if problem.where else ""
    step = f" <em>{escape(problem.next_step)}</em>" if problem.next_step else ""
    return f"{where}<strong>{escape(problem.code)}</strong>: {escape(problem.message)}{step}"


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def files_html(files: Sequence[File], states: Sequence[FileState]) -> str:
    """Return the table of files: failed and active ones first, at most `MAX_ROWS`, the rest as a count."""
    if not files:
        return ""
    found, rows = counts(states), list[str]()
    for state, count in found.items():
        if count and len(rows) < MAX_ROWS:
            there = (file for file, is_at in zip(files, states, strict=True) if is_at is state)
            rows += [_row(file, state) for file in islice(there, MAX_ROWS - len(rows))]
    told = ", ".join(f"{count:,} {state.value}" for state, count in found.items() if count)
    more = f"<p>and {len(files) - MAX_ROWS:,} more</p>" if len(files) > MAX_ROWS else ""
    head = '<thead><tr><th scope="col">state</th><th scope="col">path</th><th scope="col">size</th></tr></thead>'
    table = f"<caption>{len(files):,} files: {told}</caption>{head}<tbody>{''.join(rows)}</tbody>"
    return (
        '<div class="wsdk-files" tabindex="0" role="region" aria-label="Files">'
        f'<table class="wsdk-table">{table}</table>{more}</div>'
    )


def _row(file: File, state: FileState) -> str:
    return f'<tr>{_cell(state)}<th scope="row">{escape(file.path)}</th><td>{size(file.size)}</td></tr>'


@cache
def _cell(state: FileState) -> str:
    return f'<td><span class="wsdk-state wsdk-{_class(state.value)}">{state.value}</span></td>'


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


STYLE = """<style>
.wsdk-panel { border: 1px solid #80868b; border-radius: 6px; padding: 8px 12px; max-width: 920px; }
.wsdk-faint { opacity: .85; font-size: 90%; }
.wsdk-status, .wsdk-state { display: inline-block; padding: 1px 8px; border-radius: 9px;
  background: #e8eaed; color: #202124; }
.wsdk-status { font-weight: 600; margin: 4px 0; }
.wsdk-failed { background: #fce8e6; color: #8c1d18; }
.wsdk-interrupted, .wsdk-paused, .wsdk-looked { background: #fef0cd; color: #573a00; }
.wsdk-completed, .wsdk-stored { background: #dff3e4; color: #0d4a21; }
.wsdk-uploading, .wsdk-processing, .wsdk-pending, .wsdk-sending { background: #dce8fd; color: #0a3a8a; }
.wsdk-line { display: flex; align-items: center; gap: 8px; line-height: 1.7; }
.wsdk-label { flex: 0 0 5.5em; }
.wsdk-bar { flex: 0 0 220px; height: 10px; border-radius: 5px; background: #dadce0; overflow: hidden;
  display: inline-block; }
.wsdk-fill { display: block; height: 100%; background: #1a63d8; }
.wsdk-text { font-variant-numeric: tabular-nums; }
.wsdk-problems { border-left: 4px solid #b3261e; background: #fce8e6; color: #410e0b; padding: 2px 8px; margin: 6px 0; }
.wsdk-problems ul { margin: 4px 0; padding-left: 1.2em; }
.wsdk-files { max-height: 260px; overflow: auto; }
.wsdk-table { border-collapse: collapse; }
.wsdk-table th, .wsdk-table td { text-align: left; font-weight: 400; padding: 1px 10px 1px 0; }
.wsdk-table thead th { font-weight: 600; }
.wsdk-panel caption { text-align: left; font-weight: 600; padding: 4px 0; white-space: nowrap; }
.wsdk-panel .widget-html-content { line-height: 1.7; }
.wsdk-panel table th, .wsdk-panel table td { padding: 0 10px 0 0; vertical-align: top; }
</style>"""
"""The panel's styles; a state is never told by its colour alone."""
