"""The verbs that only look, as one object: nothing here needs a network, and no deployment waits for who watches.

One exception: `monitor` asks a network what the wallet has, where that is wanted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

from walrus_sdk.model.deployment import Event
from walrus_sdk.model.reports import DeploymentReport, DeploymentSummary
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.model.views import DeploymentView
from walrus_sdk.ports import Journal
from walrus_sdk.service import reports, watching
from walrus_sdk.service.monitoring import Sight, Watches
from walrus_sdk.watch.tail import Tail

__all__ = ["Home", "Watching"]


class Home(Protocol):
    """A home as those see it who watch."""

    @property
    def journal(self) -> Journal:
        """The journal of the home."""
        ...

    @property
    def tail(self) -> Tail:
        """Its end, for watchers."""
        ...

    @property
    def sight(self) -> Sight:
        """What those need who watch the home."""
        ...

    def wall_ms(self) -> int:
        """Return milliseconds since 1970 UTC."""
        ...

    def is_live(self, deployment: DeploymentId) -> bool:
        """Return whether a process works on a deployment."""
        ...

    def open_log(self) -> Callable[[], Awaitable[Sequence[str]]]:
        """Return what reads the lines of the home's log that were added since it was called last."""
        ...

    def hidden(self, text: str) -> str:
        """Take secrets out of a text."""
        ...


class Watching(Watches):
    """What is seen of a home's deployments, whichever process works on them."""

    def __init__(self, home: Home) -> None:
        self._home = home

    @property
    def _sight(self) -> Sight:
        return self._home.sight

    async def list(self, *, counts: bool = True) -> list[DeploymentSummary]:
        """Return the deployments of this home, newest first. Needs no network.

        Without `counts` no file is read for it, and `progress` is 0 until a deployment is complete.
        """
        return await reports.summaries(self._home.journal, self._home.is_live, counts=counts)

    async def changed(self) -> int:
        """Return a number that differs when anybody has written into this home since; reads nothing."""
        return await self._home.tail.changed()

    async def status(self, deployment: str | DeploymentId) -> DeploymentReport:
        """Return everything about one deployment. Needs no network. Raises ``deployment_not_found``."""
        journal = self._home.journal
        return await reports.report(journal, reports.deployment_id(deployment), self._home.is_live)

    def watch(self, deployment: str | DeploymentId, *, after: int = 0) -> AsyncIterator[Event]:
        """Yield a deployment's events, past ones first, until nobody works on it any more. Needs no network."""
        home, which = self._home, reports.deployment_id(deployment)
        return watching.events(home.journal, home.tail, home.is_live, which, after)

    async def progress(self, deployment: str | DeploymentId, *, files: int = 0) -> DeploymentView:
        """Return how far a deployment is, whichever process works on it, with at most `files` of its files.

        Needs no network. Raises `ConfigurationError` ``deployment_not_found``.
        """
        return await self.watcher(deployment).look(files=files)

    def follow(self, deployment: str | DeploymentId, *, files: int = 0) -> AsyncIterator[DeploymentView]:
        """Yield views of a deployment until nobody works on it any more: at every change, else each second.

        Each has the events that are new since the one before. Needs no network, and the deployment never waits for it.
        """
        return watching.views(self.watcher(deployment), files=files)

    def log(
        self, deployment: str | DeploymentId | None = None, *, last: int | None = None, follow: bool = False
    ) -> AsyncIterator[str]:
        """Yield lines of the log, JSON objects without secrets: of a deployment by the journal, else of the log file.

        `last`: only so many of those that are there. `follow`: then those that come, of a deployment until nobody works
        on it any more, of the home for ever. Needs no network.
        """
        home = self._home
        if deployment is None:
            return watching.log(home.open_log(), last, follow=follow)
        which = reports.deployment_id(deployment)
        journal, tail, is_live = home.journal, home.tail, home.is_live
        return watching.event_log(journal, tail, is_live, home.hidden, which, last, follow=follow)

    async def newest(self) -> DeploymentId:
        """Return the newest deployment that a process works on. Raises ``deployment_not_found``."""
        return await watching.newest(self._home.journal, self._home.is_live)

    def watcher(self, deployment: str | DeploymentId) -> watching.Watcher:
        """Return what looks at a deployment at a pace of its own, several times a second if need be."""
        home, which = self._home, reports.deployment_id(deployment)
        return watching.Watcher(home.journal, home.tail, home.is_live, home.wall_ms, which)
