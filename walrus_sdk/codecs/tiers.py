"""Which code computes blob ids: the compiled tier where it was built (`codecs/native`), else the pure one.

Both give the same bytes. A tier is a name: that of a kernel of the compiled tier (the instructions it uses), or `PURE`.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # sessions ask which tier is there long before numpy is needed
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PURE", "Compiled", "available", "compiled"]

PURE = "pure"
"""The tier of numpy and hashlib, which is there everywhere."""
_LOG = logging.getLogger(__name__)


class Compiled(Protocol):
    """The compiled tier. It holds no lock of the interpreter while it works."""

    def roots(self, data: NDArray[np.uint8], n_shards: int, threads: int, kernel: str | None = None, /) -> bytes:
        """Return 64 bytes a sliver pair, the roots of its primary and its secondary sliver; reads `data` in place.

        0 threads are as many as there are processors, at most 4. `kernel` is one of `kernels`, by default the first.
        Raises `ValueError` for a kernel that is not there, `MemoryError`.
        """
        ...

    def kernels(self) -> list[str]:
        """Return the kernels that this machine runs, the fastest first."""
        ...


@cache
def compiled() -> Compiled | None:
    """Return the compiled tier, or `None` where it was not built, which the log says once."""
    try:
        from walrus_sdk.codecs import _redstuff
    except ImportError as error:
        _LOG.info("blob ids are computed by the pure tier, 10 to 20 times slower: no compiled tier (%s)", error)
        return None
    return _redstuff


def available() -> list[str]:
    """Return the names of all tiers that this machine runs, the fastest first."""
    native = compiled()
    return [*(native.kernels() if native else ()), PURE]
