"""The simulated world: one chain, its blobs, its faults; in memory or in a folder that survives the process."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.localnet.blobs import BlobBytes, Blobs, FolderBytes, MemoryBytes
from walrus_sdk.localnet.chain.state import SuiState
from walrus_sdk.localnet.faults import Faults
from walrus_sdk.localnet.genesis import Genesis
from walrus_sdk.localnet.storage import MemoryTables, SqliteTables, Tables
from walrus_sdk.model.network import Network

__all__ = ["DATABASE", "World", "network_of", "open_world"]

DATABASE = "world.db"
_BLOBS = "blobs"


@dataclass(frozen=True, slots=True)
class World:
    """Everything that one local network is."""

    genesis: Genesis
    chain: SuiState
    blobs: Blobs
    faults: Faults
    tables: Tables

    def close(self) -> None:
        """Close the files; the state is in them already."""
        if isinstance(self.tables, SqliteTables):
            self.tables.close()


def open_world(
    folder: Path | None, *, now_ms: Callable[[], int], n_shards: int | None = None, seed: str | None = None
) -> World:
    """Open the world that `folder` keeps, or make a new one; `None` keeps it in memory.

    `n_shards` is fixed when a world is made (1000 unless told otherwise), and so is `seed` (64 hex digits, random
    unless told otherwise): all ids and the key of the wallet follow from it.
    Raises `ConfigurationError` ``localnet_other_genesis`` when an existing world has another number.
    """
    tables: Tables = MemoryTables()
    content: BlobBytes = MemoryBytes()
    if folder is not None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tables, content = SqliteTables(folder / DATABASE), FolderBytes(folder / _BLOBS)
    genesis = _genesis(tables, n_shards, now_ms, seed)
    chain = SuiState(tables, genesis, now_ms)
    return World(genesis, chain, Blobs(tables, chain, content), Faults(), tables)


def _genesis(tables: Tables, n_shards: int | None, now_ms: Callable[[], int], seed: str | None) -> Genesis:
    stored = tables.get("meta", b"genesis")
    if stored is None:
        if n_shards is not None and n_shards < 4:
            raise ConfigurationError("option_invalid", f"expected at least 4 shards, found {n_shards}", option="shards")
        genesis = Genesis(seed or secrets.token_hex(32), n_shards or 1000, start_ms=now_ms())
        tables.put("meta", b"genesis", genesis.to_json())
        tables.commit()
        return genesis
    genesis = Genesis.from_json(stored)
    if n_shards not in (None, genesis.n_shards):
        raise ConfigurationError(
            "localnet_other_genesis",
            f"this local network has {genesis.n_shards} shards for its life, not {n_shards}: reset it to change that",
            option="shards",
        )
    return genesis


def network_of(genesis: Genesis, url: str) -> Network:
    """Describe a local network at `url` (without a final slash) as clients see it."""
    port = url.rsplit(":", 1)[1]
    return Network(
        name="local",
        chain_id=genesis.chain_id,
        call_package=genesis.call_package,
        type_package=genesis.type_package,
        redirects_package=genesis.redirects_package,
        system_object=genesis.system_object,
        staking_object=genesis.staking_object,
        graphql_urls=(f"{url}/graphql",),
        publisher_urls=(url,),
        aggregator_urls=(url,),
        portal=f"http://{{base36}}.localhost:{port}/",
        settle_s=5.0,
        grace_s=5.0,
        max_quilt_body=100 * 1024 * 1024,
        wal_coin=genesis.wal_type,
    )
