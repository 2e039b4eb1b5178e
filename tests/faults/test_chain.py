"""Faults of the chain (C): nothing is signed twice, nothing is made twice, and what is missing is told."""

from __future__ import annotations

from typing import Any

import pytest

from walrus_sdk.codecs import transaction as tx
from walrus_sdk.errors import BlockchainError, DeploymentStopped, ErrorClass
from walrus_sdk.localnet.http_sui.failures import NODE_ERRORS, node_error
from walrus_sdk.model.options import RecoveryOptions
from walrus_sdk.ports import SigningRequest
from walrus_sdk.sui.failures import graphql_error
from walrus_sdk.testing import SimulatedWorld

pytestmark = pytest.mark.anyio

_GAS = "tests/engine/test_gas.py"
_DEPLOY = "tests/engine/test_deployments.py"
_IDENTITY = "tests/engine/test_site_identity.py"
_RECOVERY = "tests/engine/test_recovery.py"
_GOING_ON = "tests/service/test_going_on.py"

ELSEWHERE: dict[str, list[str]] = {
    "C1": [
        f"{_DEPLOY}::test_a_transaction_that_never_arrived_is_sent_again_with_the_same_bytes",
        "tests/engine/test_payments.py::test_a_transaction_that_is_never_answered_is_sent_so_often_and_then_left_resumable",
    ],
    "C2": [
        f"{_DEPLOY}::test_a_lost_answer_of_a_transaction_is_found_by_its_digest",
        f"{_GOING_ON}::test_a_lost_answer_of_the_node_is_found_by_the_digest",
    ],
    "C3": [
        f"{_IDENTITY}::test_a_failed_transaction_of_an_earlier_run_leaves_its_references_to_the_next_one",
        f"{_GAS}::test_a_transaction_that_ran_out_of_gas_is_made_anew_with_a_higher_budget",
        f"{_GAS}::test_a_transaction_that_congestion_cancelled_is_made_anew_at_a_higher_price",
    ],
    "C4": [
        f"{_DEPLOY}::test_the_owner_without_gas_is_told_how_much_is_missing",
        f"{_GAS}::test_one_that_runs_out_of_gas_again_stops_and_a_later_run_offers_still_more",
    ],
    "C5": [
        f"{_IDENTITY}::test_a_transaction_is_not_taken_for_dead_while_reads_lag_behind_it",
        f"{_IDENTITY}::test_a_transaction_that_was_always_refused_is_dead_at_once_and_made_anew",
    ],
    "C6": ["tests/engine/test_payments.py::test_two_sites_of_one_wallet_are_written_in_turn"],
    "C7": [
        f"{_DEPLOY}::test_a_reader_that_lags_behind_our_own_transaction_is_waited_for",
        f"{_GOING_ON}::test_a_node_that_lags_by_time_slows_updates_down_and_breaks_nothing",
    ],
    "C8": [
        "tests/engine/test_recovery.py::test_a_transaction_that_was_signed_elsewhere_is_waited_for_until_it_has_expired"
    ],
    "C11": [
        f"{_GOING_ON}::test_a_site_made_by_an_interrupted_deployment_is_not_made_again",
        f"{_IDENTITY}::test_a_site_that_was_made_without_an_answer_is_found_after_another_failure_for_good",
    ],
    "C12": ["tests/sui/test_chain.py::test_another_chain_than_the_networks_is_refused_before_anything_else_is_read"],
}
"""Tests of other folders for the same fault."""

MANY = {"index.html": b"home", **{f"page-{n:03}.html": b"<p>%d</p>" % n * 3 for n in range(400)}}


def test_every_fault_of_the_chain_has_a_test(covered: Any) -> None:
    assert covered("C", 15, __file__, ELSEWHERE) == []


@pytest.mark.parametrize("moment", ["execute", "executed"])
@pytest.mark.parametrize("name", NODE_ERRORS)
async def test_c1_whatever_a_node_says_instead_of_an_outcome_the_transaction_happens_once(
    name: str, moment: str
) -> None:
    world = SimulatedWorld()
    said = [graphql_error(node_error(name)["errors"], executing=True) for _ in range(3)]
    assert {error.error_class for error in said} == {ErrorClass.LOOK_FIRST}
    world.chain.faults = lambda now: said.pop() if now == moment and said else None
    result = await world.deploy()
    assert len(result.digests) == 1
    assert len(await world.site_ids()) == 1
    assert len(said) == (2 if moment == "executed" else 0), "what has happened is found, not sent again"
    assert world.net.chain.equivocations == []


async def test_c6_objects_that_stay_locked_stop_it_resumably_and_the_next_epoch_frees_them() -> None:
    world, sent = SimulatedWorld(), set[bytes]()
    world.chain.executing = sent.add
    world.chain.faults = lambda now: (
        graphql_error(node_error("locked")["errors"], executing=True) if now == "execute" else None
    )
    for _ in range(2):
        with pytest.raises(DeploymentStopped) as caught:
            await world.deploy(recovery=RecoveryOptions(max_retries=1, retry_delay_s=0.1))
        assert caught.value.fields["resumable"] is True
        assert len(sent) == 1, "the same bytes, and no others"
    world.net.chain.advance_sui_epoch(2)
    world.chain.faults = lambda _: None
    await world.deploy()
    assert len(sent) == 2
    assert world.net.chain.equivocations == []
    assert await world.served() == world.published()


