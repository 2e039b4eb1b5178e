"""The simulated chain executes Walrus Sites transactions as the real one does, and refuses what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from walrus_sdk.codecs import ids, objects
from walrus_sdk.codecs import transaction as tx
from walrus_sdk.codecs.keys import PrivateKey, Scheme
from walrus_sdk.codecs.ptb import PtbBuilder
from walrus_sdk.localnet.chain.checks import Refused
from walrus_sdk.localnet.chain.objects import Owner, StoredObject
from walrus_sdk.localnet.chain.state import SuiState
from walrus_sdk.localnet.genesis import GAS_TYPE, Genesis, coin_type
from walrus_sdk.localnet.storage import MemoryTables, SqliteTables
from walrus_sdk.model.chain import ObjectRef
from walrus_sdk.model.plan import SiteChange
from walrus_sdk.model.site import Metadata, Redirect, Resource
from walrus_sdk.model.units import BlobId, Digest, ObjectId, SuiAddress, SuiEpoch, WalrusEpoch
from walrus_sdk.sites import calls, packing


@pytest.fixture
def site_arg(wallet: Any) -> Any:
    """The marker that stands for the wallet's site in `Wallet.call`."""
    return type(wallet).call.__globals__["SITE"]


def resource(path: str, headers: tuple[tuple[str, str], ...] = (("content-type", "text/html"),)) -> Resource:
    return Resource(path, headers, BlobId(b"\7" * 32), b"\x08" * 32)


def put(wallet: Any, change: SiteChange, records: dict[str, Resource], new: str | None = None) -> Any:
    where = packing.Calls(wallet.state.genesis.call_package, wallet.address)
    (part,) = packing.pack(calls.steps(change, records, new), where)
    return wallet.send(packing.build(part, where, None if new else wallet.site().ref))


def field(state: SuiState, id_: ObjectId, key: int, decode: Callable[[bytes], Any]) -> Any:
    found = state.objects.get(id_)
    return None if found is None else decode(objects.decode_field(found.contents, key).value)


def test_a_site_is_made_with_everything_in_one_transaction(wallet: Any, state: SuiState, read_site: Any) -> None:
    change = SiteChange(
        add=("/a.css", "/index.html"),
        metadata=Metadata(link="https://x"),
        routes=(("/r1", "/a.css"), ("/r2", "/index.html")),
        redirects=(("/old", Redirect("/new", 301)), ("/older", Redirect("/new", 308))),
    )
    records = {path: resource(path) for path in change.add}
    record = put(wallet, change, records, "tides")
    assert record.failure is None
    site = wallet.site()
    assert read_site(site) == objects.SiteContents(site.id, "tides", Metadata(link="https://x"))
    assert site.id in {c.id for c in record.changes if c.created and c.owner_kind == "AddressOwner"}
    types = state.genesis.type_package
    for path, wanted in records.items():
        key = len(path) + 1
        assert field(state, ids.resource_field_id(site.id, path, types), key, objects.decode_resource) == wanted
    # What fill_* stores backwards was given backwards: the order on chain is ours.
    assert field(state, ids.routes_field_id(site.id), 7, objects.decode_routes) == change.routes
    assert field(state, ids.redirects_field_id(site.id), 10, objects.decode_redirects) == change.redirects


def test_a_site_is_changed_and_what_is_replaced_is_neither_created_nor_deleted(wallet: Any, state: SuiState) -> None:
    put(wallet, SiteChange(add=("/a", "/b"), routes=(("/x", "/a"),)), {p: resource(p) for p in ("/a", "/b")}, "tides")
    site = wallet.site()
    new = resource("/a", (("content-type", "text/plain"),))
    record = put(wallet, SiteChange(replace=("/a",), remove=("/b",), routes=(), name="other"), {"/a": new})
    types = state.genesis.type_package
    ids_ = {path: ids.resource_field_id(site.id, path, types) for path in ("/a", "/b")}
    changes = {c.id: (c.created, c.deleted) for c in record.changes}
    assert changes[ids_["/a"]] == (False, False)
    assert changes[ids_["/b"]] == (False, True)
    assert changes[ids.routes_field_id(site.id)] == (False, True)
    assert field(state, ids_["/a"], 3, objects.decode_resource) == new


