"""The three classes of the original design, over the verbs of `walrus_sdk.service.verbs.Session`.

They hold no state of their own: everything is in the journal, which is always on. Each call opens a session, because
a call names its network, and a deployment has its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio

from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import ConfigurationError, OwnershipError, WalrusError
from walrus_sdk.model.alerts import Alert, AlertOptions, Notice
from walrus_sdk.model.deployment import Event, Status
from walrus_sdk.model.network import Network
from walrus_sdk.model.options import DeployOptions, DeployResult, RecoveryOptions
from walrus_sdk.model.original import (
    ERROR_KIND,
    LABELS_KIND,
    DeploymentHealth,
    DeploymentOptions,
    DeploymentProgress,
    DeploymentResult,
    DeploymentState,
    ErrorRecord,
)
from walrus_sdk.model.performance import FileCost, Performance
from walrus_sdk.model.reports import DeploymentSummary
from walrus_sdk.model.versions import CleanupReport
from walrus_sdk.model.views import DeploymentView
from walrus_sdk.planning.state import LIVE
from walrus_sdk.ports import Change, Journal, Put
from walrus_sdk.service import locks
from walrus_sdk.service.lifecycle import begin
from walrus_sdk.service.session import Listener, Session, open_session
from walrus_sdk.service.survey import Request
from walrus_sdk.service.unfinished import take_up
from walrus_sdk.service.unwrap import one_error

__all__ = [
    "DeploymentMonitor",
    "DeploymentRecoveryManager",
    "WalrusSitesDeploymentService",
    "rollback_deployment",
]

Opener = Callable[..., AbstractAsyncContextManager[Session]]


class _Sessions:
    """What the three classes share: how failures are met, and how sessions are opened.

    `recovery` holds for every call. `where` are the options of `walrus_sdk.open` (home, addresses, signer, network);
    a call or a deployment that names a network goes there, and a `Network` given here stands for its name.
    """

    def __init__(self, recovery: RecoveryOptions | None = None, *, opener: Opener = open_session, **where: Any) -> None:
        self._recovery = recovery or RecoveryOptions()
        self._opener = opener
        self._where = where

    @property
    def _options(self) -> DeployOptions:
        return DeployOptions(recovery=self._recovery)

    def _removes(self, asked: bool | None) -> bool:
        return not self._recovery.preserve_partial_uploads if asked is None else asked

    def _open(self, named: str | None = None) -> AbstractAsyncContextManager[Session]:
        own = self._where.get("network")
        network = own if named is None or (isinstance(own, Network) and own.name == named) else named
        return self._opener(**{**self._where, "network": network})

    @contextlib.asynccontextmanager
    async def _open_for(self, deployment_id: str) -> AsyncIterator[Session]:
        """Open a session on a deployment's own network. Raises ``deployment_not_found``."""
        async with self._open() as session:
            network = (await session.status(deployment_id)).summary.network
        async with self._open(network) as session:
            yield session


class DeploymentRecoveryManager(_Sessions):
    """Begins deployments, tells of them, recovers, rolls back and cleans up."""

    async def initialize_deployment(self, site_name: str, network: str | None, build_directory: str | Path) -> str:
        """Plan a deployment, make the plan durable and return its id; `recover_deployment` carries it out.

        Nothing is spent. The unfinished deployment of the same request is returned when there is one; others of the
        site are settled and ended, as `Session.deploy` does it. Raises what planning raises.
        """
        async with self._open(network) as session:
            return await _initialize(session, build_directory, dataclasses.replace(self._options, site_name=site_name))

    async def get_deployment_state(self, deployment_id: str) -> DeploymentState:
        """Return everything about a deployment. Needs no network. Raises ``deployment_not_found``."""
        async with self._open() as session:
            return await _state(session, deployment_id)

    async def update_deployment_state(self, deployment_id: str, updates: Mapping[str, Any]) -> DeploymentState:
        """Move a deployment's status, or set labels, and return its state.

        `updates` may have ``status``, and ``labels``, a mapping of texts that is merged into those that are there
        (`None` removes one). A status follows from work that was done, so the only move to be asked for is to
        ``cancelled``; the status that it has is none. Raises `OwnershipError` ``illegal_move``, `ConfigurationError`
        ``option_invalid``; then nothing was changed.
        """
        status, labels = _read(updates)
        async with self._open_for(deployment_id) as session:
            if status is not None:
                await _move(session, deployment_id, status)
            if labels:
                await _label(_journal(session), await _known(session, deployment_id), labels)
            return await _state(session, deployment_id)

    async def record_error(self, deployment_id: str, error: ErrorRecord) -> None:
        """Add an error to those of a deployment; recording the same one again changes nothing."""
        async with self._open() as session:
            await _record(_journal(session), await _known(session, deployment_id), error)

    async def recover_deployment(self, deployment_id: str) -> bool:
        """Go on with a deployment to its end; `False` when it has ended and cannot go on.

        Raises what stopped it again: `Session.resume`.
        """
        async with self._open_for(deployment_id) as session:
            return await _unless("illegal_move", session.resume(deployment_id, self._options))

    async def rollback_deployment(self, deployment_id: str) -> bool:
        """Roll the site back to the version before this deployment; `False` when there is none.

        The site is locked against deploys then, until `Session.unlock`.
        """
        async with self._open_for(deployment_id) as session:
            return await _rolled_back(session, deployment_id, self._options)

    async def cleanup_deployment(self, deployment_id: str, remove_partial_uploads: bool | None = None) -> CleanupReport:
        """Clean up after a deployment, and return what was cleaned up.

        `remove_partial_uploads` (default: unless `RecoveryOptions.preserve_partial_uploads`): it is cancelled when it
        could still go on, and deletable blobs that it stored and nothing refers to any more are deleted; permanent ones
        end by themselves. Else what it stored is spared while it can be resumed, and the report tells what would go.
        What a version or another deployment refers to, and all histories, stay in any case.
        """
        async with self._open_for(deployment_id) as session:
            return await _clean(session, deployment_id, self._options, self._removes(remove_partial_uploads))


