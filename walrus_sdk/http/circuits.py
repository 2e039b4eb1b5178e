"""Which of several addresses of one service is asked first: one that failed several times in a row rests.

closed ── 3 failures in a row, or one that shows a wrong service ──> open (for 1, 2, 4, … 60 s)
any state ── a failure with Retry-After ──> open, at least so long
open ── the pause is over ──> half-open: one call is let through as a probe, all others see it as open
half-open ── the probe fails ──> open, twice as long          any state ── a success ──> closed
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum

import anyio

from walrus_sdk.errors import BlockchainError, NetworkError, ProtocolError, StorageError, WalrusError

__all__ = ["FAULTS", "Circuit", "Circuits", "State"]

_IN_A_ROW = 3
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0

FAULTS = frozenset(
    "connect_failed dns_failed tls_failed timeout_connect timeout_send timeout_read deadline_exceeded connection_lost "
    "send_failed rate_limited service_unavailable store_failed redirect_refused http_error answer_too_large "
    "bad_answer blob_id_mismatch".split()
)
"""Codes that speak against the address itself; of any other answer it is known that somebody works there."""

_WRONG_SERVICE = frozenset({"bad_answer", "blob_id_mismatch"})
"""A login page in its place, or a publisher that stores something else: one such answer is enough."""

_ANSWERED = (NetworkError, ProtocolError, StorageError, BlockchainError)


class State(Enum):
    """What an address may be used for: anything, nothing while there are others, or one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Circuit:
    """The state of one address as a value; times are seconds of a monotonic clock.

    `failures` in a row while closed, `pause_s` of the present rest (0: closed) and `until` when, `probing`: a probe
    is under way.
    """

    failures: int = 0
    pause_s: float = 0.0
    until: float = 0.0
    probing: bool = False

    def state(self, now: float) -> State:
        """Return the state at a time."""
        if not self.pause_s:
            return State.CLOSED
        return State.OPEN if self.probing or now < self.until else State.HALF_OPEN

    def failed(self, now: float, *, probe: bool = False, for_long: bool = False) -> Circuit:
        """Return what follows a failure. `for_long`: of the wrong service, which rests as long as any."""
        if for_long:
            return self._open(now, _LONGEST_PAUSE_S)
        if probe and self.pause_s:
            return self._open(now, min(2 * self.pause_s, _LONGEST_PAUSE_S))
        if self.pause_s:
            return self  # it had begun before the rest, or nobody else was left to ask: no reason to rest longer
        if self.failures + 1 < _IN_A_ROW:
            return Circuit(failures=self.failures + 1)
        return self._open(now, _FIRST_PAUSE_S)

    def asked(self, now: float, pause_s: float) -> Circuit:
        """Return what follows when the address asked to be left alone for so long (Retry-After)."""
        if pause_s <= 0:
            return self
        return replace(self, pause_s=self.pause_s or _FIRST_PAUSE_S, until=max(self.until, now + pause_s))

    def _open(self, now: float, pause_s: float) -> Circuit:
        return Circuit(pause_s=pause_s, until=now + pause_s)


class Circuits:
    """The addresses of one service in the order of preference, each with its circuit; kept as long as the client.

    `clock` gives seconds and never goes back.
    """

    def __init__(self, urls: Sequence[str], clock: Callable[[], float] = anyio.current_time) -> None:
        self.urls = tuple(dict.fromkeys(urls))
        self._clock = clock
        self._circuits = {url: Circuit() for url in self.urls}

    def state(self, url: str) -> State:
        """Return the state of an address now."""
        return self._circuits[url].state(self._clock())

    def best(self, left: Sequence[str]) -> str:
        """Return the address of `left`, the dearest first, to ask next. None is left out: those that rest come last."""
        return min(left, key=lambda url: self.state(url) is State.OPEN)

    @contextmanager
    def asking(self, url: str, at_fault: Callable[[WalrusError], bool]) -> Iterator[None]:
        """Take what one call to an address does as its success or failure; `at_fault` tells an error's blame."""
        probe = self.state(url) is State.HALF_OPEN
        if probe:
            self._circuits[url] = replace(self._circuits[url], probing=True)
        try:
            yield
        except WalrusError as error:
            if at_fault(error):
                for_long, now = error.code in _WRONG_SERVICE, self._clock()
                failed = self._circuits[url].failed(now, probe=probe, for_long=for_long)
                self._circuits[url] = failed.asked(now, error.fields.get("retry_after") or 0.0)
            elif isinstance(error, _ANSWERED):
                self._circuits[url] = Circuit()
            raise
        else:
            self._circuits[url] = Circuit()
        finally:
            if probe:  # also after a cancellation, or an error of our own: the next call is the probe then
                self._circuits[url] = replace(self._circuits[url], probing=False)
