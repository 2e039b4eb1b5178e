"""Doctor: looks at what a home, its network and its sites should be, and mends what it can prove."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from walrus_sdk.engine.executor import Executor
from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import BlockchainError, ConfigurationError, WalrusError
from walrus_sdk.model import events
from walrus_sdk.model.alerts import AlertOptions
from walrus_sdk.model.chain import BlobObject
from walrus_sdk.model.deployment import PUBLISHING, Status
from walrus_sdk.model.health import Finding
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.site import SiteSnapshot
from walrus_sdk.model.units import BlobId, DeploymentId, Digest, ObjectId
from walrus_sdk.planning.plan_json import canonical, dump
from walrus_sdk.planning.state import is_unfinished
from walrus_sdk.ports import Change, Put
from walrus_sdk.service import monitoring
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.lifecycle import as_planned, matters
from walrus_sdk.service.nowhere import NoFolder
from walrus_sdk.service.sites import find_site, url_of
from walrus_sdk.service.unfinished import claim, plan_of
from walrus_sdk.service.versions import rows_of
from walrus_sdk.settings import Settings

__all__ = ["adopt", "environment", "examine", "export"]

_NO_LAG_MS = 600_000
"""After so many milliseconds no node is behind any more that knows the transactions before; indexers lag by seconds."""
_DAY_MS = 86_400_000
_HIDDEN = frozenset({"bytes", "signatures"})
_TABLES = (
    "meta", "sites", "deployments", "incarnations", "requests", "plans", "entries", "operations", "attempts",
    "transactions", "blobs", "patches", "versions", "events", "checkpoints", "samples", "coins", "locks", "heights",
)  # fmt: skip


async def examine(connection: Connection, feed: Feed, *, repair: bool = False) -> list[Finding]:
    """Return what was found of the network, the key, the sites and the deployments; `repair` mends what is provable."""
    found: list[Finding] = []
    found += await _of("network", lambda: _network(connection))
    found += await _of("key", lambda: _key(connection))
    found += await _of("aggregator", lambda: _aggregator(connection))
    if all(item.state != "bad" for item in found if item.what in ("network", "key")):
        found += await _of("sites", lambda: _sites(connection, repair=repair))
        found += await _of("deployments", lambda: _deployments(connection, feed, repair=repair))
    return found


def environment(settings: Settings) -> list[Finding]:
    """Return which variables and files are in force, without a value that is secret."""
    places = {
        "project file": settings.project.path,
        "WALRUS_WALLET_PATH": settings.wallet_path,
        "WALRUS_CA_FILE": settings.ca_file,
        "WALRUS_CONFIG_PATH": settings.walrus_config,
        "WALTODO_CLI_PATH": settings.cli_path,
        "SITE_BUILDER_PATH": settings.site_builder,
    }
    found = [_place(name, path) for name, path in places.items() if path is not None]
    secrets = {
        "SUI_PRIVATE_KEY": settings.private_key,
        "WALRUS_PUBLISHER_TOKEN": settings.publisher_token,
        "WALRUS_WEBHOOK_KEY": settings.webhook_key,
    }
    found += [Finding(name, "ok", "set") for name, secret in secrets.items() if secret is not None]
    if settings.webhook_origins:
        found.append(Finding("WALRUS_WEBHOOK_ORIGINS", "ok", ", ".join(settings.webhook_origins)))
    if settings.project.alerts or settings.project.webhooks:
        found.append(_alerts(settings))
    return found


def _alerts(settings: Settings) -> Finding:
    """Return whether the project file's rules and webhooks can be used."""
    options = AlertOptions()
    try:
        rules, webhooks = monitoring.rules_of(settings, options), monitoring.webhooks_of(settings, options)
    except ConfigurationError as error:
        return Finding("alerts", "bad", error.message, error.next_step)
    told = ", ".join(f"{webhook.name} at {webhook.shown}" for webhook in webhooks)
    return Finding("alerts", "ok", f"{len(rules)} rules; webhooks: {told or 'none'}")


