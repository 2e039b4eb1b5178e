"""Planted bugs: each is switched on by the tests only, and must be found; a green simulation shows nothing otherwise.

    python -m tests.torture.planted

A bug is a patch of the product and the harness that must see it: seeds of the simulation, pairs of deaths, or a
scenario of its own. The invariant that fired is printed.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import anyio

from tests.torture import crashes
from walrus_sdk.engine import executor, retries, sender, transactions, uploads
from walrus_sdk.engine.effect import Absent, Done, Outcome
from walrus_sdk.engine.perform import Performer
from walrus_sdk.engine.records import Records
from walrus_sdk.errors import BlockchainError, EffectUnknown, StorageError, WalrusError
from walrus_sdk.model.options import DeployOptions, RecoveryOptions
from walrus_sdk.model.units import BlobId, Digest
from walrus_sdk.planning.results import load_result
from walrus_sdk.ports import Change
from walrus_sdk.service import cleanup, rollback, unfinished
from walrus_sdk.testing import SimulatedWorld, lost
from walrus_sdk.testing.invariants import Violation, Watcher
from walrus_sdk.testing.journal import Disk, MemoryJournal
from walrus_sdk.testing.simulation import run_seed

__all__ = ["BUGS", "SCENARIOS", "Bug", "Scenario", "hunt", "scenario"]

SEEDS = 400
Scenario = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug: its name, how it is planted, and what must find it within its tries."""

    name: str
    plant: Callable[[ExitStack], object]
    find: Callable[[], object]


def hunt(bug: Bug) -> str:
    """Plant a bug and return the invariant that found it. Raises `AssertionError` when nothing did."""
    with ExitStack() as stack:
        bug.plant(stack)
        try:
            bug.find()
        except BaseException as error:
            return _name(error)
    raise AssertionError(f"planted and not found: {bug.name}")


def _name(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, Violation):
        return error.name
    if isinstance(error, WalrusError):
        return f"{type(error).__name__} {error.code}"
    return type(error).__name__


# ── what finds them ───────────────────────────────────────────────────────────────────────────────────────────────


def seeds(count: int = SEEDS) -> Callable[[], None]:
    """Search so many seeds."""

    def find() -> None:
        for seed in range(count):
            run_seed(seed)

    return find


def pairs(verb: str, step: int = 3) -> Callable[[], object]:
    """Try pairs of deaths of a verb."""
    return lambda: crashes.run(verb, step)


def scenario(function: Scenario, *, sites: int = 1) -> Callable[[], None]:
    """Run a scenario of its own."""

    async def main() -> None:
        world = SimulatedWorld()
        watcher = Watcher(world)
        if len(inspect.signature(function).parameters) == 2:
            await function(world, watcher)
        else:
            await function(world)
        watcher.watch()
        await watcher.check(sites)

    return lambda: anyio.run(main)


async def _dies(world: SimulatedWorld, point: str, **asked: Any) -> None:
    await world.dies(point, lambda: world.deploy(**asked))


async def publisher_lies(world: SimulatedWorld) -> None:
    """A publisher answers another blob id."""
    store = world.store.store

    async def lie(request: Any, release: Any) -> Any:
        return replace(await store(request, release), blob_id=BlobId(bytes(32)))

    world.store.store = lie  # type: ignore[method-assign]
    try:
        await world.deploy()
    except StorageError as error:
        if error.code != "blob_id_mismatch":
            raise Violation("CONTENT-1", f"believed the publisher: {error}") from error
        return
    raise Violation("CONTENT-1", "believed the publisher's blob id")


async def publisher_never_answers(world: SimulatedWorld) -> None:
    """A publisher takes payment and loses every answer."""
    world.store.faults = lambda moment, _: lost() if moment == "paid" else None
    with anyio.move_on_after(5):
        with suppress(WalrusError):
            await world.deploy(recovery=RecoveryOptions(max_retries=2, retry_delay_s=0.1))
    if max(world.paid().values()) > 3:
        raise Violation("LIVE-3", f"paid {max(world.paid().values())} times with two retries")