async def test_c8_a_gas_price_that_rose_before_it_was_sent_makes_a_new_transaction() -> None:
    world, sent = SimulatedWorld(), list[tx.GasData]()

    def executing(data: bytes) -> None:
        sent.append(tx.decode_transaction(data).gas)
        world.net.chain.set_prices(gas=1500)

    world.chain.executing = executing
    result = await world.deploy()
    assert (sent[0].price, sent[-1].price, len(result.digests)) == (1000, 1500, 1)
    assert world.net.chain.equivocations == []
    assert await world.served() == world.published()


async def test_c7_an_older_state_than_was_seen_is_not_believed() -> None:
    world = SimulatedWorld()
    await world.deploy()
    before = dict(world.files)
    world.files["about.html"] = b"second"
    await world.deploy()
    world.files = before
    world.chain.behind = 1  # the node shows version 1, which is what is asked for
    with pytest.raises(BlockchainError) as caught:
        await world.deploy()
    assert caught.value.code == "chain_unavailable"
    world.chain.behind = 0
    assert (await world.deploy()).changed
    assert await world.served() == world.published()


@pytest.mark.parametrize("late_s", [0.4, 1.43, 9.0])
async def test_c7_a_node_that_always_lags_by_so_many_seconds_is_waited_for(late_s: float) -> None:
    world = SimulatedWorld(MANY)
    world.chain.late_s = late_s
    await world.clock.sleep(late_s)  # what the network began with is seen
    made = await world.deploy()
    assert len(made.digests) == world.chain.executed > 1
    world.files["index.html"] = b"changed"
    changed = await world.deploy()
    assert (changed.site_id, len(changed.digests)) == (made.site_id, 1)
    assert set(world.paid().values()) == {1}
    assert world.net.chain.equivocations == []
    await world.clock.sleep(late_s)
    assert not (await world.deploy()).changed
    assert await world.served() == world.published()


async def test_c9_a_continuation_is_what_the_chain_lacks_after_a_failure_in_any_gap() -> None:
    for failing in (1, 2, 3):
        world, seen = SimulatedWorld(MANY), [0]

        def fault(moment: str, at: int = failing, seen: list[int] = seen) -> BlockchainError | None:
            seen[0] += moment == "execute"
            return BlockchainError("chain_unavailable", "no") if moment == "execute" and seen[0] == at else None

        world.chain.faults = fault
        with pytest.raises(BlockchainError):
            await world.deploy(recovery=RecoveryOptions(max_retries=0))
        world.chain.faults = lambda _: None
        result = await world.deploy()
        assert len(await world.site_ids()) == 1
        assert len(result.digests) == world.chain.executed
        assert await world.served() == world.published()


async def test_c10_gas_that_runs_out_half_way_leaves_a_deployment_that_goes_on_once_it_is_there() -> None:
    world = SimulatedWorld(MANY)
    coins = world.chain.coins
    state = {"executed": 0, "poor": True}
    world.chain.after = lambda: state.update(executed=state["executed"] + 1)

    async def poor(owner: Any) -> Any:
        found = await coins(owner)
        return [] if state["poor"] and state["executed"] >= 1 else found

    world.chain.coins = poor  # type: ignore[method-assign]
    with pytest.raises(BlockchainError) as caught:
        await world.deploy()
    assert (caught.value.code, caught.value.fields["resumable"]) == ("insufficient_gas", True)
    assert int(caught.value.fields["expected"]) > 0
    stored, state["poor"] = world.store.stored, False
    await world.deploy()
    assert world.store.stored == stored, "nothing is stored again"
    assert await world.served() == world.published()


async def test_c13_a_signer_that_refuses_leaves_a_deployment_that_goes_on() -> None:
    world = SimulatedWorld()
    sign = world.signer.sign

    async def refuse(_: SigningRequest) -> bytes:
        raise BlockchainError("signature_refused", "the person said no")

    world.signer.sign = refuse  # type: ignore[method-assign]
    with pytest.raises(BlockchainError) as caught:
        await world.deploy()
    assert (caught.value.code, caught.value.fields["resumable"]) == ("signature_refused", True)
    assert world.disk.tables["transactions"] == {}, "what nobody signed is not recorded as signed"
    world.signer.sign = sign  # type: ignore[method-assign]
    await world.deploy()
    assert set(world.paid().values()) == {1}


async def test_c14_an_overloaded_node_is_asked_again_later() -> None:
    world, answers = SimulatedWorld(), [BlockchainError("chain_unavailable", "overloaded", retry_after=7.0)] * 2
    world.chain.faults = lambda moment: answers.pop() if moment == "execute" and answers else None
    start = world.clock.monotonic()
    await world.deploy()
    assert world.clock.monotonic() - start >= 14.0
    assert world.net.chain.equivocations == []


async def test_c15_a_site_that_belongs_to_somebody_else_is_refused_before_anything_is_paid() -> None:
    world, other = SimulatedWorld(), SimulatedWorld()
    made = await world.deploy()
    world.signer = other.signer
    world.files["index.html"] = b"another"
    before = world.net.blobs.ledger()
    with pytest.raises(BlockchainError) as caught:
        await world.deploy(object_id=made.site_id)
    assert caught.value.code == "site_not_owned"
    assert world.net.blobs.ledger() == before
