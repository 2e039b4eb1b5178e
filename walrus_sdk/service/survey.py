"""What is found before anything is decided: rules, files, owner, name, the chain, the site, what is stored already."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from walrus_sdk.engine.feed import Feed
from walrus_sdk.engine.reading import read_site
from walrus_sdk.errors import BlockchainError, ConfigurationError, ValidationError
from walrus_sdk.model.network import ChainState
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.plan import Entry, Plan, SiteTarget, Snapshot, Stored
from walrus_sdk.model.progress import Phase
from walrus_sdk.model.site import SiteSnapshot
from walrus_sdk.model.units import BlobId, ObjectId, QuiltPatchId, SuiAddress, WalrusEpoch
from walrus_sdk.planning.build import DEFAULT_EPOCHS, Facts, entries_of
from walrus_sdk.planning.request import request_digest
from walrus_sdk.planning.target import Name, choose_name, choose_site
from walrus_sdk.planning.waste import Quilt
from walrus_sdk.ports import Folder, ScanProgress, ScanRules
from walrus_sdk.service.connection import Connection
from walrus_sdk.sites.globs import compile_glob
from walrus_sdk.sites.paths import site_path
from walrus_sdk.sites.ws_resources import FILE_NAME, MAX_FILE, WsResources, parse

__all__ = [
    "Request",
    "RulesData",
    "Survey",
    "check_place",
    "doubted",
    "facts_of",
    "lifetimes_of",
    "locate",
    "recorded_site",
    "retiring_of",
    "rules_data",
    "scan_report",
    "survey",
]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for, by name: for which site of whom on which chain; `digest` names all of it."""

    chain_id: str
    owner: SuiAddress
    name: str
    site_id: ObjectId | None
    digest: str

    @classmethod
    def of_plan(cls, plan: Plan) -> Request:
        """Return the request that a plan answers."""
        target = plan.target
        return cls(plan.chain_id, target.owner, target.name, target.site_id, plan.request_digest)


@dataclass(frozen=True, slots=True)
class Survey:
    """Files and rules, for whom, under which name, on which chain; `asked` is the object id that was written down.

    `rules_data` are the bytes of ws-resources.json, `None` when there is none.
    """

    snapshot: Snapshot
    rules_data: bytes | None
    rules: WsResources
    entries: Mapping[str, Entry]
    owner: SuiAddress
    state: ChainState
    name: Name
    asked: ObjectId | None
    epochs: int
    digest: str
    scan_s: float = 0.0

    @property
    def request(self) -> Request:
        """The request that was found."""
        return Request(self.state.chain_id, self.owner, self.name.text, self.asked, self.digest)


async def survey(connection: Connection, folder: Folder, place: Path, options: DeployOptions, feed: Feed) -> Survey:
    """Read and check everything that a request is made of. Raises errors of the folder, the rules and the chain."""
    source = await rules_data(connection, folder, place, options)
    rules = source.parsed
    name = choose_name(options.site_name, rules.site_name, connection.project.name, place.name)
    feed.phase(Phase.SCAN)
    began_s = connection.clock.monotonic()
    snapshot = await folder.scan(_scan_rules(rules, source.own_files, place, connection, options), scan_report(feed))
    scan_s = round(connection.clock.monotonic() - began_s, 6)
    entries = entries_of(snapshot, rules)
    feed.phase(Phase.PLAN)
    owner, state = connection.signer().address, await connection.chain.state()
    asked = options.object_id or rules.object_id
    if asked is None and not name.explicit:
        await check_place(connection, state.chain_id, owner, name.text, place)
    digest = _digest(entries, rules, options, state, owner, asked, name.text)
    epochs = _epochs(connection, options, state)
    return Survey(snapshot, source.data, rules, entries, owner, state, name, asked, epochs, digest, scan_s)


