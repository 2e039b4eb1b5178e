"""What gas costs here: a plausible, deterministic model, not Sui's own figures.

Storage follows Sui's scheme: 7,600 MIST a byte of contents plus a fixed head, 99 % of it given back when the bytes
go. Computation is the work done, in buckets of 1,000 units, times the gas price.
"""

from __future__ import annotations

from walrus_sdk.localnet.chain.machine import Sandbox
from walrus_sdk.model.chain import GasUsed

__all__ = ["MAX_BUDGET", "computation", "settle", "storage_of"]

MAX_BUDGET = 50_000_000_000
"""50 SUI, as on the real networks."""
_PER_BYTE = 7_600
_HEAD = 90
"""Bytes that an object takes besides its contents: id, version, owner, type."""
_BUCKET = 1_000


def storage_of(contents: bytes) -> int:
    """Return the storage fee of one object in MIST."""
    return (_HEAD + len(contents)) * _PER_BYTE


def computation(work: int, price: int) -> int:
    """Return the computation cost in MIST for an amount of work."""
    return -(-max(work, 1) // _BUCKET) * _BUCKET * price


def settle(sandbox: Sandbox, cost: int) -> GasUsed:
    """Return the bill of what a sandbox writes and deletes."""
    storage = sum(storage_of(item.contents) for item in sandbox.written.values())
    old = [sandbox.store.get(id_) for id_ in {*sandbox.written, *sandbox.deleted}]
    paid = sum(item.rebate for item in old if item is not None)
    rebate = paid * 99 // 100
    return GasUsed(cost, storage, rebate, paid - rebate)
