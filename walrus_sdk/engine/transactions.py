"""Site transactions: what is still missing on chain, one transaction after the other, each named before it is sent.

What is to do is "the difference between the chain and the target, packed", read at the beginning, after a failure and
at the end; so a deployment that is taken up again needs no memory of how far it got. A second transaction is made
only when the last one is known to be final or proven dead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from walrus_sdk.codecs import transaction as tx
from walrus_sdk.codecs.ids import fresh_object_id
from walrus_sdk.engine.context import Context
from walrus_sdk.engine.effect import Absent, Done, Effect, Found, Look, Outcome, Performer
from walrus_sdk.engine.finality import Verdict, judge
from walrus_sdk.engine.retries import MayRepeat, Retries
from walrus_sdk.errors import BlockchainError, EffectFailed, EffectUnknown
from walrus_sdk.model import events
from walrus_sdk.model.chain import Coin, GasUsed, ObjectRef, TransactionOutcome
from walrus_sdk.model.network import ChainState
from walrus_sdk.model.plan import Plan, SiteChange, Stored
from walrus_sdk.model.site import Resource, SiteContent, SiteSnapshot
from walrus_sdk.model.units import Digest, ObjectId, SuiAddress, SuiEpoch
from walrus_sdk.planning.build import record
from walrus_sdk.planning.cost import gas_budget
from walrus_sdk.ports import Chain, Change, Put, Release, SigningRequest
from walrus_sdk.sites import packing
from walrus_sdk.sites.calls import CreateSite, Step, steps

__all__ = ["SiteWriter", "remaining_change", "simulate_gas", "target_resources"]

_ESTIMATE_BUDGET = 50_000_000_000
_MAX_PAYMENT = 16
_LOOK_S = 2.0
"""Seconds until a transaction that has happened, and is not indexed yet, is looked for again."""
_REFUSED = frozenset({
    "insufficient_gas", "signature_refused", "stale_object", "transaction_expired", "transaction_refused",
    "transaction_too_large",
})  # fmt: skip
"""What a node says of bytes that it will not execute, whoever sends them again."""


def target_resources(plan: Plan, stored: Mapping[bytes, Stored]) -> dict[str, Resource]:
    """Return every resource that the site will have."""
    places = {**plan.known, **stored}
    written = (*plan.change.add, *plan.change.replace)
    made = {path: record(plan.entries[path], places[plan.entries[path].sha256]) for path in written}
    return {**plan.base, **made}


def remaining_change(wanted: SiteChange, target: Mapping[str, Resource], current: SiteContent) -> SiteChange:
    """Return what is still missing on chain."""
    there = current.resources
    rules = {
        "routes": _rest(wanted.routes, current.routes),
        "redirects": _rest(wanted.redirects, current.redirects),
    }
    return SiteChange(
        add=tuple(sorted(path for path in target if path not in there)),
        replace=tuple(sorted(path for path in target if path in there and not _equal(target[path], there[path]))),
        remove=tuple(sorted(path for path in there if path not in target)),
        name=wanted.name if wanted.name is not None and wanted.name != current.name else None,
        metadata=wanted.metadata if wanted.metadata is not None and wanted.metadata != current.metadata else None,
        **rules,
    )


def _rest(wanted: Any, there: Any) -> Any:
    return None if wanted is None or tuple(wanted) == tuple(there or ()) else wanted


def _equal(wanted: Resource, there: Resource) -> bool:
    return (
        (wanted.blob_id, wanted.blob_hash, wanted.range) == (there.blob_id, there.blob_hash, there.range)
        and dict(wanted.headers) == dict(there.headers)
    )  # fmt: skip


async def simulate_gas(chain: Chain, kind: tx.ProgrammableTransaction, owner: SuiAddress, price: int) -> GasUsed:
    """Return the gas that a transaction of `owner` would use; `price` is MIST per computation unit.

    Raises `BlockchainError` ``transaction_refused`` when it would fail.
    """
    draft = tx.TransactionData(kind, owner, tx.GasData((), owner, price, _ESTIMATE_BUDGET))
    simulation = await chain.simulate(tx.encode_transaction(draft), estimate=True)
    if simulation.failure is not None:
        failure = simulation.failure
        raise BlockchainError("transaction_refused", f"it would fail: {failure.kind}: {failure.message}")
    return simulation.gas


class SiteWriter:
    """Brings the site on chain to what a plan wants."""

    def __init__(self, context: Context, plan: Plan, performer: Performer, retries: Retries) -> None:
        self._context = context
        self._world = context.world
        self._plan = plan
        self._performer = performer
        self._retries = retries
        self.site_id: ObjectId | None = plan.target.site_id
        self.digests: list[Digest] = []
        self.gas = 0
        self.site: SiteSnapshot | None = None
        self._pending: list[tuple[Step, ...]] = []
        self._ref: ObjectRef | None = None
        self._gas_ref: ObjectRef | None = None
        self._step = 0

    async def run(self, stored: Mapping[bytes, Stored]) -> ObjectId:
        """Send what is missing until nothing is; returns the site's id. Raises ``site_changed`` and chain errors."""
        target = target_resources(self._plan, stored)

        async def advance(may_repeat: MayRepeat) -> bool:
            return await self._advance(target, may_repeat)

        while await self._retries.run(f"transaction {self._step + 1}", advance, patient=True):
            self._context.feed.add(transactions_confirmed=1)
        assert self.site_id is not None, "an empty difference has a site"
        return self.site_id

    async def settle(self) -> None:
        """Bring every transaction that may have been sent to its end, for a plan that is given up.

        What was signed and never sent is dropped.
        """
        while True:
            try:
                await self._retries.run("open transactions", self._resolve_sent, patient=True)
            except BlockchainError as error:
                if not any(str(digest) == error.fields.get("digest") for digest in self.digests):
                    raise  # else it is final, and failed on chain: that is an end too
            else:
                return

    async def _resolve_sent(self, may_repeat: MayRepeat) -> None:
        await self._resolve_open(may_repeat, sent_only=True)

    async def _advance(self, target: Mapping[str, Resource], may_repeat: MayRepeat) -> bool:
        """Settle what is open, then send one transaction; false when nothing is missing."""
        await self._resolve_open(may_repeat)
        if not self._pending:
            self._pending = await self._missing(target)
        if not self._pending:
            return False
        self._context.feed.set(transactions_total=len(self.digests) + len(self._pending))
        try:
            await self._send(self._pending[0])
        except BaseException:
            self._pending = []  # what is missing now is read from the chain again
            raise
        self._pending = self._pending[1:]
        return True

    # ── what is missing ───────────────────────────────────────────────────────────────────────────────────────

    async def _missing(self, target: Mapping[str, Resource]) -> list[tuple[Step, ...]]:
        """Return the steps of the transactions that are still needed; none when the chain is as wanted."""
        plan = self._plan
        if self.site_id is None:
            await self._check_still_new()
            return packing.pack(steps(plan.change, target, plan.target.name), self._calls())
        self.site = await self._site()
        change = remaining_change(plan.change, target, self.site.content)
        return packing.pack(steps(change, target), self._calls())

    async def _check_still_new(self) -> None:
        """Check that the site was not made since the plan, by another deployment of this home."""
        rows = await self._world.journal.rows("sites", self._site_key())
        if rows and rows[0]["object_id"]:
            text = f"the plan makes a new site {self._plan.target.name!r}, which is {rows[0]['object_id']} by now"
            raise BlockchainError("site_changed", text, site_id=rows[0]["object_id"])

    def _site_key(self) -> dict[str, str]:
        target = self._plan.target
        return {"chain": self._plan.chain_id, "owner": str(target.owner), "name": target.name}

    def _calls(self) -> packing.Calls:
        package = self._context.network.call_package
        assert package is not None, "a network in use has its packages"
        return packing.Calls(package, self._plan.target.owner)

    async def _site(self) -> SiteSnapshot:
        """Read the site, at least as new as our own last transaction. Raises ``site_changed`` for a foreign change."""
        assert self.site_id is not None
        expected = self._ref
        if expected is None and self._plan.target.version is not None and self._plan.target.digest is not None:
            expected = ObjectRef(self.site_id, self._plan.target.version, self._plan.target.digest)
        for pause in (0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0):
            if pause:
                await self._world.sleep(pause)  # a node that lags behind our own transaction
            site = await self._world.chain.site(self.site_id)
            if site is None or (expected is not None and site.version < expected.version):
                continue
            if expected is not None and (site.version, site.digest) != (expected.version, expected.digest):
                text = f"site {self.site_id} is at version {site.version}, planned was {expected.version}"
                raise BlockchainError("site_changed", text, site_id=str(self.site_id))
            return site
        raise BlockchainError("chain_unavailable", f"the node does not show site {self.site_id} yet")

    # ── one transaction ───────────────────────────────────────────────────────────────────────────────────────

    async def _send(self, part: Sequence[Step]) -> Done:
        """Build, simulate, sign, journal and send one transaction."""
        state = await self._world.chain.state()
        kind = packing.build(part, self._calls(), await self._site_ref())
        data = await self._paid(kind, state)
        digest = tx.transaction_digest(data)
        new = any(isinstance(step, CreateSite) for step in part)
        expected = fresh_object_id(digest, 0) if new else None
        signature = await self._world.signer.sign(
            SigningRequest(
                data,
                digest,
                f"{len(part)} changes to site {self._plan.target.name!r}",
                self.site_id,
                tx.decode_transaction(data).gas.budget,
                self._plan.digest,
            )
        )
        await self._remember(data, signature, digest, state.sui_epoch, expected)
        return await self._perform(data, [signature], digest, expected)

    async def _site_ref(self) -> ObjectRef | None:
        if self.site_id is None:
            return None
        if self._ref is not None:
            return self._ref
        site = await self._site()
        return ObjectRef(site.site_id, site.version, site.digest)

    async def _paid(self, kind: tx.ProgrammableTransaction, state: ChainState) -> bytes:
        """Return the whole transaction: budget from a simulation, coins that cover it, expiry after the next epoch."""
        owner, price = self._plan.target.owner, state.gas_price
        budget = gas_budget(await simulate_gas(self._world.chain, kind, owner, price), price)
        coins = self._payment(await self._world.chain.coins(owner), budget)
        gas = tx.GasData(tuple(coin.ref for coin in coins), owner, price, budget)
        return tx.encode_transaction(tx.TransactionData(kind, owner, gas, tx.EpochExpiration(state.sui_epoch + 1)))

    def _payment(self, coins: Sequence[Coin], budget: int) -> list[Coin]:
        """Return coins that cover a budget, largest first; our own last gas coin is taken as we know it."""
        chosen: list[Coin] = []
        total = 0
        for coin in coins[:_MAX_PAYMENT]:
            ours = self._gas_ref
            newer = ours is not None and coin.ref.id == ours.id and coin.ref.version < ours.version
            chosen.append(Coin(ours, coin.balance) if newer and ours is not None else coin)
            total += coin.balance
            if total >= budget:
                return chosen
        owner = self._plan.target.owner
        text = f"{owner} has {total} MIST in its {len(chosen)} largest coins, and the transaction may need {budget}"
        raise BlockchainError("insufficient_gas", text, address=str(owner), found=total, expected=budget)

    async def _remember(
        self, data: bytes, signature: bytes, digest: Digest, epoch: SuiEpoch, expected: ObjectId | None
    ) -> None:
        """Make the signed transaction durable before anybody can have it."""
        self._step += 1
        values = {
            "deployment": str(self._context.owner.deployment),
            "step": self._step,
            "bytes": data,
            "signatures": json.dumps([signature.hex()]),
            "expires": epoch.number + 1,
            "expected_id": str(expected) if expected is not None else None,
            "state": "signed",
        }
        put = Put("transactions", {"chain": self._plan.chain_id, "digest": str(digest)}, values)
        await self._journal(events.TRANSACTION_SIGNED, {"digest": str(digest), "step": self._step}, put)

    async def _journal(self, kind: str, data: Mapping[str, Any], *puts: Put) -> None:
        await self._world.journal.append(self._context.owner, [Change(kind, data, puts)])

    async def _perform(
        self, data: bytes, signatures: Sequence[bytes], digest: Digest, expected: ObjectId | None
    ) -> Done:
        effect = _effect(digest, self._step)

        async def do(release: Release) -> Outcome:
            await release()
            return self._outcome(await self._world.chain.execute(data, signatures), expected)

        done = await self._performer.perform(effect, do, self._look(digest, expected), look_first=True)
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
        key = {"chain": self._plan.chain_id, "digest": str(result.digest)}
        put = Put("transactions", key, {"state": "final" if failure is None else "failed"})
        made = self._made(expected) if expected is not None and failure is None else ()
        return Outcome(data, (put, *made))

    def _made(self, site_id: ObjectId) -> tuple[Put, ...]:
        """Return the rows that know a new site, written with the outcome that made it: it is never made again."""
        deployment = str(self._context.owner.deployment)
        return (
            Put("sites", self._site_key(), {"object_id": str(site_id), "deployment": deployment}),
            Put("deployments", {"id": deployment}, {"site_id": str(site_id)}),
        )

    def _take(self, done: Done) -> None:
        """Go on from a final transaction. Raises when it failed on chain: gas was charged and versions moved on."""
        data = done.data
        self._note(data)
        if not data["ok"]:
            code = {"MOVE_ABORT": "move_abort", "INSUFFICIENT_GAS": "insufficient_gas"}.get(
                str(data["failure"]), "congestion" if "CONGESTION" in str(data["failure"]) else "transaction_failed"
            )
            text = f"transaction {data['digest']} failed: {data['failure']}: {data['message']}"
            raise BlockchainError(code, text, digest=data["digest"])
        if data["site_id"] is not None:
            self.site_id = ObjectId.parse(data["site_id"])

    def _note(self, data: Mapping[str, Any]) -> None:
        """Take over what a final transaction leaves: references for the next one, and what it cost."""
        self._gas_ref = _json_ref(data["gas_ref"])
        self._ref = _json_ref(data["site_ref"]) or self._ref
        self.gas += int(data["gas"])
        self.digests.append(Digest.parse(data["digest"]))

    # ── what an earlier run left open ─────────────────────────────────────────────────────────────────────────

    async def _resolve_open(self, may_repeat: MayRepeat, *, sent_only: bool = False) -> None:
        """Bring every transaction of this deployment that was signed to its end before a new one is made.

        `sent_only`: what never left this machine is declared dead instead of being sent.
        """
        where = {"deployment": str(self._context.owner.deployment)}
        rows = sorted(await self._world.journal.rows("transactions", where), key=lambda row: row["step"])
        for row in rows:
            self._step = max(self._step, row["step"])
            if row["state"] == "dead" or Digest.parse(row["digest"]) in self.digests:
                continue
            if row["state"] == "failed":
                await self._note_failed(row["digest"])
            elif sent_only and not await self._may_have_left(row["digest"]):
                await self._bury(row["digest"], "never_sent")
            else:
                await self._resolve(row, may_repeat)

    async def _note_failed(self, digest: str) -> None:
        """Take over the references of a transaction that failed on chain in an earlier run: versions moved on."""
        row = await self._performer.row("transaction", digest)
        if row is not None and row["outcome"] is not None:
            self._note(json.loads(row["outcome"]))

    async def _may_have_left(self, digest: str) -> bool:
        row = await self._performer.row("transaction", digest)
        return row is not None and row["state"] in ("released", "done")

    async def _bury(self, digest: str, code: str) -> None:
        """Record that a transaction can never happen any more."""
        put = Put("transactions", {"chain": self._plan.chain_id, "digest": digest}, {"state": "dead"})
        await self._journal(events.TRANSACTION_DEAD, {"digest": digest, "code": code}, put)

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
            await self._check_dead(effect, row["bytes"], digest, expected)
            found = await look()  # after the objects were read: what moved them is known by now
            if isinstance(found, Absent):
                await self._bury(str(digest), error.cause.code)
                return
            done = await self._performer.perform(effect, again, look, look_first=True)
        self._take(done)

    async def _check_dead(self, effect: Effect, data: bytes, digest: Digest, expected: ObjectId | None) -> None:
        """Check that a transaction that was refused did not happen, by its objects or by its settle time.

        Raises `EffectUnknown` with ``settles_in`` (seconds) while it may have.
        """
        open_row = await self._performer.open_row(effect)
        if open_row is None:
            return  # every time it was sent it was refused
        verdict = await judge(self._world.chain, data, digest, expected)
        wait = self._performer.settles_in(open_row)
        if verdict is Verdict.HAPPENED or (verdict is Verdict.OPEN and wait > 0):
            text = f"transaction {digest} was refused, and an earlier sending of it may have happened"
            raise EffectUnknown("effect_unsettled", text, name=str(digest), settles_in=max(wait, _LOOK_S))


def _effect(digest: Digest, step: int) -> Effect:
    return Effect("transaction", str(digest), f"transaction-{step:04}", {"step": step}, same_again=True)


def _ref_json(ref: ObjectRef | None) -> list[Any] | None:
    return None if ref is None else [str(ref.id), ref.version, str(ref.digest)]


def _json_ref(row: Sequence[Any] | None) -> ObjectRef | None:
    return None if row is None else ObjectRef(ObjectId.parse(row[0]), row[1], Digest.parse(row[2]))
