"""Questions to frames: each takes DataFrames and returns a tidy one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.model.deployment import Status
from walrus_sdk.model.shares import shared_out

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "OF_SUCCESS",
    "cost_per_deployment",
    "cost_per_page",
    "error_patterns",
    "expiring",
    "phase_times",
    "slowest_files",
    "success_rate",
    "throughput",
]

OF_SUCCESS = ("verb", "status", "start", "end", "duration", "new_paths", "new_path_bytes")
"""The columns of `deployments` that `success_rate` needs."""
_MADE = ("start", "files", "bytes")
"""Columns of `deployments` whose names mean something else in `success_rate`."""
_PUBLISHING = ("deploy", "rollback")
"""Runs that publish; the others are cleanups and records."""
_STEPS = {"second": "s", "minute": "min", "hour": "h", "day": "D"}
_MIB = 2**20
_DAY_S = 86_400


def _begin(times: Any, every: str) -> Any:
    """Return the begin of the stretch of time that each moment is in. Raises ``option_invalid``."""
    from pandas.tseries.frequencies import to_offset

    if every in ("week", "month"):
        days = times.dt.floor("D")
        past = days.dt.day_of_week if every == "week" else days.dt.day - 1
        return days - past.astype("int64").astype("timedelta64[s]") * _DAY_S
    try:
        step = _STEPS.get(every, every)
        begins, is_forward = times.dt.floor(step), to_offset(step).n > 0
    except (ValueError, TypeError, AttributeError, ArithmeticError):  # what is no text, and no time, included
        is_forward = False
    if not is_forward:
        text = f"every: expected second, minute, hour, day, week, month or a fixed pandas offset, found {every!r:.40}"
        raise ConfigurationError("option_invalid", text, option="every")
    return begins


def told_apart(by: str | Iterable[str], columns: Collection[str]) -> tuple[str, ...]:
    """Return the columns that `by` names, a text being one name. Raises `ConfigurationError` ``option_invalid``."""
    names = [by] if isinstance(by, str) or not isinstance(by, Iterable) else list(by)
    known = [name for name in columns if name not in _MADE]
    wrong = [name for name in names if name not in known]
    if wrong:
        text = f"by: expected columns of {', '.join(known)}, found {wrong[0]!r:.40}"
        raise ConfigurationError("option_invalid", text, option="by")
    return tuple(dict.fromkeys(names))


def success_rate(deployments: pd.DataFrame, every: str = "week", by: str | Iterable[str] = ()) -> pd.DataFrame:
    """Return how deployments ended, by the time of their start.

    `every`: ``second``, ``minute``, ``hour``, ``day``, ``week`` (from Monday), ``month``, all in UTC, or a fixed
    pandas offset (``"10min"``); times without a deployment have no row. `by`: more columns to tell apart, one or
    several (``network``, ``site_name``, …). Columns: those, ``start``, ``deployments``, ``completed``, ``failed``,
    ``cancelled``, ``unfinished``, ``rate`` (completed of those that ended; NaN when none has), ``median_duration``
    (of those completed), ``files`` and ``bytes`` (of paths whose content was to be stored). Cleanups and
    records are left out.
    """
    by = told_apart(by, list(deployments.columns))
    deployments = deployments[deployments["verb"].isin(_PUBLISHING)]
    keys, counts = [*by, "start"], ["deployments", "completed", "failed", "cancelled", "files", "bytes"]
    wide = deployments[list(by)].assign(
        start=_begin(deployments["start"], every),
        deployments=1,
        **{
            state.value: (deployments["status"] == state.value).to_numpy(dtype="int64")
            for state in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)
        },
        files=deployments["new_paths"],
        bytes=deployments["new_path_bytes"],
    )
    wide["lasted"] = deployments["duration"].where(wide["completed"] == 1)
    groups = wide.groupby(keys, observed=True, dropna=False)
    found = groups[counts].sum()
    found["median_duration"] = groups["lasted"].median()
    found = found.reset_index()
    ended = found["completed"] + found["failed"] + found["cancelled"]
    found["unfinished"] = found["deployments"] - ended
    found["rate"] = found["completed"].astype("float64") / ended.where(ended > 0)
    listed = ["deployments", "completed", "failed", "cancelled", "unfinished", "rate", "median_duration"]
    return found[[*keys, *listed, "files", "bytes"]]


def slowest_files(files: pd.DataFrame, n: int = 20) -> pd.DataFrame:
    """Return the `n` files whose store took longest, the slowest first.

    A file of a quilt took as long as its quilt. Columns: ``deployment``, ``path``, ``size`` (bytes), ``duration``,
    ``attempts``, ``operation``, ``blob_id``.
    """
    found = files.nlargest(n, "duration") if len(files) else files
    found = found[found["duration"].notna()]
    return found[["deployment", "path", "size", "duration", "attempts", "operation", "blob_id"]].reset_index(drop=True)


def error_patterns(errors: pd.DataFrame) -> pd.DataFrame:
    """Return which errors come together: by code, class, kind of effect and endpoint, the most frequent first.

    Columns: those, ``count``, ``share`` (of all errors), ``deployments`` (that met it), ``first``, ``last``,
    ``message`` (the last one's).
    """
    keys = ["code", "error_class", "kind", "endpoint"]
    found = (
        errors.sort_values("time")
        .groupby(keys, observed=True, dropna=False)
        .agg(
            count=("event", "size"),
            deployments=("deployment", "nunique"),
            first=("time", "min"),
            last=("time", "max"),
            message=("message", "last"),
        )
        .reset_index()
        .astype({"count": "int64", "deployments": "int64"})
    )
    found.insert(5, "share", found["count"] / max(1, len(errors)))
    return found.sort_values(["count", "last"], ascending=False, kind="stable").reset_index(drop=True)


def throughput(attempts: pd.DataFrame, every: str = "minute") -> pd.DataFrame:
    """Return what was stored, by the time of its end; `every` as in `success_rate`.

    Columns: ``start``, ``stores``, ``bytes``, ``failed`` (tries in that time), ``busy`` (time in which at least one
    try was under way, of those that ended then), ``stores_per_s`` and ``bytes_per_s`` (by the busy time).
    """
    over = attempts[(attempts["kind"] == "store") & attempts["end"].notna()]
    good = over["outcome"] == "done"
    wide = over[["start", "end"]].assign(
        at=_begin(over["end"], every),
        stores=good.astype("int64"),
        failed=(~good).astype("int64"),
        bytes=over["bytes"].where(good, 0).fillna(0).astype("int64"),
    )
    wide = wide.sort_values(["at", "start"], kind="stable")
    before = wide.groupby("at")["end"].cummax().groupby(wide["at"]).shift()
    begun = wide["start"].where(before.isna() | (wide["start"] > before), before)
    span = wide["end"] - begun
    wide["busy"] = span.where(span > timedelta(0), timedelta(0))
    found = wide.groupby("at")[["stores", "bytes", "failed", "busy"]].sum().reset_index()
    found = found.rename(columns={"at": "start"})
    seconds = found["busy"].dt.total_seconds()
    seconds = seconds.where(seconds > 0)
    found["stores_per_s"] = found["stores"].astype("float64") / seconds
    found["bytes_per_s"] = found["bytes"].astype("float64") / seconds
    return found


def cost_per_deployment(deployments: pd.DataFrame) -> pd.DataFrame:
    """Return what deployments cost, planned and paid, and what they did not have to store.

    Columns: ``deployment``, ``site_name``, ``network``, ``status``, ``start``, ``planned_frost``, ``paid_frost``,
    ``planned_mist``, ``gas_mist``, ``new_bytes``, ``saved_bytes`` (stored before), ``frost_per_mib`` (paid, by new
    bytes; NaN when there are none). Cleanups and records are left out.
    """
    named = ["deployment", "site_name", "network", "status", "start", "planned_frost", "paid_frost", "planned_mist"]
    found = deployments[deployments["verb"].isin(_PUBLISHING)].reset_index(drop=True)
    size = found["new_bytes"].astype("float64").where(found["new_bytes"] > 0) / _MIB
    made = found[[*named, "gas_mist", "new_bytes", "saved_bytes"]]
    return made.assign(frost_per_mib=found["paid_frost"].astype("float64") / size)


def cost_per_page(files: pd.DataFrame, attempts: pd.DataFrame, deployments: pd.DataFrame) -> pd.DataFrame:
    """Return what storing each path has cost, or may have, over all deployments, the dearest first.

    What a store cost is shared by the bytes of its contents, in whole FROST, and nothing gets lost; a content at
    several paths counts at the first of them, the others cost nothing (`model.shares`). Columns:
    ``site_name``, ``network``, ``path``, ``stores`` (how often it was stored), ``bytes`` (in all), ``paid_frost``.
    """
    import numpy as np
    import pandas as pd

    keys = ["deployment", "operation"]
    tries = attempts[(attempts["kind"] == "store") & (attempts["outcome"] != "failed") & attempts["frost"].notna()]
    paid = tries.groupby(keys)["frost"].sum().rename("paid_frost").reset_index().astype({"paid_frost": "object"})
    mine = files[files["operation"].notna()].merge(paid, on=keys).sort_values([*keys, "path"]).reset_index(drop=True)
    first = mine[~mine.duplicated([*keys, "sha256"])]
    stores = first.groupby(keys, sort=False).ngroup()
    share = np.zeros(len(mine), dtype=object)
    share[first.index] = _shares(stores.tolist(), first["size"].tolist(), first["paid_frost"].tolist())
    named = deployments[["deployment", "site_name", "network"]]
    wide = mine[["deployment", "path", "size"]].assign(paid_frost=share).merge(named, on="deployment", how="left")
    found = (
        wide.groupby(["site_name", "network", "path"], observed=True, dropna=False)
        .agg(stores=("size", "size"), bytes=("size", "sum"), paid_frost=("paid_frost", "sum"))
        .reset_index()
        .astype({"stores": "int64", "bytes": "int64", "paid_frost": "object"})
    )
    order = np.argsort([-int(value) for value in found["paid_frost"]], kind="stable")
    return pd.DataFrame(found.iloc[order]).reset_index(drop=True)


def _shares(stores: Sequence[int], sizes: Sequence[int], paid: Sequence[int]) -> list[int]:
    """Return what each content cost: `stores` numbers the store that it is in, `paid` is what that store cost."""
    found: list[int] = []
    for _, rows in groupby(zip(stores, sizes, paid, strict=True), key=itemgetter(0)):
        _, its_sizes, costs = zip(*rows, strict=True)
        found += shared_out(costs[0], its_sizes)
    return found


def expiring(
    blobs: pd.DataFrame, versions: pd.DataFrame, as_of: datetime, within: timedelta | None = None
) -> pd.DataFrame:
    """Return the blobs of sites' newest versions, what ends first before the others: a row for each site and blob.

    A blob that this home knows nothing of has no end.
    `within`: only those that may end so soon; where epochs follow no clock (local) that is not known, and none is left
    out. Columns: ``site_name``, ``network``, ``blob_id``, ``end_epoch``, ``epochs_left``, ``end`` (the earliest),
    ``left`` (from `as_of` to it), ``current_files`` (that would be missing), ``size`` (bytes).
    """
    import pandas as pd

    newest = versions[versions["blobs"].notna()]
    held = [(place, *one.split(" ")) for place, text in enumerate(newest["blobs"]) for one in text.split(", ")]
    found = newest.iloc[[place for place, *_ in held]][["chain", "site_name", "network"]].reset_index(drop=True)
    found["blob_id"] = pd.Series([blob_id for _, blob_id, _ in held], dtype="str")
    found["current_files"] = pd.Series([int(files) for *_, files in held], dtype="int64")
    facts = blobs[["chain", "blob_id", "end_epoch", "epochs_left", "end", "size"]]
    found = found.merge(facts, on=["chain", "blob_id"], how="left")
    found = found.assign(left=(found["end"] - as_of).astype("timedelta64[us]"))
    if within is not None:
        found = found[~(found["left"] > within)]
    named = ["site_name", "network", "blob_id", "end_epoch", "epochs_left", "end", "left", "current_files", "size"]
    found = found.sort_values(["end", "epochs_left", "current_files"], ascending=[True, True, False], kind="stable")
    return found[named].reset_index(drop=True)


def phase_times(phases: pd.DataFrame) -> pd.DataFrame:
    """Return how long each deployment was busy with each phase, all owners together.

    Columns: ``deployment``, ``phase``, ``start`` (of the first stretch), ``duration``, ``share`` (of its deployment's
    time; NaN when that is 0).
    """
    keys = ["deployment", "phase"]
    found = phases.groupby(keys, observed=True).agg(start=("start", "min"), duration=("duration", "sum")).reset_index()
    found = found.sort_values(["start", "deployment"], kind="stable").reset_index(drop=True)
    seconds = found["duration"].dt.total_seconds()
    whole = seconds.groupby(found["deployment"]).transform("sum")
    return found.assign(share=seconds / whole.where(whole > 0))
