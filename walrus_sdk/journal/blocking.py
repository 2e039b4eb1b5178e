"""Who keeps a file locked, asked of the kernel's table: to open the file and ask it would drop our own locks on it.

Only Linux has the table; elsewhere nobody is named.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from walrus_sdk.errors import StateError

__all__ = ["busy"]

_LOCKS = Path("/proc/locks")


@dataclass(frozen=True, slots=True)
class _Blocker:
    pid: int
    command: str
    is_stopped: bool


def busy(journal: Path, *, waited_s: float | None = None) -> StateError:
    """Return the error of a journal that is locked; names the process that holds it, and a stopped one as such.

    `waited_s` tells how long it was waited for, where it was.
    """
    found = _blocker(path for path in journal.parent.glob(f"{journal.stem}.*"))
    who, then, fields = "another process", "", {}
    if found is not None:
        who = f"process {found.pid} ({found.command})"
        fields = {"pid": found.pid, "is_stopped": found.is_stopped}
        if found.is_stopped:
            then = f" and is stopped: `kill -CONT {found.pid}` lets it go on, `kill -KILL {found.pid}` ends it"
    held = "holds the journal" if waited_s is None else f"has held the journal for more than {waited_s:g} s"
    text = f"{journal}: {who} {held}{then}"
    return StateError("state_busy", text, path=str(journal), **fields)


def _blocker(paths: Iterable[Path]) -> _Blocker | None:
    """Return another process that has one of the files locked for writing: SQLite and the mark do so for moments.

    Where the table has another device than the file (btrfs, overlay) nobody is found: an inode's number alone proves
    nothing, and whoever is named may be killed for it.
    """
    with suppress(OSError, ValueError, IndexError):
        files = {_in_table(path.lstat()) for path in paths}
        for line in _LOCKS.read_text().splitlines():
            _, *words = line.split()  # "1: POSIX ADVISORY WRITE 1077 fe:00:2220534 120 120"; those who wait have "->"
            if words[2] == "WRITE" and words[4] in files and int(words[3]) not in (0, os.getpid()):
                return _process(int(words[3]))
    return None


def _in_table(info: os.stat_result) -> str:
    return f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}:{info.st_ino}"


def _process(pid: int) -> _Blocker:
    command, _, rest = Path(f"/proc/{pid}/stat").read_text(errors="replace").partition("(")[2].rpartition(")")
    return _Blocker(pid, command, is_stopped=rest.split()[0] in ("T", "t"))
