"""Reads a journal into views, look by look: only what is new is read again."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from walrus_sdk.model.deployment import Event, Status
from walrus_sdk.model.samples import Sample
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.planning.state import LIVE
from walrus_sdk.ports import Clock
from walrus_sdk.watch.progress import has_moved
from walrus_sdk.watch.runs import Run, Try, fold
from walrus_sdk.watch.tail import Tail
from walrus_sdk.watch.view import RunView, SiteView, View, Wallet, ends_ms, waits_for

__all__ = ["Eyes", "Gatherer", "Rows"]

_COLUMNS = ("id", "verb", "status", "chain", "network", "site_name", "site_id", "created_ms", "updated_ms",
            "can_resume", "reason")  # fmt: skip
_VERSION = ("chain", "site_id", "n", "deployment")
_LIVE = frozenset(status.value for status in LIVE)


class Rows(Protocol):
    """What is read of a journal: the port's reading half."""

    async def rows(
        self, table: str, where: Mapping[str, Any] | None = None, *, columns: Sequence[str] = ()
    ) -> Sequence[Mapping[str, Any]]:
        """Read rows; see `ports.Journal`."""
        ...

    async def events(self, deployment: DeploymentId, *, after: int = 0) -> Sequence[Event]:
        """Read events; see `ports.Journal`."""
        ...


@dataclass(frozen=True, slots=True)
class Eyes:
    """What is looked at beside the journal's rows and events.

    `is_live`: whether a process works on a deployment. `tail`: the journal's end; without it there are no samples, and
    the journal is read at each look. `disk_free`: bytes left for the state folder, `None` where that is not known.
    """

    is_live: Callable[[DeploymentId], bool]
    tail: Tail | None = None
    disk_free: Callable[[], int | None] = lambda: None


@dataclass(slots=True)
class _Seen:
    """A deployment that is followed: its events so far, and when its samples last moved."""

    run: Run
    moved_ms: int = 0
    updated_ms: int | None = None
    sample: Sample | None = None


@dataclass(frozen=True, slots=True)
class _Ends:
    """When a version of a site ends, as far as its deployment tells."""

    end_epoch: int
    epoch: int | None = None
    planned_ms: int = 0


@dataclass(slots=True)
class _Sites:
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    ends: dict[tuple[str, str], _Ends | None] = field(default_factory=dict)