class WalrusSitesDeploymentService(_Sessions):
    """Deploys, resumes, rolls back and cancels. Failures are raised as errors of `walrus_sdk.errors`."""

    async def deploy(self, options: DeploymentOptions, *, progress: Listener | None = None) -> DeploymentResult:
        """Publish a folder, or go on with an unfinished deployment of the same request: `Session.deploy`."""
        asked = dataclasses.replace(
            self._options, site_name=options.site_name, epochs=options.epochs, gas_budget=options.gas_budget
        )
        async with self._open(options.network) as session:
            result = await session.deploy(options.build_directory, asked, progress=progress)
            return DeploymentResult.of(await session.status(result.deployment_id))

    async def resume_deployment(self, deployment_id: str, *, progress: Listener | None = None) -> DeploymentResult:
        """Go on with a deployment where it stopped; one that is complete returns its result: `Session.resume`."""
        async with self._open_for(deployment_id) as session:
            await session.resume(deployment_id, self._options, progress=progress)
            return DeploymentResult.of(await session.status(deployment_id))

    async def rollback_deployment(self, deployment_id: str) -> bool:
        """Roll the site back to the version before this deployment; `False` when there is none."""
        async with self._open_for(deployment_id) as session:
            return await _rolled_back(session, deployment_id, self._options)

    async def cancel_deployment(self, deployment_id: str, cleanup: bool | None = None) -> bool:
        """Cancel a deployment, whoever works on it; `False` when it was complete before it could be heard.

        `cleanup` (default: unless `RecoveryOptions.preserve_partial_uploads`) removes what it stored and nothing
        refers to, where it can be deleted.
        """
        async with self._open_for(deployment_id) as session:
            if await session.cancel(deployment_id) is not None:
                return False
            if self._removes(cleanup):
                await _clean(session, deployment_id, self._options, True)
            return True

    def get_deployment_progress(self, deployment_id: str) -> DeploymentProgress | None:
        """Return how far a deployment is, as the journal has it now; `None` when this home does not know it.

        It blocks for about 50 ms, and works inside and outside of an event loop. For a display that is redrawn often,
        `progress` of `deploy` and `resume_deployment` is the better source.
        """

        async def read() -> DeploymentProgress | None:
            async with self._open() as session:
                try:
                    return await _progress(session, deployment_id)
                except ConfigurationError as error:
                    if error.code != "deployment_not_found":
                        raise
                    return None

        # A thread with an event loop of its own: the caller's may be running, and cannot be waited for here.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(anyio.run, read).result()


