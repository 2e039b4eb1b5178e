"""Merkle trees as Walrus builds them: BLAKE2b-256, leaf prefix 00, inner prefix 01, odd levels padded with zeros.

On every level with more than one node and an odd count one empty node (32 zero bytes) is appended. A single leaf is the
root; no leaves give the empty node. Source: walrus-core `merkle.rs`; docs/explanation/formats.md (RedStuff).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct

__all__ = ["EMPTY", "hash_leaf", "proof", "root", "root_of_hashes", "verify"]

EMPTY = bytes(32)
_LEAF = blake2b(b"\0", digest_size=32)
_INNER = blake2b(b"\1", digest_size=32)
_pairs = Struct("64s").iter_unpack  # cheaper than a slice for each


def hash_leaf(data: bytes) -> bytes:
    """Return the 32-byte hash of one leaf."""
    state = _LEAF.copy()
    state.update(data)
    return state.digest()


def _parent_level(level: bytes, repeated: bytes) -> tuple[bytes, bytes]:
    """Return the next level, and the parent of two `repeated` nodes, which is hashed once only."""
    if len(level) % 64:
        level += EMPTY
    copy, twice = _INNER.copy, repeated + repeated
    state = copy()
    state.update(twice)
    parent_of_repeated = state.digest()
    parents = []
    for (pair,) in _pairs(level):
        if pair == twice:
            parents.append(parent_of_repeated)
        else:
            state = copy()
            state.update(pair)
            parents.append(state.digest())
    return b"".join(parents), parent_of_repeated


def root_of_hashes(leaves: bytes, repeated: bytes = EMPTY) -> bytes:
    """Return the root over leaf hashes joined to one byte string.

    `repeated` names a leaf hash that comes often (that of a zero symbol): whole subtrees of it are hashed once.
    """
    if not leaves:
        return EMPTY
    while len(leaves) > 32:
        leaves, repeated = _parent_level(leaves, repeated)
    return leaves


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over the data of leaves."""
    return root_of_hashes(b"".join(map(hash_leaf, leaves)))


def proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the sibling of each node on the way from leaf `index` to the root, bottom up."""
    level, path = b"".join(map(hash_leaf, leaves)), []
    while len(level) > 32:
        if len(level) % 64:
            level += EMPTY
        sibling = (index ^ 1) * 32
        path.append(level[sibling : sibling + 32])
        level, _ = _parent_level(level, EMPTY)
        index //= 2
    return path


def verify(leaf: bytes, index: int, path: Sequence[bytes], expected_root: bytes) -> bool:
    """Return whether `leaf` stands at `index` under `expected_root`."""
    node = hash_leaf(leaf)
    for sibling in path:
        pair = sibling + node if index % 2 else node + sibling
        state = _INNER.copy()
        state.update(pair)
        node = state.digest()
        index //= 2
    return index == 0 and node == expected_root
