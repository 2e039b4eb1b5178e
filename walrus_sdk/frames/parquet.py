"""Frames as Parquet files, one each, in a folder: for archives, and for other programs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.frames import typed
from walrus_sdk.frames.tables import SCHEMAS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ParquetSource", "write"]

T = TypeVar("T")

_FORMAT = b"1"
_MODE = 0o600


def write(frames: Mapping[str, pd.DataFrame], folder: Path, as_of: datetime | None = None) -> list[Path]:
    """Write frames as ``<name>.parquet`` (zstd), readable by their owner only; returns the files.

    Raises `ConfigurationError` ``option_invalid`` where a file of such a name is there already.
    """
    typed.need("pyarrow")
    import pyarrow.parquet as pq

    paths = [folder / f"{name}.parquet" for name in frames]
    there = [path for path in paths if path.exists()]
    if there:
        raise ConfigurationError(
            "option_invalid", f"{there[0]} is there already; name a new folder", path=str(there[0])
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path, (name, made) in zip(paths, frames.items(), strict=True):
        when = made.attrs.get("as_of") or (as_of.isoformat() if as_of is not None else "")
        about = {b"walrus_sdk": _FORMAT, b"schema": name.encode(), b"as_of": when.encode()}
        table = typed.to_arrow(made, SCHEMAS[name])
        path.touch(mode=_MODE)
        pq.write_table(
            table.replace_schema_metadata({**(table.schema.metadata or {}), **about}), path, compression="zstd"
        )
    return paths


class ParquetSource:
    """A folder that `write` made."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "deployments.parquet").is_file():
            raise ConfigurationError("option_invalid", f"{folder} has no deployments.parquet", path=str(folder))
        self._folder = folder

    def read(
        self, names: Sequence[str], deployment: str | None = None, only: Collection[str] = ()
    ) -> Mapping[str, pd.DataFrame]:
        """Read frames; see `Source`. Raises `ConfigurationError` ``option_invalid`` for a file of another form."""
        typed.need("pandas", "pyarrow")
        found = {name: self._frame(name, deployment) for name in names}
        return {name: made[[c.name for c in SCHEMAS[name].narrow(only).columns]] if only else made
                for name, made in found.items()}  # fmt: skip

    def _frame(self, name: str, deployment: str | None) -> pd.DataFrame:
        import pyarrow.parquet as pq

        path = self._folder / f"{name}.parquet"
        table = self._checked(path, lambda: pq.read_table(path))
        made: pd.DataFrame = self._checked(path, lambda: typed.from_arrow(table, SCHEMAS[name]))
        made.attrs = {"schema": name, "as_of": (table.schema.metadata or {}).get(b"as_of", b"").decode()}
        if deployment is None:
            return made
        kept = made[made["deployment"] == deployment].reset_index(drop=True)
        kept.attrs = made.attrs
        return kept

    def _checked(self, path: Path, work: Callable[[], T]) -> T:
        try:
            return work()
        except (OSError, KeyError, ValueError) as error:
            text = f"{path}: not a frame of this program: {error}"
            raise ConfigurationError("option_invalid", text, path=str(path)) from error

    def counts(self, deployment: str | None = None) -> Mapping[str, int]:
        """Count rows; see `Source`."""
        import pyarrow.parquet as pq

        found = {path.stem: path for path in sorted(self._folder.glob("*.parquet")) if path.stem in SCHEMAS}
        if deployment is not None:
            return {name: len(self._frame(name, deployment)) for name in SCHEMAS if name in found}
        return {name: pq.read_metadata(found[name]).num_rows for name in SCHEMAS if name in found}
