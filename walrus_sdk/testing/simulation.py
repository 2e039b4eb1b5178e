"""Seeded lives: one seed decides files, faults, deaths, verbs and epochs, and replays exactly.

    outcome = run_seed(7)          # raises Violation, with the seed, when an invariant does not hold

Each life uses the real service and engine over the simulated world in virtual time. Faults are far denser than in
life; each seed switches on a few kinds only, so that rare mixes get their turn. In the end the faults stop, and the
deployment must come to its end (liveness).
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import anyio

from walrus_sdk.errors import (
    BlockchainError,
    NetworkError,
    StateError,
    StorageError,
    WalrusError,
)
from walrus_sdk.localnet.http_sui.failures import NODE_ERRORS, node_error
from walrus_sdk.model.options import DeployOptions, DeployResult, RecoveryOptions, Verify
from walrus_sdk.model.units import BlobId, Frost, ObjectId
from walrus_sdk.service.unwrap import one_error
from walrus_sdk.sui.failures import graphql_error
from walrus_sdk.testing.death import at_point, is_death
from walrus_sdk.testing.invariants import Violation, Watcher
from walrus_sdk.testing.store import lost
from walrus_sdk.testing.virtual import VirtualClock, run
from walrus_sdk.testing.world import SimulatedWorld

__all__ = ["SITUATIONS", "Outcome", "run_seed", "simulate"]

_HOUR = 3600.0
_TRIES = 8
_PAGES = (2, 2, 3, 3, 4, 5, 7)
"""Numbers of pages beside the index: what goes wrong does so with a few stores, and more lives fit into a minute."""
_SITE = "simulated"

SITUATIONS = (
    "death", "store lost", "store failed", "store refused", "busy", "slow", "transaction lost",
    "transaction never sent", "transaction refused", "lag", "walrus epoch", "sui epoch", "reboot", "finished alone",
    "changed files", "rollback", "cancel", "cleanup", "resume", "two at once", "fresh", "deadline", "congestion",
    "transaction late", "chain unread", "blob unread", "deletable", "lock", "read back", "lag by time",
    "pause asked for", "node error", "prices", "file edited", "site edited", "wrong blob id", "wrong bytes", "limit",
    "paused",
)  # fmt: skip
"""What a long run must have met, each at least once."""


@dataclass(slots=True)
class Outcome:
    """What one seed came to: deaths, payments, transactions, virtual seconds, a digest of all that happened."""

    seed: int
    deaths: int = 0
    payments: int = 0
    in_vain: int = 0
    transactions: int = 0
    virtual_s: float = 0.0
    trace: str = ""
    codes: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)


def run_seed(seed: int, backend: str = "asyncio") -> Outcome:
    """Live one seed in virtual time. Raises `Violation` with the seed in a note."""

    async def main() -> Outcome:
        return await simulate(seed)

    try:
        return run(main, backend)
    except BaseException as error:
        error.add_note(f"seed {seed}: replay with walrus_sdk.testing.simulation.run_seed({seed})")
        raise


async def simulate(seed: int) -> Outcome:
    """Live one seed; inside virtual time."""
    return await _Life(seed).live()


class _Life:
    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311  # chance for tests
        self._pauses = random.Random(f"pauses of {seed}")  # noqa: S311  # of its own: other lives stay as they are
        self._outcome = Outcome(seed)
        self._number = 0
        self._quiet = False
        self._ever: dict[str, set[bytes]] = {"/index.html": {b"home"}}
        self._checked: dict[ObjectId, int] = {}
        self._is_alone = True
        files = {"index.html": b"home"}
        for number in range(self._rng.choice(_PAGES)):
            self._write(files, f"page-{number}.html")
        key = hashlib.sha256(b"%d" % seed).hexdigest()
        self._world = SimulatedWorld(files, clock=VirtualClock(), seed=key)
        self._world.folders = {"/other": dict(files)}
        self._watcher = Watcher(self._world)
        self._rates = self._swarm()
        self._sites = {_SITE}
        self._results: list[DeployResult] = []

    def _write(self, files: dict[str, bytes], name: str) -> None:
        """Give a file another content."""
        self._number += 1
        files[name] = b"<p>%d</p>" % self._number * self._rng.choice((1, 3, 20))
        self._ever.setdefault(f"/{name}", set()).add(files[name])

    def _swarm(self) -> dict[str, float]:
        kinds = (
            "store lost", "store failed", "store refused", "busy", "slow", "transaction lost",
            "transaction never sent", "transaction refused", "lag", "finished alone", "congestion",
            "transaction late", "chain unread", "blob unread", "lag by time", "pause asked for", "node error", "prices",
            "file edited", "site edited", "wrong blob id", "wrong bytes",
        )  # fmt: skip
        return {kind: self._rng.uniform(0.01, 0.3) for kind in kinds if self._rng.random() < 0.4}

    def _happens(self, kind: str) -> bool:
        if self._quiet or self._rng.random() >= self._rates.get(kind, 0.0):
            return False
        self._met(kind)
        return True

    def _met(self, what: str) -> None:
        self._outcome.met[what] += 1

    # ── faults ────────────────────────────────────────────────────────────────────────────────────────────────

    def _arm(self) -> None:
        world = self._world
        self._watcher.watch()
        world.store.faults = self._store_fault
        world.store.finishes = lambda _: self._happens("finished alone")
        world.store.latency_s = self._rng.choice((0.0, 0.1, 1.0)) if self._happens("slow") else 0.0
        world.chain.faults = self._chain_fault
        world.chain.congested = lambda: self._happens("congestion")
        world.chain.postpones = lambda: self._happens("transaction late")
        world.store.reading = self._read_fault
        world.store.garbled = lambda data: data[:-1] + b"?" if self._happens("wrong bytes") else data
        world.store.lies = lambda: self._happens("wrong blob id")
        world.chain.behind = self._rng.randint(1, 2) if self._happens("lag") else 0
        world.chain.late_s = self._rng.uniform(0.2, 4.0) if self._happens("lag by time") else 0.0

    def _store_fault(self, moment: str, blob_id: BlobId) -> Exception | None:
        if moment == "request":
            if self._happens("file edited"):
                self._write(self._world.files, self._rng.choice(sorted(self._world.files)))
            if self._happens("store refused"):
                return NetworkError("connect_failed", "no route")
            if self._happens("busy"):
                return NetworkError("rate_limited", "too many", retry_after=self._rng.uniform(0, 5))
            return None
        if self._happens("store lost"):
            return lost()
        if self._happens("pause asked for"):
            return StorageError("store_failed", "503", retry_after=self._rng.uniform(0, 60))
        return StorageError("store_failed", "500") if self._happens("store failed") else None

    def _read_fault(self) -> Exception | None:
        return StorageError("blob_unavailable", "503") if self._happens("blob unread") else None

    def _chain_fault(self, moment: str) -> Exception | None:
        if moment == "read":
            if self._world.under_way and self._rng.random() < 0.05:
                self._world.chain.arrive()
            if self._results and self._rng.random() < 0.1 and self._happens("site edited"):
                self._world.chain.edit_elsewhere(self._results[-1].site_id, self._rng.choice)
            unread = self._rng.random() < 0.1 and self._happens("chain unread")
            return BlockchainError("chain_unavailable", "the node is not there") if unread else None
        if self._happens("node error"):
            said = node_error(self._rng.choice(list(NODE_ERRORS)))
            return graphql_error(said["errors"], executing=True)
        if moment == "executed":
            if self._happens("transaction lost"):
                return BlockchainError("transaction_unknown", "the answer was lost")
            return None
        if self._happens("transaction never sent"):
            return BlockchainError("transaction_unknown", "it never arrived")
        if self._happens("transaction refused"):
            return BlockchainError("stale_object", "unavailable for consumption")
        return None

    def _pass_time(self) -> None:
        rng, world = self._rng, self._world
        if rng.random() < 0.5:
            world.chain.arrive()
        if rng.random() < 0.15:
            self._met("walrus epoch")
            world.net.chain.advance_walrus_epoch(rng.randint(1, 3))
        if self._happens("prices"):
            prices = {"storage": rng.randint(1, 50_000), "write": rng.randint(1, 9_000), "gas": rng.randint(700, 2_000)}
            world.net.chain.set_prices(**prices)
        if rng.random() < 0.15:
            self._met("sui epoch")
            world.net.chain.advance_sui_epoch(rng.randint(1, 2))
        if rng.random() < 0.1:
            self._met("reboot")
            world.clock.reboot()
        if rng.random() < 0.3:
            world.clock.advance(rng.choice((1.0, 10.0, 86_400.0 * 10)))

    # ── verbs ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _options(self) -> DeployOptions:
        rng = self._rng
        fresh, hasty = rng.random() < 0.05, rng.random() < 0.05
        if fresh:
            self._met("fresh")
        if hasty:
            self._met("deadline")
        deletable, keeps, reads, limited = (rng.random() < share for share in (0.3, 0.2, 0.1, 0.1))
        deletable = deletable and not fresh  # else it is paid again, as asked
        if deletable:
            self._met("deletable")
        if reads:
            self._met("read back")
        if limited:
            self._met("limit")
        return DeployOptions(
            site_name=_SITE,
            fresh=fresh,
            epochs=rng.choice((2, 5, 5, 9)),
            max_quilt_files=rng.randint(1, 3),
            max_cost=Frost(rng.choice((30_000, 100_000, 300_000))) if limited else None,
            max_delete=1.0,
            deletable=deletable,
            keep_old_s=86_400.0 if keeps else 0.0,
            verify=Verify.ALL if reads else Verify.AUTO,
            concurrency=rng.randint(1, 4),
            deadline_s=rng.uniform(1, 20) if hasty else None,
            recovery=RecoveryOptions(max_retries=rng.randint(0, 3), retry_delay_s=1.0),
        )

    async def _deploy(self) -> None:
        options, before = self._options(), self._spent()
        try:
            self._keep(await self._world.session.deploy("/site", options))
        finally:
            spent, limit = self._spent() - before, options.max_cost
            if self._is_alone and limit is not None and spent > limit.units:
                raise Violation("PAY-3", f"spent {spent} FROST, and {limit.units} were allowed")

    def _spent(self) -> int:
        return sum(row["cost_frost"] for row in self._world.net.blobs.ledger() if row["paid"])

    async def _deploy_changed(self) -> None:
        self._met("changed files")
        files = self._world.files
        for name in self._rng.sample(sorted(files), self._rng.randint(1, len(files))):
            if name != "index.html" and self._rng.random() < 0.3:
                del files[name]
            else:
                self._write(files, name)
        if self._rng.random() < 0.3:
            self._write(files, f"page-{self._number + 100}.html")
        await self._deploy()

    async def _deploy_other(self) -> None:
        self._sites.add("other")
        options = self._options()
        options = DeployOptions(site_name="other", max_quilt_files=options.max_quilt_files, recovery=options.recovery)
        self._keep(await self._world.session.deploy("/other", options))

    async def _rollback(self) -> None:
        self._met("rollback")
        lock = self._rng.random() < 0.2
        if lock:
            self._met("lock")
        self._keep(await self._world.session.rollback(_SITE, self._options(), lock=lock, source="/site"))

    async def _resume(self) -> None:
        self._met("resume")
        self._keep(await self._world.session.resume(None, self._options(), take_over=self._rng.random() < 0.2))

    async def _cancel(self) -> None:
        self._met("cancel")
        found = await self._world.session.list()
        if found:
            await self._world.session.cancel(self._rng.choice(found[:2]).deployment_id)

    async def _pause(self) -> None:
        """Pause whatever is under way in a moment, and let it go on a while later."""
        session, rng = self._world.session, self._pauses
        await anyio.sleep(rng.choice((0.0, rng.uniform(0.0, 5.0))))
        found = [item for item in await session.list() if item.status in ("pending", "uploading", "processing")]
        for item in found[:1]:
            await session.pause(item.deployment_id)
            self._met("paused")
            await anyio.sleep(rng.choice((1.0, 60.0, _HOUR)))
            await session.unpause(item.deployment_id)

    async def _cleanup(self) -> None:
        self._met("cleanup")
        await self._world.session.cleanup(older_than_days=1.0, keep_last=2, dry_run=False)

    async def _two_at_once(self) -> None:
        self._met("two at once")
        others = (self._deploy_other, self._cancel, self._deploy, self._cleanup, self._resume)
        pair = [self._deploy_changed, self._rng.choice(others)]
        self._is_alone = False
        async with anyio.create_task_group() as tasks:
            for verb in pair:
                tasks.start_soon(self._tolerantly, verb)
            if self._pauses.random() < 0.3:
                tasks.start_soon(self._tolerantly, self._pause)
        self._is_alone = True

    def _keep(self, result: DeployResult) -> None:
        self._results.append(result)
        self._watcher.told(result)

    async def _tolerantly(self, verb: Callable[[], Awaitable[None]]) -> None:
        """Run a verb; errors of the tree are told to the caller, which is what they are for."""
        try:
            with one_error():
                with anyio.fail_after(100 * _HOUR):
                    await verb()
        except WalrusError as error:
            if isinstance(error, StateError) or error.code == "internal":
                raise
            self._outcome.codes[error.code] += 1
        except TimeoutError:
            raise Violation("LIVE-2", f"{verb.__name__} did not end within 100 hours") from None

    # ── a life ────────────────────────────────────────────────────────────────────────────────────────────────

    async def live(self) -> Outcome:
        """Live; returns what came of it."""
        verbs = (
            self._deploy, self._deploy_changed, self._deploy_changed, self._rollback, self._resume, self._resume,
            self._cancel, self._cleanup, self._two_at_once, self._two_at_once,
        )  # fmt: skip
        for number in range(self._rng.randint(2, 5)):
            await self._step(self._deploy if not number else self._rng.choice(verbs))
            self._pass_time()
        await self._end()
        return await self._tell()

    async def _step(self, verb: Callable[[], Awaitable[None]]) -> None:
        world, rng = self._world, self._rng
        world.revive()
        self._arm()
        if rng.random() < 0.5:
            world.life.die_when(at_point(rng.randint(1, 60)))
        try:
            await self._tolerantly(verb)
        except BaseException as error:
            if not is_death(error):
                raise
            self._met("death")
            self._outcome.deaths += 1
        self._is_alone = True
        world.revive()
        self._watcher.watch()
        await self._watcher.check(len(self._sites))
        for site_id in await world.site_ids():
            self._check_pages(site_id)

    def _check_pages(self, site_id: ObjectId) -> None:
        """Check that what is served is what that file once was, where it has changed since the last look."""
        world, site = self._world, self._world.net.chain.objects.get(site_id)
        if site is None or self._checked.get(site_id) == site.version:
            return
        self._checked[site_id] = site.version
        for path, resource in world.chain.resources(site_id).items():
            with suppress(StorageError):  # its time is over
                if world.store.bytes_of(resource.patch or resource.blob_id) not in self._ever[path]:
                    raise Violation("CONTENT-2", f"{path} is served with bytes that it never had")

    async def _end(self) -> None:
        """Let the faults stop; now the same command must come to its end (LIVE-1, CONTENT-4)."""
        world = self._world
        self._quiet = True
        self._arm()
        options = DeployOptions(site_name=_SITE, max_delete=1.0)
        for _ in range(_TRIES):
            try:
                self._keep(await world.session.deploy("/site", options))
                break
            except WalrusError as error:
                self._outcome.codes[f"end: {error.code}"] += 1
                if error.code in ("transaction_open", "object_locked"):
                    world.net.chain.advance_sui_epoch(2)  # until then nobody can tell
                elif error.code == "site_locked":
                    await world.session.unlock(_SITE)
                elif isinstance(error, StateError):
                    raise
        else:
            raise Violation("LIVE-1", f"after {_TRIES} tries without a fault: {dict(self._outcome.codes)}")
        await self._watcher.check(len(self._sites))
        await self._check_served()

    async def _check_served(self) -> None:
        world, site_id = self._world, self._results[-1].site_id
        served = await world.served(site_id)
        if served != world.published():
            wrong = sorted(set(served.items()) ^ set(world.published().items()))
            raise Violation("CONTENT-4", f"{len(wrong)} pages are not served as published: {wrong[0][0]}")

    async def _tell(self) -> Outcome:
        outcome, world = self._outcome, self._world
        outcome.payments = self._watcher.payments
        outcome.in_vain = sum(times - 1 for times in world.paid().values())
        outcome.transactions = world.chain.executed
        outcome.virtual_s = anyio.current_time()
        digest = hashlib.sha256()
        for name in sorted(world.disk.events):
            for event in world.disk.events[name]:
                digest.update(repr((name, event.number, event.type, event.data)).encode())
        digest.update(repr(world.net.blobs.ledger()).encode())
        outcome.trace = digest.hexdigest()
        return outcome