async def storage_lapses(world: SimulatedWorld) -> None:
    """Storage ends while a deployment is interrupted."""
    await _dies(world, "transaction.intent.before", epochs=2)
    world.net.chain.advance_walrus_epoch(3)
    try:
        await world.deploy(epochs=2)
    except WalrusError as error:
        if error.code != "plan_expired":
            raise Violation("CONTENT-3", f"a site was written whose storage is over: {error}") from error
        return
    raise Violation("CONTENT-3", "a site was written whose storage is over")


async def woken_after_a_takeover(world: SimulatedWorld) -> None:
    """An owner is paused, another takes over, the first one wakes."""
    old = world.journal
    owner = await old.claim(world.ids.deployment_id(), new=True)
    await old.claim(owner.deployment, take_over=True)
    try:
        await old.append(owner, [Change("note", {})])
    except WalrusError:
        return
    raise Violation("ONE-3", "an owner that was fenced off could write")


async def cancel_meets_commit(world: SimulatedWorld) -> None:
    """A cancel meets a transaction that was executed."""
    await _dies(world, "transaction.do.after")
    (found,) = await world.session.list()
    result = await world.session.cancel(found.deployment_id)
    if result is None:
        raise Violation("SERVE-6", "cancelled although all of it is on chain")


async def cleanup_of_what_is_served(world: SimulatedWorld) -> None:
    """A cleanup beside a site that serves blobs that can be deleted."""
    await world.deploy(deletable=True)
    world.files["about.html"] = b"another"
    await world.deploy(deletable=True)
    await world.session.cleanup(keep_last=1, older_than_days=0.0, dry_run=False)
    try:
        served = await world.served()
    except WalrusError as error:
        raise Violation("SERVE-3", f"cleanup took what is served: {error}") from error
    if served != world.published():
        raise Violation("SERVE-3", "cleanup took what is served")


async def two_projects(world: SimulatedWorld) -> None:
    """A failure for good after the site was made; then the same deploy without a name."""
    world.files = {"index.html": b"home", **{f"page-{n:03}.html": b"<p>%d</p>" % n * 3 for n in range(400)}}
    seen = [0]

    def fault(moment: str) -> BlockchainError | None:
        seen[0] += moment == "execute"
        return BlockchainError("chain_refused", "no") if moment == "execute" and seen[0] == 2 else None

    world.chain.faults = fault
    with suppress(BlockchainError):
        await world.deploy(site_name=None)
    world.chain.faults = lambda _: None
    await world.deploy(site_name=None)


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


async def a_large_update(world: SimulatedWorld, watcher: Watcher) -> None:
    """An update that takes several transactions: additions first, removals last."""
    world.files = {"index.html": b"home", **{f"old-{n:03}.html": b"<p>%d</p>" % n for n in range(150)}}
    made = await world.deploy()
    world.files = {"index.html": b"home", **{f"new-{n:03}.html": b"<p>n%d</p>" % n for n in range(300)}}
    watcher.expects(made.site_id, world.published())
    await world.deploy(max_delete=1.0)


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


async def lost_and_found(world: SimulatedWorld) -> None:
    """The answer to a store is lost whose blob is certified, and which no publisher recognises."""
    answers = [lost()]
    world.store.faults = lambda moment, _: answers.pop() if moment == "certified" and answers else None
    await world.deploy(deletable=True)
    if max(world.paid().values()) > 1:
        raise Violation("PAY-1", "paid again although it is there")


async def lost_and_settled(world: SimulatedWorld) -> None:
    """The answer to a store is lost that was paid, and dropped."""
    answers = [lost()]
    world.store.faults = lambda moment, _: answers.pop() if moment == "paid" and answers else None
    start = world.clock.monotonic()
    await world.deploy()
    if world.clock.monotonic() - start < world.network.settle_s:
        raise Violation("PAY-2", "paid again before the first one was settled")


