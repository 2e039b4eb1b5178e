"""Sessions: the one place where the adapters meet the engine.

A session opens the journal of a home and connects to a network when a verb needs one, so that looking at
deployments works without a key, a network or the embedded local network.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from walrus_sdk import local
from walrus_sdk import settings as environment
from walrus_sdk.engine.bandwidth import Bandwidth
from walrus_sdk.engine.feed import Feed
from walrus_sdk.engine.patience import Patience
from walrus_sdk.http import redact
from walrus_sdk.http.client import MAX_REFUSAL, HttpClient, Timeouts
from walrus_sdk.journal.backup import backup, restore
from walrus_sdk.journal.checkpoints import read_checkpoint
from walrus_sdk.journal.examine import examine_home
from walrus_sdk.journal.log_file import LogFile, LogTail
from walrus_sdk.journal.store import CheckpointFiles, SqliteJournal, journal_path, open_journal
from walrus_sdk.journal.tail import JournalTail
from walrus_sdk.machine.clock import SystemClock, SystemIds, SystemRandom, sleep
from walrus_sdk.machine.headroom import check_headroom
from walrus_sdk.machine.resources import read_resources
from walrus_sdk.machine.threads import SystemThreads, open_threads
from walrus_sdk.model.health import Finding
from walrus_sdk.model.network import Network
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.units import DeploymentId, ObjectId
from walrus_sdk.ports import BlobStore, Folder, Ownership, Signer
from walrus_sdk.service import doctor, requests
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.logged import LoggedJournal
from walrus_sdk.service.monitoring import Sight
from walrus_sdk.service.sampling import Sampler
from walrus_sdk.service.unwrap import one_error
from walrus_sdk.service.verbs import Listener, Session
from walrus_sdk.settings import Settings
from walrus_sdk.source.commit import git_commit
from walrus_sdk.source.folder import SiteFolder
from walrus_sdk.source.rules_file import write_site_id
from walrus_sdk.sui.chain import GraphQlChain
from walrus_sdk.sui.graphql import GraphQl
from walrus_sdk.sui.signers import KeySigner, find_key, key_of_file
from walrus_sdk.walrus.aggregator import Aggregators
from walrus_sdk.walrus.publisher import Publisher, TokenProvider
from walrus_sdk.walrus.store import HttpBlobStore

__all__ = ["Endpoints", "Listener", "Session", "check_headroom", "open_session", "restore_home"]

_EVENTS = logging.getLogger("walrus_sdk.events")
"""Every event as a line of JSON, at level INFO: what `--verbose` shows."""
_POLL_S = 0.25
"""Seconds between looks at the journal for what another process does."""


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses that replace those of the network; an empty tuple or `None` leaves them.

    Several publishers work side by side, several addresses of another service are tried in order.
    """

    publisher: tuple[str, ...] = ()
    aggregator: tuple[str, ...] = ()
    graphql: tuple[str, ...] = ()
    portal: str | None = None

    def over(self, network: Network) -> Network:
        """Return the network with these addresses."""
        return dataclasses.replace(
            network,
            publisher_urls=self.publisher or network.publisher_urls,
            aggregator_urls=self.aggregator or network.aggregator_urls,
            graphql_urls=self.graphql or network.graphql_urls,
            portal=self.portal or network.portal,
        )


async def restore_home(source: str | Path, settings: Settings | None = None) -> Path:
    """Bring a backup back as the state of a home that has none; returns the home.

    Raises `ConfigurationError` ``option_invalid`` when the home has a journal, `StateError` for a backup that is not
    sound.
    """
    home = (settings or environment.load()).home
    with one_error():
        await to_thread.run_sync(restore, _place(source), home)
    return home


