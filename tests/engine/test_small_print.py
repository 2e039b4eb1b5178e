"""The small print of paying and sending once: what is proven, since when, and what a limit counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from walrus_sdk.codecs import transaction as tx
from walrus_sdk.engine.finality import Verdict, judge
from walrus_sdk.engine.records import settled_in
from walrus_sdk.errors import BlockchainError, DeploymentStopped, WalrusError
from walrus_sdk.model.chain import BlobObject, ObjectRef, OwnedObject
from walrus_sdk.model.options import RecoveryOptions
from walrus_sdk.model.units import BlobId, Digest, ObjectId, SuiAddress, SuiEpoch
from walrus_sdk.testing import SimulatedWorld, lost

pytestmark = pytest.mark.anyio

MANY = {"index.html": b"home", **{f"page-{n:03}.html": b"<p>%d</p>" % n * 3 for n in range(400)}}
UNKNOWN = BlockchainError("transaction_unknown", "no answer came")
STALE = BlockchainError("stale_object", "unavailable for consumption")


# ── since when an effect is settled ───────────────────────────────────────────────────────────────────────────────


def test_the_clock_of_a_boot_is_believed_in_that_boot_only() -> None:
    row = {"boot_id": "one", "released_boot_s": 100.0, "released_wall_ms": 1_000_000, "lost_boot_s": None}
    assert settled_in(row, 120.0, "one", 130.0, 9_000_000) == 90.0
    assert settled_in(row, 120.0, "two", 5_000.0, 1_010_000) == 110.0, "another boot: by the wall"
    assert settled_in(row, 120.0, "two", 5_000.0, 900_000) == 120.0, "a wall clock that was set back proves nothing"
    later = row | {"lost_boot_s": 125.0, "lost_wall_ms": 1_025_000}
    assert settled_in(later, 120.0, "one", 130.0, 9_000_000) == 115.0, "from the moment its answer was lost"


def payments(world: SimulatedWorld) -> list[float]:
    """Return a list that the time of each payment goes to."""
    times: list[float] = []
    world.store.paying = lambda *_: times.append(world.clock.monotonic())
    return times


async def dead_while_paying(files: dict[str, bytes]) -> SimulatedWorld:
    world = SimulatedWorld(files)
    world.store.faults = lambda moment, _: world.life.die() if moment == "paid" else None
    assert await world.dies()
    return world


async def test_the_last_sign_of_an_owner_that_died_is_the_last_moment_at_which_it_may_have_waited() -> None:
    world = await dead_while_paying({"index.html": b"a" * 500})
    (row,) = world.disk.tables["operations"].values()
    row |= {"released_wall_ms": row["released_wall_ms"] - 3_600_000, "boot_id": "an earlier boot"}
    began, times = world.clock.monotonic(), payments(world)
    await world.deploy()
    assert times[0] - began >= world.network.settle_s - 0.1


async def test_what_a_superseded_deployment_left_open_is_waited_for() -> None:
    world = await dead_while_paying({"index.html": b"a" * 500})
    world.files["index.html"] = b"b" * 500
    began, times = world.clock.monotonic(), payments(world)
    result = await world.deploy()
    assert times[0] - began >= world.network.settle_s - 0.1
    assert len(result.possibly_paid_in_vain) == 1


# ── what a limit counts ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("more", [0, 1])
async def test_a_limit_counts_what_may_be_paid_and_holds_for_stores_side_by_side(more: int) -> None:
    world = SimulatedWorld({f"{name}.html": name.encode() * 500 for name in ("index", "b", "c")})
    plan = await world.plan(max_quilt_files=1)
    each = plan.operations[0].cost
    limit = plan.cost.frost + (each if more else each * 0)
    world.store.faults = lambda moment, _: lost() if moment == "paid" else None
    with pytest.raises(WalrusError):
        await world.deploy(
            max_quilt_files=1, concurrency=3, max_cost=limit, recovery=RecoveryOptions(retry_delay_s=0.0)
        )
    assert sum(row["cost_frost"] for row in world.net.blobs.ledger()) <= limit.units


# ── what proves that a transaction is dead ────────────────────────────────────────────────────────────────────────


class _Objects:
    """A chain of which only objects are asked."""

    def __init__(self, *found: OwnedObject | None) -> None:
        self._found = found

    async def objects(self, _: Sequence[ObjectId]) -> Sequence[OwnedObject | None]:
        return self._found


ONE, OTHER = Digest(b"\1" * 32), Digest(b"\2" * 32)
COIN = ObjectRef(ObjectId(b"\3" * 32), 7, ONE)


def uses_the_coin() -> bytes:
    owner = SuiAddress(b"\4" * 32)
    gas = tx.GasData((COIN,), owner, 1000, 10**7)
    return tx.encode_transaction(
        tx.TransactionData(tx.ProgrammableTransaction((), ()), owner, gas, tx.EpochExpiration(SuiEpoch(1)))
    )


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (None, Verdict.OPEN),  # a node that has not heard of it
        ((7, OTHER), Verdict.OPEN),
        ((6, OTHER), Verdict.OPEN),
        ((8, OTHER), Verdict.DEAD),
        ((8, ONE), Verdict.HAPPENED),
    ],
)
async def test_objects_tell_what_became_of_a_transaction(now: tuple[int, Digest] | None, verdict: Verdict) -> None:
    item = None
    if now is not None:
        item = OwnedObject(ObjectRef(COIN.id, now[0], OTHER), "0x2::coin::Coin", SuiAddress(b"\4" * 32), now[1], None)
    chain: Any = _Objects(item)
    assert await judge(chain, uses_the_coin(), ONE, None) is verdict


def first_on_its_way(world: SimulatedWorld) -> list[str]:
    """Let the first transaction be under way without an answer, and all sending be refused after it; tells digests."""
    sent: list[str] = []

    def executing(data: bytes) -> None:
        sent.append(str(tx.transaction_digest(data)))

    world.chain.executing = executing
    world.chain.postpones = lambda: len(sent) == 1
    world.chain.faults = lambda moment: STALE if moment == "execute" and len(sent) > 1 else None
    return sent


async def test_a_transaction_is_valid_until_the_end_of_the_epoch_that_it_names() -> None:
    world = SimulatedWorld()
    sent = first_on_its_way(world)
    world.net.chain.advance_sui_epoch(0)
    usual = world.clock.sleep

    async def sleep(seconds: float) -> None:
        if world.net.chain.sui_epoch.number == began:
            world.net.chain.advance_sui_epoch(1)  # the next epoch is the last in which it can happen
        await usual(seconds)

    began, world.clock.sleep = world.net.chain.sui_epoch.number, sleep  # type: ignore[method-assign]
    with pytest.raises(DeploymentStopped) as caught:
        await world.deploy()
    assert caught.value.code == "transaction_open"
    assert len(set(sent)) == 1, "no second one beside it"
    world.chain.arrive()
    world.revive()
    await world.deploy()
    assert len(await world.site_ids()) == 1
    assert await world.served() == world.published()


def move_coins(world: SimulatedWorld) -> None:
    """Let another transaction change the owner's coins."""
    objects = world.net.chain.objects
    coins = [objects.get(id_) for id_ in objects.ids_of(world.signer.address.raw)]
    world.net.chain.system_transaction([coin for coin in coins if coin is not None and "::coin::Coin<" in coin.type])


