"""Faults of the network (N), each met by the real clients: what is known, what is asked next, what is never done."""

from __future__ import annotations

import itertools
import json
import socket
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from walrus_sdk.errors import BlockchainError, StorageError, WalrusError
from walrus_sdk.http.client import HttpClient, Timeouts
from walrus_sdk.localnet.faults import Fault
from walrus_sdk.localnet.http_walrus.tokens import sign_token
from walrus_sdk.localnet.server import now_ms
from walrus_sdk.model.units import BlobId
from walrus_sdk.sui import documents
from walrus_sdk.sui.chain import GraphQlChain
from walrus_sdk.sui.graphql import GraphQl
from walrus_sdk.testing import SimulatedWorld

pytestmark = pytest.mark.anyio

ELSEWHERE: dict[str, list[str]] = {
    "N1": ["tests/http/test_client.py::test_a_name_that_does_not_resolve_is_dns_failed"],
    "N3": ["tests/service/test_going_on.py::test_a_lost_answer_of_the_publisher_is_looked_up_and_not_paid_again"],
    "N5": ["tests/http/test_client.py::test_an_answer_that_trickles_meets_the_total_deadline"],
    "N6": [
        "tests/http/test_small_parts.py::test_retry_after_is_read_in_both_forms",
        "tests/planning/test_decisions.py::test_pauses_have_full_jitter_and_a_service_is_never_asked_earlier_than_it_said",
    ],
    "N7": ["tests/walrus/test_publisher.py::test_a_token_that_was_refused_as_used_or_expired_is_never_sent_again"],
    "N8": [
        "tests/service/test_going_on.py::"
        "test_a_store_that_goes_on_behind_a_proxy_that_gave_up_is_waited_for_and_paid_once",
        "tests/service/test_going_on.py::"
        "test_a_store_behind_a_proxy_that_takes_longer_than_is_waited_for_costs_one_more_payment_and_is_said",
    ],
    "N11": ["tests/http/test_client.py::test_an_own_authority_is_trusted_when_its_file_is_given"],
    "N12": ["tests/http/test_client.py::test_a_redirect_to_another_origin_is_refused_without_a_request"],
    "N15": ["tests/http/test_client.py::test_a_compressed_bomb_is_not_unpacked"],
    "N16": ["tests/http/test_client.py::test_environment_proxies_are_not_used"],
}
"""Tests of other folders for the same fault."""


def test_every_fault_of_the_network_has_a_test(covered: Any) -> None:
    assert covered("N", 17, __file__, ELSEWHERE) == []


async def test_n1_nobody_listening_means_not_sent_and_another_publisher_takes_it(
    served: Any, user: Any, servers: Any
) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        alone = await user.store(dead)
        async with served(servers.answering(200, user.created())) as url:
            both = await user.store(dead, url)
    assert (alone.code, alone.kind, alone.released) == ("connect_failed", "retry", False)
    assert both.receipt is not None


async def test_n1_a_store_that_was_released_goes_to_no_other_publisher_even_when_it_was_never_sent(
    served: Any, user: Any, servers: Any
) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        async with served(servers.answering(200, user.created())) as url:
            told = await user.store(dead, url, request=user.blob(b""))  # whole with its headers: released before them
    assert (told.code, told.kind, told.released, servers.heads) == ("connect_failed", "retry", True, [])


async def test_n1_an_address_that_stays_down_is_asked_last_by_reads_and_by_questions_to_the_chain(
    net: Any, user: Any, lined: Any
) -> None:
    request = user.blob(b"hello", net.world.blobs.encode(b"hello"))
    assert (await user.store(net.url, request=request)).receipt is not None
    async with lined(net.url, up=0) as line, HttpClient() as http:
        nodes = [line.url + "/graphql", *net.network.graphql_urls]
        chain = GraphQl(http, nodes, clock=lambda: 0.0)
        async with user.services([], [line.url, net.url], clock=lambda: 0.0) as services:
            for expected in (2, 4, 6, 6, 6):
                assert bytes((await user.get(services, request.blob_id)).data) == b"hello"
                assert await chain.read(documents.STATE, {"keys": []})
                assert line.taken == expected


