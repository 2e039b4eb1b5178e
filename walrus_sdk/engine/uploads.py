"""Uploads: the plan's store operations, a bounded number at once, largest first, each file recorded."""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio

from walrus_sdk.codecs.cost import store_cost
from walrus_sdk.engine.bodies import name_of, request_of
from walrus_sdk.engine.context import Context
from walrus_sdk.engine.effect import Absent, Done, Effect, Found, Look, Outcome, Readable
from walrus_sdk.engine.journaling import Diary
from walrus_sdk.engine.limiters import Limiters, Memory, NotBegun, Turn, open_limiters
from walrus_sdk.engine.perform import Performer
from walrus_sdk.engine.reading import PAUSES, patiently
from walrus_sdk.engine.retries import MayRepeat, Retries
from walrus_sdk.errors import DeploymentStopped, EffectFailed, StorageError, WalrusError
from walrus_sdk.model import events
from walrus_sdk.model.chain import BlobObject
from walrus_sdk.model.network import ChainState
from walrus_sdk.model.plan import Plan, Stored, StoreOperation
from walrus_sdk.model.units import BlobId, ObjectId, WalrusEpoch
from walrus_sdk.planning import pacing
from walrus_sdk.planning.build import places_of, to_store
from walrus_sdk.planning.pacing import FIRST_PAUSE_S, Pace
from walrus_sdk.ports import Put, Release, StoreReceipt

__all__ = ["Uploads"]

_LOOK_FIRST_SIZE = 1024 * 1024
"""Bodies above this many bytes are looked up before they are sent; a small one costs less than the look."""

_ENCODERS = 2
"""Operations that are encoded at once: each holds its content in memory, and keeps one core busy."""

_STATE_S = 10.0
"""Seconds for which what the chain says of epochs and prices serves several stores."""


_LEAST_PAUSE_S = 0.01
"""A publisher that is busy is not asked without any pause, whatever the options say."""


