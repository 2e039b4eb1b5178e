"""What to do after a failure, as a pure function: again after a pause, look first, or stop."""

from __future__ import annotations

from dataclasses import dataclass

from walrus_sdk.errors import EffectFailed, EffectUnknown, ErrorClass, StateError, WalrusError
from walrus_sdk.model.options import RecoveryOptions

__all__ = ["LOOK_PAUSES", "PATIENT_FACTOR", "Again", "Stop", "budget", "is_busy", "look_pause", "next_action"]

_LONGEST_S = 60.0
PATIENT_FACTOR = 10
"""A busy service is not a broken one: it is asked this many times more often before it counts as failed."""

LOOK_PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds between looks at an effect whose answer was lost; the last one repeats."""


@dataclass(frozen=True, slots=True)
class Again:
    """Do it again after `pause_s` seconds."""

    pause_s: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Give the operation up, for this reason."""

    error: WalrusError


def look_pause(looks: int, asked_s: float = 0.0) -> float:
    """Return the seconds before look number `looks` (from 0).

    Where nothing may be done for `asked_s` seconds more, as a service asked, there are some looks and not thousands.
    """
    if looks < len(LOOK_PAUSES):
        return LOOK_PAUSES[looks]
    return max(LOOK_PAUSES[-1], min(_LONGEST_S, asked_s / 10))


def budget(operations: int, options: RecoveryOptions) -> int:
    """Return how many retries a whole deployment may use: a share of its operations, at least 10."""
    return max(10, int(operations * options.retry_budget))


def is_busy(error: WalrusError) -> bool:
    """Return whether an effect did not happen because the service wants fewer requests (429)."""
    return isinstance(error, EffectFailed) and error.cause is not None and error.cause.code == "rate_limited"


def next_action(attempts: int, error: WalrusError, options: RecoveryOptions, jitter: float) -> Again | Stop:
    """Return what follows after attempt number `attempts` (from 1) failed with `error`.

    `jitter` is a number from 0 to 1 (full jitter). A service's own ``retry_after`` (seconds) is a lower bound.
    Effects whose outcome is unknown are not decided here: they are looked up first.
    """
    cause = error.cause if isinstance(error, EffectFailed | EffectUnknown) and error.cause is not None else error
    if isinstance(cause, StateError):
        return Stop(cause)  # D1: without a journal no effect may begin, so there is nothing to try again
    if cause.error_class is not ErrorClass.RETRY and not (
        isinstance(error, EffectFailed) and cause.error_class is ErrorClass.LOOK_FIRST
    ):
        return Stop(cause)
    tries = options.max_retries * (PATIENT_FACTOR if cause.code == "rate_limited" else 1)
    if attempts > tries:
        return Stop(cause)
    longest = min(_LONGEST_S, options.retry_delay_s * 2 ** min(attempts - 1, 16))
    least = cause.fields.get("retry_after")
    return Again(max(jitter * longest, float(least) if isinstance(least, int | float) else 0.0))
