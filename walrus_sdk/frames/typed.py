"""From what a query gave, as Arrow, to a typed DataFrame, and back for Parquet."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.frames.schema import Column, Kind, Schema

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

__all__ = ["arrow_schema", "frame", "from_arrow", "need", "table_of", "to_arrow", "with_lookup"]

_WHOLE = (Kind.TIME, Kind.DURATION, Kind.COUNT, Kind.NUMBER, Kind.FLAG)
_US = 1000
"""Microseconds of a millisecond."""


def need(*packages: str) -> None:
    """Raise `ConfigurationError` ``extra_missing`` where a package of the extra ``frames`` is not installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        text = f'history needs {" and ".join(missing)}: pip install "walrus-sdk[frames]"'
        raise ConfigurationError("extra_missing", text, extra="frames")


def arrow_schema(columns: Sequence[Column], keys: Sequence[str] = ()) -> pa.Schema:
    """Return the Arrow types of what SQL gives for these columns, with text columns `keys` before them."""
    import pyarrow as pa

    def kind(column: Column) -> pa.DataType:
        if column.kind in _WHOLE:
            return pa.int64()
        return pa.float64() if column.kind is Kind.REAL else pa.string()

    return pa.schema([*((key, pa.string()) for key in keys), *((c.name, kind(c)) for c in columns if c.sql)])


