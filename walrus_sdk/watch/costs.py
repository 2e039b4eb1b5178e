"""What a deployment cost, down to the file: planned, paid, and saved because the bytes were stored already.

A store's cost is shared out over its contents by size, without losing a FROST (largest remainders first); a content at
several paths counts at the first of them. What is saved is what the same bytes cost when this home stored them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from walrus_sdk.model.performance import FileCost
from walrus_sdk.model.plan import Plan

__all__ = ["costs_once", "file_costs", "shared_out"]


def shared_out(amount: int, sizes: Sequence[int]) -> list[int]:
    """Share an amount out by sizes; the parts are whole and add up to it. Sizes of 0 share alike when all are 0."""
    weights = list(sizes) if any(sizes) else [1] * len(sizes)
    total = sum(weights)
    if not total:
        return []
    parts = [amount * weight // total for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda n: (-(amount * weights[n] % total), n))
    for number in by_rest[: amount - sum(parts)]:
        parts[number] += 1
    return parts


def file_costs(
    plan: Plan,
    paid: Mapping[str, int],
    once: Mapping[bytes, int],
) -> tuple[FileCost, ...]:
    """Return the cost of each path of a plan, sorted by path.

    `paid` has the FROST that each operation was paid with, `once` what a content cost when it was stored before.
    """
    planned_of, paid_of, operation_of = dict[bytes, int](), dict[bytes, int](), dict[bytes, str]()
    for operation in plan.operations:
        sizes = [piece.size for piece in operation.pieces]
        shares = zip(
            operation.pieces,
            shared_out(operation.cost.units, sizes),
            shared_out(paid.get(operation.key, 0), sizes),
            strict=True,
        )
        for piece, planned, spent in shares:
            planned_of[piece.sha256], paid_of[piece.sha256] = planned, spent
            operation_of[piece.sha256] = operation.key
    seen, kept, found = set[bytes](), frozenset(plan.change.keep), []
    for path, entry in sorted(plan.entries.items()):
        content = entry.sha256
        is_stored = content in operation_of and path not in kept
        first = is_stored and content not in seen
        if is_stored:
            seen.add(content)
        saved = None if is_stored else once.get(content)
        found.append(
            FileCost(
                path=path,
                size=entry.size,
                operation=operation_of[content] if is_stored else None,
                planned_frost=planned_of[content] if first else 0,
                paid_frost=paid_of[content] if first else 0,
                saved_frost=0 if is_stored else saved,
            )
        )
    return tuple(found)


def costs_once(patches: Iterable[Mapping[str, Any]], blobs: Mapping[str, int]) -> Mapping[bytes, int]:
    """Return what each content cost when it was stored: the rows of ``patches``, and the FROST paid by blob id."""
    by_blob: dict[str, list[Mapping[str, Any]]] = {}
    for row in patches:
        by_blob.setdefault(row["blob_id"], []).append(row)
    found: dict[bytes, int] = {}
    for blob_id, rows in by_blob.items():
        if blob_id in blobs:
            shares = shared_out(blobs[blob_id], [row["size"] or 0 for row in rows])
            for row, share in zip(rows, shares, strict=True):
                found.setdefault(bytes.fromhex(row["sha256"]), share)
    return found
