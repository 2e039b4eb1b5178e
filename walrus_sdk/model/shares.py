"""Sharing a store's cost out over what it stores: the one rule by which files are told what they cost."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["shared_out"]


def shared_out(amount: int, sizes: Sequence[int]) -> list[int]:
    """Share an amount out by sizes; the parts are whole and add up to it. Sizes of 0 share alike when all are 0.

    What is left over by rounding down goes to the largest remainders, of equal ones to the first. A content that is at
    several paths is one size, and its cost belongs to the first of the paths.
    """
    weights = list(sizes) if any(sizes) else [1] * len(sizes)
    total = sum(weights)
    if not total:
        return []
    parts = [amount * weight // total for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda n: (-(amount * weights[n] % total), n))
    for number in by_rest[: amount - sum(parts)]:
        parts[number] += 1
    return parts