async def one_wallet(world: SimulatedWorld) -> None:
    """Three sites of one wallet at the same moment."""
    world.folders = {
        f"/{name}": {"index.html": name.encode(), **{f"p{n}.html": b"%d" % n * 9 for n in range(150)}}
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


async def a_rollback_that_does_nothing(world: SimulatedWorld) -> None:
    """Version 1, version 2, rollback: visitors must get version 1."""
    first = world.published()
    await world.deploy()
    world.files["about.html"] = b"second"
    await world.deploy()
    await world.session.rollback("simulated")
    if await world.served() != first:
        raise Violation("CONTENT-4", "a rollback changed nothing for visitors")


async def resume_keeps_the_id(world: SimulatedWorld) -> None:
    """A deployment that died goes on under its id."""
    await _dies(world, "store.do.before")
    (left,) = await world.session.list()
    result = await world.deploy()
    if result.deployment_id != left.deployment_id:
        raise Violation("CONTENT-5", "resume made a new deployment")


# ── how they are planted ──────────────────────────────────────────────────────────────────────────────────────────


def replaced(target: Any, name: str, value: Any) -> Callable[[ExitStack], object]:
    """Plant by replacing an attribute."""
    return lambda stack: stack.enter_context(patch.object(target, name, value))


async def _done_before_stored(self: Performer, effect_: Any, row: Any, do: Any) -> Done:
    if effect_.kind != "store":
        return await _usual_do(self, effect_, row, do)
    end = {
        "end_epoch": 10**6,
        "blob_id": effect_.name,
        "cost_frost": "0",
        "already_certified": False,
        "object_id": None,
    }
    await self.records.done(effect_, 1, Outcome(end), "done")
    return await _usual_do(self, effect_, row, do)


_usual_do = Performer._do
_usual_perform = Performer.perform
_usual_append = MemoryJournal.append
_usual_put = Disk.put


async def _no_intent(self: Records, *args: Any, **more: Any) -> None:
    """Forget to write the intent."""


async def _no_release(self: Records, effect_: Any) -> None:
    """Forget to write that the last bytes leave."""


async def _no_look(self: Performer, effect_: Any, do: Any, look: Any, **more: Any) -> Done:
    async def absent() -> Absent:
        return Absent()

    return await _usual_perform(self, effect_, do, absent, **more)


async def _never_settled(self: Records, row: Any) -> float:
    return 0.0


async def _lost_acknowledgement(self: MemoryJournal, owner: Any, changes: Any) -> Any:
    """Acknowledge before the commit: rows of a status that ends are lost."""
    kept = [
        change for change in changes if not (change.type == "deployment.status" and change.data["to"] == "completed")
    ]
    return await _usual_append(self, owner, kept)


@contextmanager
def _unfenced() -> Iterator[None]:
    def check(self: MemoryJournal, *args: Any, **more: Any) -> Any:
        self.disk.incarnations[str(args[0].deployment)] = args[0].incarnation if args[0] else 0
        return _usual_append(self, *args, **more)

    with patch.object(MemoryJournal, "append", check):
        yield


def _removals_first(stack: ExitStack) -> None:
    usual = transactions.packing.pack

    def pack(steps: Any, calls: Any) -> Any:
        ordered = sorted(steps, key=lambda step: "Remove" not in type(step).__name__)
        return usual(ordered, calls)

    stack.enter_context(patch.object(transactions.packing, "pack", pack))


async def always(self: Any, *args: Any, **more: Any) -> bool:
    return True


async def never(self: Any, *args: Any, **more: Any) -> bool:
    return False


async def nothing_needed(*args: Any, **more: Any) -> set[BlobId]:
    return set()


async def no_check(self: Any, *args: Any, **more: Any) -> None:
    return None


async def nothing_to_settle(*args: Any, **more: Any) -> None:
    pass


async def _endless(self: Any, what: str, once: Any, *, patient: bool = False) -> Any:
    while True:
        try:
            return await once(lambda: True)
        except EffectUnknown as error:
            await self._pause(what, float(error.fields.get("settles_in", 1.0)))


def nothing(*args: Any) -> tuple[Any, ...]:
    return ()


def _forgetful(stack: ExitStack) -> None:
    stack.enter_context(patch.object(unfinished, "is_unfinished", lambda row: False))


def _no_expectation(stack: ExitStack) -> None:
    stack.enter_context(patch.object(Disk, "check", lambda *_: None))
    stack.enter_context(patch.object(Performer, "_check_other_owner", no_check))


def _fresh_coins(stack: ExitStack) -> None:
    usual = Disk.check

    def check(self: Disk, put: Any) -> None:
        if put.table != "coins":
            usual(self, put)

    stack.enter_context(patch.object(sender.Sender, "_is_in_use", never))
    stack.enter_context(patch.object(Disk, "check", check))


def _no_intent_at_all(stack: ExitStack) -> None:
    stack.enter_context(patch.object(Records, "intent", _no_intent))
    stack.enter_context(patch.object(Records, "released", _no_release))


async def empty_rollback(connection: Any, site: str, options: DeployOptions, feed: Any, **more: Any) -> Any:
    rows = await connection.journal.rows("deployments", {"status": "completed"})
    return load_result(json.loads(rows[-1]["result"]))


BUGS: tuple[Bug, ...] = (
    Bug("marked done before stored", replaced(Performer, "_do", _done_before_stored), pairs("deploy")),
    Bug(
        "a second transaction without proof",
        replaced(sender.Sender, "_is_dead", always),
        scenario(refused_while_reads_lag),
    ),
    Bug("acknowledged before the commit", replaced(MemoryJournal, "append", _lost_acknowledgement), seeds()),
    Bug("intent after the effect", _no_intent_at_all, pairs("deploy")),
    Bug("release not written", replaced(Records, "released", _no_release), pairs("deploy")),
    Bug("no look before paying again", replaced(Performer, "perform", _no_look), scenario(lost_and_found)),
    Bug("no settle time", replaced(Records, "settles_in", _never_settled), scenario(lost_and_settled)),
    Bug("no fence after a takeover", lambda s: s.enter_context(_unfenced()), scenario(woken_after_a_takeover)),
    Bug("retries without limit", replaced(retries.Retries, "run", _endless), scenario(publisher_never_answers)),
    Bug(
        "end epoch not checked again",
        replaced(executor.Executor, "_check_lifetimes", no_check),
        scenario(storage_lapses),
    ),
    Bug(
        "cleanup without counting references",
        replaced(cleanup, "_needed", nothing_needed),
        scenario(cleanup_of_what_is_served),
    ),
    Bug(
        "cancel wins after the commit",
        replaced(executor.Executor, "is_committed", never),
        scenario(cancel_meets_commit),
    ),
    Bug("believes the blob id in the answer", replaced(uploads.Uploads, "_check", nothing), scenario(publisher_lies)),
    Bug(
        "a new site is remembered at the end only",
        replaced(transactions.SiteWriter, "_made", nothing),
        scenario(two_projects),
    ),
    Bug("two deployments may begin one effect", _no_expectation, scenario(shared_content, sites=2)),
    Bug("coins of open transactions are spent", _fresh_coins, scenario(one_wallet, sites=3)),
    Bug("older deployments are not settled", replaced(unfinished, "settle_and_end", nothing_to_settle), seeds()),
    Bug("removals before additions", _removals_first, scenario(a_large_update)),
    Bug(
        "a rollback that only says so",
        replaced(rollback, "rollback", empty_rollback),
        scenario(a_rollback_that_does_nothing),
    ),
    Bug("resume makes a new deployment", _forgetful, scenario(resume_keeps_the_id)),
)
"""The bugs that are planted here; another way of syncing is planted by the power cuts (`images`)."""


SCENARIOS = {
    publisher_lies: 1, publisher_never_answers: 1, storage_lapses: 1, woken_after_a_takeover: 1,
    cancel_meets_commit: 1, cleanup_of_what_is_served: 1, two_projects: 1, shared_content: 2, a_large_update: 1,
    a_rollback_that_does_nothing: 1, resume_keeps_the_id: 1, refused_while_reads_lag: 1, one_wallet: 3,
    lost_and_found: 1, lost_and_settled: 1,
}  # fmt: skip
"""Each must pass without its bug; the number of sites that it makes."""


def main() -> int:
    """Hunt all planted bugs and print what found each; returns how many were not found."""
    missed = 0
    for bug in BUGS:
        try:
            found = hunt(bug)
        except AssertionError as error:
            missed += 1
            found = str(error) if "planted" in str(error) else f"AssertionError {error}"
        sys.stdout.write(f"{bug.name:<45} {found}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(BUGS) - missed} of {len(BUGS)} found\n")
    return missed


if __name__ == "__main__":
    raise SystemExit(main())
