"""Whole deployments against a publisher with a set latency, bandwidth and number of places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.house import House, open_house, scratch, write_site
from benchmarks.rows import Row

__all__ = ["many_small_files"]

_FILES, _SIZE = 10_000, 20_000
_LATENCY_S, _BYTES_PER_S = 6.0, 12_500_000  # a small store's time on the public network; 100 Mbit/s
_MEASURED = 64
_SHAPE: dict[str, Any] = {"latency_s": _LATENCY_S, "bytes_per_s": _BYTES_PER_S, "slots": 16, "queue": 16}


def many_small_files() -> Iterator[Row]:
    """10,000 files of 20 KB, a latency of 6 s, 100 Mbit/s: against the floor, serial quilts, one blob a file.

    The floor is the time that the bytes take on the wire plus one latency. Serial quilts are stored as the official
    site-builder does: one after the other. Of one blob a file 64 are measured; that many more latencies and bytes are
    computed, 16 at a time.
    """
    with scratch() as place, open_house(**_SHAPE) as house:
        folder = write_site(place / "site", _FILES, _SIZE)
        ours = house.deploy(folder, "many")
        sent = sum(row["bytes_received"] for row in house.ledger())
        floor = sent / _BYTES_PER_S + _LATENCY_S
        note = f"{ours.result.cost.requests} stores; all that is not storing: {ours.whole - ours.store:.1f} s"
        name = f"{_FILES:,} x 20 KB, 6 s a store, 100 Mbit/s"
        yield Row(name, "bytes / bandwidth + one latency", ours.store, floor, "s", ours.store / floor, 1.25, 1.10,
                  at_most=True, note=note)  # fmt: skip
        other = write_site(place / "serial", _FILES, _SIZE, "serial")  # what is certified already is stored at once
        serial = house.deploy(other, "serial", concurrency=1)
        yield Row(name, "serial quilts", ours.store, serial.store, "s", serial.store / ours.store, 3, 5)
        each = _one_blob_each(house)
        yield Row(name, "one blob a file, 16 at once", ours.store, each, "s", each / ours.store, 50, 100,
                  note=f"{_MEASURED} files measured, the rest computed")  # fmt: skip


def _one_blob_each(house: House) -> float:
    """Return the seconds that all files would take as blobs of their own: some are measured, in whole waves."""
    with scratch() as place:
        folder = write_site(place / "site", _MEASURED, _SIZE, "each")
        timed = house.deploy(folder, "each", max_quilt_files=1, concurrency=16)
    return timed.store * _FILES / _MEASURED
