"""Large frames by ADBC, in a process of its own: ``python -m walrus_sdk.frames.fast``.

ADBC brings a SQLite of its own, and two of them in one process take each other's locks away (POSIX locks belong to
the process: closing a file drops them all, and the second one takes the first one's index of the log for its own;
https://www.sqlite.org/howtocorrupt.html, 2.2.1). A deployment may run in this very process, so ADBC gets another one.
It reads one moment of the journal and hands every table back as an Arrow stream through a pipe.

ADBC takes a column's type from the first rows, and fails where later ones differ: before them stands a row of the
right types, which is left out again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from walrus_sdk.errors import StateError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["main", "read_tables", "typed_query"]

_BATCH_ROWS = "65536"
_PIPE = subprocess.PIPE


def typed_query(query: str, schema: pa.Schema) -> str:
    """Return a query with a row before its own that has the type of every column."""
    import pyarrow as pa

    def value(kind: pa.DataType) -> str:
        return "1" if pa.types.is_integer(kind) else "1.0" if pa.types.is_floating(kind) else "'x'"

    first = ", ".join(value(field.type) for field in schema)
    return f"select {first} union all select * from ({query})"  # noqa: S608  # the program's own text


def read_tables(journal: Path, queries: Sequence[tuple[str, Sequence[str]]], schemas: Sequence[pa.Schema]) -> Any:
    """Run queries with their parameters on one moment of a journal; return a table each.

    Raises `StateError` ``state_io`` when the other process fails, for whatever reason.
    """
    import pyarrow as pa

    asked = [
        (typed_query(query, schema), list(values)) for (query, values), schema in zip(queries, schemas, strict=True)
    ]
    order = json.dumps({"journal": f"{journal.absolute().as_uri()}?mode=ro", "queries": asked})
    command = [sys.executable, "-P", "-m", __name__]
    with tempfile.TemporaryFile() as said:
        try:
            with subprocess.Popen(command, stdin=_PIPE, stdout=_PIPE, stderr=said) as child:
                try:
                    assert child.stdin is not None
                    assert child.stdout is not None
                    with child.stdin as writing:
                        writing.write(order.encode())
                    return [_whole(pa.ipc.open_stream(child.stdout).read_all(), schema) for schema in schemas]
                finally:
                    child.kill()
        except (OSError, ValueError) as error:  # no process can be started, or it failed: Arrow's are ValueErrors
            said.seek(0)
            last = said.read().decode(errors="replace").strip().rpartition("\n")[2]
            text = f"{journal}: the fast path failed: {last or error}"
            raise StateError("state_io", text, path=str(journal)) from error


def _whole(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Leave the first row out and take the names and types that are meant."""
    return table.slice(1).rename_columns(schema.names).cast(schema)


def main(reading: IO[bytes], writing: IO[bytes]) -> None:
    """Do what the other side asks: run queries, write each result as an Arrow stream."""
    import adbc_driver_manager as adbc
    import adbc_driver_sqlite
    import pyarrow as pa

    order = json.loads(reading.read())
    with adbc_driver_sqlite.connect(order["journal"]) as database, adbc.AdbcConnection(database) as connection:
        connection.set_autocommit(False)
        for query, values in order["queries"]:
            with adbc.AdbcStatement(connection) as statement:
                statement.set_options(**{"adbc.sqlite.query.batch_rows": _BATCH_ROWS})
                statement.set_sql_query(query)
                if values:
                    bound = pa.RecordBatch.from_pydict({str(place): [value] for place, value in enumerate(values)})
                    statement.bind(bound, bound.schema)
                handle, _ = statement.execute_query()
                batches = pa.RecordBatchReader._import_from_c(handle.address)
                with pa.ipc.new_stream(writing, batches.schema) as stream:
                    for batch in batches:
                        stream.write_batch(batch)
        writing.flush()


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
