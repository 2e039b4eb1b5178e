"""Walking a folder by directory descriptors: no name is looked up twice, nothing outside is reached (F2, F5-F7).

Links inside the folder are followed once and served at both places; links that leave it, lead nowhere or in a circle
are refused with their target. Special files are refused without being opened, so that a FIFO never blocks.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from walrus_sdk.errors import ValidationError
from walrus_sdk.model.plan import FileStat
from walrus_sdk.sites.paths import escaped

__all__ = ["JUNK", "JUNK_ENDINGS", "OPEN_FOLDER", "Found", "file_stat", "is_junk", "open_beneath", "walk"]

JUNK = {".git", ".hg", ".svn", ".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX"}
JUNK_ENDINGS = (".swp", ".swo", ".swx", "~")
_MAX_LINKS = 40

_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file: `relative` is where it is served from, `real` where it is (they differ behind a link)."""

    relative: str
    real: str
    stat: FileStat


def file_stat(status: os.stat_result) -> FileStat:
    """Return the part of a stat that must not change while a file is read."""
    return FileStat(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)


def is_junk(name: str) -> bool:
    """Return whether a name is one of version control, the operating system or an editor, never of a site."""
    return name in JUNK or (name.endswith(JUNK_ENDINGS) and (name[0] == "." or name[-1] == "~"))


def open_beneath(root: int, relative: str, flags: int = _OPEN_FILE) -> int:
    """Open `relative` below the folder `root` part by part, following no link anywhere. Raises `OSError`."""
    *parents, name = relative.split("/")
    folder = os.dup(root)
    try:
        for part in parents:
            deeper = os.open(part, OPEN_FOLDER, dir_fd=folder)
            os.close(folder)
            folder = deeper
        return os.open(name, flags, dir_fd=folder)
    finally:
        os.close(folder)


_Pending: TypeAlias = tuple[str, str, tuple[str, ...]]
"""A folder to walk: where it is served from, where it is, the real folders that led there."""