async def test_n1_a_publisher_that_stays_down_is_asked_last_and_again_when_it_has_rested(
    served: Any, user: Any, servers: Any
) -> None:
    now, asked, seen = [0.0], [], []

    async def down(peer: Any) -> None:
        asked.append(await peer.head())
        await peer.answer(503, b"down")
        await peer.hang()

    async with (
        served(down) as bad,
        served(servers.answering(200, user.created())) as good,
        user.services([bad, good], clock=lambda: now[0]) as services,
    ):
        for moment in (0, 0, 0, 0, 0.9, 1, 1.1, 2.9, 3):
            now[0] = moment
            assert (await user.put(services, user.blob(bytes(3_000_000)))).receipt is not None
            seen.append(len(asked))
    assert seen == [1, 2, 3, 3, 3, 4, 4, 4, 5]


async def test_n1_a_store_whose_answer_was_lost_speaks_against_its_publisher_but_is_sent_to_no_other(
    served: Any, user: Any, servers: Any
) -> None:
    lost, good = servers.sending(b""), servers.answering(200, user.created())
    async with served(lost) as one, served(good) as two, user.services([one, two]) as services:
        told = [await user.put(services) for _ in range(4)]
    assert [one.kind for one in told] == ["look_first"] * 3 + [""]
    assert len(servers.heads) == 4


@pytest.mark.parametrize("resets", [False, True])
async def test_n2_a_line_that_ends_before_the_body_is_whole_means_not_stored(
    served: Any, user: Any, servers: Any, lined: Any, resets: bool
) -> None:
    large = user.blob(bytes(8_000_000))
    async with served(servers.answering(200, user.created())) as good, lined(good, up=100_000, resets=resets) as bad:
        alone = await user.store(bad.url, request=large)
        assert (alone.kind, alone.released, servers.bodies) == ("retry", False, [])
        both = await user.store(bad.url, good, request=large)
    assert both.receipt is not None


@pytest.mark.parametrize(("moment", "lands"), [("released", False), ("certified", True)])
async def test_n6_a_pause_that_was_asked_for_holds_when_nobody_knows_whether_it_was_stored(
    moment: str, lands: bool
) -> None:
    world, begun = SimulatedWorld(), []

    def answer(at: str, _: BlobId) -> StorageError | None:
        begun.extend([world.clock.monotonic()] if at == "request" else [])
        lost = at == moment and len(begun) == 1
        return StorageError("store_failed", "HTTP 503", retry_after=600.0) if lost else None

    world.store.faults = answer
    result = await world.deploy()
    assert len(result.possibly_paid_in_vain) == len(begun) - 1 == (not lands)
    if lands:
        assert world.clock.monotonic() - begun[0] < 60, "what is there is found without a wait"
    else:
        assert begun[1] - begun[0] >= 600


async def test_n6_a_node_that_asked_for_a_pause_gets_the_same_transaction_after_it() -> None:
    world, sent = SimulatedWorld(), []

    def busy(moment: str) -> BlockchainError | None:
        sent.extend([world.clock.monotonic()] if moment == "execute" else [])
        once = moment == "execute" and len(sent) == 1
        return BlockchainError("transaction_unknown", "HTTP 503", retry_after=45.0) if once else None

    world.chain.faults = busy
    await world.deploy()
    assert [later - earlier >= 45 for earlier, later in itertools.pairwise(sent)] == [True]
    assert world.chain.executed == 1


@pytest.mark.parametrize("date", [False, True], ids=["seconds", "date"])
@pytest.mark.parametrize("action", ["too_many_requests", "error"])
async def test_n6_every_client_reads_how_long_a_service_asks_to_be_left_alone(
    net: Any, user: Any, action: str, date: bool
) -> None:
    for point in ("publisher.before_pay", "aggregator.request", "sui.read"):
        net.faults.add(Fault(point, action, status=503, retry_after_s=90, retry_after_date=date))
    asked = []
    async with HttpClient() as http, user.services([net.url], [net.url], wall_ms=now_ms) as services:
        chain = GraphQl(http, net.network.graphql_urls, wall_ms=now_ms)
        asked += [(await user.put(services)).error, (await user.get(services)).error]
        with pytest.raises(BlockchainError) as caught:
            await chain.read(documents.STATE, {"keys": []})
        asked.append(caught.value)
    assert all(80 < error.fields["retry_after"] <= 91 for error in asked), [error.fields for error in asked]


