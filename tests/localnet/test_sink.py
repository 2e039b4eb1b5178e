"""The sink that clients are timed against: it counts what comes in, in any pieces, and answers as a publisher."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walrus_sdk.http.client import HttpClient
from walrus_sdk.localnet.sink import Counted, Counting, running_sink
from walrus_sdk.model.plan import StoreKind
from walrus_sdk.model.units import BlobId, SuiAddress
from walrus_sdk.ports import Part, StoreRequest
from walrus_sdk.walrus.publisher import Publisher

PUT = b"PUT /v1/blobs HTTP/1.1\r\nhost: a\r\nContent-Length: %d\r\n\r\n%b"
MIB = 2**20


@given(
    bodies=st.lists(st.integers(0, 300), max_size=4),
    cuts=st.lists(st.integers(1, 90), min_size=1, max_size=40),
)
def test_requests_are_counted_however_they_are_cut(bodies: list[int], cuts: list[int]) -> None:
    stream, counted, answers = b"".join(PUT % (size, b"x" * size) for size in bodies), Counted(), b""
    counting, at = Counting(counted), 0
    while stream[at:]:
        size = cuts[at % len(cuts)]
        if counting.left:  # as the server does: what is left of a body is dropped where it lies
            size = min(size, counting.left, len(stream) - at)
            answers += counting.dropped(size)
        else:
            answers += counting.fed(stream[at : at + size])
            size = len(stream[at : at + size])
        at += size
    assert (counted.requests, counted.body_bytes) == (len(bodies), sum(bodies))
    assert answers.count(b"HTTP/1.1 200 OK") == len(bodies)


def test_what_it_cannot_count_is_refused() -> None:
    for data in (b"PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", b"x" * 70_000):
        with pytest.raises(ValueError, match="without"):
            Counting(Counted()).fed(data)


def test_a_client_that_waits_to_be_told_to_go_on_is_told() -> None:
    head = b"PUT / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n"
    assert Counting(Counted()).fed(head) == b"HTTP/1.1 100 Continue\r\n\r\n"


# ── the process ───────────────────────────────────────────────────────────────────────────────────────────────────


class Zeros:
    """Bytes that are made while they are read."""

    def __init__(self, size: int) -> None:
        self.size = size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self.size // MIB):
            yield bytes(MIB)


@pytest.fixture(scope="module")
def sink() -> Iterator[str]:
    with running_sink() as url:
        yield url


async def store(url: str, size: int) -> Any:
    digest = hashlib.sha256()
    for _ in range(size // MIB):
        digest.update(bytes(MIB))
    part = Part("", size, digest.digest(), Zeros(size))
    request = StoreRequest(StoreKind.BLOB, BlobId(bytes(32)), (part,), 1, SuiAddress(bytes(32)))

    async def release() -> None:
        """Nothing is paid."""

    async with HttpClient() as http:
        receipt = await Publisher(http, url, wall_ms=lambda: 0).store(request, release)
        return receipt, json.loads((await http.get(url)).body)


@pytest.mark.anyio
@pytest.mark.processes
async def test_a_publishers_client_stores_there_and_every_byte_is_counted(sink: str) -> None:
    async with HttpClient() as http:
        before = json.loads((await http.get(sink)).body)
    receipt, after = await store(sink, 3 * MIB)
    assert receipt.already_certified
    assert after["requests"] - before["requests"] == 1
    assert after["body_bytes"] - before["body_bytes"] == 3 * MIB


@pytest.mark.anyio
@pytest.mark.processes
async def test_what_a_body_holds_in_memory_does_not_grow_with_it(sink: str) -> None:
    await store(sink, MIB)  # what is loaded once is loaded now
    peaks = []
    for size in (8, 64):
        tracemalloc.start()
        try:
            await store(sink, size * MIB)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert max(peaks) < 5 * MIB, "4 MiB a body, and small things"
