"""Room to work in: a process that has next to none left is told so before anything begins (P6)."""

from __future__ import annotations

import mmap

from walrus_sdk.errors import StateError

__all__ = ["check_headroom"]

_HEADROOM = 128 << 20
"""Bytes of address space: two heaps of 64 MiB, as glibc reserves one for a new thread (its ``HEAP_MAX_SIZE``)."""


def check_headroom() -> None:
    """Check that there is room. Raises `StateError` ``machine_exhausted``.

    Large things that do not fit fail one by one. Without room for the small ones the interpreter's own threads die
    in the middle of a hand-over, and whoever waits for them waits for ever. Nothing is used: the pages are not touched.
    """
    try:
        mmap.mmap(-1, _HEADROOM, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ).close()
    except OSError as error:
        text = f"less than {_HEADROOM >> 20} MiB of address space are left to this process (ulimit -v, RLIMIT_AS)"
        raise StateError("machine_exhausted", text) from error
