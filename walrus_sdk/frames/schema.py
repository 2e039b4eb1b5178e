"""What each frame is: its columns with dtype and meaning, and the SQL that reads them. Pure values.

Conventions: times are UTC, durations are timedeltas, states are categories that list all states, amounts are whole
numbers of base units (Python ints, which cannot overflow), what may be missing is nullable. One row is one fact.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import Enum

__all__ = ["Column", "Kind", "Lookup", "Schema", "amount", "category", "count", "duration", "flag", "number"]
__all__ += ["case", "lasted", "real", "text", "time"]


class Kind(Enum):
    """How a column is typed: the value is its pandas dtype."""

    TIME = "datetime64[us, UTC]"
    DURATION = "timedelta64[us]"
    CATEGORY = "category"
    COUNT = "Int64"
    NUMBER = "int64"
    AMOUNT = "object"
    TEXT = "str"
    REAL = "float64"
    FLAG = "boolean"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, kind and meaning, the SQL expression that reads it, and the states of a category.

    What SQL gives: milliseconds (since 1970 UTC) for times and durations, whole numbers, 0 and 1 for flags, decimal
    text for amounts (several with spaces between are added: SQL's own sums overflow), text. A duration without SQL is
    the time from ``start`` to ``end``.
    """

    name: str
    kind: Kind
    meaning: str
    sql: str = ""
    states: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lookup:
    """Columns that many rows share: read once by key, and taken row by row.

    `source` is the SQL after ``from``, with its ``group by``; it gives each key `on` once.
    """

    on: tuple[str, ...]
    columns: tuple[Column, ...]
    source: str

    def select(self, *, one: bool = False) -> str:
        """Return the query; with `one` its parameter ``?1`` is a deployment's id."""
        listed = ", ".join([*self.on, *(f'{column.sql} as "{column.name}"' for column in self.columns if column.sql)])
        return f"select {listed} from {_within(self.source, one=one)}"  # noqa: S608  # all of it stands in `tables`


@dataclass(frozen=True, slots=True)
class Schema:
    """One frame. `table` is what its rows are (a row of the frame is a row of it), `source` the SQL after ``from``.

    `deployment` is the SQL of the deployment that a row belongs to. `order` is the SQL of the frame's order. In
    `source`, ``:mine`` stands for what narrows a table to one deployment. `joins` come after the source, each where
    a column names its alias.
    """

    name: str
    meaning: str
    table: str
    source: str
    own: tuple[Column, ...]
    deployment: str
    order: str
    lookup: Lookup | None = None
    joins: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns, in the frame's order."""
        return self.own + self._looked_up

    @property
    def dtypes(self) -> Mapping[str, str]:
        """The dtype of each column, as pandas writes it."""
        return {column.name: column.kind.value for column in self.columns}

    def narrow(self, names: Collection[str]) -> Schema:
        """Return the same with these columns only, for questions that need no others."""
        spans = {"start", "end"} if "duration" in names else set()
        own, lookup = (tuple(c for c in part if c.name in spans.union(names)) for part in (self.own, self._looked_up))
        return replace(self, own=own, lookup=replace(self.lookup, columns=lookup) if lookup and self.lookup else None)

    @property
    def _looked_up(self) -> tuple[Column, ...]:
        return self.lookup.columns if self.lookup is not None else ()

    def select(self, *, one: bool = False) -> str:
        """Return the query; with `one` its parameter ``?1`` is a deployment's id."""
        listed = ", ".join(f'{column.sql} as "{column.name}"' for column in self.own if column.sql)
        where = f" where {self.deployment} = ?1" if one else ""
        source = " ".join([self.source, *(sql for alias, sql in self.joins if f"{alias}." in listed)])
        return f"select {listed} from {_within(source, one=one)}{where} order by {self.order}"  # noqa: S608


def _within(sql: str, *, one: bool) -> str:
    """Fill in what narrows a part of a query to one deployment."""
    return sql.replace(":mine", "deployment = ?1" if one else "true")


# ── one line a column ─────────────────────────────────────────────────────────────────────────────────────────────


def time(name: str, sql: str, meaning: str) -> Column:
    """A moment; `sql` gives milliseconds since 1970 UTC."""
    return Column(name, Kind.TIME, meaning, sql)


def duration(name: str, sql: str, meaning: str) -> Column:
    """A length of time; `sql` gives milliseconds."""
    return Column(name, Kind.DURATION, meaning, sql)


def category(name: str, sql: str, meaning: str, states: tuple[str, ...] = ()) -> Column:
    """One of few texts; `states` are listed whether they occur or not, others as they are found."""
    return Column(name, Kind.CATEGORY, meaning, sql, states)


def count(name: str, sql: str, meaning: str) -> Column:
    """A whole number that may be missing."""
    return Column(name, Kind.COUNT, meaning, sql)


def number(name: str, sql: str, meaning: str) -> Column:
    """A whole number that is always there."""
    return Column(name, Kind.NUMBER, meaning, sql)


def amount(name: str, sql: str, meaning: str) -> Column:
    """An amount of a token in base units, as Python's int, or None; `sql` gives decimal text."""
    return Column(name, Kind.AMOUNT, meaning, sql)


def text(name: str, sql: str, meaning: str) -> Column:
    """A text: an id, a path, a message; missing is NaN."""
    return Column(name, Kind.TEXT, meaning, sql)


def real(name: str, sql: str, meaning: str) -> Column:
    """A real number, a rate or share; missing is NaN."""
    return Column(name, Kind.REAL, meaning, sql)


def flag(name: str, sql: str, meaning: str) -> Column:
    """Yes or no, or not known."""
    return Column(name, Kind.FLAG, meaning, sql)


def lasted(meaning: str = "from start to end") -> Column:
    """The time from ``start`` to ``end``."""
    return duration("duration", "", meaning)


def case(expression: str, values: Mapping[str, str]) -> str:
    """Return SQL that maps texts that stand in the code; values are SQL."""
    return f"case {expression} " + " ".join(f"when '{key}' then {value}" for key, value in values.items()) + " end"