@asynccontextmanager
async def open_session(
    settings: Settings | None = None,
    *,
    network: str | Network | None = None,
    home: str | Path | None = None,
    publisher: str | Sequence[str] = (),
    aggregator: str | Sequence[str] = (),
    graphql: str | Sequence[str] = (),
    portal: str | None = None,
    signer: Signer | None = None,
    publisher_token: TokenProvider | None = None,
    shards: int | None = None,
) -> AsyncIterator[Session]:
    """Open a session on a home; it lasts as long as the block.

    `network` is ``local`` (the default: the embedded local network, started when needed), ``testnet``, ``mainnet``, or
    a `Network` of your own.
    `home` is the state folder. Addresses replace the network's own. `signer` signs instead of the key that is found
    in the environment. `publisher_token` is asked for a bearer token before each store. `shards` is for a local
    network that does not exist yet. Raises `ConfigurationError` ``network_unknown``, `StateError` when the home
    cannot be used.
    """
    check_headroom()
    found = settings or environment.load()
    if home is not None:
        found = dataclasses.replace(found, home=_place(home))
    chosen = network if isinstance(network, Network) else found.network(network)
    addresses = Endpoints(_texts(publisher), _texts(aggregator), _texts(graphql), portal)
    clock = SystemClock()
    with one_error():
        client = HttpClient(ca_file=found.ca_file)
        async with open_journal(found.home, clock) as journal, open_threads() as threads, client as http:
            wiring = _Wiring(found, chosen, addresses, signer, publisher_token, shards, clock, journal, threads, http)
            with closing(wiring.tail):
                yield Session(wiring)


def _place(folder: str | Path) -> Path:
    return Path(folder).expanduser().absolute()


