"""The Sui node's wire formats: GraphQL on the official schema with its limits, gRPC-Web as portals use it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from walrus_sdk.codecs import ids, objects
from walrus_sdk.codecs import transaction as tx
from walrus_sdk.localnet.chain.state import SuiState
from walrus_sdk.localnet.http_sui import grpc_web
from walrus_sdk.localnet.http_sui.graphql import GraphQlService, schema
from walrus_sdk.model.plan import SiteChange
from walrus_sdk.model.site import Resource
from walrus_sdk.model.units import BlobId, ObjectId, SuiAddress
from walrus_sdk.sites import calls, packing

EXECUTE = """
mutation($t: Base64!, $s: [Base64!]!) {
  executeTransaction(transactionDataBcs: $t, signatures: $s) {
    effects {
      digest status lamportVersion effectsJson checkpoint { sequenceNumber }
      executionError { message abortCode module { name } function { name } }
      gasEffects {
        gasObject { address version digest }
        gasSummary { computationCost storageCost storageRebate nonRefundableStorageFee }
      }
      objectChanges(first: 1024) {
        nodes { address idCreated idDeleted outputState { version digest owner { __typename } } }
      }
    }
  }
}"""


@pytest.fixture
def graphql(state: SuiState) -> Any:
    service = GraphQlService(state)

    def ask(query: str, variables: dict[str, Any] | None = None, *, behind: int = 0) -> Any:
        return service.answer(json.dumps({"query": query, "variables": variables}).encode(), behind=behind)

    return ask


def code(answer: Any) -> str:
    return str(answer["errors"][0]["extensions"]["code"])


def site_kind(wallet: Any, count: int) -> tx.ProgrammableTransaction:
    paths = tuple(f"/{i:03}.html" for i in range(count))
    records = {p: Resource(p, (("content-type", "text/html"),), BlobId(bytes(32)), bytes(32)) for p in paths}
    where = packing.Calls(wallet.state.genesis.call_package, wallet.address)
    (part,) = packing.pack(calls.steps(SiteChange(add=paths, routes=(("/r", "/x"),)), records, "tides"), where)
    return packing.build(part, where, None)


def signed(wallet: Any, kind: tx.ProgrammableTransaction) -> dict[str, Any]:
    data = wallet.data(kind)
    signature = wallet.key.sign_transaction(data)
    return {"t": base64.b64encode(data).decode(), "s": [base64.b64encode(signature).decode()]}


def test_the_chain_tells_who_it_is(graphql: Any, state: SuiState) -> None:
    data = graphql("{ chainIdentifier epoch { epochId referenceGasPrice protocolConfigs { protocolVersion } } }")[
        "data"
    ]
    assert data["chainIdentifier"] == str(state.genesis.chain)
    assert data["epoch"] == {"epochId": 0, "referenceGasPrice": "1000", "protocolConfigs": {"protocolVersion": 138}}


def test_a_transaction_is_executed_looked_up_and_paged(graphql: Any, wallet: Any, state: SuiState) -> None:
    variables = signed(wallet, site_kind(wallet, 60))
    effects = graphql(EXECUTE, variables)["data"]["executeTransaction"]["effects"]
    assert effects["status"] == "SUCCESS"
    assert len(effects["objectChanges"]["nodes"]) == 63
    site = wallet.site()
    created = {n["address"]: n for n in effects["objectChanges"]["nodes"] if n["idCreated"]}
    assert created[str(site.id)]["outputState"] == {
        "version": site.version,
        "digest": str(site.digest),
        "owner": {"__typename": "AddressOwner"},
    }
    look = "query($d: String!) { transaction(digest: $d) { effects { status checkpoint { sequenceNumber } } } }"
    assert graphql(look, {"d": effects["digest"]})["data"]["transaction"]["effects"]["status"] == "SUCCESS"
    assert graphql(look, {"d": effects["digest"]}, behind=1)["data"]["transaction"] is None
    fields = """query($a: SuiAddress!, $c: String) { address(address: $a) { dynamicFields(first: 50, after: $c) {
      nodes { name { type { repr } bcs } value { __typename ... on MoveValue { bcs type { repr } } } }
      pageInfo { hasNextPage endCursor } } } }"""
    first = graphql(fields, {"a": str(site.id)})["data"]["address"]["dynamicFields"]
    rest = graphql(fields, {"a": str(site.id), "c": first["pageInfo"]["endCursor"]})["data"]["address"]["dynamicFields"]
    nodes = first["nodes"] + rest["nodes"]
    assert (len(nodes), first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (61, True, False)
    paths = set()
    for node in nodes:
        if node["name"]["type"]["repr"] == f"{state.genesis.type_package}::site::ResourcePath":
            paths.add(objects.decode_resource(base64.b64decode(node["value"]["bcs"])).path)
        else:
            assert base64.b64decode(node["name"]["bcs"]) == b"\x06routes"
    assert paths == {f"/{i:03}.html" for i in range(60)}


def test_a_failed_transaction_tells_its_kind_and_abort(graphql: Any, wallet: Any) -> None:
    wallet.make_site()
    where = packing.Calls(wallet.state.genesis.call_package, wallet.address)
    kind = packing.build(
        (calls.ResetRoutes(create=True), calls.FillRoutes((("/a", "/b"), ("/a", "/c")))), where, wallet.site().ref
    )
    effects = graphql(EXECUTE, signed(wallet, kind))["data"]["executeTransaction"]["effects"]
    assert effects["status"] == "FAILURE"
    assert effects["executionError"]["module"] == {"name": "vec_map"}
    assert effects["executionError"]["abortCode"] == "0"
    error = effects["effectsJson"]["status"]["error"]
    assert (error["kind"], error["command"]) == ("MOVE_ABORT", "2")


def test_a_refusal_is_bad_user_input_with_the_nodes_text(graphql: Any, wallet: Any) -> None:
    variables = signed(wallet, site_kind(wallet, 1))
    answer = graphql(EXECUTE, variables | {"s": [base64.b64encode(bytes(97)).decode()]})
    assert code(answer) == "BAD_USER_INPUT"
    assert answer["errors"][0]["message"].startswith("Invalid argument: Invalid user signature")
    assert code(graphql(EXECUTE, variables | {"t": "AAAA"})) == "BAD_USER_INPUT"


def test_objects_are_found_by_id_owner_and_type(graphql: Any, wallet: Any, state: SuiState) -> None:
    wallet.make_site()
    query = """query($k: [ObjectKey!]!) { multiGetObjects(keys: $k) { address version digest owner { __typename
      ... on AddressOwner { address { address } } ... on Shared { initialSharedVersion } }
      asMoveObject { contents { type { repr } bcs } } previousTransaction { digest } } }"""
    keys = [{"address": str(wallet.site().id)}, {"address": "0x9"}, {"address": str(state.genesis.system_object)}]
    site, nothing, system = graphql(query, {"k": keys})["data"]["multiGetObjects"]
    assert nothing is None
    assert site["owner"]["address"]["address"] == str(wallet.address)
    assert system["owner"] == {"__typename": "Shared", "initialSharedVersion": 1}
    owned = """query($a: SuiAddress!, $t: String!) { address(address: $a) { objects(first: 50, filter: {type: $t}) {
      nodes { address contents { bcs } } } balance(coinType: "0x2::sui::SUI") { totalBalance } } }"""
    types = {f"{state.genesis.type_package}::site::Site": 1, "0x2::coin::Coin<0x2::sui::SUI>": 1, "0x2::coin::Coin": 1}
    for type_, count in types.items():
        found = graphql(owned, {"a": str(wallet.address), "t": type_})["data"]["address"]
        assert len(found["objects"]["nodes"]) == count, type_
    assert int(found["balance"]["totalBalance"]) > 0


def test_a_simulation_tells_gas_and_failure(graphql: Any, wallet: Any) -> None:
    data = wallet.data(site_kind(wallet, 2), payment=[])
    query = """query($t: JSON!) { simulateTransaction(transaction: $t, checksEnabled: true) { effects { status
      gasEffects { gasSummary { computationCost storageCost } } executionError { message } } } }"""
    effects = graphql(query, {"t": {"bcs": {"value": base64.b64encode(data).decode()}}})["data"]["simulateTransaction"]
    assert effects["effects"]["status"] == "SUCCESS"
    assert effects["effects"]["gasEffects"]["gasSummary"]["storageCost"] > 0
    assert code(graphql(query, {"t": {"bcs": 5}})) == "BAD_USER_INPUT"


def said(answer: Any) -> tuple[str, str]:
    return code(answer), str(answer["errors"][0]["message"])


INVALID = "GRAPHQL_VALIDATION_FAILED"
KEYS = "query($k: [ObjectKey!]!) { multiGetObjects(keys: $k) { version } }"


def test_all_bytes_but_a_transactions_count_as_query(graphql: Any) -> None:
    keys = [{"address": "0x" + f"{i:064x}"} for i in range(70)]
    assert said(graphql(KEYS, {"k": keys})) == (INVALID, "Query payload too large: 5911B > 5000B")
    assert len(graphql(KEYS, {"k": keys[:40]})["data"]["multiGetObjects"]) == 40
    simulate = "query($t: JSON!) { simulateTransaction(transaction: $t) { effects { status } } }"
    large = {"bcs": {"value": "A" * 170_000}}
    assert code(graphql(simulate, {"t": large})) == "BAD_USER_INPUT", "within the limits, and no transaction"
    assert said(graphql(simulate, {"t": large, "x": "A" * 5_000}))[1].startswith("Query payload too large")
    large["bcs"]["value"] *= 2
    assert said(graphql(simulate, {"t": large}))[1].startswith("Request too large")
    large["bcs"]["value"] = "A" * 175_000
    assert said(graphql(simulate, {"t": large})) == (INVALID, "Transaction payload exceeded limit of 174763B")
    inline = '{ simulateTransaction(transaction: {bcs: {value: "%s"}}) { effects { status } } }' % ("A" * 6_000)
    assert code(graphql(inline)) == "BAD_USER_INPUT"


def test_nodes_and_levels_count_with_fragments_in_their_places(graphql: Any) -> None:
    def wide(count: int) -> str:
        return "{" + " ".join(f"a{i}:__typename" for i in range(count)) + "}"

    assert "errors" not in graphql(wide(300))
    assert said(graphql(wide(301))) == (INVALID, "Query has over 300 nodes")
    spread = "{ %s } fragment f on Query { %s }"
    inner = " ".join(f"a{i}: chainIdentifier" for i in range(74))
    assert "errors" not in graphql(spread % ("...f " * 4, inner))
    assert code(graphql(spread % ("...f " * 5, inner))) == INVALID
    deep = "{" + "... on Query {" * 19 + "chainIdentifier" + "}" * 20
    assert "errors" not in graphql(deep)
    assert said(graphql("{ ... on Query " + deep + "}")) == (INVALID, "Query nesting is over 20")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('{ address(address: "0x1") { objects(first: 51) { nodes { version } } } }', "Page size is too large: 51 > 50"),
        ("query($k: [ObjectKey!]!) { multiGetObjects(keys: $k) { version } }", "Too many keys supplied to multi-get"),
        (
            '{ address(address: "0x1") { objects(first: 50) { nodes { dynamicFields(first: 50) { nodes { dynamicFields('
            "first: 50) { nodes { dynamicFields(first: 50) { nodes { version } } } } } } } } } }",
            "Query is estimated to produce over 1000000 output nodes",
        ),
    ],
)
def test_what_an_answer_could_be_at_most_is_held_against_its_limits(graphql: Any, query: str, message: str) -> None:
    found = said(graphql(query, {"k": [{"address": "0x1"}] * 201}))
    assert found[0] == INVALID
    assert found[1].startswith(message)


def test_more_than_21_fields_that_need_the_store_to_themselves_are_too_many(graphql: Any, wallet: Any) -> None:
    fields = ("objects {nodes {version}}", "dynamicFields {nodes {version}}", 'balance(coinType: "0x2") {__typename}')

    def ask(count: int) -> Any:
        parts = " ".join(f"a{i}: {fields[i % 3]}" for i in range(count))
        return graphql(f'{{ address(address: "{wallet.address}") {{ {parts} }} }}')

    assert "errors" not in ask(21)
    assert said(ask(22)) == (
        "RESOURCE_EXHAUSTED",
        "Exceeded the maximum number (21) of queries that require dedicated access to a backing store in a single "
        "request.",
    )


def test_a_transaction_may_be_larger_than_a_query(graphql: Any, wallet: Any) -> None:
    variables = signed(wallet, site_kind(wallet, 120))
    assert len(variables["t"]) > 5_000
    assert graphql(EXECUTE, variables)["data"]["executeTransaction"]["effects"]["status"] == "SUCCESS"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"nonsense", "GRAPHQL_PARSE_FAILED"),
        (b"[]", "GRAPHQL_PARSE_FAILED"),
        (b'{"query": "{ nope }"}', "GRAPHQL_VALIDATION_FAILED"),
        (b'{"query": "{ chainIdentifier"}', "GRAPHQL_PARSE_FAILED"),
        (b'{"query": "{ nameRecord(name: \\"a.sui\\") { domain } }"}', "FEATURE_UNAVAILABLE"),
        (b'{"query": "{ object(address: \\"0xzz\\") { version } }"}', "BAD_USER_INPUT"),
    ],
)
def test_what_cannot_be_answered_is_said_by_its_code(state: SuiState, body: bytes, expected: str) -> None:
    assert code(GraphQlService(state).answer(body)) == expected


def test_a_resolver_of_the_wrong_type_would_be_noticed() -> None:
    for name, wrong in (("UInt53", "5"), ("BigInt", 5), ("Base64", b"x"), ("SuiAddress", 1), ("UInt53", True)):
        with pytest.raises(Exception, match="cannot represent"):
            schema().type_map[name].serialize(wrong)  # type: ignore[attr-defined]


# ── gRPC-Web ──────────────────────────────────────────────────────────────────────────────────────────────────────


def request(*ids_: ObjectId) -> bytes:
    items = b""
    for id_ in ids_:
        inner = b"\x0a" + bytes([66]) + str(id_).encode()
        items += b"\x0a" + bytes([len(inner)]) + inner
    return grpc_web.encode_frame(items + b"\x12\x04\x0a\x02id")


def test_a_portals_read_gives_objects_and_says_what_is_missing(wallet: Any, state: SuiState) -> None:
    wallet.make_site()
    site = wallet.site()
    for text in (False, True):
        body = request(site.id, ids.routes_field_id(site.id))
        answer = grpc_web.batch_get_objects(base64.b64encode(body) if text else body, state.objects.view(), text=text)
        (flag, message), (last, trailer) = grpc_web.decode_frames(base64.b64decode(answer) if text else answer)
        assert (flag, last, trailer) == (0, 0x80, b"grpc-status:0\r\n")
        found, missing = [value for number, value in grpc_web._fields(message) if number == 1]
        ((kind, item),) = grpc_web._fields(found)
        values = dict(grpc_web._fields(item))
        assert kind == 1
        assert values[2].decode() == str(site.id)
        assert values[6].decode() == site.type
        assert dict(grpc_web._fields(values[8]))[2] == site.contents
        ((kind, status),) = grpc_web._fields(missing)
        assert kind == 2
        assert dict(grpc_web._fields(status))[2].startswith(b"Object 0x")


@pytest.mark.parametrize("body", [b"", b"\0\0\0\0\x09x", b"\0\0\0\0\x02\x0a\x7f", b"\0\0\0\0\x02\x0a\x00"])
def test_a_damaged_read_is_an_invalid_argument(state: SuiState, body: bytes) -> None:
    answer = grpc_web.batch_get_objects(body, state.objects.view(), text=False)
    ((flag, trailer),) = grpc_web.decode_frames(answer)
    assert flag == 0x80
    assert trailer.startswith(b"grpc-status:3")


def test_an_address_that_owns_nothing_is_empty(graphql: Any) -> None:
    query = "query($a: SuiAddress!) { address(address: $a) { objects { nodes { version } pageInfo { hasNextPage } } } }"
    found = graphql(query, {"a": str(SuiAddress(b"\x21" * 32))})["data"]["address"]["objects"]
    assert found == {"nodes": [], "pageInfo": {"hasNextPage": False}}
