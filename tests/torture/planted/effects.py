"""Bugs of the effect step: what is written, looked up, paid, signed and sent, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import anyio

from tests.torture.planted.hunting import Bug, all_of, in_a_world, pairs, replaced, seeds
from walrus_sdk.engine import records, retries, transactions, uploads
from walrus_sdk.engine.coins import GasCoins
from walrus_sdk.engine.effect import Absent, Done, Effect, Outcome
from walrus_sdk.engine.gate import Gate
from walrus_sdk.engine.journaling import Diary
from walrus_sdk.engine.perform import Performer
from walrus_sdk.engine.records import Records
from walrus_sdk.engine.sender import Sender
from walrus_sdk.errors import BlockchainError, EffectUnknown, StorageError, WalrusError
from walrus_sdk.model.deployment import Status
from walrus_sdk.model.options import RecoveryOptions
from walrus_sdk.model.units import BlobId, Digest
from walrus_sdk.ports import Change, Put
from walrus_sdk.service import unfinished
from walrus_sdk.testing import SimulatedWorld, lost
from walrus_sdk.testing.invariants import Violation

__all__ = ["BUGS"]

# ── what finds them ───────────────────────────────────────────────────────────────────────────────────────────────


@in_a_world()
async def publisher_lies(world: SimulatedWorld) -> None:
    """A publisher answers another blob id."""
    world.store.lies = lambda: True
    try:
        await world.deploy()
    except StorageError as error:
        if error.code != "blob_id_mismatch":
            raise Violation("CONTENT-1", f"believed the publisher: {error}") from error
        return
    raise Violation("CONTENT-1", "believed the publisher's blob id")


@in_a_world()
async def publisher_never_answers(world: SimulatedWorld) -> None:
    """A publisher takes payment and loses every answer."""

    def fault(moment: str, _: BlobId) -> Exception | None:
        times = max(world.paid().values(), default=0)
        if times > 3:
            return Violation("LIVE-3", f"paid {times} times with two retries")
        return lost() if moment == "paid" else None

    world.store.faults = fault
    with suppress(WalrusError):
        await world.deploy(recovery=RecoveryOptions(max_retries=2, retry_delay_s=0.1))


@in_a_world()
async def refused_while_reads_lag(world: SimulatedWorld) -> None:
    """A site is made, the answer lost, the same bytes refused, and the node's reads lag."""
    moments: list[str] = []

    def fault(moment: str) -> BlockchainError | None:
        moments.append(moment)
        if moment == "executed" and moments.count("executed") == 1:
            return BlockchainError("transaction_unknown", "the answer was lost")
        if moment == "execute" and moments.count("execute") == 2:
            world.net.chain.advance_sui_epoch(1)
            return BlockchainError("stale_object", "unavailable for consumption")
        return None

    async def unknown(_: Digest) -> None:
        return None

    world.chain.faults = fault
    known = world.chain.transaction
    world.chain.transaction = unknown  # type: ignore[assignment,method-assign]
    with suppress(WalrusError):
        await world.deploy(site_name=None)
    world.chain.transaction = known  # type: ignore[method-assign]


@in_a_world()
async def lost_and_found(world: SimulatedWorld) -> None:
    """The answer to a store is lost whose blob is certified, and which no publisher recognises."""
    answers = [lost()]
    world.store.faults = lambda moment, _: answers.pop() if moment == "certified" and answers else None
    await world.deploy(deletable=True)
    if max(world.paid().values()) > 1:
        raise Violation("PAY-1", "paid again although it is there")


@in_a_world()
async def lost_and_settled(world: SimulatedWorld) -> None:
    """The answer to a store is lost that was paid, and dropped."""
    answers = [lost()]
    world.store.faults = lambda moment, _: answers.pop() if moment == "paid" and answers else None
    start = world.clock.monotonic()
    await world.deploy()
    if world.clock.monotonic() - start < world.network.settle_s:
        raise Violation("PAY-2", "paid again before the first one was settled")


