"""Whether a journal is sound: SQLite's own checks, the schema, and rows against the events that caused them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from walrus_sdk.errors import StateError
from walrus_sdk.journal.database import commits_in, failures, open_reader
from walrus_sdk.journal.mark import noted
from walrus_sdk.journal.schema import COLUMNS, MIGRATIONS, VERSION, check_version
from walrus_sdk.model import events
from walrus_sdk.model.deployment import EffectState

__all__ = ["check"]

_MOST = 100
"""Findings after which a check stops."""


def check(path: Path) -> list[str]:
    """Return what is wrong with a journal, a sentence each; empty when nothing is. Nothing is changed, and it blocks.

    It reads all of it. Bits that changed inside a text or number that still reads as one are not seen here: the seal
    of a journal that was closed in order sees those when it is opened.
    """
    if not path.exists() or not path.stat().st_size:
        return [f"{path} is missing or empty"]
    least = noted(path)
    found: list[str] = []
    try:
        with failures(path), closing(open_reader(path)) as db:
            db.execute("begin")  # one moment of it, whoever writes meanwhile
            for part in (_structure, _schema, lambda db: _how_far(db, least), _texts, _numbers, _states):
                found += part(db)
                if found:  # what follows leans on what came before
                    break
    except StateError as error:
        found.append(error.message)
    return found[:_MOST]


def _structure(db: sqlite3.Connection) -> Iterator[str]:
    for (text,) in db.execute("pragma integrity_check"):
        if text != "ok":
            yield f"the file is damaged: {text}"
    for table, row, *_ in db.execute("pragma foreign_key_check"):
        yield f"row {row} of {table} points nowhere"


def _schema(db: sqlite3.Connection) -> Iterator[str]:
    version = check_version(db)
    if version < VERSION:
        yield f"the schema is {version} and not yet {VERSION}: open the journal once"
        return
    query = "select type, name, sql from sqlite_master where name not like 'sqlite_%' order by type, name"
    with closing(sqlite3.connect(":memory:")) as fresh:
        for script in MIGRATIONS:
            fresh.executescript(script)
        wanted = set(fresh.execute(query))
    found = set(db.execute(query))
    for kind, name, _ in sorted(found ^ wanted):
        yield f"{kind} {name} is not as this program makes it"


def _texts(db: sqlite3.Connection) -> Iterator[str]:
    """Look for zeros in texts, where a page was lost, and for events that are no JSON."""
    for table in COLUMNS:
        names = [row[1] for row in db.execute(f"pragma table_info({table})") if row[2] == "TEXT"]
        where = " or ".join(f"instr(cast({name} as blob), x'00')" for name in names)
        query = f"select rowid from {table} where {where}"  # noqa: S608  # names of the schema
        yield from (f"row {row} of {table} has zeros in a text" for (row,) in db.execute(query))
    for deployment, number in db.execute("select deployment, n from events where not json_valid(data)"):
        yield f"event {number} of {deployment} is not JSON"


def _how_far(db: sqlite3.Connection, least: int) -> Iterator[str]:
    commits = commits_in(db)
    if commits < least:
        yield f"it ends with commit {commits} and had {least}: its log is missing, or it is an older copy"


def _numbers(db: sqlite3.Connection) -> Iterator[str]:
    query = "select deployment, count(*), min(n), max(n) from events group by deployment"
    for deployment, count, first, last in db.execute(query):
        if (first, last) != (1, count):
            yield f"{deployment} has {count} events, numbered from {first} to {last}"
    query = "select deployment, n from events e where incarnation < (select max(incarnation) from events"
    query += " where deployment = e.deployment and n < e.n)"
    for deployment, number in db.execute(query):
        yield f"event {number} of {deployment} was written by an owner that had been replaced"


# ── events folded: what the rows must be ──────────────────────────────────────────────────────────────────────────


class _Fold:
    """States as the events tell them, in the order of their commits; `None` where the history begins too late."""

    def __init__(self, chains: Mapping[str, str]) -> None:
        self._chains = chains
        self._open: dict[tuple[str, ...], bool | None] = {}
        self.operations: dict[tuple[str, ...], str | None] = {}
        self.transactions: dict[tuple[str, ...], str | None] = {}
        self.statuses: dict[str, str] = {}

    def add(self, deployment: str, kind: str, data: Mapping[str, Any]) -> None:
        """Go on by one event."""
        chain = self._chains.get(deployment)
        if kind == events.DEPLOYMENT_STATUS:
            self.statuses[deployment] = data["to"]
        if chain is None:
            return
        if kind in _EFFECTS:
            self._effect((chain, data["kind"], data["name"]), kind, data)
        elif kind == events.TRANSACTION_SIGNED:
            self.transactions[chain, data["digest"]] = "signed"
        elif kind == events.TRANSACTION_DEAD:
            self.transactions[chain, data["digest"]] = "dead"
        if kind == events.EFFECT_DONE and data["kind"] == "transaction":
            self.transactions[chain, data["name"]] = "final" if data["outcome"].get("ok") else "failed"

    def _effect(self, key: tuple[str, ...], kind: str, data: Mapping[str, Any]) -> None:
        before = self.operations.get(key)
        if kind == events.EFFECT_INTENT:
            known = before is not None or data.get("attempt") == 1
            was_open = before == EffectState.RELEASED.value if known else None
            self._open[key] = was_open
            if not was_open:
                self.operations[key] = EffectState.INTENT.value if known else None
        elif kind == events.EFFECT_RELEASED:
            self.operations[key] = EffectState.RELEASED.value
        elif kind == events.EFFECT_DONE:
            self.operations[key] = EffectState.DONE.value
        elif kind == events.EFFECT_FAILED:  # an earlier try that was open is as open as it was
            was_open = self._open.get(key)
            if was_open is not True:
                self.operations[key] = EffectState.FAILED.value if was_open is False else None


_EFFECTS = {events.EFFECT_INTENT, events.EFFECT_RELEASED, events.EFFECT_DONE, events.EFFECT_FAILED}


def _states(db: sqlite3.Connection) -> Iterator[str]:
    fold = _Fold(dict(db.execute("select id, chain from deployments where chain is not null")))
    for deployment, number, kind, data in db.execute("select deployment, n, type, data from events order by rowid"):
        try:
            fold.add(deployment, kind, json.loads(data))
        except (KeyError, TypeError, AttributeError):
            yield f"event {number} of {deployment} ({kind}) is not as this program writes it"
            return
    told = {row[0] for row in db.execute("select distinct deployment from events")}
    query = "select deployment, state, chain, kind, name from operations"
    yield from _compare("operation", db.execute(query).fetchall(), fold.operations, told)
    query = "select deployment, state, chain, digest from transactions"
    yield from _compare("transaction", db.execute(query).fetchall(), fold.transactions, told)
    for name, status in db.execute("select id, status from deployments"):
        if fold.statuses.get(name, status) != status:
            yield f"{name} is {status}, and its events say {fold.statuses[name]}"


def _compare(
    what: str, rows: list[tuple[Any, ...]], folded: Mapping[tuple[str, ...], str | None], told: set[str]
) -> Iterator[str]:
    """Yield where rows and events differ. A deployment whose history was removed tells nothing."""
    for deployment, state, *key in rows:
        wanted = folded.get(tuple(key), "unknown" if deployment in told else None)
        if wanted is not None and wanted != state:
            yield f"{what} {' '.join(key[1:])} is {state}, and its events say {wanted}"
    missing = folded.keys() - {tuple(key) for _, _, *key in rows}
    yield from (f"{what} {' '.join(key[1:])} is in the events only" for key in sorted(missing))
