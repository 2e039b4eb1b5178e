"""Progress told in lines, for scripts and logs: one at each phase and at each tenth."""

from __future__ import annotations

import sys
from typing import TextIO

from walrus_sdk.model.progress import Phase, Progress

__all__ = ["Narrator"]

_TEXTS = {
    Phase.SCAN: "preparing: {files_hashed} of {files_found} files read",
    Phase.PLAN: "planning: {files_hashed} files, {bytes_hashed} bytes",
    Phase.STORE: "storing: {bytes_sent} bytes sent, {bytes_confirmed} of {bytes_total} confirmed",
    Phase.CHAIN: "on chain: {transactions_confirmed} of {transactions_total} transactions",
    Phase.VERIFY: "verifying: {checks_done} of {checks_total} files read back",
    Phase.DONE: "done",
}


class Narrator:
    """A progress listener that writes lines to `stream` (default: the standard error stream)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._last: tuple[Phase, int, str] | None = None

    def __call__(self, progress: Progress) -> None:
        """Write a line when there is something new to tell."""
        step = (progress.phase, _tenths(progress), progress.waiting)
        if step == self._last:
            return
        self._last = step
        counts = {name: getattr(progress, name) for name in Progress.__dataclass_fields__}
        waiting = f"; {progress.waiting}" if progress.waiting else ""
        stream = self._stream or sys.stderr
        stream.write(_TEXTS[progress.phase].format(**counts) + waiting + "\n")
        stream.flush()


def _tenths(progress: Progress) -> int:
    done, total = {
        Phase.STORE: (progress.bytes_confirmed, progress.bytes_total),
        Phase.CHAIN: (progress.transactions_confirmed, progress.transactions_total),
        Phase.VERIFY: (progress.checks_done, progress.checks_total),
    }.get(progress.phase, (0, 0))
    return done * 10 // total if total else 0
