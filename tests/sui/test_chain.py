"""The port to Sui against the simulated node: reads, simulations, transactions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from walrus_sdk.codecs import objects
from walrus_sdk.codecs import transaction as tx
from walrus_sdk.codecs.keys import PrivateKey, Scheme
from walrus_sdk.errors import BlockchainError, ErrorClass
from walrus_sdk.localnet.chain.objects import Owner, StoredObject
from walrus_sdk.localnet.chain.state import SuiState
from walrus_sdk.localnet.genesis import Genesis, coin_type
from walrus_sdk.model.chain import BlobObject, ObjectRef
from walrus_sdk.model.plan import SiteChange
from walrus_sdk.model.units import BlobId, Digest, Frost, ObjectId, SuiAddress, WalrusEpoch
from walrus_sdk.sites import calls, packing

pytestmark = pytest.mark.anyio

NOBODY = SuiAddress(b"\x21" * 32)


def paths(count: int) -> tuple[str, ...]:
    return tuple(f"/{number:04}.html" for number in range(count))


# ── state ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_state_is_what_the_network_was_made_with(chain: Any, genesis: Genesis, state: SuiState) -> None:
    state.advance_sui_epoch(7)
    state.advance_walrus_epoch(3)
    found = await chain.state()
    assert found.chain_id == genesis.chain_id
    assert (found.sui_epoch.number, found.walrus_epoch) == (7, WalrusEpoch(4))
    assert (found.gas_price, found.n_shards) == (genesis.gas_price, 10)
    assert (found.prices.storage, found.prices.write) == (Frost(7000), Frost(2000))
    assert (found.walrus_package, found.blob_package) == (genesis.walrus_package, genesis.blob_package)
    assert found.max_epochs_ahead == genesis.max_epochs_ahead


async def test_another_chain_than_the_networks_is_refused_before_anything_else_is_read(connect: Any, node: Any) -> None:
    with pytest.raises(BlockchainError) as caught:
        await connect(chain_id="4c78adac", name="testnet").state()
    assert caught.value.code == "chain_mismatch"
    assert caught.value.fields["expected"] == "4c78adac"
    assert len(node.requests) == 1


async def test_a_network_without_a_chain_id_takes_the_nodes(connect: Any, genesis: Genesis) -> None:
    assert (await connect(chain_id="").state()).chain_id == genesis.chain_id


async def test_a_system_object_that_is_not_there_is_said(connect: Any) -> None:
    with pytest.raises(BlockchainError, match="no object 0x2121") as caught:
        await connect(system_object=ObjectId(b"\x21" * 32)).state()
    assert caught.value.code == "object_not_found"


# ── objects by owner and by id ────────────────────────────────────────────────────────────────────────────────────


def blob(state: SuiState, owner: SuiAddress, number: int, *, certified: bool = True) -> StoredObject:
    id_ = ObjectId(number.to_bytes(32, "big"))
    contents = objects.BlobContents(
        id_, WalrusEpoch(1), BlobId(number.to_bytes(32, "little")), 1000 + number,
        WalrusEpoch(1) if certified else None, ObjectId(b"\x09" * 32), WalrusEpoch(1), WalrusEpoch(6), 10**6,
        number % 2 == 1,
    )  # fmt: skip
    type_ = f"{state.genesis.blob_package}::blob::Blob"
    state.system_transaction(
        [StoredObject(id_, 0, type_, Owner("AddressOwner", owner.raw), objects.encode_blob(contents))]
    )
    made = state.objects.get(id_)
    assert made is not None
    return made


async def test_an_owners_blobs_are_listed_over_all_pages(chain: Any, state: SuiState, wallet: Any) -> None:
    made = [blob(state, wallet.address, number, certified=number != 3) for number in range(1, 120)]
    blob(state, NOBODY, 500)
    found = await chain.blobs(wallet.address)
    assert sorted(item.ref for item in found) == [item.ref for item in made]
    by_size = {item.size: item for item in found}
    one = BlobId((1).to_bytes(32, "little"))
    assert by_size[1001] == BlobObject(made[0].ref, one, 1001, WalrusEpoch(1), WalrusEpoch(6), deletable=True)
    assert by_size[1003].certified_epoch is None
    assert not by_size[1002].deletable


async def test_an_owners_sites_are_listed_with_their_names(chain: Any, wallet: Any, state: SuiState) -> None:
    names = {f"site {number}" for number in range(53)}
    for name in sorted(names):
        wallet.publish(SiteChange(), new=name)
    found = await chain.sites(wallet.address)
    assert {name for _, name in found} == names
    for id_, name in found:
        item = state.objects.get(id_)
        assert item is not None
        assert objects.decode_site(item.contents).name == name


async def test_coins_come_largest_first_and_only_sui(chain: Any, state: SuiState, wallet: Any) -> None:
    small = [state.faucet(wallet.address, amount) for amount in (5, 700, 5, 60)]
    wal = objects.encode_coin(ObjectId(b"\x31" * 32), 10**12)
    type_ = coin_type(state.genesis.wal_type)
    state.system_transaction(
        [StoredObject(ObjectId(b"\x31" * 32), 0, type_, Owner("AddressOwner", wallet.address.raw), wal)]
    )
    found = await chain.coins(wallet.address)
    assert [coin.balance for coin in found] == [1_000 * 10**9, 700, 60, 5, 5]
    assert [coin.ref for coin in found[1:3]] == [small[1], small[3]]
    assert [coin.ref.id for coin in found[3:]] == sorted([small[0].id, small[2].id])


@pytest.mark.parametrize("what", ["sites", "blobs", "coins"])
async def test_an_address_that_owns_nothing_has_empty_lists(chain: Any, what: str) -> None:
    assert list(await getattr(chain, what)(NOBODY)) == []


async def test_objects_come_in_the_order_asked_with_none_where_there_is_none(
    chain: Any, state: SuiState, wallet: Any
) -> None:
    record = wallet.publish(SiteChange(add=("/a",)), new="tides")
    site, system = wallet.site(), state.objects.get(state.genesis.system_object)
    assert system is not None
    child = next(change.id for change in record.changes if change.owner_kind == "ObjectOwner")
    one, nothing, shared, field = await chain.objects([site.id, ObjectId(b"\x22" * 32), system.id, child])
    assert nothing is None
    assert (one.ref, one.type, one.owner) == (site.ref, site.type, wallet.address)
    assert (one.previous_transaction, one.initial_shared_version) == (record.digest, None)
    assert (shared.ref, shared.owner, shared.initial_shared_version) == (system.ref, None, 1)
    assert (field.owner, field.initial_shared_version) == (None, None)


async def test_many_objects_are_asked_for_forty_at_a_time(chain: Any, state: SuiState, wallet: Any, node: Any) -> None:
    made = [blob(state, wallet.address, number) for number in range(1, 96)]
    found = await chain.objects([item.id for item in reversed(made)])
    assert [item.ref for item in found] == [item.ref for item in reversed(made)]
    assert [len(body["variables"]["keys"]) for body in node.bodies] == [40, 40, 15]


async def test_no_objects_are_no_request(chain: Any, node: Any) -> None:
    assert list(await chain.objects([])) == []
    assert node.requests == []


# ── transactions ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_simulation_without_coins_costs_what_the_execution_costs(chain: Any, wallet: Any) -> None:
    kind = wallet.kind(SiteChange(add=paths(30), routes=(("/x", "/0001.html"),)), new="tides")
    estimate = await chain.simulate(wallet.data(kind, payment=()), estimate=True)
    outcome = await chain.execute(*wallet.signed(kind))
    assert (estimate.failure, outcome.failure) == (None, None)
    assert estimate.gas.computation == outcome.gas.computation
    assert estimate.gas.storage > 0
    # The gas coin itself is rewritten, which the made-up coin is not: one object's storage apart.
    assert abs(estimate.gas.net - outcome.gas.net) < 5_000_000


async def test_a_simulation_changes_nothing(chain: Any, wallet: Any, state: SuiState) -> None:
    before = [(item.id, item.version) for item in state.objects.all()]
    await chain.simulate(wallet.data(wallet.kind(SiteChange(), new="tides")))
    assert [(item.id, item.version) for item in state.objects.all()] == before


async def test_a_final_transaction_is_the_same_when_sent_again_or_looked_up(
    chain: Any, wallet: Any, state: SuiState
) -> None:
    data, signatures = wallet.signed(wallet.kind(SiteChange(add=paths(60)), new="tides"))
    outcome = await chain.execute(data, signatures)
    record = state.records[tx.transaction_digest(data)]
    assert outcome.ok
    assert outcome.complete
    assert (outcome.digest, outcome.gas, outcome.checkpoint) == (record.digest, record.gas, record.checkpoint)
    assert outcome.gas_object == wallet.coins()[0]
    assert outcome.changes == record.changes
    assert wallet.site().ref in {change.ref for change in outcome.changes if change.created}
    count = len(state.records)
    assert await chain.execute(data, signatures) == outcome
    assert await chain.transaction(outcome.digest) == outcome
    assert len(state.records) == count


async def test_a_transaction_that_the_index_has_not_reached_is_not_known_yet(
    chain: Any, wallet: Any, node: Any
) -> None:
    outcome = await chain.execute(*wallet.signed(wallet.kind(SiteChange(), new="tides")))
    node.behind = 1
    assert await chain.transaction(outcome.digest) is None
    node.behind = 0
    assert (await chain.transaction(outcome.digest)).ok
    assert await chain.transaction(Digest(b"\x33" * 32)) is None


async def test_a_deleted_object_has_no_reference_afterwards(chain: Any, wallet: Any) -> None:
    wallet.publish(SiteChange(add=("/a", "/b")), new="tides")
    outcome = await chain.execute(*wallet.signed(wallet.kind(SiteChange(remove=("/b",)))))
    (gone,) = [change for change in outcome.changes if change.deleted]
    assert (gone.ref, gone.created, gone.owner_kind) == (None, False, None)
    kinds = {change.id: change.owner_kind for change in outcome.changes}
    assert kinds[wallet.site().id] == "AddressOwner"


def aborting(wallet: Any) -> tx.ProgrammableTransaction:
    where = packing.Calls(wallet.state.genesis.call_package, wallet.address)
    doubled = (calls.ResetRoutes(create=True), calls.FillRoutes((("/a", "/b"), ("/a", "/c"))))
    return packing.build(doubled, where, wallet.site().ref)


async def test_a_move_abort_names_its_place_in_simulation_execution_and_look_up(chain: Any, wallet: Any) -> None:
    wallet.publish(SiteChange(), new="tides")
    data, signatures = wallet.signed(aborting(wallet))
    simulated = await chain.simulate(data)
    outcome = await chain.execute(data, signatures)
    assert not outcome.ok
    for failure in (simulated.failure, outcome.failure, (await chain.transaction(outcome.digest)).failure):
        assert (failure.kind, failure.abort_code, failure.command) == ("MOVE_ABORT", 0, 2)
        assert failure.module == "vec_map"
        assert failure.message
    assert outcome.gas.net > 0


async def test_a_budget_that_runs_out_is_insufficient_gas(chain: Any, wallet: Any) -> None:
    data, signatures = wallet.signed(wallet.kind(SiteChange(add=paths(100)), new="tides"), budget=1_100_000)
    outcome = await chain.execute(data, signatures)
    assert outcome.failure.kind == "INSUFFICIENT_GAS"
    assert outcome.failure.abort_code is None


async def test_a_cut_list_of_changes_says_so(chain: Any, wallet: Any, node: Any) -> None:
    def cut(_number: int, answer: Any) -> Any:
        answer["data"]["executeTransaction"]["effects"]["objectChanges"]["pageInfo"]["hasNextPage"] = True
        return answer

    node.change = cut
    assert not (await chain.execute(*wallet.signed(wallet.kind(SiteChange(), new="tides")))).complete


# ── refusals, in the node's own words ─────────────────────────────────────────────────────────────────────────────


def stranger() -> PrivateKey:
    return PrivateKey(Scheme.SECP256K1, b"\x44" * 32)


def stale(wallet: Any) -> Any:
    old = wallet.site().ref
    wallet.publish(SiteChange(name="newer"))
    return wallet.signed(wallet.kind(SiteChange(name="other"), site=old))


def future(wallet: Any) -> Any:
    there = wallet.site().ref
    return wallet.signed(wallet.kind(SiteChange(name="other"), site=replace(there, version=there.version + 5)))


def missing(wallet: Any) -> Any:
    gone = ObjectRef(ObjectId(b"\x55" * 32), 3, Digest(b"\x56" * 32))
    return wallet.signed(wallet.kind(SiteChange(name="other"), site=gone))


def unsigned(wallet: Any) -> Any:
    data, _ = wallet.signed(wallet.kind(SiteChange(name="other")))
    return data, [stranger().sign_transaction(data)]


def broken_signature(wallet: Any) -> Any:
    data, (signature,) = wallet.signed(wallet.kind(SiteChange(name="other")))
    return data, [signature[:40] + bytes([signature[40] ^ 1]) + signature[41:]]


def foreign(wallet: Any) -> Any:
    thief = type(wallet)(wallet.state, stranger())
    wallet.state.faucet(thief.address, 10**11)
    return thief.signed(thief.kind(SiteChange(name="mine"), site=wallet.site().ref))


def expired(wallet: Any) -> Any:
    signed = wallet.signed(wallet.kind(SiteChange(name="other")))
    wallet.state.advance_sui_epoch(2)
    return signed


def cheap(wallet: Any) -> Any:
    return wallet.signed(wallet.kind(SiteChange(name="other")), price=999)


def poor(wallet: Any) -> Any:
    coin = wallet.state.faucet(wallet.address, 10)
    return wallet.signed(wallet.kind(SiteChange(name="other")), payment=[coin])


def tight(wallet: Any) -> Any:
    return wallet.signed(wallet.kind(SiteChange(name="other")), budget=10)


def huge(wallet: Any) -> Any:
    kind = wallet.kind(SiteChange(name="other"))
    pure = tx.Pure(b"\xff\x7f" + bytes(16_383))
    return wallet.signed(tx.ProgrammableTransaction((*kind.inputs, pure), kind.commands))


REFUSALS: list[tuple[Callable[[Any], Any], str, ErrorClass]] = [
    (stale, "stale_object", ErrorClass.RETRY),
    (future, "chain_unavailable", ErrorClass.RETRY),
    (missing, "stale_object", ErrorClass.RETRY),
    (unsigned, "signature_refused", ErrorClass.FIX_WALLET),
    (broken_signature, "signature_refused", ErrorClass.FIX_WALLET),
    (foreign, "signature_refused", ErrorClass.FIX_WALLET),
    (expired, "transaction_expired", ErrorClass.RETRY),
    (cheap, "stale_object", ErrorClass.RETRY),
    (poor, "insufficient_gas", ErrorClass.FIX_WALLET),
    (tight, "transaction_refused", ErrorClass.GIVE_UP),
    (huge, "transaction_too_large", ErrorClass.FIX_INPUT),
]


@pytest.mark.parametrize(("make", "code", "error_class"), REFUSALS, ids=[row[0].__name__ for row in REFUSALS])
async def test_a_refused_transaction_has_its_code_and_did_not_happen(
    chain: Any, wallet: Any, state: SuiState, make: Any, code: str, error_class: ErrorClass
) -> None:
    wallet.publish(SiteChange(), new="tides")
    data, signatures = make(wallet)
    count = len(state.records)
    with pytest.raises(BlockchainError) as caught:
        await chain.execute(data, signatures)
    assert (caught.value.code, caught.value.error_class) == (code, error_class)
    assert len(state.records) == count
    assert await chain.transaction(tx.transaction_digest(data)) is None


async def test_a_simulation_finds_stale_references_before_anybody_signs(chain: Any, wallet: Any) -> None:
    wallet.publish(SiteChange(), new="tides")
    data, _ = stale(wallet)
    with pytest.raises(BlockchainError) as caught:
        await chain.simulate(data)
    assert caught.value.code == "stale_object"


async def test_what_is_no_transaction_is_refused(chain: Any) -> None:
    with pytest.raises(BlockchainError) as caught:
        await chain.execute(b"\0\1\2", [bytes(97)])
    assert caught.value.code == "transaction_refused"