@in_a_world(commands=50)
async def two_projects(world: SimulatedWorld) -> None:
    """A failure for good after the site was made; then the same deploy without a name."""
    world.files = {"index.html": b"home", **{f"page-{n:03}.html": b"<p>%d</p>" % n * 3 for n in range(15)}}
    seen = [0]

    def fault(moment: str) -> BlockchainError | None:
        seen[0] += moment == "execute"
        return BlockchainError("chain_refused", "no") if moment == "execute" and seen[0] == 2 else None

    world.chain.faults = fault
    with suppress(BlockchainError):
        await world.deploy(site_name=None)
    world.chain.faults = lambda _: None
    await world.deploy(site_name=None)


@in_a_world(sites=2)
async def shared_content(world: SimulatedWorld) -> None:
    """Two live deployments of two sites with the same content."""
    world.folders = {"/two": dict(world.files)}

    async def two() -> None:
        await world.deploy(place="/two", site_name="two")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.deploy)
        tasks.start_soon(two)
    if max(world.paid().values()) > 1:
        raise Violation("PAY-2", "two deployments paid for one content at the same moment")


@in_a_world(sites=3, commands=50)
async def one_wallet(world: SimulatedWorld) -> None:
    """Three sites of one wallet at the same moment."""
    world.folders = {
        f"/{name}": {"index.html": name.encode(), **{f"p{n}.html": b"%d" % n * 9 for n in range(12)}}
        for name in ("one", "two", "three")
    }

    answers = [BlockchainError("transaction_unknown", "it never arrived")] * 2
    world.chain.faults = lambda moment: answers.pop() if moment == "execute" and answers else None

    async def deploy(name: str) -> None:
        with suppress(WalrusError):
            await world.deploy(place=f"/{name}", site_name=name)

    async with anyio.create_task_group() as tasks:
        for name in ("one", "two", "three"):
            tasks.start_soon(deploy, name)


@in_a_world()
async def the_wall_clock_jumps(world: SimulatedWorld) -> None:
    """A time service sets the wall clock an hour ahead while a paid store is waited for whose answer is lost."""
    ahead, wall, answers = [0], world.clock.wall_ms, [lost()]
    world.clock.wall_ms = lambda: wall() + ahead[0]  # type: ignore[method-assign]

    def jump() -> None:
        ahead[0] = 3_600_000

    world.store.faults = lambda moment, _: answers.pop() if moment == "paid" and answers else None
    world.store.reading = jump
    start = world.clock.monotonic()
    await world.deploy()
    if world.clock.monotonic() - start < world.network.settle_s:
        raise Violation("PAY-2", "paid again before the first one was settled, by the clock on the wall")


# ── how they are planted ──────────────────────────────────────────────────────────────────────────────────────────

_usual_do = Performer._do
_usual_perform = Performer.perform
_usual_append = Records._append
_usual_intent = Records.intent
_usual_done = Records.done
_usual_reservation = GasCoins._reservation
_usual_row = Sender._row
_usual_move = Diary.move


async def _done_before_stored(self: Performer, effect_: Any, *more: Any) -> Done:
    if effect_.kind != "store":
        return await _usual_do(self, effect_, *more)
    end = {
        "end_epoch": 10**6,
        "blob_id": effect_.name,
        "cost_frost": "0",
        "already_certified": False,
        "object_id": None,
    }
    await self.records.done(effect_, 1, Outcome(end), "done")
    return await _usual_do(self, effect_, *more)


async def _nothing_written(*args: Any, **more: Any) -> None:
    """Forget to write a row."""


def _intent_afterwards(stack: ExitStack) -> None:
    """Write that an effect is begun when it is done."""
    begun: dict[str, tuple[Any, int, dict[str, Any]]] = {}

    async def intent(self: Records, effect_: Effect, row: Any, attempt: int, **more: Any) -> None:
        begun[effect_.name] = row, attempt, more

    async def done(self: Records, effect_: Effect, *more: Any) -> None:
        if effect_.name in begun:
            row, attempt, others = begun.pop(effect_.name)
            await _usual_intent(self, effect_, row, attempt, **others)
        await _usual_done(self, effect_, *more)

    for name, late in (("intent", intent), ("released", _nothing_written), ("done", done)):
        replaced(Records, name, late)(stack)


def _only_in_memory(self: Sender, *args: Any) -> Put:
    """Keep the signed bytes, whose digest nobody could compute again, in memory alone."""
    put = _usual_row(self, *args)
    return replace(put, values={**put.values, "bytes": None})


