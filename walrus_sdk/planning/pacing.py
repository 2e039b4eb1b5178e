"""How many stores may be in flight at a publisher, and which publisher gets the next one. Pure.

Slow start, then a model of latency that knows sizes, with additive increase and multiplicative decrease behind it:

- From 8 requests in flight on, each answer in time allows one more, until answers come late or the publisher refuses.
- A regression over the sizes that were stored tells how long a store takes when nobody is in its way. An answer that
  took at most 1.6 times as long is in time. While more than 0.8 of the latest answers are in time, there may be more
  requests (one more for each full round); below 0.5 there are fewer. The two shares are those of xet-core's adaptive
  concurrency.
- A refusal (429) cuts the limit by 0.3, a failure (503, no connection) halves it; at most once for what was sent
  before the last cut. Late answers alone never cut below 4: a store's latency is chance as well as load.
- What was refused once is tried again with care: the last step up to it takes five times as many answers. Once it was
  taken, there is more room than before, and slow start begins anew.
- After a refusal, and after three failures in a row, a publisher rests for 1, 2, 4 … 60 seconds, or as long as it asks.

Only the wait after the last byte is judged: sending shares the uplink with other bodies, which is no sign of load.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from walrus_sdk.errors import EffectFailed, EffectUnknown, ErrorClass, NetworkError, ProtocolError, StorageError

__all__ = [
    "FIRST_PAUSE_S",
    "START",
    "Answer",
    "Lane",
    "Line",
    "Outcome",
    "Pace",
    "answered",
    "choose",
    "expected_s",
    "is_for_another",
    "limit",
    "outcome_of",
    "retry_after_of",
]

START = 8
"""Requests in flight before the first answer: what a default publisher serves at once (8, and 8 more in its buffer)."""

_LEAST = 4
"""Late answers alone never lower the limit below this many requests."""

_LATE_FACTOR = 1.6
_LATE_S = 0.25
"""An answer is late after 1.6 times the undisturbed time, and at least this many seconds more: below it is noise."""

_RAISE_ABOVE, _CUT_BELOW = 0.8, 0.5
_SHARE_WEIGHT = 0.125
"""What one answer weighs in the share of answers that came in time: about the last 8 count."""

_CUT_REFUSED, _CUT_LATE, _CUT_FAILED = 0.7, 0.7, 0.5
_KEEP = 0.95
"""What is left of an observation's weight after each further one: about the last 20 count."""

_LATE_WEIGHT = 0.125
"""What a slower observation weighs in the undisturbed line: it follows fast answers at once, slow ones slowly."""

FIRST_PAUSE_S = 1.0
"""Seconds of the first pause that a publisher did not ask for; it doubles with each one in a row, up to a minute."""

_LONGEST_PAUSE_S = 60.0
_FAILED_IN_A_ROW = 3
_TINY_S = 1e-6
_CARE = 0.2
_MIB = 2**20

_ELSEWHERE = frozenset(
    {"body_too_large", "http_error", "insecure_url", "redirect_refused", "tls_failed", "token_refused"}
)
"""Codes with which one publisher ends what another one may take."""

_NOT_ITS_FAULT = frozenset({"token_used", "token_expired"})
"""Codes of refusals that the token brought about."""