@pytest.mark.parametrize("then", ["close", "reset", "hang"])
async def test_n3_a_lost_answer_wants_a_look_and_nobody_else_is_asked(
    served: Any, user: Any, servers: Any, then: str
) -> None:
    async with served(servers.sending(b"", then=then)) as one, served(servers.answering(200, user.created())) as two:
        told = await user.store(one, two, store_s=1.0 if then == "hang" else 30.0)
    assert (told.kind, told.released, len(servers.heads)) == ("look_first", True, 1)
    assert told.code in {"connection_lost", "timeout_read"}


async def test_n4_each_phase_of_an_exchange_has_its_limit(user: Any) -> None:
    short = {"client": {"timeouts": Timeouts(connect_s=0.2, send_s=0.2, read_s=0.2, total_s=5)}}
    with socket.socket() as full, socket.socket() as silent:
        for place, backlog in ((full, 0), (silent, 9)):
            place.bind(("127.0.0.1", 0))
            place.listen(backlog)  # nobody ever takes a connection from here, nor a byte
        full_url, silent_url = (f"//127.0.0.1:{place.getsockname()[1]}" for place in (full, silent))
        with socket.socket() as first, socket.socket() as second:
            for one in (first, second):
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            connect = await user.store(f"http:{full_url}", **short)
        handshake = await user.store(f"https:{silent_url}", **short)
        send = await user.store(f"http:{silent_url}", request=user.blob(bytes(20_000_000)), **short)
        read = await user.read(f"http:{silent_url}", **short)
    assert [told.code for told in (connect, send, read, handshake)] == [
        "timeout_connect", "timeout_send", "timeout_read", "timeout_connect",
    ]  # fmt: skip
    assert not any(told.released for told in (connect, send, handshake))


@pytest.mark.parametrize("drip", [b"HTTP/1.1 102 Processing\r\n\r\n", b"x"], ids=["interim answers", "bytes"])
async def test_n5_an_answer_that_never_ends_meets_the_total_deadline(
    served: Any, user: Any, servers: Any, drip: bytes
) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 5000000\r\n\r\n" if drip == b"x" else b""

    async def handle(peer: Any) -> None:
        await servers.request(peer)
        await peer.stream.send(head)
        while True:
            await peer.stream.send(drip)
            await anyio.lowlevel.checkpoint()

    async with served(handle) as url:
        stored = await user.store(url, store_s=0.2)
        read = await user.read(url, base_s=0.2, floor_bytes_s=10**9, max_size=10**7)
    assert (stored.kind, stored.released) == ("look_first", True)
    assert read.code in {"deadline_exceeded", "connection_lost"}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), ("Thu, 01 Jan 1970 00:00:09 GMT", 9), ("99999999999", 86_400), ("soon", None), (None, None)],
)
async def test_n6_a_busy_service_says_how_long_to_wait_and_is_believed_up_to_a_day(
    served: Any, user: Any, servers: Any, value: str | None, seconds: float | None
) -> None:
    fields = [f"retry-after: {value}"] if value is not None else []
    async with served(servers.answering(429, b"too many requests", *fields)) as url:
        for told in (await user.store(url), await user.read(url)):
            assert told.error is not None
            assert (told.code, told.kind) == ("rate_limited", "retry")
            assert told.error.fields.get("retry_after") == seconds


async def test_n7_every_attempt_has_a_new_token_also_after_a_failover(net: Any, user: Any, served: Any) -> None:
    net.faults.reshape(jwt_secret="s3cret", jwt_verify_upload=True)
    numbers, given = itertools.count(), list[str]()

    async def token() -> str:
        claims = {"exp": int(time.time()) + 600, "jti": str(next(numbers))}
        given.append(sign_token(claims, "s3cret"))
        return given[-1]

    async def down(peer: Any) -> None:
        await peer.head()
        await peer.answer(503, b"down")
        await peer.hang()

    data = b"x" * 300_000
    request = user.blob(data, net.world.blobs.encode(data))
    async with served(down) as bad, user.services([bad, net.url], token=token) as services:
        for _ in range(2):
            assert (await user.put(services, request)).receipt is not None
    assert len(given) == len(set(given)) == 4


