"""Failures of the operating system as errors of the tree."""

from __future__ import annotations

import errno
from pathlib import Path

from walrus_sdk.errors import StateError

__all__ = ["unwritable"]

_FULL = {errno.ENOSPC, errno.EDQUOT}


def unwritable(path: Path, error: OSError) -> StateError:
    """Return what it means that something could not be made or written: no room, or not allowed."""
    code = "state_full" if error.errno in _FULL else "state_unwritable"
    return StateError(code, f"{path}: {error.strerror}", path=str(path))
