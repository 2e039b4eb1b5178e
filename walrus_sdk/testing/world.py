"""The simulated world, put together: deploy into it, kill it anywhere, deploy again, count what was paid."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from walrus_sdk.engine.feed import Feed
from walrus_sdk.engine.patience import Patience
from walrus_sdk.errors import ConfigurationError
from walrus_sdk.localnet.world import network_of, open_world
from walrus_sdk.model.health import Finding
from walrus_sdk.model.network import Network
from walrus_sdk.model.options import Asked, DeployOptions, DeployResult
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.units import DeploymentId, ObjectId, SuiAddress
from walrus_sdk.ports import Folder, SigningRequest
from walrus_sdk.service import deploy, reports
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.monitoring import Sight
from walrus_sdk.service.verbs import Session
from walrus_sdk.settings import Project, Settings
from walrus_sdk.testing.chain import MemoryChain
from walrus_sdk.testing.death import Life, is_death
from walrus_sdk.testing.folder import MemoryFolder
from walrus_sdk.testing.journal import Disk, MemoryCheckpoints, MemoryJournal, MemoryTail
from walrus_sdk.testing.machine import InlineThreads, ManualClock, SeededRandom, SequentialIds
from walrus_sdk.testing.store import MemoryStore
from walrus_sdk.testing.virtual import VirtualClock

__all__ = ["PAGES", "SimulatedWorld"]

PAGES: Mapping[str, bytes] = {
    "index.html": b"<h1>home</h1>",
    "about.html": b"<p>about</p>" * 20,
    "assets/app.js": b"console.log(1)\n" * 30,
    "assets/logo.svg": b"<svg></svg>",
}


class _DevSigner:
    def __init__(self, world: SimulatedWorld) -> None:
        self._world = world
        self._key = world.net.chain.dev_key()

    @property
    def address(self) -> SuiAddress:
        return self._key.address

    async def sign(self, request: SigningRequest) -> bytes:
        self._world.life.check()
        return self._key.sign_transaction(request.transaction)


class _Wiring:
    def __init__(self, world: SimulatedWorld) -> None:
        self._world = world
        self.journal = world.journal
        self.tail = MemoryTail(world.disk)

    @property
    def sight(self) -> Sight:
        return Sight(
            settings=Settings(home=Path("/home")),
            journal=self.journal,
            tail=self.tail,
            clock=self._world.clock,
            sleep=self._world.connection.sleep,
            is_live=self.is_live,
            disk_free=lambda: None,
            post=self._nobody,
            wallet=self._wallet,
        )

    async def _nobody(self, url: str, content: bytes, headers: Mapping[str, str], limit_s: float) -> int:
        raise ConfigurationError("option_invalid", "nobody is told of anything from a simulated world")

    async def _wallet(self) -> tuple[int, int | None]:
        connection = self._world.connection
        coins = await connection.chain.coins(connection.signer().address)
        return sum(coin.balance for coin in coins), None

    async def connection(self) -> Connection:
        return self._world.connection

    def wall_ms(self) -> int:
        return self._world.clock.wall_ms()

    def open_log(self) -> Callable[[], Awaitable[Sequence[str]]]:
        async def nothing() -> Sequence[str]:
            return []  # a home in memory has no log file

        return nothing

    def hidden(self, text: str) -> str:
        return text

    def is_live(self, deployment: DeploymentId) -> bool:
        return self._world.connection.is_live(deployment)

    async def read_checkpoint(self, path: Path) -> Mapping[str, Any]:
        kept = self._world.disk.checkpoints["/".join(path.parts[-2:])]
        found: Mapping[str, Any] = json.loads(json.dumps(kept))
        return found

    async def home_findings(self, *, repair: bool) -> Sequence[Finding]:
        return []

    async def backup(self, target: Path) -> Path:
        raise ConfigurationError("option_invalid", "a home in memory has no file to copy")

    async def write_site_id(self, path: Path, site_id: ObjectId, name: str) -> None:
        raise ConfigurationError("option_invalid", "a folder in memory has no file to write to")


class SimulatedWorld:
    """One local network in memory, one home, one folder; `deploy` runs the real service and engine on it.

    `folders` holds further folders by their place. What lasts (`net`, `disk`, `clock`, `files`) survives `revive`,
    which stands for the next process.
    """

    def __init__(
        self,
        files: Mapping[str, bytes] = PAGES,
        *,
        n_shards: int = 10,
        settle_s: float = 5.0,
        clock: ManualClock | VirtualClock | None = None,
        seed: str | None = None,
    ) -> None:
        self.clock = clock or ManualClock()
        self.net = open_world(None, now_ms=self.clock.wall_ms, n_shards=n_shards, seed=seed)
        self.disk = Disk()
        self.files = dict(files)
        self.folders: dict[str, dict[str, bytes]] = {}
        self.under_way: list[tuple[bytes, Sequence[bytes]]] = []
        self.ids = SequentialIds()
        self.network: Network = replace(network_of(self.net.genesis, "http://127.0.0.1:1"), settle_s=settle_s)
        self.revive()

    def revive(self) -> None:
        """Begin a new process: living ports over what lasted."""
        self.life = Life()
        self.disk.held.clear()
        self.journal = MemoryJournal(self.disk, self.clock, self.life)
        self.store = MemoryStore(self.net.blobs, self.net.genesis.n_shards, self.life)
        self.chain = MemoryChain(self.net.chain, self.life, self.under_way)
        self.signer = _DevSigner(self)

    @property
    def connection(self) -> Connection:
        """The ports, as the service takes them."""

        async def commit(_: Path) -> str:
            return ""

        return Connection(
            network=self.network,
            project=Project(),
            journal=self.journal,
            checkpoints=MemoryCheckpoints(self.disk, self.life),
            chain=self.chain,
            clock=self.clock,
            sleep=self.clock.sleep,
            random=SeededRandom(),
            ids=self.ids,
            threads=InlineThreads(),
            patience=Patience(),
            store=lambda _: self.store,
            signer=lambda: self.signer,
            folder=self._folder,
            commit=commit,
            is_live=lambda deployment: str(deployment) in self.disk.held,
            asked=self.journal.asked,
            hook=self.life.hook,
        )

    @asynccontextmanager
    async def _folder(self, place: Path) -> AsyncIterator[Folder]:
        yield MemoryFolder(self.folders.get(str(place), self.files), self.life, str(place))

    @property
    def session(self) -> Session:
        """The verbs, as `walrus_sdk.open` gives them."""
        return Session(_Wiring(self))

    async def plan(self, *, place: str = "/site", **asked: Unpack[Asked]) -> Plan:
        """Plan a deployment of `files`."""
        return await deploy.plan(self.connection, Path(place), _options(asked), Feed())

    async def apply(self, plan: Plan, **asked: Unpack[Asked]) -> DeployResult:
        """Carry a plan out."""
        return await deploy.apply(self.connection, plan, _options(asked), Feed())

    async def deploy(self, *, place: str = "/site", feed: Feed | None = None, **asked: Unpack[Asked]) -> DeployResult:
        """Deploy `files` (or what `folders` has at `place`), as the command does."""
        return await deploy.deploy(self.connection, Path(place), _options(asked), feed or Feed())

    async def deploy_in_session(self, **asked: Unpack[Asked]) -> DeployResult:
        """Deploy as `walrus_sdk.open` does, with what a session adds."""
        return await self.session.deploy("/site", _options(asked))

    async def dies(
        self, at: str | Callable[[int, str], bool] = "", verb: Callable[[], Awaitable[object]] | None = None
    ) -> bool:
        """Call a verb (`deploy` when none is given) that dies at a hook point, and begin a new process.

        `at` is the point's name, or chooses it by number and name; without it something else must kill. Returns
        whether it died.
        """
        self.life.die_when((lambda _, name: name == at) if isinstance(at, str) else at)
        died = False
        try:
            await (verb or self.deploy)()
        except BaseException as error:
            if not is_death(error):
                raise
            died = True
        self.revive()
        return died

    def elsewhere(self) -> SimulatedWorld:
        """Another machine: the same networks, wallet and folder, and a home that knows the checkpoints only."""
        other = copy.copy(self)
        other.disk = Disk()
        other.disk.checkpoints = dict(self.disk.checkpoints)
        other.revive()
        return other

    # ── what is seen from outside ─────────────────────────────────────────────────────────────────────────────

    def paid(self) -> Counter[str]:
        """How often each blob was paid."""
        return Counter(row["blob_id"] for row in self.net.blobs.ledger() if row["paid"])

    async def site_ids(self) -> list[ObjectId]:
        """The sites that the owner has on chain."""
        return [site_id for site_id, _ in await self.chain.sites(self.signer.address)]

    async def served(self, site_id: ObjectId | None = None) -> dict[str, bytes]:
        """What visitors get at each path of a site; without an id of the owner's one site."""
        if site_id is None:
            (site_id,) = await self.site_ids()
        site = await self.chain.site(site_id)
        assert site is not None
        pages: dict[str, bytes] = {}
        for path, resource in site.content.resources.items():
            body = bytearray()
            await self.store.read(resource.patch or resource.blob_id, body.extend, max_size=2**30)
            pages[path] = bytes(body)
        return pages

    def published(self) -> dict[str, bytes]:
        """What visitors should get: every file but the rules, at its path."""
        return {f"/{name}": data for name, data in self.files.items() if name != "ws-resources.json"}

    async def statuses(self) -> list[str]:
        """The statuses of all deployments, oldest first."""
        found = await reports.summaries(self.journal, self.connection.is_live)
        return [item.status for item in reversed(found)]


def _options(asked: Asked) -> DeployOptions:
    return replace(DeployOptions(site_name="simulated"), **asked)
