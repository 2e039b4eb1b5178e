"""What a comparison of whole deployments needs: folders of files, and a home with a local network of its own."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

import walrus_sdk as ws
from walrus_sdk import local
from walrus_sdk.model.options import DeployResult
from walrus_sdk.model.progress import Phase, Progress

__all__ = ["House", "Timed", "open_house", "scratch", "write_site"]


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder for the length of a block."""
    place = Path(tempfile.mkdtemp(prefix="walrus-bench-"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def write_site(folder: Path, files: int, size: int, seed: str = "tide") -> Path:
    """Write `files` files of `size` bytes without repeats or runs of zeros, a hundred a folder; returns the folder."""
    for number in range(files):
        place = folder / f"{number // 100:03}" / f"{number:05}.bin"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(hashlib.shake_128(f"{seed} {number}".encode()).digest(size))
    (folder / "index.html").write_bytes(b"<h1>measured</h1>")
    return folder


@dataclass(frozen=True, slots=True)
class Timed:
    """A deployment and its wall time in seconds: `whole`, and `store` from the first thing stored to the last."""

    result: DeployResult
    whole: float
    store: float


@dataclass(frozen=True, slots=True)
class House:
    """A home with a local network that runs in a process of its own."""

    home: Path

    def shape(self, **values: Any) -> None:
        """Change what holds all the time; see `walrus_sdk.localnet.faults.Shape`."""
        local.set_faults(self.home, {"shape": values})

    def ledger(self) -> list[dict[str, Any]]:
        """Return what was stored and paid."""
        return local.ledger(self.home)

    def deploy(self, folder: Path, name: str, **asked: Any) -> Timed:
        """Deploy a folder as the SDK's users do, and time it."""
        at: dict[Phase, float] = {}

        def progress(now: Progress) -> None:
            at.setdefault(now.phase, time.perf_counter())

        async def main() -> DeployResult:
            async with ws.open(home=self.home, network="local") as sites:
                return await sites.deploy(folder, site_name=name, progress=progress, **asked)

        began = time.perf_counter()
        result = anyio.run(main)
        whole = time.perf_counter() - began
        return Timed(result, whole, at[Phase.CHAIN] - at[Phase.STORE] if Phase.CHAIN in at else 0.0)


@contextmanager
def open_house(shards: int = 1000, **shape: Any) -> Iterator[House]:
    """Start a local network with a home of its own for the length of a block."""
    with scratch() as place:
        home = place / "home"
        home.mkdir(mode=0o700)
        local.ensure_running(home, shards=shards, idle_s=3600.0)
        house = House(home)
        try:
            house.shape(**shape)
            yield house
        finally:
            local.stop(home)
