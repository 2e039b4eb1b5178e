"""The gas coins of one owner: which are free, and which belong to a transaction that may still happen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from walrus_sdk.codecs import transaction as tx
from walrus_sdk.engine.context import Context
from walrus_sdk.engine.reading import PAUSES, patiently
from walrus_sdk.engine.records import Records
from walrus_sdk.errors import BlockchainError, EffectUnknown
from walrus_sdk.model.chain import Coin, ObjectRef
from walrus_sdk.model.units import DeploymentId, Digest, SuiAddress
from walrus_sdk.ports import Put
from walrus_sdk.sites.packing import GAS_COINS

__all__ = ["LOOK_S", "GasCoins"]

LOOK_S = 2.0
"""Seconds until another look makes sense at what another transaction does: its coins, or whether it is indexed."""


class GasCoins:
    """What can pay for the transactions of one deployment.

    `newest` is the coin that our own last transaction left: nodes may still show an older version of it.
    """

    def __init__(self, context: Context, records: Records, chain_id: str, owner: SuiAddress) -> None:
        self._context = context
        self._world = context.world
        self._records = records
        self._chain_id = chain_id
        self._owner = owner
        self._seen: Mapping[str, Mapping[str, Any]] = {}
        self.newest: ObjectRef | None = None

    async def payment(self, budget: int) -> list[Coin]:
        """Return free coins that cover a budget (MIST), largest first.

        Raises `BlockchainError` ``insufficient_gas`` or ``object_locked``, `EffectUnknown` while a live deployment uses
        all coins.
        """
        coins = await self._free()
        chosen: list[Coin] = []
        total = 0
        for coin in coins:
            chosen.append(coin)
            total += coin.balance
            if total >= budget:
                return chosen
        text = f"{self._owner} has {total} MIST in its {len(chosen)} largest coins, and {budget} may be needed"
        raise BlockchainError("insufficient_gas", text, address=str(self._owner), found=total, expected=budget)

    async def check(self, gas: int) -> None:
        """Check before anything is paid that the owner can pay `gas` MIST, as far as that can be seen.

        Raises `BlockchainError` ``insufficient_gas``, or ``object_locked`` when open transactions have all coins.
        """

        async def total() -> int:
            return sum(coin.balance for coin in await self._free())

        try:
            found = await patiently(self._world.sleep, total, lambda found: found >= gas, PAUSES[:3])
        except EffectUnknown:
            return  # another deployment is at work: its turn ends before ours begins
        if found < gas:
            text = f"{self._owner} has {found} MIST, and about {gas} are needed"
            raise BlockchainError("insufficient_gas", text, address=str(self._owner), found=found, expected=gas)

    async def _free(self) -> list[Coin]:
        """Return the owner's coins that no open transaction of this home uses; our own last one as we know it.

        Raises `EffectUnknown` while a live deployment uses them all, `BlockchainError` ``object_locked`` when one that
        was interrupted does.
        """
        found = list(await self._world.chain.coins(self._owner))[:GAS_COINS]
        rows = {row["coin"]: row for row in await self._world.journal.rows("coins", {"chain": self._chain_id})}
        self._seen = rows
        free: list[Coin] = []
        used: set[str] = set()
        for coin in found:
            ours = self.newest
            known = (
                ours if ours is not None and coin.ref.id == ours.id and coin.ref.version < ours.version else coin.ref
            )
            row = rows.get(str(known.id))
            if row is not None and row["version"] == known.version and await self._is_in_use(row):
                used.add(row["deployment"])
            else:
                free.append(Coin(known, coin.balance))
        if not free and used:
            self._raise_used(used)
        return free

    async def _is_in_use(self, row: Mapping[str, Any]) -> bool:
        """Return whether the transaction that has a coin may have left, or is about to, and can still happen.

        One that never left gives the coin up: it is not sent any more once the coin is another one's.
        """
        if row["digest"] is None:
            return False
        if self._is_at_work(row["deployment"]):
            return True
        return await self._records.may_have_left(row["digest"]) and await self._is_valid(row["digest"])

    async def _is_valid(self, digest: str) -> bool:
        """Return whether a transaction is known, or its Sui epoch is not over."""
        key = {"chain": self._chain_id, "digest": digest}
        rows = await self._world.journal.rows("transactions", key, columns=("expires",))
        epoch = (await self._world.chain.state()).sui_epoch  # read first: what happened until then is found
        known = await self._world.chain.transaction(Digest.parse(digest)) is not None
        return known or (bool(rows) and epoch.number <= rows[0]["expires"])

    def _is_at_work(self, deployment: str) -> bool:
        mine = str(self._context.owner.deployment)
        return deployment != mine and self._context.is_live(DeploymentId(deployment))

    def _raise_used(self, used: set[str]) -> None:
        text = f"the coins of {self._owner} are in use by {', '.join(sorted(used))}"
        mine = str(self._context.owner.deployment)
        if any(name == mine or self._is_at_work(name) for name in used):
            raise EffectUnknown("effect_unsettled", text, settles_in=LOOK_S, holder=min(used))
        raise BlockchainError("object_locked", f"{text}: resume or cancel it first", deployment_id=min(used))

    # ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────

    def taken(self, coins: Sequence[Coin], digest: Digest) -> list[Put]:
        """Return the rows that give coins to a transaction, written only if nobody took them since they were read."""
        return [self._reservation(coin.ref, digest) for coin in coins]

    def _reservation(self, ref: ObjectRef, digest: Digest) -> Put:
        row = self._seen.get(str(ref.id))
        expect = {} if row is None else {name: row[name] for name in ("version", "digest")}
        values = {"version": ref.version, "deployment": str(self._context.owner.deployment), "digest": str(digest)}
        return Put("coins", {"chain": self._chain_id, "coin": str(ref.id)}, values, expect)

    async def has(self, row: Mapping[str, Any]) -> bool:
        """Return whether the coins of a transaction that was never sent are still its own."""
        rows = await self._world.journal.rows("coins", {"chain": self._chain_id, "digest": row["digest"]})
        mine = {(found["coin"], found["version"]) for found in rows}
        payment = tx.decode_transaction(row["bytes"]).gas.payment
        return {(str(ref.id), ref.version) for ref in payment} <= mine

    async def freed(self, digest: str) -> list[Put]:
        """Return the rows that take coins back from a transaction that can never happen any more."""
        rows = await self._world.journal.rows("coins", {"chain": self._chain_id, "digest": digest})
        return [Put("coins", {"chain": self._chain_id, "coin": row["coin"]}, {"digest": None}) for row in rows]
