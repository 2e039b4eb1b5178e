"""How far a deployment is, as one frozen value that faces show."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Phase", "Progress"]


class Phase(Enum):
    """What a deployment is busy with."""

    SCAN = "scan"
    PLAN = "plan"
    STORE = "store"
    CHAIN = "chain"
    VERIFY = "verify"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of one moment; nothing here is a promise.

    Prepared: `files_found` so far, of them `files_hashed`, `bytes_hashed`. Stored: `stores_total` operations, of
    them `stores_encoded` (blob id known) and `stores_confirmed`; `bytes_total` to store, `bytes_sent` (left this
    machine, repeated sends included) and `bytes_confirmed` (known to be certified). On chain: `transactions_total`
    and `transactions_confirmed`. Verified: `checks_total` and `checks_done`. `waiting` says what is waited for,
    `paused` that nothing new begins because somebody asked for that. `deployment` is its id, once it has one.
    """

    phase: Phase = Phase.SCAN
    files_found: int = 0
    files_hashed: int = 0
    bytes_hashed: int = 0
    stores_total: int = 0
    stores_encoded: int = 0
    stores_confirmed: int = 0
    bytes_total: int = 0
    bytes_sent: int = 0
    bytes_confirmed: int = 0
    transactions_total: int = 0
    transactions_confirmed: int = 0
    checks_total: int = 0
    checks_done: int = 0
    retries: int = 0
    waiting: str = ""
    paused: bool = False
    deployment: str = ""
