"""A client that hangs up: before its last byte nothing happens; later it depends on where the store is."""

from __future__ import annotations

from typing import Any

import pytest

from walrus_sdk.codecs import redstuff
from walrus_sdk.localnet.server import LocalNetwork

DATA = b"the tide is out"
BLOB = redstuff.blob_id(DATA, 10)


def fired(net: LocalNetwork) -> int:
    return int(net.faults.to_json()["rules"][0]["fired"])


def idle(client: Any, net: LocalNetwork) -> bool:
    """Whether the one place of the publisher is free again: nothing is under way then."""
    net.faults.reshape(sink=True, slots=1, queue=0)
    return bool(client.put(b"").status_code == 200)


def settled(client: Any, net: LocalNetwork, until: Any) -> list[dict[str, Any]]:
    until(lambda: idle(client, net))
    return [row for row in net.ledger() if row["bytes_received"]]


@pytest.fixture(params=["drop", "finish"])
def on_disconnect(request: pytest.FixtureRequest, net: LocalNetwork) -> str:
    net.faults.reshape(on_disconnect=request.param, slots=1, queue=8)
    return str(request.param)


@pytest.mark.usefixtures("on_disconnect")
def test_a_hang_up_before_the_last_byte_leaves_nothing(
    client: Any, net: LocalNetwork, connect: Any, until: Any
) -> None:
    client.fault("publisher.request", "latency")  # only counts
    wire = connect().send("PUT", "/v1/blobs", DATA, short=1)
    until(lambda: fired(net) == 1)
    wire.hang_up()
    assert settled(client, net, until) == []
    assert net.world.blobs.status(BLOB) == "unknown"


WHERE = ["publisher.body", "publisher.before_pay", "publisher.after_pay", "publisher.after_certify"]


def expected(point: str, on_disconnect: str) -> tuple[int, str]:
    if on_disconnect == "finish":
        return 1, "certified"
    return {
        "publisher.body": (0, "unknown"),
        "publisher.before_pay": (0, "unknown"),
        "publisher.after_pay": (1, "registered"),
        "publisher.after_certify": (1, "certified"),
    }[point]


@pytest.mark.parametrize("point", WHERE)
def test_a_clients_hang_up_ends_a_store_where_it_is_or_lets_it_finish(
    client: Any, net: LocalNetwork, connect: Any, until: Any, point: str, on_disconnect: str
) -> None:
    client.fault(point, "stall", times=1)
    wire = connect().send("PUT", "/v1/blobs", DATA)
    until(lambda: fired(net) == 1)
    wire.hang_up()
    rows = settled(client, net, until)
    assert (len(rows), net.world.blobs.status(BLOB)) == expected(point, on_disconnect)
    assert all(row["paid"] for row in rows)


@pytest.mark.parametrize("point", WHERE)
def test_a_connection_that_the_server_drops_is_a_hang_up_too(
    client: Any, net: LocalNetwork, connect: Any, until: Any, point: str, on_disconnect: str
) -> None:
    client.fault(point, "drop", times=1)
    assert connect().send("PUT", "/v1/blobs", DATA).answer() == b""
    rows = settled(client, net, until)
    assert (len(rows), net.world.blobs.status(BLOB)) == expected(point, on_disconnect)


@pytest.mark.usefixtures("on_disconnect")
def test_a_connection_dropped_before_the_body_is_read_costs_nothing(
    client: Any, net: LocalNetwork, connect: Any, until: Any
) -> None:
    client.fault("publisher.request", "drop", times=1)
    assert connect().send("PUT", "/v1/blobs", DATA).answer() == b""
    assert settled(client, net, until) == []


def test_what_was_paid_and_never_certified_is_unavailable_and_paid_again(
    client: Any, net: LocalNetwork, connect: Any, refusal: Any
) -> None:
    client.fault("publisher.after_pay", "drop", times=1)
    connect().send("PUT", "/v1/blobs?permanent=true&epochs=3", DATA).answer()
    assert refusal(client.get(f"/v1/blobs/{BLOB}")) == (503, "UNAVAILABLE", "daemon.walrus.space", "BLOB_UNAVAILABLE")
    assert list(client.store(DATA, "permanent=true&epochs=3")) == ["newlyCreated"]
    assert [row["paid"] for row in net.ledger()] == [True, True]
    assert client.get(f"/v1/blobs/{BLOB}").content == DATA


def test_a_dropped_quilt_is_paid_and_not_certified(client: Any, net: LocalNetwork, connect: Any, until: Any) -> None:
    client.fault("publisher.after_pay", "drop", times=1)
    body = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--\r\n'
    wire = connect().send("PUT", "/v1/quilts", body, Content_Type="multipart/form-data; boundary=b")
    assert wire.answer() == b""
    (row,) = net.ledger()
    assert (row["kind"], row["paid"]) == ("quilt", True)
    assert client.get(f"/v1/blobs/{row['blob_id']}").status_code == 503


def test_two_overlapping_stores_of_one_blob_both_pay(client: Any, net: LocalNetwork, connect: Any, until: Any) -> None:
    client.fault("publisher.before_pay", "stall", times=1)
    net.faults.reshape(on_disconnect="finish")
    first = connect().send("PUT", "/v1/blobs?permanent=true", DATA)
    until(lambda: fired(net) == 1)
    client.store(DATA, "permanent=true")
    first.hang_up()
    until(lambda: len(net.ledger()) == 2)
    assert [row["paid"] for row in net.ledger()] == [True, True]


def test_a_half_closed_finish_is_seen_by_the_next_store(
    client: Any, net: LocalNetwork, connect: Any, until: Any
) -> None:
    net.faults.reshape(on_disconnect="finish")
    client.fault("publisher.after_pay", "stall", times=1)
    wire = connect().send("PUT", "/v1/blobs?permanent=true&epochs=2", DATA)
    until(lambda: fired(net) == 1)
    wire.hang_up()
    until(lambda: net.world.blobs.status(BLOB) == "certified")
    assert list(client.store(DATA, "permanent=true&epochs=2")) == ["alreadyCertified"]
