"""What a panel knows, as one frozen value, and what follows from it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Any

from walrus_sdk.errors import CODES, WalrusError
from walrus_sdk.model.alerts import Alert
from walrus_sdk.model.html import Facts
from walrus_sdk.model.progress import Progress
from walrus_sdk.model.reports import DeploymentSummary
from walrus_sdk.model.versions import Version
from walrus_sdk.model.views import DeploymentView, Step

__all__ = [
    "AT_WORK",
    "Action",
    "File",
    "FileState",
    "Offer",
    "Problem",
    "State",
    "counts",
    "file_states",
    "files_of",
    "is_of",
    "problem_of",
    "problems_of",
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
class State:
    """Everything that a panel shows. Amounts are base units, times milliseconds since 1970 UTC.

    `seen` is the deployment as everybody sees it who watches the journal; `progress` is that of this panel's own verb,
    told at every chunk, where there is one. `busy` says what this panel does itself right now (and that no other verb
    begins meanwhile). `url` is where the site is served. `chain` is the id of the chain that verbs work on, empty while
    that is not known. `ended` says why nothing is looked at or done any more.
    """

    network: str = ""
    site_name: str = ""
    folder: str = ""
    deployment: str = ""
    summary: DeploymentSummary | None = None
    progress: Progress | None = None
    seen: DeploymentView | None = None
    files: tuple[File, ...] = ()
    versions: tuple[Version, ...] = ()
    url: str = ""
    offer: Offer | None = None
    busy: str = ""
    problem: Problem | None = None
    note: str = ""
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
    def alerts(self) -> tuple[Alert, ...]:
        """The alerts about the deployment that fire."""
        return self.seen.alerts if self.seen is not None else ()

    @property
    def can_go_on(self) -> bool:
        """Whether the deployment can be resumed by this panel: it is not over, and on its chain."""
        return self.summary is not None and self.summary.resumable and is_of(self.summary, self.chain)


def is_of(summary: DeploymentSummary, chain: str) -> bool:
    """Return whether a deployment is of a chain, as far as is known."""
    return not chain or not summary.chain or summary.chain == chain


_STATES = {
    Step.PLANNED: FileState.WAITING,
    Step.NAMED: FileState.WAITING,
    Step.BEGUN: FileState.SENDING,
    Step.SENT: FileState.SENDING,
    Step.UNKNOWN: FileState.LOOKING,
    Step.FAILED: FileState.FAILED,
    Step.DONE: FileState.STORED,
}
"""Where files stand by the step of the operation that stores them."""


def problems_of(seen: DeploymentView) -> list[Problem]:
    """Return what failed, or lost its answer, at its last try, the last one last."""
    if not (seen.steps.get(Step.FAILED) or seen.steps.get(Step.UNKNOWN)):
        return []  # as nearly always, and there may be thousands
    failed = [item for item in seen.operations.values() if item.step in (Step.FAILED, Step.UNKNOWN) and item.code]
    failed.sort(key=lambda item: item.since_ms)
    return [_problem(item.code, item.message, item.key) for item in failed]


def _problem(code: str, message: str, where: str) -> Problem:
    row = CODES.get(code)
    return Problem(code, message, row.next_step if row is not None else "", where)


def problem_of(error: WalrusError) -> Problem:
    """Return an error as what is shown of it."""
    return Problem(error.code, error.message, error.next_step)


def files_of(rows: Sequence[Mapping[str, Any]]) -> tuple[File, ...]:
    """Return files from rows of ``entries``."""
    return tuple(File(str(row["path"]), int(row["size"] or 0), row["operation"]) for row in rows)


def file_states(state: State) -> list[FileState]:
    """Return where each file of a state stands, in their order; nothing is being sent where nobody works."""
    operations, at_work = state.seen.operations if state.seen is not None else {}, state.at_work
    places: dict[str | None, FileState] = {key: _STATES[item.step] for key, item in operations.items()}
    if not at_work:
        places = {key: FileState.WAITING if is_at is FileState.SENDING else is_at for key, is_at in places.items()}
    places[None] = FileState.STORED
    place = places.get
    return [place(file.operation, FileState.WAITING) for file in state.files]


def counts(states: Iterable[FileState]) -> dict[FileState, int]:
    """Return how many files stand where, all states listed."""
    return {**dict.fromkeys(FileState, 0), **Counter(states)}


def without_deployment(state: State) -> State:
    """Return the state of a panel that looks at no deployment any more."""
    return replace(state, deployment="", summary=None, seen=None, progress=None, files=())