def _place(name: str, path: Path) -> Finding:
    if path.exists():
        return Finding(name, "ok", str(path))
    return Finding(name, "warning", f"{path} is not there", "Mend the path, or unset the variable.")


async def _of(what: str, look: Callable[[], Awaitable[Sequence[Finding]]]) -> Sequence[Finding]:
    try:
        return await look()
    except WalrusError as error:
        return [Finding(what, "bad", f"{error.message} [{error.code}]", error.next_step)]


async def _network(connection: Connection) -> list[Finding]:
    network, state = connection.network, await connection.chain.state()
    if network.chain_id and state.chain_id != network.chain_id:
        text = f"{network.name} is chain {network.chain_id}, the node serves {state.chain_id}"
        return [Finding("network", "bad", text, "Check --network and the node's URL.")]
    text = f"{network.name}, chain {state.chain_id}, Sui epoch {state.sui_epoch}, Walrus epoch {state.walrus_epoch}"
    return [Finding("network", "ok", text)]


async def _key(connection: Connection) -> list[Finding]:
    owner = connection.signer().address
    total = sum(coin.balance for coin in await connection.chain.coins(owner))
    if not total:
        return [Finding("key", "warning", f"{owner} has no SUI for gas", f"Send SUI to {owner}.")]
    return [Finding("key", "ok", f"{owner} has {total} MIST")]


async def _aggregator(connection: Connection) -> list[Finding]:
    """Ask for a blob that nobody has: "not found" is the answer of one that works."""
    store = connection.store(DeployOptions())
    try:
        await store.read(BlobId(bytes(31) + b"\1"), lambda _: None, span=(0, 1), max_size=1)
    except WalrusError as error:
        if error.code != "blob_not_found":
            raise
    return [Finding("aggregator", "ok", "it answers")]


async def _sites(connection: Connection, *, repair: bool) -> list[Finding]:
    """Compare what the journal knows of each site with the chain; with `repair` a destroyed one gives its name free."""
    chain_id, owner = (await connection.chain.state()).chain_id, connection.signer().address
    rows = await connection.journal.rows("sites", {"chain": chain_id, "owner": str(owner)})
    return [await _site(connection, row, repair=repair) for row in rows if row["object_id"]]


async def _site(connection: Connection, row: Mapping[str, Any], *, repair: bool) -> Finding:
    name, site_id = row["name"], ObjectId.parse(row["object_id"])
    site = await connection.chain.site(site_id)
    what = f"site {name}"
    if site is None:
        if not await _is_destroyed(connection, site_id):
            return Finding(what, "bad", f"{site_id} is not on chain", "Look again later, or with another --graphql.")
        if repair:
            await _forget_site(connection, row)
        step = "`walrus-sdk doctor --repair` gives the name free: the next deployment makes a new site."
        return Finding(what, "bad", f"{site_id} was destroyed", step, repaired=repair)
    if site.owner != connection.signer().address:
        return Finding(what, "bad", f"{site_id} belongs to {site.owner or 'no address'}", "Use the owner's key.")
    rows = await rows_of(connection, site_id)
    if rows and rows[-1]["digest"] != str(site.digest):
        step = f"`walrus-sdk adopt {name}` records what it is now as a version."
        return Finding(what, "warning", f"it was changed from elsewhere since version {rows[-1]['n']}", step)
    return Finding(what, "ok", f"{url_of(connection, site_id)}, version {rows[-1]['n'] if rows else 'none'}")


async def _is_destroyed(connection: Connection, site_id: ObjectId) -> bool:
    """Return whether a site that the node does not show is gone, and not just unknown to a node that lags.

    It is when the node knows a transaction of ours that changed it, and that was long ago; one that was only adopted is
    when that was a day ago.
    """
    made = await connection.journal.rows("deployments", {"site_id": str(site_id)})
    latest = max((row["updated_ms"] for row in made), default=0)
    if not made or connection.clock.wall_ms() - latest < _NO_LAG_MS:
        return False
    ours = False
    for row in reversed(made):
        for sent in await connection.journal.rows("transactions", {"deployment": row["id"], "state": "final"}):
            ours = True
            if await connection.chain.transaction(Digest.parse(sent["digest"])) is not None:
                return await connection.chain.site(site_id) is None
    return not ours and connection.clock.wall_ms() - latest > _DAY_MS


