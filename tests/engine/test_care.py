"""Doctor, adopt, export and the drill, over the simulated world."""

from __future__ import annotations

import pytest

from walrus_sdk.errors import BlockchainError
from walrus_sdk.testing import PAGES, SimulatedWorld, lost
from walrus_sdk.testing.drill import drill

pytestmark = pytest.mark.anyio


async def found(world: SimulatedWorld, *, repair: bool = False) -> dict[str, tuple[str, str]]:
    examination = await world.session.doctor(repair=repair)
    return {item.what: ("repaired" if item.repaired else item.state, item.text) for item in examination.findings}


async def test_a_healthy_home_has_nothing_bad() -> None:
    world = SimulatedWorld()
    await world.deploy()
    examination = await world.session.doctor()
    assert examination.healthy
    assert {item.state for item in examination.findings} == {"ok"}
    assert {item.what for item in examination.findings} >= {"network", "key", "aggregator", "site simulated"}


async def test_a_site_that_was_changed_from_elsewhere_is_told_and_can_be_adopted() -> None:
    world = SimulatedWorld()
    await world.deploy()
    elsewhere = world.elsewhere()
    elsewhere.files["index.html"] = b"by somebody else"
    await elsewhere.deploy()
    assert (await found(world))["site simulated"][0] == "warning"
    assert await world.session.adopt("simulated") == 2
    assert await world.session.adopt("simulated") == 2, "the same state is the same version"
    assert (await found(world))["site simulated"][0] == "ok"
    await world.session.rollback("simulated", lock=False)
    assert (await world.served())["/index.html"] == PAGES["index.html"]


async def test_versions_of_a_site_whose_state_is_lost_are_rebuilt_from_the_chain() -> None:
    world = SimulatedWorld()
    made = await world.deploy()
    empty = world.elsewhere()
    assert await empty.session.versions(str(made.site_id)) == []
    assert await empty.session.adopt(str(made.site_id)) == 1
    (version,) = await empty.session.versions("simulated")
    assert (version.files, version.current, version.tags) == (4, True, ("adopted",))
    assert version.end_epoch is not None
    empty.files["about.html"] = b"changed"
    stored = empty.store.stored
    await empty.deploy()
    assert empty.store.stored == stored + 1, "what the chain has is not stored again"
    await empty.session.rollback("simulated", lock=False)
    assert await empty.served() == {f"/{name}": data for name, data in PAGES.items()}


async def test_a_site_of_another_key_is_not_adopted() -> None:
    world, other = SimulatedWorld(), SimulatedWorld()
    made = await world.deploy()
    world.signer = other.signer
    with pytest.raises(BlockchainError) as caught:
        await world.session.adopt(str(made.site_id))
    assert caught.value.code == "site_not_owned"


async def test_what_was_left_open_is_told_and_looked_up_where_that_is_asked_for() -> None:
    world = SimulatedWorld()
    assert await world.dies("store.outcome.before")
    (left,) = await world.session.list()
    name = str(left.deployment_id)
    assert (await found(world))[name][0] == "warning"
    assert "1 effects have an unknown outcome" in (await found(world))[name][1]
    assert (await found(world, repair=True))[name][0] == "repaired"
    assert "0 effects" in (await found(world))[name][1]
    await world.deploy()
    assert set(world.paid().values()) == {1}


async def destroyed() -> SimulatedWorld:
    """A world whose only site was destroyed by another tool, long after it was deployed."""
    world = SimulatedWorld()
    await world.deploy()
    (site_id,) = await world.site_ids()
    world.net.chain.system_transaction([], [site_id])
    world.clock.advance(3600)
    return world


async def test_a_destroyed_site_gives_its_name_free_where_that_is_asked_for() -> None:
    world = await destroyed()
    with pytest.raises(BlockchainError) as caught:
        await world.deploy()
    assert caught.value.code == "site_not_found"
    assert "doctor --repair" in str(caught.value)
    state, text = (await found(world))["site simulated"]
    assert (state, "destroyed" in text) == ("bad", True)
    assert (await found(world, repair=True))["site simulated"][0] == "repaired"
    await world.deploy()
    assert await world.served() == world.published()
    assert set(world.paid().values()) == {1}, "its bytes are stored as before"
    assert (await found(world))["site simulated"][0] == "ok"


async def test_a_site_that_a_node_does_not_show_is_not_destroyed_while_the_node_may_lag() -> None:
    world = await destroyed()
    world.clock.advance(-3599)
    assert (await found(world, repair=True))["site simulated"][0] == "bad"
    world.clock.advance(3599)
    world.chain.behind = 3  # it does not know our transactions either
    assert (await found(world, repair=True))["site simulated"][0] == "bad"
    world.chain.behind = 0
    with pytest.raises(BlockchainError) as caught:
        await world.deploy()
    assert caught.value.code == "site_not_found", "its name is still taken"


async def test_an_export_has_every_table_and_no_signed_bytes() -> None:
    world = SimulatedWorld()
    await world.deploy()
    tables = await world.session.export()
    assert {"deployments", "events", "operations", "transactions", "versions"} <= tables.keys()
    assert all("bytes" not in row and "signatures" not in row for row in tables["transactions"])
    assert tables["operations"][0]["outcome"]["end_epoch"]


def test_a_drill_pays_again_only_where_a_paid_store_is_dropped_and_loses_nothing() -> None:
    told: list[str] = []
    report = drill(dict(PAGES), points=8, listen=told.append)
    assert report.good
    assert (report.files, report.stores, report.lost_answers) == (4, 1, 4)
    assert report.paid_again == 1
    assert report.most_extra == report.cost
    assert len(told) == report.runs - 1


async def test_a_lost_answer_is_no_finding_once_it_is_found() -> None:
    world, answers = SimulatedWorld(), [lost()]
    world.store.faults = lambda moment, _: answers.pop() if moment == "certified" and answers else None
    await world.deploy()
    assert all(state == "ok" for state, _ in (await found(world)).values())
