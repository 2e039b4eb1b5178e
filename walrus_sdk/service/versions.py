"""Versions of a site: listed, compared, downloaded, pinned; by what the journal kept of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio

from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import (
    BlockchainError,
    ConfigurationError,
    StateError,
    StorageError,
    ValidationError,
    WalrusError,
)
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.progress import Phase
from walrus_sdk.model.site import Metadata, Resource, SiteContent
from walrus_sdk.model.units import BlobId, DeploymentId, Digest, ObjectId, WalrusEpoch
from walrus_sdk.model.versions import Download, Version, VersionDiff
from walrus_sdk.planning.history import compare
from walrus_sdk.planning.plan_json import load
from walrus_sdk.ports import BlobStore, Change, Put
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.sites import find_site
from walrus_sdk.service.survey import lifetimes_of, survey
from walrus_sdk.sites.diff import with_defaults
from walrus_sdk.sites.portal import patch_of

__all__ = ["content_of", "diff", "download", "pin", "rows_of", "versions"]

_PARALLEL = 16


async def versions(connection: Connection, site: str) -> list[Version]:
    """Return the versions of a site that this home knows, newest first."""
    site_id = await find_site(connection, site)
    (now,) = await connection.chain.objects([site_id])  # its digest is enough; its resources may be many
    chain_id = (await connection.chain.state()).chain_id
    ends = await lifetimes_of(connection, chain_id)
    made = {row["id"]: row for row in await connection.journal.rows("deployments", {"site_id": str(site_id)})}
    rows = await rows_of(connection, site_id)
    latest = {row["digest"]: row["n"] for row in rows}
    current = latest.get(str(now.ref.digest)) if now is not None else None
    return [_version(row, site_id, ends, made, current) for row in reversed(rows)]


async def rows_of(connection: Connection, site_id: ObjectId) -> list[Mapping[str, Any]]:
    """Return the rows of a site's versions, oldest first."""
    chain_id = (await connection.chain.state()).chain_id
    rows = await connection.journal.rows("versions", {"chain": chain_id, "site_id": str(site_id)})
    return sorted(rows, key=lambda row: int(row["n"]))


def _version(
    row: Mapping[str, Any],
    site_id: ObjectId,
    ends: Mapping[BlobId, WalrusEpoch],
    made: Mapping[str, Mapping[str, Any]],
    current: int | None,
) -> Version:
    files, blobs = _blobs_of(row)
    known = [ends[blob_id] for blob_id in blobs if blob_id in ends]
    return Version(
        number=row["n"],
        site_id=site_id,
        deployment_id=DeploymentId(row["deployment"]),
        created_ms=row["created_ms"],
        message=row["message"] or "",
        commit=row["commit_id"] or "",
        tags=tuple(json.loads(row["tags"] or "[]")),
        files=files,
        digest=Digest.parse(row["digest"]),
        end_epoch=min(known) if known and len(known) == len(blobs) else None,
        current=row["n"] == current,
        pinned=bool(row["pinned"]),
        verb=made[row["deployment"]]["verb"] if row["deployment"] in made else "",
    )


def content_of(row: Mapping[str, Any]) -> SiteContent:
    """Return what a version consists of. Raises `StateError` ``state_damaged``."""
    try:
        return load(SiteContent, json.loads(row["manifest"]))
    except (ValueError, WalrusError) as error:
        raise _damaged(row) from error


def _blobs_of(row: Mapping[str, Any]) -> tuple[int, set[BlobId]]:
    """Return how many files a version has, and which blobs; the rest of its manifest is not read."""
    try:
        resources = json.loads(row["manifest"])["resources"]
        return len(resources), {BlobId.parse(text) for text in {one["blob_id"] for one in resources.values()}}
    except (ValueError, KeyError, TypeError, WalrusError) as error:
        raise _damaged(row) from error


def _damaged(row: Mapping[str, Any]) -> StateError:
    return StateError("state_damaged", f"version {row['n']} of {row['site_id']} cannot be read")


async def named(connection: Connection, text: str) -> tuple[ObjectId, Mapping[str, Any]]:
    """Return the version that ``SITE@NUMBER`` means; without a number the last one.

    Raises `ConfigurationError` ``version_not_found``.
    """
    site, _, number = text.rpartition("@") if "@" in text else (text, "", "")
    site_id = await find_site(connection, site)
    rows = await rows_of(connection, site_id)
    found = [row for row in rows if not number or str(row["n"]) == number]
    if not found:
        known = ", ".join(str(row["n"]) for row in rows) or "none"
        text = f"site {site_id} has no version {number or '(any)'} here; known: {known}"
        raise ConfigurationError("version_not_found", text)
    return site_id, found[-1]


async def pin(connection: Connection, version: str, pinned: bool) -> None:
    """Keep a version (``SITE@NUMBER``) whatever cleanup does, or no longer."""
    _, row = await named(connection, version)
    key = {name: row[name] for name in ("chain", "site_id", "n")}
    await connection.journal.append(
        None, [Change("pin", {}, (Put("versions", key, {"pinned": int(pinned)}, {"digest": row["digest"]}),))]
    )