def _digest(
    entries: Mapping[str, Entry],
    rules: WsResources,
    options: DeployOptions,
    state: ChainState,
    owner: SuiAddress,
    asked: ObjectId | None,
    name: str,
) -> str:
    return request_digest(entries, rules, options, chain_id=state.chain_id, owner=owner, site_id=asked, name=name)


def _request_of(found: Survey, name: str, options: DeployOptions) -> str:
    """Return the digest of the request under a name; its files are gone through again only for another name."""
    if name == found.name.text or found.asked is not None:
        return found.digest
    return _digest(found.entries, found.rules, options, found.state, found.owner, found.asked, name)


async def check_place(connection: Connection, chain_id: str, owner: SuiAddress, name: str, place: Path) -> None:
    """Check that a folder's own name, which nobody wrote down, is not that of another folder's site.

    Raises `ConfigurationError` ``name_ambiguous`` with both folders.
    """
    rows = await connection.journal.rows("deployments", {"chain": chain_id, "owner": str(owner), "site_name": name})
    folders = {row["folder"] for row in rows if row["folder"] and row["verb"] == "deploy"}
    if folders and str(place) not in folders:
        text = (
            f"the site {name!r} was deployed from {min(folders)}, and this is {place}; give --site-name or --object-id"
        )
        raise ConfigurationError("name_ambiguous", text, folder=str(place))


def _epochs(connection: Connection, options: DeployOptions, state: ChainState) -> int:
    epochs = options.epochs or connection.project.epochs or DEFAULT_EPOCHS
    if epochs > state.max_epochs_ahead:
        text = f"epochs: at most {state.max_epochs_ahead} Walrus epochs can be bought ahead, found {epochs}"
        raise ConfigurationError("option_invalid", text, option="epochs", found=epochs)
    return epochs


@dataclass(frozen=True, slots=True)
class RulesData:
    """The bytes of ws-resources.json (`None`: there is none), and the files in the folder that are no pages for it."""

    data: bytes | None
    own_files: frozenset[str]

    @property
    def parsed(self) -> WsResources:
        """What it says. Raises `ValidationError` with line and key."""
        return parse(self.data) if self.data is not None else WsResources()


async def rules_data(connection: Connection, folder: Folder, place: Path, options: DeployOptions) -> RulesData:
    """Read the rules, and tell which configuration files inside the folder are not published."""
    if options.ws_resources is None:
        return RulesData(await folder.read(FILE_NAME, max_size=MAX_FILE), frozenset({FILE_NAME}))
    path = place / options.ws_resources  # absolute, or from the folder
    async with connection.folder(path.parent) as beside:
        data = await beside.read(path.name, max_size=MAX_FILE)
    if data is None:
        raise ValidationError("ws_resources_invalid", f"there is no file {path}", path=str(path))
    inside = {path.relative_to(place).as_posix()} if path.is_relative_to(place) else set()
    return RulesData(data, frozenset({FILE_NAME, *inside}))


def _scan_rules(
    rules: WsResources, own_files: frozenset[str], place: Path, connection: Connection, options: DeployOptions
) -> ScanRules:
    more = [compile_glob(text) for text in (*connection.project.ignore, *options.ignore)]

    def ignore(path: str) -> bool:
        return rules.ignores(path) or any(glob.matches(path) for glob in more)

    allowed = frozenset(_inside(place, text) for text in options.allow_files)
    return ScanRules(ignore, allowed, own_files, site_path)


def _inside(place: Path, text: str) -> str:
    """Return a file as the scan names it, however the user wrote it: from the folder, or from where he stands."""
    path = Path(text)
    if path.is_absolute() and path.is_relative_to(place):
        return path.relative_to(place).as_posix()
    return PurePosixPath(text.lstrip("/")).as_posix()


def scan_report(feed: Feed) -> Callable[[ScanProgress], None]:
    """Return a listener that shows how far a scan got."""

    def report(progress: ScanProgress) -> None:
        feed.set(files_found=progress.found, files_hashed=progress.hashed, bytes_hashed=progress.bytes_hashed)

    return report


