"""Gas that does not suffice and prices that are too low: the next transaction offers more, and not without end."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator

import pytest

from walrus_sdk.codecs import transaction as tx
from walrus_sdk.engine import sender
from walrus_sdk.errors import BlockchainError, ConfigurationError
from walrus_sdk.model.chain import GasUsed
from walrus_sdk.model.options import DeployOptions, RecoveryOptions
from walrus_sdk.model.units import Mist
from walrus_sdk.planning import cost
from walrus_sdk.testing import SimulatedWorld

pytestmark = pytest.mark.anyio


def gas_of(world: SimulatedWorld) -> list[tx.GasData]:
    """Return a list that the gas data of every transaction that is sent goes to."""
    sent: list[tx.GasData] = []
    world.chain.executing = lambda data: sent.append(tx.decode_transaction(data).gas)
    return sent


def too_low(monkeypatch: pytest.MonkeyPatch, tries: int) -> None:
    """Let the budgets of so many tries be far too low."""

    def budget(gas: GasUsed, price: int, ran_out: int) -> int:
        return 2000 * price if ran_out < tries else cost.gas_budget(gas, price, ran_out)

    monkeypatch.setattr(sender, "gas_budget", budget)


async def test_a_transaction_that_ran_out_of_gas_is_made_anew_with_a_higher_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = SimulatedWorld()
    too_low(monkeypatch, 1)
    sent = gas_of(world)
    result = await world.deploy()
    assert len(result.digests) == len(sent) == 2, "the one that failed is told too: its gas was paid"
    assert sent[1].budget > sent[0].budget
    assert sent[1].payment[0].version > sent[0].payment[0].version
    assert world.net.chain.equivocations == []
    assert len(await world.site_ids()) == 1
    assert await world.served() == world.published()
    assert result.cost.gas.units == sum(world.net.chain.records[digest].gas.net for digest in result.digests)


async def test_one_that_runs_out_of_gas_again_stops_and_a_later_run_offers_still_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = SimulatedWorld()
    too_low(monkeypatch, 2)
    sent = gas_of(world)
    with pytest.raises(BlockchainError) as caught:
        await world.deploy()
    assert (caught.value.code, caught.value.fields["resumable"], len(sent)) == ("insufficient_gas", True, 2)
    assert caught.value.fields["address"] == str(world.signer.address)
    world.revive()
    later = gas_of(world)
    await world.deploy()
    assert [gas.budget > sent[-1].budget for gas in later] == [True]
    assert set(world.paid().values()) == {1}
    assert await world.served() == world.published()


async def test_a_budget_that_was_asked_for_is_not_raised_and_one_that_cannot_suffice_is_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = SimulatedWorld()
    sent = gas_of(world)
    with pytest.raises(ConfigurationError) as refused:
        await world.deploy(gas_budget=Mist(2_000_000))
    assert (refused.value.code, refused.value.fields["option"], sent) == ("option_invalid", "gas_budget", [])
    assert world.paid() == {}, "it is known from the plan"
    monkeypatch.setattr(cost, "check_gas", lambda *_: None)  # an estimate that was too low
    with pytest.raises(ConfigurationError) as refused:
        await world.deploy(gas_budget=Mist(2_000_000))
    assert (refused.value.code, refused.value.fields["option"], sent) == ("option_invalid", "gas_budget", [])
    monkeypatch.setattr(sender, "least_gas", lambda _: 0)  # the chain moved on since the simulation
    with pytest.raises(BlockchainError) as caught:
        await world.deploy(gas_budget=Mist(2_000_000))
    assert caught.value.code == "insufficient_gas"
    assert [gas.budget for gas in sent] == [2_000_000]


@pytest.mark.parametrize(
    "again",
    [
        lambda world: world.deploy(gas_budget=Mist(2_000_000)),
        lambda world: world.session.resume(gas_budget=Mist(2_000_000)),
    ],
    ids=["deploy", "resume"],
)
async def test_a_budget_that_is_too_low_is_refused_before_more_is_paid_when_a_deployment_goes_on(
    again: Callable[[SimulatedWorld], Awaitable[object]],
) -> None:
    world = SimulatedWorld()
    assert await world.dies("store.outcome.after")
    paid = world.paid()
    with pytest.raises(ConfigurationError) as refused:
        await again(world)
    assert refused.value.fields["option"] == "gas_budget"
    assert world.paid() == paid
    await world.deploy(gas_budget=Mist(1_000_000_000))
    assert await world.served() == world.published()


async def versions(world: SimulatedWorld) -> None:
    for number in range(3):
        world.files["about.html"] = b"version %d" % number * 9
        await world.deploy(deletable=True)
        world.clock.advance(86_400)


@pytest.fixture
def twice() -> Iterator[bool]:
    return itertools.chain([True, True], itertools.repeat(False))


async def test_a_transaction_that_congestion_cancelled_is_made_anew_at_a_higher_price(twice: Iterator[bool]) -> None:
    world = SimulatedWorld()
    await versions(world)
    world.chain.congested = lambda: next(twice)
    sent = gas_of(world)
    done = await world.session.cleanup(keep_last=1, older_than_days=0.0, dry_run=False)
    assert [gas.price for gas in sent] == [1000, 1500, 2250]
    assert done.deleted
    left = {blob.ref.id for blob in await world.chain.blobs(world.signer.address)}
    assert not left & {blob.object_id for blob in done.deleted}
    assert world.net.chain.equivocations == []


async def test_congestion_that_does_not_end_is_told_and_costs_no_more_than_the_retries() -> None:
    world = SimulatedWorld()
    await versions(world)
    before = await world.chain.blobs(world.signer.address)
    world.chain.congested = lambda: True
    sent, options = gas_of(world), DeployOptions(recovery=RecoveryOptions(max_retries=3, retry_delay_s=0.0))
    with pytest.raises(BlockchainError) as caught:
        await world.session.cleanup(options, keep_last=1, older_than_days=0.0, dry_run=False)
    assert (caught.value.code, len(sent)) == ("congestion", 4)
    assert {blob.ref.id for blob in await world.chain.blobs(world.signer.address)} == {blob.ref.id for blob in before}
    world.chain.congested = lambda: False
    assert (await world.session.cleanup(keep_last=1, older_than_days=0.0, dry_run=False)).deleted


async def test_a_site_is_not_cancelled_by_congestion_as_it_uses_no_shared_object() -> None:
    world = SimulatedWorld()
    world.chain.congested = lambda: True
    await world.deploy()
    assert await world.served() == world.published()
