"""A deployment as it stands: events and samples folded, in order, into what is seen of it.

`begin` takes what is read once, `advance` what is new, `view` tells. All are pure; a watcher that reads only what is
new pays for what is new, and not for the 10,000 files that are there. What events mean is told by `runs.Run` alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from walrus_sdk.model.deployment import Event, Status
from walrus_sdk.model.original import ErrorRecord
from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.reports import DeploymentSummary
from walrus_sdk.model.samples import Resources, Sample
from walrus_sdk.model.views import DeploymentView, Eta, FileView, OperationView, Rates, Step, Waiting
from walrus_sdk.watch import rates as speeds
from walrus_sdk.watch.progress import has_moved
from walrus_sdk.watch.runs import Run, Try

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


class Totals(NamedTuple):
    """What operations add up to; `stored` and `sent` are of stores, as `stores`, `named` and `size` are."""

    files_done: int = 0
    bytes_done: int = 0
    stores: int = 0
    named: int = 0
    stored: int = 0
    size: int = 0
    bytes_stored: int = 0
    bytes_sent: int = 0


_NO_METER = speeds.Meter()
_NO_TOTALS = Totals()
_NOTHING = (Progress(), Rates())


@dataclass(frozen=True, slots=True)
class Watched:
    """What is known of a deployment so far. `rows` are its `files` by operation: path, size, sha256, operation.

    `bytes_there` were stored before, and belong to no operation.
    `run` is what its events tell; `steps`, `active` (the keys of those under way) and `totals` are counted from the
    operations.
    `eta` is what was told, `told` the progress and rates when it was made or moved, `broke` why there is none now: a
    pause, or the death of its owner.
    """

    files: int
    rows: Mapping[str | None, Sequence[Mapping[str, Any]]]
    past: tuple[speeds.Run, ...]
    operations: Mapping[str, OperationView]
    bytes_total: int
    bytes_there: int
    run: Run
    steps: Mapping[Step, int] = field(default_factory=dict)
    active: Mapping[str, None] = field(default_factory=dict)
    totals: Totals = _NO_TOTALS
    sample: Sample | None = None
    meter: speeds.Meter = _NO_METER
    eta: Eta | None = None
    told: tuple[Progress, Rates] = _NOTHING
    broke: str = ""
    moved_ms: int = 0

    @property
    def paused(self) -> bool:
        """Whether somebody asked that nothing new begins."""
        return self.run.is_paused

    @property
    def status(self) -> str:
        """The status by the events."""
        return self.run.status

    @property
    def files_done(self) -> int:
        """The files that are stored, and those that were stored before."""
        return len(self.rows.get(None, ())) + self.totals.files_done

    @property
    def bytes_done(self) -> int:
        """Their bytes, equal contents of one operation once."""
        return self.bytes_there + self.totals.bytes_done

    @property
    def last(self) -> int:
        """The number of the last event that was taken in."""
        return self.run.last_number

    @property
    def incarnation(self) -> int:
        """The owner of which anything was heard last."""
        return max(self.run.incarnation, self.sample.incarnation if self.sample is not None else 0)


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
    total, there = (sum(row["size"] or 0 for row in some) for some in (entries, rows.get(None, ())))
    watched = Watched(len(entries), rows, tuple(past), operations, total, there, Run(""))
    return _counted(watched, {}, operations)


def _counted(watched: Watched, before: Mapping[str, OperationView], keys: Iterable[str]) -> Watched:
    """Count what changed, few of thousands of operations between two looks; `before` has them as they were counted."""
    steps, active, totals = Counter(watched.steps), dict(watched.active), list(watched.totals)
    for key in keys:
        old, new = before.get(key), watched.operations[key]
        for sign, item in ((-1, old), (1, new)):
            if item is not None:
                steps[item.step] += sign
                totals = [known + sign * part for known, part in zip(totals, _parts(item), strict=True)]
        active.pop(key, None)
        if new.is_active:
            active[key] = None
    return replace(watched, steps=+steps, active=active, totals=Totals(*totals))


def _parts(item: OperationView) -> Totals:
    """Return what one operation counts for."""
    is_store, is_done = item.kind == "store", item.step is Step.DONE
    return Totals(
        files_done=is_done * item.files,
        bytes_done=is_done * item.size,
        stores=int(is_store),
        named=int(is_store and bool(item.name)),
        stored=int(is_store and is_done),
        size=is_store * item.size,
        bytes_stored=(is_store and is_done) * item.size,
        bytes_sent=(is_store and (is_done or item.step is Step.SENT)) * item.size,
    )


# ── what is new ───────────────────────────────────────────────────────────────────────────────────────────────────


def advance(watched: Watched, events: Sequence[Event], samples: Sequence[Sample], now_ms: int) -> Watched:
    """Take in what is new, in order: events above `watched.last`, and samples after `watched.sample`."""
    if events:
        watched = _with_events(watched, events)
    for sample in samples:
        watched = _with_sample(watched, sample)
    return _with_eta(watched, now_ms)


def _with_events(watched: Watched, events: Sequence[Event]) -> Watched:
    before, run = watched.run, watched.run.copy()
    for event in events:
        run.add(event)
    operations, changed_keys = dict(watched.operations), dict.fromkeys(_changed(before, run))
    for key in changed_keys:
        operations[key] = _operation(operations.get(key), key, run)
    broke = ""
    if run.is_paused and not before.is_paused:
        broke = "it was paused"
    elif run.owners > max(1, before.owners):
        broke = "it was interrupted"
    changed = replace(
        watched,
        operations=operations,
        run=run,
        broke=broke or watched.broke,
        eta=None if broke else watched.eta,
        moved_ms=max(watched.moved_ms, run.progressed_ms),
    )
    return _counted(changed, watched.operations, changed_keys)


def _changed(before: Run, now: Run) -> Iterator[str]:
    """Yield the operations of which something else is known than before."""
    for known, old in ((now.named, before.named), (now.signed, before.signed), (now.latest, before.latest)):
        yield from (key for key, one in known.items() if old.get(key) is not one)


def _operation(known: OperationView | None, key: str, run: Run) -> OperationView:
    """Return an operation as its latest try has it, or its name where it was not tried yet."""
    one = run.latest.get(key)
    if one is None:
        kind = "store" if key in run.named else "transaction"
        named = run.named.get(key)
        name, at_ms = (named.name, named.at_ms) if named is not None else run.signed[key]
        return replace(known or OperationView(key, kind), kind=kind, step=Step.NAMED, name=name, since_ms=at_ms)
    known = known or OperationView(key, one.kind)
    step, failure = _step(one), run.failed.get(key)
    return replace(
        known,
        kind=one.kind,
        step=step,
        name=one.name,
        sent=known.size if step is Step.SENT else 0,
        attempts=one.number or known.attempts,
        since_ms=one.ended_ms or one.released_ms or one.began_ms,
        code=failure.code if failure is not None else "",
        message=failure.message if failure is not None else "",
    )


def _step(one: Try) -> Step:
    if one.outcome == "cut_off":
        return Step.NAMED if one.released_ms is None else Step.UNKNOWN
    if one.ended_ms is None:
        return Step.BEGUN if one.released_ms is None else Step.SENT
    return Step(one.outcome)


def _with_sample(watched: Watched, sample: Sample) -> Watched:
    older = watched.sample
    if older is not None and sample.incarnation < older.incarnation:
        return watched  # of an owner that was fenced off
    moved = has_moved(older.progress if older is not None else None, sample.progress)
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
    phase, failures = progress.phase, watched.run.failures
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
        steps=dict(watched.steps),
        moved_ms=watched.moved_ms or summary.started_ms,
        sampled_ms=sample.wall_ms if sample is not None else None,
        rates=watched.meter.rates if live and phase is Phase.STORE else Rates(),
        eta=watched.eta if live and phase is not Phase.DONE and not watched.paused else None,
        retries=max(len(failures), progress.retries),
        waiting=_waiting(watched, summary, progress, phase, live=live),
        operations=watched.operations,
        resources=sample.resources if sample is not None else Resources(),
        planned_frost=int(watched.run.facts.get("cost_frost", 0)),
        cap_frost=watched.run.cap_frost,
        paid_frost=watched.run.paid("store"),
        paid_mist=watched.run.paid("transaction"),
        possibly_paid_in_vain=watched.run.in_vain,
        failures=len(failures),
        errors=tuple(ErrorRecord(one.code, one.message, one.ended_ms, one.operation) for one in failures[-_ERRORS:]),
        events=tuple(events),
        event_number=watched.last,
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
    before = watched.sample.progress.phase if watched.sample is not None else Phase.PLAN
    totals = watched.totals
    return Progress(
        phase=_PHASES.get(watched.status, before),
        files_found=watched.files,
        files_hashed=watched.files,
        bytes_hashed=watched.bytes_total,
        stores_total=totals.stores,
        stores_encoded=totals.named,
        stores_confirmed=totals.stored,
        bytes_total=totals.size,
        bytes_sent=totals.bytes_sent,
        bytes_confirmed=totals.bytes_stored,
        transactions_total=len(watched.operations) - totals.stores,
        transactions_confirmed=watched.steps.get(Step.DONE, 0) - totals.stored,
        retries=len(watched.run.failures),
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
    active = [watched.operations[key] for key in watched.active]
    asked = sorted((item for item in active if item.step is not Step.BEGUN), key=lambda item: (item.since_ms, item.key))
    for item in asked[:_SHOWN_WAITS]:
        whose = "the publisher's answer" if item.kind == "store" else "finality"
        on = whose if item.step is Step.SENT else "whether it happened: its answer was lost"
        found.append(Waiting(item.key, on, item.since_ms))
    if len(asked) > _SHOWN_WAITS:
        found.append(Waiting(f"{len(asked) - _SHOWN_WAITS} more", "their answers"))
    ready = watched.steps.get(Step.NAMED, 0)
    if phase is Phase.STORE and ready and active:
        found.append(Waiting(f"{ready} stores", f"their turn, behind {len(active)} under way"))
    return tuple(found)
