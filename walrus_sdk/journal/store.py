"""The journal as the engine sees it: the port, over writer, reader, locks and cache."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from walrus_sdk.journal.cache import Cache
from walrus_sdk.journal.checkpoints import pack, remove_checkpoints, write_checkpoint
from walrus_sdk.journal.database import Database, make_folder
from walrus_sdk.journal.ownership import Holder, Locks
from walrus_sdk.journal.reader import Reader
from walrus_sdk.journal.writer import Job, Writer
from walrus_sdk.model.deployment import Event
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change, Clock, Ownership

__all__ = ["CheckpointFiles", "SqliteJournal", "journal_path", "open_journal"]


def journal_path(home: Path) -> Path:
    """Return where a home keeps its journal."""
    return home / "state" / "journal.db"


@asynccontextmanager
async def open_journal(home: Path, clock: Clock) -> AsyncIterator[SqliteJournal]:
    """Open the journal of a home and own its writer until the end of the block.

    Raises `StateError` when the home cannot be used.
    """
    journal = await to_thread.run_sync(SqliteJournal, home, clock)
    try:
        async with anyio.create_task_group() as tasks:
            # Not `start`: cancelled there, it would wait for the writer, which is shielded and which nobody closes yet.
            tasks.start_soon(journal.writer.run)
            try:
                yield journal
            finally:
                journal.writer.close()
    finally:
        journal.close()


class SqliteJournal:
    """Implements `ports.Journal` in one SQLite file of a home."""

    def __init__(self, home: Path, clock: Clock) -> None:
        make_folder(home)
        state = make_folder(home / "state")
        path = journal_path(home)
        self._clock = clock
        with ExitStack() as opened:  # what cannot be opened whole is left as nobody's
            self._database = Database(path)
            opened.callback(self._database.close)
            self._reader = Reader(path)
            opened.callback(self._reader.close)
            self._cache = Cache(state / "cache.db")
            opened.callback(self._cache.close)
            self.locks = Locks(make_folder(state / "locks"))
            opened.callback(self.locks.close)
            self._opened = opened.pop_all()
        self.writer = Writer(self._database, path, clock)
        self._readers = anyio.CapacityLimiter(1)
        self._newest: dict[DeploymentId, int] = {}

    async def append(self, owner: Ownership | None, changes: Sequence[Change]) -> Sequence[Event]:
        """Commit events and rows durably; see the port."""
        return await self.writer.submit(Job(owner, changes))

    async def events(self, deployment: DeploymentId, *, after: int = 0) -> Sequence[Event]:
        """Read a deployment's events; see the port."""
        return await to_thread.run_sync(self._reader.events, deployment, after, limiter=self._readers)

    async def rows(
        self, table: str, where: Mapping[str, Any] | None = None, *, columns: Sequence[str] = ()
    ) -> Sequence[Mapping[str, Any]]:
        """Read rows; see the port."""
        return await to_thread.run_sync(self._reader.rows, table, where, columns, limiter=self._readers)

    async def claim(self, deployment: DeploymentId, *, new: bool = False, take_over: bool = False) -> Ownership:
        """Become the owner; see the port. `new` says that nobody can know the deployment yet."""
        return await to_thread.run_sync(self._claim, deployment, take_over, limiter=self.writer.limiter)

    def _claim(self, deployment: DeploymentId, take_over: bool) -> Ownership:
        holder = Holder(os.getpid(), socket.gethostname(), self._clock.wall_ms())
        self.locks.take(deployment, holder, take_over=take_over)
        try:
            with self._database.transaction() as db:
                query = "select max(n) from incarnations where deployment = ?"
                (last,) = db.execute(query, (str(deployment),)).fetchone()
                number = (last or 0) + 1
                row = (str(deployment), number, holder.pid, holder.host, self._clock.boot_id(), holder.since_ms, None)
                db.execute("insert into incarnations values (?, ?, ?, ?, ?, ?, ?)", row)
        except BaseException:
            self.locks.give_back(deployment)
            raise
        self._newest[deployment] = number
        return Ownership(deployment, number)

    async def release(self, owner: Ownership) -> None:
        """Give the ownership back; see the port."""
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._release, owner, limiter=self.writer.limiter)

    def _release(self, owner: Ownership) -> None:
        try:
            with self._database.transaction() as db:
                db.execute(
                    "update incarnations set ended_ms = ? where deployment = ? and n = ?",
                    (self._clock.wall_ms(), str(owner.deployment), owner.incarnation),
                )
        finally:
            if self._newest.get(owner.deployment) == owner.incarnation:  # else it was taken over, here
                self.locks.give_back(owner.deployment)

    async def cache(self, key: str, value: bytes | None = None) -> bytes | None:
        """Read or write the cache; see the port."""
        if value is None:
            return await to_thread.run_sync(self._cache.get, key, limiter=self._readers)
        await to_thread.run_sync(self._cache.put, key, value, limiter=self._readers)
        return value

    def close(self) -> None:
        """Close all files and let all locks go."""
        self._opened.close()


class CheckpointFiles:
    """Implements `ports.Checkpoints` in a home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._pack_common = lru_cache(maxsize=1)(pack)  # each transaction has a checkpoint, with the same plan

    async def write(self, deployment: DeploymentId, number: int, moment: str, data: Mapping[str, Any]) -> str:
        """Write a checkpoint; see the port."""
        return await to_thread.run_sync(
            write_checkpoint, self._home, deployment, number, moment, data, self._pack_common
        )

    async def remove(self, deployment: DeploymentId) -> None:
        """Remove a deployment's checkpoints; see the port."""
        await to_thread.run_sync(remove_checkpoints, self._home, deployment)
