"""A plan, composed: entries, difference, what is stored already, packing, cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from walrus_sdk.codecs import quilt_layout
from walrus_sdk.errors import ValidationError
from walrus_sdk.model.network import ChainState, Network
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.plan import Cost, Entry, Plan, SiteChange, SiteTarget, Snapshot, Stored, StoreKind, StoreOperation
from walrus_sdk.model.site import PATCH_HEADER, Resource, SiteSnapshot
from walrus_sdk.model.units import BlobId, QuiltPatchId, WalrusEpoch
from walrus_sdk.planning import packing, request, waste
from walrus_sdk.planning.plan_json import plan_digest
from walrus_sdk.planning.retire import retire
from walrus_sdk.sites import packing as transactions
from walrus_sdk.sites.calls import Step, commands_of, steps
from walrus_sdk.sites.diff import diff
from walrus_sdk.sites.headers import headers_for
from walrus_sdk.sites.rules import match_redirect, match_route
from walrus_sdk.sites.ws_resources import WsResources

__all__ = [
    "DEFAULT_EPOCHS",
    "Draft",
    "Facts",
    "commands",
    "draft",
    "entries_of",
    "finish",
    "limits",
    "places_of",
    "record",
    "to_store",
    "transactions_of",
]

DEFAULT_EPOCHS = 5
_MAX_ASSEMBLED = 128 * 1024 * 1024
"""Largest quilt that is assembled, in bytes: it is held in memory while it is encoded."""

_INDEX = "/index.html"
_PLACEHOLDER_BLOB = BlobId(bytes([255]) * 32)
_PLACEHOLDER_PATCH = QuiltPatchId(_PLACEHOLDER_BLOB, 1, 2)
"""Stand for places that are not known yet: ids have a fixed width, so a transaction's size is right all the same."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a plan is made from.

    `request_digest` names what was asked for, `entries` is the manifest of `snapshot`. `name` is the site name to
    write, `None` to leave it. `retiring` is what the last plan left on the site for a time, `now_ms` the time
    (milliseconds since 1970 UTC). `quilts` are the stored quilts that are known here, `elsewhere` is the content
    (SHA-256) that other sites of this home serve.
    """

    network: Network
    chain: ChainState
    snapshot: Snapshot
    entries: Mapping[str, Entry]
    rules: WsResources
    request_digest: str
    target: SiteTarget
    site: SiteSnapshot | None
    stored: tuple[Stored, ...]
    lifetimes: Mapping[BlobId, WalrusEpoch]
    options: DeployOptions
    epochs: int
    commit: str = ""
    name: str | None = None
    retiring: Mapping[str, int] = field(default_factory=dict)
    now_ms: int = 0
    quilts: Mapping[BlobId, waste.Quilt] = field(default_factory=dict)
    elsewhere: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan without its gas, and the transactions that it will need by today's knowledge."""

    plan: Plan
    transactions: tuple[tuple[Step, ...], ...]


def entries_of(snapshot: Snapshot, rules: WsResources) -> dict[str, Entry]:
    """Return the manifest of a folder: one entry a file, with its headers.

    Raises `ValidationError` ``no_index`` when ``/index.html`` is neither a file nor reached by a rule.
    """
    entries = {
        file.path: Entry(file.path, file.source, file.size, file.sha256, headers_for(file.path, rules.headers))
        for file in snapshot.files
    }
    routed = rules.routes is not None and match_route([p for p, _ in rules.routes], _INDEX) is not None
    moved = rules.redirects is not None and match_redirect([p for p, _ in rules.redirects], _INDEX) is not None
    if _INDEX not in entries and not routed and not moved:
        raise ValidationError("no_index", f"{snapshot.root} has no index.html, and no rule matches it", path=_INDEX)
    return entries


def record(entry: Entry, stored: Stored) -> Resource:
    """Return what the chain records for an entry whose content is stored."""
    headers = entry.headers
    if stored.patch is not None:
        headers = (*headers, (PATCH_HEADER, "0x" + stored.patch.internal.hex()))
    return Resource(entry.path, headers, stored.blob_id, entry.sha256)


