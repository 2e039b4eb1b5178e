"""Writing ws-resources.json, which is done only when it was asked for."""

from __future__ import annotations

import os
from pathlib import Path

from walrus_sdk.errors import ValidationError
from walrus_sdk.model.units import ObjectId
from walrus_sdk.sites.ws_resources import with_site

__all__ = ["write_site_id"]


def write_site_id(path: Path, site_id: ObjectId, site_name: str) -> None:
    """Set ``object_id`` (and ``site_name`` where it has none) in a file, formatting kept; a crash leaves old or new.

    Raises `ValidationError` ``file_unreadable``.
    """
    try:
        before = path.read_bytes() if path.exists() else None
        after = with_site(before, site_id, site_name)
        if after == before:
            return
        beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        beside.write_bytes(after)
        if before is not None:
            beside.chmod(path.stat().st_mode & 0o7777)
        beside.replace(path)
    except OSError as error:
        raise ValidationError(
            "file_unreadable", f"{path} cannot be written: {error.strerror}", path=str(path)
        ) from error