class _Walk:
    def __init__(self, root: int, place: str, leave_out: Callable[[str], str | None]) -> None:
        self.root = root
        self.place = place
        self.leave_out = leave_out
        self.pending: list[_Pending] = []
        self.found: list[Found] = []
        self.ignored: list[tuple[str, str]] = []
        self.unreadable: list[str] = []

    def run(self) -> list[Found]:
        self.pending.append(("", "", ()))
        while self.pending:
            relative, real, above = self.pending.pop()
            try:
                folder = self._folder(real)
            except OSError as error:
                self._unreadable(relative or ".", error)
                continue
            try:
                self._entries(relative, real, (*above, real), folder)
            finally:
                os.close(folder)
        return self.found

    def _entries(self, relative: str, real: str, above: tuple[str, ...], folder: int) -> None:
        for name in self._names(relative, folder):
            served = _join(relative, name)
            place = served if real == relative else _join(real, name)
            if is_junk(name):
                self.ignored.append((escaped(served), "junk"))
                continue
            try:
                status = os.lstat(name, dir_fd=folder)  # by descriptor, as above
                if stat.S_ISREG(status.st_mode):
                    if not self._is_left_out(served):
                        self.found.append(Found(served, place, file_stat(status)))
                else:
                    self._other(served, place, above, status)
            except OSError as error:
                self._unreadable(served, error)

    def _folder(self, real: str) -> int:
        return open_beneath(self.root, real, OPEN_FOLDER) if real else os.dup(self.root)

    def _names(self, relative: str, folder: int) -> list[str]:
        try:
            return sorted(os.listdir(folder))  # by descriptor, which pathlib does not have
        except OSError as error:
            self._unreadable(relative or ".", error)
            return []

    def _unreadable(self, relative: str, error: OSError) -> None:
        self.unreadable.append(f"{escaped(relative)} ({os.strerror(error.errno or errno.EIO)})")

    def _status(self, real: str) -> os.stat_result:
        """Return the status of the thing itself, without following a link anywhere on the way."""
        if not real:
            return os.fstat(self.root)
        parent, _, name = real.rpartition("/")
        folder = self._folder(parent)
        try:
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(folder)

    def _is_left_out(self, relative: str) -> bool:
        reason = self.leave_out(relative)
        if reason is not None:
            self.ignored.append((escaped(relative), reason))
        return reason is not None

    def _other(self, relative: str, real: str, above: tuple[str, ...], status: os.stat_result) -> None:
        """Look at what is no regular file: a folder, a link, or nothing to publish. Raises `OSError`."""
        if not stat.S_ISDIR(status.st_mode) and self._is_left_out(relative):
            return
        if stat.S_ISLNK(status.st_mode):
            real = self._target(relative, real)
            status = self._status(real)
        if stat.S_ISDIR(status.st_mode):
            if real in above:
                raise _link("link_broken", relative, "leads in a circle")
            self.pending.append((relative, real, above))
        elif stat.S_ISREG(status.st_mode):
            self.found.append(Found(relative, real, file_stat(status)))
        else:
            kind = stat.filemode(status.st_mode)[0]
            what = {"p": "a FIFO", "s": "a socket", "c": "a device", "b": "a device"}.get(kind, "a special file")
            raise ValidationError("special_file", f"{escaped(relative)} is {what}", path=escaped(relative))

    def _target(self, relative: str, real: str) -> str:
        """Follow a link by hand to a real place in the folder. Raises `ValidationError`."""
        shown, parts = relative, real.split("/")
        done: list[str] = []
        for _ in range(_MAX_LINKS * 64):
            if not parts:
                return "/".join(done)
            part = parts.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                if not done:
                    raise _link("link_outside", shown, "leads out of the folder", self._shown_target(real))
                done.pop()
                continue
            step = "/".join((*done, part))
            try:
                status = self._status(step)
            except FileNotFoundError:
                raise _link("link_broken", shown, "leads nowhere", self._shown_target(real)) from None
            if not stat.S_ISLNK(status.st_mode):
                done.append(part)
                continue
            parts = self._read_link(shown, step, real, parts)
            if parts[:1] == ["/"]:
                parts, done = parts[1:], []
        raise _link("link_broken", shown, "leads in a circle")

    def _read_link(self, shown: str, step: str, real: str, rest: list[str]) -> list[str]:
        """Return the parts that a link stands for, with ``/`` in front when they start at the folder's root."""
        parent, _, name = step.rpartition("/")
        folder = self._folder(parent)
        try:
            target = os.readlink(name, dir_fd=folder)
        finally:
            os.close(folder)
        if not target.startswith("/"):
            return [*target.split("/"), *rest]
        inside = os.path.relpath(target, self.place)
        if inside == ".." or inside.startswith("../"):
            raise _link("link_outside", shown, "leads out of the folder", escaped(target))
        return ["/", *inside.split("/"), *rest]

    def _shown_target(self, real: str) -> str:
        try:
            return escaped(str((Path(self.place) / real).readlink()))
        except OSError:
            return ""


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _link(code: str, relative: str, what: str, target: str = "") -> ValidationError:
    shown = escaped(relative)
    return ValidationError(code, f"link {shown} {what}" + (f": {target}" if target else ""), path=shown, target=target)


def walk(root: int, place: str, leave_out: Callable[[str], str | None]) -> tuple[list[Found], list[tuple[str, str]]]:
    """Return the regular files of an open folder, and what was left out, with the reason.

    `place` is the folder's real absolute path (absolute links inside it are followed). `leave_out` tells, for the
    relative path of a file, why it is not published, or `None`; it is not asked about folders.
    Raises `ValidationError` ``file_unreadable`` (with the list),
    ``special_file``, ``link_outside``, ``link_broken``.
    """
    state = _Walk(root, place, leave_out)
    found = state.run()
    if state.unreadable:
        listed = ", ".join(state.unreadable[:10]) + (" …" if len(state.unreadable) > 10 else "")
        raise ValidationError("file_unreadable", f"cannot read {listed}", paths=state.unreadable)
    return found, state.ignored
