"""Blob ids and quilts of bytes and files, without a session, a network or a key. Everything here blocks."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

from walrus_sdk.codecs import quilt, redstuff
from walrus_sdk.errors import ValidationError
from walrus_sdk.model.units import BlobId

__all__ = ["blob_id", "inspect_quilt"]


def blob_id(data_or_path: bytes | bytearray | memoryview | str | os.PathLike[str], n_shards: int = 1000) -> BlobId:
    """Return the Walrus blob id of bytes, or of the file at a path; its `str()` is the usual 43-character text.

    `n_shards` is the network's number of shards (1000 on testnet and mainnet). Files are mapped, not read; besides,
    about half the size of the data is taken in memory. Raises `ValidationError` ``file_unreadable``, `StorageError`
    ``file_too_large`` or `CodecError` for a number of shards that cannot be.
    Source of the encoding: docs/explanation/formats.md.
    """
    if isinstance(data_or_path, str | os.PathLike):
        return redstuff.blob_id(_mapped(Path(data_or_path)), n_shards)
    return redstuff.blob_id(data_or_path, n_shards)


def inspect_quilt(path: str | os.PathLike[str], n_shards: int = 1000) -> dict[str, Any]:
    """Return what the quilt in a file holds, as JSON-ready fields: its blob id and a list of its patches.

    Raises `CodecError` ``not_a_quilt``, `ValidationError` ``file_unreadable``.
    """
    data = _mapped(Path(path))
    patches = quilt.inspect(data, n_shards)
    name = redstuff.blob_id(data, n_shards)
    ids = quilt.patch_ids(name, patches)
    return {
        "blob_id": str(name),
        "size": len(data),
        "n_shards": n_shards,
        "patches": [
            {
                "identifier": patch.identifier,
                "size": patch.size,
                "tags": dict(patch.tags),
                "start": patch.start,
                "end": patch.end,
                "patch_id": str(ids[patch.identifier]),
            }
            for patch in patches
        ],
    }


def _mapped(path: Path) -> bytes | mmap.mmap:
    """Return a file's bytes as a map of it; an empty file cannot be mapped."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else file.read()
    except OSError as error:
        raise ValidationError("file_unreadable", f"{path}: {error.strerror}", path=str(path)) from error