def test_every_written_object_gets_one_more_than_the_highest_input_version(wallet: Any, state: SuiState) -> None:
    wallet.make_site()
    before = max(wallet.site().version, wallet.coins()[0].version)
    record = put(wallet, SiteChange(name="other"), {})
    assert wallet.site().version == wallet.coins()[0].version == record.lamport == before + 1


ABORTS = [
    ([("site::remove_resource", "SITE", "/nope")], "0x2::dynamic_field", 1),
    ([("site::move_resource", "SITE", "/nope", "/x")], "0x2::dynamic_field", 1),
    ([("site::move_resource", "SITE", "/a", "/b")], "0x2::dynamic_field", 0),
    ([("site::create_routes", "SITE"), ("site::create_routes", "SITE")], "0x2::dynamic_field", 0),
    ([("site::insert_route", "SITE", "/x", "/a")], "0x2::dynamic_field", 1),
    ([("site::fill_routes", "SITE", ["/x"], ["/a"])], "0x2::dynamic_field", 1),
    ([("site::create_routes", "SITE"), ("site::fill_routes", "SITE", ["/x", "/y"], ["/a"])], "site", None),
    ([("site::create_routes", "SITE"), ("site::fill_routes", "SITE", ["/x", "/x"], ["/a", "/b"])], "0x2::vec_map", 0),
    ([("site::create_routes", "SITE"), ("site::remove_route", "SITE", "/x")], "0x2::vec_map", 1),
    ([("site::insert_redirect", "SITE", "/x", "/y", 301)], "0x2::dynamic_field", 1),
    ([("site::create_redirects", "SITE"), ("site::insert_redirect", "SITE", "/x", "/y", 200)], "redirects", 0),
    ([("site::create_redirects", "SITE"), ("site::fill_redirects", "SITE", ["/x"], [], [301])], "redirects", 1),
    ([("site::create_redirects", "SITE"), ("site::fill_redirects", "SITE", ["/x"], ["/y"], [])], "redirects", 2),
    ([("site::create_routes", "SITE"), ("site::burn", "SITE")], "site", 4),
    ([("site::create_redirects", "SITE"), ("site::burn", "SITE")], "site", 3),
    ([("site::new_range", b"\0", b"\0")], "site", 2),
    ([("site::new_range", b"\1" + bytes(8), b"\1" + bytes(8))], "site", 1),
]


@pytest.mark.parametrize(("script", "module", "code"), ABORTS, ids=[f"{a[0][-1][0]}-{a[2]}" for a in ABORTS])
def test_an_abort_names_its_module_and_code_and_undoes_all_but_gas(
    wallet: Any, state: SuiState, site_arg: Any, script: Any, module: str, code: int | None
) -> None:
    put(wallet, SiteChange(add=("/a", "/b")), {p: resource(p) for p in ("/a", "/b")}, "tides")
    before, count = wallet.site(), len(list(state.objects.all()))
    record = wallet.call(*[tuple(site_arg if part == "SITE" else part for part in call) for call in script])
    assert record.failure is not None
    assert (record.failure.kind, record.failure.abort_code) == ("MOVE_ABORT", code)
    assert record.failure.module is not None
    assert record.failure.module.endswith(module)
    assert record.failure.command == len(script) - 1
    assert record.gas.net > 0
    after = wallet.site()
    assert (after.contents, len(list(state.objects.all()))) == (before.contents, count)
    assert after.version > before.version


def test_a_burnt_site_leaves_its_resources_behind(wallet: Any, state: SuiState, site_arg: Any) -> None:
    put(wallet, SiteChange(add=("/a",)), {"/a": resource("/a")}, "tides")
    site = wallet.site()
    assert wallet.call(("site::burn", site_arg)).failure is None
    assert state.objects.get(site.id) is None
    assert state.objects.get(ids.resource_field_id(site.id, "/a", state.genesis.type_package)) is not None


def one_call(wallet: Any, build: Callable[[PtbBuilder, ObjectId], object]) -> Any:
    builder = PtbBuilder()
    build(builder, wallet.state.genesis.call_package)
    return wallet.send(builder.finish())


