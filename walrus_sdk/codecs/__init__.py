"""Pure bytes: the formats of Walrus and Sui, without I/O, clock, randomness or async.

Lives here: RedStuff blob ids, quilts, storage cost; BCS, transactions, keys and signatures, ids of Sui objects,
texts (base36/58/64, bech32). Every format names its source; `tests/vectors` holds data made with the official
packages, and every codec reproduces it byte for byte.
Must not live here: files, sockets, decisions, anything that knows about deployments.
"""

from __future__ import annotations

import importlib
import typing

__all__ = ["quilt"]

if typing.TYPE_CHECKING:
    from walrus_sdk.codecs import quilt


def __getattr__(name: str) -> typing.Any:
    # Loaded when first used: quilts need numpy, and most of this room does not.
    if name != "quilt":
        raise AttributeError(f"module 'walrus_sdk.codecs' has no attribute {name!r}")
    return importlib.import_module("walrus_sdk.codecs.quilt")
