"""Whether a signed transaction that was refused can still have happened, or still happen: asked before another is made.

A second transaction for the same step is signed only when the first is proven dead (invariant PAY-4): an object that
it uses has moved on by another transaction, or the Sui epoch up to which it is valid is over; and it is not known by
its digest.
"""

from __future__ import annotations

from enum import Enum

from walrus_sdk.codecs import transaction as tx
from walrus_sdk.model.chain import ObjectRef
from walrus_sdk.model.units import Digest, ObjectId
from walrus_sdk.ports import Chain

__all__ = ["Verdict", "judge"]


class Verdict(Enum):
    """What the chain's objects tell about a transaction: it happened, it never can, or they do not tell."""

    HAPPENED = "happened"
    DEAD = "dead"
    OPEN = "open"


async def judge(chain: Chain, data: bytes, digest: Digest, expected: ObjectId | None) -> Verdict:
    """Judge a transaction by the objects that it uses, and by the site `expected` that it would make.

    `DEAD` still wants a look by digest afterwards: an object may have moved twice, first by this one.
    """
    if expected is not None and await chain.site(expected) is not None:
        return Verdict.HAPPENED
    used = _used(tx.decode_transaction(data))
    now = await chain.objects([ref.id for ref in used])
    if any(item is not None and item.previous_transaction == digest for item in now):
        return Verdict.HAPPENED
    # An object that is not shown may be one that the node has not heard of yet: that tells nothing.
    moved = any(item is not None and item.ref.version > ref.version for item, ref in zip(now, used, strict=True))
    return Verdict.DEAD if moved else Verdict.OPEN


def _used(transaction: tx.TransactionData) -> list[ObjectRef]:
    """Return the owned objects that a transaction consumes."""
    owned = [arg.ref for arg in transaction.kind.inputs if isinstance(arg, tx.OwnedArg)]
    return [*transaction.gas.payment, *owned]
