"""The pre-pass: where nothing changed since the last plan that had nothing to do, that plan is the answer again.

No file is read, no entry is made and no site is read: one look at the folder (`ports.FolderLook`), the rules, the
journal's word on a few rows, the chain's state and the site's reference. Everything that a plan is made from is
compared; whatever differs, and whatever cannot be told, means that the plan is made anew. What is kept is of the cache,
which may be deleted at any time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio

from walrus_sdk.engine.feed import Feed
from walrus_sdk.engine.reading import least_version
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.progress import Phase
from walrus_sdk.planning.build import Facts
from walrus_sdk.planning.kept_plan import KeptPlan, chain_key, folder_key, is_worth_keeping, pack, unpack
from walrus_sdk.planning.target import Choice, choose_site
from walrus_sdk.ports import Folder, FolderLook
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.survey import Request, Survey, check_place, lifetimes_of, recorded_site, rules_data
from walrus_sdk.service.unwrap import one_error

__all__ = ["Recalled", "Sight", "is_as_planned", "keep", "look", "recall"]

A = TypeVar("A")
B = TypeVar("B")

_VERSION = "1"
"""Raised when the same folder, rules and options come to mean another plan: what older code kept is not believed."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """A plan that is still right by everything but this home's journal, which `confirmed` asks."""

    kept: KeptPlan

    @property
    def request(self) -> Request:
        """The request that it answers."""
        kept, target = self.kept, self.kept.plan.target
        return Request(kept.plan.chain_id, target.owner, kept.name.text, kept.asked, kept.plan.request_digest)

    async def confirmed(self, connection: Connection) -> Plan | None:
        """Return the plan, if the journal still names the same site and the same ends of its blobs."""
        kept, plan = self.kept, self.kept.plan
        target = plan.target
        recorded = await recorded_site(connection, plan.chain_id, target.owner, kept.name.text)
        if choose_site(None, kept.asked, recorded, (), kept.name) != Choice(target.site_id, target.how):
            return None
        assert target.site_id is not None, "a kept plan is one of a site"
        assert target.version is not None
        if await least_version(connection.journal, plan.chain_id, target.site_id) > target.version:
            return None  # the node lags behind what this home has seen
        rows = await connection.journal.rows("blobs", {"chain": plan.chain_id})
        ends = {row["blob_id"]: row["end_epoch"] for row in rows}
        return plan if kept.ends.items() <= ends.items() else None


def _key(connection: Connection, place: Path) -> str:
    return f"plan:{connection.network.name}:{place}"


def _folder_key(
    connection: Connection, place: Path, options: DeployOptions, seen: FolderLook, rules: bytes | None, commit: str
) -> str:
    project, network = connection.project, connection.network
    return folder_key(_VERSION, str(place), seen.digest, rules, options, project, network, commit)


@dataclass(frozen=True, slots=True)
class Sight:
    """What a folder looked like before anything of it was read, and the commit that it was built from."""

    seen: FolderLook | None
    commit: str


async def look(connection: Connection, folder: Folder, place: Path, feed: Feed) -> Sight:
    """Look at a folder before anything else: what is found afterwards belongs to this look, or the next one differs."""
    feed.phase(Phase.SCAN)
    seen, commit = await _both(folder.look, lambda: connection.commit(place))
    return Sight(seen, commit)


async def _both(one: Callable[[], Awaitable[A]], other: Callable[[], Awaitable[B]]) -> tuple[A, B]:
    """Wait for two calls at once. Raises one error, without a group."""
    ones: list[A] = []
    others: list[B] = []

    async def call_one() -> None:
        ones.append(await one())

    async def call_other() -> None:
        others.append(await other())

    with one_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call_one)
            tasks.start_soon(call_other)
    return ones[0], others[0]


def _look_of(plan: Plan, seen: FolderLook) -> bytes:
    return f"{plan.digest} {seen.digest.hex()}".encode()


async def is_as_planned(connection: Connection, folder: Folder, place: Path, plan: Plan, feed: Feed) -> bool:
    """Return whether a folder looks as it did when `plan` was made from it; else, and in doubt, it is to be scanned."""
    if plan.verb != "deploy":
        return False
    kept = await connection.journal.cache(f"look:{place}")
    seen = await folder.look() if kept is not None else None
    if seen is None or kept != _look_of(plan, seen):
        return False
    feed.set(files_found=seen.files, files_hashed=seen.files, bytes_hashed=seen.size)
    return True


async def recall(
    connection: Connection, folder: Folder, place: Path, options: DeployOptions, sight: Sight, feed: Feed
) -> Recalled | None:
    """Return the plan that was kept, if folder, rules, options, commit, key and chain are as they were.

    The chain is asked only when everything on this side is the same. Raises errors of the rules, the key, the chain.
    """
    seen = sight.seen
    if seen is None or options.fresh:
        return None
    kept = unpack(await connection.journal.cache(_key(connection, place)))
    if kept is None:
        return None
    rules = (await rules_data(connection, folder, place, options)).data
    if kept.folder != _folder_key(connection, place, options, seen, rules, sight.commit):
        return None
    target = kept.plan.target
    assert target.site_id is not None, "a kept plan is one of a site"
    if connection.signer().address != target.owner:
        return None
    feed.set(files_found=seen.files, files_hashed=seen.files, bytes_hashed=seen.size)
    feed.phase(Phase.PLAN)
    site_ids = [target.site_id]
    state, (site,) = await _both(connection.chain.state, lambda: connection.chain.objects(site_ids))
    here = (site.ref.version, site.ref.digest, site.owner) if site is not None else None
    if kept.chain != chain_key(state, target.owner) or here != (target.version, target.digest, target.owner):
        return None
    if kept.asked is None and not kept.name.explicit:
        await check_place(connection, state.chain_id, target.owner, kept.name.text, place)
    return Recalled(kept)


async def keep(
    connection: Connection, place: Path, sight: Sight | None, found: Survey, facts: Facts, plan: Plan
) -> None:
    """Keep what the folder of a plan looked like, and the whole plan when it has nothing to do.

    `sight` is from before anything of the plan was read.
    """
    seen = sight.seen if sight is not None else None
    if seen is None or not seen.settled:
        return
    await connection.journal.cache(f"look:{place}", _look_of(plan, seen))
    ends = await lifetimes_of(connection, plan.chain_id) if plan.nothing_to_do else {}
    if not is_worth_keeping(plan, ends):
        return
    kept = KeptPlan(
        plan=plan,
        folder=_folder_key(connection, place, facts.options, seen, found.rules_data, plan.commit),
        chain=chain_key(facts.chain, plan.target.owner),
        name=found.name,
        asked=found.asked,
        ends={str(blob): ends[blob].number for blob in {r.blob_id for r in plan.base.values()}},
    )
    await connection.journal.cache(_key(connection, place), pack(kept))
