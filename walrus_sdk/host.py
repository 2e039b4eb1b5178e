"""One event-loop thread for the whole process, and handles to what runs on it: for notebooks and plain scripts.

A connection outlives the cell or the line that made it; its verbs return a handle at once. A handle can be waited
for with or without an event loop of one's own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, Unpack

import anyio
from anyio.from_thread import BlockingPortal

from walrus_sdk.errors import DeploymentStopped
from walrus_sdk.model.alerts import Alert, AlertOptions, Notice
from walrus_sdk.model.measures import Shot
from walrus_sdk.model.options import Asked, DeployOptions, DeployResult, Verify
from walrus_sdk.model.performance import FileCost, Performance
from walrus_sdk.model.plan import Packing, Plan
from walrus_sdk.model.progress import Progress
from walrus_sdk.model.reports import DeploymentReport, DeploymentSummary, Page, VerifyReport
from walrus_sdk.model.versions import CleanupReport, Download, Lock, Version, VersionDiff
from walrus_sdk.model.views import DeploymentView
from walrus_sdk.service.session import Listener, Session, check_headroom, open_session
from walrus_sdk.service.unwrap import one_error

__all__ = ["Connection", "Handle", "connect"]

T = TypeVar("T")

_BEAT_S = 0.03
"""Seconds between looks at whether what is awaited has ended."""
_ALIVE_S = 0.2
"""Seconds between looks at Ctrl-C while a script waits."""


class _Host:
    """The thread. It starts when first needed; a forked child starts its own (P8).

    When the main thread ends, what still runs is stopped, resumably, and the thread ends after the time of grace.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._portal: BlockingPortal | None = None
        self._ended = threading.Event()
        self._open: set[Connection] = set()
        self._running: list[tuple[Any, Handle[Any]]] = []

    def portal(self) -> BlockingPortal:
        """Return the way into the thread."""
        with self._lock:
            if self._portal is None or self._pid != os.getpid() or self._ended.is_set():
                self._open, self._running, self._ended = set(), [], threading.Event()
                self._portal, self._pid = _start(self._open, self._ended), os.getpid()
            return self._portal

    def opened(self, connection: Connection) -> None:
        """Remember a connection, to close it when the main thread ends."""
        self._open.add(connection)

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open.discard(connection)

    def once(self, what: Any, start: Callable[[list[Handle[Any]]], Handle[T]]) -> Handle[T]:
        """Return the handle of the same thing while it runs, else a new one: a cell may be run twice.

        `start` is given those that were cancelled and are in their time of grace: they own the deployment until then.
        """
        with self._lock:
            self._running = [(key, handle) for key, handle in self._running if not handle.is_over]
            same = [handle for key, handle in self._running if key == what]
            for handle in same:
                if not handle.done:
                    return handle
            self._running.append((what, start(same)))
            return self._running[-1][1]


def _start(opened: set[Connection], ended: threading.Event) -> BlockingPortal:
    started: Future[BlockingPortal] = Future()

    async def serve() -> None:
        async with BlockingPortal() as portal:
            # First: without it nobody would end this thread, for which the interpreter waits.
            threading.Thread(target=end_with_main, args=(portal,), name="walrus_sdk host's end", daemon=True).start()
            started.set_result(portal)
            await portal.sleep_until_stopped()

    def live() -> None:
        try:
            anyio.run(serve)
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)  # who asked for the thread is told, and does not wait for ever
        finally:
            ended.set()

    def end_with_main(portal: BlockingPortal) -> None:
        threading.main_thread().join()
        for connection in list(opened):
            connection.close()
        portal.call(portal.stop, True)

    # Not `start_blocking_portal`: its thread belongs to an executor, which the interpreter joins before anybody
    # could stop the loop.
    check_headroom()
    with one_error():
        threading.Thread(target=live, name="walrus_sdk host").start()
        return started.result()


async def _until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110  # set by another thread
        await anyio.sleep(_BEAT_S)


_HOST = _Host()


