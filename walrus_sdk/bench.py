"""Measure your own publisher: throughput by the number of stores at once and by size, as DataFrames.

    shots = walrus_sdk.bench.measure(network="testnet", publisher="https://…", sizes=[20_000, 2_000_000])
    walrus_sdk.bench.summary(shots)

Every blob is fresh, so each store is a whole one: it is paid for by the publisher, at the network's prices.
Needs the extra ``frames``. How to read the figures: docs/how-to/measure_a_publisher.md.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.host import connect
from walrus_sdk.model.measures import STORED
from walrus_sdk.model.units import Frost

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["measure", "summary"]


def _need_frames() -> None:
    """Raise ``extra_missing`` where pandas is not installed."""
    if importlib.util.find_spec("pandas") is None:
        text = "DataFrames need pandas: pip install 'walrus-sdk[frames]'"
        raise ConfigurationError("extra_missing", text, extra="frames")


def measure(
    *,
    sizes: Sequence[int] = (20_000, 1_000_000),
    concurrency: Sequence[int] = (1, 2, 4, 8, 16),
    count: int = 16,
    epochs: int = 1,
    max_cost: Frost | None = None,
    **session: Any,
) -> pd.DataFrame:
    """Store `count` fresh blobs for each size (bytes) and number of stores at once; returns one row a store.

    `epochs`: how long they are kept, in Walrus epochs. `session`: as for `walrus_sdk.open` (network, publisher, …).
    Columns: ``size`` (bytes), ``concurrency``, ``started`` (since the round began), ``duration``, ``outcome``
    (category: ``stored`` or an error's code), ``cost_frost``, ``endpoint`` (category). Nothing is retried: a refused
    store is a row that says so. Blobs of one round are held in memory (count times size).

    Raises `LimitError` ``cost_limit`` before anything is stored when all would cost more than `max_cost`,
    `ConfigurationError` ``extra_missing`` or ``option_invalid``.
    """
    _need_frames()
    import pandas as pd

    with connect(**session) as connection:
        shots = connection.measure(sizes, concurrency, count, epochs=epochs, max_cost=max_cost).wait()
    return pd.DataFrame(
        {
            "size": pd.Series([shot.size for shot in shots], dtype="int64"),
            "concurrency": pd.Series([shot.concurrency for shot in shots], dtype="int64"),
            "started": pd.to_timedelta([shot.started_s for shot in shots], unit="s"),
            "duration": pd.to_timedelta([shot.seconds for shot in shots], unit="s"),
            "outcome": pd.Categorical([shot.outcome for shot in shots]),
            "cost_frost": pd.Series([shot.cost.units for shot in shots], dtype="int64"),
            "endpoint": pd.Categorical([shot.endpoint for shot in shots]),
        }
    )


def summary(shots: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each size and number of stores at once.

    Columns: ``size`` (bytes), ``concurrency``, ``stored`` and ``failed`` (stores), ``duration`` (of the round),
    ``stores_per_s`` and ``bytes_per_s`` (of what was stored), ``median`` and ``slowest`` (of the stores that
    succeeded), ``cost_frost``.
    """
    is_good = shots["outcome"] == STORED
    wide = shots.assign(good=is_good, end=shots["started"] + shots["duration"], fine=shots["duration"].where(is_good))
    rounds = wide.groupby(["size", "concurrency"], sort=True)
    found = rounds.agg(
        stored=("good", "sum"),
        failed=("good", lambda good: int((~good).sum())),
        duration=("end", "max"),
        median=("fine", "median"),
        slowest=("fine", "max"),
        cost_frost=("cost_frost", "sum"),
    ).reset_index()
    seconds = found["duration"].dt.total_seconds()
    found.insert(5, "stores_per_s", found["stored"] / seconds)
    found.insert(6, "bytes_per_s", found["stored"] * found["size"] / seconds)
    return found
