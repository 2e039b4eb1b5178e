"""Both sides of each port: the real adapter against a local network on loopback, and the simulated one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from walrus_sdk.codecs.keys import PrivateKey
from walrus_sdk.http.client import HttpClient
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.localnet.world import World as LocalWorld
from walrus_sdk.model.network import Network
from walrus_sdk.ports import BlobStore, Chain
from walrus_sdk.sui.chain import GraphQlChain
from walrus_sdk.sui.graphql import GraphQl
from walrus_sdk.testing import SimulatedWorld
from walrus_sdk.walrus.aggregator import Aggregators
from walrus_sdk.walrus.publisher import Publisher
from walrus_sdk.walrus.store import HttpBlobStore


@dataclass
class Side:
    """One implementation of the ports, and the world behind it."""

    store: BlobStore
    chain: Chain
    net: LocalWorld
    network: Network
    key: PrivateKey

    def ledger(self) -> list[dict[str, Any]]:
        return self.net.blobs.ledger()


@pytest.fixture(params=["real", "simulated"])
def side(request: pytest.FixtureRequest) -> Callable[[], AbstractAsyncContextManager[Side]]:
    @asynccontextmanager
    async def simulated() -> AsyncIterator[Side]:
        world = SimulatedWorld()
        yield Side(world.store, world.chain, world.net, world.network, world.net.chain.dev_key())

    @asynccontextmanager
    async def real() -> AsyncIterator[Side]:
        with LocalNetwork(n_shards=10) as net:
            async with HttpClient() as http:
                now = net.world.chain.now_ms
                publisher = Publisher(http, net.url, wall_ms=now)
                store = HttpBlobStore([publisher], Aggregators(http, [net.url], wall_ms=now))
                chain = GraphQlChain(GraphQl(http, net.network.graphql_urls), net.network)
                yield Side(store, chain, net.world, net.network, net.key)

    return real if request.param == "real" else simulated
