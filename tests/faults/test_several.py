"""Faults of several at once (K): one owner, one finaliser, one verdict, and nobody's blobs are taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from walrus_sdk.errors import OwnershipError, StateError
from walrus_sdk.journal.schema import MIGRATIONS
from walrus_sdk.journal.store import open_journal
from walrus_sdk.machine.clock import SystemClock
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change
from walrus_sdk.testing import SimulatedWorld

pytestmark = pytest.mark.anyio

_RECOVERY = "tests/engine/test_recovery.py"

ELSEWHERE: dict[str, list[str]] = {
    "K1": [
        f"{_RECOVERY}::test_a_second_owner_is_refused_with_who_and_can_take_over",
        "tests/service/test_going_on.py::test_two_first_deploys_at_the_same_moment_make_one_site",
    ],
    "K2": [
        "tests/engine/test_payments.py::test_two_sites_of_one_wallet_are_written_in_turn",
        "tests/engine/test_payments.py::test_two_sites_with_the_same_content_pay_for_it_once",
    ],
    "K3": [
        f"{_RECOVERY}::test_cleanup_does_not_begin_beside_a_live_deployment_nor_the_other_way",
        f"{_RECOVERY}::test_cleanup_spares_pinned_versions_other_sites_and_what_can_go_on",
    ],
    "K4": [
        f"{_RECOVERY}::test_an_interrupted_deployment_is_cancelled_by_anybody_and_what_it_stored_is_used_later",
        f"{_RECOVERY}::test_a_live_deployment_is_cancelled_at_the_request_of_somebody_else",
        f"{_RECOVERY}::test_a_cancel_that_meets_the_last_transaction_gives_the_chains_verdict",
    ],
    "K5": [
        f"{_RECOVERY}::test_a_rollback_brings_the_version_before_back_without_an_upload_and_locks_the_site",
        f"{_RECOVERY}::test_content_that_has_lapsed_is_stored_again_from_a_folder_that_has_it_else_said_before_anything",
    ],
    "K7": ["tests/journal/test_durability.py::test_what_was_acknowledged_survives_kill_9"],
    "K8": [],
    "K9": ["tests/journal/test_durability.py::test_a_journal_of_a_newer_program_is_left_alone"],
    "K10": ["tests/service/test_going_on.py::test_a_site_changed_by_somebody_else_in_the_middle_is_not_overwritten"],
}
"""Tests of other folders for the same fault. K8 needs PostgreSQL, which no part of the project uses."""

ONE = DeploymentId("deploy_1800000000001_00000001")


def test_every_fault_of_several_at_once_has_a_test(covered: Any) -> None:
    assert [name for name in covered("K", 10, __file__, ELSEWHERE) if name != "K8"] == []


async def test_k5_a_rollback_beside_a_live_deploy_is_refused() -> None:
    world = SimulatedWorld()
    await world.deploy()
    world.files["about.html"] = b"second"
    await world.deploy()
    world.files["about.html"] = b"third"
    waiting = anyio.Event()

    async def hook(point: str) -> None:
        if point == "store.do.before":
            waiting.set()
            await anyio.sleep_forever()

    usual = world.life.hook
    world.life.hook = hook  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.deploy)
        await waiting.wait()
        world.life.hook = usual  # type: ignore[method-assign]
        with pytest.raises(OwnershipError) as caught:
            await world.session.rollback("simulated")
        assert caught.value.code == "deployment_owned"
        tasks.cancel_scope.cancel()


async def test_k6_a_long_reader_holds_no_writer_up(tmp_path: Path) -> None:
    async with open_journal(tmp_path, SystemClock()) as journal, open_journal(tmp_path, SystemClock()) as other:
        owner = await journal.claim(ONE, new=True)
        async with anyio.create_task_group() as tasks:

            async def read() -> None:
                for _ in range(50):
                    await other.events(ONE)

            tasks.start_soon(read)
            with anyio.fail_after(30):
                for number in range(50):
                    await journal.append(owner, [Change("note", {"n": number})])
        assert len(await other.events(ONE)) == 50
        await journal.release(owner)


async def test_k9_a_journal_of_the_first_schema_is_brought_up_to_date_with_its_rows(tmp_path: Path) -> None:
    import sqlite3

    state = tmp_path / "state"
    state.mkdir(parents=True, mode=0o700)
    state.chmod(0o700)
    tmp_path.chmod(0o700)
    path = state / "journal.db"
    path.touch(0o600)
    with sqlite3.connect(path) as db:
        db.executescript(MIGRATIONS[0])
        db.execute("insert into sites (chain, owner, name, object_id) values ('c', 'o', 'n', '1')")
        db.execute("pragma user_version = 1")
    db.close()
    async with open_journal(tmp_path, SystemClock()) as journal:
        (row,) = await journal.rows("sites")
        assert (row["name"], row["object_id"]) == ("n", "1")
        assert await journal.rows("coins") == []


async def test_k10_a_foreign_change_is_reported_and_the_next_plan_is_made_from_it() -> None:
    world = SimulatedWorld()
    await world.deploy()
    plan = await world.plan(fresh=True)
    elsewhere = world.elsewhere()
    elsewhere.files = {**world.files, "index.html": b"by somebody else"}
    await elsewhere.deploy()
    with pytest.raises(Exception, match="site_changed"):
        await world.apply(plan)
    await world.deploy()
    assert await world.served() == world.published()


async def test_k7_a_lock_falls_with_its_owner(tmp_path: Path) -> None:
    async with open_journal(tmp_path, SystemClock()) as journal:
        owner = await journal.claim(ONE, new=True)
        async with open_journal(tmp_path, SystemClock()) as other:
            with pytest.raises(OwnershipError) as caught:
                await other.claim(ONE)
            assert caught.value.fields["pid"]
        await journal.release(owner)
    async with open_journal(tmp_path, SystemClock()) as journal:
        again = await journal.claim(ONE)
        assert again.incarnation == 2
        with pytest.raises((OwnershipError, StateError)):
            await journal.append(owner, [Change("note", {})])
        await journal.release(again)