async def test_n7_a_token_that_is_given_twice_is_refused_by_the_publisher_and_then_by_us(net: Any, user: Any) -> None:
    net.faults.reshape(jwt_secret="s3cret")
    claims = {"exp": int(time.time()) + 600, "jti": "one"}

    async def token() -> str:
        return sign_token(claims, "s3cret")

    request = user.blob(b"hello", net.world.blobs.encode(b"hello"))
    async with user.services([net.url], token=token) as services:
        codes = [(await user.put(services, request)).code for _ in range(3)]
        claims["jti"] = "two"
        again = await user.put(services, request)
    assert codes == ["", "token_used", "token_refused"]
    assert again.receipt is not None


async def test_n7_a_publisher_that_wants_a_token_when_there_is_none_is_a_mistake_to_mend(net: Any, user: Any) -> None:
    net.faults.reshape(jwt_secret="s3cret")
    told = await user.store(net.url)
    assert (told.code, told.kind) == ("token_refused", "fix_input")


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_n8_a_failure_of_the_server_is_known_before_the_release_and_unknown_after_it(
    served: Any, user: Any, servers: Any, status: int
) -> None:
    async def early(peer: Any) -> None:
        await peer.head()
        await peer.answer(status, b"<html>")
        await peer.hang()

    async with served(early) as url:
        before = await user.store(url, request=user.blob(bytes(3_000_000)))
    async with served(servers.answering(status, b"<html>")) as url:
        after = await user.store(url)
    assert (before.kind, before.released) == ("retry", False)
    assert (after.kind, after.released) == ("look_first", True)


@pytest.mark.parametrize(("status", "code"), [(413, "body_too_large"), (451, "blob_blocked")])
async def test_n8_what_is_too_large_or_blocked_is_final_for_that_file(
    served: Any, user: Any, servers: Any, status: int, code: str
) -> None:
    async with served(servers.answering(status, b"no")) as url:
        told = await user.store(url)
    assert told.code == code
    assert told.kind in {"fix_input", "give_up"}


async def test_n8_a_range_outside_the_blob_is_final(served: Any, user: Any, servers: Any) -> None:
    document = user.refusal(416, "RANGE_NOT_SATISFIABLE", "INVALID_BYTE_RANGE")
    async with served(servers.answering(416, document)) as one, served(servers.answering(200, b"x")) as two:
        told = await user.read(one, two)
    assert (told.code, len(servers.heads)) == ("range_not_satisfiable", 1)


