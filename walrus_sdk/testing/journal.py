"""A journal and checkpoints in memory: what was appended survives a simulated death, as a disk would keep it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import anyio

from walrus_sdk.errors import OwnershipError
from walrus_sdk.journal.schema import COLUMNS, KEYS
from walrus_sdk.model.deployment import Event
from walrus_sdk.model.samples import Sample
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import FREE_TABLES, Change, Clock, Drop, JsonText, Ownership, Put
from walrus_sdk.service import requests
from walrus_sdk.testing.death import Life
from walrus_sdk.testing.virtual import turn

__all__ = ["Disk", "MemoryCheckpoints", "MemoryJournal", "MemoryTail"]

_LEAVES = (str, int, float, bool, type(None))
_KEYS = {table: frozenset(names) for table, names in KEYS.items()}
_KNOWN = {table: frozenset(columns) for table, columns in COLUMNS.items()}


def _as_json(value: Any) -> Any:
    """Return a copy of JSON-ready data as it would be read back. Raises `TypeError` for anything else."""
    kind = type(value)
    if kind in _LEAVES:
        return value
    if kind is dict and all(type(key) is str for key in value):
        return {key: _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if kind in (list, tuple) else json.loads(json.dumps(value))


class Disk:
    """What lasts: rows by table and key, events, incarnations, cache, checkpoints.

    `history` has all events in the order of their commits, also those that were forgotten since.
    """

    def __init__(self) -> None:
        self.tables: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {name: {} for name in COLUMNS}
        self.events: dict[str, list[Event]] = {}
        self.incarnations: dict[str, int] = {}
        self.held: set[str] = set()
        self.cache: dict[str, bytes] = {}
        self.checkpoints: dict[str, Mapping[str, Any]] = {}
        self.waiting: set[anyio.Event] = set()
        self.history: list[Event] = []
        self.committed = 0
        self.dropped: set[str] = set()
        self.forgotten: list[Event] = []

    def _key(self, put: Put) -> tuple[Any, ...]:
        return tuple([put.key[name] for name in KEYS[put.table]]) or (len(self.tables[put.table]),)

    def find(self, table: str, where: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the rows that have these values."""
        assert where.keys() <= _KNOWN[table], where
        rows, keys = self.tables[table], KEYS[table]
        if keys and where.keys() >= set(keys):
            row = rows.get(tuple(where[name] for name in keys))
            return [row] if row is not None and where.items() <= row.items() else []
        return [row for row in rows.values() if where.items() <= row.items()]

    def check(self, put: Put) -> None:
        """Compare a row with what a put expects."""
        row = self.tables[put.table].get(self._key(put))
        if put.expect is not None and (
            row is not None if not put.expect else row is None or not put.expect.items() <= row.items()
        ):
            raise OwnershipError("row_changed", f"a row of {put.table} was changed by another deployment")

    def put(self, put: Put) -> None:
        """Insert or update a row."""
        assert put.key.keys() == _KEYS[put.table], (put.table, tuple(put.key))
        assert put.values.keys() <= _KNOWN[put.table], put
        rows = self.tables[put.table]
        key = self._key(put)
        row = rows.get(key)
        if row is None:
            row = rows[key] = dict.fromkeys(COLUMNS[put.table])
        row.update(put.key)
        row.update(put.values)

    def drop(self, drop: Drop) -> None:
        """Delete rows; a deployment's events among them."""
        assert drop.where, "never a whole table"
        if drop.table == "deployments":
            self.dropped.add(drop.where["id"])
        if drop.table == "events":
            self.forgotten += self.events.pop(drop.where["deployment"], [])
        rows = self.tables[drop.table]
        gone = [key for key, row in rows.items() if drop.where.items() <= row.items()]
        for key in gone:
            del rows[key]