async def _forget_site(connection: Connection, row: Mapping[str, Any]) -> None:
    """Give the name of a destroyed site free, as a deployment of its own."""
    deployment, now = connection.ids.deployment_id(), connection.clock.wall_ms()
    text = f"site {row['object_id']} was destroyed"
    facts = {
        "verb": "forget", "status": Status.COMPLETED.value, "chain": row["chain"], "network": connection.network.name,
        "owner": row["owner"], "site_name": row["name"], "message": text, "created_ms": now, "updated_ms": now,
        "finished_ms": now, "can_resume": 0,
    }  # fmt: skip
    key = {name: row[name] for name in ("chain", "owner", "name")}
    free = Put("sites", key, {"object_id": None, "deployment": str(deployment)}, {"object_id": row["object_id"]})
    owner = await connection.journal.claim(deployment, new=True)
    try:
        made = Put("deployments", {"id": str(deployment)}, facts)
        await connection.journal.append(owner, [Change(events.NOTE, {"message": text}, (made, free))])
    finally:
        await connection.journal.release(owner)


async def _deployments(connection: Connection, feed: Feed, *, repair: bool) -> list[Finding]:
    """Look at deployments that did not end; with `repair` what they left open is looked up and recorded."""
    chain_id, owner = (await connection.chain.state()).chain_id, connection.signer().address
    found: list[Finding] = []
    for row in await connection.journal.rows("deployments", {"chain": chain_id, "owner": str(owner)}):
        if not await matters(connection, row):
            continue
        if connection.is_live(DeploymentId(row["id"])):
            found.append(Finding(row["id"], "ok", "it is under way"))
            continue
        opened = await connection.journal.rows("operations", {"deployment": row["id"], "state": "released"})
        text = f"it stopped as {row['status']}; {len(opened)} effects have an unknown outcome"
        repaired = repair and bool(opened) and row["verb"] in PUBLISHING and await _settle(connection, row, feed)
        found.append(Finding(row["id"], "warning", text, "" if repaired else _step(row), repaired=repaired))
    return found


def _step(row: Mapping[str, Any]) -> str:
    """Return what to do about a deployment that stopped."""
    if row["verb"] not in PUBLISHING:
        return "The next deployment or `walrus-sdk cleanup --yes` brings it to its end."
    if is_unfinished(row):
        return f"`walrus-sdk resume {row['id']}`, or `walrus-sdk cancel {row['id']}`."
    return "The next deployment of the site, or `walrus-sdk cleanup --yes`, looks for what it left open."


async def _settle(connection: Connection, row: Mapping[str, Any], feed: Feed) -> bool:
    """Look up what a deployment left open, and record what is found; nothing is sent."""
    owner, now = await claim(connection, row)
    try:
        plan = await plan_of(connection, now)
        context = connection.context(owner, NoFolder(), as_planned(DeployOptions(), plan), feed)
        await Executor(context, plan, Status(now["status"])).look_up()
    finally:
        await connection.journal.release(owner)
    opened = await connection.journal.rows("operations", {"deployment": row["id"], "state": "released"})
    return not opened


