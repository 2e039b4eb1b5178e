"""Blob ids against the official encoder, as rows with their limits; `benchmarks.wasm.compare` measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.rows import Row
from benchmarks.wasm import compare

__all__ = ["blob_ids"]

_SMALL, _LARGE = (1_000, 445_556), 100_000_000
_TWO = "compiled, 2 threads"
_LIMITS = {"compiled, 1 thread": (5.0, 15.0), "pure": (1.0, 2.0)}


def blob_ids() -> Iterator[Row]:
    """Blob ids of up to 445,556 bytes and of 100 MB; a row that says so where Node or the official encoder is missing.

    Of several sizes the one with the lowest ratio counts.
    """
    try:
        small = compare.rows(_SMALL, rounds=3)
        large = compare.rows((_LARGE,), rounds=3, repeats=1, only=(compare.OFFICIAL, _TWO))
    except compare.NoNode as error:
        yield Row("blob ids", compare.OFFICIAL, 0.0, 0.0, "s", 0.0, note=f"not measured: {error}")
        return
    for name, (limit, aim) in _LIMITS.items():
        if of_it := [row for row in small if row.contender == name]:
            yield _row(min(of_it, key=lambda row: row.speed), small, limit, aim)
    two = [row for row in large if row.contender == _TWO]
    for row in two:
        yield _row(row, large, 5.0, 15.0)
        official = _official(row, large)
        yield Row("memory of a blob id, 100 MB, compiled, 2 threads", compare.OFFICIAL, row.rss_bytes / 1e6,
                  official.rss_bytes / 1e6, "MB", row.rss_bytes / official.rss_bytes, 1.0, at_most=True,
                  note="whole processes")  # fmt: skip


def _official(row: compare.Row, rows: Sequence[compare.Row]) -> compare.Row:
    return next(one for one in rows if (one.size_bytes, one.contender) == (row.size_bytes, compare.OFFICIAL))


def _row(row: compare.Row, rows: Sequence[compare.Row], limit: float, aim: float) -> Row:
    official = _official(row, rows)
    name = f"blob id of {row.size_bytes:,} bytes, {row.contender}"
    return Row(name, compare.OFFICIAL, row.seconds, official.seconds, "s", row.speed, limit, aim,
               samples={"ratio": row.speeds}, note=f"{row.cpu_speed:.1f} by CPU seconds")  # fmt: skip