class Uploads:
    """Stores what a plan wants stored.

    Each worker computes the name of an operation, waits for its turn, and stores it. There are more workers than may
    be in flight, so that names of later operations are known when a place gets free; what has its name holds no bytes.
    """

    def __init__(self, context: Context, plan: Plan, performer: Performer, diary: Diary, retries: Retries) -> None:
        self._context = context
        self._world = context.world
        self._plan = plan
        self._performer = performer
        self._diary = diary
        self._retries = retries
        self._encoders = anyio.Semaphore(_ENCODERS)
        self._memory = Memory(context.limits.memory)
        self._state: ChainState | None = None
        self._state_until = 0.0
        self._owned: Mapping[BlobId, BlobObject] | None = None
        self._listing = anyio.Lock()
        self._shown_by: float | None = None
        self._names: dict[str, BlobId] = {}
        self._places: dict[bytes, Stored] = {}
        self._paths: dict[bytes, list[str]] = {}
        for path in to_store(plan):
            self._paths.setdefault(plan.entries[path].sha256, []).append(path)
        self._resumed = context.owner.incarnation > 1
        self._files = sum(map(len, self._paths.values()))
        self._files_done = sum(len(self._paths.get(sha256, ())) for sha256 in plan.known)

    async def run(self) -> Mapping[bytes, Stored]:
        """Store everything; returns where each content lives. Raises the first error that is final, of any operation.

        The other operations go on until they are done, so that nothing that was begun is lost.
        """
        total = sum(piece.size for operation in self._plan.operations for piece in operation.pieces)
        self._context.feed.set(stores_total=len(self._plan.operations), bytes_total=total)
        await self._recall_names()
        queue = deque(enumerate(sorted(self._plan.operations, key=lambda operation: -operation.body_size)))
        failures: list[WalrusError] = []
        async with self._limiters() as limiters, anyio.create_task_group() as tasks:
            for _ in range(min(self._context.limits.requests + _ENCODERS, len(queue))):
                tasks.start_soon(self._worker, queue, limiters, failures)
        if failures:
            raise failures[0]
        return self._places

    def _limiters(self) -> AbstractAsyncContextManager[Limiters]:
        world, limits = self._world, self._context.limits
        pause_s = max(_LEAST_PAUSE_S, min(FIRST_PAUSE_S, self._context.options.recovery.retry_delay_s))
        paces = [Pace(limits.requests, pause_s=pause_s) for _ in range(max(1, world.store.publishers))]
        return open_limiters(
            limits,
            paces,
            clock=world.clock,
            sleep=world.sleep,
            random=world.random,
            feed=self._context.feed,
            stores=len(self._plan.operations),
            gate=self._context.gate,
        )

    async def settle(self) -> None:
        """Look for every store that an earlier run left open until it is found or settled; nothing is stored."""
        by_key = {operation.key: operation for operation in self._plan.operations}
        mine = {"deployment": str(self._context.owner.deployment), "kind": "store", "state": "released"}
        for row in await self._world.journal.rows("operations", mine):
            operation, blob_id = by_key[row["operation"]], BlobId.parse(row["name"])
            effect, look = self._effect(operation, blob_id), self._look(operation, blob_id)

            async def settled(_: MayRepeat, effect: Effect = effect, look: Look = look) -> None:
                await self._performer.settle(effect, look, self._covers)

            await self._retries.run(operation.key, settled)

    async def recorded(self) -> Mapping[bytes, Stored] | None:
        """Return where each content lives by the records alone; `None` when something is not recorded as stored."""
        await self._recall_names()
        places: dict[bytes, Stored] = {}
        past = await self._world.journal.events(self._context.owner.deployment)
        mine = {e.data["operation"]: e.data["outcome"] for e in past if e.type == events.EFFECT_DONE}
        for operation in self._plan.operations:
            name, outcome = self._names.get(operation.key), mine.get(operation.key)
            if name is not None and outcome is None:  # recorded by an owner elsewhere, whose events are not here
                row = await self._performer.records.row("store", str(name))
                outcome = json.loads(row["outcome"]) if row is not None and row["state"] == "done" else None
            if name is None or outcome is None:
                return None
            end = WalrusEpoch(int(outcome["end_epoch"]))
            places |= {place.sha256: place for place in places_of(operation, name, self._plan.n_shards, end)}
        return places

    @staticmethod
    def _effect(operation: StoreOperation, blob_id: BlobId) -> Effect:
        facts = {"size": operation.blob_size}
        return Effect("store", str(blob_id), operation.key, facts, operation.cost.units)

    async def _recall_names(self) -> None:
        """Take over blob ids that were computed before: an operation is encoded once."""
        for event in await self._world.journal.events(self._context.owner.deployment):
            if event.type == events.STORE_NAMED:
                self._names[event.data["operation"]] = BlobId.parse(event.data["blob_id"])

    async def _worker(
        self, queue: deque[tuple[int, StoreOperation]], limiters: Limiters, failures: list[WalrusError]
    ) -> None:
        while queue and not failures:
            number, operation = queue.popleft()
            try:
                await self._store(operation, number, limiters)
            except WalrusError as error:
                failures.append(error)
                limiters.stop()
            except NotBegun:
                return

    async def _store(self, operation: StoreOperation, number: int, limiters: Limiters) -> None:
        blob_id = await self._name(operation)
        self._context.feed.add(stores_encoded=1)
        turns = _Turns(limiters, operation.body_size, number)

        async def once(may_repeat: MayRepeat) -> Done:
            while True:
                turn = turns.next()
                try:
                    return await self._try(operation, blob_id, turn, may_repeat)
                except EffectFailed as error:
                    if not pacing.is_for_another(error) or not turns.may_go_elsewhere(turn):
                        raise

        await self._check_own(blob_id)
        done = await self._retries.run(operation.key, once, paced=True)
        end = WalrusEpoch(int(done.data["end_epoch"]))
        if not self._covers(done.data):  # recorded as it is: paid, and of use until then
            raise self._early(blob_id, end)
        for stored in places_of(operation, blob_id, self._plan.n_shards, end):
            self._places[stored.sha256] = stored
        await self._count(operation, blob_id, done)

    async def _try(self, operation: StoreOperation, blob_id: BlobId, turn: Turn, may_repeat: MayRepeat) -> Done:
        fresh = self._context.options.fresh
        return await self._performer.perform(
            self._effect(operation, blob_id),
            lambda release: self._do(operation, blob_id, turn, release),
            self._look(operation, blob_id),
            look_first=(self._resumed or operation.body_size > _LOOK_FIRST_SIZE) and not fresh,
            look_again=self._look_again(operation, blob_id) if self._resumed else None,
            own_only=fresh,  # stored again whatever others recorded: free where the publisher finds it certified
            enough=self._covers,
            may_repeat=may_repeat,
            price=lambda: self._price(operation),
            turn=turn,
        )

    async def _check_own(self, blob_id: BlobId) -> None:
        """Check that this deployment has not bought it with too short a life: the publisher would sell that again."""
        row = await self._performer.records.row("store", str(blob_id))
        mine = str(self._context.owner.deployment)
        if row is not None and row["state"] == "done" and row["deployment"] == mine:
            recorded = json.loads(row["outcome"])
            if not self._covers(recorded):
                raise self._early(blob_id, WalrusEpoch(int(recorded["end_epoch"])))

    def _early(self, blob_id: BlobId, end: WalrusEpoch) -> StorageError:
        text = f"{blob_id} is stored until Walrus epoch {end}, planned is {self._plan.end_epoch}"
        return StorageError("blob_expires_early", text, blob_id=str(blob_id))

    async def _name(self, operation: StoreOperation) -> BlobId:
        if operation.key not in self._names:
            size, clock = sum(piece.size for piece in operation.pieces), self._world.clock
            async with self._encoders, self._memory.hold(size):
                began_s = clock.monotonic()
                blob_id = await name_of(self._world, operation, self._plan.n_shards)
            facts = {"operation": operation.key, "blob_id": str(blob_id), "files": len(operation.pieces)}
            facts |= {"bytes": size, "encode_s": round(clock.monotonic() - began_s, 6)}
            await self._diary.event(events.STORE_NAMED, facts)
            self._names[operation.key] = blob_id
        return self._names[operation.key]

    def _covers(self, outcome: Mapping[str, Any]) -> bool:
        return int(outcome["end_epoch"]) >= self._plan.end_epoch.number

    async def _price(self, operation: StoreOperation) -> int:
        """Return what an operation costs now, in FROST: prices are votes, and its epochs are those that are left."""
        state = await self._chain_state()
        epochs = max(1, state.walrus_epoch.until(self._plan.end_epoch))
        return store_cost(operation.blob_size, self._plan.n_shards, epochs, state.prices).units

    async def _chain_state(self) -> ChainState:
        """Read epochs and prices, once for the stores of some seconds: a turn on the wire is not spent waiting."""
        now_s = self._world.clock.monotonic()
        if self._state is None or now_s >= self._state_until:
            self._state, self._state_until = await self._world.chain.state(), now_s + _STATE_S
        return self._state

    async def _do(self, operation: StoreOperation, blob_id: BlobId, turn: Turn, release: Release) -> Outcome:
        now = (await self._chain_state()).walrus_epoch
        epochs = now.until(self._plan.end_epoch)
        if epochs < 1:
            text = f"the plan stores until Walrus epoch {self._plan.end_epoch}, and it is {now} now"
            raise DeploymentStopped("plan_expired", text)
        options, owner = self._context.options, self._plan.target.owner
        request = request_of(
            self._world,
            operation,
            blob_id,
            epochs=epochs,
            owner=owner,
            deletable=options.deletable,
            feed=self._context.feed,
        )

        async def let_go() -> None:
            await release()
            turn.sent()

        assert turn.at is not None, "it is stored in its turn"
        try:
            receipt = await self._world.store.store(request, let_go, at=turn.at)
        except WalrusError:
            self._state = None  # read anew before each repeat
            raise
        finally:
            self._context.feed.ended(operation.key)
        turn.stored(at=receipt.publisher, is_new=not receipt.already_certified)
        self._check(receipt, blob_id)
        return Outcome(_receipt_json(receipt), self._puts(operation, blob_id, receipt))

    def _check(self, receipt: StoreReceipt, blob_id: BlobId) -> None:
        if receipt.blob_id != blob_id:
            raise StorageError(
                "blob_id_mismatch",
                f"the publisher answered blob id {receipt.blob_id}, expected {blob_id}",
                expected=str(blob_id),
                found=str(receipt.blob_id),
            )

    # ── looking ───────────────────────────────────────────────────────────────────────────────────────────────

    def _look_again(self, operation: StoreOperation, blob_id: BlobId) -> Look:
        """Look at what an earlier owner recorded before it is skipped; a node that lags may show it late (C7).

        Late is counted once for all operations: who began so long ago is shown everything that was there then.
        """

        async def look() -> Found | Readable | Absent:
            looks, now = itertools.count(), self._world.clock.monotonic()
            self._shown_by = now + sum(PAUSES) if self._shown_by is None else self._shown_by
            return await patiently(
                self._world.sleep,
                lambda: self._look(operation, blob_id, fresh=next(looks) > 0)(),
                lambda found: not isinstance(found, Absent),
                PAUSES if now < self._shown_by else (),
            )

        return look

    def _look(self, operation: StoreOperation, blob_id: BlobId, *, fresh: bool = False) -> Look:
        async def look() -> Found | Readable | Absent:
            row = await self._performer.records.row("store", str(blob_id))
            is_open = row is not None and row["state"] == "released"
            found = (await self._owned_blobs(fresh=is_open or fresh)).get(blob_id)
            if found is not None and found.ref.id not in await self._older(blob_id):
                is_ours = is_open and row is not None and not self._performer.records.is_foreign(row)
                cost = operation.cost if is_ours else operation.cost * 0  # the receipt that would tell is lost
                receipt = StoreReceipt(blob_id, found.end_epoch, cost, True, found.ref.id)
                return Found(Outcome(_receipt_json(receipt), self._puts(operation, blob_id, receipt)))
            return Readable() if await self._readable(operation, blob_id) else Absent()

        return look

    async def _older(self, blob_id: BlobId) -> set[ObjectId]:
        """Return the objects of a blob that do not count, because everything is to be stored anew."""
        if not self._context.options.fresh:
            return set()
        made = await self._performer.records.row("store", str(blob_id))
        if made is not None and made["state"] == "done" and not self._performer.records.is_foreign(made):
            return set()  # it was stored anew, by an earlier owner of this deployment
        rows = await self._world.journal.rows("blobs", {"chain": self._plan.chain_id, "blob_id": str(blob_id)})
        return {ObjectId.parse(row["object_id"]) for row in rows if row["object_id"]}

    async def _owned_blobs(self, *, fresh: bool) -> Mapping[BlobId, BlobObject]:
        """List the owner's blobs, once for all operations unless an answer was lost meanwhile."""
        async with self._listing:
            if self._owned is None or fresh:
                best: dict[BlobId, BlobObject] = {}
                for blob in await self._world.chain.blobs(self._plan.target.owner):
                    if blob.certified_epoch is None or (blob.deletable and not self._context.options.deletable):
                        continue
                    known = best.get(blob.blob_id)
                    if known is None or known.end_epoch.number < blob.end_epoch.number:
                        best[blob.blob_id] = blob
                self._owned = best
            return self._owned

    async def _readable(self, operation: StoreOperation, blob_id: BlobId) -> bool:
        span = (0, 1) if operation.blob_size else None
        try:
            await self._world.store.read(blob_id, lambda _: None, span=span, max_size=1)
        except WalrusError:
            return False  # not there, or not to be read: the look has found nothing
        return True

    # ── records ───────────────────────────────────────────────────────────────────────────────────────────────

    def _puts(self, operation: StoreOperation, blob_id: BlobId, receipt: StoreReceipt) -> tuple[Put, ...]:
        chain, end = self._plan.chain_id, receipt.end_epoch
        facts: dict[str, Any] = {"end_epoch": end.number, "size": operation.blob_size}
        facts["deletable"] = int(self._context.options.deletable)
        if receipt.object_id is not None:
            facts["object_id"] = str(receipt.object_id)
        puts = [Put("blobs", {"chain": chain, "blob_id": str(blob_id)}, facts)]
        sizes = {piece.sha256: piece.size for piece in operation.pieces}
        for stored in places_of(operation, blob_id, self._plan.n_shards, end):
            key = {
                "chain": chain,
                "sha256": stored.sha256.hex(),
                "blob_id": str(blob_id),
                "patch_id": str(stored.patch) if stored.patch is not None else "",
            }
            puts.append(Put("patches", key, {"size": sizes[stored.sha256]}))
        return (*puts, *self._entry_puts(operation))

    def _entry_puts(self, operation: StoreOperation) -> Sequence[Put]:
        deployment = str(self._context.owner.deployment)
        paths = [path for piece in operation.pieces for path in self._paths.get(piece.sha256, [])]
        return [Put("entries", {"deployment": deployment, "path": path}, {"state": "stored"}) for path in paths]

    async def _count(self, operation: StoreOperation, blob_id: BlobId, done: Done) -> None:
        outcome, recorded = done.data, done.how == "recorded"
        end = WalrusEpoch(int(outcome["end_epoch"]))
        if recorded:  # by another deployment, perhaps, or on another machine: this one's files are stored too
            known = {"chain": self._plan.chain_id, "blob_id": str(blob_id)}
            if not await self._world.journal.rows("blobs", known):
                receipt = StoreReceipt(blob_id, end, operation.cost * 0, True, _object_id(outcome))
                puts = self._puts(operation, blob_id, receipt)
            else:
                puts = tuple(self._entry_puts(operation))
            await self._diary.event(
                events.EFFECT_DONE,
                {"kind": "store", "name": str(blob_id), "operation": operation.key, "how": "recorded",
                 "outcome": {"end_epoch": end.number}},
                puts,
            )  # fmt: skip
        self._files_done += sum(len(self._paths.get(piece.sha256, [])) for piece in operation.pieces)
        size = sum(piece.size for piece in operation.pieces)
        self._context.feed.add(stores_confirmed=1, bytes_confirmed=size)
        await self._diary.stored(self._files_done, self._files)


