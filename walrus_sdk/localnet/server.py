"""The server: one port on 127.0.0.1, in this process's thread or as the whole of a process."""

from __future__ import annotations

import errno
import secrets
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import anyio
import uvicorn

from walrus_sdk.codecs.keys import PrivateKey
from walrus_sdk.localnet.app import LocalApp
from walrus_sdk.localnet.control import Control
from walrus_sdk.localnet.faults import Faults
from walrus_sdk.localnet.world import World, network_of, open_world
from walrus_sdk.model.network import Network

__all__ = ["LocalNetwork", "listen", "run_server"]

_HOST = "127.0.0.1"
_CHECK_S = 1.0


def listen(port: int = 0) -> socket.socket:
    """Return a listening socket on loopback; another port when `port` is taken."""
    for wanted in (port, 0):
        # With its protocol named, asyncio switches Nagle's delay off; else each answer waits 40 ms for an ACK.
        place = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind((_HOST, wanted))
            place.listen(128)
        except OSError as error:
            place.close()
            if wanted and error.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            raise
        return place
    raise AssertionError("port 0 is never taken")


def now_ms() -> int:
    """Return the wall clock in milliseconds."""
    return time.time_ns() // 1_000_000


async def run_server(
    world: World,
    place: socket.socket,
    *,
    token: str,
    instance: str,
    ready: Callable[[Callable[[], None]], None],
    idle_s: float = 0,
    folder: Path | None = None,
) -> None:
    """Serve until stopped, idle for `idle_s` seconds (0: never), or `folder` is gone.

    `ready` is called once the port is served, with a function that ends the server (from this thread).
    """
    config = uvicorn.Config(
        lambda: None,
        lifespan="off",
        log_config=None,
        access_log=False,
        ws="none",
        http="h11",
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    server.ready = lambda: ready(stop)

    def stop() -> None:
        server.should_exit = True

    async with anyio.create_task_group() as background:
        control = Control(world, token=token, instance=instance, stop=stop)
        app = LocalApp(world, control, sleep=anyio.sleep, background=background)
        config.app = app
        background.start_soon(_watch, server, app, idle_s, folder)
        await server.serve(sockets=[place])
        background.cancel_scope.cancel()


class _Server(uvicorn.Server):
    """A server that says when its port is served."""

    ready: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()


async def _watch(server: uvicorn.Server, app: LocalApp, idle_s: float, folder: Path | None) -> None:
    """End the server when nobody needs it any more."""
    home = _identity(folder)
    while True:
        await anyio.sleep(_CHECK_S)
        idle = bool(idle_s) and time.monotonic() - app.last_request > idle_s
        if idle or _identity(folder) != home:
            server.should_exit = True


def _identity(folder: Path | None) -> tuple[int, int] | None:
    """Return which folder it is: one made anew under the old name belongs to somebody else."""
    try:
        found = folder.stat() if folder is not None else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found is not None else None


class LocalNetwork:
    """A local network in a thread of this process: for tests and notebooks that want a world of their own.

    Use it as a context manager. `faults` may be changed while it runs; `ledger` lists what was paid; `key` is the
    funded account. In memory unless `folder` is given.
    """

    def __init__(self, *, n_shards: int = 10, folder: Path | None = None) -> None:
        self.world: World = open_world(folder, now_ms=now_ms, n_shards=n_shards)
        self.token = secrets.token_urlsafe(16)
        self.instance = secrets.token_hex(8)
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], None] = lambda: None

    def __enter__(self) -> LocalNetwork:
        place = self._socket = listen()
        up = threading.Event()

        def ready(stop: Callable[[], None]) -> None:
            self._stop = stop
            up.set()

        serve: Any = partial(run_server, self.world, place, token=self.token, instance=self.instance, ready=ready)
        self._thread = threading.Thread(target=anyio.run, args=(serve,), name="localnet", daemon=True)
        self._thread.start()
        up.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if self._thread is not None:
            self._thread.join()
        if self._socket is not None:
            self._socket.close()
        self.world.close()

    @property
    def url(self) -> str:
        """The address of all services, without a final slash."""
        assert self._socket is not None, "enter the context first"
        return f"http://{_HOST}:{self._socket.getsockname()[1]}"

    @property
    def network(self) -> Network:
        """The network as clients see it."""
        return network_of(self.world.genesis, self.url)

    @property
    def faults(self) -> Faults:
        """The faults: add, clear, reshape."""
        return self.world.faults

    @property
    def key(self) -> PrivateKey:
        """The key of the funded account."""
        return self.world.chain.dev_key()

    def ledger(self) -> list[dict[str, Any]]:
        """Return one row a store: what came in, what was paid."""
        return self.world.blobs.ledger()