BROKEN = {
    "cut": b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n%s",
    "too short a length": b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n%s",
    "bad chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n%s",
    "cut chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n%s",
    "garbage": b"\x00\x01\x02%s\r\n\r\n",
    "huge header": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n%s",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 900\r\n\r\n%s",
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_n9_a_broken_answer_to_a_store_wants_a_look_and_is_never_parsed_half(
    served: Any, user: Any, servers: Any, broken: bytes
) -> None:
    raw = broken.replace(b"%s", json.dumps(user.created()).encode())
    async with served(servers.sending(raw)) as url:
        told = await user.store(url)
    assert (told.kind, told.released) == ("look_first", True)


@pytest.mark.parametrize(
    "document", [b"<html>please log in</html>", {"error": {"failurePhase": "certify", "errorMsg": "?"}}], ids=type
)
async def test_n10_a_200_that_is_none_wants_a_look(served: Any, user: Any, servers: Any, document: Any) -> None:
    async with served(servers.answering(200, document, "content-type: text/html")) as url:
        told = await user.store(url)
    assert (told.kind, told.released) == ("look_first", True)


async def test_n10_a_login_page_marks_its_endpoint_as_bad(served: Any, user: Any, servers: Any) -> None:
    login = servers.answering(200, b"<html>please log in</html>")
    async with (
        served(login) as one,
        served(servers.answering(200, user.created())) as two,
        user.services([one, two]) as services,
    ):
        first, second = await user.put(services), await user.put(services)
    assert (first.code, second.code) == ("bad_answer", "")
    hosts = [line for head in servers.heads for line in head.splitlines() if line.startswith("host")]
    assert hosts == [f"host: {url.removeprefix('http://')}" for url in (one, two)]


@pytest.mark.parametrize(
    ("host", "days", "trusted"),
    [("127.0.0.1", 5, False), ("127.0.0.1", -5, True), ("127.0.0.2", 5, True), ("127.0.0.1", 5, True)],
    ids=["self-signed", "expired", "wrong name", "good"],
)
async def test_n11_a_certificate_that_does_not_hold_is_refused_before_anything_is_sent(
    served: Any, user: Any, servers: Any, certified: Any, tmp_path: Path, host: str, days: int, trusted: bool
) -> None:
    tls, ca_file = certified(tmp_path, host, days)
    client = {"ca_file": ca_file} if trusted else {}
    async with served(servers.answering(200, user.created()), tls) as url:
        told = await user.store(url, client=client)
    if (host, days, trusted) == ("127.0.0.1", 5, True):
        assert told.receipt is not None
    else:
        assert (told.code, told.kind, told.released, servers.heads) == ("tls_failed", "fix_input", False, [])


@pytest.mark.parametrize("to", ["{other}/v1/blobs", "//{place}/", "/again"])
async def test_n12_a_redirected_store_goes_nowhere_else_and_is_told(
    served: Any, user: Any, servers: Any, to: str
) -> None:
    elsewhere: list[bytes] = []

    async def token() -> str:
        return "for-this-publisher-only"

    async def other(peer: Any) -> None:
        elsewhere.append(await peer.head())

    async with served(other) as another:
        target = to.format(other=another, place=another.removeprefix("http://"))
        async with served(servers.answering(307, b"", f"location: {target}")) as url:
            told = await user.store(url, token=token)
            read = await user.read(url)
    assert (told.code, told.kind, read.code) == ("redirect_refused", "fix_input", "redirect_refused")
    assert [head for head in servers.heads if head.startswith("PUT")] == servers.heads[:1]
    assert elsewhere == []


async def test_n13_a_spare_answer_never_reaches_the_next_store(served: Any, user: Any, servers: Any) -> None:
    planted = json.dumps(user.created(id="0x" + "ee" * 32)).encode()

    async def handle(peer: Any) -> None:
        await servers.request(peer)
        body = json.dumps(user.created()).encode()
        both = b"".join(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(b), b) for b in (body, planted))
        await peer.stream.send(both)
        await servers.request(peer)

    async with served(handle) as url, user.services([url]) as services:
        told = [await user.put(services) for _ in range(3)]
    assert {str(one.receipt.object_id) for one in told} == {user.object_id}


async def test_n13_an_answer_about_another_blob_is_refused(served: Any, user: Any, servers: Any) -> None:
    other = user.created(blobId="E" * 42 + "A")
    async with served(servers.answering(200, other)) as url:
        assert (await user.store(url)).code == "blob_id_mismatch"


CUTS = [0, 1, 150, 400, 65_000, 65_536, 66_000, 99_999, 100_000, 100_100, 100_200, 100_250, 100_300, 100_400]


@pytest.mark.parametrize("where", ["up", "down"])
@pytest.mark.parametrize("resets", [False, True], ids=["closes", "resets"])
async def test_n14_wherever_a_line_dies_nothing_that_was_paid_is_taken_for_not_stored(
    net: Any, user: Any, lined: Any, where: str, resets: bool
) -> None:
    for cut in CUTS if where == "up" else [0, 1, 20, 150, 400]:
        data = b"%d %s %d" % (cut, where.encode(), resets) + bytes(100_000)
        request = user.blob(data, net.world.blobs.encode(data))
        async with lined(net.url, resets=resets, **{where: cut}) as line:
            told = await user.store(line.url, request=request)
        paid = [row for row in net.ledger() if row["blob_id"] == str(request.blob_id) and row["paid"]]
        assert told.kind in ("", "retry", "look_first"), cut
        if told.kind == "retry":
            assert (paid, told.released) == ([], False), cut
        if paid and told.error is not None:
            assert told.kind == "look_first", cut