# ── the site ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def locate(connection: Connection, found: Survey) -> tuple[SiteTarget, SiteSnapshot | None]:
    """Return which site is meant, and what it is now.

    Raises `BlockchainError` ``site_not_found`` or ``site_not_owned``, `ConfigurationError` ``name_ambiguous``.
    """
    recorded = await recorded_site(connection, found.state.chain_id, found.owner, found.name.text)
    settled = found.asked or recorded
    on_chain = [] if settled or not found.name.explicit else await connection.chain.sites(found.owner)
    choice = choose_site(None, found.asked, recorded, on_chain, found.name)
    if choice.site_id is None:
        return SiteTarget(found.name.text, found.owner), None
    site = await read_site(connection, found.state.chain_id, choice.site_id)
    if site is None:
        text = f"{choice.site_id} ({choice.how}) is not on {connection.network.name}, chain {found.state.chain_id}"
        if choice.site_id == recorded:
            text += "; if it was destroyed, `walrus-sdk doctor --repair` gives its name free"
        raise BlockchainError("site_not_found", text, site_id=str(choice.site_id))
    if site.owner != found.owner:
        text = f"site {site.site_id} belongs to {site.owner or 'no address'}, the key is that of {found.owner}"
        raise BlockchainError("site_not_owned", text, site_id=str(site.site_id))
    name = found.name.text if found.name.explicit else site.content.name
    return SiteTarget(name, found.owner, site.site_id, site.version, site.digest, choice.how), site


async def recorded_site(connection: Connection, chain_id: str, owner: SuiAddress, name: str) -> ObjectId | None:
    """Return the site that this home knows by a name."""
    rows = await connection.journal.rows("sites", {"chain": chain_id, "owner": str(owner), "name": name})
    return ObjectId.parse(rows[0]["object_id"]) if rows and rows[0]["object_id"] else None


async def doubted(folder: Folder, found: Survey, site: SiteSnapshot | None, options: DeployOptions) -> Survey:
    """Return the survey with files hashed again whose remembered hash is not what the site says of them.

    A file that changed without showing it, or a cache that was damaged, must not decide what is stored; a file that did
    change is hashed already.
    """
    there = site.content.resources if site is not None else {}
    others = [e.source for path, e in found.entries.items() if path in there and there[path].blob_hash != e.sha256]
    wrong = await folder.doubt(others) if others else {}
    if not wrong:
        return found
    files = tuple(replace(file, sha256=wrong.get(file.source, file.sha256)) for file in found.snapshot.files)
    snapshot = replace(found.snapshot, files=files)
    entries = entries_of(snapshot, found.rules)
    digest = _digest(entries, found.rules, options, found.state, found.owner, found.asked, found.name.text)
    return replace(found, snapshot=snapshot, entries=entries, digest=digest)


# ── what is stored ────────────────────────────────────────────────────────────────────────────────────────────────


async def facts_of(
    connection: Connection,
    found: Survey,
    target: SiteTarget,
    site: SiteSnapshot | None,
    options: DeployOptions,
    commit: str,
) -> Facts:
    """Return everything that a plan is made from."""
    lifetimes = await _lifetimes(connection, found, site)
    here = {"chain": found.state.chain_id}
    rows = await connection.journal.rows("patches", here)
    sizes = await connection.journal.rows("blobs", here, columns=("blob_id", "size"))
    stored = tuple(
        Stored(
            bytes.fromhex(row["sha256"]),
            blob_id := BlobId.parse(row["blob_id"]),
            QuiltPatchId.parse(row["patch_id"]) if row["patch_id"] else None,
            lifetimes.get(blob_id),
        )
        for row in rows
    )
    return Facts(
        network=connection.network,
        chain=found.state,
        snapshot=found.snapshot,
        entries=found.entries,
        rules=found.rules,
        request_digest=_request_of(found, target.name, options),
        target=target,
        site=site,
        stored=stored,
        lifetimes=lifetimes,
        options=options,
        epochs=found.epochs,
        commit=commit,
        name=found.name.text if found.name.explicit else None,
        retiring=await _retiring(connection, site, found.entries),
        now_ms=connection.clock.wall_ms(),
        quilts=_quilts(rows, sizes),
        elsewhere=await _elsewhere(connection, found.state.chain_id, target.site_id),
    )


