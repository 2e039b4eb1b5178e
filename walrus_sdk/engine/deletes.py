"""Deleting blobs that nothing refers to: one transaction for many, each named before it is sent.

The freed storage goes to the owner (`system::delete_blob` returns a `Storage` object).
"""

from __future__ import annotations

from collections.abc import Sequence

from walrus_sdk.codecs import transaction as tx
from walrus_sdk.codecs.ptb import PtbBuilder
from walrus_sdk.engine.context import Context
from walrus_sdk.engine.perform import Performer
from walrus_sdk.engine.retries import MayRepeat, Retries
from walrus_sdk.engine.sender import Sender
from walrus_sdk.errors import BlockchainError
from walrus_sdk.model.chain import ObjectRef
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.units import Digest, ObjectId

__all__ = ["Deletes"]

_AT_ONCE = 200
"""Blobs in one transaction."""


class Deletes:
    """Deletes Blob objects of the owner; what is gone already counts as deleted."""

    def __init__(self, context: Context, plan: Plan) -> None:
        self._context = context
        self._plan = plan
        self._retries = Retries(context, 1 + len(plan.deletes) // _AT_ONCE)
        self._sender = Sender(context, plan, Performer(context, plan.chain_id), keep_bytes=True)

    @property
    def digests(self) -> Sequence[Digest]:
        """The transactions that were executed."""
        return self._sender.digests

    async def run(self) -> None:
        """Delete all. Raises chain errors; what is deleted stays so."""

        async def advance(may_repeat: MayRepeat) -> bool:
            await self._sender.resolve_open(may_repeat)
            left = await self._left()
            if left:
                await self._sender.send(await self._kind(left[:_AT_ONCE]), f"{len(left[:_AT_ONCE])} blobs deleted")
            return bool(left)

        while await self._retries.run("deleting blobs", advance, patient=True):
            self._context.feed.add(transactions_confirmed=1)

    async def settle(self) -> None:
        """Bring what an earlier run sent to its end; nothing new is sent."""

        async def resolve(may_repeat: MayRepeat) -> None:
            await self._sender.resolve_open(may_repeat, sent_only=True)

        await self._retries.run("open transactions", resolve, patient=True)

    async def _left(self) -> list[ObjectRef]:
        """Return those that are still there and ours; a node that lags is met by the versions (they are refused).

        One that cannot be read is gone only when the owner's list has it no more either.
        """
        gone, owner = set(await self._deleted()), self._plan.target.owner
        wanted = [object_id for object_id in self._plan.deletes if object_id not in gone]
        if not wanted:
            return []
        listed = {blob.ref.id: blob.ref for blob in await self._context.world.chain.blobs(owner)}
        found = await self._context.world.chain.objects(wanted)
        read = {item.ref.id: item.ref if item.owner == owner else None for item in found if item is not None}
        refs = [read.get(object_id, listed.get(object_id)) for object_id in wanted]
        return [ref for ref in refs if ref is not None]

    async def _deleted(self) -> list[ObjectId]:
        """Return what this deployment's own final transactions deleted, by their bytes."""
        chain, mine = self._plan.chain_id, {"deployment": str(self._context.owner.deployment), "state": "final"}
        rows = await self._context.world.journal.rows("transactions", {"chain": chain, **mine})
        return [
            arg.ref.id
            for row in rows
            for arg in tx.decode_transaction(row["bytes"]).kind.inputs
            if isinstance(arg, tx.OwnedArg)
        ]

    async def _kind(self, blobs: Sequence[ObjectRef]) -> tx.ProgrammableTransaction:
        chain, system = self._context.world.chain, self._context.network.system_object
        assert system is not None, "a network in use has its objects"
        (shared,) = await chain.objects([system])
        if shared is None or shared.initial_shared_version is None:
            raise BlockchainError("object_not_found", f"the System object {system} is not there")
        package = (await chain.state()).walrus_package
        builder = PtbBuilder()
        argument = builder.shared(system, shared.initial_shared_version, mutable=False)
        freed = [builder.call(package, "system", "delete_blob", (argument, builder.owned(blob))) for blob in blobs]
        builder.transfer(freed, self._plan.target.owner)
        return builder.finish()
