"""What rules are held against: the state of a home at one instant, as frozen values with their units."""

from __future__ import annotations

from dataclasses import dataclass

from walrus_sdk.model.deployment import Status
from walrus_sdk.model.network import EPOCH_S
from walrus_sdk.watch.runs import Run, Try

__all__ = ["RunView", "SiteView", "View", "Wallet", "ends_ms", "waits_for"]


@dataclass(frozen=True, slots=True)
class RunView:
    """One deployment. Times are milliseconds since 1970 UTC.

    `status` is a `Status` value; `is_live`: a process works on it. `is_mended`: it is not complete, and a later
    deployment of the same site is. `is_paused`: somebody asked that nothing new begins. `waiting` says what it waits
    for. `memory_bytes` and `open_files` are those of its process; `spent_frost` and `cap_frost` what its storage has
    cost, and may. `None`: not known.
    """

    deployment: str
    site_name: str
    network: str
    status: str
    progressed_ms: int
    is_live: bool = True
    is_mended: bool = False
    is_paused: bool = False
    reason: str = ""
    waiting: str = ""
    memory_bytes: int | None = None
    open_files: int | None = None
    spent_frost: int = 0
    cap_frost: int | None = None
    tries: tuple[Try, ...] = ()


@dataclass(frozen=True, slots=True)
class SiteView:
    """One site: the end epoch of what it serves that ends first, and when that is at the earliest.

    `ends_ms` is `None` where epochs follow no clock and the end has not come.
    """

    site_id: str
    name: str
    network: str
    end_epoch: int
    ends_ms: int | None


@dataclass(frozen=True, slots=True)
class Wallet:
    """What the owner of the sites has: MIST, and FROST (`None` where WAL's type is not known)."""

    mist: int
    frost: int | None


@dataclass(frozen=True, slots=True)
class View:
    """A home at `at_ms` (milliseconds since 1970 UTC). `None`: not looked at, so that nothing is said about it.

    `tries` are those that ended within the longest window of any rule, over all deployments, in order of their end.
    """

    at_ms: int
    runs: tuple[RunView, ...] = ()
    tries: tuple[Try, ...] = ()
    sites: tuple[SiteView, ...] | None = None
    disk_free_bytes: int | None = None
    wallet: Wallet | None = None


def waits_for(run: Run, at_ms: int) -> str:
    """Return in words what a deployment waits for, by its events alone."""
    if run.under_way:
        one = run.under_way[0]
        asked = "the answer to" if one.released_ms is not None else "sending"
        more = f", and {len(run.under_way) - 1} more" if len(run.under_way) > 1 else ""
        what = f"{one.kind} {one.operation or one.name}"
        return f"{asked} {what} (try {one.number}) for {(at_ms - one.began_ms) // 1000} s{more}"
    if run.tries and run.tries[-1].is_failure:
        last = run.tries[-1]
        return f"the next try of {last.kind} {last.operation or last.name}, which met {last.code}"
    return {
        Status.PENDING.value: "its first store",
        Status.UPLOADING.value: "the next store",
        Status.PROCESSING.value: "the site's transactions, or its verification",
    }.get(run.status, "")


def ends_ms(network: str, planned_ms: int, epoch: int, end_epoch: int) -> int | None:
    """Return when `end_epoch` may begin at the earliest, when `epoch` was the current one at `planned_ms`.

    An epoch that was seen may have been at its end: what is left of it is not counted on.
    """
    length_s = EPOCH_S.get(network)
    if length_s is None:
        return None
    return planned_ms + max(0, end_epoch - epoch - 1) * length_s * 1000
