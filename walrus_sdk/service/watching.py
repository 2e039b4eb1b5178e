"""Watching a deployment from the journal: in any process, during it, after it, after a crash. Needs no network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.model.alerts import firing
from walrus_sdk.model.deployment import PUBLISHING, Event, Status
from walrus_sdk.model.reports import DeploymentSummary
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.model.views import DeploymentView
from walrus_sdk.ports import Journal
from walrus_sdk.service import reports
from walrus_sdk.watch import logs, rates, snapshot
from walrus_sdk.watch.tail import Tail

__all__ = ["POLL_S", "Watcher", "event_log", "events", "log", "newest", "views"]

POLL_S = 0.25
"""Seconds between looks at whether the journal has changed."""
_BEAT_S = 1.0
"""Seconds after which a view is told although nothing is new: an end comes nearer, and somebody waits."""
_EARLIER = 20
"""Earlier deployments from which it is learnt how long one takes: the last ones that were completed."""

IsLive = Callable[[DeploymentId], bool]


class Watcher:
    """Looks at one deployment; each look reads what is new since the last one.

    `entries` are the rows of its files (path, size, sha256, operation), known after the first look.
    """

    def __init__(
        self, journal: Journal, tail: Tail, is_live: IsLive, wall_ms: Callable[[], int], deployment: DeploymentId
    ) -> None:
        self._journal = journal
        self._tail = tail
        self._is_live = is_live
        self._wall_ms = wall_ms
        self.deployment = deployment
        self.entries: Sequence[Mapping[str, Any]] = ()
        self._watched: snapshot.Watched | None = None
        self._summary: tuple[str, bool, bool, DeploymentSummary] | None = None
        self._version: int | None = None
        self._told_ms = 0

    async def look(self, *, files: int = 0) -> DeploymentView:
        """Return the deployment as it stands, with at most `files` of its files, failed and active ones first.

        Raises `ConfigurationError` ``deployment_not_found``.
        """
        live = self._is_live(self.deployment)  # before the reading: its owner's last words are then among what is read
        watched = self._watched or await self._begin()
        after = watched.sample.number if watched.sample is not None else 0
        fresh = await self._journal.events(self.deployment, after=watched.last)
        samples = await self._tail.samples(self.deployment, after=after)
        self._told_ms = now_ms = self._wall_ms()
        watched = self._watched = snapshot.advance(watched, fresh, samples, now_ms)
        summary = await self._summarise(watched.status, live=live, paused=live and watched.paused)
        found = snapshot.view(watched, summary, now_ms, live=live, events=fresh, files=files)
        alerts = await self._journal.rows("alerts", {"deployment": str(self.deployment)})
        return replace(found, alerts=firing(alerts)) if alerts else found

    async def has_news(self) -> bool:
        """Return whether another look may show something new, or the last one is a second old."""
        version = await self._tail.changed()
        if version == self._version and self._wall_ms() - self._told_ms < _BEAT_S * 1000:
            return False
        self._version = version
        return True

    async def _begin(self) -> snapshot.Watched:
        mine = {"deployment": str(self.deployment)}
        self.entries = await self._journal.rows("entries", mine, columns=("path", "size", "sha256", "operation"))
        return snapshot.begin(self.entries, await self._past())

    async def _past(self) -> Sequence[rates.Run]:
        """Learn from deployments of the same network that were completed before."""
        done = {"network": (await self._row())["network"], "status": Status.COMPLETED.value}
        earlier = await self._journal.rows("deployments", done, columns=("id", "verb"))
        ids = [item["id"] for item in earlier if item["verb"] in PUBLISHING and item["id"] != str(self.deployment)]
        return rates.learn([await self._tail.latest(DeploymentId(one)) for one in ids[-_EARLIER:]])

    async def _summarise(self, status: str, *, live: bool, paused: bool) -> DeploymentSummary:
        """Return the summary, read anew when the status or the owner changed: nothing else of it does."""
        if self._summary is None or self._summary[:3] != (status, live, paused):
            summary = reports.summarised(await self._row(), 0.0, live=live, paused=paused)
            self._summary = (status, live, paused, summary)
        return self._summary[3]

    async def _row(self) -> Mapping[str, Any]:
        return await reports.row(self._journal, self.deployment)


async def views(watcher: Watcher, *, files: int = 0) -> AsyncIterator[DeploymentView]:
    """Yield views until nobody works on the deployment any more: at every change, late by `POLL_S` and a look.

    When nothing changes, one each second. The last one is final.
    """
    while True:
        if await watcher.has_news():
            now = await watcher.look(files=files)
            yield now
            if not now.live:
                return
        await anyio.sleep(POLL_S)


async def events(
    journal: Journal, tail: Tail, is_live: IsLive, deployment: DeploymentId, after: int
) -> AsyncIterator[Event]:
    """Yield events, past ones first, until nobody works on the deployment any more."""
    last, version = after, None
    while True:
        live, now = is_live(deployment), await tail.changed()
        if now != version:
            version = now
            for event in await journal.events(deployment, after=last):
                last = event.number
                yield event
        if not live:
            return
        await anyio.sleep(POLL_S)


async def log(read: Callable[[], Awaitable[Sequence[str]]], last: int | None, *, follow: bool) -> AsyncIterator[str]:
    """Yield lines of a log: the last ones that are there, and with `follow` those that come, for ever."""
    there = await read()
    for line in there if last is None else there[len(there) - min(last, len(there)) :]:
        yield line
    while follow:
        await anyio.sleep(POLL_S)
        for line in await read():
            yield line


async def event_log(
    journal: Journal,
    tail: Tail,
    is_live: IsLive,
    hidden: Callable[[str], str],
    deployment: DeploymentId,
    last: int | None,
    *,
    follow: bool,
) -> AsyncIterator[str]:
    """Yield a deployment's events as lines of a log; with `follow` until nobody works on it any more.

    Raises `ConfigurationError` ``deployment_not_found``.
    """
    await reports.row(journal, deployment)
    past = await journal.events(deployment)
    for event in past if last is None else past[len(past) - min(last, len(past)) :]:
        yield hidden(logs.line(event))
    if follow:
        async for event in events(journal, tail, is_live, deployment, past[-1].number if past else 0):
            yield hidden(logs.line(event))


async def newest(journal: Journal, is_live: IsLive) -> DeploymentId:
    """Return the newest deployment that a process works on. Raises `ConfigurationError` ``deployment_not_found``."""
    for row in reversed(await journal.rows("deployments", columns=("id",))):
        if is_live(DeploymentId(row["id"])):
            return DeploymentId(row["id"])
    raise ConfigurationError("deployment_not_found", "no deployment of this home is under way")
