"""A home on disk: whose it is, who may read it, whether its journal is sound, whether there is room. Blocks."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from walrus_sdk.errors import WalrusError
from walrus_sdk.journal.check import check
from walrus_sdk.journal.mounts import lock_warning
from walrus_sdk.model.health import Finding

__all__ = ["examine_home"]

_LEAST_FREE = 64 * 1024 * 1024


def examine_home(home: Path, *, repair: bool = False) -> list[Finding]:
    """Return what was found of a home; `repair` takes away what others may do with its files."""
    return [*_journal(home), *_modes(home, repair=repair), *_locks(home), *_room(home)]


def _journal(home: Path) -> Iterator[Finding]:
    path = home / "state" / "journal.db"
    try:
        problems = check(path)
    except WalrusError as error:
        yield Finding("journal", "bad", f"{error.message} [{error.code}]", error.next_step)
        return
    for problem in problems:
        yield Finding("journal", "bad", problem, "Keep the file; `walrus-sdk restore` brings a backup back.")
    if not problems:
        yield Finding("journal", "ok", str(path))


def _modes(home: Path, *, repair: bool) -> Iterator[Finding]:
    wide = [path for path in (home, *home.rglob("*")) if not path.is_symlink() and _is_wide(path)]
    for path in wide[:20]:
        if repair:
            path.chmod(0o700 if path.is_dir() else 0o600)
        text = f"{path} can be read or written by others"
        yield Finding("files", "bad", text, "`walrus-sdk doctor --repair` takes that away.", repaired=repair)
    if not wide:
        yield Finding("files", "ok", f"{home} is private")


def _is_wide(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _locks(home: Path) -> Iterator[Finding]:
    warning = lock_warning(home)
    if warning is not None:
        yield Finding("locks", "warning", warning, "Put WALRUS_DEPLOYMENT_HOME on a local disk.")


def _room(home: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(home).free
    if free < _LEAST_FREE:
        yield Finding("disk", "bad", f"{free} bytes are free at {home}", "Make room.")
