"""What a deployment of large files holds at most: peak memory of its process beyond that of encoding one file."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import anyio

from benchmarks.house import scratch
from benchmarks.prepass import InProcess
from benchmarks.rows import Row
from walrus_sdk.codecs import tasks
from walrus_sdk.errors import StorageError
from walrus_sdk.http.client import HttpClient
from walrus_sdk.localnet.sink import running_sink
from walrus_sdk.model.units import BlobId, QuiltPatchId
from walrus_sdk.ports import Release, StoreReceipt, StoreRequest
from walrus_sdk.testing.world import SimulatedWorld
from walrus_sdk.walrus.publisher import Publisher

__all__ = ["large_site"]

_FILES, _SIZE = 100, 100_000_000
_SHARDS = 1000
_LIMIT, _AIM = 400.0, 200.0
"""MB."""


def large_site() -> Iterator[Row]:
    """Deploy 100 files of 100 MB to a sink: scan, blob ids, streamed bodies and journal are real, the chain is not.

    Each figure is the peak of a process of its own. The files are holes but for their first bytes, so that they take
    no room on the disk; nothing of the product looks at that.
    """
    with scratch() as place, running_sink() as url:
        folder = place / "site"
        folder.mkdir()
        for name in ("index.html", *(f"{number:03}.bin" for number in range(1, _FILES))):
            with (folder / name).open("wb") as file:
                file.write(name.encode())
                file.truncate(_SIZE)
        one = _peak_mb("encode", str(folder / "index.html"))
        whole = _peak_mb("deploy", str(folder), str(place / "home"), url)
    beyond = whole - one
    note = f"{whole:.0f} MB in all, {one:.0f} MB to encode one"
    yield Row(f"peak memory, {_FILES} x {_SIZE / 1e6:.0f} MB, beyond encoding one", f"{_LIMIT:.0f} MB", beyond, _LIMIT,
              "MB", beyond / _LIMIT, 1.0, _AIM / _LIMIT, at_most=True, note=note)  # fmt: skip


def _peak_mb(*arguments: str) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", *arguments], check=True, capture_output=True, text=True
    )
    return float(done.stdout.splitlines()[-1])


# ── in the process that is measured ───────────────────────────────────────────────────────────────────────────────


class _Sink:
    """A store that sends everything over HTTP to a sink, which answers each with the same blob id."""

    publishers = 1

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def store(self, request: StoreRequest, release: Release, *, at: int = 0) -> StoreReceipt:
        """Send a body; what is answered stands for the blob that was named."""
        receipt = await self._publisher.store(replace(request, blob_id=BlobId(bytes(32))), release)
        return replace(receipt, blob_id=request.blob_id)

    async def read(
        self,
        ref: BlobId | QuiltPatchId,
        sink: Callable[[bytes], object],
        *,
        span: tuple[int, int] | None = None,
        max_size: int,
    ) -> int:
        """Nothing is there."""
        raise StorageError("blob_not_found", f"no blob {ref}")


async def _deploy(folder: str, home: str, url: str) -> None:
    async with HttpClient() as http:
        store = _Sink(Publisher(http, url, wall_ms=lambda: 0))
        world = SimulatedWorld({}, n_shards=_SHARDS)
        world.network = replace(world.network, max_blob_body=_SIZE)  # the sink answers as for a blob
        house = InProcess(Path(folder), Path(home), world, store)
        async with house.connected() as connection:
            await house.deploy(connection)


def main(kind: str, *arguments: str) -> None:
    """Do one of the two, and print the peak of this process in MB (of 10^6 bytes)."""
    if kind == "encode":
        tasks.blob_name(Path(arguments[0]).read_bytes(), _SHARDS)
    else:
        folder, home, url = arguments
        anyio.run(_deploy, folder, home, url)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)


if __name__ == "__main__":
    main(*sys.argv[1:])
