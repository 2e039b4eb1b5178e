"""The upload client against other clients: small requests, large streamed bodies, and what it holds in memory.

    python -m benchmarks.clients

Every contender talks to the same sink (`walrus_sdk.localnet.sink`), a process that only counts, so that clients are
timed and no server. Contenders take turns within each round; figures are medians over rounds, the spread is the
smallest and the largest. Ratios say how many times as fast ours is.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from walrus_sdk.http.client import HttpClient
from walrus_sdk.localnet.sink import running_sink
from walrus_sdk.machine.threads import open_threads
from walrus_sdk.model.plan import StoreKind
from walrus_sdk.model.units import BlobId, SuiAddress
from walrus_sdk.ports import Part, StoreRequest
from walrus_sdk.source.content import CHUNK, FileContent
from walrus_sdk.walrus.publisher import Publisher

__all__ = ["Row", "large_bodies", "memory", "small_requests"]

_MIB = 2**20
_SMALL = b"x" * 1024
_LIMIT, _AIM = "limit", "aim"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison: figures of ours and of the other in `unit`, and ours against it as a ratio.

    `limit` and `aim` are what the ratio should reach, `None` where a row is shown for comparison only. `spread` is
    the smallest and the largest figure of ours. `note` says what is missing or was changed.
    """

    quantity: str
    against: str
    unit: str
    ours: float | None = None
    theirs: float | None = None
    ratio: float | None = None
    limit: float | None = None
    aim: float | None = None
    spread: tuple[float, float] = (0.0, 0.0)
    note: str = ""

    @property
    def verdict(self) -> str:
        """``ok``, ``short``, or nothing for a row without a limit."""
        if self.limit is None or self.ratio is None:
            return ""
        return "ok" if self.ratio >= self.limit else "short"

    def __str__(self) -> str:
        """Return the row as one line of a table."""
        if self.ratio is None:
            return f"{self.quantity:<44} {self.against:<34} {self.note}"
        limit = "" if self.limit is None else f"  limit {self.limit:g}x aim {self.aim:g}x {self.verdict}"
        figures = f"{self.ours:>9.0f} {self.theirs:>9.0f} {self.unit:<6} {self.ratio:>6.2f}x"
        note = f"  ({self.note})" if self.note else ""
        return f"{self.quantity:<44} {self.against:<34} {figures}{limit}{note}"


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


_CONTENDERS: Mapping[str, tuple[str, Contender]] = {
    "ours": ("httpx", _kept),
    "ours, as paid stores": ("httpx", _paid),
    "httpx as it comes": ("httpx", _httpx),
    "httpx, a kept connection for each": ("httpx", partial(_httpx, tuned=True)),
    "httpx2, a kept connection for each": ("httpx2", partial(_httpx, library="httpx2", tuned=True)),
    "aiohttp": ("aiohttp", _aiohttp),
}
"""By name: the library that is needed, and the contender. aiohttp runs on asyncio only."""


def small_requests(
    *, in_flight: Sequence[int] = (32, 100), requests: int = 1000, rounds: int = 5, backend: str = "asyncio"
) -> list[Row]:
    """Compare requests of 1 KiB: ours over kept connections against plain httpx, httpx2 and aiohttp.

    The row "as paid stores" shows the publisher's client, which opens a connection for each store so that no paid
    request meets one that a balancer closes (docs/decisions/0003).
    """
    rows: list[Row] = []
    with running_sink() as url:
        for at_once in in_flight:
            found: dict[str, list[float]] = {}
            for _ in range(rounds):
                for name, (library, contender) in _CONTENDERS.items():
                    if _has(library) and (library != "aiohttp" or backend == "asyncio"):
                        rate = anyio.run(contender, url, requests, at_once, backend=backend)
                        found.setdefault(name, []).append(rate)
            rows += _small_rows(f"requests of 1 KiB, {at_once} in flight", found)
    return rows


def _small_rows(quantity: str, found: Mapping[str, list[float]]) -> Iterator[Row]:
    ours = found["ours"]
    for name in _CONTENDERS:
        if name == "ours":
            continue
        if name not in found:
            yield Row(quantity, name, "req/s", note="not installed, or not for this event loop")
            continue
        limits = {_LIMIT: 3.0, _AIM: 4.0} if name == "httpx as it comes" else {}
        yield _row(quantity, name, "req/s", ours, found[name], **limits)


# ── large bodies ──────────────────────────────────────────────────────────────────────────────────────────────────


def large_bodies(
    *, files: int = 5, size: int = 500_000_000, rounds: int = 5, backend: str = "asyncio", at_once: int = 5
) -> list[Row]:
    """Compare streaming files to the sink with ``curl --parallel``: with the SHA-256 check of every byte, and without.

    The files are real and lie in memory (`/dev/shm`, else the temporary folder); they are made smaller when twice
    their size is not free, and the row says so.
    """
    wanted, size = size, min(size, _free() // (2 * files))
    quantity = f"{files} x {size / 1e6:.0f} MB streamed"
    note = f"smaller than {wanted / 1e6:.0f} MB: memory" if size < wanted else ""
    if shutil.which("curl") is None:
        return [Row(quantity, "curl --parallel", "MB/s", note="not installed")]
    found: dict[str, list[float]] = {"curl": [], "checked": [], "unchecked": []}
    with _files(files, size) as (folder, made), running_sink() as url:
        for _ in range(rounds):
            found["curl"].append(files * size / 1e6 / _curl(url, [folder / name for name, _ in made]))
            for name in ("checked", "unchecked"):
                stream = partial(_stream, url, folder, made, size, at_once, hashed=name == "checked")
                found[name].append(files * size / 1e6 / anyio.run(stream, backend=backend))
    curl = "curl --parallel"
    return [
        _row(
            f"{quantity}, SHA-256 included", curl, "MB/s", found["checked"], found["curl"], limit=1, aim=1.5, note=note
        ),
        _row(f"{quantity}, without the hash", curl, "MB/s", found["unchecked"], found["curl"], note=note),
    ]


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


def memory(*, size: int = 256 * _MIB, streams: int = 2, backend: str = "asyncio") -> Row:
    """Measure what sending holds at most (allocations of this process), against the formula of `HeldBody`.

    The formula is 4 MiB a body under way, whatever its size; the ratio is formula through measured.
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
    allowed, used = streams * 4 * 1024, peak / 1024
    quantity = f"memory of {streams} x {size // _MIB} MiB being sent"
    return Row(quantity, "4 MiB x streams", "KiB", used, allowed, allowed / used, 1.0, 1.0, (used, used))


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
    return Row(quantity, against, unit, mine, other, mine / other, spread=(min(ours), max(ours)), **more)


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


def main() -> None:
    """Print all rows."""
    for measure in (small_requests, large_bodies, lambda: [memory()]):
        for row in measure():
            sys.stdout.write(f"{row}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
