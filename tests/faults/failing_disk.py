"""A disk that fails: a layer under the `sqlite3` of this process, whose writes and syncs can be made to fail or wait.

It stands in for the default file system layer of the SQLite library that Python uses, and hands every call on to it
unless a test says otherwise; so what is tested is SQLite itself, down to its own handling of the failure.
"""

from __future__ import annotations

import _sqlite3
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["EIO_FSYNC", "EIO_READ", "EIO_WRITE", "FULL", "Disk", "failing_disk"]

FULL = 13
EIO_READ = 10 | (1 << 8)
EIO_WRITE = 10 | (3 << 8)
EIO_FSYNC = 10 | (4 << 8)

_Sync = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_Access = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64)
_Open = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int)
)


class _Methods(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_int),
        ("close", ctypes.c_void_p),
        ("read", _Access),
        ("write", _Access),
        ("truncate", ctypes.c_void_p),
        ("sync", _Sync),
        ("others", ctypes.c_void_p * 13),
    )


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_int),
        ("size_of_file", ctypes.c_int),
        ("max_path", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("open", _Open),
        ("others", ctypes.c_void_p * 15),
    )


Answer = Callable[[str, str], int]
"""Told the call (read, write, sync) and the file's name; it returns what SQLite is to hear, 0 lets the call through."""


class Disk:
    """What a test says to: set `answer`. `calls` counts what was asked for."""

    def __init__(self) -> None:
        self.answer: Answer = lambda _call, _file: 0
        self.calls: dict[tuple[str, str], int] = {}

    def ask(self, call: str, file: str) -> int:
        """Count a call and return what becomes of it."""
        self.calls[call, file] = self.calls.get((call, file), 0) + 1
        return self.answer(call, file)


@contextmanager
def failing_disk() -> Iterator[Disk | None]:
    """Put a disk under every connection that is opened inside the block; `None` where the library cannot be reached."""
    try:
        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    except (AttributeError, OSError):
        yield None
        return
    disk = Disk()
    original = library.sqlite3_vfs_find(None)
    vfs = _Vfs.from_buffer_copy(original.contents)
    vfs.name = b"failing"
    keep: list[Any] = []  # what C holds on to while connections are open

    def opened(this: int, name: int, file: int, flags: int, out: Any) -> int:
        answer = int(original.contents.open(ctypes.addressof(original.contents), name, file, flags, out))
        place = ctypes.c_void_p.from_address(file)
        if answer == 0 and place.value:
            text = (ctypes.string_at(name) if name else b"").decode().rsplit("/", 1)[-1]
            methods = _patched(_Methods.from_address(place.value), disk, text)
            keep.append(methods)
            place.value = ctypes.addressof(methods)
        return answer

    vfs.open = _Open(opened)
    library.sqlite3_vfs_register(ctypes.byref(vfs), 1)
    try:
        yield disk
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(vfs))
        library.sqlite3_vfs_register(original, 1)
        _KEPT.append((vfs, keep))


_KEPT: list[Any] = []
"""Never let go: a connection that some test left open would call into freed memory."""


def _patched(original: _Methods, disk: Disk, file: str) -> _Methods:
    read, write, sync = original.read, original.write, original.sync
    methods = _Methods.from_buffer_copy(original)
    methods.read = _Access(lambda *call: disk.ask("read", file) or read(*call))
    methods.write = _Access(lambda *call: disk.ask("write", file) or write(*call))
    methods.sync = _Sync(lambda *call: disk.ask("sync", file) or sync(*call))
    return methods
