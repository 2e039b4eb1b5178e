"""The client: what is sent, which node is asked next, and what an answer that is none means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest

from walrus_sdk.errors import BlockchainError, ConfigurationError, ErrorClass, NetworkError, ProtocolError, WalrusError
from walrus_sdk.http.client import HttpClient
from walrus_sdk.model.plan import SiteChange
from walrus_sdk.sui import documents
from walrus_sdk.sui.graphql import GraphQl

pytestmark = pytest.mark.anyio

FIRST, SECOND, THIRD = (f"https://{name}.example/graphql" for name in ("one", "two", "three"))


def fails(error: type[Exception], *arguments: Any) -> Callable[[httpx.Request], httpx.Response | None]:
    def fault(_request: httpx.Request) -> httpx.Response | None:
        raise error(*arguments)

    return fault


def says(status: int, **content: Any) -> Callable[[httpx.Request], httpx.Response | None]:
    return lambda _request: httpx.Response(status, **content)


def refuses(kind: str, text: str) -> Callable[[httpx.Request], httpx.Response | None]:
    return says(200, json={"data": None, "errors": [{"message": text, "extensions": {"code": kind}}]})


def asked(node: Any) -> list[str]:
    return [str(request.url) for request in node.requests]


async def test_a_request_is_json_with_its_document_and_variables(chain: Any, node: Any, wallet: Any) -> None:
    await chain.coins(wallet.address)
    (request,) = node.requests
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/json"
    assert node.bodies[0] == {
        "query": documents.OWNED,
        "variables": {
            "owner": str(wallet.address),
            "type": "0x2::coin::Coin<0x2::sui::SUI>",
            "after": None,
        },
    }


MOVES_ON = {
    "no connection": fails(httpx.ConnectError, "refused"),
    "connecting too slow": fails(httpx.ConnectTimeout, "slow"),
    "no answer in time": fails(httpx.ReadTimeout, "slow"),
    "hung up": fails(httpx.ReadError, "reset"),
    "429": says(429),
    "502": says(502, text="bad gateway"),
    "503": says(503),
    "switched off": says(404),
    "behind a door": says(403, html="<html>no</html>"),
    "moved": says(301, headers={"location": "https://elsewhere.example/"}),
    "a login page": says(200, html="<html>log in</html>"),
    "no data": says(200, json={}),
    "data of another form": says(200, json={"data": [1]}),
    "a list": says(200, json=[]),
    "its own failure": refuses("INTERNAL_SERVER_ERROR", "database"),
    "its own limit": refuses("REQUEST_TIMEOUT", "Request timed out"),
}


@pytest.mark.parametrize("fault", MOVES_ON.values(), ids=MOVES_ON)
async def test_a_read_asks_the_next_node(connect: Any, node: Any, genesis: Any, fault: Any) -> None:
    node.faults[FIRST] = fault
    state = await connect(graphql_urls=(FIRST, SECOND)).state()
    assert state.chain_id == genesis.chain_id
    assert asked(node)[:2] == [FIRST, SECOND]


async def test_a_refused_read_is_not_asked_elsewhere(connect: Any, node: Any) -> None:
    node.faults[FIRST] = refuses("GRAPHQL_VALIDATION_FAILED", "no such field")
    with pytest.raises(BlockchainError) as caught:
        await connect(graphql_urls=(FIRST, SECOND)).state()
    assert caught.value.code == "chain_refused"
    assert asked(node) == [FIRST]


async def test_a_working_first_node_is_the_only_one_asked(connect: Any, node: Any) -> None:
    await connect(graphql_urls=(FIRST, SECOND)).state()
    assert set(asked(node)) == {FIRST}


async def test_when_all_fail_the_most_telling_error_is_raised(connect: Any, node: Any) -> None:
    node.faults = {
        FIRST: fails(httpx.ConnectError, "refused"),
        SECOND: refuses("INTERNAL_SERVER_ERROR", "disk full"),
        THIRD: fails(httpx.ReadTimeout, "slow"),
    }
    with pytest.raises(BlockchainError, match="disk full") as caught:
        await connect(graphql_urls=(FIRST, SECOND, THIRD)).state()
    assert caught.value.fields["tried"] == 3


async def test_no_url_is_said(connect: Any) -> None:
    with pytest.raises(ConfigurationError, match="no address") as caught:
        await connect(graphql_urls=()).state()
    assert caught.value.code == "setting_invalid"


# ── executing ─────────────────────────────────────────────────────────────────────────────────────────────────────


NOT_BEGUN = {name: MOVES_ON[name] for name in ("no connection", "connecting too slow")}


@pytest.mark.parametrize("fault", NOT_BEGUN.values(), ids=NOT_BEGUN)
async def test_a_transaction_goes_to_the_next_node_when_the_first_was_not_reached(
    connect: Any, node: Any, wallet: Any, fault: Any
) -> None:
    node.faults[FIRST] = fault
    outcome = await connect(graphql_urls=(FIRST, SECOND)).execute(*wallet.signed(wallet.kind(SiteChange(), new="t")))
    assert outcome.ok
    assert asked(node) == [FIRST, SECOND]


AT_THE_DOOR = {
    "429": "chain_unavailable",
    "switched off": "chain_refused",
    "behind a door": "chain_refused",
    "moved": "redirect_refused",
}
UNSURE = {name: fault for name, fault in MOVES_ON.items() if name not in NOT_BEGUN and name not in AT_THE_DOOR} | {
    "too large": says(200, headers={"content-length": str(40 * 2**20)}),
    "a trickle": fails(NetworkError, "deadline_exceeded", "not done within 100 s"),
}


@pytest.mark.parametrize("fault", UNSURE.values(), ids=UNSURE)
async def test_a_transaction_whose_answer_was_lost_is_looked_up_first_and_sent_nowhere_else(
    connect: Any, node: Any, wallet: Any, fault: Any
) -> None:
    chain = connect(graphql_urls=(FIRST, SECOND))
    data, signatures = wallet.signed(wallet.kind(SiteChange(), new="tides"))
    node.faults[FIRST] = fault
    with pytest.raises(WalrusError) as caught:
        await chain.execute(data, signatures)
    assert caught.value.error_class is ErrorClass.LOOK_FIRST
    assert asked(node) == [FIRST]


@pytest.mark.parametrize(("name", "code"), AT_THE_DOOR.items())
async def test_what_is_turned_away_at_the_door_did_not_happen(
    connect: Any, node: Any, wallet: Any, name: str, code: str
) -> None:
    node.faults[FIRST] = MOVES_ON[name]
    with pytest.raises(WalrusError) as caught:
        await connect(graphql_urls=(FIRST, SECOND)).execute(*wallet.signed(wallet.kind(SiteChange(), new="tides")))
    assert caught.value.code == code
    assert caught.value.error_class is not ErrorClass.LOOK_FIRST
    assert asked(node) == [FIRST]


async def test_a_transaction_executed_before_the_connection_broke_is_found_by_its_digest(
    connect: Any, node: Any, wallet: Any
) -> None:
    chain = connect(graphql_urls=(FIRST,))
    data, signatures = wallet.signed(wallet.kind(SiteChange(), new="tides"))

    def lose(_request: httpx.Request) -> httpx.Response | None:
        node.state.execute(data, signatures)
        raise httpx.ReadError("reset")

    node.faults[FIRST] = lose
    with pytest.raises(NetworkError) as caught:
        await chain.execute(data, signatures)
    assert caught.value.code == "connection_lost"
    node.faults.clear()
    again = await chain.execute(data, signatures)
    assert again.ok
    assert await chain.transaction(again.digest) == again


@pytest.mark.parametrize(
    ("operation", "least_s"),
    [("execute", 74), ("simulate", 40), ("state", 40)],
)
async def test_a_node_may_take_as_long_as_it_is_allowed_to(
    chain: Any, node: Any, wallet: Any, operation: str, least_s: float
) -> None:
    data, signatures = wallet.signed(wallet.kind(SiteChange(), new="tides"))
    arguments = {"execute": (data, signatures), "simulate": (data,), "state": ()}[operation]
    await getattr(chain, operation)(*arguments)
    assert node.requests[0].extensions["timeout"]["read"] > least_s


async def test_a_body_that_is_not_utf_8_is_no_answer(connect: Any, node: Any) -> None:
    node.faults[FIRST] = says(200, content=b'{"data": {"chainIdentifier": "\xff"}}')
    with pytest.raises(ProtocolError) as caught:
        await connect(graphql_urls=(FIRST,)).state()
    assert caught.value.code == "bad_answer"


async def test_a_cancelled_call_is_cancelled_and_no_other_node_asked() -> None:
    urls = []

    async def never(request: httpx.Request) -> httpx.Response:
        urls.append(str(request.url))
        started.set()
        await anyio.sleep_forever()
        raise AssertionError

    client = GraphQl(HttpClient(transport=httpx.MockTransport(never)), (FIRST, SECOND))
    started = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(client.read, documents.STATE)
        await started.wait()
        group.cancel_scope.cancel()
    assert urls == [FIRST]
