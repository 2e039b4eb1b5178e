"""Bytes that somebody else owns, seen as one flat array without a copy."""

from __future__ import annotations

import mmap
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Buffer", "flat"]

Buffer: TypeAlias = bytes | bytearray | memoryview | mmap.mmap


def flat(data: Buffer) -> NDArray[np.uint8]:
    """Return the bytes of `data` as an array of shape (bytes,).

    A view wherever the bytes lie in one piece, whatever their item type; only strided views are copied.
    """
    view = memoryview(data)
    if not view.nbytes:
        return np.zeros(0, dtype=np.uint8)
    if not view.c_contiguous:
        return np.frombuffer(view.tobytes(), dtype=np.uint8)
    return np.frombuffer(view.cast("B"), dtype=np.uint8)