# ── comparing ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def diff(connection: Connection, old: str, new: str, options: DeployOptions, feed: Feed) -> VersionDiff:
    """Return what differs from `old` to `new`.

    Each is ``SITE@NUMBER``, a site (what the chain has now), or a folder: a path with a slash in it, or one that is
    there where no site has that name.
    """
    one, other = [await _state(connection, text, options, feed) for text in (old, new)]
    name = one.name or other.name  # a folder that names no site takes the name that is there
    return compare(replace(one, name=one.name or name), replace(other, name=other.name or name))


async def _state(connection: Connection, text: str, options: DeployOptions, feed: Feed) -> SiteContent:
    if "/" in text or text in (".", ".."):
        return await _folder(connection, await connection.threads.run(_place, text), options, feed)
    if "@" in text:
        _, row = await named(connection, text)
        return content_of(row)
    try:
        site_id = await find_site(connection, text)
    except BlockchainError as error:
        place = await connection.threads.run(_place, text)
        if error.code != "site_not_found" or not await connection.threads.run(place.is_dir):
            raise
        return await _folder(connection, place, options, feed)
    site = await connection.chain.site(site_id)
    if site is None:
        raise ConfigurationError("version_not_found", f"site {site_id} is not on {connection.network.name}")
    return site.content


def _place(text: str) -> Path:
    return Path(text).expanduser().absolute()


async def _folder(connection: Connection, place: Path, options: DeployOptions, feed: Feed) -> SiteContent:
    """Return a folder as the site that it would become; where its bytes would lie does not matter."""
    async with connection.folder(place) as folder:
        found = await survey(connection, folder, place, options, feed)
    nowhere, rules = BlobId(bytes(32)), found.rules
    return SiteContent(
        found.name.text if found.name.explicit else "",
        with_defaults(rules.metadata or Metadata()),
        {path: Resource(path, entry.headers, nowhere, entry.sha256) for path, entry in found.entries.items()},
        rules.routes,
        rules.redirects,
    )


# ── downloading ───────────────────────────────────────────────────────────────────────────────────────────────────


async def download(connection: Connection, version: str, target: Path, options: DeployOptions, feed: Feed) -> Download:
    """Write the files of a version (``SITE@NUMBER``, or a site as it is on chain) into a folder, each verified.

    Files that are there already with the right content are not read again, so the same call goes on after a stop;
    others are not overwritten. Raises `ValidationError` ``path_conflict`` for a file of other content,
    `StorageError` ``content_mismatch`` for wrong bytes.
    """
    content = await _state(connection, version, options, feed)
    store = connection.store(options)
    queue, there, read = [], 0, 0
    for path, resource in sorted(content.resources.items()):
        place = _inside(target, path)
        found = await connection.threads.run(_hash, place)
        if found == resource.blob_hash:
            there += 1
        elif found is not None:
            raise ValidationError("path_conflict", f"{place} is there with other content", path=str(place))
        else:
            queue.append((place, resource))
    feed.phase(Phase.VERIFY)
    feed.set(checks_total=len(queue))

    async def worker() -> None:
        nonlocal read
        while queue:
            place, resource = queue.pop()
            data = await _bytes(store, resource)
            await connection.threads.run(_write, place, data)
            read += len(data)
            feed.add(checks_done=1)

    async with anyio.create_task_group() as tasks:
        for _ in range(min(_PARALLEL, len(queue))):
            tasks.start_soon(worker)
    feed.phase(Phase.DONE)
    return Download(str(target), len(content.resources), there, read)


def _inside(target: Path, path: str) -> Path:
    """Return where a site path is written: inside the folder, whatever the chain says."""
    parts = path.removeprefix("/").split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise ValidationError("path_invalid", f"{path!r:.200} cannot be a file", path=path)
    return target.joinpath(*parts)


async def _bytes(store: BlobStore, resource: Resource) -> bytes:
    data = bytearray()
    span = None
    if resource.range is not None and resource.range.start is not None and resource.range.end is not None:
        span = (resource.range.start, resource.range.end - resource.range.start + 1)
    await store.read(patch_of(resource) or resource.blob_id, data.extend, span=span, max_size=2**40)
    if hashlib.sha256(data).digest() != resource.blob_hash:
        text = f"{resource.path}: the bytes served are not those of the version"
        raise StorageError("content_mismatch", text, path=resource.path)
    return bytes(data)


def _hash(place: Path) -> bytes | None:
    """Return the SHA-256 of a file, `None` when there is none."""
    if place.is_symlink():
        raise ValidationError("link_outside", f"{place} is a link", path=str(place))
    if not place.exists():
        return None
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _write(place: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}.part")
    beside.write_bytes(data)
    beside.replace(place)