class Handle(Generic[T]):
    """Something that runs on the host thread: `await handle` in a coroutine, `handle.wait()` anywhere else."""

    def __init__(
        self, future: Future[T], hurry: Callable[[], object], seen: list[Progress], ended: threading.Event
    ) -> None:
        self._future = future
        self._hurry = hurry
        self._seen = seen
        self._ended = ended

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self._seen[-1]

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._future.done()

    def cancel(self) -> None:
        """Stop it: no new effect begins, paid ones finish for the grace, and the same call goes on later."""
        self._future.cancel()

    def wait(self, timeout: float | None = None) -> T:
        """Return the result, waiting at most `timeout` seconds (`TimeoutError`). Raises what the verb raised.

        Ctrl-C stops it as `cancel` does, waits for the paid effects that are under way, and raises
        `KeyboardInterrupt`; a second one does not wait.
        """
        try:
            return self._result(timeout)
        except KeyboardInterrupt:
            self.cancel()
            self._wait_for_grace()
            raise

    def _result(self, timeout: float | None) -> T:
        try:
            return self._future.result(timeout)
        except CancelledError:
            raise DeploymentStopped("interrupted", "it was stopped before its end") from None
        except FutureTimeout:
            if self._future.done():
                raise  # the verb's own
            raise TimeoutError(f"not done within {timeout} s") from None

    def _wait_for_grace(self) -> None:
        try:
            self.settle()
        except KeyboardInterrupt:
            self._hurry()

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs any more; `done` can be true before, when it was cancelled."""
        return self._ended.is_set()

    def settle(self) -> None:
        """Wait until nothing of it runs any more: what was paid when it was cancelled is recorded then."""
        while not self._ended.wait(_ALIVE_S):  # not for ever at once: Ctrl-C is to be seen
            pass

    def __await__(self) -> Generator[Any, None, T]:
        """Wait on any event loop. Cancelled (a notebook's Interrupt does that), it stops the verb as `wait` does."""
        return self._await().__await__()

    async def _await(self) -> T:
        # Looked at often instead of waited for: Interrupt does not wake a notebook's loop that has nothing to do.
        try:
            await _until(self._future.done)
        except BaseException:
            self.cancel()
            with anyio.CancelScope(shield=True):
                await _until(self._ended.is_set)
            raise
        return self._result(None)

    def __repr__(self) -> str:
        state = "done" if self.done else self.progress.phase.value
        return f"<Handle {state}>"


class Connection:
    """A session on the host thread. Verbs return a `Handle`; `close` (or the end of a `with` block) ends it."""

    def __init__(self, **options: Any) -> None:
        self._portal = _HOST.portal()
        self._options = options
        self._context = self._portal.wrap_async_context_manager(open_session(**options))
        with one_error():
            self._session = self._context.__enter__()
        self._closed = False
        self._handles: list[Handle[Any]] = []
        _HOST.opened(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def options(self) -> Mapping[str, Any]:
        """What it was opened with."""
        return self._options

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def close(self) -> None:
        """End the session. What still runs is stopped, resumably; what is paid for gets its time of grace.

        Ctrl-C meanwhile ends the grace.
        """
        if self._closed:
            return
        self._closed = True
        try:
            for handle in self._handles:
                handle.cancel()
            for handle in self._handles:
                handle.settle()
        except KeyboardInterrupt:
            self._hurry()
            raise
        finally:
            _HOST.closed(self)
            self._context.__exit__(None, None, None)

    def _hurry(self) -> None:
        self._portal.call(self._session.hurry)  # scopes belong to the thread of their loop

    def _start(self, verb: Callable[[Listener], Coroutine[Any, Any, T]], listener: Listener | None = None) -> Handle[T]:
        seen = [Progress()]

        def listen(progress: Progress) -> None:
            seen[0] = progress
            if listener is not None:
                listener(progress)

        ended = threading.Event()

        async def run() -> T:
            try:
                return await verb(listen)
            finally:
                ended.set()

        handle = Handle(self._portal.start_task_soon(run), self._hurry, seen, ended)
        self._handles = [*(other for other in self._handles if not other.is_over), handle]
        return handle

    def submit(self, work: Callable[[Session], Coroutine[Any, Any, T]]) -> Handle[T]:
        """Run a coroutine function of your own on the host thread; it is given the session."""
        return self._start(lambda _: work(self._session))

    def plan(
        self,
        folder: str | Path,
        options: DeployOptions | None = None,
        *,
        progress: Listener | None = None,
        **asked: Unpack[Asked],
    ) -> Handle[Plan]:
        """Plan a deployment; see `Session.plan`."""
        return self._start(lambda listen: self._session.plan(folder, options, progress=listen, **asked), progress)

    def packings(self, plan: Plan, **asked: Unpack[Asked]) -> Handle[Sequence[Packing]]:
        """Return other ways to pack a plan's files; see `Session.packings`."""
        return self._start(lambda _: self._session.packings(plan, **asked))

    def apply(
        self,
        plan: Plan,
        options: DeployOptions | None = None,
        *,
        progress: Listener | None = None,
        **asked: Unpack[Asked],
    ) -> Handle[DeployResult]:
        """Carry a plan out; see `Session.apply`."""
        return self._start(lambda listen: self._session.apply(plan, options, progress=listen, **asked), progress)

    def deploy(
        self,
        folder: str | Path,
        options: DeployOptions | None = None,
        *,
        progress: Listener | None = None,
        **asked: Unpack[Asked],
    ) -> Handle[DeployResult]:
        """Publish a folder; see `Session.deploy`. While it runs the same call returns the same handle."""
        what = (self._options, Path(folder).expanduser().absolute(), options, asked)

        def start(ending: list[Handle[Any]]) -> Handle[DeployResult]:
            async def run(listen: Listener) -> DeployResult:
                await _until(lambda: all(handle.is_over for handle in ending))
                return await self._session.deploy(folder, options, progress=listen, **asked)

            return self._start(run, progress)

        return _HOST.once(what, start)

    def resume(
        self,
        deployment: str | None = None,
        options: DeployOptions | None = None,
        *,
        folder: str | Path | None = None,
        checkpoint: str | Path | None = None,
        replan: bool = False,
        take_over: bool = False,
        progress: Listener | None = None,
        **asked: Unpack[Asked],
    ) -> Handle[DeployResult]:
        """Go on with a deployment; see `Session.resume`."""
        return self._start(
            lambda listen: self._session.resume(
                deployment,
                options,
                folder=folder,
                checkpoint=checkpoint,
                replan=replan,
                take_over=take_over,
                progress=listen,
                **asked,
            ),
            progress,
        )

    def cancel(self, deployment: str, *, reason: str = "") -> Handle[DeployResult | None]:
        """Cancel a deployment; see `Session.cancel`."""
        return self._start(lambda listen: self._session.cancel(deployment, reason=reason, progress=listen))

    def pause(self, deployment: str | None = None, *, reason: str = "") -> Handle[DeploymentSummary]:
        """Let a deployment begin nothing new; see `Session.pause`."""
        return self._start(lambda _: self._session.pause(deployment, reason=reason))

    def unpause(self, deployment: str | None = None) -> Handle[DeploymentSummary]:
        """Let a paused deployment go on; see `Session.unpause`."""
        return self._start(lambda _: self._session.unpause(deployment))

    def rollback(
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
    ) -> Handle[DeployResult]:
        """Bring an earlier version back; see `Session.rollback`."""
        return self._start(
            lambda listen: self._session.rollback(
                site, options, to=to, reason=reason, lock=lock, source=source, progress=listen, **asked
            ),
            progress,
        )

    def plan_rollback(
        self, site: str, *, to: int | None = None, lock: bool = True, **asked: Unpack[Asked]
    ) -> Handle[Plan]:
        """Return what a rollback would change; see `Session.plan_rollback`."""
        return self._start(lambda _: self._session.plan_rollback(site, to=to, lock=lock, **asked))

    def versions(self, site: str) -> Handle[Sequence[Version]]:
        """Return a site's versions; see `Session.versions`."""
        return self._start(lambda _: self._session.versions(site))

    def pin(self, version: str, *, pinned: bool = True) -> Handle[None]:
        """Keep a version whatever cleanup does; see `Session.pin`."""
        return self._start(lambda _: self._session.pin(version, pinned=pinned))

    def diff(self, old: str, new: str, **asked: Unpack[Asked]) -> Handle[VersionDiff]:
        """Return what differs between two states; see `Session.diff`."""
        return self._start(lambda _: self._session.diff(old, new, **asked))

    def download(self, version: str, folder: str | Path, **asked: Unpack[Asked]) -> Handle[Download]:
        """Write a version's files into a folder; see `Session.download`."""
        return self._start(lambda listen: self._session.download(version, folder, progress=listen, **asked))

    def lock(self, site: str, *, reason: str = "") -> Handle[Lock]:
        """Keep deploys away from a site; see `Session.lock`."""
        return self._start(lambda _: self._session.lock(site, reason=reason))

    def unlock(self, site: str) -> Handle[Lock | None]:
        """Let a site be deployed again; see `Session.unlock`."""
        return self._start(lambda _: self._session.unlock(site))

    def cleanup(
        self,
        *,
        older_than_days: float = 7.0,
        keep_last: int = 3,
        dry_run: bool = True,
        **asked: Unpack[Asked],
    ) -> Handle[CleanupReport]:
        """Clean up what nothing refers to; see `Session.cleanup`."""
        return self._start(
            lambda listen: self._session.cleanup(
                older_than_days=older_than_days, keep_last=keep_last, dry_run=dry_run, progress=listen, **asked
            )
        )

    def list(self) -> Handle[list[DeploymentSummary]]:
        """Return the deployments of this home; see `Session.list`."""
        return self._start(lambda _: self._session.list())

    def status(self, deployment: str) -> Handle[DeploymentReport]:
        """Return everything about a deployment; see `Session.status`."""
        return self._start(lambda _: self._session.status(deployment))

    def progress(self, deployment: str, *, files: int = 0) -> Handle[DeploymentView]:
        """Return how far a deployment is; see `Session.progress`."""
        return self._start(lambda _: self._session.progress(deployment, files=files))

    def verify(self, site: str, how: Verify = Verify.ALL, *, progress: Listener | None = None) -> Handle[VerifyReport]:
        """Read a site as visitors get it; see `Session.verify`."""
        return self._start(lambda listen: self._session.verify(site, how, progress=listen), progress)

    def measure(
        self, sizes: Sequence[int], at_once: Sequence[int], count: int, **asked: Unpack[Asked]
    ) -> Handle[tuple[Shot, ...]]:
        """Store fresh blobs and time them; see `Session.measure`."""
        return self._start(lambda _: self._session.measure(sizes, at_once, count, **asked))

    def page(self, site: str, path: str = "/") -> Handle[Page | None]:
        """Return a page of a site as visitors get it; see `Session.page`."""
        return self._start(lambda _: self._session.page(site, path))

    def monitor(
        self,
        options: AlertOptions | None = None,
        *,
        tell: Callable[[Notice], object] | None = None,
        until: str | None = None,
    ) -> Handle[None]:
        """Watch this home and tell of alerts until the handle is cancelled; see `Session.monitor`."""
        return self._start(lambda _: self._session.monitor(options, tell=tell, until=until))

    def alerts(self, deployment: str | None = None, *, all_of_them: bool = False) -> Handle[Sequence[Alert]]:
        """Return the alerts that fire now; see `Session.alerts`."""
        return self._start(lambda _: self._session.alerts(deployment, all_of_them=all_of_them))

    def performance(self, deployment: str) -> Handle[Performance]:
        """Return the figures of a deployment; see `Session.performance`."""
        return self._start(lambda _: self._session.performance(deployment))

    def costs(self, deployment: str) -> Handle[Sequence[FileCost]]:
        """Return what each file cost; see `Session.costs`."""
        return self._start(lambda _: self._session.costs(deployment))

    def url(self, site: str) -> Handle[str]:
        """Return a site's address; see `Session.url`."""
        return self._start(lambda _: self._session.url(site))


def connect(**options: Any) -> Connection:
    """Open a session on the host thread; `options` are those of `open` (network, home, addresses, signer)."""
    return Connection(**options)
