"""How fast it goes, and when it will be over: pure functions from samples, and from what earlier deployments took.

An estimate is what can be said now; an `Eta` is what was told. A told moment comes nearer by itself, and moves away
only with a reason that is said with it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.samples import Sample
from walrus_sdk.model.views import Eta, Rates
from walrus_sdk.watch.progress import size

__all__ = ["Estimate", "Meter", "Run", "counted_bytes", "estimate", "learn", "observe", "revise"]

_SMOOTH_S = 20.0
"""Time constant of the smoothed rate in seconds: a quilt's answer comes in one piece, and is to be no jump."""
_ALIKE = 8.0
"""Deployments whose bytes differ by more than this factor tell nothing of each other's uploads."""
_FIRST_CHAIN_S, _FIRST_CHECK_S = 5.0, 0.05
"""Seconds for the transactions, and for each file that is read back, before any deployment has told better."""
_MOST_CHECKS = 200
"""Files that are read back where it is not known yet how many will be; as `--verify` has it for large sites."""
_SLACK_S, _SLACK = 1.0, 0.05
"""An end that is later by less, in seconds or as a share of what is left, is the same end."""
_GAIN = 0.25
"""How much of a gain is told at once: an end that wavers is not to creep to its earliest guess."""
_SLOWER = 0.9
"""A rate below this share of what it was is a reason."""


# ── rates ─────────────────────────────────────────────────────────────────────────────────────────────────────────


_UNKNOWN = Rates()


@dataclass(frozen=True, slots=True)
class Meter:
    """What rates are told from: the last sample, and the rates that it came to (bytes a second)."""

    incarnation: int = 0
    at_ms: int = 0
    sent: int = 0
    counted: float = 0.0
    rates: Rates = _UNKNOWN


def counted_bytes(sample: Sample) -> float:
    """Return the bytes of a sample that count: confirmed ones, and half of those that are sent and not confirmed.

    A store is over when it is answered; that its bytes have left is half of the way.
    """
    return sample.progress.bytes_confirmed + sum(sample.sending.values()) / 2


def observe(meter: Meter, sample: Sample) -> Meter:
    """Take a sample in. A new owner begins anew: what it takes over from the journal was not stored at any rate."""
    counted = counted_bytes(sample)
    fresh = Meter(sample.incarnation, sample.wall_ms, sample.progress.bytes_sent, counted)
    seconds = (sample.wall_ms - meter.at_ms) / 1000
    if meter.incarnation != sample.incarnation or sample.progress.phase is not Phase.STORE or seconds < 0:
        return fresh  # also where the clock was set back
    if seconds == 0:
        return replace(fresh, rates=meter.rates)
    now = max(0, fresh.sent - meter.sent) / seconds
    moved = max(0.0, counted - meter.counted) / seconds
    if sample.progress.paused:
        return replace(fresh, rates=Rates(now, meter.rates.smooth))  # that nothing new begins is no slowness
    if meter.rates.smooth is None:
        return replace(fresh, rates=Rates(now, moved or None))
    weight = 1 - math.exp(-seconds / _SMOOTH_S)
    return replace(fresh, rates=Rates(now, meter.rates.smooth + weight * (moved - meter.rates.smooth)))


# ── history ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Run:
    """What an earlier deployment took: seconds of its uploads, transactions and reading back, and of how much."""

    store_s: float
    bytes: int
    chain_s: float
    verify_s: float
    checks: int


def learn(samples: Iterable[Sample | None]) -> tuple[Run, ...]:
    """Return what the last samples of earlier deployments tell; only those that one owner brought to its end do."""
    return tuple(
        Run(
            last.phases_s.get(Phase.STORE, 0.0),
            last.progress.bytes_confirmed,
            last.phases_s.get(Phase.CHAIN, 0.0),
            last.phases_s.get(Phase.VERIFY, 0.0),
            last.progress.checks_done,
        )
        for last in samples
        if last is not None and last.incarnation == 1 and last.progress.phase is Phase.DONE
    )


