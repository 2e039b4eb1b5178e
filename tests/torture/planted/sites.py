"""Bugs that visitors would see: the order of a site's changes, lifetimes, what a cleanup takes, who wins a race."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from tests.torture.planted.hunting import Bug, dies, in_a_world, replaced
from walrus_sdk.engine import executor
from walrus_sdk.engine.deletes import Deletes
from walrus_sdk.errors import WalrusError
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.units import BlobId
from walrus_sdk.service import cleanup
from walrus_sdk.service.nowhere import NoFolder
from walrus_sdk.sites import calls, packing, paths
from walrus_sdk.testing import SimulatedWorld
from walrus_sdk.testing.invariants import Violation, Watcher

__all__ = ["BUGS"]

# ── what finds them ───────────────────────────────────────────────────────────────────────────────────────────────


@in_a_world()
async def storage_lapses(world: SimulatedWorld) -> None:
    """Storage ends while a deployment is interrupted."""
    await dies(world, "transaction.intent.before", epochs=2)
    world.net.chain.advance_walrus_epoch(3)
    try:
        await world.deploy(epochs=2)
    except WalrusError as error:
        if error.code != "plan_expired":
            raise Violation("CONTENT-3", f"a site was written whose storage is over: {error}") from error
        return
    raise Violation("CONTENT-3", "a site was written whose storage is over")


@in_a_world()
async def cancel_meets_commit(world: SimulatedWorld) -> None:
    """A cancel meets a transaction that was executed."""
    await dies(world, "transaction.do.after")
    (found,) = await world.session.list()
    result = await world.session.cancel(found.deployment_id)
    if result is None:
        raise Violation("SERVE-6", "cancelled although all of it is on chain")


@in_a_world()
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


@in_a_world(commands=50)
async def a_large_update(world: SimulatedWorld, watcher: Watcher) -> None:
    """An update that takes several transactions: additions first, removals last."""
    world.files = {"index.html": b"home", **{f"old-{n:03}.html": b"<p>%d</p>" % n for n in range(10)}}
    made = await world.deploy()
    world.files = {"index.html": b"home", **{f"new-{n:03}.html": b"<p>n%d</p>" % n for n in range(20)}}
    watcher.expects(made.site_id, world.published())
    await world.deploy(max_delete=1.0)


@in_a_world(commands=50)
async def a_home_page_of_new_pages(world: SimulatedWorld) -> None:
    """A site of several transactions whose home page leads to all of its pages."""
    world.files = {"index.html": b"home", **{f"page-{n:03}.html": b"<p>%d</p>" % n for n in range(15)}}
    watched = world.chain.after

    def look() -> None:
        watched()
        for site_id in world.chain.references(world.signer.address, {}):
            missing = world.published().keys() - world.chain.resources(site_id).keys()
            if missing and "/index.html" not in missing:
                raise Violation("SERVE-2", f"/index.html is there before {min(missing)}, to which it leads")

    world.chain.after = look
    await world.deploy()


@in_a_world()
async def a_cleanup_dies_and_its_content_comes_back(world: SimulatedWorld) -> None:
    """A cleanup dies when its deletions are on chain; then content that it deleted is published again."""
    world.files = {"index.html": b"first"}
    await world.deploy(deletable=True)
    world.files = {"index.html": b"second"}
    await world.deploy(deletable=True)
    await world.dies("transaction.do.after", lambda: _cleaned(world))
    world.files["again.html"] = b"first"
    with suppress(WalrusError):  # what it says of the hole is not the point: there must be none
        await world.deploy(deletable=True)


async def _cleaned(world: SimulatedWorld) -> None:
    await world.session.cleanup(DeployOptions(), keep_last=1, older_than_days=0.0, dry_run=False)


# ── how they are planted ──────────────────────────────────────────────────────────────────────────────────────────

_usual_pack = packing.pack
_usual_carry_out = cleanup._carry_out


def _removals_first(steps: Any, calls: Any) -> Any:
    return _usual_pack(sorted(steps, key=lambda step: "Remove" not in type(step).__name__), calls)


async def _deleted_first(
    connection: Any, owner: Any, plan: Any, decision: Any, in_vain: Any, options: Any, feed: Any
) -> Any:
    """Delete, and write afterwards that it is forgotten."""
    await Deletes(connection.context(owner, NoFolder(), options, feed), plan).run()
    return await _usual_carry_out(connection, owner, plan, decision, in_vain, options, feed)


def _entry_pages_first(path: str) -> tuple[int, str]:
    return -paths.publish_order(path)[0], path


async def _nothing_needed(*args: Any) -> set[BlobId]:
    return set()


async def _no_check(*args: Any) -> None:
    """Check nothing."""


async def _never(*args: Any) -> bool:
    return False


BUGS = (
    Bug(
        12,
        "blobs are deleted before they are forgotten",
        "SERVE-4",
        replaced(cleanup, "_carry_out", _deleted_first),
        a_cleanup_dies_and_its_content_comes_back,
    ),
    Bug(12, "removals before additions", "SERVE-2", replaced(packing, "pack", _removals_first), a_large_update),
    Bug(
        13,
        "index page first",
        "SERVE-2",
        replaced(calls, "publish_order", _entry_pages_first),
        a_home_page_of_new_pages,
    ),
    Bug(
        18,
        "end epoch not checked again",
        "CONTENT-3",
        replaced(executor.Executor, "_check_lifetimes", _no_check),
        storage_lapses,
    ),
    Bug(
        19,
        "cleanup without counting references",
        "SERVE-3",
        replaced(cleanup, "_needed", _nothing_needed),
        cleanup_of_what_is_served,
    ),
    Bug(
        20,
        "cancel wins after the commit",
        "SERVE-6",
        replaced(executor.Executor, "is_committed", _never),
        cancel_meets_commit,
    ),
)