def draft(facts: Facts) -> Draft:
    """Decide everything but the gas. Raises errors of `packing` and `cost`."""
    entries = facts.entries
    now = facts.chain.walrus_epoch
    current = facts.site.content if facts.site is not None else None

    def lives(resource: Resource) -> bool:
        end = facts.lifetimes.get(resource.blob_id)
        return not facts.options.fresh and (end is None or end.number > now.number)

    change = diff(entries, facts.rules, facts.name, current, lives)
    retired = {path for path in change.remove if current is not None and lives(current.resources[path])}
    change, retiring = retire(change, facts.retiring, facts.now_ms, int(facts.options.keep_old_s * 1000), retired)
    old, offer = _waste(facts, retiring)
    left = old.quilts.keys() if facts.options.repack and offer is not None else frozenset[BlobId]()
    offered = [offer] if offer is not None and not facts.options.repack else []
    if current is not None:
        change = _moved(change, entries, {path for path, item in current.resources.items() if item.blob_id in left})
    base = {path: current.resources[path] for path in change.keep} if current is not None else {}
    known = _known(facts, entries, [*change.add, *change.replace], base, left)
    operations = _pack(facts, {path: entries[path] for path in (*change.add, *change.replace)}, known)
    plan = Plan(
        digest="",
        request_digest=facts.request_digest,
        chain_id=facts.chain.chain_id,
        network=facts.network.name,
        n_shards=facts.chain.n_shards,
        root=facts.snapshot.root,
        target=facts.target,
        entries=entries,
        operations=tuple(operations),
        known=known,
        base=base,
        change=change,
        epochs=facts.epochs,
        end_epoch=now + facts.epochs,
        cost=Cost(),
        warnings=(
            *facts.snapshot.warnings,
            *_lifetime_warnings(facts, base.values()),
            *offered,
        ),
        ignored=facts.snapshot.ignored,
        message=facts.options.message,
        commit=facts.commit,
        options=request.frozen_options(facts.options),
        tags=facts.options.tags,
        retiring=retiring,
    )
    packed = transactions_of(facts.network, plan)
    return Draft(dataclasses.replace(plan, atomic=len(packed) <= 1), packed)


def _pack(facts: Facts, wanted: Mapping[str, Entry], known: Collection[bytes]) -> list[StoreOperation]:
    return packing.pack(
        packing.pieces_of(wanted, known),
        facts.chain.n_shards,
        facts.epochs,
        facts.chain.prices,
        limits(facts.network, facts.options, facts.chain.n_shards),
    )


def finish(plan: Plan, cost: Cost) -> Plan:
    """Return the plan with its cost, frozen: its digest names it from now on."""
    whole = dataclasses.replace(plan, cost=cost)
    return dataclasses.replace(whole, digest=plan_digest(whole))