class DeploymentMonitor(_Sessions):
    """Looks at deployments, whichever process works on them: progress, errors, health, performance, alerts.

    All of it is read from the journal, during a deployment, after it, from another process, after a crash. Needs no
    network (but for alerts about the wallet).
    """

    async def progress(self, deployment_id: str) -> DeploymentProgress:
        """Return how far a deployment is. Raises ``deployment_not_found``."""
        async with self._open() as session:
            return await _progress(session, deployment_id)

    async def watch(
        self,
        deployment_id: str,
        listener: Callable[[DeploymentProgress], object],
        *,
        on_event: Callable[[Event], object] | None = None,
    ) -> DeploymentState:
        """Call `listener` with the progress at once and at every change, until nobody works on it any more.

        `on_event` is called with each event from now on. Returns the state at the end.
        """
        async with self._open() as session:
            told: DeploymentProgress | None = None
            async for view in session.follow(deployment_id):
                if on_event is not None and told is not None:
                    for event in view.events:
                        on_event(event)
                now = _seen(view, await _recorded(session, deployment_id))
                if now != told:
                    told = now
                    listener(told)
            return await _state(session, deployment_id)

    async def errors(self, deployment_id: str) -> tuple[ErrorRecord, ...]:
        """Return what went wrong with a deployment: what its effects met, then what was recorded by the user."""
        async with self._open() as session:
            return (await _state(session, deployment_id)).errors

    async def health(self, deployment_id: str) -> DeploymentHealth:
        """Return whether somebody should look at a deployment, and why."""
        async with self._open() as session:
            return DeploymentHealth.of(await session.status(deployment_id))

    async def performance(self, deployment_id: str) -> Performance:
        """Return how fast and how well a deployment went, and what it took."""
        async with self._open() as session:
            return await session.performance(deployment_id)

    async def costs(self, deployment_id: str) -> Sequence[FileCost]:
        """Return what each file of a deployment was to cost, has cost and saved."""
        async with self._open() as session:
            return await session.costs(deployment_id)

    async def alerts(self, deployment_id: str | None = None, *, all_of_them: bool = False) -> Sequence[Alert]:
        """Return the alerts that fire now, or all there have been; of one deployment, where it is named."""
        async with self._open() as session:
            return await session.alerts(deployment_id, all_of_them=all_of_them)

    async def monitor(
        self,
        options: AlertOptions | None = None,
        *,
        tell: Callable[[Notice], object] | None = None,
        until: str | None = None,
    ) -> None:
        """Hold alert rules against the home until it is cancelled, or nobody works on the deployment `until` any more.

        `tell` is called with each alert that fires or clears: `Session.monitor`.
        """
        async with self._open() as session:
            await session.monitor(options, tell=tell, until=until)


# ── also for the command ──────────────────────────────────────────────────────────────────────────────────────────


async def rollback_deployment(
    session: Session, deployment_id: str, options: DeployOptions | None = None, *, progress: Listener | None = None
) -> DeployResult:
    """Roll the site of a deployment back to the version before the one that the deployment made.

    Of a deployment that did not come to its end: to the last version before it began. Raises `ConfigurationError`
    ``version_not_found``, and what `Session.rollback` raises.
    """
    item = (await session.status(deployment_id)).summary
    number = await _before(_journal(session), item)
    if number is None:
        text = f"this home knows no version of {item.site_name!r} from before {deployment_id}"
        raise ConfigurationError("version_not_found", text, deployment_id=deployment_id)
    reason = f"rollback of {deployment_id}"
    return await session.rollback(str(item.site_id), options, to=number, reason=reason, progress=progress)


# ── how it is done ────────────────────────────────────────────────────────────────────────────────────────────────


def _journal(session: Session) -> Journal:
    return session._wiring.journal  # of the same room: what a user marks is no verb


async def _known(session: Session, deployment_id: str) -> str:
    """Return the id of a deployment that is there. Raises ``deployment_not_found``."""
    return str((await session.status(deployment_id)).summary.deployment_id)


async def _progress(session: Session, deployment_id: str) -> DeploymentProgress:
    """Return how far a deployment is, with what is seen of it while it runs."""
    found = DeploymentProgress.of(await session.status(deployment_id))
    return dataclasses.replace(found, **_pace(await session.progress(deployment_id)))


def _seen(view: DeploymentView, recorded: int) -> DeploymentProgress:
    """Return what a view tells of the progress; `recorded` errors are the user's own."""
    return DeploymentProgress(
        deployment_id=view.summary.deployment_id,
        status=view.summary.status,
        share=view.share,
        total_files=view.files_total,
        stored_files=view.files_done,
        total_bytes=view.bytes_total,
        stored_bytes=view.bytes_done,
        final_transactions=view.progress.transactions_confirmed,
        errors=view.failures + recorded,
        **_pace(view),
    )


def _pace(view: DeploymentView) -> dict[str, Any]:
    return {
        "phase": view.phase.value,
        "bytes_per_s": view.rates.smooth,
        "eta_s": view.eta.seconds if view.eta is not None else None,
        "waiting": tuple(f"{one.what} waits: {one.on}" for one in view.waiting),
    }


async def _recorded(session: Session, deployment_id: str) -> int:
    """Return how many errors the user has recorded."""
    rows = await _journal(session).rows("requests", {"deployment": deployment_id}, columns=("kind",))
    return sum(str(row["kind"]).startswith(ERROR_KIND) for row in rows)