async def _told_first(self: Diary, status: Status, **more: Any) -> None:
    """Leave the last move to be written when the result was told."""
    if status is not Status.COMPLETED:
        await _usual_move(self, status, **more)


async def _no_look(self: Performer, effect_: Any, do: Any, look: Any, **more: Any) -> Done:
    async def absent() -> Absent:
        return Absent()

    return await _usual_perform(self, effect_, do, absent, **more)


async def _never_settled(self: Records, row: Any) -> float:
    return 0.0


def _by_the_wall_clock(row: Mapping[str, Any], settle_s: float, boot_id: str, boot_s: float, wall_ms: int) -> float:
    since = (wall_ms - max(row.get("released_wall_ms") or 0, row.get("lost_wall_ms") or 0)) / 1000
    return max(0.0, settle_s - since)


async def _endless(self: Any, what: str, once: Any, *, patient: bool = False, paced: bool = False) -> Any:
    while True:
        try:
            return await once(lambda: True)
        except EffectUnknown as error:
            await self._pause(what, float(error.fields.get("settles_in", 1.0)))


async def _whatever_is_there(self: Records, *changes: Change) -> None:
    """Write rows without looking whether they are still what they were."""
    blind = [replace(change, puts=tuple(replace(put, expect=None) for put in change.puts)) for change in changes]
    await _usual_append(self, *blind)


def _taken_anyway(self: GasCoins, *args: Any) -> Put:
    return replace(_usual_reservation(self, *args), expect=None)


def _nothing(*args: Any) -> tuple[Any, ...]:
    return ()


async def _always(*args: Any, **more: Any) -> bool:
    return True


async def _never(*args: Any, **more: Any) -> bool:
    return False


BUGS = (
    Bug(1, "marked done before stored", "CONTENT-3", replaced(Performer, "_do", _done_before_stored), pairs("deploy")),
    Bug(
        2, "a second transaction without proof", "PAY-4", replaced(Sender, "_is_dead", _always), refused_while_reads_lag
    ),
    Bug(
        3,
        "signed bytes that are not durable",
        "STATE-5",
        replaced(Sender, "_row", _only_in_memory),
        pairs("deploy"),
    ),
    Bug(6, "a result that is told before it is written", "STATE-1", replaced(Diary, "move", _told_first), seeds()),
    Bug(8, "intent after the effect", "STATE-5", _intent_afterwards, pairs("deploy")),
    Bug(None, "release not written", "STATE-5", replaced(Records, "released", _nothing_written), pairs("deploy")),
    Bug(9, "no look before paying again", "PAY-1", replaced(Performer, "perform", _no_look), lost_and_found),
    Bug(None, "no settle time", "PAY-2", replaced(Records, "settles_in", _never_settled), lost_and_settled),
    Bug(
        10,
        "settle time by the wall clock alone",
        "PAY-2",
        replaced(records, "settled_in", _by_the_wall_clock),
        the_wall_clock_jumps,
    ),
    Bug(16, "retries without limit", "LIVE-3", replaced(retries.Retries, "run", _endless), publisher_never_answers),
    Bug(
        21,
        "believes the blob id in the answer",
        "CONTENT-1",
        replaced(uploads.Uploads, "_check", _nothing),
        publisher_lies,
    ),
    Bug(
        None,
        "a new site is remembered at the end only",
        "PAY-4",
        replaced(transactions.SiteWriter, "_made", _nothing),
        two_projects,
    ),
    Bug(
        None,
        "two deployments may begin one effect",
        "PAY-2",
        all_of(
            replaced(Records, "_append", _whatever_is_there),
            replaced(Performer, "_check_other_owner", _nothing_written),
        ),
        shared_content,
    ),
    Bug(
        None,
        "coins of open transactions are spent",
        "PAY-5",
        all_of(replaced(GasCoins, "_is_in_use", _never), replaced(GasCoins, "_reservation", _taken_anyway)),
        one_wallet,
    ),
    Bug(
        None,
        "a pause that nothing waits for",
        "PAUSE-1",
        all_of(replaced(Gate, "passed", _nothing_written), replaced(Gate, "is_open", True)),
        seeds(),
    ),
    Bug(
        None,
        "older deployments are not settled",
        "LIVE-1",
        replaced(unfinished, "settle_and_end", _nothing_written),
        seeds(),
    ),
)
