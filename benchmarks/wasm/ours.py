"""One measurement of ours: ``python -m benchmarks.wasm.ours TIER THREADS FILE SHARDS REPEATS``; prints JSON."""

from __future__ import annotations

import json
import mmap
import resource
import sys
import time
from pathlib import Path

from walrus_sdk.codecs import redstuff


def main(tier: str, threads: str, path: str, shards: str, repeats: str) -> None:
    """Measure and print."""
    named = None if tier == "compiled" else tier
    redstuff.blob_id(b"", 10, threads=int(threads), tier=named)
    runs = []
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for _ in range(int(repeats)):
            wall, cpu = time.perf_counter(), time.process_time()
            name = redstuff.blob_id(data, int(shards), threads=int(threads), tier=named)
            runs.append([time.perf_counter() - wall, time.process_time() - cpu])
    scale = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    print(json.dumps({"blob_id": str(name), "runs": runs, "rss_bytes": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