MISTAKES: list[tuple[str, Callable[[PtbBuilder, ObjectId], object], str]] = [
    ("a function that is not there", lambda b, p: b.call(p, "site", "nope", []), "FUNCTION_NOT_FOUND"),
    ("a package that is not there", lambda b, p: b.call(ObjectId(bytes(32)), "site", "burn", []), "FUNCTION_NOT_FOUND"),
    ("too few arguments", lambda b, p: b.call(p, "redirects", "filled", []), "ARITY_MISMATCH"),
    (
        "a text that is not UTF-8",
        lambda b, p: b.call(p, "metadata", "new_metadata", [b.pure(b"\1\1\xff")] * 5),
        "COMMAND_ARGUMENT_ERROR",
    ),
    (
        "bytes left over",
        lambda b, p: b.call(p, "metadata", "new_metadata", [b.pure(b"\0\0")] * 5),
        "COMMAND_ARGUMENT_ERROR",
    ),
    (
        "a result that is used twice",
        lambda b, p: [b.call(p, "redirects", "length", [b.call(p, "redirects", "empty", []), b.string("x")])],
        "ARITY_MISMATCH",
    ),
    (
        "a result that is not there",
        lambda b, p: b.call(p, "redirects", "length", [tx.Result(7)]),
        "COMMAND_ARGUMENT_ERROR",
    ),
    (
        "a value of another type",
        lambda b, p: b.call(
            p, "site", "add_header", [b.call(p, "redirects", "empty", []), b.string("a"), b.string("b")]
        ),
        "COMMAND_ARGUMENT_ERROR",
    ),
    (
        "a site that nobody gets",
        lambda b, p: b.call(
            p, "site", "new_site", [b.string("x"), b.call(p, "metadata", "new_metadata", [b.option_string(None)] * 5)]
        ),
        "UNUSED_VALUE_WITHOUT_DROP",
    ),
]


