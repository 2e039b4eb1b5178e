"""What this process takes of its machine, asked of the operating system."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from walrus_sdk.model.samples import Resources

__all__ = ["read_resources"]

T = TypeVar("T")


def read_resources(folder: Path) -> Resources:
    """Return what this process takes now, and the room on the disk of `folder`; blocks for less than a millisecond.

    Memory and descriptors are those of ``/proc/self`` (proc(5)); systems without it tell descriptors (``/dev/fd``)
    and no memory.
    """
    spent = os.times()
    return Resources(
        cpu_s=round(spent.user + spent.system + spent.children_user + spent.children_system, 3),
        rss_bytes=_known(_resident),
        open_files=_known(_descriptors),
        disk_free_bytes=_known(lambda: _free(folder)),
    )


def _known(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except OSError:  # no such file system here, or no descriptor left to read it with
        return None


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir())) - 1  # the one that lists them is among them


def _free(folder: Path) -> int:
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize
