"""The upload client against other clients: small requests, large streamed bodies, and what it holds in memory.

Every contender talks to the same sink (`walrus_sdk.localnet.sink`), a process that only counts, so that clients are
timed and no server. Ratios say how many times as fast ours is.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import statistics
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from benchmarks.rows import Row, interleaved
from walrus_sdk.http.client import HttpClient
from walrus_sdk.localnet.sink import running_sink
from walrus_sdk.machine.threads import open_threads
from walrus_sdk.model.plan import StoreKind
from walrus_sdk.model.units import BlobId, SuiAddress
from walrus_sdk.ports import Part, StoreRequest
from walrus_sdk.source.content import CHUNK, FileContent
from walrus_sdk.walrus.publisher import Publisher

__all__ = ["bodies_in_memory", "large_bodies", "small_requests"]

_MIB = 2**20
_SMALL = b"x" * 1024
_CURL = "curl --parallel"


# ── small requests ────────────────────────────────────────────────────────────────────────────────────────────────

Contender = Callable[[str, int, int], Awaitable[float]]
"""Sends so many requests to a sink, so many in flight, and returns requests a second."""


async def _many(requests: int, in_flight: int, send: Callable[[], Awaitable[object]]) -> float:
    left = iter(range(requests))

    async def worker() -> None:
        for _ in left:
            await send()

    began = time.perf_counter()
    async with anyio.create_task_group() as workers:
        for _ in range(in_flight):
            workers.start_soon(worker)
    return requests / (time.perf_counter() - began)


async def _kept(url: str, requests: int, in_flight: int) -> float:
    async with HttpClient() as http:
        return await _many(requests, in_flight, lambda: http.post(f"{url}/v1/blobs?epochs=1", _SMALL))


async def _paid(url: str, requests: int, in_flight: int) -> float:
    sha256 = hashlib.sha256(_SMALL).digest()
    async with HttpClient() as http:
        publisher = Publisher(http, url, wall_ms=lambda: 0)

        async def store() -> None:
            part = Part("", len(_SMALL), sha256, _Bytes(_SMALL))
            await publisher.store(_request(part), _release)

        return await _many(requests, in_flight, store)


async def _httpx(url: str, requests: int, in_flight: int, *, library: str = "httpx", tuned: bool = False) -> float:
    module = importlib.import_module(library)
    limits = {"limits": module.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)} if tuned else {}
    async with module.AsyncClient(timeout=60, **limits) as http:

        async def put() -> None:
            (await http.put(f"{url}/v1/blobs?epochs=1", content=_SMALL)).raise_for_status()

        return await _many(requests, in_flight, put)


async def _aiohttp(url: str, requests: int, in_flight: int) -> float:
    aiohttp = importlib.import_module("aiohttp")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as http:

        async def put() -> None:
            async with http.put(f"{url}/v1/blobs?epochs=1", data=_SMALL) as answer:
                await answer.read()

        return await _many(requests, in_flight, put)


async def _walrus_python(url: str, requests: int, in_flight: int) -> float:
    """The client of PyPI's ``walrus-python``: blocking, so it gets a thread for each request in flight."""
    client = importlib.import_module("walrus").WalrusClient(url, url)
    threads = anyio.CapacityLimiter(in_flight)

    async def put() -> None:
        await anyio.to_thread.run_sync(partial(client.put_blob, _SMALL, epochs=1), limiter=threads)

    return await _many(requests, in_flight, put)


_PLAIN, _STORES = "httpx as it comes", "ours, as paid stores"
_LIMITED = 32
"""Requests in flight for which there is a limit."""
_CONTENDERS: Mapping[str, tuple[str, Contender]] = {
    "ours": ("httpx", _kept),
    _STORES: ("httpx", _paid),
    _PLAIN: ("httpx", _httpx),
    "httpx, a kept connection for each": ("httpx", partial(_httpx, tuned=True)),
    "httpx2, a kept connection for each": ("httpx2", partial(_httpx, library="httpx2", tuned=True)),
    "aiohttp": ("aiohttp", _aiohttp),
    "walrus-python, in threads": ("walrus", _walrus_python),
}
"""By name: the library that is needed, and the contender. aiohttp runs on asyncio only."""


def small_requests(
    *, in_flight: Sequence[int] = (_LIMITED,), requests: int = 1000, rounds: int = 5, backend: str = "asyncio"
) -> Iterator[Row]:
    """Compare requests of 1 KiB: ours over kept connections against plain httpx, httpx2 and aiohttp.

    Without other wishes 32 are in flight; decision 0023 has figures of 100, too.

    Paid stores, for which there is a limit, are those of the publisher's client: body held until its release, on a
    watched connection (docs/decisions/0003).
    """
    usable = {
        name: contender
        for name, (library, contender) in _CONTENDERS.items()
        if _has(library) and (library != "aiohttp" or backend == "asyncio")
    }
    with running_sink() as url:
        for at_once in in_flight:
            runs = {
                name: partial(anyio.run, contender, url, requests, at_once, backend=backend)
                for name, contender in usable.items()
            }
            limits = {"limit": 3, "aim": 4} if at_once == _LIMITED else {}
            yield from _small_rows(f"requests of 1 KiB, {at_once} in flight", interleaved(runs, rounds), limits)


def _small_rows(quantity: str, found: Mapping[str, list[float]], limits: Mapping[str, int]) -> Iterator[Row]:
    missing = ", ".join(sorted({library for name, (library, _) in _CONTENDERS.items() if name not in found}))
    for name in found:
        if name == _PLAIN:
            note = f"not installed: {missing}" if missing else ""
            yield _row(f"paid {quantity}", name, "req/s", found[_STORES], found[name], note=note, **limits)
        if name not in ("ours", _STORES):
            yield _row(quantity, name, "req/s", found["ours"], found[name])