class MemoryJournal:
    """Implements `ports.Journal` on a `Disk`."""

    def __init__(self, disk: Disk, clock: Clock, life: Life) -> None:
        self.disk = disk
        self._clock = clock
        self._life = life

    async def append(self, owner: Ownership | None, changes: Sequence[Change]) -> Sequence[Event]:
        """Commit; see the port."""
        await turn()
        await self._life.commit("journal.before")
        made = self._append(owner, changes)
        await self._life.commit("journal.after")
        return made

    def _append(self, owner: Ownership | None, changes: Sequence[Change]) -> Sequence[Event]:
        if owner is None:
            self._free([put for change in changes for put in change.puts])
            return []
        name = str(owner.deployment)
        if self.disk.incarnations.get(name) != owner.incarnation:
            raise OwnershipError("fenced", f"{name} has a new owner", deployment_id=name)
        for change in changes:
            for put in change.puts:
                self.disk.check(put)
        return [self._change(owner, change) for change in changes]

    def _free(self, puts: Sequence[Put]) -> None:
        assert all(put.table in FREE_TABLES for put in puts), "rows of a deployment are written by its owner"
        for put in puts:
            self.disk.check(put)
        for put in puts:
            self.disk.put(put)
        for waiting in self.disk.waiting:
            waiting.set()

    def _change(self, owner: Ownership, change: Change) -> Event:
        history = self.disk.events.setdefault(str(owner.deployment), [])
        data = _as_json(dict(change.data))
        clock = self._clock
        event = Event(
            owner.deployment, len(history) + 1, owner.incarnation, clock.wall_ms(), clock.monotonic(), change.type, data
        )
        history.append(event)
        self.disk.committed += 1
        self.disk.history.append(event)
        for put in change.puts:
            self.disk.put(put)
        for drop in change.drops:
            self.disk.drop(drop)
        return event

    async def events(self, deployment: DeploymentId, *, after: int = 0) -> Sequence[Event]:
        """Read events; see the port."""
        await turn()
        self._life.check()
        return [event for event in self.disk.events.get(str(deployment), []) if event.number > after]

    async def rows(
        self, table: str, where: Mapping[str, Any] | None = None, *, columns: Sequence[str] = ()
    ) -> Sequence[Mapping[str, Any]]:
        """Read rows; see the port."""
        await turn()
        self._life.check()
        found = self.disk.find(table, dict(where or {}))
        return [{name: row[name] for name in columns} if columns else dict(row) for row in found]

    async def claim(self, deployment: DeploymentId, *, new: bool = False, take_over: bool = False) -> Ownership:
        """Become the owner; see the port."""
        await turn()
        self._life.check()
        name = str(deployment)
        if name in self.disk.held and not take_over:
            raise OwnershipError("deployment_owned", f"{name} is being worked on", deployment_id=name)
        self.disk.held.add(name)
        number = self.disk.incarnations.get(name, 0) + 1
        self.disk.incarnations[name] = number
        self.disk.put(Put("incarnations", {"deployment": name, "n": number}, {"started_ms": self._clock.wall_ms()}))
        await self._life.commit("claim.after")
        return Ownership(deployment, number)

    async def release(self, owner: Ownership) -> None:
        """Give the ownership back; see the port. A dead process gives nothing back: its system does."""
        if self._life.alive and self.disk.incarnations.get(str(owner.deployment)) == owner.incarnation:
            self.disk.held.discard(str(owner.deployment))

    async def asked(self, owner: Ownership, known: frozenset[str]) -> frozenset[str]:
        """Wait until what the owner of a deployment is asked for is no longer what it knows; returns it."""
        while True:
            change = anyio.Event()
            self.disk.waiting.add(change)
            try:
                found = await requests.asked_of(self, owner)
                if found != known:
                    return found
                await change.wait()
            finally:
                self.disk.waiting.discard(change)

    async def cache(self, key: str, value: bytes | None = None) -> bytes | None:
        """Use the cache; see the port."""
        self._life.check()
        if value is not None:
            self.disk.cache[key] = value
        return self.disk.cache.get(key)


@lru_cache(maxsize=64)
def _read(text: JsonText) -> Any:
    """Read what several checkpoints have in common once."""
    return json.loads(text)


class MemoryTail:
    """Implements `watch.tail.Tail` on a `Disk`."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._looks = 0

    async def changed(self) -> int:
        """Return another number each time: a look costs nothing here."""
        self._looks += 1
        return self._looks

    async def samples(self, deployment: DeploymentId, *, after: int = 0) -> Sequence[Sample]:
        """Read samples; see the protocol."""
        rows = enumerate(self._disk.find("samples", {"deployment": str(deployment)}), start=1)
        return [Sample.of(number, row["wall_ms"], row["data"]) for number, row in rows if number > after]

    async def latest(self, deployment: DeploymentId) -> Sample | None:
        """Read the last sample; see the protocol."""
        found = await self.samples(deployment)
        return found[-1] if found else None


class MemoryCheckpoints:
    """Implements `ports.Checkpoints` on a `Disk`."""

    def __init__(self, disk: Disk, life: Life) -> None:
        self._disk = disk
        self._life = life

    async def write(self, deployment: DeploymentId, number: int, moment: str, data: Mapping[str, Any]) -> str:
        """Keep a checkpoint; see the port."""
        await self._life.commit("checkpoint.before")
        name = f"{number:02}-{moment}.json.zst"
        read = {key: _read(value) if isinstance(value, JsonText) else value for key, value in data.items()}
        self._disk.checkpoints[f"{deployment}/{name}"] = read
        return name

    async def remove(self, deployment: DeploymentId) -> None:
        """Forget a deployment's checkpoints; see the port."""
        await self._life.commit("checkpoints.remove.before")
        for name in [name for name in self._disk.checkpoints if name.startswith(f"{deployment}/")]:
            del self._disk.checkpoints[name]