async def test_n14_a_read_over_lines_that_die_and_trickle_ends_with_the_same_bytes(
    net: Any, user: Any, lined: Any
) -> None:
    data = bytes(range(256)) * 2000
    request = user.blob(data, net.world.blobs.encode(data))
    assert (await user.store(net.url, request=request)).receipt is not None
    async with (
        lined(net.url, down=100_000, resets=True) as one,
        lined(net.url, down=200_000) as two,
        lined(net.url, piece=7000, yields=5) as three,
    ):
        told = await user.read(one.url, two.url, three.url, ref=request.blob_id, max_size=len(data))
    assert (bytes(told.data), told.code) == (data, "")


async def test_n14_resets_at_random_places_are_got_over_by_trying_again(net: Any, user: Any, lined: Any) -> None:
    data = bytes(200_000)
    request = user.blob(data, net.world.blobs.encode(data))
    async with (
        lined(net.url, up=50_000, resets=True, cuts=4, piece=9000, yields=2) as line,
        user.services([line.url], [line.url], store_s=5) as services,
    ):
        told = [await user.put(services, request) for _ in range(5)]
        read = await user.get(services, request.blob_id, max_size=len(data))
    assert {one.kind for one in told[:4]} <= {"retry", "look_first"}
    assert told[4].receipt is not None
    assert bytes(read.data) == data
    assert len([row for row in net.ledger() if row["paid"]]) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x8b\x08",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
    ],
    ids=["compressed", "announced"],
)
async def test_n15_an_answer_that_would_not_fit_is_not_read_and_wants_a_look(
    served: Any, user: Any, servers: Any, raw: bytes
) -> None:
    async with served(servers.sending(raw, then="hang")) as url:
        told = await user.store(url)
    assert (told.kind, told.released) == ("look_first", True)


async def test_n15_an_endless_body_of_an_aggregator_leads_to_the_next_one(served: Any, user: Any, servers: Any) -> None:
    async def endless(peer: Any) -> None:
        await servers.request(peer)
        await peer.stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.stream.send(bytes(1000))

    async with served(endless) as one, served(servers.answering(200, b"right")) as two:
        told = await user.read(one, two)
    assert (bytes(told.data), told.code) == (b"right", "")


async def test_n16_no_password_file_and_no_proxy_of_the_environment_is_used(
    served: Any, user: Any, servers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = tmp_path / "netrc"
    passwords.write_text("machine 127.0.0.1 login me password hush\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("NETRC", str(passwords))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    async with served(servers.answering(200, user.created())) as url:
        assert (await user.store(url)).receipt is not None
    assert "authorization" not in servers.heads[0].lower()


@pytest.mark.parametrize("cut_off", ["chain", "storage"])
async def test_n17_when_one_service_is_cut_off_the_other_goes_on_and_the_error_names_which(
    net: Any, user: Any, lined: Any, cut_off: str
) -> None:
    request = user.blob(b"hello", net.world.blobs.encode(b"hello"))
    async with lined(net.url) as line, HttpClient() as http:
        nodes = [line.url + "/graphql"] if cut_off == "chain" else net.network.graphql_urls
        chain = GraphQlChain(GraphQl(http, nodes), net.network)
        line.up = 0
        async with user.services([line.url if cut_off == "storage" else net.url]) as services:
            stored = await user.put(services, request)
            reached = await _reached(chain)
            assert (stored.receipt is None, reached) == (cut_off == "storage", cut_off == "storage")
            if stored.error is not None:
                assert line.url in stored.error.message
            line.up = None
            assert (await user.put(services, request)).receipt is not None
        assert (await chain.state()).chain_id == net.network.chain_id


async def _reached(chain: GraphQlChain) -> bool:
    try:
        return bool(await chain.state())
    except WalrusError as error:
        return "/graphql" not in error.message


def test_n11_there_is_no_switch_that_turns_verification_off() -> None:
    with pytest.raises(TypeError):
        HttpClient(verify=False)  # type: ignore[call-arg]
