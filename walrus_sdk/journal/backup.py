"""A copy of the state that is whole: the journal at one moment, with the checkpoints, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from walrus_sdk.errors import ConfigurationError, StateError
from walrus_sdk.journal.check import check
from walrus_sdk.journal.checkpoints import read_checkpoint
from walrus_sdk.journal.database import failures, make_folder, open_reader, sync_file, sync_folder
from walrus_sdk.journal.failures import unwritable
from walrus_sdk.journal.mark import mark_path

__all__ = ["Copied", "backup", "restore"]

_JOURNAL = "journal.db"
_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied: where to, how many checkpoints, and which of them were left out because they are damaged."""

    path: Path
    checkpoints: int
    left_out: tuple[str, ...]


def backup(home: Path, target: Path) -> Copied:
    """Copy the journal and the checkpoints of a home into a new folder, whoever works in the home meanwhile. Blocks.

    The copy is checked before it gets its name, so a folder of that name is a good one. Raises `ConfigurationError`
    ``option_invalid`` when the target is there, `StateError` when the home has no sound journal or there is no room.
    """
    journal = home / "state" / _JOURNAL
    if target.exists() or target.is_symlink():
        raise ConfigurationError("option_invalid", f"{target} is there already; name a new folder", path=str(target))
    if not journal.is_file():
        raise StateError("state_damaged", f"{home} has no journal", path=str(journal))
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    with _errors(target):
        shutil.rmtree(beside, ignore_errors=True)
        make_folder(beside)
        try:
            _copy_journal(journal, beside / _JOURNAL)
            _demand_sound(beside / _JOURNAL)
            copied, left_out = _copy_checkpoints(home / _CHECKPOINTS, beside / _CHECKPOINTS)
            sync_folder(beside)
            beside.rename(target)
            sync_folder(target.parent)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    return Copied(target, copied, left_out)


def restore(source: Path, home: Path) -> Copied:
    """Put a backup into a home that has no journal. Blocks.

    Everything is checked before anything is put anywhere, and the journal comes last. Raises `ConfigurationError`
    ``option_invalid`` when the home has a journal, or a log of one, `StateError` when the backup is not sound.
    """
    state = home / "state"
    journal = state / _JOURNAL
    for path in (journal, Path(f"{journal}-wal")):
        if path.exists() or path.is_symlink():
            raise ConfigurationError("option_invalid", f"{path} is there; nothing is overwritten", path=str(path))
    _demand_sound(source / _JOURNAL)
    for path in _checkpoint_files(source / _CHECKPOINTS):
        read_checkpoint(path)
    with _errors(home):
        make_folder(home)
        make_folder(state)
        beside = state / f".{_JOURNAL}.{os.getpid()}"
        beside.unlink(missing_ok=True)
        try:
            _copy_journal(source / _JOURNAL, beside)
            _demand_sound(beside)
            copied, left_out = _copy_checkpoints(source / _CHECKPOINTS, home / _CHECKPOINTS)
            mark_path(journal).unlink(missing_ok=True)  # it speaks of a journal that is gone
            os.link(beside, journal)  # never over one that came meanwhile
        finally:
            beside.unlink(missing_ok=True)
        sync_folder(state)
    return Copied(home, copied, left_out)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise ConfigurationError("option_invalid", f"{error.filename} is there already", path=str(path)) from error
    except OSError as error:
        raise unwritable(path, error) from error


def _demand_sound(journal: Path) -> None:
    found = check(journal)
    if found:
        raise StateError("state_damaged", f"{journal}: {found[0]}", path=str(journal), found=found)


def _copy_journal(source: Path, target: Path) -> None:
    """Copy one moment of a journal, its log included, into a new private file, durably."""
    _new(target)
    with failures(source), closing(open_reader(source)) as reading, closing(sqlite3.connect(target)) as writing:
        reading.backup(writing)
        writing.execute("pragma synchronous = full")
        writing.execute("pragma journal_mode = delete")  # one file, and no log to forget
    sync_file(target)


def _new(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def _checkpoint_files(folder: Path) -> Iterator[Path]:
    """Yield whole checkpoint files; what a crash left in pieces has a name with a dot before it."""
    for path in sorted(folder.glob("*/*")):
        if not path.name.startswith(".") and path.is_file() and not path.is_symlink():
            yield path


def _copy_checkpoints(source: Path, target: Path) -> tuple[int, tuple[str, ...]]:
    """Copy checkpoints that can be read and are not there yet; return their number and the names of the others."""
    copied, left_out = 0, []
    for path in _checkpoint_files(source):
        try:
            read_checkpoint(path)
        except StateError:
            left_out.append(f"{path.parent.name}/{path.name}")
            continue
        folder = make_folder(make_folder(target) / path.parent.name)
        with suppress(FileExistsError):
            _new(folder / path.name)
            shutil.copyfile(path, folder / path.name)
            sync_file(folder / path.name)
            sync_folder(folder)
            copied += 1
    return copied, tuple(left_out)