async def test_a_transaction_whose_coin_went_elsewhere_is_dead_at_once() -> None:
    world = SimulatedWorld()
    sent: list[str] = []
    world.chain.executing = lambda data: sent.append(str(tx.transaction_digest(data)))

    def never_arrives(moment: str) -> BlockchainError | None:
        if moment != "execute" or len(sent) != 1:
            return None
        move_coins(world)
        return UNKNOWN

    world.chain.faults = never_arrives
    await world.deploy()
    assert len(set(sent)) == 2
    assert len(await world.site_ids()) == 1
    assert await world.served() == world.published()


async def test_one_that_happened_before_its_coin_moved_again_is_found() -> None:
    world = SimulatedWorld()
    sent: list[str] = []
    world.chain.executing = lambda data: sent.append(str(tx.transaction_digest(data)))

    def answer_lost(moment: str) -> BlockchainError | None:
        if moment == "executed" and len(sent) == 1:
            move_coins(world)
            world.chain.behind = 2  # neither is shown yet
            return UNKNOWN
        if moment == "execute" and len(sent) == 2:
            return STALE
        return None

    usual = world.chain.objects

    async def objects(ids: Sequence[ObjectId]) -> Sequence[OwnedObject | None]:
        found, world.chain.behind = await usual(ids), 0
        return found

    async def fresh(ids: Sequence[ObjectId]) -> Sequence[OwnedObject | None]:
        world.chain.behind = 0
        return await objects(ids)

    world.chain.faults, world.chain.objects = answer_lost, fresh  # type: ignore[method-assign]
    site, world.chain.site = world.chain.site, not_seen(world)  # type: ignore[method-assign]
    world.chain.after = lambda: None
    try:
        await world.deploy(site_name=None)
    finally:
        world.chain.site = site  # type: ignore[method-assign]
    assert len(await world.site_ids()) == 1
    assert len(set(sent)) == 1


