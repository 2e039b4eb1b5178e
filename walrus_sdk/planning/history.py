"""Decisions about versions: which one is meant, what is kept, how one comes back, what nothing refers to any more."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from walrus_sdk.errors import ConfigurationError, ValidationError
from walrus_sdk.model.deployment import Status
from walrus_sdk.model.network import ChainState, Network
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.plan import Cost, Entry, Plan, SiteChange, SiteTarget, Stored
from walrus_sdk.model.site import Resource, SiteContent, SiteSnapshot
from walrus_sdk.model.units import BlobId, ObjectId
from walrus_sdk.model.versions import VersionDiff
from walrus_sdk.planning import packing
from walrus_sdk.planning.build import Draft, limits, transactions_of
from walrus_sdk.planning.plan_json import canonical
from walrus_sdk.planning.request import frozen_options
from walrus_sdk.planning.state import LIVE

__all__ = ["RollbackFacts", "choose", "compare", "kept", "lapsed", "old_deployments", "rollback", "rollback_digest"]

_DAY_MS = 86_400_000


def choose(numbers: Sequence[int], current: int | None, wanted: int | None, site: str) -> int:
    """Return the version to roll back to: `wanted`, else the one before `current`.

    `numbers` are the versions that are known. When the site on chain is at none of them (`current` is `None`), it is
    the last one. Raises `ConfigurationError` ``version_not_found``.
    """
    if wanted is not None:
        found = wanted if wanted in numbers else None
    elif current is None:
        found = max(numbers, default=None)
    else:
        found = max((number for number in numbers if number < current), default=None)
    if found is None:
        known = ", ".join(map(str, sorted(numbers))) or "none"
        what = f"version {wanted}" if wanted is not None else "version before the current one"
        raise ConfigurationError("version_not_found", f"{site} has no {what} here; known: {known}")
    return found


def compare(old: SiteContent, new: SiteContent) -> VersionDiff:
    """Return what differs between two states of a site: by content and visible headers, not by where bytes lie."""
    there, wanted = old.resources, new.resources
    both = there.keys() & wanted.keys()
    changed = sorted(path for path in both if not _alike(there[path], wanted[path]))
    rules = [name for name in ("name", "metadata", "routes", "redirects") if _rule(old, name) != _rule(new, name)]
    return VersionDiff(
        added=tuple(sorted(wanted.keys() - there.keys())),
        changed=tuple(changed),
        removed=tuple(sorted(there.keys() - wanted.keys())),
        same=len(both) - len(changed),
        rules=tuple(rules),
    )


def _alike(one: Resource, other: Resource) -> bool:
    return one.blob_hash == other.blob_hash and one.visible_headers == other.visible_headers


def _rule(content: SiteContent, name: str) -> Any:
    return getattr(content, name) or None


# ── rollback ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class RollbackFacts:
    """What a rollback is planned from.

    `wanted` is the content of version `number`, `dead` the blobs that are gone, `at_hand` maps the SHA-256 of content
    that a folder (`root`) has to its file and size, `known` that of content which lives elsewhere on Walrus. `retiring`
    are the paths of that version that were to stay for a time only.
    """

    network: Network
    chain: ChainState
    target: SiteTarget
    site: SiteSnapshot
    number: int
    wanted: SiteContent
    dead: frozenset[BlobId]
    at_hand: Mapping[bytes, tuple[str, int]]
    known: Mapping[bytes, Stored]
    root: str
    retiring: Mapping[str, int]
    options: DeployOptions
    epochs: int
    reason: str
    lock: bool


def lapsed(wanted: SiteContent, dead: Collection[BlobId]) -> dict[str, Resource]:
    """Return the resources of a version whose bytes are gone."""
    return {path: resource for path, resource in wanted.resources.items() if resource.blob_id in dead}


def rollback_digest(chain_id: str, site_id: ObjectId, number: int, lock: bool) -> str:
    """Return the digest of the request for a rollback: asking again goes on."""
    asked = {"verb": "rollback", "chain": chain_id, "site": str(site_id), "version": number, "lock": lock}
    return hashlib.sha256(canonical(asked)).hexdigest()


def rollback(facts: RollbackFacts) -> Draft:
    """Return the plan that brings a version back: by reference where its bytes live, stored again where they do not.

    Raises `ValidationError` ``content_lapsed`` with the paths that nothing can bring back.
    """
    gone = lapsed(facts.wanted, facts.dead)
    there = facts.at_hand.keys() | facts.known.keys()
    lost = sorted(path for path, resource in gone.items() if resource.blob_hash not in there)
    if lost:
        text = f"the content of {len(lost)} files of version {facts.number} is gone from Walrus, and no folder has it"
        raise ValidationError("content_lapsed", text, paths=lost, path=lost[0])
    entries = {path: _entry(facts, resource) for path, resource in gone.items()}
    operations = packing.pack(
        packing.pieces_of(entries, facts.known),
        facts.chain.n_shards,
        facts.epochs,
        facts.chain.prices,
        limits(facts.network, facts.options, facts.chain.n_shards),
    )
    now = facts.chain.walrus_epoch
    plan = Plan(
        digest="",
        request_digest=rollback_digest(facts.chain.chain_id, facts.site.site_id, facts.number, facts.lock),
        chain_id=facts.chain.chain_id,
        network=facts.network.name,
        n_shards=facts.chain.n_shards,
        root=facts.root,
        target=facts.target,
        entries=entries,
        operations=tuple(operations),
        known=facts.known,
        base={path: resource for path, resource in facts.wanted.resources.items() if path not in gone},
        change=_change(facts.wanted, facts.site.content, gone),
        epochs=facts.epochs,
        end_epoch=now + facts.epochs,
        cost=Cost(),
        message=f"rollback to version {facts.number}" + (f": {facts.reason}" if facts.reason else ""),
        options=frozen_options(facts.options),
        verb="rollback",
        retiring=facts.retiring,
        tags=("rollback", *facts.options.tags),
        lock=(facts.reason or f"rolled back to version {facts.number}") if facts.lock else "",
    )
    packed = transactions_of(facts.network, plan)
    return Draft(dataclasses.replace(plan, atomic=len(packed) <= 1), packed)


def _entry(facts: RollbackFacts, resource: Resource) -> Entry:
    source, size = facts.at_hand.get(resource.blob_hash, ("", 0))
    headers = tuple(sorted(resource.visible_headers.items()))
    return Entry(resource.path, source, size, resource.blob_hash, headers)


def _change(wanted: SiteContent, current: SiteContent, gone: Collection[str]) -> SiteChange:
    there = current.resources
    keep = {
        path
        for path, resource in wanted.resources.items()
        if path in there and path not in gone and _identical(there[path], resource)
    }
    return SiteChange(
        add=tuple(sorted(path for path in wanted.resources if path not in there)),
        replace=tuple(sorted(path for path in wanted.resources if path in there and path not in keep)),
        remove=tuple(sorted(path for path in there if path not in wanted.resources)),
        keep=tuple(sorted(keep)),
        name=wanted.name if wanted.name != current.name else None,
        metadata=wanted.metadata if wanted.metadata != current.metadata else None,
        routes=None if (wanted.routes or ()) == (current.routes or ()) else wanted.routes or (),
        redirects=None if (wanted.redirects or ()) == (current.redirects or ()) else wanted.redirects or (),
    )


def _identical(there: Resource, wanted: Resource) -> bool:
    return (there.blob_id, there.blob_hash, there.range, dict(there.headers)) == (
        wanted.blob_id,
        wanted.blob_hash,
        wanted.range,
        dict(wanted.headers),
    )


# ── what may go ───────────────────────────────────────────────────────────────────────────────────────────────────


def kept(versions: Sequence[Mapping[str, Any]], keep_last: int) -> list[Mapping[str, Any]]:
    """Return the rows of `versions` that cleanup spares: of each site the last ones, and those that are pinned."""
    by_site: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in versions:
        by_site.setdefault((row["chain"], row["site_id"]), []).append(row)
    found: list[Mapping[str, Any]] = []
    for rows in by_site.values():
        newest = sorted(rows, key=lambda row: -int(row["n"]))
        found += [row for place, row in enumerate(newest) if place < keep_last or row["pinned"]]
    return found


def old_deployments(
    rows: Sequence[Mapping[str, Any]], needed: Collection[str], now_ms: int, older_than_days: float
) -> list[str]:
    """Return the deployments whose history may go: ended so long ago, not to be resumed, no kept version is theirs."""
    limit = now_ms - older_than_days * _DAY_MS
    found: list[str] = []
    for row in rows:
        status = Status(row["status"])
        ended = status not in LIVE and not (status is Status.FAILED and row["can_resume"])
        last = row["finished_ms"] or row["updated_ms"] or row["created_ms"]
        if ended and last <= limit and row["id"] not in needed:
            found.append(str(row["id"]))
    return found
