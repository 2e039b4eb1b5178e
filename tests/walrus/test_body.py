"""The body of a store: what leaves in one piece, what it holds, and how it keeps to a rate; in virtual time."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from functools import partial

import anyio
import httpx
import pytest

from walrus_sdk.engine.bandwidth import Bandwidth
from walrus_sdk.errors import NetworkError, ValidationError
from walrus_sdk.http.client import HttpClient, Timeouts
from walrus_sdk.http.wire import Line
from walrus_sdk.model.units import BlobId
from walrus_sdk.ports import Part
from walrus_sdk.testing import virtual
from walrus_sdk.walrus.body import CHUNK, HELD_BYTES, HeldBody
from walrus_sdk.walrus.framing import Framing, boundary_of, quilt_form

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class Chunks:
    """Content in given chunks."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self.chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


def part(*chunks: bytes, identifier: str = "", verified: bool = False) -> Part:
    data = b"".join(chunks)
    return Part(identifier, len(data), hashlib.sha256(data).digest(), Chunks(chunks), verified)


def blob(*chunks: bytes) -> Framing:
    return Framing((part(*chunks),), sum(map(len, chunks)), "application/octet-stream")


async def nothing() -> None:
    """A release that needs nothing."""


def collected(body: HeldBody, backend: str = "asyncio") -> list[bytes]:
    async def main() -> list[bytes]:
        return [chunk async for chunk in body.chunks(Line())]

    return virtual.run(main, backend)


@BACKENDS
def test_tiny_files_of_a_quilt_leave_in_chunks_of_a_mebibyte(backend: str) -> None:
    files = [part(bytes([n % 251]) * 20_000, identifier=f"/{n}") for n in range(200)]
    form = quilt_form(files, boundary_of(BlobId(bytes(32))))
    sent = collected(HeldBody(form, nothing), backend)
    whole = b"".join(p if isinstance(p, bytes) else b"".join(p.content.chunks) for p in form.pieces)  # type: ignore[attr-defined]
    assert b"".join(sent) == whole
    assert len(sent) <= len(whole) // (CHUNK - 20_200) + 2
    assert max(map(len, sent)) <= CHUNK


def test_a_chunk_of_a_large_file_leaves_as_it_was_read_without_a_copy() -> None:
    read = [bytes([n]) * CHUNK for n in range(3)]
    sent = collected(HeldBody(blob(*read), nothing))
    assert all(one is other for one, other in zip(sent[:2], read[:2], strict=True))
    assert list(map(len, sent)) == [CHUNK, CHUNK, CHUNK - HELD_BYTES, HELD_BYTES]


def test_content_that_keeps_its_last_chunk_back_itself_is_not_hashed_again_and_other_content_is() -> None:
    def altered(*, verified: bool) -> HeldBody:
        content = Part("", 3, hashlib.sha256(b"abc").digest(), Chunks([b"xyz"]), verified)
        return HeldBody(Framing((content,), 3, "application/octet-stream"), nothing)

    assert collected(altered(verified=True)) == [b"xyz"]
    with pytest.raises(ValidationError, match="SHA-256"):
        collected(altered(verified=False))


@pytest.mark.parametrize("given", [b"ab", b"abcd"])
def test_the_size_is_checked_of_all_content(given: bytes) -> None:
    content = Part("", 3, hashlib.sha256(given).digest(), Chunks([given]), verified=True)
    with pytest.raises(ValidationError) as caught:
        collected(HeldBody(Framing((content,), 3, "application/octet-stream"), nothing))
    assert caught.value.code == "file_changed"


# ── a rate ────────────────────────────────────────────────────────────────────────────────────────────────────────

RATE = 100_000


@BACKENDS
def test_all_bodies_together_keep_to_the_rate(backend: str) -> None:
    async def main() -> tuple[float, list[float]]:
        pace = Bandwidth(RATE, anyio.current_time, anyio.sleep)
        began, ends = anyio.current_time(), []

        async def send() -> None:
            async for chunk in HeldBody(blob(bytes(1_000_000)), nothing, pace).chunks(Line()):
                assert len(chunk) <= max(pace.portion, HELD_BYTES)
            ends.append(anyio.current_time() - began)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(send)
        return anyio.current_time() - began, ends

    took, ends = virtual.run(main, backend)
    # 3 MB at 100 kB/s, less the quarter of a second that the bucket holds and the bytes that go out at the end.
    assert 30 - 0.25 - HELD_BYTES / RATE <= took <= 30
    assert min(ends) > 25, "they share the line, none waits for the others to end"


def test_nothing_waits_between_the_release_and_the_last_bytes() -> None:
    times: dict[str, float] = {}

    async def release() -> None:
        times["release"] = anyio.current_time()

    async def main() -> None:
        pace = Bandwidth(RATE, anyio.current_time, anyio.sleep)
        async for _ in HeldBody(blob(bytes(500_000)), release, pace).chunks(Line()):
            times["last"] = anyio.current_time()

    virtual.run(main)
    assert times["last"] == times["release"] > 3


@BACKENDS
def test_what_is_waited_for_the_rate_is_not_taken_from_the_exchange_and_other_waiting_is(backend: str) -> None:
    class Dawdling(HeldBody):
        async def release(self) -> None:
            await anyio.sleep(5)

    async def send(kind: type[HeldBody]) -> int:
        transport = httpx.MockTransport(lambda request: httpx.Response(200, content=b"%d" % len(request.content)))
        pace = Bandwidth(RATE, anyio.current_time, anyio.sleep)
        async with HttpClient(transport=transport, timeouts=Timeouts(total_s=1)) as http:
            answer = await http.send("PUT", "https://p.example/v1/blobs", kind(blob(bytes(500_000)), nothing, pace))
        return int(answer.body)

    assert virtual.run(partial(send, HeldBody), backend) == 500_000
    with pytest.raises(NetworkError) as caught:
        virtual.run(partial(send, Dawdling), backend)
    assert caught.value.code == "deadline_exceeded"


@BACKENDS
def test_a_wait_for_the_rate_may_be_longer_than_all_the_time_an_exchange_has(backend: str) -> None:
    async def main() -> int:
        transport = httpx.MockTransport(lambda request: httpx.Response(200, content=b"%d" % len(request.content)))
        pace, answered = Bandwidth(RATE, anyio.current_time, anyio.sleep), []
        async with HttpClient(transport=transport, timeouts=Timeouts(total_s=1)) as http:

            async def send() -> None:
                body = HeldBody(blob(bytes(100_000)), nothing, pace)
                answered.append(await http.send("PUT", "https://p.example/v1/blobs", body))

            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(send)
        return len(answered)

    assert virtual.run(main, backend) == 20


def test_what_was_waited_for_in_vain_is_not_charged() -> None:
    async def main() -> float:
        pace = Bandwidth(RATE, anyio.current_time, anyio.sleep)
        await pace.take(100_000)
        with anyio.move_on_after(0.1):
            await pace.take(1_000_000)
        await pace.take(25_000)
        return anyio.current_time()

    assert virtual.run(main) == pytest.approx(0.75), "after a second's bytes, less what the bucket holds"