class _Turns:
    """The turns of one operation, try after try."""

    def __init__(self, limiters: Limiters, size: int, number: int) -> None:
        self._limiters = limiters
        self._size = size
        self._number = number
        self._begun = False
        self._besides: set[int] = set()
        self._last: Turn | None = None

    def next(self) -> Turn:
        """Return the turn of the next try."""
        self._begun = self._begun or (self._last is not None and self._last.at is not None)
        self._last = self._limiters.turn(self._size, self._number, begun=self._begun, besides=self._besides)
        return self._last

    def may_go_elsewhere(self, turn: Turn) -> bool:
        """Leave the publisher of a turn out from now on; returns whether another one is left."""
        if turn.at is None or len(self._besides) + 1 >= self._limiters.publishers:
            return False
        self._besides.add(turn.at)
        return True


def _object_id(outcome: Mapping[str, Any]) -> ObjectId | None:
    return ObjectId.parse(outcome["object_id"]) if outcome.get("object_id") else None


def _receipt_json(receipt: StoreReceipt) -> dict[str, Any]:
    return {
        "blob_id": str(receipt.blob_id),
        "end_epoch": receipt.end_epoch.number,
        "cost_frost": str(receipt.cost.units),
        "already_certified": receipt.already_certified,
        "object_id": str(receipt.object_id) if receipt.object_id is not None else None,
        "endpoint": receipt.endpoint,
    }
