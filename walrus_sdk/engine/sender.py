"""Transactions of one deployment, one after the other: paid for, signed, named, journalled, sent, looked up.

Each is named before it is sent. A second one is made only when the last one is known to be final or proven dead; the
references that one leaves are those of the next. What the transactions are for is not known here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from walrus_sdk.codecs import transaction as tx
from walrus_sdk.codecs.ids import fresh_object_id
from walrus_sdk.engine.context import Context
from walrus_sdk.engine.effect import Absent, Done, Effect, Found, Look, Outcome, Readable
from walrus_sdk.engine.finality import Verdict, judge
from walrus_sdk.engine.perform import Performer
from walrus_sdk.engine.reading import PAUSES, patiently
from walrus_sdk.engine.retries import MayRepeat
from walrus_sdk.errors import (
    BlockchainError,
    ConfigurationError,
    DeploymentStopped,
    EffectFailed,
    EffectUnknown,
    OwnershipError,
)
from walrus_sdk.model import events
from walrus_sdk.model.chain import Coin, GasUsed, ObjectRef, TransactionOutcome, failure_code
from walrus_sdk.model.network import ChainState
from walrus_sdk.model.options import MAX_BUDGET
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.units import DeploymentId, Digest, ObjectId, SuiAddress, SuiEpoch
from walrus_sdk.planning.cost import gas_budget, gas_price, least_gas
from walrus_sdk.ports import Chain, Change, Put, Release, SigningRequest
from walrus_sdk.sites.packing import GAS_COINS

__all__ = ["Sender", "simulate_gas"]

_LOOK_S = 2.0
"""Seconds until a transaction that has happened, and is not indexed yet, is looked for again."""
_REFUSED = frozenset({
    "insufficient_gas", "signature_refused", "stale_object", "transaction_expired", "transaction_refused",
    "transaction_too_large",
})  # fmt: skip
"""What a node says of bytes that it will not execute, whoever sends them again."""


async def simulate_gas(chain: Chain, kind: tx.ProgrammableTransaction, owner: SuiAddress, price: int) -> GasUsed:
    """Return the gas that a transaction of `owner` would use; `price` is MIST per computation unit.

    Raises `BlockchainError` ``transaction_refused`` when it would fail.
    """
    draft = tx.TransactionData(kind, owner, tx.GasData((), owner, price, MAX_BUDGET))
    simulation = await chain.simulate(tx.encode_transaction(draft), estimate=True)
    if simulation.failure is not None:
        failure = simulation.failure
        raise BlockchainError("transaction_refused", f"it would fail: {failure.kind}: {failure.message}")
    return simulation.gas


class Sender:
    """Sends the transactions of one deployment.

    `made` gives the rows that know a new site, to be written with the outcome that made it; `signed` is called with a
    transaction's number between signing and sending it. `site_id` is the site that the transactions are about,
    `digests` are the final ones in order, `gas` what they cost (MIST); `sent` tells whether one became final just now.
    """

    def __init__(
        self,
        context: Context,
        plan: Plan,
        performer: Performer,
        made: Callable[[ObjectId], tuple[Put, ...]] = lambda _: (),
        signed: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        self._context = context
        self._world = context.world
        self._performer = performer
        self._chain_id = plan.chain_id
        self._owner = plan.target.owner
        self._plan_digest = plan.digest
        self._made = made
        self._signed = signed
        self.site_id: ObjectId | None = plan.target.site_id
        self.digests: list[Digest] = []
        self.gas = 0
        self.step = 0
        self.ref: ObjectRef | None = None
        self.gas_ref: ObjectRef | None = None
        self._seen_coins: Mapping[str, Mapping[str, Any]] = {}
        self._failures: Counter[str] = Counter()
        self.sent = False

    async def send(self, kind: tx.ProgrammableTransaction, purpose: str, *, makes_site: bool = False) -> Done:
        """Simulate, pay for, sign, journal and send one transaction; returns once it is final.

        Raises `BlockchainError` when it failed on chain (gas was charged), `EffectFailed`, `EffectUnknown`. What failed
        for want of gas or for congestion makes the next one offer more.
        """
        state = await self._world.chain.state()
        transaction, coins = await self._paid(kind, state)
        data = tx.encode_transaction(transaction)
        digest = tx.transaction_digest(data)
        expected = fresh_object_id(digest, 0) if makes_site else None
        request = SigningRequest(data, digest, purpose, self.site_id, transaction.gas.budget, self._plan_digest)
        signature = await self._world.signer.sign(request)
        await self._remember(data, signature, digest, coins, state.sui_epoch, expected)
        if self._signed is not None:
            await self._signed(self.step)
        return await self._perform(data, [signature], digest, expected)

    async def _paid(self, kind: tx.ProgrammableTransaction, state: ChainState) -> tuple[tx.TransactionData, list[Coin]]:
        """Return the whole transaction and its coins: budget from a simulation, expiry after the next epoch."""
        price = gas_price(state.gas_price, self._failures["congestion"])
        gas_used = await simulate_gas(self._world.chain, kind, self._owner, price)
        asked, least = self._context.options.gas_budget, least_gas(gas_used)
        if asked is not None and asked.units < least:
            text = f"gas_budget: the transaction needs {least} MIST at least, and {asked.units} were allowed"
            raise ConfigurationError("option_invalid", text, option="gas_budget", expected=least, found=asked.units)
        budget = gas_budget(gas_used, price, self._failures["gas_ran_out"]) if asked is None else asked.units
        coins = self._payment(await self._free_coins(), budget)
        gas = tx.GasData(tuple(coin.ref for coin in coins), self._owner, price, budget)
        return tx.TransactionData(kind, self._owner, gas, tx.EpochExpiration(state.sui_epoch + 1)), coins

    async def _free_coins(self) -> list[Coin]:
        """Return the owner's coins that no open transaction of this home uses; our own last one as we know it.

        Raises `EffectUnknown` while a live deployment uses them all, `BlockchainError` ``object_locked`` when one that
        was interrupted does.
        """
        found = list(await self._world.chain.coins(self._owner))[:GAS_COINS]
        rows = {row["coin"]: row for row in await self._world.journal.rows("coins", {"chain": self._chain_id})}
        self._seen_coins = rows
        free: list[Coin] = []
        used: set[str] = set()
        for coin in found:
            ours = self.gas_ref
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
        return await self._may_have_left(row["digest"]) and await self._is_valid(row["digest"])

    async def _is_valid(self, digest: str) -> bool:
        """Return whether a transaction is known, or its Sui epoch is not over."""
        rows = await self._world.journal.rows("transactions", {"chain": self._chain_id, "digest": digest})
        epoch = (await self._world.chain.state()).sui_epoch  # read first: what happened until then is found
        known = await self._world.chain.transaction(Digest.parse(digest)) is not None
        return known or (bool(rows) and epoch.number <= rows[0]["expires"])

    async def check_funds(self, gas: int) -> None:
        """Check before anything is paid that the owner can pay `gas` MIST, as far as that can be seen.

        Raises `BlockchainError` ``insufficient_gas``, or ``object_locked`` when open transactions have all coins.
        """

        async def total() -> int:
            return sum(coin.balance for coin in await self._free_coins())

        try:
            found = await patiently(self._world.sleep, total, lambda found: found >= gas, PAUSES[:3])
        except EffectUnknown:
            return  # another deployment is at work: its turn ends before ours begins
        if found < gas:
            text = f"{self._owner} has {found} MIST, and about {gas} are needed"
            raise BlockchainError("insufficient_gas", text, address=str(self._owner), found=found, expected=gas)

    def _is_at_work(self, deployment: str) -> bool:
        mine = str(self._context.owner.deployment)
        return deployment != mine and self._context.is_live(DeploymentId(deployment))

    def _raise_used(self, used: set[str]) -> None:
        text = f"the coins of {self._owner} are in use by {', '.join(sorted(used))}"
        mine = str(self._context.owner.deployment)
        if any(name == mine or self._is_at_work(name) for name in used):
            raise EffectUnknown("effect_unsettled", text, settles_in=_LOOK_S, holder=min(used))
        raise BlockchainError("object_locked", f"{text}: resume or cancel it first", deployment_id=min(used))

    def _payment(self, coins: Sequence[Coin], budget: int) -> list[Coin]:
        """Return coins that cover a budget, largest first."""
        chosen: list[Coin] = []
        total = 0
        for coin in coins:
            chosen.append(coin)
            total += coin.balance
            if total >= budget:
                return chosen
        text = f"{self._owner} has {total} MIST in its {len(chosen)} largest coins, and {budget} may be needed"
        raise BlockchainError("insufficient_gas", text, address=str(self._owner), found=total, expected=budget)

    async def _remember(
        self,
        data: bytes,
        signature: bytes,
        digest: Digest,
        coins: Sequence[Coin],
        epoch: SuiEpoch,
        expected: ObjectId | None,
    ) -> None:
        """Make the signed transaction durable before anybody can have it, and its coins nobody else's."""
        self.step += 1
        values = {
            "deployment": str(self._context.owner.deployment),
            "step": self.step,
            "bytes": data,
            "signatures": json.dumps([signature.hex()]),
            "expires": epoch.number + 1,
            "expected_id": str(expected) if expected is not None else None,
            "state": "signed",
        }
        put = Put("transactions", {"chain": self._chain_id, "digest": str(digest)}, values)
        facts = {"digest": str(digest), "step": self.step}
        taken = [self._reserved(coin.ref, digest) for coin in coins]
        try:
            await self._journal(events.TRANSACTION_SIGNED, facts, put, *taken)
        except OwnershipError as error:
            self.step -= 1
            if error.code != "row_changed":
                raise
            text = f"another deployment took the coins of {self._owner} just now"
            raise EffectUnknown("effect_unsettled", text, settles_in=_LOOK_S) from error

    def _reserved(self, ref: ObjectRef, digest: Digest) -> Put:
        row = self._seen_coins.get(str(ref.id))
        expect = {} if row is None else {name: row[name] for name in ("version", "digest")}
        values = {"version": ref.version, "deployment": str(self._context.owner.deployment), "digest": str(digest)}
        return Put("coins", {"chain": self._chain_id, "coin": str(ref.id)}, values, expect)

    async def _journal(self, kind: str, data: Mapping[str, Any], *puts: Put) -> None:
        await self._world.journal.append(self._context.owner, [Change(kind, data, puts)])

    async def _perform(
        self, data: bytes, signatures: Sequence[bytes], digest: Digest, expected: ObjectId | None
    ) -> Done:
        effect = _effect(digest, self.step)

        async def do(release: Release) -> Outcome:
            await release()
            return self._outcome(await self._world.chain.execute(data, signatures), expected)

        done = await self._performer.perform(effect, do, self._look(digest, expected), look_first=True)
        self.sent = True
        self._take(done)
        return done

    def _look(self, digest: Digest, expected: ObjectId | None) -> Look:
        async def look() -> Found | Absent:
            found = await self._world.chain.transaction(digest)
            return Found(self._outcome(found, expected)) if found is not None else Absent()

        return look

    def _outcome(self, result: TransactionOutcome, expected: ObjectId | None) -> Outcome:
        """Return a final transaction as an outcome. Raises when it failed, or made another site than was expected."""
        created = {change.id for change in result.changes if change.created}
        failure = result.failure
        if failure is None and expected is not None and result.complete and expected not in created:
            raise BlockchainError("transaction_failed", f"{result.digest} did not make site {expected}")
        site_id = expected or self.site_id
        ref = next((change.ref for change in result.changes if change.id == site_id), None)
        data = {
            "digest": str(result.digest),
            "ok": failure is None,
            "failure": failure.kind if failure is not None else None,
            "message": failure.message if failure is not None else None,
            "gas": result.gas.net,
            "site_id": str(site_id) if site_id is not None else None,
            "site_ref": _ref_json(ref),
            "gas_ref": _ref_json(result.gas_object),
        }
        key = {"chain": self._chain_id, "digest": str(result.digest)}
        put = Put("transactions", key, {"state": "final" if failure is None else "failed"})
        made = self._made(expected) if expected is not None and failure is None else ()
        return Outcome(data, (put, *made, *self._height(ref)))

    def _height(self, site: ObjectRef | None) -> tuple[Put, ...]:
        """Return the row that remembers how far the site has come: no older state of it is believed after that."""
        if site is None:
            return ()
        return (Put("heights", {"chain": self._chain_id, "site_id": str(site.id)}, {"version": site.version}),)

    def _take(self, done: Done) -> None:
        """Go on from a final transaction. Raises when it failed on chain: gas was charged and versions moved on."""
        data = done.data
        self._note(data)
        if not data["ok"]:
            code = failure_code(str(data["failure"]))
            if code == "gas_ran_out" and (self._failures[code] > 1 or self._context.options.gas_budget is not None):
                code = "insufficient_gas"  # another try would cost as much again
            text = f"transaction {data['digest']} failed: {data['failure']}: {data['message']}"
            raise BlockchainError(code, text, digest=data["digest"], address=str(self._owner))
        if data["site_id"] is not None:
            self.site_id = ObjectId.parse(data["site_id"])

    def _note(self, data: Mapping[str, Any]) -> None:
        """Take over what a final transaction leaves: references for the next one, and what it cost."""
        self.gas_ref = _json_ref(data["gas_ref"]) or self.gas_ref
        self.ref = _json_ref(data["site_ref"]) or self.ref
        self.gas += int(data["gas"])
        if not data["ok"]:
            self._failures[failure_code(str(data["failure"]))] += 1
        self.digests.append(Digest.parse(data["digest"]))

    # ── what an earlier run left open ─────────────────────────────────────────────────────────────────────────

    async def resolve_open(self, may_repeat: MayRepeat, *, sent_only: bool = False) -> None:
        """Bring every transaction of this deployment that was signed to its end before a new one is made.

        `sent_only`: what never left this machine is declared dead instead of being sent.
        """
        where = {"deployment": str(self._context.owner.deployment)}
        signed = await self._world.journal.rows("transactions", where, columns=("step", "digest", "state"))
        for known in sorted(signed, key=lambda row: row["step"]):
            self.step = max(self.step, known["step"])
            if known["state"] == "dead" or Digest.parse(known["digest"]) in self.digests:
                continue
            (row,) = await self._world.journal.rows("transactions", {**where, "digest": known["digest"]})
            if row["state"] == "failed":
                await self._note_failed(row["digest"])
            elif row["bytes"] is None:
                await self._resolve_elsewhere(row)
            elif not await self._may_have_left(row["digest"]) and (sent_only or not await self._has_coins(row)):
                await self._bury(row["digest"], "never_sent")
            else:
                await self._resolve(row, may_repeat)

    async def look_up(self) -> None:
        """Record what became of signed transactions, where the node knows it; nothing is sent."""
        where = {"deployment": str(self._context.owner.deployment), "state": "signed"}
        for row in await self._world.journal.rows("transactions", where):
            digest = Digest.parse(row["digest"])
            found = await self._look(digest, ObjectId.parse(row["expected_id"]) if row["expected_id"] else None)()
            if isinstance(found, Found):
                await self._performer.adopt(_effect(digest, row["step"]), found)

    async def _note_failed(self, digest: str) -> None:
        """Take over the references of a transaction that failed on chain in an earlier run: versions moved on."""
        row = await self._performer.records.row("transaction", digest)
        if row is not None and row["outcome"] is not None:
            self._note(json.loads(row["outcome"]))

    async def _has_coins(self, row: Mapping[str, Any]) -> bool:
        """Return whether the coins of a transaction that was never sent are still its own."""
        rows = await self._world.journal.rows("coins", {"chain": self._chain_id, "digest": row["digest"]})
        mine = {(found["coin"], found["version"]) for found in rows}
        payment = tx.decode_transaction(row["bytes"]).gas.payment
        return {(str(ref.id), ref.version) for ref in payment} <= mine

    async def _may_have_left(self, digest: str) -> bool:
        row = await self._performer.records.row("transaction", digest)
        return row is not None and row["state"] in ("released", "done")

    async def _bury(self, digest: str, code: str) -> None:
        """Record that a transaction can never happen any more; its coins are free again."""
        put = Put("transactions", {"chain": self._chain_id, "digest": digest}, {"state": "dead"})
        rows = await self._world.journal.rows("coins", {"chain": self._chain_id, "digest": digest})
        free = [Put("coins", {"chain": self._chain_id, "coin": row["coin"]}, {"digest": None}) for row in rows]
        await self._journal(events.TRANSACTION_DEAD, {"digest": digest, "code": code}, put, *free)

    async def _resolve(self, row: Mapping[str, Any], may_repeat: MayRepeat) -> None:
        """Look a transaction up, and send the same bytes again when it is not known; or prove it dead."""
        digest = Digest.parse(row["digest"])
        expected = ObjectId.parse(row["expected_id"]) if row["expected_id"] else None
        effect = _effect(digest, row["step"])
        look = self._look(digest, expected)
        signatures = [bytes.fromhex(text) for text in json.loads(row["signatures"])]

        async def again(release: Release) -> Outcome:
            if (await self._world.chain.state()).sui_epoch.number > row["expires"]:
                raise BlockchainError("transaction_expired", f"{digest} expired", digest=str(digest))
            await release()
            return self._outcome(await self._world.chain.execute(row["bytes"], signatures), expected)

        try:
            done = await self._performer.perform(effect, again, look, look_first=True, may_repeat=may_repeat)
        except EffectFailed as error:
            if error.cause is None or error.cause.code not in _REFUSED:
                raise
            dead = await self._is_dead(effect, row, digest, expected)
            found = await self._last_look(effect, look)  # after the objects were read: what moved them is known by now
            if dead and not isinstance(found, Found):
                await self._bury(str(digest), error.cause.code)
                return
            if not isinstance(found, Found):
                found = await self._found_by_its_effects(digest, expected)
            done = await self._performer.adopt(effect, found)
        self._take(done)

    async def _resolve_elsewhere(self, row: Mapping[str, Any]) -> None:
        """Look up a transaction that was signed on another machine: it cannot be sent from here, only waited for.

        Raises `DeploymentStopped` ``transaction_open`` while it can still happen.
        """
        digest = Digest.parse(row["digest"])
        expected = ObjectId.parse(row["expected_id"]) if row["expected_id"] else None
        epoch = (await self._world.chain.state()).sui_epoch  # read first: what happened until then is found
        effect, is_over = _effect(digest, row["step"]), epoch.number > row["expires"]
        look = self._look(digest, expected)
        found = await (self._last_look(effect, look) if is_over else look())
        if isinstance(found, Found):
            self._take(await self._performer.adopt(effect, found))
        elif is_over:
            await self._bury(str(digest), "transaction_expired")
        else:
            text = f"transaction {digest} may happen until Sui epoch {row['expires']} is over; it is {epoch} now"
            raise DeploymentStopped("transaction_open", text, digest=str(digest))

    async def _is_dead(self, effect: Effect, row: Mapping[str, Any], digest: Digest, expected: ObjectId | None) -> bool:
        """Return whether a transaction that was refused can never happen; false: it did.

        Raises `EffectUnknown` with ``settles_in`` (seconds) and at last `DeploymentStopped` ``transaction_open`` while
        nobody can tell.
        """
        open_row = await self._performer.records.open_row(effect)
        if open_row is None:
            return True  # every time it was sent it was refused
        epoch = (await self._world.chain.state()).sui_epoch
        verdict = await judge(self._world.chain, row["bytes"], digest, expected)
        if verdict is Verdict.DEAD or (verdict is Verdict.OPEN and epoch.number > row["expires"]):
            return True
        wait = await self._performer.records.settles_in(open_row)
        if wait > 0:
            text = f"transaction {digest} was refused, and an earlier sending of it may have happened"
            raise EffectUnknown("effect_unsettled", text, name=str(digest), settles_in=min(wait, _LOOK_S))
        if verdict is Verdict.HAPPENED:
            return False
        text = f"transaction {digest} is refused, and may have happened; it is valid until Sui epoch {row['expires']}"
        raise DeploymentStopped("transaction_open", text, digest=str(digest))

    async def _last_look(self, effect: Effect, look: Look) -> Found | Readable | Absent:
        """Look until a node that lags must know it, too (C7): what is buried is not looked for again."""
        if await self._performer.records.open_row(effect) is None:
            return await look()  # every time it was sent it was refused
        return await patiently(self._world.sleep, look, lambda found: isinstance(found, Found))

    async def _found_by_its_effects(self, digest: Digest, expected: ObjectId | None) -> Found:
        """Return the outcome of a transaction that no node knows any more, by what it left.

        Whether an update did all that it should is read from the site afterwards; a site that should be there tells.
        """
        ok = expected is None or await self._world.chain.site(expected) is not None
        site_id = expected or self.site_id
        data = {
            "digest": str(digest),
            "ok": ok,
            "failure": None if ok else "UNKNOWN",
            "message": None if ok else "the node has forgotten it, and its site is not there",
            "gas": 0,
            "site_id": str(site_id) if site_id is not None else None,
            "site_ref": None,
            "gas_ref": None,
        }
        key = {"chain": self._chain_id, "digest": str(digest)}
        made = self._made(expected) if expected is not None and ok else ()
        return Found(Outcome(data, (Put("transactions", key, {"state": "final" if ok else "failed"}), *made)))


def _effect(digest: Digest, step: int) -> Effect:
    return Effect("transaction", str(digest), f"transaction-{step:04}", {"step": step}, same_again=True)


def _ref_json(ref: ObjectRef | None) -> list[Any] | None:
    return None if ref is None else [str(ref.id), ref.version, str(ref.digest)]


def _json_ref(row: Sequence[Any] | None) -> ObjectRef | None:
    return None if row is None else ObjectRef(ObjectId.parse(row[0]), row[1], Digest.parse(row[2]))