@pytest.mark.parametrize(("name", "build", "kind"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_a_mistake_in_a_transaction_fails_by_its_kind(
    wallet: Any, name: str, build: Callable[[PtbBuilder, ObjectId], object], kind: str
) -> None:
    failure = one_call(wallet, build).failure
    assert failure is not None, name
    assert failure.kind == kind


def test_a_moved_value_cannot_be_used_again(wallet: Any) -> None:
    def build(b: PtbBuilder, p: ObjectId) -> None:
        none = b.pure(b"\0")
        part = b.call(p, "site", "new_range_option", [none, none])
        for path in ("/a", "/b"):
            b.call(p, "site", "new_resource", [b.string(path), b.pure(bytes(32)), b.pure(bytes(32)), part])

    failure = one_call(wallet, build).failure
    assert failure is not None
    assert "INVALID_VALUE_USAGE" in failure.message


def split(amount: int, recipient: SuiAddress) -> tx.ProgrammableTransaction:
    builder = PtbBuilder()
    coin = builder.add(tx.SplitCoins(tx.GasCoin(), (builder.pure(amount.to_bytes(8, "little")),)))
    builder.transfer([coin], recipient)
    return builder.finish()


def test_coins_are_split_merged_and_paid_with(wallet: Any, state: SuiState) -> None:
    total = sum(objects.decode_coin(state.objects.get(c.id).contents)[1] for c in wallet.coins())  # type: ignore[union-attr]
    spent = wallet.send(split(5 * 10**9, wallet.address)).gas.net
    assert len(wallet.coins()) == 2
    builder = PtbBuilder()
    builder.transfer([builder.owned(wallet_small(wallet))], SuiAddress(b"\x09" * 32))
    spent += wallet.send(builder.finish(), payment=[wallet_large(wallet)]).gas.net
    state.faucet(wallet.address, 7)
    record = wallet.send(split(1, wallet.address), payment=sorted(wallet.coins(), key=lambda c: c.id))
    spent += record.gas.net
    left = sum(objects.decode_coin(state.objects.get(c.id).contents)[1] for c in wallet.coins())  # type: ignore[union-attr]
    assert left == total - 5 * 10**9 + 7 - spent


def balance(wallet: Any, ref: ObjectRef) -> int:
    found = wallet.state.objects.get(ref.id)
    return int(objects.decode_coin(found.contents)[1])


def wallet_small(wallet: Any) -> ObjectRef:
    return min(wallet.coins(), key=lambda ref: balance(wallet, ref))


def wallet_large(wallet: Any) -> ObjectRef:
    return max(wallet.coins(), key=lambda ref: balance(wallet, ref))


def test_too_little_gas_fails_and_is_charged(wallet: Any) -> None:
    wallet.make_site()
    before = balance(wallet, wallet.coins()[0])
    many = tuple(f"/{i}" for i in range(50))
    where = packing.Calls(wallet.state.genesis.call_package, wallet.address)
    steps = calls.steps(SiteChange(add=many), {p: resource(p) for p in many})
    record = wallet.send(packing.build(steps, where, wallet.site().ref), budget=2_000_000)
    assert record.failure is not None
    assert record.failure.kind == "INSUFFICIENT_GAS"
    assert balance(wallet, wallet.coins()[0]) < before


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(Refused) as caught:
        act()
    return str(caught.value)


def test_a_transaction_sent_again_gives_its_first_record(wallet: Any, state: SuiState) -> None:
    data = wallet.data(split(5, wallet.address))
    signature = wallet.key.sign_transaction(data)
    first = state.execute(data, [signature])
    state.advance_sui_epoch(5)
    assert state.execute(data, [signature]) == first
    assert state.transaction(tx.transaction_digest(data)) == first


def test_a_stale_reference_is_refused_with_the_text_that_clients_match(wallet: Any) -> None:
    old = wallet.make_site()
    put(wallet, SiteChange(name="other"), {})
    text = refusal(lambda: _rename(wallet, old))
    assert f"object {old.id} version 0x{old.version:x} ({old.digest}) is unavailable for consumption" in text
    assert f"current version: 0x{wallet.site().version:x}" in text


def _rename(wallet: Any, ref: ObjectRef) -> object:
    where = packing.Calls(wallet.state.genesis.call_package, wallet.address)
    return wallet.send(packing.build(calls.steps(SiteChange(name="x"), {}), where, ref))


def test_references_from_the_future_and_to_nothing_are_refused(wallet: Any) -> None:
    ref = wallet.make_site()
    assert "is higher than the latest" in refusal(lambda: _rename(wallet, ObjectRef(ref.id, 99, ref.digest)))
    nothing = ObjectRef(ObjectId(b"\3" * 32), 1, Digest(bytes(32)))
    assert "not found" in refusal(lambda: _rename(wallet, nothing))
    assert "digest" in refusal(lambda: _rename(wallet, ObjectRef(ref.id, ref.version, Digest(bytes(32)))))


def test_somebody_elses_object_is_refused_and_its_owner_named(wallet: Any, state: SuiState) -> None:
    ref = wallet.make_site()
    other = type(wallet)(state, PrivateKey(Scheme.SECP256K1, b"\x05" * 32))
    state.faucet(other.address, 10**10)
    text = refusal(lambda: _rename(other, ref))
    assert "was not signed by the correct sender" in text
    assert str(wallet.address) in text


def test_wrong_missing_and_spare_signatures_are_refused(wallet: Any, state: SuiState) -> None:
    data = wallet.data(split(5, wallet.address))
    stranger = PrivateKey(Scheme.SECP256R1, b"\x06" * 32)
    good = wallet.key.sign_transaction(data)
    for signatures in ([], [stranger.sign_transaction(data)], [good, good], [good[:-1]], [good[:1] + bytes(96)]):
        assert "Invalid user signature" in refusal(lambda s=signatures: state.execute(data, s))  # type: ignore[misc]
    assert state.transaction(tx.transaction_digest(data)) is None


def test_gas_that_does_not_fit_is_refused(wallet: Any, state: SuiState) -> None:
    send = lambda **options: lambda: wallet.send(split(5, wallet.address), **options)  # noqa: E731
    assert "under reference gas price" in refusal(send(price=999))
    assert "lower than min" in refusal(send(budget=5))
    assert "higher than max" in refusal(send(budget=10**12))
    small = state.faucet(wallet.address, 10**7)
    assert "lower than the needed amount" in refusal(send(payment=[small]))
    assert "cannot appear more than one" in refusal(send(payment=[wallet.coins()[0]] * 2))


def test_what_has_expired_is_refused(wallet: Any, state: SuiState) -> None:
    state.advance_sui_epoch(3)
    old = tx.EpochExpiration(SuiEpoch(2))
    assert refusal(lambda: wallet.send(split(5, wallet.address), expiration=old)) == "Transaction Expired"
    span = tx.ValidDuring(0, 9, None, None, Digest(bytes(32)), 1)
    assert "chain" in refusal(lambda: wallet.send(split(5, wallet.address), expiration=span))
    good = tx.ValidDuring(0, 9, None, None, state.genesis.chain, 1)
    assert wallet.send(split(5, wallet.address), expiration=good).failure is None


def test_what_is_too_large_is_refused(wallet: Any) -> None:
    big = tx.ProgrammableTransaction((tx.Pure(bytes(16_384)),), split(1, wallet.address).commands)
    assert "Size limit exceeded" in refusal(lambda: wallet.send(big))
    kind = split(1, wallet.address)
    many = tx.ProgrammableTransaction(kind.inputs, kind.commands * 600)
    assert "number of commands" in refusal(lambda: wallet.send(many))


def test_two_transactions_over_one_version_are_noticed(wallet: Any, state: SuiState) -> None:
    ref = wallet.make_site()
    for name in ("a", "b"):
        where = packing.Calls(state.genesis.call_package, wallet.address)
        kind = packing.build(calls.steps(SiteChange(name=name), {}), where, ref)
        with pytest.raises(Refused):
            wallet.send(kind, budget=10**12)
    assert len(state.equivocations) == 1


def blob(genesis: Genesis, state: SuiState, *, deletable: bool, end: int, owner: SuiAddress) -> ObjectRef:
    id_ = ObjectId(b"\x0b" * 32)
    contents = objects.BlobContents(
        id_, WalrusEpoch(1), BlobId(bytes(32)), 5, WalrusEpoch(1), ObjectId(b"\x0c" * 32), WalrusEpoch(1),
        WalrusEpoch(end), 6940, deletable,
    )  # fmt: skip
    item = StoredObject(
        id_, 0, f"{genesis.blob_package}::blob::Blob", Owner("AddressOwner", owner.raw), objects.encode_blob(contents)
    )
    state.system_transaction([item])
    found = state.objects.get(id_)
    assert found is not None
    return found.ref


def delete_blob(genesis: Genesis, ref: ObjectRef) -> tx.ProgrammableTransaction:
    builder = PtbBuilder()
    system = builder.shared(genesis.system_object, 1, mutable=False)
    storage = builder.call(genesis.walrus_package, "system", "delete_blob", [system, builder.owned(ref)])
    builder.call(genesis.walrus_package, "storage_resource", "destroy", [storage])
    return builder.finish()


@pytest.mark.parametrize(("deletable", "end", "code"), [(True, 9, "ok"), (False, 9, 1), (True, 2, 2)])
def test_a_blob_is_deleted_when_it_may_be(
    wallet: Any, state: SuiState, genesis: Genesis, deletable: bool, end: int, code: int | str
) -> None:
    ref = blob(genesis, state, deletable=deletable, end=end, owner=wallet.address)
    state.advance_walrus_epoch(2)
    failure = wallet.send(delete_blob(genesis, ref)).failure
    assert ("ok" if failure is None else failure.abort_code) == code
    assert (state.objects.get(ref.id) is None) is (code == "ok")


def test_the_system_object_tells_shards_prices_and_the_epoch(state: SuiState, genesis: Genesis) -> None:
    state.advance_walrus_epoch(4)
    system = state.objects.get(genesis.system_object)
    assert system is not None
    assert objects.decode_system(system.contents).package == genesis.walrus_package
    (inner,) = [state.objects.get(id_) for id_ in state.objects.ids_of(genesis.system_object.raw)]
    assert inner is not None
    decoded = objects.decode_system_inner(objects.decode_field(inner.contents, 8).value)
    assert (decoded.n_shards, decoded.epoch, decoded.storage_price) == (10, WalrusEpoch(5), 7000)


def test_the_chain_survives_its_process(tmp_path: Any, genesis: Genesis) -> None:
    place = tmp_path / "world.db"
    tables = SqliteTables(place)
    first = SuiState(tables, genesis, lambda: 5)
    ref = first.faucet(SuiAddress(b"\1" * 32), 12)
    first.advance_sui_epoch(2)
    tables.close()
    assert oct(place.stat().st_mode)[-3:] == "600"
    again = SuiState(SqliteTables(place), genesis, lambda: 5)
    found = again.objects.get(ref.id)
    assert found is not None
    assert (found.ref, again.sui_epoch, again.records) == (ref, SuiEpoch(2), first.records)


def test_reads_may_lag_behind(state: SuiState) -> None:
    ref = state.faucet(SuiAddress(b"\1" * 32), 12)
    state.faucet(SuiAddress(b"\2" * 32), 13)
    assert state.objects.view(0).get(ref.id) is not None
    assert state.objects.view(1).get(ref.id) is not None
    assert state.objects.view(2).get(ref.id) is None
    assert list(state.objects.view(2).owned_by(b"\1" * 32)) == []
    assert len(list(state.objects.view(1).owned_by(b"\1" * 32))) == 1


def test_simulation_changes_nothing_and_needs_no_coin(wallet: Any, state: SuiState) -> None:
    data = wallet.data(split(5, wallet.address), payment=[], price=1000)
    before = state.checkpoint
    bill, failure = state.simulate(data, checked=True)
    assert failure is None
    assert bill.net > 0
    assert state.checkpoint == before
    real = wallet.send(split(5, wallet.address)).gas
    assert real.computation == bill.computation


def test_every_function_that_a_deploy_calls_has_the_real_parameters() -> None:
    import json
    from pathlib import Path

    from walrus_sdk.localnet.chain.site_package import FUNCTIONS

    place = Path(__file__).resolve().parents[1] / "vectors" / "sui" / "site_functions.json"
    real = json.loads(place.read_text(encoding="utf-8"))
    public = {n for n, f in real.items() if isinstance(f, dict) and f["visibility"] == "public"}
    assert set(FUNCTIONS) <= public
    for name, function in FUNCTIONS.items():
        parameters = [p for p in real[name]["parameters"] if "TxContext" not in p]
        assert len(parameters) == len(function.parameters), name
        assert len(real[name]["returns"]) == len(function.results), name
        for mine, theirs in zip(function.parameters, parameters, strict=True):
            assert mine.startswith("&mut ") == theirs.startswith("&mut "), name
            assert mine.startswith("&") == theirs.startswith("&"), name
    missing = public - set(FUNCTIONS)
    assert missing <= {"site::redirects", "redirects::get", "site::set_suins_reverse_lookup"}, missing


def test_a_chain_in_memory_starts_with_a_funded_account(state: SuiState, wallet: Any) -> None:
    assert wallet.coins()
    assert SuiState(MemoryTables(), state.genesis, lambda: 1).dev_key() == wallet.key
    assert wallet.owned(coin_type(GAS_TYPE))


# ── a node that lags ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_node_that_lags_simulates_on_what_it_knows_and_does_not_take_what_it_does_not(
    state: SuiState, wallet: Any
) -> None:
    site = wallet.make_site()
    builder = PtbBuilder()
    builder.call(state.genesis.call_package, "site", "update_name", [builder.owned(site), builder.string("new")])
    data = wallet.data(builder.finish())
    signatures = [wallet.key.sign_transaction(data)]
    for ask in (
        lambda: state.simulate(data, checked=True, behind=1),
        lambda: state.execute(data, signatures, behind=1),
    ):
        with pytest.raises(Refused, match=r"not found|higher than the latest"):
            ask()
    assert state.simulate(data, checked=True)[1] is None
    assert state.execute(data, signatures).failure is None
    assert state.simulate(data, checked=True, behind=1)[1] is None, "as it was before"
    with pytest.raises(Refused, match="unavailable for consumption"):
        state.simulate(data, checked=True)
    assert state.equivocations == []


def test_a_node_cannot_lag_behind_more_than_is_remembered(state: SuiState, wallet: Any) -> None:
    site = wallet.make_site()
    assert state.objects.view(10_000).get(site.id) is None