class Gatherer:
    """Makes views of one journal; remembers what it has read. `window_s`: how long ended tries are kept."""

    def __init__(self, journal: Rows, clock: Clock, eyes: Eyes, window_s: float) -> None:
        self._journal = journal
        self._clock = clock
        self._eyes = eyes
        self._window_ms = int(window_s * 1000)
        self._seen: dict[str, _Seen] = {}
        self._sites = _Sites()
        self._rows: Sequence[Mapping[str, Any]] = ()
        self._live: dict[str, bool] = {}
        self._change: int | None = None

    async def look(self, *, with_sites: bool = True, wallet: Wallet | None = None) -> View:
        """Return how things are now, with a wallet that was asked elsewhere.

        Raises `StateError` when the journal cannot be read.
        """
        tail, now = self._eyes.tail, self._clock.wall_ms()
        self._live = self._who_lives(())  # before the reading: an owner's last words are then among what is read
        change = await tail.changed() if tail is not None else None
        if change is None or change != self._change:
            await self._read(now)
            new = self._who_lives(self._live)
            if not all(new.values()):
                await self._read(now)
            self._live |= new
            self._change = change
        mended = _completed(self._rows)
        shown = [row for row in self._rows if row["id"] in self._seen or row["status"] == Status.FAILED.value]
        self._forget(now)
        return View(
            at_ms=now,
            runs=tuple(self._view(row, mended, now) for row in shown),
            tries=tuple(sorted(self._recent(now), key=lambda one: one.ended_ms or 0)),
            sites=await self._site_views() if with_sites else None,
            disk_free_bytes=self._eyes.disk_free(),
            wallet=wallet,
        )

    def _who_lives(self, known: Collection[str]) -> dict[str, bool]:
        """Return whether a process works on each unfinished deployment that is not among those that are known."""
        ids = [row["id"] for row in self._rows if row["status"] in _LIVE and row["id"] not in known]
        return {one: self._eyes.is_live(DeploymentId(one)) for one in ids}

    async def _read(self, now: int) -> None:
        self._rows = await self._journal.rows("deployments", columns=_COLUMNS)
        for row in self._rows:
            if self._is_followed(row, now):
                await self._follow(row)

    # ── deployments ───────────────────────────────────────────────────────────────────────────────────────────

    def _is_followed(self, row: Mapping[str, Any], now: int) -> bool:
        recent = (row["updated_ms"] or 0) >= now - self._window_ms
        return row["status"] in _LIVE or row["id"] in self._seen or recent

    async def _follow(self, row: Mapping[str, Any]) -> None:
        seen = self._seen.setdefault(row["id"], _Seen(Run(row["id"])))
        if row["status"] not in _LIVE and seen.updated_ms == row["updated_ms"]:
            return  # it has ended, and all of it was read
        seen.updated_ms = row["updated_ms"]
        deployment = DeploymentId(row["id"])
        for event in await self._journal.events(deployment, after=seen.run.last_number):
            seen.run.add(event)
        if row["status"] in _LIVE:
            for sample in await self._samples(deployment, seen):
                if has_moved(seen.sample.progress if seen.sample is not None else None, sample.progress):
                    seen.moved_ms = sample.wall_ms
                seen.sample = sample

    async def _samples(self, deployment: DeploymentId, seen: _Seen) -> Sequence[Sample]:
        """Read the last sample; at first all of them: the last alone does not tell since when nothing has moved."""
        tail = self._eyes.tail
        if tail is None:
            return ()
        if seen.sample is None:
            return await tail.samples(deployment)
        last = await tail.latest(deployment)
        return () if last is None else (last,)

    def _view(self, row: Mapping[str, Any], completed: Mapping[tuple[Any, ...], int], now: int) -> RunView:
        seen = self._seen.get(row["id"]) or _Seen(Run(row["id"]))
        run, sample = seen.run, seen.sample
        live = row["status"] in _LIVE
        return RunView(
            deployment=row["id"],
            site_name=row["site_name"] or "",
            network=row["network"] or "",
            status=row["status"],
            progressed_ms=max(run.progressed_ms, seen.moved_ms) or row["created_ms"] or now,
            is_live=live and self._live.get(row["id"], False),
            is_mended=row["status"] != Status.COMPLETED.value and _is_mended(row, completed),
            is_paused=run.is_paused,
            reason=row["reason"] or "",
            waiting=((sample.progress.waiting if sample else "") or waits_for(run, now)) if live else "",
            memory_bytes=sample.resources.rss_bytes if sample else None,
            open_files=sample.resources.open_files if sample else None,
            spent_frost=run.paid("store"),
            cap_frost=run.cap_frost,
            tries=tuple(run.tries) if live else (),
        )

    def _recent(self, now: int) -> list[Try]:
        since = now - self._window_ms
        return [
            one
            for seen in self._seen.values()
            for one in seen.run.tries
            if (one.ended_ms or 0) >= since and one.outcome != "cut_off"
        ]

    def _forget(self, now: int) -> None:
        """Let go of deployments that ended before the window, and of those that are not there any more."""
        since = now - self._window_ms
        kept = {row["id"] for row in self._rows if row["status"] in _LIVE or (row["updated_ms"] or 0) >= since}
        self._seen = {name: seen for name, seen in self._seen.items() if name in kept}

    # ── sites ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _site_views(self) -> tuple[SiteView, ...]:
        by_id = {row["id"]: row for row in self._rows}
        newest: dict[tuple[str, str], Mapping[str, Any]] = {}
        for version in await self._journal.rows("versions", columns=_VERSION):
            key = version["chain"], version["site_id"]
            if key not in newest or newest[key]["n"] < version["n"]:
                newest[key] = version
        views = []
        for key, version in newest.items():
            made = by_id.get(version["deployment"], {})
            ends = await self._ends(key, version)
            if ends is not None:
                at = None
                if ends.epoch is not None:
                    at = ends_ms(made.get("network") or "", ends.planned_ms, ends.epoch, ends.end_epoch)
                name, network = made.get("site_name") or version["site_id"], made.get("network") or ""
                views.append(SiteView(version["site_id"], name, network, ends.end_epoch, at))
        return tuple(views)

    async def _ends(self, key: tuple[str, str], version: Mapping[str, Any]) -> _Ends | None:
        """Return when a version ends; read once for each version, as its manifest may be long."""
        if self._sites.versions.get(key) != version["n"]:
            self._sites.ends[key] = await self._read_ends(version)
            self._sites.versions[key] = version["n"]
        return self._sites.ends[key]

    async def _read_ends(self, version: Mapping[str, Any]) -> _Ends | None:
        where = {name: version[name] for name in ("chain", "site_id", "n")}
        (row,) = await self._journal.rows("versions", where, columns=("manifest",))
        resources = json.loads(row["manifest"] or "{}").get("resources", {})
        names = {resource["blob_id"] for resource in resources.values()}
        ends = [
            blob["end_epoch"]
            for blob in await self._journal.rows("blobs", {"chain": version["chain"]}, columns=("blob_id", "end_epoch"))
            if blob["blob_id"] in names and blob["end_epoch"] is not None
        ]
        if not ends:
            return None
        facts: Mapping[str, Any] = {}
        planned_ms = 0
        if version["deployment"]:
            run = fold(version["deployment"], await self._journal.events(DeploymentId(version["deployment"])))
            facts, planned_ms = run.facts, run.began_ms
        epoch = facts["end_epoch"] - facts["epochs"] if "epochs" in facts and "end_epoch" in facts else None
        return _Ends(min(ends), epoch, planned_ms)


def _keys(row: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return what names the site of a deployment: its id, where it is known, and its name."""
    by_id = [(row["chain"], "id", row["site_id"])] if row["site_id"] is not None else []
    return [*by_id, (row["chain"], "name", row["site_name"])]


def _completed(rows: Sequence[Mapping[str, Any]]) -> Mapping[tuple[Any, ...], int]:
    """Return when the last completed deployment of each site began."""
    found: dict[tuple[Any, ...], int] = {}
    for row in rows:
        if row["status"] == Status.COMPLETED.value:
            for key in _keys(row):
                found[key] = max(found.get(key, 0), row["created_ms"] or 0)
    return found


def _is_mended(row: Mapping[str, Any], completed: Mapping[tuple[Any, ...], int]) -> bool:
    """Return whether a later deployment of the same site on the same chain was completed."""
    return any(completed.get(key, -1) >= (row["created_ms"] or 0) for key in _keys(row))
