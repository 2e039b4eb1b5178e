"""A plan that changes nothing, kept with what it was made from, so that it need not be made again.

A plan of ten thousand files is megabytes, of which nobody reads more than the counts when there is nothing to do: the
large parts are unpacked when they are first asked for.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import zstandard

from walrus_sdk.errors import CodecError
from walrus_sdk.model.network import ChainState
from walrus_sdk.model.plan import Entry, Plan
from walrus_sdk.model.site import Resource
from walrus_sdk.model.units import ObjectId, SuiAddress, WalrusEpoch
from walrus_sdk.planning.plan_json import canonical, dump, load, load_plan
from walrus_sdk.planning.target import Name

__all__ = ["KeptPlan", "chain_key", "folder_key", "is_worth_keeping", "pack", "unpack"]

_MAGIC = b"walrus-sdk plan 1\n"
_CHECK = hashlib.sha256().digest_size

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """A plan, and what it was made from.

    `folder`: digest of what this side gave it (files, rules, options, commit); `chain`: of what the chain's state and
    the key did. `asked` is the object id that was written down; `ends` are the end epochs by blob that it counts on.
    """

    plan: Plan
    folder: str
    chain: str
    name: Name
    asked: ObjectId | None
    ends: Mapping[str, int]


def folder_key(version: str, *parts: object) -> str:
    """Return the digest of what a plan is made from on this side; `parts` are values with an exact ``repr``."""
    return hashlib.sha256(repr((version, *parts)).encode("utf-8", "surrogatepass")).hexdigest()


def chain_key(state: ChainState, owner: SuiAddress) -> str:
    """Return the digest of what a plan without transactions takes from the chain's state, and of its owner."""
    counts = (state.chain_id, state.walrus_epoch, state.n_shards, state.prices, state.max_epochs_ahead)
    packages = (state.walrus_package, state.blob_package)
    return hashlib.sha256(repr((counts, packages, owner)).encode()).hexdigest()


def is_worth_keeping(plan: Plan, ends: Mapping[Any, WalrusEpoch]) -> bool:
    """Return whether a plan comes out the same while what it was made from stays the same.

    One that does something does not, nor one with pages that stay for a time only, nor one whose blobs' ends had to be
    asked of the chain, since they are not in `ends`.
    """
    is_empty = plan.verb == "deploy" and plan.nothing_to_do and not plan.retiring and not plan.known
    return is_empty and len(plan.base) == len(plan.entries) and all(r.blob_id in ends for r in plan.base.values())


def pack(kept: KeptPlan) -> bytes:
    """Return a kept plan as bytes, for `unpack`."""
    plan = kept.plan
    small = replace(plan, entries={}, base={}, change=replace(plan.change, keep=()))
    head = {
        "plan": dump(small),
        "files": len(plan.entries),
        "folder": kept.folder,
        "chain": kept.chain,
        "name": dump(kept.name),
        "asked": dump(kept.asked),
        "ends": dict(kept.ends),
    }
    large = canonical({"entries": dump(plan.entries), "base": dump(plan.base)})
    paths = "\0".join(plan.change.keep).encode("utf-8", "surrogatepass")
    parts = (canonical(head), paths, zstandard.ZstdCompressor(level=1).compress(large))
    body = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    return _MAGIC + hashlib.sha256(body).digest() + body


def unpack(data: bytes | None) -> KeptPlan | None:
    """Return what `pack` was given; `None` for anything else, also for bytes that were damaged since."""
    if data is None or not data.startswith(_MAGIC):
        return None
    check, body = data[len(_MAGIC) : len(_MAGIC) + _CHECK], memoryview(data)[len(_MAGIC) + _CHECK :]
    if hashlib.sha256(body).digest() != check:
        return None
    try:
        return _unpack(*_parts(body))
    except (ValueError, KeyError, TypeError, CodecError):
        return None  # of another version of this package


def _parts(body: memoryview) -> Iterator[bytes]:
    while body:
        size = int.from_bytes(body[:8], "little")
        yield bytes(body[8 : 8 + size])
        body = body[8 + size :]


def _unpack(head: bytes, paths: bytes, packed: bytes) -> KeptPlan:
    found = json.loads(head)
    small, files = load_plan(found["plan"]), found["files"]

    @functools.cache
    def large() -> Mapping[str, Any]:
        data: Mapping[str, Any] = json.loads(zstandard.ZstdDecompressor().decompress(packed))
        return data

    keep = tuple(paths.decode("utf-8", "surrogatepass").split("\0")) if paths else ()
    plan = replace(
        small,
        entries=_Later(files, lambda: load(Mapping[str, Entry], large()["entries"])),  # type: ignore[type-abstract]
        base=_Later(files, lambda: load(Mapping[str, Resource], large()["base"])),  # type: ignore[type-abstract]
        change=replace(small.change, keep=keep),
    )
    asked = ObjectId.parse(found["asked"]) if found["asked"] is not None else None
    return KeptPlan(plan, found["folder"], found["chain"], load(Name, found["name"]), asked, found["ends"])


class _Later(Mapping[K, V]):
    """A mapping whose size is known, and which is read when it is asked for more."""

    def __init__(self, size: int, read: Callable[[], Mapping[K, V]]) -> None:
        self._size = size
        self._read = functools.cache(read)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self._read()),)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[K]:
        return iter(self._read())

    def __getitem__(self, key: K) -> V:
        return self._read()[key]