# ── estimates ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds that are left, the band that they lie in, and what that is told from."""

    seconds: float
    low_s: float
    high_s: float
    basis: str


_Span = tuple[float, float, float]
"""Seconds: expected, low, high."""
_OVER: _Span = (0.0, 0.0, 0.0)


def estimate(sample: Sample, rates: Rates, past: Sequence[Run], now_ms: int) -> Estimate | None:
    """Return how long a deployment still takes; `None` where nothing tells it: no rate yet, and no history.

    Uploads: what is left at the smoothed rate, and what earlier uploads of like size took, scaled by bytes; the more
    is done, the more the rate counts, and what takes longer than before is told by it alone. Transactions and reading
    back: what they took before. The band is that of the middle 60 % of earlier deployments, and at least as wide as the
    rate is uncertain.
    """
    progress = sample.progress
    if progress.phase is Phase.DONE:
        return None
    aged_s = max(0.0, now_ms - sample.wall_ms) / 1000
    spent_s = sample.phases_s.get(progress.phase, 0.0) + aged_s
    store = _OVER
    basis = _by(past)
    if progress.phase in (Phase.SCAN, Phase.PLAN, Phase.STORE):
        found = _store(sample, rates, past, spent_s, aged_s)
        if found is None:
            return None
        store, basis = found
    in_chain = progress.phase is Phase.CHAIN
    chain = _OVER if progress.phase is Phase.VERIFY else _left(_chain(past), spent_s if in_chain else 0.0)
    verify = _verify(progress, past, spent_s)
    seconds, low, high = (sum(parts) for parts in zip(store, chain, verify, strict=True))
    return Estimate(seconds, min(low, seconds), max(high, seconds), basis)


def _store(
    sample: Sample, rates: Rates, past: Sequence[Run], spent_s: float, aged_s: float
) -> tuple[_Span, str] | None:
    progress = sample.progress
    total, counted = progress.bytes_total, counted_bytes(sample)
    if progress.phase is Phase.STORE and progress.stores_confirmed >= progress.stores_total:
        return _OVER, _by(past)
    share = min(1.0, counted / total) if total else 0.0
    like = [run.store_s * total / run.bytes for run in past if run.bytes and 1 / _ALIKE <= total / run.bytes <= _ALIKE]
    rated: _Span | None = None
    if rates.smooth:
        left_s = max(0.0, (total - counted) / rates.smooth - aged_s)
        doubt = 0.5 * (1 - share)
        rated = (left_s, left_s * (1 - doubt), left_s * (1 + 2 * doubt))
    before = _before(like, sample, share, spent_s, is_rated=rated is not None)
    if rated is None or before is None:
        if rated is not None:
            return rated, f"by its rate, what follows {_by(past)}" if past else "by its rate"
        return None if before is None else (before, _by(like))
    seconds, low, high = (share * one + (1 - share) * other for one, other in zip(rated, before, strict=True))
    return (seconds, min(low, rated[1]), max(high, rated[2])), f"by its rate and {_earlier(like)}"


def _before(like: Sequence[float], sample: Sample, share: float, spent_s: float, *, is_rated: bool) -> _Span | None:
    """Return what is left of what it took before; `None` where its own rate tells better.

    While there is no rate the time that is spent is all that is known, but of a later owner, who has spent other time
    than its share says. With a rate what is left is told by the share that is, within the time that it took before;
    what takes longer than that is not told by it.
    """
    if not like:
        return None
    whole = _band(like)
    if not is_rated and sample.incarnation == 1:
        return _left(whole, spent_s)
    rest_s = whole[2] - spent_s
    if is_rated and rest_s < 0:
        return None
    span = [part * (1 - share) for part in whole]
    return tuple(min(part, rest_s) for part in span) if is_rated else tuple(span)  # type: ignore[return-value]


def _by(past: Sequence[object]) -> str:
    return f"by {_earlier(past)}" if past else "by what is usual"


def _earlier(past: Sequence[object]) -> str:
    return f"{len(past)} earlier deployment{'' if len(past) == 1 else 's'}"