def table_of(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Return rows as an Arrow table."""
    import pyarrow as pa

    columns = zip(*rows, strict=True) if rows else ((),) * len(schema)
    return pa.table([pa.array(list(c), type=f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


# ── joining ───────────────────────────────────────────────────────────────────────────────────────────────────────


def with_lookup(main: pa.Table, found: pa.Table, on: Sequence[str]) -> pa.Table:
    """Return `main` with the columns of `found` whose keys are equal; missing where there is none.

    A join in SQL costs more than reading a million rows: here it is two look-ups of small numbers.
    """
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    mine, theirs = np.zeros(len(main), np.int64), np.zeros(len(found), np.int64)
    for key in on:
        coded = main.column(key).combine_chunks().dictionary_encode()
        coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
        size = len(coded.dictionary) + 2  # missing and unknown are two more, and equal to nothing
        mine = mine * size + pc.fill_null(coded.indices, size - 1).to_numpy(zero_copy_only=False)
        known = pc.fill_null(pc.index_in(found.column(key), coded.dictionary), size - 2)
        theirs = theirs * size + known.to_numpy()
    keys, rows = np.unique(theirs, return_index=True)  # keys that are nowhere in `main` fall together
    places = pd.Index(keys).get_indexer(pd.Index(mine))
    rows = np.append(rows, 0)[places]  # what is not found, -1, is masked
    taken = found.drop_columns(list(on)).take(pa.array(rows, mask=places < 0))
    for name in taken.column_names:
        main = main.append_column(name, taken.column(name))
    return main


# ── typing ────────────────────────────────────────────────────────────────────────────────────────────────────────


def frame(table: pa.Table, schema: Schema, as_of: datetime) -> pd.DataFrame:
    """Type a table; `as_of` is noted in ``attrs`` with the schema's name."""
    import pandas as pd

    made = {column.name: _typed(table, column) for column in schema.columns}
    result = pd.DataFrame(made, copy=False)
    result.attrs = {"schema": schema.name, "as_of": as_of.isoformat()}
    return result


def _typed(table: pa.Table, column: Column) -> Any:
    import pandas as pd

    if not column.sql:
        return _span(table)
    found = table.column(column.name)
    match column.kind:
        case Kind.TIME:
            return pd.DatetimeIndex(_moments(found, "datetime64[us]")).tz_localize("UTC").array
        case Kind.DURATION:
            return _moments(found, "timedelta64[us]")
        case Kind.CATEGORY:
            return _categories(found, column.states)
        case Kind.COUNT:
            return _extension(pd.Int64Dtype(), found)
        case Kind.NUMBER:
            return found.to_numpy()
        case Kind.FLAG:
            return _extension(pd.BooleanDtype(), found.cast("bool"))
        case Kind.REAL:
            return found.to_numpy()
        case Kind.AMOUNT:
            return _amounts(found)
        case Kind.TEXT:
            return _texts(found)


def _moments(found: pa.ChunkedArray, dtype: str) -> np.ndarray[Any, Any]:
    """Return milliseconds as microseconds; missing as NaT."""
    import numpy as np
    import pyarrow.compute as pc

    values: np.ndarray[Any, Any] = pc.fill_null(found, 0).to_numpy() * _US
    moments = values.view(dtype)
    if found.null_count:
        moments[found.is_null().to_numpy()] = np.timedelta64("NaT") if dtype[0] == "t" else np.datetime64("NaT")
    return moments


def _span(table: pa.Table) -> np.ndarray[Any, Any]:
    """Return the time from start to end."""
    start, end = (_moments(table.column(name), "datetime64[us]") for name in ("start", "end"))
    span: np.ndarray[Any, Any] = end - start
    return span


def _categories(found: pa.ChunkedArray, states: Sequence[str]) -> pd.Categorical:
    """Return categories: the listed states first, then others as they are found."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    coded = pa.chunked_array(found.chunks, type=found.type).combine_chunks().dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    there = coded.dictionary.to_pylist()
    listed = [*states, *sorted(set(there) - set(states))]
    places = np.array([*(listed.index(name) for name in there), -1], dtype=np.int32)
    codes = places[pc.fill_null(coded.indices, len(there)).to_numpy(zero_copy_only=False)]
    categories = pd.Index(listed, dtype="str")
    return pd.Categorical.from_codes(codes, categories=categories)


def _amounts(found: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    import numpy as np

    made = np.empty(len(found), dtype=object)
    made[:] = [
        None if value is None else sum(map(int, value.split())) if isinstance(value, str) else int(value)
        for value in found.to_pylist()
    ]
    return made


def _texts(found: pa.ChunkedArray) -> Any:
    import pandas as pd
    import pyarrow as pa

    return _extension(pd.Series([], dtype="str").dtype, found.cast(pa.large_string()))


def _extension(dtype: Any, found: pa.ChunkedArray) -> Any:
    """Return an array of one of pandas' own dtypes, without a copy where that is possible."""
    return dtype.__from_arrow__(found)


# ── back ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_DIGITS = 38
"""Digits of a Parquet decimal that fits 128 bits."""


def to_arrow(made: pd.DataFrame, schema: Schema) -> pa.Table:
    """Return a frame as Arrow, amounts as decimals; raises `KeyError` where a column is missing."""
    import pyarrow as pa

    def column(c: Column) -> Any:
        values = made[c.name]
        if c.kind is Kind.AMOUNT:
            return pa.array(list(values), type=pa.decimal128(_DIGITS, 0), from_pandas=True)
        return pa.array(values, from_pandas=True)

    return pa.table({c.name: column(c) for c in schema.columns})


def from_arrow(table: pa.Table, schema: Schema) -> pd.DataFrame:
    """Type what `to_arrow` made, also after Parquet. Raises `KeyError` where a column is missing."""
    import pandas as pd

    made: dict[str, Any] = {}
    for column in schema.columns:
        found = table.column(column.name)
        match column.kind:
            case Kind.CATEGORY:
                made[column.name] = _categories(found.cast("string"), column.states)
            case Kind.AMOUNT:
                made[column.name] = _amounts(found)
            case Kind.TEXT:
                made[column.name] = _texts(found)
            case Kind.COUNT:
                made[column.name] = _extension(pd.Int64Dtype(), found.cast("int64"))
            case Kind.FLAG:
                made[column.name] = _extension(pd.BooleanDtype(), found)
            case _:
                made[column.name] = found.to_pandas()
    return pd.DataFrame(made, copy=False)
