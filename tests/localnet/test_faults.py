"""Faults: what each action does at each point, how rules are counted, and the shape that holds all the time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from walrus_sdk.codecs import redstuff
from walrus_sdk.errors import ConfigurationError
from walrus_sdk.localnet.exchange import ClientDisconnect, Exchange
from walrus_sdk.localnet.faults import ACTIONS, POINTS, Fault, Faults
from walrus_sdk.localnet.http_sui.failures import NODE_ERRORS
from walrus_sdk.localnet.http_walrus.publisher import Publisher
from walrus_sdk.localnet.replies import Answered
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.localnet.world import World, open_world

DATA = b"the tide is out"
BLOB = redstuff.blob_id(DATA, 10)
STORE = [point for point in POINTS if point.startswith("publisher.")]
# What is left behind when a store ends at a point: rows of the ledger, and what the nodes know.
LEFT = {
    "publisher.request": (0, "unknown"),
    "publisher.body": (0, "unknown"),
    "publisher.before_pay": (0, "unknown"),
    "publisher.after_pay": (1, "registered"),
    "publisher.after_certify": (1, "certified"),
}
SHED = "the {} is receiving too many requests; please try again later"


def left(net: LocalNetwork) -> tuple[int, str]:
    return len(net.ledger()), net.world.blobs.status(BLOB)


# ── stores ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("point", STORE)
def test_an_error_ends_a_store_where_it_is(client: Any, net: LocalNetwork, refusal: Any, point: str) -> None:
    client.fault(point, "error", times=1)
    assert refusal(client.put(DATA)) == (500, "INTERNAL", "global", "INTERNAL_ERROR")
    assert left(net) == LEFT[point]


@pytest.mark.parametrize("point", STORE)
def test_an_overload_ends_a_store_where_it_is(client: Any, net: LocalNetwork, point: str) -> None:
    client.fault(point, "too_many_requests", times=1)
    answer = client.put(DATA)
    assert (answer.status_code, answer.text) == (429, SHED.format("publisher"))
    assert left(net) == LEFT[point]


@pytest.mark.parametrize("point", STORE)
def test_an_error_in_200_ends_a_store_where_it_is(client: Any, net: LocalNetwork, point: str) -> None:
    client.fault(point, "error_in_200", times=1)
    found = client.store(DATA)
    assert list(found) == ["error"]
    assert found["error"].keys() == {"blobId", "failurePhase", "errorMsg"}
    assert found["error"]["blobId"] == str(BLOB)
    assert left(net) == LEFT[point]


@pytest.mark.parametrize("point", STORE)
def test_a_wrong_blob_id_is_told_for_a_store_that_is_complete(client: Any, net: LocalNetwork, point: str) -> None:
    client.fault(point, "wrong_blob_id", times=1)
    assert client.blob(DATA) != str(BLOB)
    assert left(net) == (1, "certified")
    assert client.blob(DATA) == str(BLOB)


def test_a_wrong_blob_id_is_told_of_a_copy_too(client: Any) -> None:
    client.store(DATA, "permanent=true")
    client.fault("publisher.body", "wrong_blob_id", times=1)
    assert client.store(DATA, "permanent=true")["alreadyCertified"]["blobId"] != str(BLOB)


@pytest.mark.parametrize("point", STORE)
def test_a_truncated_answer_belongs_to_a_store_that_is_complete(
    client: Any, net: LocalNetwork, connect: Any, point: str
) -> None:
    client.fault(point, "truncate", times=1)
    head, _, body = connect().send("PUT", "/v1/blobs", DATA).answer().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    (length,) = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    assert len(body) == length // 2
    assert left(net) == (1, "certified")


@pytest.mark.parametrize("point", STORE)
def test_a_stall_neither_answers_nor_closes(
    client: Any, net: LocalNetwork, connect: Any, until: Any, point: str
) -> None:
    client.fault(point, "stall", times=1)
    wire = connect().send("PUT", "/v1/blobs", DATA)
    until(lambda: net.faults.to_json()["rules"][0]["fired"] == 1)
    wire.socket.settimeout(0.05)
    with pytest.raises(TimeoutError):
        wire.socket.recv(1)
    assert left(net) == LEFT[point]


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (504, "json", (504, "DEADLINE_EXCEEDED", "daemon.walrus.space", "INSUFFICIENT_CONFIRMATIONS")),
        (451, "json", (451, "UNAVAILABLE_FOR_LEGAL_REASONS", "daemon.walrus.space", "FORBIDDEN_BLOB")),
        (500, "json", (500, "INTERNAL", "global", "INTERNAL_ERROR")),
    ],
)
def test_the_publishers_own_errors_have_their_own_reasons(
    client: Any, refusal: Any, status: int, kind: str, expected: Any
) -> None:
    client.fault("publisher.after_pay", "error", status=status, kind=kind)
    assert refusal(client.put()) == expected


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, "BLOB_TOO_LARGE"), (404, "BLOB_NOT_FOUND"), (451, "FORBIDDEN_BLOB"), (503, "BLOB_UNAVAILABLE")],
)
def test_the_aggregators_own_errors_have_their_own_reasons(client: Any, refusal: Any, status: int, reason: str) -> None:
    client.fault("aggregator.request", "error", status=status)
    found = refusal(client.get(f"/v1/blobs/{BLOB}"))
    assert (found[0], found[2], found[3]) == (status, "daemon.walrus.space", reason)


@pytest.mark.parametrize(("kind", "media"), [("html", "text/html"), ("text", "text/plain")])
def test_a_proxy_in_front_answers_in_its_own_way(client: Any, kind: str, media: str) -> None:
    client.fault("publisher.body", "error", status=502, kind=kind)
    answer = client.put()
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (502, media)


@pytest.mark.parametrize("on_disconnect", ["drop", "finish"])
@pytest.mark.parametrize("point", STORE[1:])
def test_behind_a_proxy_that_gives_up_a_store_goes_on(
    client: Any, net: LocalNetwork, until: Any, point: str, on_disconnect: str
) -> None:
    net.faults.reshape(on_disconnect=on_disconnect)
    client.fault(point, "gateway_timeout", times=1)
    answer = client.put(DATA, headers={"connection": "close"})
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (504, "text/html")
    until(lambda: left(net) == (1, "certified"))


def test_a_store_behind_a_proxy_keeps_its_place(client: Any, net: LocalNetwork, connect: Any, until: Any) -> None:
    net.faults.reshape(slots=1, queue=0)
    client.fault("publisher.before_pay", "gateway_timeout", times=1, latency_s=0.2, status=502)
    assert client.put(DATA).status_code == 502
    assert (client.put(DATA).status_code, left(net)) == (429, LEFT["publisher.before_pay"])
    until(lambda: left(net) == (1, "certified"))
    until(lambda: client.put(DATA).status_code == 200)


def test_a_store_behind_a_proxy_may_fail_unheard(client: Any, net: LocalNetwork, until: Any) -> None:
    client.fault("publisher.body", "gateway_timeout", times=1)
    client.fault("publisher.after_pay", "error", times=1)
    assert client.put(DATA).status_code == 504
    until(lambda: left(net) == LEFT["publisher.after_pay"])
    assert client.put(DATA).status_code == 200


@pytest.mark.parametrize(("point", "path"), [
    ("publisher.body", "/v1/blobs"), ("aggregator.request", f"/v1/blobs/{BLOB}"), ("sui.request", "/graphql"),
])  # fmt: skip
@pytest.mark.parametrize("action", ["error", "too_many_requests"])
def test_an_answer_can_ask_to_be_left_alone(client: Any, point: str, path: str, action: str) -> None:
    method = {"publisher.body": "PUT", "sui.request": "POST"}.get(point, "GET")
    asked = []
    for date in (False, True):
        client.fault(point, action, times=1, status=503, retry_after_s=120, retry_after_date=date)
        answer = client.http.request(method, path, content=b"{}")
        assert answer.status_code == {"error": 503, "too_many_requests": 429}[action]
        asked.append(answer.headers["retry-after"])
    left_s = parsedate_to_datetime(asked[1]).timestamp() - time.time()
    assert (asked[0], 100 < left_s <= 121) == ("120", True)


# ── reads, Sui ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_read_can_be_shed_cut_dropped_and_fail(client: Any) -> None:
    blob = client.blob(DATA)
    client.fault("aggregator.request", "too_many_requests", times=1)
    client.fault("aggregator.request", "truncate", times=1)
    client.fault("aggregator.request", "drop", times=1)
    shed = client.get(f"/v1/blobs/{blob}")
    assert (shed.status_code, shed.text) == (429, SHED.format("aggregator"))
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(f"/v1/blobs/{blob}")
    assert client.get(f"/v1/blobs/{blob}").content == DATA


def test_half_of_a_read_arrives_before_it_is_cut(client: Any, connect: Any) -> None:
    blob = client.blob(b"x" * 1000)
    client.fault("aggregator.request", "truncate", times=1)
    _, _, body = connect().send("GET", f"/v1/blobs/{blob}").answer().partition(b"\r\n\r\n")
    assert body == b"x" * 500


QUERY = {"query": "{ chainIdentifier }"}


@pytest.mark.parametrize("point", ["sui.request", "sui.read"])
@pytest.mark.parametrize("action", ["error", "too_many_requests", "truncate", "drop"])
def test_a_question_to_sui_can_fail_in_every_way(client: Any, point: str, action: str) -> None:
    client.fault(point, action, times=1, status=503, kind="text")
    if action in ("truncate", "drop"):
        with pytest.raises(httpx.RemoteProtocolError):
            client.http.post("/graphql", json=QUERY)
    else:
        status = {"error": 503, "too_many_requests": 429}[action]
        assert client.http.post("/graphql", json=QUERY).status_code == status
    assert client.http.post("/graphql", json=QUERY).status_code == 200


@pytest.mark.parametrize("name", NODE_ERRORS)
def test_a_node_that_fails_says_so_inside_a_200(client: Any, name: str) -> None:
    client.fault("sui.read", "node_error", times=1, error=name)
    answer = client.http.post("/graphql", json=QUERY)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, answer.json()["data"]) == (200, None)
    assert error["extensions"]["code"] == NODE_ERRORS[name][0] in ("INTERNAL_SERVER_ERROR", "REQUEST_TIMEOUT")
    assert "errors" not in client.http.post("/graphql", json=QUERY).json()


def test_a_lagging_node_answers_from_an_older_state(client: Any, net: LocalNetwork) -> None:
    made = client.store(DATA)["newlyCreated"]["blobObject"]["id"]
    query = {"query": f'{{ object(address: "{made}") {{ version }} }}'}
    versions = [client.http.post("/graphql", json=query).json()["data"]["object"]["version"]]
    client.fault("sui.read", "lag", behind=1, times=1)
    client.fault("sui.read", "lag", behind=2, times=1)
    versions.append(client.http.post("/graphql", json=query).json()["data"]["object"]["version"])
    assert versions == [2, 1]  # certified; registered
    assert client.http.post("/graphql", json=query).json()["data"]["object"] is None
    assert client.http.post("/graphql", json=query).json()["data"]["object"]["version"] == 2


def test_a_node_that_lags_by_time_shows_what_was_there_then(client: Any, net: LocalNetwork) -> None:
    chain, moment = net.world.chain, [10**15]
    chain.now_ms = lambda: moment[0]
    versions: list[int] = []
    made = client.store(DATA)["newlyCreated"]["blobObject"]["id"]
    query = {"query": f'{{ object(address: "{made}") {{ version }} }}'}
    client.fault("sui.read", "lag", late_s=1.3)
    for _ in range(3):
        node = client.http.post("/graphql", json=query).json()["data"]["object"]
        versions.append(node["version"] if node is not None else 0)
        moment[0] += 650
    assert versions == [0, 0, 2]


def test_a_node_never_lags_behind_what_the_chain_began_with(client: Any, net: LocalNetwork) -> None:
    made = client.store(DATA)["newlyCreated"]["blobObject"]["id"]
    client.fault("sui.read", "lag", late_s=3600.0)
    known = {}
    for id_ in (str(net.world.genesis.system_object), made):
        query = {"query": f'{{ object(address: "{id_}") {{ version }} }}'}
        known[id_] = client.http.post("/graphql", json=query).json()["data"]["object"] is not None
    assert list(known.values()) == [True, False]


# ── rules ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def acts(point: str, action: str) -> bool:
    try:
        Fault(point, action)
    except ConfigurationError:
        return False
    return True


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_is_refused_where_nothing_carries_it_out(action: str) -> None:
    only = {
        "gateway_timeout": ("publisher.body", "publisher.before_pay", "publisher.after_", "sui.execute."),
        "wrong_blob_id": "publisher.",
        "error_in_200": "publisher.",
        "lag": "sui.",
        "node_error": "sui.",
        "congestion": "sui.execute.before",
    }.get(action, "")
    assert {point for point in POINTS if acts(point, action)} == {p for p in POINTS if p.startswith(only)}
    assert acts("*", action)


def test_a_wide_rule_counts_only_where_its_action_means_something() -> None:
    faults = Faults()
    faults.add(Fault("*", "wrong_blob_id", times=1))
    assert faults.hit("aggregator.request") is None
    assert faults.hit("publisher.body") is not None
    assert faults.to_json()["rules"][0]["hits"] == 1


def test_a_rule_lets_hits_through_and_then_fires_so_often() -> None:
    faults = Faults()
    faults.add(Fault("publisher.body", "error", skip=2, times=2))
    assert [faults.hit("publisher.body") is not None for _ in range(6)] == [False, False, True, True, False, False]
    assert faults.to_json()["rules"][0] | {"hits": 6, "fired": 2} == faults.to_json()["rules"][0]


def test_the_first_rule_that_fires_counts() -> None:
    faults = Faults()
    faults.add(Fault("publisher.*", "error", times=1))
    faults.add(Fault("publisher.body", "drop"))
    found = [faults.hit("publisher.body") for _ in range(2)]
    assert [fault.action for fault in found if fault is not None] == ["error", "drop"]


def test_chance_is_repeatable_by_seed() -> None:
    def run(seed: int) -> list[bool]:
        faults = Faults(seed=seed)
        faults.add(Fault("sui.read", "error", probability=0.5))
        return [faults.hit("sui.read") is not None for _ in range(64)]

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert 10 < sum(run(1)) < 54


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_never_and_always_are_exact(probability: float) -> None:
    faults = Faults()
    faults.add(Fault("sui.read", "error", probability=probability))
    assert {faults.hit("sui.read") is not None for _ in range(200)} == {probability == 1.0}


# ── time, with a clock that only moves when told ──────────────────────────────────────────────────────────────────


class Slept(list[float]):
    async def __call__(self, seconds: float) -> None:
        await anyio.lowlevel.checkpoint()
        self.append(seconds)


class Request:
    """One PUT without a server: the body in chunks, then a client that stays or goes."""

    def __init__(self, world: World, sleep: Slept, *chunks: bytes) -> None:
        self.gone = anyio.Event()
        self._messages = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
        self._messages.append({"type": "http.request", "body": b"", "more_body": False})
        scope = {"type": "http", "method": "PUT", "path": "/v1/blobs", "query_string": b"", "headers": []}
        self.exchange = Exchange(scope, self._receive, self._send, world.faults, sleep)

    async def _receive(self) -> Any:
        if self._messages:
            return self._messages.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, _message: Any) -> None:
        raise AssertionError("the publisher returns its answer")


@asynccontextmanager
async def publisher(sleep: Slept) -> AsyncIterator[tuple[World, Publisher]]:
    world = open_world(None, now_ms=lambda: 1, n_shards=10)
    async with anyio.create_task_group() as background:
        yield world, Publisher(world, sleep, background, now=lambda: 100.0)


@pytest.mark.anyio
async def test_a_store_takes_its_latency_between_payment_and_certificate() -> None:
    sleep = Slept()
    async with publisher(sleep) as (world, service):
        world.faults.reshape(latency_s=2.5)
        answer = await service.blobs(Request(world, sleep, DATA).exchange)
        assert answer.status_code == 200
    assert sleep == [2.5]


@pytest.mark.anyio
@pytest.mark.parametrize("point", STORE)
async def test_a_latency_is_waited_for_at_its_point(point: str) -> None:
    sleep = Slept()
    async with publisher(sleep) as (world, service):
        world.faults.add(Fault(point, "latency", latency_s=7.0))
        assert (await service.blobs(Request(world, sleep, DATA).exchange)).status_code == 200
    assert sleep.count(7.0) == 1


@pytest.mark.anyio
async def test_bodies_are_taken_in_as_fast_as_the_uplink() -> None:
    sleep = Slept()
    async with publisher(sleep) as (world, service):
        world.faults.reshape(bytes_per_s=1000)
        await service.blobs(Request(world, sleep, b"x" * 1_000_000, b"y" * 500_000).exchange)
    assert sleep == [1000.0, 1500.0, 0.0]


@pytest.mark.anyio
async def test_a_store_ends_at_the_next_moment_after_its_client_went() -> None:
    sleep = Slept()
    async with publisher(sleep) as (world, service):
        request = Request(world, sleep, DATA)
        world.faults.add(Fault("publisher.before_pay", "stall"))
        request.gone.set()
        with pytest.raises(ClientDisconnect):
            await service.blobs(request.exchange)
        assert world.blobs.ledger() == []


@pytest.mark.anyio
async def test_a_store_that_finishes_alone_runs_in_the_background() -> None:
    sleep = Slept()
    async with publisher(sleep) as (world, service):
        world.faults.reshape(on_disconnect="finish")
        request = Request(world, sleep, DATA)
        world.faults.add(Fault("publisher.after_pay", "stall"))
        request.gone.set()
        assert (await service.blobs(request.exchange)).status_code == 200
        assert world.blobs.status(BLOB) == "certified"


@pytest.mark.anyio
async def test_an_error_of_a_background_store_reaches_its_client() -> None:
    sleep = Slept()
    async with publisher(sleep) as (world, service):
        world.faults.reshape(on_disconnect="finish")
        world.faults.add(Fault("publisher.after_pay", "error", status=504))
        with pytest.raises(Answered) as caught:
            await service.blobs(Request(world, sleep, DATA).exchange)
        assert caught.value.response.status_code == 504