def _known(
    facts: Facts,
    entries: Mapping[str, Entry],
    paths: Sequence[str],
    base: Mapping[str, Resource],
    left: Collection[BlobId],
) -> dict[bytes, Stored]:
    """Return where wanted content is stored already and lives long enough: the longest-lived place of each.

    Places in blobs that are to be `left` do not count.
    """
    if facts.options.fresh:
        return {}
    wanted = {entries[path].sha256 for path in paths}
    least = facts.chain.walrus_epoch + max(1, -(-facts.epochs // 2))
    found: dict[bytes, Stored] = {}
    candidates = [*facts.stored, *_places(facts, base)]
    for stored in sorted(candidates, key=lambda s: -(s.end_epoch.number if s.end_epoch else 0)):
        if stored.sha256 not in wanted or stored.blob_id in left or stored.end_epoch is None:
            continue
        if stored.end_epoch.number >= least.number:
            found.setdefault(stored.sha256, stored)
    return found


def _places(facts: Facts, base: Mapping[str, Resource]) -> Iterable[Stored]:
    """Return where the site's own resources live, for content that it serves at another path already."""
    for resource in facts.site.content.resources.values() if facts.site is not None else ():
        end = facts.lifetimes.get(resource.blob_id)
        if resource.range is None and end is not None:
            yield Stored(resource.blob_hash, resource.blob_id, resource.patch, end)


def limits(network: Network, options: DeployOptions, n_shards: int) -> packing.Limits:
    """Return the limits that packing obeys."""
    return packing.Limits(
        max_blob_body=network.max_blob_body,
        max_quilt_body=network.max_quilt_body,
        max_quilt_size=min(options.max_quilt_size or _MAX_ASSEMBLED, _MAX_ASSEMBLED),
        max_quilt_files=options.max_quilt_files or quilt_layout.max_patches(n_shards),
    )


def _lifetime_warnings(facts: Facts, kept: Iterable[Resource]) -> list[str]:
    now = facts.chain.walrus_epoch
    soon: set[BlobId] = set()
    unknown: set[BlobId] = set()
    for resource in kept:
        end = facts.lifetimes.get(resource.blob_id)
        if end is None:
            unknown.add(resource.blob_id)
        elif now.until(end) < facts.epochs / 2:
            soon.add(resource.blob_id)
    found = []
    if soon:
        found.append(f"{len(soon)} stored blobs end within {-(-facts.epochs // 2)} Walrus epochs")
    if unknown:
        found.append(f"the end of {len(unknown)} stored blobs is not known here; --fresh stores everything anew")
    return found


def _waste(facts: Facts, retiring: Collection[str]) -> tuple[waste.Waste, str | None]:
    """Return the site's sparse quilts, and the offer to store their pages anew where that pays."""
    there = facts.site.content.resources if facts.site is not None and not facts.options.fresh else {}
    others = facts.elsewhere | {there[path].blob_hash for path in retiring if path in there}
    pages = {entry.sha256 for entry in facts.entries.values()}
    old = waste.measure(pages, others, there.values(), facts.quilts)
    if not old.quilts:
        return old, None
    stores = _pack(facts, {path: entry for path, entry in facts.entries.items() if entry.sha256 in old.pages}, ())
    return old, waste.offer(old, stores, facts.chain.n_shards, facts.epochs, facts.chain.prices)


def _moved(change: SiteChange, entries: Mapping[str, Entry], paths: Collection[str]) -> SiteChange:
    """Return the change with these of the pages that would stay written anew, as their content moves."""
    moved = {path for path in change.keep if path in paths and path in entries}
    keep = tuple(path for path in change.keep if path not in moved)
    return dataclasses.replace(change, keep=keep, replace=tuple(sorted((*change.replace, *moved))))


def to_store(plan: Plan) -> tuple[str, ...]:
    """Return the paths that are written and whose bytes come from the folder."""
    return tuple(path for path in _written(plan.change) if path not in plan.base)


def transactions_of(network: Network, plan: Plan) -> tuple[tuple[Step, ...], ...]:
    """Return the transactions that `plan` needs, as steps, with placeholders where nothing is stored yet."""
    if plan.change.empty and plan.target.site_id is not None:
        return ()
    call_package = network.call_package
    assert call_package is not None, "a network in use has its packages"
    calls = transactions.Calls(call_package, plan.target.owner)
    blobs = {op.pieces[0].sha256 for op in plan.operations if op.kind is StoreKind.BLOB}
    resources = {
        path: plan.base[path] if path in plan.base else record(plan.entries[path], _place(plan, blobs, path))
        for path in _written(plan.change)
    }
    new_name = plan.target.name if plan.target.site_id is None else None
    return tuple(transactions.pack(steps(plan.change, resources, new_name), calls))


def commands(packed: Sequence[Sequence[Step]]) -> list[int]:
    """Return the number of commands of each transaction."""
    return [sum(commands_of(step) for step in part) for part in packed]


def _written(change: SiteChange) -> tuple[str, ...]:
    return (*change.add, *change.replace)


def _place(plan: Plan, blobs: set[bytes], path: str) -> Stored:
    sha256 = plan.entries[path].sha256
    if sha256 in plan.known:
        return plan.known[sha256]
    return Stored(sha256, _PLACEHOLDER_BLOB, None if sha256 in blobs else _PLACEHOLDER_PATCH, plan.end_epoch)


def places_of(operation: StoreOperation, blob_id: BlobId, n_shards: int, end: WalrusEpoch | None) -> list[Stored]:
    """Return where each piece of a stored operation lives; a quilt's columns follow from names and sizes alone."""
    if operation.kind is StoreKind.BLOB:
        return [Stored(operation.pieces[0].sha256, blob_id, None, end)]
    names, sizes = [p.identifier for p in operation.pieces], [p.size for p in operation.pieces]
    patches = quilt_layout.layout(names, sizes, n_shards).patches
    columns: Callable[[str], tuple[int, int]] = {p.identifier: (p.start, p.end) for p in patches}.__getitem__
    return [
        Stored(piece.sha256, blob_id, QuiltPatchId(blob_id, *columns(piece.identifier)), end)
        for piece in operation.pieces
    ]
