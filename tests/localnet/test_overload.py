"""Eight stores at once, eight that wait, and a plain 429 for the rest."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

import pytest

from walrus_sdk.localnet.server import LocalNetwork

SHED = b"the publisher is receiving too many requests; please try again later"


def readable(wires: list[Any]) -> list[Any]:
    found, _, _ = select.select([wire.socket for wire in wires], [], [], 20)
    return [wire for wire in wires if wire.socket in found]


def hits(net: LocalNetwork) -> int:
    return int(net.faults.to_json()["rules"][0]["fired"])


def test_the_seventeenth_store_at_once_is_shed_as_text(
    client: Any, net: LocalNetwork, connect: Callable[[], Any], until: Any
) -> None:
    client.fault("publisher.after_pay", "stall")
    wires = [connect().send("PUT", "/v1/blobs", b"x") for _ in range(17)]
    (shed,) = readable(wires)
    found = b""
    while not found.endswith(SHED):
        found += shed.socket.recv(65536) or pytest.fail(f"closed after {found!r}")
    head, _, body = found.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 ")
    assert body == SHED
    assert b"retry-after" not in head.lower()
    assert b"content-type: text/plain" in head.lower()
    until(lambda: hits(net) == 8)
    assert len(net.ledger()) == 8


def test_a_place_that_becomes_free_goes_to_one_who_waits(
    client: Any, net: LocalNetwork, connect: Callable[[], Any], until: Any
) -> None:
    client.fault("publisher.after_pay", "stall", times=8)
    wires = [connect().send("PUT", "/v1/blobs", b"x") for _ in range(8)]
    until(lambda: hits(net) == 8)
    waits = connect().send("PUT", "/v1/blobs", b"waits")
    wires[0].hang_up()
    assert waits.socket.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_blobs_and_quilts_have_places_of_their_own(
    client: Any, net: LocalNetwork, connect: Callable[[], Any], until: Any
) -> None:
    net.faults.reshape(slots=1, queue=0)
    client.fault("publisher.after_pay", "stall", times=1)
    connect().send("PUT", "/v1/blobs", b"x")
    until(lambda: hits(net) == 1)
    assert client.put().content == SHED
    assert client.quilt([("a", b"1")]).status_code == 200
    assert client.get("/status").status_code == 200


def test_a_shed_store_is_refused_before_its_query_is_read(
    client: Any, net: LocalNetwork, connect: Callable[[], Any], until: Any
) -> None:
    net.faults.reshape(slots=1, queue=0)
    client.fault("publisher.request", "stall", times=1)
    connect().send("PUT", "/v1/blobs", b"x")
    until(lambda: hits(net) == 1)
    assert client.put(query="cb=1").status_code == 429


def test_a_store_whose_client_left_while_it_waited_pays_nothing(
    client: Any, net: LocalNetwork, connect: Callable[[], Any], until: Any
) -> None:
    net.faults.reshape(slots=1, queue=1)
    client.fault("publisher.before_pay", "stall", times=1)
    first = connect().send("PUT", "/v1/blobs", b"first")
    until(lambda: hits(net) == 1)
    second = connect().send("PUT", "/v1/blobs", b"second", short=1)
    second.hang_up()
    first.hang_up()
    assert client.put(b"third").status_code in (200, 429)
    until(lambda: client.put(b"third").status_code == 200)
    paid = {row["bytes_received"] for row in net.ledger()}
    assert paid == {5}
    assert len({row["blob_id"] for row in net.ledger()}) == 1


@pytest.mark.parametrize("route", ["/v1/blobs/" + "A" * 43, "/v1/quilts/" + "A" * 43 + "/patches"])
def test_the_aggregator_takes_many_more(client: Any, net: LocalNetwork, connect: Any, until: Any, route: str) -> None:
    client.fault("aggregator.request", "stall")
    for _ in range(40):
        connect().send("GET", route)
    until(lambda: hits(net) == 40)
    assert client.get("/status").status_code == 200
