"""Checkpoint files: one JSON object each, compressed, written so that a crash leaves a whole one or none.

A file is several Zstandard frames in a row (RFC 8878, section 3: they are read as one text): what all checkpoints of a
deployment have in common, its plan, is a frame of its own, which need not be made again for each of them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import zstandard

from walrus_sdk.errors import StateError
from walrus_sdk.journal.database import make_folder, sync_folder
from walrus_sdk.journal.failures import unwritable
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import JsonText

__all__ = ["FORMAT", "pack", "read_checkpoint", "remove_checkpoints", "write_checkpoint"]

FORMAT = 1
"""Written into every file; a reader refuses a newer one."""

_MAX_SIZE = 256 * 1024 * 1024
_MOMENT = re.compile(r"[a-z]+(-[0-9]+)?")


def pack(text: str) -> bytes:
    """Return a part of a file, compressed: a frame that can stand beside others."""
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(text.encode())


def write_checkpoint(
    home: Path,
    deployment: DeploymentId,
    number: int,
    moment: str,
    data: Mapping[str, Any],
    pack_common: Callable[[str], bytes] = pack,
) -> str:
    """Write ``checkpoints/<deployment>/<nn>-<moment>.json.zst`` (0600) durably; returns its name.

    `pack_common` is `pack` for what is `JsonText` already; it may know what it returned for the same text before.
    """
    assert _MOMENT.fullmatch(moment), moment
    folder = make_folder(make_folder(home / "checkpoints") / str(deployment))
    name = f"{number:02}-{moment}.json.zst"
    parts = _parts({"format": FORMAT, "moment": moment, **data})
    packed = b"".join(pack_common(part) if isinstance(part, JsonText) else pack(part) for part in parts)
    beside = folder / f".{name}.{os.getpid()}"
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(packed)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(folder / name)
        sync_folder(folder)
    except OSError as error:
        raise unwritable(folder / name, error) from error
    return name


def _parts(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield the text of an object in parts; what is JSON already is a part of its own."""
    text = "{"
    for place, name in enumerate(sorted(data)):
        text += f"{', ' if place else ''}{json.dumps(name)}: "
        value = data[name]
        if isinstance(value, JsonText):
            yield text
            yield value
            text = ""
        else:
            text += json.dumps(value, ensure_ascii=False, sort_keys=True)
    yield text + "}"


def remove_checkpoints(home: Path, deployment: DeploymentId) -> None:
    """Remove the checkpoint files of a deployment. Raises `StateError` ``state_unwritable``."""
    folder = home / "checkpoints" / str(deployment)
    try:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateError("state_unwritable", f"{folder}: {error.strerror}", path=str(folder)) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint file. Raises `StateError` ``checkpoint_invalid``."""
    try:
        with (
            path.open("rb") as file,
            zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream,
        ):
            text = stream.read(_MAX_SIZE + 1)
        if len(text) > _MAX_SIZE:
            raise StateError("checkpoint_invalid", f"{path} is larger than {_MAX_SIZE} bytes", path=str(path))
        data = json.loads(text)
    except (OSError, zstandard.ZstdError, ValueError) as error:
        raise StateError("checkpoint_invalid", f"{path}: {error}", path=str(path)) from error
    if not isinstance(data, dict) or not isinstance(data.get("format"), int) or data["format"] > FORMAT:
        raise StateError(
            "checkpoint_invalid", f"{path} is not a checkpoint of format {FORMAT} or older", path=str(path)
        )
    return data
