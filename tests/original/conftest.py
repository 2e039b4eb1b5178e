"""The classes of the original design over the simulated world."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import pytest

from walrus_sdk.model.options import RecoveryOptions
from walrus_sdk.service.original import DeploymentMonitor, DeploymentRecoveryManager, WalrusSitesDeploymentService
from walrus_sdk.service.session import Session
from walrus_sdk.testing import SimulatedWorld

T = TypeVar("T")
C = TypeVar("C", DeploymentMonitor, DeploymentRecoveryManager, WalrusSitesDeploymentService)


class Place:
    """A simulated world with one folder, and the three classes on it; `opened` is where their sessions went."""

    def __init__(self) -> None:
        self.world = SimulatedWorld()
        self.opened: list[Any] = []

    @asynccontextmanager
    async def open(self, **where: Any) -> AsyncIterator[Session]:
        self.opened.append(where)
        yield self.world.session

    def make(self, kind: type[C], recovery: RecoveryOptions | None = None, **where: Any) -> C:
        return kind(recovery, opener=self.open, **where)

    @property
    def manager(self) -> DeploymentRecoveryManager:
        return self.make(DeploymentRecoveryManager)

    @property
    def service(self) -> WalrusSitesDeploymentService:
        return self.make(WalrusSitesDeploymentService)

    @property
    def monitor(self) -> DeploymentMonitor:
        return self.make(DeploymentMonitor)

    async def die_at(self, point: str, **asked: Any) -> str:
        """Deploy until the world's death at a hook point; returns the deployment that is left."""
        assert await self.world.dies(point, lambda: self.world.deploy(**asked))
        return str((await self.world.session.list())[0].deployment_id)

    async def deploy(self, home_page: bytes = b"<h1>home</h1>") -> str:
        """Deploy to the end with this home page; returns the deployment's id."""
        self.world.files["index.html"] = home_page
        return str((await self.world.deploy()).deployment_id)

    def run(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Call a coroutine function in an event loop of its own."""
        self.world.disk.asked = anyio.Event()  # the last one belongs to another loop
        return anyio.run(function, *args)

    async def home_page(self) -> bytes:
        return (await self.world.served())["/index.html"]


@pytest.fixture
def place() -> Place:
    return Place()
