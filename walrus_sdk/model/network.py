"""Networks as frozen values, and what is read from one before anything is planned.

Sources of the ids: walrus-sites `Published.toml` (package ids, chain ids), walrus `network-reference.mdx`
(services), both of August 2026; see docs/explanation/networks.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from walrus_sdk.model.units import Frost, ObjectId, SuiEpoch, WalrusEpoch

__all__ = ["EPOCH_S", "LOCAL", "MAINNET", "TESTNET", "ChainState", "Network", "Prices"]

EPOCH_S = {"mainnet": 14 * 86_400, "testnet": 86_400}
"""Seconds of a Walrus epoch (docs/explanation/networks.md); elsewhere epochs follow no clock."""


@dataclass(frozen=True, slots=True)
class Network:
    """A place to deploy to: its identity on Sui and the URLs of its services (several each, tried in order).

    `chain_id` is the first 4 bytes of the genesis checkpoint digest in hex (``"4c78adac"``); empty where it is
    learnt from the running local network. `call_package` runs the code, `type_package` names the types that it
    defined first, `redirects_package` those that came with redirects. `settle_s`: how long a store whose answer
    was lost may still complete (seconds). `grace_s`: how long in-flight paid effects may finish after a stop.
    Limits are bytes of a request body. `wal_coin` is the type of WAL, empty where it is not known.
    """

    name: str
    chain_id: str
    call_package: ObjectId | None
    type_package: ObjectId | None
    redirects_package: ObjectId | None
    system_object: ObjectId | None
    staking_object: ObjectId | None
    graphql_urls: tuple[str, ...]
    publisher_urls: tuple[str, ...]
    aggregator_urls: tuple[str, ...]
    portal: str
    settle_s: float = 120.0
    grace_s: float = 30.0
    max_blob_body: int = 10 * 1024 * 1024
    max_quilt_body: int = 10 * 1024 * 1024
    wal_coin: str = ""


@dataclass(frozen=True, slots=True)
class Prices:
    """Storage prices in FROST per storage unit (1 MiB of encoded size): per Walrus epoch, and once per write."""

    storage: Frost
    write: Frost


@dataclass(frozen=True, slots=True)
class ChainState:
    """What planning needs to know of the chain at one moment.

    `gas_price` is the reference gas price in MIST per computation unit. `walrus_package` is the newest Walrus
    package (for `delete_blob`), read from the System object. `blob_package` defines the `Blob` type.
    """

    chain_id: str
    sui_epoch: SuiEpoch
    gas_price: int
    walrus_epoch: WalrusEpoch
    n_shards: int
    prices: Prices
    max_epochs_ahead: int
    walrus_package: ObjectId
    blob_package: ObjectId


def _id(text: str) -> ObjectId:
    return ObjectId.parse(text)


LOCAL = Network(
    name="local",
    chain_id="",
    call_package=None,
    type_package=None,
    redirects_package=None,
    system_object=None,
    staking_object=None,
    graphql_urls=(),
    publisher_urls=(),
    aggregator_urls=(),
    portal="http://{base36}.localhost:{port}/",
    settle_s=5.0,
    grace_s=5.0,
    max_quilt_body=100 * 1024 * 1024,
)

TESTNET = Network(
    name="testnet",
    chain_id="4c78adac",
    call_package=_id("0x22b8c1496650eb45fbcca0f8f37fae77ed33b7d4eaab4da5f0bb9b62a8708dcb"),
    type_package=_id("0xf99aee9f21493e1590e7e5a9aea6f343a1f381031a04a732724871fc294be799"),
    redirects_package=_id("0x22b8c1496650eb45fbcca0f8f37fae77ed33b7d4eaab4da5f0bb9b62a8708dcb"),
    system_object=_id("0x6c2547cbbc38025cf3adac45f63cb0a8d12ecf777cdc75a4971612bf97fdf6af"),
    staking_object=_id("0xbe46180321c30aab2f8b3501e24048377287fa708018a5b7c2792b35fe339ee3"),
    graphql_urls=("https://graphql.testnet.sui.io/graphql",),
    publisher_urls=("https://publisher.walrus-testnet.walrus.space",),
    aggregator_urls=("https://aggregator.walrus-testnet.walrus.space",),
    portal="http://{base36}.localhost:3000/",
    wal_coin="0x8270feb7375eee355e64fdb69c50abb6b5f9393a722883c1cf45f8e26048810a::wal::WAL",
)

MAINNET = Network(
    name="mainnet",
    chain_id="35834a8a",
    call_package=_id("0x5a0c509a659ba982f91ff1189872b8d528f8c02b5f6285a3931fc4c2869ccc9c"),
    type_package=_id("0x26eb7ee8688da02c5f671679524e379f0b837a12f1d1d799f255b7eea260ad27"),
    redirects_package=_id("0x5a0c509a659ba982f91ff1189872b8d528f8c02b5f6285a3931fc4c2869ccc9c"),
    system_object=_id("0x2134d52768ea07e8c43570ef975eb3e4c27a39fa6396bef985b5abc58d03ddd2"),
    staking_object=_id("0x10b9d30c28448939ce6c4d6c6e0ffce4a7f8a4ada8248bdad09ef8b70e4a3904"),
    graphql_urls=("https://graphql.mainnet.sui.io/graphql",),
    publisher_urls=(),
    aggregator_urls=("https://aggregator.walrus-mainnet.walrus.space",),
    portal="http://{base36}.localhost:3000/",
    wal_coin="0x356a26eb9e012a68958082340d4c4116e7f55615cf27affcff209cf0ae544f59::wal::WAL",
)
