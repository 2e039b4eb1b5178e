"""Reading frames out of a journal, whoever works in it meanwhile; nothing is ever written."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from walrus_sdk.errors import StateError
from walrus_sdk.frames import fast, typed
from walrus_sdk.frames.schema import Schema
from walrus_sdk.frames.tables import SCHEMAS
from walrus_sdk.journal.reader import Reader

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["FAST_ROWS", "JournalSource", "Source", "now"]

_LOG = logging.getLogger(__name__)

FAST_ROWS = 100_000
"""Rows of a table from which on ADBC is worth the half second that its process takes to start."""


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


class Source(Protocol):
    """Where frames come from."""

    def read(
        self, names: Sequence[str], deployment: str | None, only: Collection[str] = ()
    ) -> Mapping[str, pd.DataFrame]:
        """Read frames by name, all of one moment; of one deployment only, and `only` these columns, where named."""
        ...

    def counts(self, deployment: str | None) -> Mapping[str, int]:
        """Return how many rows frames have, of those where counting is cheap."""
        ...


class JournalSource:
    """A journal file. `path` may be missing: then every frame is empty.

    `fast_rows`: from how many rows on ADBC is used, where it is installed; without it, or when it fails, sqlite3.
    """

    def __init__(self, path: Path, *, fast_rows: int = FAST_ROWS, clock: Callable[[], datetime] = now) -> None:
        self._path = path
        self._fast_rows = fast_rows
        self._clock = clock

    def read(
        self, names: Sequence[str], deployment: str | None = None, only: Collection[str] = ()
    ) -> Mapping[str, pd.DataFrame]:
        """Read frames; see `Source`. Raises `StateError` when the journal cannot be read."""
        typed.need("pandas", "pyarrow")
        schemas = [SCHEMAS[name].narrow(only) if only else SCHEMAS[name] for name in names]
        with self._opened() as reader:
            there = _tables(reader)
            wanted = [schema for schema in schemas if schema.table in there]
            as_of = self._clock()
            found = self._fast(reader, wanted, deployment) or _plain(reader, wanted, deployment)
        tables = {schema.name: table for schema, table in zip(wanted, found, strict=True)}
        return {
            schema.name: typed.frame(tables[schema.name] if schema.name in tables else _nothing(schema), schema, as_of)
            for schema in schemas
        }

    def counts(self, deployment: str | None = None) -> Mapping[str, int]:
        """Count rows; see `Source`."""
        with self._opened() as reader:
            there = _tables(reader)
            return {name: _count(reader, schema, deployment) for name, schema in SCHEMAS.items()
                    if schema.table in there and schema.table != "events"}  # fmt: skip

    @contextmanager
    def _opened(self) -> Iterator[Reader | None]:
        if not self._path.is_file():
            yield None
            return
        reader = Reader(self._path)
        try:
            yield reader
        finally:
            reader.close()

    def _fast(self, reader: Reader | None, schemas: Sequence[Schema], deployment: str | None) -> list[pa.Table] | None:
        """Read all by ADBC where one frame is large; nothing where that is not worth it, or fails."""
        if reader is None or deployment is not None or importlib.util.find_spec("adbc_driver_sqlite") is None:
            return None
        if not any(_rows_at_most(reader, schema.table) >= self._fast_rows for schema in schemas):
            return None
        queries, types = zip(*(part for schema in schemas for part in _parts(schema, one=False)), strict=True)
        try:
            tables = iter(fast.read_tables(self._path, [(query, ()) for query in queries], types))
        except StateError as error:
            _LOG.info("%s; reading goes on the other way", error)
            return None
        return [_joined(schema, tables) for schema in schemas]


def _tables(reader: Reader | None) -> set[str]:
    """Return the tables that a journal has: one of an earlier version has fewer."""
    return set() if reader is None else {name for (name,) in reader.select("select name from sqlite_master")}


def _rows_at_most(reader: Reader, table: str) -> int:
    found = reader.select(f"select max(rowid) from {table}")  # noqa: S608  # a name of `tables`
    return found[0][0] or 0


def _count(reader: Reader | None, schema: Schema, deployment: str | None) -> int:
    if reader is None:
        return 0
    if deployment is None:
        query = f"select count(*) from {schema.table}"  # noqa: S608
        return int(reader.select(query)[0][0])
    return int(reader.select(f"select count(*) from ({schema.select(one=True)})", (deployment,))[0][0])  # noqa: S608


def _parts(schema: Schema, *, one: bool) -> Iterator[tuple[str, pa.Schema]]:
    """Yield the queries of a frame, with the types of what they give."""
    yield schema.select(one=one), typed.arrow_schema(schema.own)
    if schema.lookup is not None:
        yield schema.lookup.select(one=one), typed.arrow_schema(schema.lookup.columns, schema.lookup.on)


def _joined(schema: Schema, tables: Iterator[pa.Table]) -> pa.Table:
    main = next(tables)
    return main if schema.lookup is None else typed.with_lookup(main, next(tables), schema.lookup.on)


def _plain(reader: Reader | None, schemas: Sequence[Schema], deployment: str | None) -> list[pa.Table]:
    """Read with Python's own SQLite, in one moment."""
    if reader is None:
        return []
    one = deployment is not None
    with reader.moment():
        return [
            _joined(schema, (
                typed.table_of(reader.select(query, (deployment,) if one else ()), types)
                for query, types in _parts(schema, one=one)
            ))
            for schema in schemas
        ]  # fmt: skip


def _nothing(schema: Schema) -> pa.Table:
    return _joined(schema, (typed.table_of((), types) for _, types in _parts(schema, one=False)))
