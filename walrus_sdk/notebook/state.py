"""What a panel knows, as one frozen value, and how events of the journal change it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from typing import Any

from walrus_sdk.errors import CODES, WalrusError
from walrus_sdk.model import events
from walrus_sdk.model.deployment import Event
from walrus_sdk.model.html import Facts
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.progress import Progress
from walrus_sdk.model.reports import DeploymentSummary
from walrus_sdk.model.versions import Version

__all__ = [
    "AT_WORK",
    "Action",
    "File",
    "FileState",
    "Offer",
    "Point",
    "Problem",
    "State",
    "Told",
    "counts",
    "file_states",
    "files_of",
    "fold",
    "is_of",
    "paced",
    "planned_files",
    "problem_of",
    "rate",
    "without_deployment",
]


AT_WORK = ("pending", "uploading", "processing", "paused")
"""The statuses of a deployment that a process works on."""


class Action(Enum):
    """What a button asks for."""

    DEPLOY = "Deploy"
    PAUSE = "Pause"
    CONTINUE = "Continue"
    CANCEL = "Cancel"
    RESUME = "Resume"
    RETRY = "Retry failed"
    ROLLBACK = "Roll back"
    CLEANUP = "Clean up"
    VERIFY = "Verify"
    OPEN = "Open site"
    CONFIRM = "Confirm"
    DISMISS = "Not now"


class FileState(StrEnum):
    """Where a file stands; in the order in which the table shows them.

    A text, as those are hashed without Python code: there may be tens of thousands, counted twice a second.
    """

    FAILED = "failed"
    LOOKING = "looked for"
    SENDING = "sending"
    WAITING = "waiting"
    STORED = "stored"


@dataclass(frozen=True, slots=True)
class File:
    """A file of a deployment; `operation` stores it, `None` when it was stored before."""

    path: str
    size: int
    operation: str | None


@dataclass(frozen=True, slots=True)
class Problem:
    """A failure with its next step; `where` is the operation, or empty."""

    code: str
    message: str
    next_step: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What the events of a deployment tell, up to event `number`.

    `operations` maps store operations to where their files stand, `problems` those that failed at their last try.
    `spent_frost` and `gas_mist` are paid so far, `planned_frost` by the plan. `paid_again` counts stores that may
    have been paid in vain, `transactions` those that are final.
    """

    number: int = 0
    operations: Mapping[str, FileState] = field(default_factory=dict)
    problems: Mapping[str, Problem] = field(default_factory=dict)
    spent_frost: int = 0
    gas_mist: int = 0
    planned_frost: int = 0
    paid_again: int = 0
    transactions: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """Something that is shown before it is done: a plan to deploy, a version to go back to, what a cleanup removes.

    `choices` are pairs of a label and a value, of which `choice` is chosen. `confirm` is what the button says; empty:
    there is nothing to confirm.
    """

    action: Action
    title: str
    facts: Facts
    confirm: str
    choices: tuple[tuple[str, int], ...] = ()
    choice: int | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One moment: milliseconds, bytes sent and confirmed, stores confirmed."""

    ms: int
    sent: int
    confirmed: int
    stores: int


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a panel shows. Amounts are base units, times milliseconds since 1970 UTC.

    `busy` says what this panel does itself right now (and that no other verb begins meanwhile). `points` are the last
    seconds, for rates. `cap_frost` is the limit that was set. `url` is where the site is served. `alerts` are lines.
    `chain` is the id of the chain that verbs work on, empty while that is not known. `ended` says why
    nothing is looked at or done any more.
    """

    network: str = ""
    site_name: str = ""
    folder: str = ""
    deployment: str = ""
    summary: DeploymentSummary | None = None
    progress: Progress | None = None
    told: Told = Told()
    files: tuple[File, ...] = ()
    cap_frost: int | None = None
    points: tuple[Point, ...] = ()
    versions: tuple[Version, ...] = ()
    url: str = ""
    offer: Offer | None = None
    busy: str = ""
    problem: Problem | None = None
    note: str = ""
    alerts: tuple[str, ...] = ()
    now_ms: int = 0
    chain: str = ""
    ended: str = ""

    @property
    def status(self) -> str:
        """The deployment's status, ``paused`` and ``interrupted`` included; empty without a deployment."""
        return self.summary.status if self.summary is not None else ""

    @property
    def at_work(self) -> bool:
        """Whether a process, this one or another, works on the deployment."""
        return self.status in AT_WORK

    @property
    def can_go_on(self) -> bool:
        """Whether the deployment can be resumed by this panel: it is not over, and on its chain."""
        return self.summary is not None and self.summary.resumable and is_of(self.summary, self.chain)