def _texts(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


class _Wiring:
    """Joins adapters to what the verbs need; connects once, when first asked."""

    def __init__(
        self,
        settings: Settings,
        network: Network,
        addresses: Endpoints,
        signer: Signer | None,
        token: TokenProvider | None,
        shards: int | None,
        clock: SystemClock,
        journal: SqliteJournal,
        threads: SystemThreads,
        http: HttpClient,
    ) -> None:
        self.settings = settings
        self.journal = journal
        self.tail = JournalTail(journal_path(settings.home))
        self._network = network
        self._addresses = addresses
        self._signer = signer
        self._token = token or self._settings_token()
        self._shards = shards
        self._clock = clock
        self._threads = threads
        self._http = http
        self._connection: Connection | None = None
        self._connecting = anyio.Lock()
        self._dev_key: Path | None = None
        self._paces: dict[int, Bandwidth] = {}
        self._stores: dict[tuple[float, int | None], BlobStore] = {}

    def _settings_token(self) -> TokenProvider | None:
        secret = self.settings.publisher_token
        if secret is None:
            return None

        async def token() -> str:
            return secret.reveal()

        return token

    def wall_ms(self) -> int:
        """Return milliseconds since 1970 UTC."""
        return self._clock.wall_ms()

    def open_log(self) -> Callable[[], Awaitable[Sequence[str]]]:
        """Return what reads the lines that were added to the log since it was called last."""
        return partial(self._threads.run, LogTail(self.settings.home).read)

    def hidden(self, text: str) -> str:
        """Take secrets out of a text."""
        return redact.hidden(text)

    @property
    def sight(self) -> Sight:
        """What those need who watch the home."""
        return Sight(
            settings=self.settings,
            journal=self.journal,
            tail=self.tail,
            clock=self._clock,
            sleep=sleep,
            is_live=self.is_live,
            disk_free=self._disk_free,
            post=self._tell_webhook,
            wallet=self._wallet,
        )

    def _disk_free(self) -> int | None:
        try:
            return shutil.disk_usage(self.settings.home).free
        except OSError:
            return None

    async def _tell_webhook(self, url: str, content: bytes, headers: Mapping[str, str], limit_s: float) -> int:
        limits = Timeouts(connect_s=limit_s, send_s=limit_s, read_s=limit_s, total_s=limit_s)
        return (await self._http.post(url, content, headers=headers, max_size=MAX_REFUSAL, timeouts=limits)).status

    async def _wallet(self) -> tuple[int, int | None]:
        connection = await self.connection()
        owner, chain, coin = connection.signer().address, connection.chain, connection.network.wal_coin
        mist = sum(one.balance for one in await chain.coins(owner))
        assert isinstance(chain, GraphQlChain), "what `_connect` made"
        return mist, await chain.balance(owner, coin) if coin else None

    def is_live(self, deployment: DeploymentId) -> bool:
        """Return whether a process works on a deployment."""
        return self.journal.locks.is_held(deployment)

    async def read_checkpoint(self, path: Path) -> Mapping[str, Any]:
        """Read a checkpoint file."""
        return await self._threads.run(read_checkpoint, path)

    async def home_findings(self, *, repair: bool) -> Sequence[Finding]:
        """Examine the home on disk, and what is set around the process."""
        found = await self._threads.run(partial(examine_home, self.settings.home, repair=repair))
        encoder = Finding("blob ids", "ok", self._threads.encoder)
        return [*found, encoder, *doctor.environment(self.settings)]

    async def backup(self, target: Path) -> Path:
        """Copy the state of the home."""
        return (await self._threads.run(backup, self.settings.home, target)).path

    async def write_site_id(self, path: Path, site_id: ObjectId, name: str) -> None:
        """Write a site's id into its rules."""
        await self._threads.run(write_site_id, path, site_id, name)

    async def connection(self) -> Connection:
        """Return the connection; finds or starts the local network when that is meant."""
        async with self._connecting:
            if self._connection is None:
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> Connection:
        network = self._network
        if network.name == "local" and not network.graphql_urls:
            running = await self._threads.run(self._start_local)
            network, self._dev_key = running.network, running.key_file
        network = self._addresses.over(network)
        return Connection(
            network=network,
            project=self.settings.project,
            journal=LoggedJournal(self.journal, self._log(), self._threads),
            checkpoints=CheckpointFiles(self.settings.home),
            chain=GraphQlChain(
                GraphQl(self._http, network.graphql_urls, clock=self._clock.monotonic, wall_ms=self._clock.wall_ms),
                network,
            ),
            clock=self._clock,
            sleep=sleep,
            random=SystemRandom(),
            ids=SystemIds(self._clock),
            threads=self._threads,
            patience=Patience(),
            store=lambda options: self._store(network, options),
            signer=self._find_signer,
            folder=self._folder,
            commit=self._commit,
            is_live=self.is_live,
            asked=self._asked,
            sampler=self._sampler,
        )

    def _log(self) -> Callable[[Sequence[str]], None]:
        """Return what writes lines to the log of the home, and to the program's own log where it is listened to."""
        file = LogFile(self.settings.home, redact.hidden)

        def write(lines: Sequence[str]) -> None:
            file.write(lines)
            if _EVENTS.isEnabledFor(logging.INFO):
                for line in lines:
                    _EVENTS.info("%s", redact.hidden(line))

        return write

    def _sampler(self, owner: Ownership, feed: Feed) -> Sampler:
        look = partial(self._threads.run, read_resources, self.settings.home)
        return Sampler(self.journal, owner, feed, clock=self._clock, resources=look)

    async def _asked(self, owner: Ownership, known: frozenset[str]) -> frozenset[str]:
        """Look for requests to the owner of a deployment four times a second."""
        while (found := await requests.asked_of(self.journal, owner)) == known:
            await sleep(_POLL_S)
        return found

    def _start_local(self) -> local.Local:
        return local.ensure_running(self.settings.home, shards=self._shards)

    def _store(self, network: Network, options: DeployOptions) -> BlobStore:
        # One for each patience and pace, for the whole session: it remembers which addresses failed and which tokens
        # are spent, and its bodies share the bandwidth.
        timeout_s, rate = options.recovery.timeout_s, options.max_bandwidth or self.settings.project.max_bandwidth
        if (timeout_s, rate) not in self._stores:
            wall_ms, clock = self._clock.wall_ms, self._clock.monotonic
            if rate is not None and rate not in self._paces:
                self._paces[rate] = Bandwidth(rate, clock, sleep)
            pace = self._paces[rate] if rate is not None else None
            publishers = [
                Publisher(self._http, url, wall_ms=wall_ms, token=self._token, store_s=timeout_s, pace=pace)
                for url in network.publisher_urls
            ]
            aggregators = Aggregators(self._http, network.aggregator_urls, wall_ms=wall_ms, clock=clock)
            self._stores[timeout_s, rate] = HttpBlobStore(publishers, aggregators, clock=clock)
        return self._stores[timeout_s, rate]

    def _find_signer(self) -> Signer:
        if self._signer is None:
            key = self.settings.private_key
            if self._dev_key is not None:
                self._signer = KeySigner(key_of_file(self._dev_key))
            else:
                text = key.reveal() if key is not None else None
                self._signer = KeySigner(find_key(text, self.settings.wallet_path, self.settings.user_home))
        return self._signer

    @asynccontextmanager
    async def _folder(self, place: Path) -> AsyncIterator[Folder]:
        remember = partial(self.journal.cache, f"stat:{place}")
        folder = SiteFolder(place, self._threads, self._clock, remember=remember)
        try:
            yield folder
        finally:
            with anyio.CancelScope(shield=True):
                await folder.save()
            folder.close()

    async def _commit(self, place: Path) -> str:
        return self.settings.commit or await self._threads.run(git_commit, place)
