"""The local network as a process of its own: started by whoever needs it first, found by whoever comes later.

Alive means that the lock is held: its descriptor is inherited from the starter and kept for life. ``run.json``
appears by rename once the port is served.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio

from walrus_sdk.localnet.server import listen, now_ms, run_server
from walrus_sdk.localnet.world import World, open_world

__all__ = ["main"]


def _write(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, all or nothing."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(data)
    beside.replace(path)


def _old_port(folder: Path) -> int:
    try:
        port = int((folder / "port").read_text())
    except (OSError, ValueError):
        return 0
    return port if 0 < port < 65536 else 0


def _arguments(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m walrus_sdk.localnet", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the network keeps its state")
    parser.add_argument("--lock", type=int, required=True, help="inherited descriptor of the lock")
    parser.add_argument("--shards", type=int, default=None, help="number of shards of a new network")
    parser.add_argument("--idle", type=float, default=1800, help="seconds without a request before it ends; 0: never")
    return parser.parse_args(args)


def main(args: Sequence[str] | None = None) -> None:
    """Run the process until it is stopped, idle, or its folder is gone."""
    asked = _arguments(args)
    folder: Path = asked.folder
    os.set_inheritable(asked.lock, False)
    world = open_world(folder, now_ms=now_ms, n_shards=asked.shards)
    old = _old_port(folder)
    place = listen(old)
    port = int(place.getsockname()[1])
    run = {
        "instance": secrets.token_hex(8),
        "token": secrets.token_urlsafe(24),
        "port": port,
        "port_changed": bool(old) and old != port,
        "pid": os.getpid(),
    }

    def ready(_stop: Callable[[], None]) -> None:
        _announce(folder, world, run)

    anyio.run(_serve, world, place, run, ready, asked.idle, folder)
    world.close()
    _withdraw(folder / "run.json", str(run["instance"]))


def _withdraw(place: Path, instance: str) -> None:
    """Remove run.json, unless somebody else's is there by now."""
    try:
        if json.loads(place.read_bytes())["instance"] == instance:
            place.unlink()
    except (OSError, ValueError, KeyError):
        return


async def _serve(
    world: World,
    place: Any,
    run: Mapping[str, Any],
    ready: Callable[[Callable[[], None]], None],
    idle: float,
    folder: Path,
) -> None:
    await run_server(
        world, place, token=run["token"], instance=run["instance"], ready=ready, idle_s=idle, folder=folder
    )


def _announce(folder: Path, world: World, run: Mapping[str, Any]) -> None:
    keystore = folder / "dev.keystore"
    if not keystore.exists():
        _write(keystore, json.dumps([world.chain.dev_key().to_keystore_entry()]).encode())
    _write(folder / "port", str(run["port"]).encode())
    _write(folder / "run.json", json.dumps(dict(run)).encode())