def not_seen(world: SimulatedWorld) -> Any:
    """The site is not shown while the chain's reads lag."""
    usual = world.chain.site

    async def site(*args: Any, **more: Any) -> Any:
        return None if world.chain.behind else await usual(*args, **more)

    return site


async def test_what_was_never_sent_is_not_sent_with_a_coin_of_somebody_else() -> None:
    world = SimulatedWorld()
    world.folders = {"/two": {"index.html": b"two"}}
    assert await world.dies("transaction.releasing.before")
    await world.deploy(place="/two", site_name="two")
    sent: list[bytes] = []
    world.chain.executing = sent.append
    await world.deploy()
    assert len(sent) == 1
    assert len(await world.site_ids()) == 2


# ── what a site is written on ─────────────────────────────────────────────────────────────────────────────────────


async def test_storage_that_ends_while_the_rest_is_stored_stops_before_the_site_is_written() -> None:
    world = SimulatedWorld()
    await world.deploy(epochs=4)
    world.files["about.html"] = b"changed" * 100
    executed = world.chain.executed

    def time_passes(moment: str, _: BlobId) -> None:
        if moment == "request":
            world.net.chain.advance_walrus_epoch(4)

    world.store.faults = time_passes
    with pytest.raises(DeploymentStopped) as caught:
        await world.deploy(epochs=50)
    assert caught.value.code == "plan_expired"
    assert world.chain.executed == executed


async def test_a_site_that_somebody_else_changes_between_two_transactions_is_left_alone() -> None:
    world = SimulatedWorld(MANY)

    def somebody_else() -> None:
        world.chain.after = lambda: None
        (item,) = [
            found
            for id_ in world.net.chain.objects.ids_of(world.signer.address.raw)
            if (found := world.net.chain.objects.get(id_)) is not None and found.type.endswith("::site::Site")
        ]
        world.net.chain.system_transaction([replace(item)])

    world.chain.after = somebody_else
    with pytest.raises(BlockchainError) as caught:
        await world.deploy()
    assert caught.value.code == "site_changed"
    assert world.chain.executed == 1


async def test_a_blob_that_is_not_certified_is_not_taken_for_stored() -> None:
    world = SimulatedWorld({"index.html": b"a" * 500})
    other = SimulatedWorld({"index.html": b"a" * 500})
    await other.deploy()
    (name,) = other.paid()
    ref = ObjectRef(ObjectId(b"\5" * 32), 1, ONE)
    usual = world.chain.blobs

    async def blobs(owner: SuiAddress) -> Sequence[BlobObject]:
        made = await other.chain.blobs(other.signer.address)
        registered = replace(made[0], ref=ref, blob_id=BlobId.parse(name), certified_epoch=None)
        return [*await usual(owner), registered]

    world.chain.blobs = blobs  # type: ignore[method-assign]
    answers = [lost()]
    world.store.faults = lambda moment, _: answers.pop() if moment == "paid" and answers else None
    await world.deploy()
    assert await world.served() == world.published()