class Outcome(Enum):
    """What an answer says about its publisher.

    `STORED`: it stored something; `KNOWN`: it had it already, which says nothing of how long a store takes;
    `REFUSED`: it wants fewer requests; `FAILED`; `NOTHING`: it was not asked, or is not to blame.
    """

    STORED = "stored"
    KNOWN = "known"
    REFUSED = "refused"
    FAILED = "failed"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds by bytes: a straight line through weighted observations, older ones weigh less. Sums are over MiB."""

    weight: float = 0.0
    size: float = 0.0
    seconds: float = 0.0
    size2: float = 0.0
    product: float = 0.0

    def seen(self, size: int, seconds: float, weight: float = 1.0) -> Line:
        """Return the line with one more observation."""
        x = size / _MIB
        return Line(
            self.weight * _KEEP + weight,
            self.size * _KEEP + weight * x,
            self.seconds * _KEEP + weight * seconds,
            self.size2 * _KEEP + weight * x * x,
            self.product * _KEEP + weight * x * seconds,
        )

    def at(self, size: int) -> float | None:
        """Return the seconds for `size` bytes; `None` before the first observation. Larger never counts as faster."""
        if self.weight == 0.0:
            return None
        mean_x, mean_s = self.size / self.weight, self.seconds / self.weight
        spread = self.size2 / self.weight - mean_x * mean_x
        slope = 0.0
        if spread > 1e-6 * (1.0 + mean_x * mean_x):
            slope = max(0.0, (self.product / self.weight - mean_x * mean_s) / spread)
            slope = min(slope, mean_s / mean_x)  # a store of no bytes takes no less than no time
        return mean_s + slope * (size / _MIB - mean_x)


@dataclass(frozen=True, slots=True)
class Pace:
    """What is known of one publisher; times are seconds of a monotonic clock.

    `most`: requests in flight that the user allows. `allowed`: requests in flight now, a fraction while it grows.
    `is_starting`: slow start. `in_time`: share of the latest answers that were in time. `undisturbed`, `usual`: seconds
    from the last byte to the answer, at best and of late; `sending`: seconds until the last byte. `cut_s`: when the
    limit was last cut. `free_s`: nothing is sent before. `bad`: refusals and failures in a row. `refused_at`: requests
    in flight at the last refusal, until as many were not refused. `pause_s`: the first pause that nobody asked for.
    `knows_sizes`: whether time is told by size; without it all sizes count as one.
    """

    most: int
    allowed: float = START
    is_starting: bool = True
    in_time: float = 1.0
    undisturbed: Line = Line()
    usual: Line = Line()
    sending: Line = Line()
    cut_s: float = -math.inf
    free_s: float = -math.inf
    bad: int = 0
    refused_at: float = math.inf
    pause_s: float = FIRST_PAUSE_S
    knows_sizes: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """How one store ended: of `size` bytes, begun at `began_s`, with its last bytes sent at `sent_s` (`None`: never).

    `in_flight`: requests in flight at the publisher when it began, `at_end`: when it was answered, both with itself.
    `retry_after_s` is the pause that the publisher asked for. `jitter` is a number from 0 to 1 for the pauses
    that it did not ask for.
    """

    outcome: Outcome
    size: int
    began_s: float
    sent_s: float | None
    now_s: float
    in_flight: int
    at_end: int
    retry_after_s: float = 0.0
    jitter: float = 1.0


def limit(pace: Pace) -> int:
    """Return how many requests may be in flight at the publisher: from 1 to what the user allows."""
    return max(1, min(pace.most, int(pace.allowed)))


def expected_s(pace: Pace, size: int) -> float | None:
    """Return the seconds that a store of `size` bytes takes as of late, sending included; `None`: not known yet."""
    waiting, sending = pace.usual.at(_seen(pace, size)), pace.sending.at(_seen(pace, size))
    return None if waiting is None else waiting + (sending or 0.0)


def _seen(pace: Pace, size: int) -> int:
    return size if pace.knows_sizes else 0


def answered(pace: Pace, answer: Answer) -> Pace:
    """Return the pace after an answer."""
    if answer.outcome is Outcome.NOTHING:
        return pace
    if answer.outcome in (Outcome.REFUSED, Outcome.FAILED):
        return _refused(pace, answer)
    pace = replace(pace, bad=0)
    if (
        answer.in_flight >= pace.refused_at and answer.began_s >= pace.cut_s
    ):  # there is room again where there was none: how much, is found out anew
        pace = replace(pace, refused_at=math.inf, is_starting=True)
    if answer.outcome is Outcome.KNOWN or answer.sent_s is None:
        return _grown(pace, answer)
    return _timed(pace, answer, answer.now_s - answer.sent_s, answer.sent_s - answer.began_s)


def _refused(pace: Pace, answer: Answer) -> Pace:
    asked_s = answer.now_s + answer.retry_after_s if answer.retry_after_s > 0 else -math.inf
    pace = replace(pace, free_s=max(pace.free_s, asked_s))
    if answer.began_s < pace.cut_s:
        return pace  # sent before the last cut: it says what is known already
    pace = replace(pace, bad=pace.bad + 1)
    if answer.outcome is Outcome.REFUSED:
        pace = replace(_cut(pace, answer.now_s, _CUT_REFUSED), refused_at=float(answer.in_flight))
        return _resting(pace, answer, pace.bad - 1)
    pace = _cut(pace, answer.now_s, _CUT_FAILED)
    return _resting(pace, answer, pace.bad - _FAILED_IN_A_ROW) if pace.bad >= _FAILED_IN_A_ROW else pace


def _resting(pace: Pace, answer: Answer, times: int) -> Pace:
    pause_s = min(_LONGEST_PAUSE_S, pace.pause_s * 2 ** min(times, 16)) * (0.5 + 0.5 * answer.jitter)
    return replace(pace, free_s=max(pace.free_s, answer.now_s + pause_s))


def _cut(pace: Pace, now_s: float, factor: float, least: float = 1.0) -> Pace:
    allowed = min(pace.allowed, max(least, min(pace.allowed, pace.most) * factor))
    return replace(pace, allowed=allowed, is_starting=False, cut_s=now_s)


def _grown(pace: Pace, answer: Answer) -> Pace:
    """Allow more requests, where the limit was in the way of any; in slow start also where half of it was used."""
    used = max(answer.in_flight, answer.at_end) * (2 if pace.is_starting else 1)
    if used < limit(pace) or pace.allowed >= pace.most:
        return pace
    step = 1.0 if pace.is_starting else 1.0 / pace.allowed
    if pace.allowed + 1.0 >= pace.refused_at:
        step *= _CARE
    return replace(pace, allowed=min(float(pace.most), pace.allowed + step))


def _timed(pace: Pace, answer: Answer, waiting_s: float, sending_s: float) -> Pace:
    size = _seen(pace, answer.size)
    best_s = pace.undisturbed.at(size)
    is_slower = best_s is not None and waiting_s > best_s
    is_late = best_s is not None and waiting_s > max(best_s * _LATE_FACTOR, best_s + _LATE_S)
    pace = replace(
        pace,
        undisturbed=pace.undisturbed.seen(size, waiting_s, _LATE_WEIGHT if is_slower else 1.0),
        usual=pace.usual.seen(size, waiting_s),
        sending=pace.sending.seen(size, sending_s),
        in_time=pace.in_time + _SHARE_WEIGHT * ((0.0 if is_late else 1.0) - pace.in_time),
    )
    if not is_late and pace.in_time > _RAISE_ABOVE:
        return _grown(pace, answer)
    pace = replace(pace, is_starting=pace.is_starting and pace.in_time > _RAISE_ABOVE)
    if is_late and pace.in_time < _CUT_BELOW and answer.began_s >= pace.cut_s:
        return _cut(pace, answer.now_s, _CUT_LATE, _LEAST)
    return pace


# ── which publisher ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Lane:
    """A publisher as it stands: its pace, requests in flight there, and those whose body is still being sent."""

    pace: Pace
    in_flight: int = 0
    sending: int = 0


def choose(
    lanes: Sequence[Lane], size: int, now_s: float, max_bodies: int, behind: int = 0, besides: Container[int] = ()
) -> tuple[int, bool]:
    """Return the publisher (its place in `lanes`) that will have stored `size` bytes soonest, and whether it may begin.

    Where all places are taken, a request waits until one of those in flight is answered; so a store may do better to
    wait for a fast publisher than to go to a slow one at once. The slow one takes it all the same when it is done with
    it before the others are through with the stores that stand `behind` it. One that nobody knows counts as fast as the
    fastest. Among equals the emptier one is taken, then the first. Those in `besides` are left out, never all of them.
    """
    able = [place for place in range(len(lanes)) if place not in besides]
    known = [seconds for lane in lanes if (seconds := expected_s(lane.pace, size)) is not None]
    unknown_s = min(known, default=0.0)

    def takes(lane: Lane) -> float:
        seconds = expected_s(lane.pace, size)
        return unknown_s if seconds is None else seconds

    def ends_in(lane: Lane) -> float:
        rounds = max(1.0, (lane.in_flight + 1) / limit(lane.pace))
        wire_s = (lane.pace.sending.at(size) or 0.0) if lane.sending >= max_bodies else 0.0
        return max(0.0, lane.pace.free_s - now_s) + takes(lane) * rounds + wire_s

    def may_begin(lane: Lane) -> bool:
        has_room = lane.in_flight < limit(lane.pace) and lane.sending < max_bodies
        return has_room and lane.pace.free_s <= now_s

    def order(place: int) -> tuple[float, float, int]:
        lane = lanes[place]
        return ends_in(lane), (lane.in_flight + 1) / limit(lane.pace), place

    best = min(able, key=order)
    if may_begin(lanes[best]):
        return best, True
    ready = [place for place in able if may_begin(lanes[place])]
    if not ready:
        return best, False
    second = min(ready, key=order)
    each_s = sum(limit(lane.pace) / max(takes(lane), _TINY_S) for place, lane in enumerate(lanes) if place != second)
    through_s = ends_in(lanes[best]) + behind / each_s
    return (second, True) if ends_in(lanes[second]) <= through_s else (best, False)


# ── errors ────────────────────────────────────────────────────────────────────────────────────────────────────────


def outcome_of(error: BaseException) -> Outcome:
    """Return what the failure of a store says about its publisher."""
    cause = error.cause if isinstance(error, EffectFailed | EffectUnknown) else error
    if not isinstance(cause, NetworkError | ProtocolError | StorageError) or cause.code in _NOT_ITS_FAULT:
        return Outcome.NOTHING
    if cause.code == "rate_limited":
        return Outcome.REFUSED
    may_work = cause.error_class in (ErrorClass.RETRY, ErrorClass.LOOK_FIRST) or cause.code in _ELSEWHERE
    return Outcome.FAILED if may_work else Outcome.NOTHING


def is_for_another(error: EffectFailed) -> bool:
    """Return whether another publisher may take what this one will never take."""
    return error.cause is not None and error.cause.code in _ELSEWHERE


def retry_after_of(error: BaseException) -> float:
    """Return the seconds that the service asked to be left alone (Retry-After) with a failure; 0: it asked nothing."""
    cause = error.cause if isinstance(error, EffectFailed | EffectUnknown) else error
    asked = getattr(cause, "fields", {}).get("retry_after")
    return max(0.0, float(asked)) if isinstance(asked, int | float) else 0.0