async def _elsewhere(connection: Connection, chain_id: str, site_id: ObjectId | None) -> frozenset[bytes]:
    """Return the content that the newest versions of other sites serve, by SHA-256."""
    where = {"chain": chain_id}
    newest: dict[str, int] = {}
    for row in await connection.journal.rows("versions", where, columns=("site_id", "n")):
        if row["site_id"] != str(site_id):
            newest[row["site_id"]] = max(newest.get(row["site_id"], 0), int(row["n"]))
    found: set[bytes] = set()
    for other, number in newest.items():
        key = {**where, "site_id": other, "n": number}
        (row,) = await connection.journal.rows("versions", key, columns=("manifest",))
        resources = json.loads(row["manifest"])["resources"] if row["manifest"] else {}
        found |= {bytes.fromhex(resource["blob_hash"]) for resource in resources.values()}
    return frozenset(found)


def _quilts(patches: Sequence[Mapping[str, Any]], blobs: Sequence[Mapping[str, Any]]) -> Mapping[BlobId, Quilt]:
    """Return the quilts that the journal knows, by what it says of their files and of their size."""
    held: dict[str, dict[bytes, int]] = {}
    for row in patches:
        if row["patch_id"]:
            held.setdefault(row["blob_id"], {})[bytes.fromhex(row["sha256"])] = row["size"]
    return {
        BlobId.parse(row["blob_id"]): Quilt(held[row["blob_id"]], row["size"])
        for row in blobs
        if row["blob_id"] in held and row["size"]
    }


async def _retiring(
    connection: Connection, site: SiteSnapshot | None, entries: Mapping[str, Entry]
) -> Mapping[str, int]:
    """Return what the plan of the site's last version left on it for a time, if anything is to go from it."""
    if site is None or site.content.resources.keys() <= entries.keys():
        return {}
    versions = await connection.journal.rows("versions", {"site_id": str(site.site_id)})
    if not versions:
        return {}
    return await retiring_of(connection, max(versions, key=lambda row: int(row["n"]))["deployment"])


async def retiring_of(connection: Connection, deployment: str) -> Mapping[str, int]:
    """Return which paths a deployment's plan left on the site for a time, and until when."""
    made = await connection.journal.rows("deployments", {"id": deployment})
    plans = await connection.journal.rows("plans", {"digest": made[0]["plan_digest"]}) if made else []
    found = json.loads(plans[0]["json"]).get("retiring") if plans else None
    return found if isinstance(found, dict) else {}


async def lifetimes_of(connection: Connection, chain_id: str) -> Mapping[BlobId, WalrusEpoch]:
    """Return the end epochs of all blobs that this home stored on a chain."""
    rows = await connection.journal.rows("blobs", {"chain": chain_id})
    return {BlobId.parse(row["blob_id"]): WalrusEpoch(row["end_epoch"]) for row in rows}


async def _lifetimes(connection: Connection, found: Survey, site: SiteSnapshot | None) -> Mapping[BlobId, WalrusEpoch]:
    """Return the end epochs of known blobs; the owner's Blob objects are listed only when the journal lacks some."""
    ends = dict(await lifetimes_of(connection, found.state.chain_id))
    needed = {resource.blob_id for resource in site.content.resources.values()} if site is not None else set()
    if needed - ends.keys():
        for blob in await connection.chain.blobs(found.owner):
            if blob.certified_epoch is not None:
                ends[blob.blob_id] = max(ends.get(blob.blob_id, blob.end_epoch), blob.end_epoch)
    return ends
