"""A look at a folder: its names and their statuses as one digest, without a decision, a hash or an object for each.

A folder that looks the same as it did before a scan holds what that scan found. The opposite is not claimed: in doubt
there is no look, or another digest, and the folder is scanned.
"""

from __future__ import annotations

import hashlib
import os
import stat
from array import array
from operator import attrgetter

from walrus_sdk.ports import FolderLook
from walrus_sdk.source.stat_cache import is_settled
from walrus_sdk.source.walk import JUNK, JUNK_ENDINGS, OPEN_FOLDER, is_junk, open_beneath

__all__ = ["look"]

_OF_FILE = attrgetter("st_mode", "st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_dev")
_WIDTH = 6
_SIGNS_OF_JUNK = (*(f"\0{name}\0" for name in JUNK), *(f"{ending}\0" for ending in JUNK_ENDINGS))
_REGULAR = frozenset({stat.S_IFREG})


def look(root: int, started_ns: int) -> FolderLook | None:
    """Return what an open folder looks like; `None` when that does not tell what a scan would find.

    That is so when anything cannot be read, or is neither a file nor a folder: where a link leads is not seen here.
    Junk counts by its name alone. `started_ns` is the time (nanoseconds since 1970 UTC) before the first look at
    anything: younger files may change without showing it. Names are surrogate-escaped file names.
    """
    names: list[str] = []
    fields: list[int] = []
    try:
        _list(root, names, fields)
        table = array("q", fields)
    except (OSError, OverflowError):
        return None
    modes, sizes, changed, noticed = (fields[n::_WIDTH] for n in range(4))
    if not set(map(stat.S_IFMT, set(modes))) <= _REGULAR:
        return None
    digest = hashlib.sha256("".join(names).encode("utf-8", "surrogateescape"))
    digest.update(table)
    youngest = max(max(changed, default=0), max(noticed, default=0))
    return FolderLook(digest.digest(), len(sizes), sum(sizes), is_settled(youngest, started_ns))


def _list(root: int, names: list[str], fields: list[int]) -> None:
    """Add all names below `root`, folder by folder, and the fields of everything that is no folder."""
    pending = [""]
    while pending:
        relative = pending.pop()
        folder = open_beneath(root, relative, OPEN_FOLDER) if relative else os.dup(root)
        try:
            listed = sorted(os.listdir(folder))  # noqa: PTH208  # by descriptor, which pathlib does not have
            # Neither slash nor zero stands in a name, so the text says unmistakably which names are in which folder.
            text = "\0".join(("", *listed, ""))
            names.append(f"{relative}/{text}")
            if any(sign in text for sign in _SIGNS_OF_JUNK):  # searches in one text instead of a call for each name
                listed = [name for name in listed if not is_junk(name)]
            for name in listed:
                status = os.lstat(name, dir_fd=folder)
                if stat.S_ISDIR(status.st_mode):
                    pending.append(f"{relative}/{name}" if relative else name)
                else:
                    fields += _OF_FILE(status)
        finally:
            os.close(folder)
