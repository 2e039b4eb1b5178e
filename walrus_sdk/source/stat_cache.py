"""Which files need no hashing again: by device, inode, size and both times, with git's rule against races.

A file whose times are younger than the last scan by less than two seconds may have changed without showing it; such
entries are not kept. A cache that cannot be read is an empty one.
"""

from __future__ import annotations

import struct
import zlib
from operator import attrgetter
from typing import TypeAlias

from walrus_sdk.model.plan import FileStat

__all__ = ["RACY_NS", "StatCache", "is_settled"]

RACY_NS = 2_000_000_000
"""Two seconds: the coarsest time stamps of file systems in use (FAT)."""

_Key: TypeAlias = tuple[int, ...]

_MAGIC = b"walrus-sdk stat 2\n"
_ENTRY = struct.Struct("<QQQqq32s")
_CHECK = struct.Struct("<I")


def is_settled(youngest_ns: int, scan_started_ns: int) -> bool:
    """Return whether a file of that age (the later of its two times) cannot change any more without showing it."""
    return youngest_ns < scan_started_ns - RACY_NS


class StatCache:
    """SHA-256 by file status. Kept as 72 bytes a file, with a checksum: bit rot must not become a wrong hash."""

    def __init__(self, entries: dict[_Key, bytes] | None = None) -> None:
        self._old = entries or {}
        self._new: dict[_Key, bytes] = {}
        self._dropped = False

    _key = staticmethod(attrgetter("device", "inode", "size", "mtime_ns", "ctime_ns"))

    def get(self, stat: FileStat) -> bytes | None:
        """Return the hash of a file with exactly this status."""
        return self._old.get(self._key(stat))

    def put(self, stat: FileStat, sha256: bytes, scan_started_ns: int) -> None:
        """Remember a hash, unless the file is so young that a later change might not show."""
        if is_settled(max(stat.mtime_ns, stat.ctime_ns), scan_started_ns):
            self._new[self._key(stat)] = sha256

    def drop(self, stat: FileStat) -> None:
        """Forget the hash of a file."""
        self._old.pop(self._key(stat), None)
        self._new.pop(self._key(stat), None)
        self._dropped = True

    def settle(self, *, whole: bool) -> bool:
        """End a scan and return whether there is anything new to keep.

        `whole`: it saw every file, so what it did not put is forgotten.
        """
        known = self._new if whole else self._old | self._new
        is_new = self._dropped or known != self._old
        self._old, self._new, self._dropped = known, {}, False
        return is_new

    def dump(self) -> bytes:
        """Return what is known, for `load`."""
        known = self._old | self._new
        try:
            body = b"".join([_ENTRY.pack(*key, sha256) for key, sha256 in known.items()])
        except struct.error:  # a time stamp or a number that no sound file system has
            body = b""
        return _MAGIC + body + _CHECK.pack(zlib.crc32(body))

    @classmethod
    def load(cls, data: bytes | None) -> StatCache:
        """Return the cache that `dump` wrote; anything else gives an empty one."""
        found = (data or b"").removeprefix(_MAGIC)
        body, check = found[: -_CHECK.size], found[-_CHECK.size :]
        if not data or found == data or len(body) % _ENTRY.size or check != _CHECK.pack(zlib.crc32(body)):
            return cls()
        return cls({entry[:5]: entry[5] for entry in _ENTRY.iter_unpack(body)})