# ── adopt ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def adopt(connection: Connection, text: str, message: str = "") -> int:
    """Record what a site is on chain as a version of this home, with the lifetimes of its blobs; returns its number.

    For a site whose state was lost, or that another tool deployed. A state that is recorded already keeps its number.
    Raises `BlockchainError` ``site_not_found`` or ``site_not_owned``.
    """
    state, owner = await connection.chain.state(), connection.signer().address
    site_id = await find_site(connection, text)
    site = await connection.chain.site(site_id)
    if site is None:
        raise BlockchainError("site_not_found", f"no site {site_id} on {connection.network.name}")
    if site.owner != owner:
        raise BlockchainError("site_not_owned", f"site {site_id} belongs to {site.owner or 'no address'}")
    rows = await rows_of(connection, site_id)
    known = [row["n"] for row in rows if row["digest"] == str(site.digest)]
    if known:
        return int(known[-1])
    number = 1 + max((int(row["n"]) for row in rows), default=0)
    deployment = connection.ids.deployment_id()
    journal = await connection.journal.claim(deployment, new=True)
    try:
        puts = await _adopted(connection, deployment, site, number, message or "adopted from the chain")
        data = {"site_id": str(site_id), "how": "adopt", "chain": state.chain_id, "epoch": state.walrus_epoch.number}
        await connection.journal.append(journal, [Change(events.SITE_ADOPTED, data, puts)])
    finally:
        await connection.journal.release(journal)
    return number


async def _adopted(
    connection: Connection, deployment: DeploymentId, site: SiteSnapshot, number: int, message: str
) -> tuple[Put, ...]:
    chain_id, owner = (await connection.chain.state()).chain_id, connection.signer().address
    now, site_id = connection.clock.wall_ms(), str(site.site_id)
    facts = {
        "verb": "adopt", "status": Status.COMPLETED.value, "chain": chain_id, "network": connection.network.name,
        "owner": str(owner), "site_name": site.content.name, "site_id": site_id, "message": message, "created_ms": now,
        "updated_ms": now, "finished_ms": now, "can_resume": 0, "version": number,
        "url": url_of(connection, site.site_id),
    }  # fmt: skip
    version = {
        "deployment": str(deployment), "created_ms": now, "message": message, "commit_id": "", "tags": '["adopted"]',
        "manifest": canonical(dump(site.content)).decode(), "digest": str(site.digest),
    }  # fmt: skip
    key = {"chain": chain_id, "owner": str(owner), "name": site.content.name}
    named = await connection.journal.rows("sites", key)
    puts = [
        Put("deployments", {"id": str(deployment)}, facts),
        Put("versions", {"chain": chain_id, "site_id": site_id, "n": number}, version),
        Put("heights", {"chain": chain_id, "site_id": site_id}, {"version": site.version}),
    ]
    if not named or not named[0]["object_id"]:
        puts.append(Put("sites", key, {"object_id": site_id, "deployment": str(deployment)}))
    used = {resource.blob_id for resource in site.content.resources.values()}
    owned = [blob for blob in await connection.chain.blobs(owner) if blob.certified_epoch is not None]
    return (*puts, *_blob_rows(chain_id, [blob for blob in owned if blob.blob_id in used]))


def _blob_rows(chain_id: str, blobs: Sequence[BlobObject]) -> list[Put]:
    best: dict[BlobId, BlobObject] = {}
    for blob in blobs:
        known = best.get(blob.blob_id)
        if known is None or known.end_epoch.number < blob.end_epoch.number:
            best[blob.blob_id] = blob
    return [
        Put(
            "blobs",
            {"chain": chain_id, "blob_id": str(blob.blob_id)},
            {
                "object_id": str(blob.ref.id),
                "end_epoch": blob.end_epoch.number,
                "size": blob.size,
                "deletable": int(blob.deletable),
            },
        )
        for blob in best.values()
    ]


# ── export ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def export(rows: Callable[[str], Awaitable[Sequence[Mapping[str, Any]]]]) -> dict[str, Any]:
    """Return all tables of a journal as plain JSON; signed bytes are left out: whoever has them could send them."""
    found: dict[str, Any] = {}
    for table in _TABLES:
        found[table] = [_plain(row) for row in await rows(table)]
    return found


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name not in _HIDDEN}
    for name, value in shown.items():
        if isinstance(value, str) and value[:1] in "{[":
            try:
                shown[name] = json.loads(value)
            except ValueError:
                continue
    return shown
