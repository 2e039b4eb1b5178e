"""What a deployment cost, down to the file: planned, paid, and saved because the bytes were stored already.

A store's cost is shared out over its contents by size, without losing a FROST (largest remainders first); a content at
several paths counts at the first of them. What is saved is what the same bytes cost when this home stored them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from walrus_sdk.model.performance import FileCost
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.shares import shared_out

__all__ = ["costs_once", "file_costs"]


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