# ── large bodies ──────────────────────────────────────────────────────────────────────────────────────────────────


def large_bodies(
    *, files: int = 5, size: int = 500_000_000, rounds: int = 3, backend: str = "asyncio", at_once: int = 5
) -> Iterator[Row]:
    """Compare streaming files to the sink with ``curl --parallel``: with the SHA-256 check of every byte, and without.

    The files are real and lie in memory (`/dev/shm`, else the temporary folder); they are made smaller when twice
    their size is not free, and the row says so. Nothing is yielded where there is no curl.
    """
    if shutil.which("curl") is None:
        return
    wanted, size = size, min(size, _free() // (2 * files))
    quantity = f"{files} x {size / 1e6:.0f} MB streamed"
    note = f"smaller than {wanted / 1e6:.0f} MB: memory" if size < wanted else ""
    with _files(files, size) as (folder, made), running_sink() as url:

        def rate(seconds: Callable[[], float]) -> float:
            return files * size / 1e6 / seconds()

        ours = partial(_stream, url, folder, made, size, at_once)
        contenders: dict[str, Callable[[], float]] = {
            "curl": partial(_curl, url, [folder / name for name, _ in made]),
            "checked": lambda: anyio.run(partial(ours, hashed=True), backend=backend),
            "unchecked": lambda: anyio.run(partial(ours, hashed=False), backend=backend),
        }
        found = interleaved({name: partial(rate, run) for name, run in contenders.items()}, rounds)
    checked, unchecked, curl = found["checked"], found["unchecked"], found["curl"]
    yield _row(f"{quantity}, SHA-256 included", _CURL, "MB/s", checked, curl, limit=1, aim=1.5, note=note)
    yield _row(f"{quantity}, without the hash", _CURL, "MB/s", unchecked, curl, note=note)


async def _stream(
    url: str, folder: Path, made: Sequence[tuple[str, bytes]], size: int, at_once: int, *, hashed: bool
) -> float:
    """Store files at the sink with the publisher's client; returns seconds."""
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    slots = anyio.Semaphore(at_once)
    try:
        async with open_threads() as threads, HttpClient() as http:
            publisher = Publisher(http, url, wall_ms=lambda: 0)

            async def store(name: str, sha256: bytes) -> None:
                content = (
                    FileContent(root, name, size, sha256, threads) if hashed else _Unchecked(folder / name, threads)
                )
                async with slots:
                    await publisher.store(_request(Part("", size, sha256, content, verified=True)), _release)

            began = time.perf_counter()
            async with anyio.create_task_group() as stores:
                for name, sha256 in made:
                    stores.start_soon(store, name, sha256)
            return time.perf_counter() - began
    finally:
        os.close(root)


def _curl(url: str, paths: Sequence[Path]) -> float:
    pairs = [text for path in paths for text in ("-T", str(path), "-o", os.devnull, f"{url}/v1/blobs")]
    began = time.perf_counter()
    subprocess.run(
        ["curl", "--parallel", "--parallel-immediate", "--silent", *pairs], check=True, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - began


class _Unchecked:
    """A file's bytes as `FileContent` reads them, but not hashed: what the hash costs is the difference."""

    def __init__(self, path: Path, threads: Any) -> None:
        self._path = path
        self._threads = threads

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with self._path.open("rb", buffering=0) as file:
            while chunk := await self._threads.run(file.read, CHUNK):
                yield chunk


# ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────────


def bodies_in_memory(*, size: int = 256 * _MIB, streams: int = 2, backend: str = "asyncio") -> Iterator[Row]:
    """Measure what sending holds at most (allocations of this process), against the formula of `HeldBody`.

    The formula is 4 MiB a body under way, whatever its size.
    """
    with _files(streams, size) as (folder, made), running_sink() as url:
        warm = partial(_stream, url, folder, made, size, streams, hashed=True)
        anyio.run(warm, backend=backend)  # modules and certificates are loaded now
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            anyio.run(warm, backend=backend)
            peak = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
    allowed, used = streams * 4.0, peak / _MIB
    quantity = f"memory of {streams} x {size // _MIB} MiB being sent"
    yield Row(quantity, "4 MiB x bodies", used, allowed, "MiB", used / allowed, 1.0, at_most=True)


# ── shared ────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Bytes:
    """Content of one chunk."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data


def _request(part: Part) -> StoreRequest:
    # The sink answers every store with this blob id.
    return StoreRequest(StoreKind.BLOB, BlobId(bytes(32)), (part,), 1, SuiAddress(bytes(32)))


async def _release() -> None:
    """Nothing is paid."""


def _row(quantity: str, against: str, unit: str, ours: list[float], theirs: list[float], **more: Any) -> Row:
    mine, other = statistics.median(ours), statistics.median(theirs)
    return Row(quantity, against, mine, other, unit, mine / other, samples={"ours": ours, "theirs": theirs}, **more)


def _has(library: str) -> bool:
    with suppress(ImportError):
        importlib.import_module(library)
        return True
    return False


def _free() -> int:
    """Return the bytes of memory that are free."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def _files(count: int, size: int) -> Iterator[tuple[Path, list[tuple[str, bytes]]]]:
    """Make files of bytes that do not compress; gives their folder, names and SHA-256."""
    shared = Path("/dev/shm")
    block = os.urandom(_MIB)
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as made:
        folder, files = Path(made), []
        for number in range(count):
            digest, left = hashlib.sha256(), size
            with (folder / f"{number}.bin").open("wb") as file:
                while left:
                    turned = (block[number:] + block[:number])[:left]
                    digest.update(turned)
                    left -= file.write(turned)
            files.append((f"{number}.bin", digest.digest()))
        yield folder, files