def _chain(past: Sequence[Run]) -> _Span:
    return _band([run.chain_s for run in past if run.chain_s] or [_FIRST_CHAIN_S])


def _verify(progress: Progress, past: Sequence[Run], spent_s: float) -> _Span:
    checks = progress.checks_total or min(progress.files_found, _MOST_CHECKS)
    if progress.phase is Phase.VERIFY and progress.checks_done:
        left = spent_s / progress.checks_done * max(0, checks - progress.checks_done)
        return left, left, left
    each = _band([run.verify_s / run.checks for run in past if run.checks] or [_FIRST_CHECK_S])
    return each[0] * checks, each[1] * checks, each[2] * checks


def _band(values: Sequence[float]) -> _Span:
    """Return the median of some figures and the middle 60 % of them."""
    if len(values) == 1:
        return values[0], values[0] / 2, values[0] * 2
    fifths = statistics.quantiles(values, n=5, method="inclusive")
    return statistics.median(values), fifths[0], fifths[-1]


def _left(whole: _Span, spent_s: float) -> _Span:
    """Return what is left of a whole when some of it is spent; an end that is overdue is near, not past."""
    return tuple(max(0.0, part - spent_s) for part in whole)  # type: ignore[return-value]  # three, as they came


# ── what is told ──────────────────────────────────────────────────────────────────────────────────────────────────


def revise(
    told: Eta | None, found: Estimate | None, now_ms: int, before: tuple[Progress, Rates], now: tuple[Progress, Rates]
) -> Eta | None:
    """Return what is told after `told`: an end that is later by more than a little says why.

    `before` and `now` are progress and rates when `told` was made, and now. Without an estimate what was told stands,
    until it is over.
    """
    if found is None:
        return _passed(told, now_ms) if told is not None and now[0].phase is not Phase.DONE else None
    if told is None:
        return Eta(now_ms, found.seconds, found.low_s, found.high_s, found.basis)
    was_s = (told.finish_ms - now_ms) / 1000
    later_s = found.seconds - was_s
    if later_s > max(_SLACK_S, _SLACK * found.seconds):
        return Eta(now_ms, found.seconds, found.low_s, found.high_s, found.basis, _reason(before, now))
    seconds = max(0.0, was_s + _GAIN * later_s if later_s < 0 else was_s)
    return Eta(now_ms, seconds, min(found.low_s, seconds), max(found.high_s, seconds), found.basis, told.reason)


def _passed(told: Eta, now_ms: int) -> Eta:
    gone = (now_ms - told.at_ms) / 1000
    left = [max(0.0, value - gone) for value in (told.seconds, told.low_s, told.high_s)]
    return replace(told, at_ms=now_ms, seconds=left[0], low_s=left[1], high_s=left[2])


def _reason(before: tuple[Progress, Rates], now: tuple[Progress, Rates]) -> str:
    """Say why an end is later than it was."""
    (then, then_rates), (progress, rates) = before, now
    if progress.waiting:
        return progress.waiting
    if progress.retries > then.retries:
        return f"{progress.retries - then.retries} tried again"
    more = progress.bytes_total - then.bytes_total
    if more > 0:
        return f"{size(more)} more to store"
    if progress.transactions_total > then.transactions_total > 0:
        return f"{progress.transactions_total - then.transactions_total} transactions more"
    if progress.checks_total > then.checks_total > 0:
        return f"{progress.checks_total - then.checks_total} files more to read back"
    if then_rates.smooth and rates.smooth is not None and rates.smooth < _SLOWER * then_rates.smooth:
        return f"slower: {size(round(rates.smooth))}/s, was {size(round(then_rates.smooth))}/s"
    return f"{_TAKES[progress.phase]} longer than expected"


_TAKES = {
    Phase.SCAN: "reading the folder takes",
    Phase.PLAN: "planning takes",
    Phase.STORE: "answers to stores take",
    Phase.CHAIN: "transactions take",
    Phase.VERIFY: "reading back takes",
    Phase.DONE: "it takes",
}
