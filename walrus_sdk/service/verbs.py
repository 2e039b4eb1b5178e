"""The verbs as one object. Each is a line or two: options are read, a connection is taken, a module does the work."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, Unpack

from walrus_sdk.engine.feed import Feed
from walrus_sdk.engine.patience import Patience
from walrus_sdk.errors import ConfigurationError, WalrusError
from walrus_sdk.model.health import Examination, Finding
from walrus_sdk.model.measures import Shot
from walrus_sdk.model.network import Network
from walrus_sdk.model.options import Asked, DeployOptions, DeployResult, Verify
from walrus_sdk.model.plan import Packing, Plan
from walrus_sdk.model.progress import Progress
from walrus_sdk.model.reports import DeploymentSummary, Page, VerifyReport
from walrus_sdk.model.units import DeploymentId, ObjectId
from walrus_sdk.model.versions import CleanupReport, Download, Lock, Version, VersionDiff
from walrus_sdk.service import (
    cancel,
    cleanup,
    deploy,
    doctor,
    imported,
    locks,
    measure,
    pause,
    pricing,
    reports,
    resume,
    rollback,
    sites,
    versions,
)
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.spectator import Home, Watching
from walrus_sdk.service.unwrap import one_error
from walrus_sdk.sites.ws_resources import FILE_NAME

__all__ = ["Listener", "Session", "Wiring"]

Listener = Callable[[Progress], object]


class Wiring(Home, Protocol):
    """What a session stands on: a home at once, a connection when one is needed."""

    async def connection(self) -> Connection:
        """Connect, once."""
        ...

    async def read_checkpoint(self, path: Path) -> Mapping[str, Any]:
        """Read a checkpoint file. Raises `StateError` ``checkpoint_invalid``."""
        ...

    async def write_site_id(self, path: Path, site_id: ObjectId, name: str) -> None:
        """Write a site's id into its rules."""
        ...

    async def home_findings(self, *, repair: bool) -> Sequence[Finding]:
        """Examine the home on disk, and what is set around the process."""
        ...

    async def backup(self, target: Path) -> Path:
        """Copy the state of the home."""
        ...


