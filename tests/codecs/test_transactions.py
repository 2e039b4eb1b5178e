"""Transactions: byte-equal to the official SDK's, and total to read."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walrus_sdk.codecs import transaction as tx
from walrus_sdk.codecs.bcs import Reader, Writer, uleb
from walrus_sdk.codecs.ptb import MAX_PURE, PtbBuilder
from walrus_sdk.codecs.type_tags import format_type_tag, parse_type_tag
from walrus_sdk.errors import BlockchainError, CodecError
from walrus_sdk.model.chain import ObjectRef
from walrus_sdk.model.units import Digest, ObjectId, SuiAddress, SuiEpoch

CASES = json.loads((Path(__file__).resolve().parents[1] / "vectors" / "sui" / "ptb.json").read_text(encoding="utf-8"))[
    "transactions"
]
Json = dict[str, Any]


def ref(data: Json) -> ObjectRef:
    return ObjectRef(ObjectId.parse(data["objectId"]), int(data["version"]), Digest.parse(data["digest"]))


def call_arg(data: Json) -> tx.CallArg:
    if "pure" in data:
        return tx.Pure(base64.b64decode(data["pure"]["bytes"]))
    if "fundsWithdrawal" in data:
        funds = data["fundsWithdrawal"]
        return tx.FundsWithdrawal(int(funds["maxAmountU64"]), parse_type_tag(funds["type"]), funds["from"] == "sponsor")
    ((kind, value),) = data["object"].items()
    if kind == "shared":
        return tx.SharedArg(ObjectId.parse(value["objectId"]), int(value["initialSharedVersion"]), value["mutable"])
    return tx.ReceivingArg(ref(value)) if kind == "receiving" else tx.OwnedArg(ref(value))


def argument(data: Json) -> tx.Argument:
    if "gasCoin" in data:
        return tx.GasCoin()
    if "input" in data:
        return tx.Input(data["input"])
    if "result" in data:
        return tx.Result(data["result"])
    return tx.NestedResult(*data["nestedResult"])


def command(data: Json) -> tx.Command:
    ((kind, value),) = data.items()
    many = lambda items: tuple(argument(item) for item in items)  # noqa: E731
    if kind == "moveCall":
        types = tuple(parse_type_tag(text) for text in value["typeArguments"])
        package = ObjectId.parse(value["package"])
        return tx.MoveCall(package, value["module"], value["function"], many(value["arguments"]), types)
    if kind == "transferObjects":
        return tx.TransferObjects(many(value["objects"]), argument(value["address"]))
    if kind == "splitCoins":
        return tx.SplitCoins(argument(value["coin"]), many(value["amounts"]))
    if kind == "mergeCoins":
        return tx.MergeCoins(argument(value["destination"]), many(value["sources"]))
    assert kind == "makeMoveVec", kind
    return tx.MakeMoveVec(parse_type_tag(value["type"]) if value["type"] else None, many(value["elements"]))


def expiration(data: Json) -> tx.Expiration:
    if "epoch" in data:
        return tx.EpochExpiration(SuiEpoch(int(data["epoch"])))
    if "validDuring" in data:
        span = data["validDuring"]
        bounds = [
            None if span[k] is None else int(span[k]) for k in ("minEpoch", "maxEpoch", "minTimestamp", "maxTimestamp")
        ]
        return tx.ValidDuring(*bounds, Digest.parse(span["chain"]), span["nonce"])
    return tx.NoExpiration()


def transaction(case: Json) -> tx.TransactionData:
    gas = case["gas"]
    kind = tx.ProgrammableTransaction(
        tuple(call_arg(item) for item in case["inputs"]), tuple(command(item) for item in case["commands"])
    )
    payment = tuple(ref(item) for item in gas["payment"])
    return tx.TransactionData(
        kind,
        SuiAddress.parse(case["sender"]),
        tx.GasData(payment, SuiAddress.parse(gas["owner"]), int(gas["price"]), int(gas["budget"])),
        expiration(case["expiration"]),
    )


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_transaction_equals_the_official_one(case: Json) -> None:
    built, official = transaction(case), base64.b64decode(case["bcs"])
    assert tx.encode_transaction(built) == official
    assert tx.decode_transaction(official) == built
    assert str(tx.transaction_digest(official)) == case["digest"]
    assert len(official) == case["size"]


@given(st.sampled_from(CASES), st.data())
def test_a_damaged_transaction_is_read_to_a_value_or_refused(case: Json, data: st.DataObject) -> None:
    damaged = bytearray(base64.b64decode(case["bcs"])[:3000])
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with suppress(CodecError):
        tx.encode_transaction(tx.decode_transaction(bytes(damaged)))


@given(st.binary(max_size=300))
def test_bytes_that_are_no_transaction_are_refused(junk: bytes) -> None:
    with pytest.raises(CodecError):
        tx.decode_transaction(junk)


@given(st.integers(0, 2**32 - 1))
def test_a_length_is_written_minimally_and_read_back(value: int) -> None:
    assert Reader(uleb(value)).uleb() == value


@pytest.mark.parametrize("data", [b"\x80\x00", b"\x81\x80\x00", b"\xff\xff\xff\xff\x1f", b"\x80"])
def test_a_length_in_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        Reader(data).uleb()


def test_a_length_beyond_the_end_allocates_nothing() -> None:
    with pytest.raises(CodecError):
        Reader(b"\xff\xff\xff\xff\x07").vector(Reader.u8)


@pytest.mark.parametrize(
    "text",
    [
        "u256",
        "vector<vector<u8>>",
        "0x2::coin::Coin<0x2::sui::SUI>",
        "0x1::m::S<bool, vector<0x3::n::T<u8,u16>>, address>",
    ],
)
def test_a_type_is_printed_in_full_and_read_again(text: str) -> None:
    tag = parse_type_tag(text)
    assert parse_type_tag(format_type_tag(tag)) == tag


@pytest.mark.parametrize("text", ["", "u7", "vector<>", "0x2::coin", "0x2::a::b<", "u8>", "vector<" * 40, "0x2:a::b"])
def test_a_text_that_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(CodecError):
        parse_type_tag(text)


REF = ObjectRef(ObjectId(b"\7" * 32), 5, Digest(b"\1" * 32))
OWNER = SuiAddress(b"\2" * 32)


@given(st.lists(st.text("abc", max_size=200), max_size=40), st.integers(0, 3))
def test_a_builder_knows_its_exact_size(texts: list[str], coins: int) -> None:
    builder = PtbBuilder()
    site = builder.owned(REF)
    for text in texts:
        builder.call(REF.id, "site", "update_name", [site, builder.string(text)])
    builder.transfer([site], OWNER)
    gas = tx.GasData(tuple(REF for _ in range(coins)), OWNER, 1000, 5)
    data = tx.TransactionData(builder.finish(), OWNER, gas, tx.EpochExpiration(SuiEpoch(3)))
    assert builder.size(coins) == len(tx.encode_transaction(data))


def test_what_a_builder_wrote_is_what_its_values_say() -> None:
    builder = PtbBuilder()
    site, shared = builder.owned(REF), builder.shared(ObjectId(b"\x09" * 32), 1, mutable=False)
    builder.call(REF.id, "site", "update_name", [site, builder.string("name"), builder.option_string(None)])
    builder.shared(ObjectId(b"\x09" * 32), 1, mutable=True)
    builder.call(REF.id, "site", "use", [builder.call(REF.id, "a", "b", []), shared])
    built = builder.finish()
    again = replace(built)
    assert (built, built.bcs is None, again.bcs) == (again, False, None)
    gas = tx.GasData((REF,), OWNER, 1000, 5)
    first, second = (tx.TransactionData(kind, OWNER, gas, tx.NoExpiration()) for kind in (built, again))
    assert tx.encode_transaction(first) == tx.encode_transaction(second)
    assert tx.decode_transaction(tx.encode_transaction(first)) == second


def test_a_builder_shares_equal_inputs() -> None:
    builder = PtbBuilder()
    assert builder.string("a") == builder.string("a") != builder.string("b")
    assert builder.owned(REF) == builder.owned(REF)
    shared = ObjectId(b"\x09" * 32)
    assert builder.shared(shared, 1, mutable=False) == builder.shared(shared, 1, mutable=True)
    assert builder.finish().inputs[-1] == tx.SharedArg(shared, 1, True)


def test_a_value_too_large_for_a_transaction_is_refused_while_it_is_built() -> None:
    PtbBuilder().pure(bytes(MAX_PURE))
    with pytest.raises(BlockchainError) as caught:
        PtbBuilder().pure(bytes(MAX_PURE + 1))
    assert caught.value.code == "transaction_too_large"


def test_strings_must_be_unicode() -> None:
    with pytest.raises(CodecError):
        Writer().string("\udc80")
    with pytest.raises(CodecError):
        Reader(b"\x02\xff\xfe").string()
