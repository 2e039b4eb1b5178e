"""Which files need no hashing again: by device, inode, size and both times, with git's rule against races.

A file whose times are younger than the last scan by less than two seconds may have changed without showing it; such
entries are not kept. A cache that cannot be read is an empty one.
"""

from __future__ import annotations

import json

from walrus_sdk.model.plan import FileStat

__all__ = ["RACY_NS", "StatCache"]

RACY_NS = 2_000_000_000
"""Two seconds: the coarsest time stamps of file systems in use (FAT)."""

_FORMAT = 1


class StatCache:
    """SHA-256 by file status."""

    def __init__(self, entries: dict[str, str] | None = None) -> None:
        self._old = entries or {}
        self._new: dict[str, str] = {}

    @staticmethod
    def _key(stat: FileStat) -> str:
        return f"{stat.device}:{stat.inode}:{stat.size}:{stat.mtime_ns}:{stat.ctime_ns}"

    def get(self, stat: FileStat) -> bytes | None:
        """Return the hash of a file with exactly this status."""
        text = self._old.get(self._key(stat))
        return bytes.fromhex(text) if text is not None else None

    def put(self, stat: FileStat, sha256: bytes, scan_started_ns: int) -> None:
        """Remember a hash, unless the file is so young that a later change might not show."""
        if max(stat.mtime_ns, stat.ctime_ns) < scan_started_ns - RACY_NS:
            self._new[self._key(stat)] = sha256.hex()

    @property
    def learnt(self) -> bool:
        """Whether anything was put in this scan."""
        return bool(self._new)

    def dump(self) -> bytes:
        """Return what was put in this scan, for `load`."""
        return json.dumps({"format": _FORMAT, "files": self._new}, separators=(",", ":")).encode()

    @classmethod
    def load(cls, data: bytes | None) -> StatCache:
        """Return the cache that `dump` wrote; anything else gives an empty one."""
        try:
            value = json.loads(data or b"{}")
            files = value["files"] if value.get("format") == _FORMAT else {}
            if all(isinstance(k, str) and len(bytes.fromhex(v)) == 32 for k, v in files.items()):
                return cls(dict(files))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            pass
        return cls()
