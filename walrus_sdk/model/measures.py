"""What measuring a publisher comes to."""

from __future__ import annotations

from dataclasses import dataclass

from walrus_sdk.model.units import Frost

__all__ = ["STORED", "Shot"]

STORED = "stored"
"""The outcome of a store that succeeded; else it is the code of an error."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One store of a measurement.

    `size` in bytes, `concurrency` the stores that were under way with it at most; `started_s` seconds since its round
    began, `seconds` until the publisher's whole answer; `outcome` is `STORED` or an error's code; `cost` what the
    publisher says that it paid; `endpoint` the publisher's address.
    """

    size: int
    concurrency: int
    started_s: float
    seconds: float
    outcome: str
    cost: Frost = Frost()
    endpoint: str = ""