class Session(Watching):
    """The verbs. Amounts are base units, times seconds, lifetimes Walrus epochs.

    `progress` is called with a `Progress` at every change; it must be quick, and may fail. Verbs may run side by
    side, each in its own task; cancelling one stops new effects, lets paid ones finish, and leaves the deployment so
    that the same call goes on.
    """

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        self._wiring = wiring
        self._working: list[Patience] = []

    @asynccontextmanager
    async def _work(self, options: DeployOptions, feed: Feed) -> AsyncIterator[tuple[Connection, Feed]]:
        """Connect for a verb that changes a site; each has its own patience."""
        patience = Patience()
        self._working.append(patience)
        try:
            with one_error():
                connection = dataclasses.replace(await self._wiring.connection(), patience=patience)
                try:
                    yield connection, feed
                except WalrusError as error:
                    await rollback.after_bad_verify(connection, error, options, feed)
                    raise
        finally:
            self._working.remove(patience)

    async def plan(
        self,
        folder: str | Path,
        options: DeployOptions | None = None,
        *,
        progress: Listener | None = None,
        **asked: Unpack[Asked],
    ) -> Plan:
        """Return what deploying `folder` would store, change and cost; nothing is spent.

        `asked` are fields of `DeployOptions`. Raises `ValidationError`, `ConfigurationError`, `LimitError`, and
        errors of the chain.
        """
        connection = await self._wiring.connection()
        return await deploy.plan(connection, _place(folder), _options(options, asked), Feed(progress))

    async def packings(self, plan: Plan, options: DeployOptions | None = None, **asked: Unpack[Asked]) -> list[Packing]:
        """Return what a plan's stores come to beside other ways to pack the same files, at today's prices."""
        chosen = _options(options, asked)
        with one_error():
            return await pricing.packings(await self._wiring.connection(), plan, chosen)

    async def apply(
        self,
        plan: Plan,
        options: DeployOptions | None = None,
        *,
        progress: Listener | None = None,
        **asked: Unpack[Asked],
    ) -> DeployResult:
        """Carry a plan out. Raises `ValidationError` ``file_changed`` when its files are not as they were."""
        chosen = _options(options, asked)
        async with self._work(chosen, Feed(progress)) as (connection, feed):
            result = await deploy.apply(connection, plan, chosen, feed)
        return await self._finish(Path(plan.root), chosen, result)

    async def deploy(
        self,
        folder: str | Path,
        options: DeployOptions | None = None,
        *,
        progress: Listener | None = None,
        **asked: Unpack[Asked],
    ) -> DeployResult:
        """Publish `folder`: plan and apply, or go on with an unfinished deployment of the same request.

        Raises `WalrusError`; what was recorded as done is never paid again by the same call.
        """
        chosen, place = _options(options, asked), _place(folder)
        async with self._work(chosen, Feed(progress)) as (connection, feed):
            result = await deploy.deploy(connection, place, chosen, feed)
        return await self._finish(place, chosen, result)

    async def _finish(self, place: Path, options: DeployOptions, result: DeployResult) -> DeployResult:
        if options.write_object_id:
            path = place / (options.ws_resources or FILE_NAME)
            await self._wiring.write_site_id(path, result.site_id, result.site_name)
        return result

    async def resume(
        self,
        deployment: str | DeploymentId | None = None,
        options: DeployOptions | None = None,
        *,
        folder: str | Path | None = None,
        checkpoint: str | Path | None = None,
        replan: bool = False,
        take_over: bool = False,
        progress: Listener | None = None,
        **asked: Unpack[Asked],
    ) -> DeployResult:
        """Go on with a deployment, by id (default: the newest that can); one that is complete returns its result.

        `checkpoint` is a file to go on from when this home does not know the deployment. `folder`, `replan` and
        `take_over`: see `walrus_sdk.service.resume`. Raises `WalrusError`.
        """
        chosen = _options(options, asked)
        async with self._work(chosen, Feed(progress)) as (connection, feed):
            if checkpoint is not None:
                data = await self._wiring.read_checkpoint(_place(checkpoint))
                which = await imported.take_in(connection, data)
            elif deployment is None:
                which = await resume.newest_unfinished(connection)
            else:
                which = reports.deployment_id(deployment)
            place = _place(folder) if folder is not None else None
            return await resume.resume(
                connection, which, chosen, feed, folder=place, replan=replan, take_over=take_over
            )

    async def cancel(
        self, deployment: str | DeploymentId, *, reason: str = "", progress: Listener | None = None
    ) -> DeployResult | None:
        """Cancel a deployment, whoever works on it; returns its result when it was complete before that."""
        options = DeployOptions()
        async with self._work(options, Feed(progress)) as (connection, feed):
            return await cancel.cancel(connection, reports.deployment_id(deployment), reason, options, feed)

    async def pause(self, deployment: str | DeploymentId | None = None, *, reason: str = "") -> DeploymentSummary:
        """Let a deployment that is under way begin nothing new until `unpause`, whoever works on it."""
        with one_error():
            return await pause.pause(await self._wiring.connection(), _id(deployment), reason)

    async def unpause(self, deployment: str | DeploymentId | None = None) -> DeploymentSummary:
        """Let a paused deployment go on (the command is ``continue``)."""
        with one_error():
            return await pause.unpause(await self._wiring.connection(), _id(deployment))

    async def versions(self, site: str) -> Sequence[Version]:
        """Return the versions of a site that this home knows, newest first."""
        with one_error():
            return await versions.versions(await self._wiring.connection(), site)

    async def pin(self, version: str, *, pinned: bool = True) -> None:
        """Keep a version (``SITE@NUMBER``) whatever cleanup does, or no longer."""
        with one_error():
            await versions.pin(await self._wiring.connection(), version, pinned)

    async def diff(self, old: str, new: str, **asked: Unpack[Asked]) -> VersionDiff:
        """Return what differs between two states: ``SITE@NUMBER``, a site as it is now, or a folder (``./out``)."""
        with one_error():
            connection = await self._wiring.connection()
            return await versions.diff(connection, old, new, _options(None, asked), Feed())

    async def download(
        self, version: str, folder: str | Path, *, progress: Listener | None = None, **asked: Unpack[Asked]
    ) -> Download:
        """Write the files of a version into a folder, each verified; the same call goes on after a stop."""
        with one_error():
            connection = await self._wiring.connection()
            return await versions.download(connection, version, _place(folder), _options(None, asked), Feed(progress))

    async def rollback(
        self,
        site: str,
        options: DeployOptions | None = None,
        *,
        to: int | None = None,
        reason: str = "",
        lock: bool = True,
        source: str | Path | None = None,
        progress: Listener | None = None,
        **asked: Unpack[Asked],
    ) -> DeployResult:
        """Bring an earlier version of a site back (default: the one before); see `walrus_sdk.service.rollback`."""
        chosen = _options(options, asked)
        async with self._work(chosen, Feed(progress)) as (connection, feed):
            place = _place(source) if source is not None else None
            return await rollback.rollback(
                connection, site, chosen, feed, to=to, reason=reason, lock=lock, source=place
            )

    async def plan_rollback(
        self,
        site: str,
        options: DeployOptions | None = None,
        *,
        to: int | None = None,
        lock: bool = True,
        source: str | Path | None = None,
        **asked: Unpack[Asked],
    ) -> Plan:
        """Return what `rollback` would change; nothing is spent."""
        with one_error():
            connection, place = await self._wiring.connection(), _place(source) if source is not None else None
            return await rollback.plan(connection, site, _options(options, asked), to=to, lock=lock, source=place)

    async def lock(self, site: str, *, reason: str = "") -> Lock:
        """Let later deploys of a site stop with `reason`, until `unlock`."""
        with one_error():
            return await locks.lock(await self._wiring.connection(), site, reason)

    async def unlock(self, site: str) -> Lock | None:
        """Let a site be deployed again; returns the lock that it had."""
        with one_error():
            return await locks.unlock(await self._wiring.connection(), site)

    async def cleanup(
        self,
        options: DeployOptions | None = None,
        *,
        older_than_days: float = 7.0,
        keep_last: int = 3,
        only: str | DeploymentId | None = None,
        dry_run: bool = True,
        progress: Listener | None = None,
        **asked: Unpack[Asked],
    ) -> CleanupReport:
        """Return what nothing refers to any more, cleaned up unless `dry_run`; see `walrus_sdk.service.cleanup`.

        `only` is a deployment: nothing but what it stored goes.
        """
        chosen, extent = _options(options, asked), reports.deployment_id(only) if only is not None else None
        async with self._work(chosen, Feed(progress)) as (connection, feed):
            return await cleanup.cleanup(
                connection,
                chosen,
                feed,
                older_than_days=older_than_days,
                keep_last=keep_last,
                only=extent,
                dry_run=dry_run,
            )

    async def doctor(self, *, repair: bool = False) -> Examination:
        """Examine the home, the environment, the network, the key, the sites and what did not end.

        `repair` mends what is provable: modes of files, and effects whose outcome can be looked up.
        """
        with one_error():
            found = await self._wiring.home_findings(repair=repair)
            try:
                connection = await self._wiring.connection()
            except WalrusError as error:
                beyond = [Finding("network", "bad", f"{error.message} [{error.code}]", error.next_step)]
            else:
                beyond = await doctor.examine(connection, Feed(), repair=repair)
            return Examination((*found, *beyond))

    async def adopt(self, site: str, *, message: str = "") -> int:
        """Record what a site is on chain as a version of this home; returns its number."""
        with one_error():
            return await doctor.adopt(await self._wiring.connection(), site, message)

    async def export(self) -> Mapping[str, Any]:
        """Return the whole journal as plain JSON, without signed bytes. Needs no network."""
        return await doctor.export(self._wiring.journal.rows)

    async def backup(self, target: str | Path) -> Path:
        """Copy journal and checkpoints into a new folder, whole, whoever works meanwhile. Needs no network."""
        with one_error():
            return await self._wiring.backup(_place(target))

    async def measure(
        self, sizes: Sequence[int], at_once: Sequence[int], count: int, **asked: Unpack[Asked]
    ) -> tuple[Shot, ...]:
        """Store `count` fresh blobs for each size (bytes) and each number of stores `at_once`, and time them; it costs.

        See `walrus_sdk.bench`. Raises `LimitError` ``cost_limit`` before anything is stored.
        """
        with one_error():
            connection = await self._wiring.connection()
            return await measure.measure(connection, _options(None, asked), sizes, at_once, count)

    async def verify(self, site: str, how: Verify = Verify.ALL, *, progress: Listener | None = None) -> VerifyReport:
        """Read a site as visitors get it; `site` is an object id, a base36 address or a name.

        Raises `StorageError` ``verification_failed`` with the paths that are wrong, ``site_not_found``.
        """
        with one_error():
            return await sites.verify(await self._wiring.connection(), site, how, Feed(progress))

    async def page(self, site: str, path: str = "/", *, max_size: int = 8 * 1024 * 1024) -> Page | None:
        """Return a page of a site as visitors get it, of at most `max_size` bytes; `None` where there is none."""
        with one_error():
            return await sites.page(await self._wiring.connection(), site, path, max_size)

    async def network(self) -> Network:
        """Return the network that verbs work on; finds or starts the local one, where that is meant."""
        with one_error():
            return (await self._wiring.connection()).network

    async def url(self, site: str) -> str:
        """Return the portal's address of a site."""
        connection = await self._wiring.connection()
        return sites.url_of(connection, await sites.find_site(connection, site))

    def hurry(self) -> None:
        """Stop waiting for paid effects that run on through a cancellation; they are looked up next time.

        Verbs that were not cancelled keep their time of grace.
        """
        for patience in self._working:
            if patience.is_tried:
                patience.end()


def _place(folder: str | Path) -> Path:
    return Path(folder).expanduser().absolute()


def _id(deployment: str | DeploymentId | None) -> DeploymentId | None:
    return None if deployment is None else reports.deployment_id(deployment)


def _options(options: DeployOptions | None, asked: Asked) -> DeployOptions:
    try:
        return dataclasses.replace(options or DeployOptions(), **asked)
    except TypeError as error:
        known = ", ".join(field.name for field in dataclasses.fields(DeployOptions))
        raise ConfigurationError("option_invalid", f"{error}; known are {known}") from error
