"""A local network in a process of its own, forked from one without threads, and what it tells of itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import anyio

from walrus_sdk.localnet.server import listen, now_ms, run_server
from walrus_sdk.localnet.world import World, open_world
from walrus_sdk.model.units import BlobId

__all__ = ["Net", "end_after"]


def end_after(work: Callable[[], object]) -> NoReturn:
    """Do the work of a forked child, whose end is nobody else's business."""
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


class Net:
    """A local network in a forked process; it answers what was paid, what is certified, how many sites there are."""

    def __init__(self) -> None:
        mine, its = socket.socketpair()
        self._pid = os.fork()
        if not self._pid:
            end_after(lambda: anyio.run(_serve, its))
        its.close()
        self._channel = mine.makefile("rw")
        mine.close()
        self.facts: dict[str, Any] = json.loads(self._channel.readline())

    def ask(self, **shape: Any) -> dict[str, Any]:
        """Change the shape of faults, and return how everything stands."""
        self._channel.write(json.dumps(shape) + "\n")
        self._channel.flush()
        answer: dict[str, Any] = json.loads(self._channel.readline())
        return answer

    def close(self) -> None:
        """End it."""
        self._channel.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


async def _serve(channel: socket.socket) -> None:
    world, place = open_world(None, now_ms=now_ms, n_shards=10), listen()
    place.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    url = f"http://127.0.0.1:{place.getsockname()[1]}"
    up = anyio.Event()
    async with anyio.create_task_group() as tasks:
        serve: Any = partial(run_server, world, place, token="", instance="", ready=lambda _: up.set())
        tasks.start_soon(serve)
        await up.wait()
        reader, writer = await asyncio.open_connection(sock=channel)
        key = world.chain.dev_key().to_suiprivkey()
        answer: dict[str, Any] = {"url": url, "key": key, "genesis": world.genesis.to_json().decode()}
        while True:
            writer.write(json.dumps(answer).encode() + b"\n")
            line = await reader.readline()
            if not line:
                os._exit(0)
            world.faults.reshape(**json.loads(line))
            answer = _standing(world)


def _standing(world: World) -> dict[str, Any]:
    rows = world.blobs.ledger()
    objects = world.chain.objects
    owned = [objects.get(id_) for id_ in objects.ids_of(world.chain.dev_key().address.raw)]
    return {
        "paid": [row["blob_id"] for row in rows if row["paid"]],
        "certified": [name for name in {row["blob_id"] for row in rows} if world.blobs.certified(BlobId.parse(name))],
        "sites": sum(item is not None and item.type.endswith("::site::Site") for item in owned),
    }