async def _state(session: Session, deployment_id: str) -> DeploymentState:
    report = await session.status(deployment_id)
    earlier = await _before(_journal(session), report.summary)
    return DeploymentState.of(report, rollback_available=earlier is not None)


async def _before(journal: Journal, item: DeploymentSummary) -> int | None:
    """Return the number of the last version of a deployment's site from before it; `None` when there is none."""
    if item.site_id is None:
        return None
    rows = await journal.rows("versions", {"site_id": str(item.site_id)})
    made = [row["n"] for row in rows if row["deployment"] == str(item.deployment_id)]
    if made:
        found = [row["n"] for row in rows if row["n"] < made[0]]
    elif item.status == Status.COMPLETED.value:
        return None  # it changed nothing, so there is nothing to take back
    else:
        found = [row["n"] for row in rows if row["created_ms"] <= item.started_ms]
    return max(found, default=None)


async def _initialize(session: Session, place: str | Path, options: DeployOptions) -> str:
    plan = await session.plan(place, options)
    with one_error():
        connection = await session._wiring.connection()
        await locks.check(connection, plan.chain_id, plan.target.site_id)
        async with connection.folder(Path(plan.root)) as folder:
            unfinished = await take_up(connection, Request.of_plan(plan), folder, options, Feed())
        owner = unfinished.owner if unfinished else await begin(connection, plan)
        await connection.journal.release(owner)
    return str(owner.deployment)


async def _unless(code: str, work: Awaitable[object]) -> bool:
    """Return whether `work` came to its end, or was refused with `code`."""
    try:
        await work
    except WalrusError as error:
        if error.code != code:
            raise
        return False
    return True


async def _rolled_back(session: Session, deployment_id: str, options: DeployOptions) -> bool:
    return await _unless("version_not_found", rollback_deployment(session, deployment_id, options))


async def _clean(session: Session, deployment_id: str, options: DeployOptions, remove: bool) -> CleanupReport:
    item = (await session.status(deployment_id)).summary
    if remove and (item.resumable or item.status in {status.value for status in LIVE}):
        await session.cancel(deployment_id, reason="cleaned up")
    return await session.cleanup(options, only=deployment_id, dry_run=not remove)


# ── what a user marks ─────────────────────────────────────────────────────────────────────────────────────────────


def _read(updates: Mapping[str, Any]) -> tuple[Status | None, Mapping[str, str | None]]:
    unknown = sorted(set(updates) - {"status", "labels"})
    if unknown:
        raise ConfigurationError("option_invalid", f"only status and labels can be updated, not {', '.join(unknown)}")
    labels = updates.get("labels") or {}
    if not isinstance(labels, Mapping) or not all(
        isinstance(name, str) and (value is None or isinstance(value, str)) for name, value in labels.items()
    ):
        raise ConfigurationError("option_invalid", f"labels: expected texts by name, found {labels!r:.200}")
    status = updates.get("status")
    try:
        return (None if status is None else Status(getattr(status, "value", status))), labels
    except ValueError as error:
        raise ConfigurationError("option_invalid", f"no status {status!r:.80}") from error


async def _move(session: Session, deployment_id: str, status: Status) -> None:
    now = (await session.status(deployment_id)).summary.status
    if now == status.value:
        return
    if status is not Status.CANCELLED or await session.cancel(deployment_id) is not None:
        text = f"{deployment_id} is {now}; it becomes {status.value} by its work only, never by a word"
        raise OwnershipError("illegal_move", text, deployment_id=deployment_id)


async def _label(journal: Journal, deployment: str, labels: Mapping[str, str | None]) -> None:
    """Merge labels into those of a deployment. Raises ``row_changed`` when somebody else did so just now."""
    key = {"deployment": deployment, "kind": LABELS_KIND}
    rows = await journal.rows("requests", key)
    there = json.loads(rows[0]["data"])["labels"] if rows else {}
    merged = {name: value for name, value in {**there, **labels}.items() if value is not None}
    values = {"created_ms": _now_ms(), "data": json.dumps({"labels": merged})}
    put = Put("requests", key, values, {"data": rows[0]["data"]} if rows else {})
    await journal.append(None, [Change(LABELS_KIND, {}, (put,))])


async def _record(journal: Journal, deployment: str, error: ErrorRecord) -> None:
    """Write an error under a name that follows from what it says."""
    facts = error.to_json()
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    now = _now_ms()
    data = json.dumps({**facts, "time_ms": now if error.time_ms is None else error.time_ms})
    put = Put("requests", {"deployment": deployment, "kind": ERROR_KIND + name}, {"created_ms": now, "data": data})
    await journal.append(None, [Change("error", {}, (put,))])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
