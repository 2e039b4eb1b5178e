"""Verification: all records on chain against the plan, then the bytes that visitors get."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import anyio

from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import ErrorClass, StorageError, WalrusError
from walrus_sdk.model.options import Verify
from walrus_sdk.model.site import Resource, SiteSnapshot
from walrus_sdk.model.units import BlobId, QuiltPatchId
from walrus_sdk.ports import BlobStore, Sleep
from walrus_sdk.sites import portal
from walrus_sdk.sites.paths import is_html

__all__ = ["Checked", "check_bytes", "check_records", "choose"]

_ALL_UP_TO = 200
_SAMPLE = 200
_PARALLEL = 16
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between tries: what was just stored may not be visible everywhere yet."""


@dataclass(frozen=True, slots=True)
class Checked:
    """How much was read back: ``all``, ``sample`` or ``none``, and how many files."""

    how: str
    files: int


def check_records(target: Mapping[str, Resource], site: SiteSnapshot) -> None:
    """Compare all resources on chain with what they should be. Raises ``verification_failed`` with the paths."""
    there = site.content.resources
    wrong = [path for path in sorted({*target, *there}) if target.get(path) is None or not _same(target, there, path)]
    if wrong:
        shown = ", ".join(wrong[:5]) + (", …" if len(wrong) > 5 else "")
        text = f"{len(wrong)} resources on chain are not as planned: {shown}"
        raise StorageError("verification_failed", text, paths=wrong[:100])


def _same(target: Mapping[str, Resource], there: Mapping[str, Resource], path: str) -> bool:
    wanted, found = target[path], there.get(path)
    return (
        found is not None
        and (wanted.blob_id, wanted.blob_hash, wanted.range) == (found.blob_id, found.blob_hash, found.range)
        and dict(wanted.headers) == dict(found.headers)
    )


def choose(paths: Sequence[str], new: Sequence[str], verify: Verify, seed: str) -> tuple[str, list[str]]:
    """Return how much is read back, and which paths: the sample depends on `seed` only.

    `new` are one path of each store that was just made.
    """
    if verify is Verify.NONE:
        return "none", []
    if verify is Verify.ALL or (verify is Verify.AUTO and len(paths) <= _ALL_UP_TO):
        return "all", sorted(paths)
    fixed = set(new) | ({path for path in paths if is_html(path)} if verify is Verify.AUTO else set())
    rest = sorted(set(paths) - fixed, key=lambda path: hashlib.sha256(f"{seed}{path}".encode()).digest())
    return "sample", sorted(fixed | set(rest[:_SAMPLE]))


async def check_bytes(store: BlobStore, sleep: Sleep, site: SiteSnapshot, paths: Sequence[str], feed: Feed) -> None:
    """Read each path as a portal serves it and compare its SHA-256. Raises ``verification_failed``."""
    feed.set(checks_total=len(paths), checks_done=0)
    queue, wrong = list(paths), dict[str, WalrusError]()
    content = site.content
    known: dict[tuple[BlobId | QuiltPatchId, bytes], bool] = {}

    async def worker() -> None:
        while queue:
            path = queue.pop()
            try:
                decision = portal.resolve(path, content.resources.__contains__, content.routes, content.redirects)
                served = decision.path if isinstance(decision, portal.Serve) else path
                await _check(store, sleep, content.resources[served], known)
            except WalrusError as error:
                wrong[path] = error
            feed.add(checks_done=1)

    async with anyio.create_task_group() as tasks:
        for _ in range(min(_PARALLEL, len(queue))):
            tasks.start_soon(worker)
    if wrong:
        path, error = min(wrong.items())
        text = f"{len(wrong)} files are not served as planned; {path}: {error.message}"
        lost = {
            str(content.resources[p].blob_id)
            for p in wrong
            if wrong[p].code == "blob_not_found" and p in content.resources
        }
        raise StorageError(
            "verification_failed",
            text,
            paths=sorted(wrong)[:100],
            site_id=str(site.site_id),
            proven=any(failure.code == "content_mismatch" for failure in wrong.values()),
            lost_blobs=sorted(lost),
        )


async def _check(
    store: BlobStore, sleep: Sleep, resource: Resource, known: dict[tuple[BlobId | QuiltPatchId, bytes], bool]
) -> None:
    """Read one resource; content that several paths share is read once."""
    ref = portal.patch_of(resource) or resource.blob_id
    key = (ref, resource.blob_hash)
    if known.get(key):
        return
    for pause in (*_PAUSES, None):
        try:
            digest = await _hash(store, ref)
            break
        except WalrusError as error:
            if pause is None or error.error_class not in (ErrorClass.RETRY, ErrorClass.LOOK_FIRST):
                raise
            await sleep(pause)
    if digest != resource.blob_hash:
        text = f"{resource.path}: the bytes served have SHA-256 {digest.hex()}, planned {resource.blob_hash.hex()}"
        raise StorageError("content_mismatch", text, path=resource.path)
    known[key] = True


async def _hash(store: BlobStore, ref: BlobId | QuiltPatchId) -> bytes:
    digest = hashlib.sha256()
    sink: Callable[[bytes], object] = digest.update
    await store.read(ref, sink, max_size=2**40)
    return digest.digest()
