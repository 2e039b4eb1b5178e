"""`History`: all frames of a home, read when they are first looked at, and the questions to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from walrus_sdk import settings
from walrus_sdk.errors import ConfigurationError
from walrus_sdk.frames import parquet, plots, questions
from walrus_sdk.frames.load import JournalSource, Source, now
from walrus_sdk.frames.tables import SCHEMAS
from walrus_sdk.frames.typed import need
from walrus_sdk.model.units import DeploymentId

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from matplotlib.axes import Axes

__all__ = ["History", "Plots", "history"]

_JOURNAL = ("state", "journal.db")


def history(home: str | Path | None = None, *, parquet: str | Path | None = None) -> History:
    """Return the history of a home, or of a folder of Parquet files that `History.to_parquet` wrote.

    `home` is the state folder (default: ``WALRUS_DEPLOYMENT_HOME``, else ``~/.walrus-deployment``). It is only read:
    during a deployment, after it, after a crash, from any process. A default home without a journal has a history
    without rows. Raises `ConfigurationError` ``option_invalid`` for a place that is named and has no history,
    ``extra_missing`` without pandas and pyarrow, `StateError` when the journal cannot be read.
    """
    need("pandas", "pyarrow")
    if parquet is not None:
        if home is not None:
            raise ConfigurationError("option_invalid", "give home or parquet, not both", option="parquet")
        return History(_archive(Path(parquet).expanduser()))
    path = (Path(home).expanduser() if home is not None else settings.load().home).joinpath(*_JOURNAL)
    if home is not None and not path.is_file():
        raise ConfigurationError("option_invalid", f"{home}: no journal there ({path})", option="home")
    return History(JournalSource(path))


def _archive(folder: Path) -> Source:
    return parquet.ParquetSource(folder)


class History:
    """Frames of deployments, each read when it is first looked at and kept until `refresh`.

    A frame is of one moment (``attrs["as_of"]``); `read` gives several of the same moment. No frame is ever a sample:
    every row is there. Do not change a frame that is kept: copy it, or `read` another.
    """

    def __init__(self, source: Source, deployment: str | None = None) -> None:
        self._source = source
        self._deployment = deployment
        self._kept: dict[str, pd.DataFrame] = {}

    # ── frames ────────────────────────────────────────────────────────────────────────────────────────────────

    def read(self, *names: str) -> dict[str, pd.DataFrame]:
        """Read frames anew, all of one moment; without names all of them. Raises ``option_invalid``."""
        unknown = sorted(set(names) - set(SCHEMAS))
        if unknown:
            text = f"no frame {unknown[0]!r:.40}; known are {', '.join(SCHEMAS)}"
            raise ConfigurationError("option_invalid", text, option="names")
        return self._read(names or tuple(SCHEMAS))

    def _read(self, names: Sequence[str], columns: Collection[str] = ()) -> dict[str, pd.DataFrame]:
        found = dict(self._source.read(names, self._deployment, columns))
        if all(frame.empty for frame in found.values()):
            self._check_deployment()
        return found

    def _check_deployment(self) -> None:
        """Check that the deployment that is meant is there; in a history without any, all is empty."""
        if self._deployment is None:
            return
        all_of_them = self._source.read(("deployments",), None, ("deployment",))["deployments"]["deployment"]
        if len(all_of_them) and self._deployment not in set(all_of_them):
            text = f"this history has no deployment {self._deployment!r:.80}"
            raise ConfigurationError("deployment_not_found", text)

    def frame(self, name: str) -> pd.DataFrame:
        """Return a frame by its name. Raises `ConfigurationError` ``option_invalid``."""
        if name not in self._kept:
            self._kept |= self.read(name)
        return self._kept[name]

    def refresh(self) -> History:
        """Forget what was read; returns itself."""
        self._kept.clear()
        return self

    def only(self, deployment: str | DeploymentId) -> History:
        """Return the history of one deployment: the same frames, its rows only.

        Reading it raises `ConfigurationError` ``deployment_not_found`` where there are deployments, and not this one.
        """
        return History(self._source, str(deployment))

    @property
    def deployments(self) -> pd.DataFrame:
        """One row a deployment."""
        return self.frame("deployments")

    @property
    def files(self) -> pd.DataFrame:
        """One row a file of a deployment."""
        return self.frame("files")

    @property
    def operations(self) -> pd.DataFrame:
        """One row a planned effect."""
        return self.frame("operations")

    @property
    def attempts(self) -> pd.DataFrame:
        """One row a try of an effect."""
        return self.frame("attempts")

    @property
    def errors(self) -> pd.DataFrame:
        """One row a failure."""
        return self.frame("errors")

    @property
    def transactions(self) -> pd.DataFrame:
        """One row a signed transaction."""
        return self.frame("transactions")

    @property
    def metrics(self) -> pd.DataFrame:
        """One row a sample of a process at work."""
        return self.frame("metrics")

    @property
    def alerts(self) -> pd.DataFrame:
        """One row an alert."""
        return self.frame("alerts")

    @property
    def blobs(self) -> pd.DataFrame:
        """One row a stored blob."""
        return self.frame("blobs")

    @property
    def versions(self) -> pd.DataFrame:
        """One row a published version of a site."""
        return self.frame("versions")

    @property
    def phases(self) -> pd.DataFrame:
        """One row a stretch of a deployment's time."""
        return self.frame("phases")

    # ── questions ─────────────────────────────────────────────────────────────────────────────────────────────

    def success_rate(self, every: str = "week", by: str | Iterable[str] = ()) -> pd.DataFrame:
        """Return how deployments ended over time; see `questions.success_rate`."""
        by = questions.told_apart(by, SCHEMAS["deployments"].dtypes)
        if "deployments" in self._kept:
            return questions.success_rate(self.deployments, every, by)
        needed = {*questions.OF_SUCCESS, *by}  # counting all else takes twice as long
        found = self._read(("deployments",), needed)
        return questions.success_rate(found["deployments"], every, by)

    def slowest_files(self, n: int = 20) -> pd.DataFrame:
        """Return the files whose store took longest; see `questions.slowest_files`."""
        return questions.slowest_files(self.files, n)

    def error_patterns(self) -> pd.DataFrame:
        """Return errors by code, class and endpoint; see `questions.error_patterns`."""
        return questions.error_patterns(self.errors)

    def throughput(self, every: str = "minute") -> pd.DataFrame:
        """Return what was stored over time; see `questions.throughput`."""
        return questions.throughput(self.attempts, every)

    def cost_per_deployment(self) -> pd.DataFrame:
        """Return what each deployment cost; see `questions.cost_per_deployment`."""
        return questions.cost_per_deployment(self.deployments)

    def cost_per_page(self) -> pd.DataFrame:
        """Return what storing each path has cost; see `questions.cost_per_page`."""
        found = self.read("files", "attempts", "deployments")
        return questions.cost_per_page(found["files"], found["attempts"], found["deployments"])

    def expiring(self, within: timedelta | None = None, *, as_of: datetime | None = None) -> pd.DataFrame:
        """Return what of the sites' newest versions ends next; see `questions.expiring`."""
        found = self._source.read(("blobs", "versions"), None)  # a site may need what was stored for another
        versions = found["versions"]
        if self._deployment is not None:
            self._check_deployment()
            versions = versions[versions["deployment"] == self._deployment]
        return questions.expiring(found["blobs"], versions, as_of or now(), within)

    def phase_times(self) -> pd.DataFrame:
        """Return how long deployments were busy with what; see `questions.phase_times`."""
        return questions.phase_times(self.phases)

    @property
    def plot(self) -> Plots:
        """The questions as pictures."""
        return Plots(self)

    # ── elsewhere ─────────────────────────────────────────────────────────────────────────────────────────────

    def to_arrow(self, name: str) -> pa.Table:
        """Return a frame as an Arrow table; amounts are decimals."""
        from walrus_sdk.frames.typed import to_arrow

        return to_arrow(self.frame(name), SCHEMAS[name])

    def to_parquet(self, folder: str | Path) -> list[Path]:
        """Write all frames, of one moment, as Parquet files into a folder; `history(parquet=...)` reads them.

        Raises `ConfigurationError` ``option_invalid`` where they are there already.
        """
        return parquet.write(self.read(), Path(folder).expanduser())

    def __repr__(self) -> str:
        counts = self._source.counts(self._deployment)
        name = "History" if self._deployment is None else f"History of {self._deployment}"
        return f"{name}: " + ", ".join(f"{count:,} {frame}" for frame, count in counts.items() if count)

    def _repr_html_(self) -> str:
        counts = self._source.counts(self._deployment)
        what = "History" if self._deployment is None else f"History of {self._deployment}"
        rows = "".join(
            f'<tr><th scope="row">{escape(name)}</th><td style="text-align:right">{counts[name]:,}</td>'
            f"<td>{escape(SCHEMAS[name].meaning)}</td></tr>"
            for name in SCHEMAS
            if name in counts
        )
        head = '<tr><th scope="col">frame</th><th scope="col">rows</th><th scope="col">a row is</th></tr>'
        return f"<table><caption>{escape(what)}</caption><thead>{head}</thead><tbody>{rows}</tbody></table>"


@dataclass(frozen=True, slots=True)
class Plots:
    """A history's questions as pictures: each takes the Axes to draw on (or makes some) and returns them."""

    history: History

    def success_rate(self, every: str = "week", *, ax: Axes | None = None) -> Axes:
        """Draw how deployments ended over time."""
        return plots.success_rate(self.history.success_rate(every), ax)

    def throughput(self, every: str = "minute", *, ax: Axes | None = None) -> Axes:
        """Draw the bytes a second that were stored."""
        return plots.throughput(self.history.throughput(every), ax)

    def errors(self, *, ax: Axes | None = None) -> Axes:
        """Draw how often errors came, by code and endpoint."""
        return plots.errors(self.history.error_patterns(), ax)

    def cost(self, *, ax: Axes | None = None) -> Axes:
        """Draw what each deployment was planned to cost and did."""
        return plots.cost(self.history.cost_per_deployment(), ax)

    def phases(self, deployment: str | DeploymentId, *, ax: Axes | None = None) -> Axes:
        """Draw one deployment over time: its phases, and each try of each effect."""
        found: Mapping[str, pd.DataFrame] = self.history.only(deployment).read("phases", "attempts")
        return plots.phases(found["phases"], found["attempts"], ax)
