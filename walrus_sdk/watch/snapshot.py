"""A deployment as it stands: events and samples folded, in order, into what is seen of it.

`begin` takes what is read once, `advance` what is new, `view` tells. All are pure; a watcher that reads only what is
new pays for what is new, and not for the 10,000 files that are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from walrus_sdk.model import events as kinds
from walrus_sdk.model.deployment import Event, Status
from walrus_sdk.model.original import ErrorRecord
from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.reports import DeploymentSummary
from walrus_sdk.model.samples import Resources, Sample
from walrus_sdk.model.views import DeploymentView, Eta, FileView, OperationView, Rates, Step, Waiting
from walrus_sdk.watch import rates as speeds

__all__ = ["Watched", "advance", "begin", "view"]

_ERRORS = 20
"""Failures that a view tells of: the last ones."""
_SHOWN_WAITS = 5
"""Operations that are named among those that are waited for; more are counted."""
_MOVED_MS = 500
"""Milliseconds by which an end has been moved, and not only rounded: `rates.revise` moves it by a second at least."""
_PHASES = {
    Status.PENDING.value: Phase.PLAN,
    Status.UPLOADING.value: Phase.STORE,
    Status.PROCESSING.value: Phase.CHAIN,
    Status.COMPLETED.value: Phase.DONE,
}
"""Where a deployment is by its status."""
_ORDER = tuple(Phase)
_COUNTS = (
    "stores_total", "stores_encoded", "stores_confirmed", "bytes_total", "bytes_confirmed", "transactions_total",
    "transactions_confirmed",
)  # fmt: skip
"""What events count no less exactly than samples."""


_NO_METER = speeds.Meter()
_NOTHING = (Progress(), Rates())


@dataclass(frozen=True, slots=True)
class Done:
    """Counts by the events: stores, transactions, and bytes that are to be stored, were sent, are stored."""

    stores_total: int = 0
    stores_named: int = 0
    stores: int = 0
    to_store: int = 0
    sent: int = 0
    stored: int = 0
    transactions_total: int = 0
    transactions: int = 0


_NOTHING_DONE = Done()


@dataclass(frozen=True, slots=True)
class Watched:
    """What is known of a deployment so far. `rows` are its `files` by operation: path, size, sha256, operation.

    `eta` is what was told, `told` the progress and rates when it was made or moved, `broke` why there is none now: a
    pause, or the death of its owner.
    """

    files: int
    rows: Mapping[str | None, Sequence[Mapping[str, Any]]]
    past: tuple[speeds.Run, ...]
    operations: Mapping[str, OperationView]
    steps: Mapping[Step, int]
    files_done: int
    bytes_done: int
    bytes_total: int
    done: Done = _NOTHING_DONE
    keys: Mapping[str, str] = field(default_factory=dict)
    sample: Sample | None = None
    meter: speeds.Meter = _NO_METER
    eta: Eta | None = None
    told: tuple[Progress, Rates] = _NOTHING
    broke: str = ""
    paused: bool = False
    status: str = Status.PENDING.value
    incarnation: int = 0
    last: int = 0
    moved_ms: int = 0
    failures: int = 0
    errors: tuple[ErrorRecord, ...] = ()
    planned_frost: int = 0
    paid_frost: int = 0
    paid_mist: int = 0
    in_vain: int = 0


def begin(entries: Sequence[Mapping[str, Any]], past: Sequence[speeds.Run] = ()) -> Watched:
    """Return what is known of a deployment by the rows of its files, before any event."""
    operations: dict[str, OperationView] = {}
    seen: set[tuple[str, str]] = set()
    rows: dict[str | None, list[Mapping[str, Any]]] = {}
    for row in entries:
        key = row["operation"]
        rows.setdefault(key, []).append(row)
        if key is None:
            continue
        known = operations.get(key) or OperationView(key, "store")
        is_new = (key, row["sha256"]) not in seen  # equal contents are stored once
        seen.add((key, row["sha256"]))
        operations[key] = replace(known, files=known.files + 1, size=known.size + is_new * (row["size"] or 0))
    done = rows.get(None, [])
    return Watched(
        len(entries),
        rows,
        tuple(past),
        operations,
        {Step.PLANNED: len(operations)},
        len(done),
        sum(row["size"] or 0 for row in done),
        sum(row["size"] or 0 for row in entries),
        Done(stores_total=len(operations), to_store=sum(item.size for item in operations.values())),
    )


# ── what is new ───────────────────────────────────────────────────────────────────────────────────────────────────


def advance(watched: Watched, events: Sequence[Event], samples: Sequence[Sample], now_ms: int) -> Watched:
    """Take in what is new, in order: events above `watched.last`, and samples after `watched.sample`."""
    if events:
        watched = _with_events(watched, events)
    for sample in samples:
        watched = _with_sample(watched, sample)
    return _with_eta(watched, now_ms)


class _Fold:
    """The parts of a `Watched` that events change, open for a moment."""

    def __init__(self, watched: Watched) -> None:
        self.operations = dict(watched.operations)
        self.steps = dict(watched.steps)
        self.keys = dict(watched.keys)
        self.errors = list(watched.errors)
        self.failures = watched.failures
        self.files_done, self.bytes_done = watched.files_done, watched.bytes_done
        self.paid, self.planned = watched.paid_frost, watched.planned_frost
        self.gas, self.in_vain = watched.paid_mist, watched.in_vain
        self.status = watched.status
        self.done = watched.done
        self.paused, self.broke = watched.paused, watched.broke
        self.is_broken = False

    def move(self, key: str, step: Step, event: Event, **facts: Any) -> None:
        """Bring an operation to a step; one that is done stays so."""
        known = self.operations.get(key) or OperationView(key, str(event.data.get("kind", "transaction")))
        if known.step is Step.DONE:
            return
        is_new = key not in self.operations
        if not is_new:
            self.steps[known.step] = self.steps.get(known.step, 0) - 1
        self.steps[step] = self.steps.get(step, 0) + 1
        sent = known.size if step is Step.SENT else 0
        self.operations[key] = replace(known, **{"step": step, "since_ms": event.wall_ms, "sent": sent, **facts})
        self.done = _counted(self.done, known, self.operations[key], is_new=is_new)
        if step is Step.DONE:
            self.files_done += known.files
            self.bytes_done += known.size

    def take(self, event: Event) -> None:
        """Take an event in; of kinds that tell nothing of progress, nothing."""
        fold = _FOLDS.get(event.type)
        if fold is not None:
            fold(self, event)


def _counted(done: Done, old: OperationView, new: OperationView, *, is_new: bool) -> Done:
    is_over = new.step is Step.DONE
    if new.kind != "store":
        return replace(
            done, transactions_total=done.transactions_total + is_new, transactions=done.transactions + is_over
        )
    return replace(
        done,
        stores_named=done.stores_named + (bool(new.name) and not old.name),
        stores=done.stores + is_over,
        sent=done.sent + (new.size if new.step is Step.SENT or (is_over and old.step is not Step.SENT) else 0),
        stored=done.stored + is_over * new.size,
    )


def _planned(fold: _Fold, event: Event) -> None:
    fold.planned = int(event.data.get("cost_frost", 0))


def _paused(fold: _Fold, event: Event) -> None:
    fold.paused, fold.broke, fold.is_broken = True, "it was paused", True


def _continued(fold: _Fold, event: Event) -> None:
    fold.paused = False


def _taken_up(fold: _Fold, event: Event) -> None:
    fold.paused, fold.broke, fold.is_broken = False, "it was interrupted", True


def _status(fold: _Fold, event: Event) -> None:
    fold.status = str(event.data["to"])


def _named(fold: _Fold, event: Event) -> None:
    fold.keys[event.data["blob_id"]] = event.data["operation"]
    fold.move(event.data["operation"], Step.NAMED, event, name=event.data["blob_id"], kind="store")


def _signed(fold: _Fold, event: Event) -> None:
    key = f"transaction-{event.data['step']:04}"
    fold.keys[event.data["digest"]] = key
    fold.move(key, Step.NAMED, event, name=event.data["digest"], kind="transaction")


def _dead(fold: _Fold, event: Event) -> None:
    key = fold.keys.get(event.data["digest"])
    if key is not None:
        fold.move(key, Step.FAILED, event, code=event.data["code"], message="it can never happen any more")


def _begun(fold: _Fold, event: Event) -> None:
    fold.keys[event.data["name"]] = event.data["operation"]
    fold.move(event.data["operation"], Step.BEGUN, event, name=event.data["name"], attempts=event.data["attempt"])


def _released(fold: _Fold, event: Event) -> None:
    key = fold.keys.get(event.data["name"])
    if key is not None:
        fold.move(key, Step.SENT, event)


def _in_vain(fold: _Fold, event: Event) -> None:
    fold.in_vain += 1


def _done(fold: _Fold, event: Event) -> None:
    data = event.data
    fold.move(data["operation"], Step.DONE, event, name=data["name"], code="", message="")
    if data["kind"] == "store" and data["how"] in ("done", "found"):
        fold.paid += int((data["outcome"] or {}).get("cost_frost", 0))
    elif data["kind"] == "transaction":
        fold.gas += int((data["outcome"] or {}).get("gas", 0))


def _failed(fold: _Fold, event: Event) -> None:
    _failure(fold, event, Step.FAILED)


def _unknown(fold: _Fold, event: Event) -> None:
    _failure(fold, event, Step.UNKNOWN)


def _failure(fold: _Fold, event: Event, step: Step) -> None:
    data = event.data
    if not data["operation"]:
        return  # of a store that another deployment recorded, and that was cleaned up
    fold.failures += 1
    fold.errors.append(ErrorRecord(data["code"], data["message"], event.wall_ms, data["operation"]))
    is_open = step is Step.UNKNOWN or data.get("open")
    step = Step.UNKNOWN if is_open else Step.FAILED
    fold.move(data["operation"], step, event, code=data["code"], message=data["message"])


_FOLDS = {
    kinds.DEPLOYMENT_PLANNED: _planned,
    kinds.DEPLOYMENT_STATUS: _status,
    kinds.DEPLOYMENT_PAUSED: _paused,
    kinds.DEPLOYMENT_CONTINUED: _continued,
    kinds.DEPLOYMENT_TAKEN_UP: _taken_up,
    kinds.STORE_NAMED: _named,
    kinds.TRANSACTION_SIGNED: _signed,
    kinds.TRANSACTION_DEAD: _dead,
    kinds.EFFECT_INTENT: _begun,
    kinds.EFFECT_RELEASED: _released,
    kinds.EFFECT_DONE: _done,
    kinds.EFFECT_FAILED: _failed,
    kinds.EFFECT_UNKNOWN: _unknown,
    kinds.SECOND_PAYMENT_POSSIBLE: _in_vain,
}


def _with_events(watched: Watched, events: Sequence[Event]) -> Watched:
    fold = _Fold(watched)
    for event in events:
        fold.take(event)
    return replace(
        watched,
        operations=fold.operations,
        steps=fold.steps,
        keys=fold.keys,
        errors=tuple(fold.errors[-_ERRORS:]),
        failures=fold.failures,
        files_done=fold.files_done,
        bytes_done=fold.bytes_done,
        paid_frost=fold.paid,
        paid_mist=fold.gas,
        in_vain=fold.in_vain,
        planned_frost=fold.planned,
        status=fold.status,
        paused=fold.paused,
        broke=fold.broke,
        eta=None if fold.is_broken else watched.eta,
        done=fold.done,
        incarnation=max(watched.incarnation, events[-1].incarnation),
        last=events[-1].number,
        moved_ms=max(watched.moved_ms, events[-1].wall_ms),
    )


def _with_sample(watched: Watched, sample: Sample) -> Watched:
    older = watched.sample
    if older is not None and sample.incarnation < older.incarnation:
        return watched  # of an owner that was fenced off
    moved = older is None or older.progress != sample.progress
    known = watched.operations
    sending = {key: size for key, size in sample.sending.items() if key in known and known[key].step is Step.BEGUN}
    if sending:
        changed = {key: replace(known[key], sent=min(size, known[key].size)) for key, size in sending.items()}
        known = {**known, **changed}
    return replace(
        watched,
        operations=known,
        sample=sample,
        meter=speeds.observe(watched.meter, sample),
        incarnation=max(watched.incarnation, sample.incarnation),
        moved_ms=max(watched.moved_ms, sample.wall_ms) if moved else watched.moved_ms,
    )


def _with_eta(watched: Watched, now_ms: int) -> Watched:
    if watched.sample is None or watched.sample.incarnation < watched.incarnation or watched.paused:
        return watched
    progress, rates = watched.sample.progress, watched.meter.rates
    found = speeds.estimate(watched.sample, rates, watched.past, now_ms)
    eta = speeds.revise(watched.eta, found, now_ms, watched.told, (progress, rates))
    if eta is not None and watched.eta is None:
        eta = replace(eta, reason=watched.broke)  # what was told before the break is not what is told now
    is_moved = eta is not None and (watched.eta is None or eta.finish_ms - watched.eta.finish_ms > _MOVED_MS)
    return replace(watched, eta=eta, told=(progress, rates) if is_moved else watched.told)


# ── what is seen ──────────────────────────────────────────────────────────────────────────────────────────────────


def view(
    watched: Watched,
    summary: DeploymentSummary,
    now_ms: int,
    *,
    live: bool,
    events: Sequence[Event] = (),
    files: int = 0,
) -> DeploymentView:
    """Return what is seen of a deployment at `now_ms`.

    `events` are those that are new, `files` how many files are shown at most.
    """
    sample = watched.sample
    progress = _progress(watched)
    progress = replace(progress, paused=live and watched.paused)
    if not live:
        progress = replace(progress, waiting="")  # whoever waited is gone
    phase = progress.phase
    return DeploymentView(
        summary=replace(summary, progress=_share(watched)),
        at_ms=now_ms,
        live=live,
        phase=phase,
        progress=progress,
        files_done=watched.files_done,
        files_total=watched.files,
        bytes_done=watched.bytes_done,
        bytes_total=watched.bytes_total,
        steps={step: count for step, count in watched.steps.items() if count},
        moved_ms=watched.moved_ms or summary.started_ms,
        sampled_ms=sample.wall_ms if sample is not None else None,
        rates=watched.meter.rates if live and phase is Phase.STORE else Rates(),
        eta=watched.eta if live and phase is not Phase.DONE and not watched.paused else None,
        retries=max(watched.failures, progress.retries),
        waiting=_waiting(watched, summary, progress, phase, live=live),
        operations=watched.operations,
        resources=sample.resources if sample is not None else Resources(),
        planned_frost=watched.planned_frost,
        paid_frost=watched.paid_frost,
        paid_mist=watched.paid_mist,
        possibly_paid_in_vain=watched.in_vain,
        errors=watched.errors,
        events=tuple(events),
        files=tuple(_files(watched, files)) if files else (),
    )


def _files(watched: Watched, limit: int) -> Iterator[FileView]:
    """Yield files as they stand: those of operations that failed or are under way first, stored ones last.

    A file's part of what its operation has sent is told by its size: a quilt sends its files in its own order.
    """
    order = sorted(watched.operations.values(), key=lambda item: _FIRST.index(item.step))
    shown = 0
    for operation in order:
        for row in watched.rows.get(operation.key, ()):
            if shown == limit:
                return
            shown += 1
            yield _file(row, operation)
    for row in watched.rows.get(None, ())[: limit - shown]:
        yield FileView(row["path"], row["size"] or 0, Step.DONE, row["size"] or 0)


def _file(row: Mapping[str, Any], operation: OperationView) -> FileView:
    size = row["size"] or 0
    sent = size if operation.step is Step.DONE else round(size * operation.sent / max(1, operation.size))
    return FileView(row["path"], size, operation.step, sent, operation.key)


_FIRST = (Step.FAILED, Step.UNKNOWN, Step.SENT, Step.BEGUN, Step.NAMED, Step.PLANNED, Step.DONE)
"""In which order operations are shown when not all of them are."""


def _share(watched: Watched) -> float:
    if watched.status == Status.COMPLETED.value:
        return 1.0
    return watched.files_done / watched.files if watched.files else 0.0


def _progress(watched: Watched) -> Progress:
    """Return progress by both: a sample knows what is on its way, and events are never late."""
    told = _by_events(watched)
    sample = watched.sample
    if sample is None or sample.incarnation != watched.incarnation:
        return told
    now = sample.progress
    phase = max(now.phase, told.phase, key=_ORDER.index) if watched.status in _PHASES else now.phase
    counts = {name: max(getattr(now, name), getattr(told, name)) for name in _COUNTS}
    return replace(now, phase=phase, **counts)


def _by_events(watched: Watched) -> Progress:
    done = watched.done
    return Progress(
        phase=_PHASES.get(watched.status, watched.sample.progress.phase if watched.sample is not None else Phase.PLAN),
        files_found=watched.files,
        files_hashed=watched.files,
        bytes_hashed=watched.bytes_total,
        stores_total=done.stores_total,
        stores_encoded=done.stores_named,
        stores_confirmed=done.stores,
        bytes_total=done.to_store,
        bytes_sent=done.sent,
        bytes_confirmed=done.stored,
        transactions_total=done.transactions_total,
        transactions_confirmed=done.transactions,
        retries=watched.failures,
    )


# ── what waits on what ────────────────────────────────────────────────────────────────────────────────────────────


def _waiting(
    watched: Watched, summary: DeploymentSummary, progress: Progress, phase: Phase, *, live: bool
) -> tuple[Waiting, ...]:
    """Say what waits on what: nothing for what is over, a person for what nobody works on."""
    if not live:
        if not summary.resumable:
            return ()
        return (Waiting("the deployment", f"somebody who goes on: walrus-sdk resume {summary.deployment_id}"),)
    found = [Waiting(f"the {phase.value} phase", progress.waiting)] if progress.waiting else []
    if watched.paused:
        found = [Waiting("the deployment", f"somebody who lets it go on: walrus-sdk continue {summary.deployment_id}")]
    active = [item for item in watched.operations.values() if item.step in (Step.SENT, Step.UNKNOWN)]
    active.sort(key=lambda item: item.since_ms)
    for item in active[:_SHOWN_WAITS]:
        whose = "the publisher's answer" if item.kind == "store" else "finality"
        on = whose if item.step is Step.SENT else "whether it happened: its answer was lost"
        found.append(Waiting(item.key, on, item.since_ms))
    if len(active) > _SHOWN_WAITS:
        found.append(Waiting(f"{len(active) - _SHOWN_WAITS} more", "their answers"))
    ready, under_way = watched.steps.get(Step.NAMED, 0), sum(item.is_active for item in watched.operations.values())
    if phase is Phase.STORE and ready and under_way:
        found.append(Waiting(f"{ready} stores", f"their turn, behind {under_way} under way"))
    return tuple(found)
