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
from walrus_sdk.engine.coins import LOOK_S, GasCoins
from walrus_sdk.engine.context import Context
from walrus_sdk.engine.effect import Absent, Birth, Done, Effect, Found, Look, Outcome, Readable
from walrus_sdk.engine.finality import Verdict, judge
from walrus_sdk.engine.perform import Performer
from walrus_sdk.engine.reading import patiently
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
from walrus_sdk.model.deployment import EffectState
from walrus_sdk.model.network import ChainState
from walrus_sdk.model.options import MAX_BUDGET
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.units import Digest, ObjectId, SuiAddress, SuiEpoch
from walrus_sdk.planning.cost import gas_budget, gas_price, least_gas
from walrus_sdk.ports import Chain, Change, Put, Release, SigningRequest, Sleep

__all__ = ["Sender", "simulate_gas"]

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
    transaction's number when it is durable and before anybody can have it, what it returns is written with the release.
    `site_id` is the site that the transactions are about, `digests` are the final ones in order, `gas` what they cost
    (MIST); `sent` tells whether one became final just now.
    `keep_bytes` keeps what was in a transaction, without its signature, when it is over.
    """

    def __init__(
        self,
        context: Context,
        plan: Plan,
        performer: Performer,
        made: Callable[[ObjectId], tuple[Put, ...]] = lambda _: (),
        signed: Callable[[int], Awaitable[Sequence[Change]]] | None = None,
        *,
        keep_bytes: bool = False,
    ) -> None:
        self._context = context
        self._world = context.world
        self._performer = performer
        self._records = performer.records
        self._chain_id = plan.chain_id
        self._owner = plan.target.owner
        self._plan_digest = plan.digest
        self._made = made
        self._signed = signed
        self._coins = GasCoins(context, performer.records, plan.chain_id, plan.target.owner)
        self._keep_bytes = keep_bytes
        self.site_id: ObjectId | None = plan.target.site_id
        self.digests: list[Digest] = []
        self.gas = 0
        self.step = 0
        self.ref: ObjectRef | None = None
        self._failures: Counter[str] = Counter()
        self._is_open = True
        self.sent = False

    async def check_funds(self, gas: int) -> None:
        """Check that the owner can pay `gas` MIST; see `GasCoins.check`."""
        await self._coins.check(gas)

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
        puts = [self._row(data, signature, digest, state.sui_epoch, expected), *self._coins.taken(coins, digest)]
        self._is_open = True
        done = await self._perform(data, [signature], digest, expected, puts)
        self.sent, self._is_open = True, False
        self._take(done)
        return done

    async def _paid(self, kind: tx.ProgrammableTransaction, state: ChainState) -> tuple[tx.TransactionData, list[Coin]]:
        """Return the whole transaction and its coins: budget from a simulation, expiry after the next epoch."""
        price = gas_price(state.gas_price, self._failures["congestion"])
        gas_used = await simulate_gas(self._world.chain, kind, self._owner, price)
        asked, least = self._context.options.gas_budget, least_gas(gas_used)
        if asked is not None and asked.units < least:
            text = f"gas_budget: the transaction needs {least} MIST at least, and {asked.units} were allowed"
            raise ConfigurationError("option_invalid", text, option="gas_budget", expected=least, found=asked.units)
        budget = gas_budget(gas_used, price, self._failures["gas_ran_out"]) if asked is None else asked.units
        coins = await self._coins.payment(budget)
        gas = tx.GasData(tuple(coin.ref for coin in coins), self._owner, price, budget)
        return tx.TransactionData(kind, self._owner, gas, tx.EpochExpiration(state.sui_epoch + 1)), coins

    def _row(self, data: bytes, signature: bytes, digest: Digest, epoch: SuiEpoch, expected: ObjectId | None) -> Put:
        """Return the row of a signed transaction: durable before anybody can have it."""
        values = {
            "deployment": str(self._context.owner.deployment),
            "step": self.step + 1,
            "bytes": data,
            "signatures": json.dumps([signature.hex()]),
            "expires": epoch.number + 1,
            "expected_id": str(expected) if expected is not None else None,
            "state": "signed",
        }
        return Put("transactions", {"chain": self._chain_id, "digest": str(digest)}, values)

    async def _perform(
        self,
        data: bytes,
        signatures: Sequence[bytes],
        digest: Digest,
        expected: ObjectId | None,
        puts: Sequence[Put],
    ) -> Done:
        step = self.step + 1

        async def do(release: Release) -> Outcome:
            await release()
            return self._outcome(await self._world.chain.execute(data, signatures), expected)

        async def recorded() -> Sequence[Change]:
            self.step = step
            return await self._signed(step) if self._signed is not None else ()

        signed = Change(events.TRANSACTION_SIGNED, {"digest": str(digest), "step": step}, tuple(puts))
        effect, look, append = _effect(digest, step), self._look(digest, expected), self._world.journal.append
        try:
            if await self._records.row(effect.kind, effect.name) is None:
                return await self._performer.perform(effect, do, look, birth=Birth((signed,), recorded))
            # The same bytes were signed before, perhaps by another deployment: they may have been sent.
            await append(self._context.owner, [signed])
            await append(self._context.owner, await recorded())
            return await self._performer.perform(effect, do, look, look_first=True)
        except OwnershipError as error:
            if error.code != "row_changed":
                raise
            text = f"another deployment took the coins of {self._owner} just now"
            raise EffectUnknown("effect_unsettled", text, settles_in=LOOK_S) from error

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
        made = self._made(expected) if expected is not None and failure is None else ()
        over = self._over(str(result.digest), "final" if failure is None else "failed")
        return Outcome(data, (over, *made, *self._height(ref)))

    def _over(self, digest: str, state: str) -> Put:
        """Return the row of a transaction that is over: nothing is kept any more with which somebody could send it."""
        values = {"state": state, "signatures": None} | ({} if self._keep_bytes else {"bytes": None})
        return Put("transactions", {"chain": self._chain_id, "digest": digest}, values)

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

    def _note(self, data: Mapping[str, Any]) -> None:
        """Take over what a final transaction leaves: references for the next one, and what it cost."""
        self._coins.newest = _json_ref(data["gas_ref"]) or self._coins.newest
        self.ref = _json_ref(data["site_ref"]) or self.ref
        self.gas += int(data["gas"])
        if not data["ok"]:
            self._failures[failure_code(str(data["failure"]))] += 1
        elif data["site_id"] is not None:
            self.site_id = ObjectId.parse(data["site_id"])
        self.digests.append(Digest.parse(data["digest"]))

    # ── what an earlier run left open ─────────────────────────────────────────────────────────────────────────

    async def resolve_open(self, may_repeat: MayRepeat, *, sent_only: bool = False) -> None:
        """Bring every transaction of this deployment that was signed to its end before a new one is made.

        `sent_only`: what never left this machine is declared dead instead of being sent.
        """
        if not self._is_open:
            return
        where = {"deployment": str(self._context.owner.deployment)}
        signed = await self._world.journal.rows("transactions", where, columns=("step", "digest", "state"))
        for known in sorted(signed, key=lambda row: row["step"]):
            self.step = max(self.step, known["step"])
            if known["state"] == "dead" or Digest.parse(known["digest"]) in self.digests:
                continue
            recorded = await self._recorded(known["digest"])
            if recorded is not None:
                self._note(recorded)
            elif known["state"] != "failed":
                (row,) = await self._world.journal.rows("transactions", {**where, "digest": known["digest"]})
                await self._resolve_open(row, may_repeat, sent_only=sent_only)
        self._is_open = False

    async def _recorded(self, digest: str) -> Mapping[str, Any] | None:
        """Return what the journal has of a final transaction: it failed on chain or not, and versions moved on."""
        row = await self._records.row("transaction", digest)
        if row is None or row["state"] != EffectState.DONE.value:
            return None
        outcome: Mapping[str, Any] = json.loads(row["outcome"])
        return outcome

    async def _resolve_open(self, row: Mapping[str, Any], may_repeat: MayRepeat, *, sent_only: bool) -> None:
        if row["bytes"] is None:
            await self._resolve_elsewhere(row)
        elif not await self._records.may_have_left(row["digest"]) and (sent_only or not await self._coins.has(row)):
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

    async def _bury(self, digest: str, code: str) -> None:
        """Record that a transaction can never happen any more; its coins are free again."""
        put = self._over(digest, "dead")
        dead = Change(
            events.TRANSACTION_DEAD, {"digest": digest, "code": code}, (put, *await self._coins.freed(digest))
        )
        await self._world.journal.append(self._context.owner, [dead])

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
        found = await (_patient_look(self._world.sleep, look) if is_over else look())  # it may have been sent there
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
        open_row = await self._records.open_row(effect)
        if open_row is None:
            return True  # every time it was sent it was refused
        epoch = (await self._world.chain.state()).sui_epoch
        verdict = await judge(self._world.chain, row["bytes"], digest, expected)
        if verdict is Verdict.DEAD or (verdict is Verdict.OPEN and epoch.number > row["expires"]):
            return True
        wait = await self._records.settles_in(open_row)
        if wait > 0:
            text = f"transaction {digest} was refused, and an earlier sending of it may have happened"
            raise EffectUnknown("effect_unsettled", text, name=str(digest), settles_in=min(wait, LOOK_S))
        if verdict is Verdict.HAPPENED:
            return False
        text = f"transaction {digest} is refused, and may have happened; it is valid until Sui epoch {row['expires']}"
        raise DeploymentStopped("transaction_open", text, digest=str(digest))

    async def _last_look(self, effect: Effect, look: Look) -> Found | Readable | Absent:
        """Look until a node that lags must know it, too (C7): what is buried is not looked for again."""
        if await self._records.open_row(effect) is None:
            return await look()  # every time it was sent it was refused
        return await _patient_look(self._world.sleep, look)

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
        made = self._made(expected) if expected is not None and ok else ()
        return Found(Outcome(data, (self._over(str(digest), "final" if ok else "failed"), *made)))


async def _patient_look(sleep: Sleep, look: Look) -> Found | Readable | Absent:
    return await patiently(sleep, look, lambda found: isinstance(found, Found))


def _effect(digest: Digest, step: int) -> Effect:
    return Effect("transaction", str(digest), f"transaction-{step:04}", {"step": step}, same_again=True)


def _ref_json(ref: ObjectRef | None) -> list[Any] | None:
    return None if ref is None else [str(ref.id), ref.version, str(ref.digest)]


def _json_ref(row: Sequence[Any] | None) -> ObjectRef | None:
    return None if row is None else ObjectRef(ObjectId.parse(row[0]), row[1], Digest.parse(row[2]))