def is_of(summary: DeploymentSummary, chain: str) -> bool:
    """Return whether a deployment is of a chain, as far as is known."""
    return not chain or not summary.chain or summary.chain == chain


_WINDOW_MS = 15_000
_STATES = {
    events.EFFECT_INTENT: FileState.SENDING,
    events.EFFECT_DONE: FileState.STORED,
    events.EFFECT_FAILED: FileState.FAILED,
    events.EFFECT_UNKNOWN: FileState.LOOKING,
}


def fold(told: Told, new: Iterable[Event]) -> Told:
    """Return what is known after further events, in order."""
    operations, problems = dict(told.operations), dict(told.problems)
    spent, gas, planned, again, final = (
        told.spent_frost,
        told.gas_mist,
        told.planned_frost,
        told.paid_again,
        told.transactions,
    )
    number = told.number
    for event in new:
        number, data = event.number, event.data
        if event.type == events.DEPLOYMENT_PLANNED:
            planned = int(data.get("cost_frost", 0))
        elif event.type == events.DEPLOYMENT_TAKEN_UP:  # what an earlier owner had in flight is looked up, or waits
            operations |= {key: FileState.WAITING for key, is_at in operations.items() if is_at is FileState.SENDING}
        elif event.type == events.SECOND_PAYMENT_POSSIBLE:
            again += 1
        elif event.type in _STATES:
            key = str(data.get("operation", ""))
            if data["kind"] == "store":
                operations[key] = _STATES[event.type]
            if event.type in (events.EFFECT_FAILED, events.EFFECT_UNKNOWN):
                problems[key] = _problem(str(data.get("code", "")), str(data.get("message", "")), key)
            else:
                problems.pop(key, None)
            if event.type == events.EFFECT_DONE and data["kind"] == "store":
                spent += int(data["outcome"].get("cost_frost", 0))
            elif event.type == events.EFFECT_DONE:
                gas, final = gas + int(data["outcome"].get("gas", 0)), final + 1
    return Told(number, operations, problems, spent, gas, planned, again, final)


def _problem(code: str, message: str, where: str) -> Problem:
    row = CODES.get(code)
    return Problem(code, message, row.next_step if row is not None else "", where)


def problem_of(error: WalrusError) -> Problem:
    """Return an error as what is shown of it."""
    return Problem(error.code, error.message, error.next_step)


def files_of(rows: Sequence[Mapping[str, Any]]) -> tuple[File, ...]:
    """Return files from rows of ``entries``."""
    return tuple(File(str(row["path"]), int(row["size"] or 0), row["operation"]) for row in rows)


def planned_files(plan: Plan) -> tuple[File, ...]:
    """Return the files of a plan that is about to be carried out."""
    stores = {piece.sha256: operation.key for operation in plan.operations for piece in operation.pieces}
    kept = frozenset(plan.change.keep)
    return tuple(
        File(path, entry.size, None if path in kept else stores.get(entry.sha256))
        for path, entry in plan.entries.items()
    )


def file_states(state: State) -> list[FileState]:
    """Return where each file of a state stands, in their order; nothing is being sent where nobody works."""
    told, at_work = state.told.operations, state.at_work
    places: dict[str | None, FileState] = {
        key: FileState.WAITING if is_at is FileState.SENDING and not at_work else is_at for key, is_at in told.items()
    }
    places[None] = FileState.STORED
    place = places.get
    return [place(file.operation, FileState.WAITING) for file in state.files]


def counts(states: Iterable[FileState]) -> dict[FileState, int]:
    """Return how many files stand where, all states listed."""
    return {**dict.fromkeys(FileState, 0), **Counter(states)}


def paced(points: Sequence[Point], progress: Progress, now_ms: int) -> tuple[Point, ...]:
    """Return the points of the last seconds with a new one."""
    point = Point(now_ms, progress.bytes_sent, progress.bytes_confirmed, progress.stores_confirmed)
    kept = [old for old in points if now_ms - old.ms <= _WINDOW_MS and old.sent <= point.sent]
    return (*kept, point)


def rate(points: Sequence[Point]) -> tuple[float, float]:
    """Return bytes sent and bytes confirmed a second, over the last seconds; 0 while that is too little to say."""
    if len(points) < 2 or points[-1].ms - points[0].ms < 1000:
        return 0.0, 0.0
    seconds = (points[-1].ms - points[0].ms) / 1000
    return (points[-1].sent - points[0].sent) / seconds, (points[-1].confirmed - points[0].confirmed) / seconds


def without_deployment(state: State) -> State:
    """Return the state of a panel that looks at no deployment any more."""
    return replace(state, deployment="", summary=None, progress=None, told=Told(), files=(), points=())
