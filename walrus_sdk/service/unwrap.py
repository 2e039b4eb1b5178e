"""Out of nested groups of exceptions, the one that a caller can do something about."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from walrus_sdk.errors import StateError, WalrusError

__all__ = ["is_exhaustion", "one_error"]

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})
_SAID = ("can't start new thread", "malloc failure")
"""How the interpreter and OpenSSL say it where no number does."""


@contextmanager
def one_error() -> Iterator[None]:
    """Raise one error instead of a group: the first of our tree, else the only other one, else the group.

    What the system says when it has no more threads, processes, open files or memory is an error of the tree (P9).
    """
    try:
        with _one():
            yield
    except (OSError, RuntimeError, MemoryError) as error:
        if not is_exhaustion(error):
            raise
        raise StateError("machine_exhausted", f"{type(error).__name__}: {error}") from error


def is_exhaustion(error: BaseException) -> bool:
    """Return whether an error says that the machine has no more of something."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _EXHAUSTED):
        return True
    return any(text in str(error) for text in _SAID)


@contextmanager
def _one() -> Iterator[None]:
    try:
        yield
    except BaseExceptionGroup as group:
        leaves = list(_leaves(group))
        ours = [error for error in leaves if isinstance(error, WalrusError)]
        if ours:
            for other in leaves:
                if other is not ours[0]:
                    ours[0].add_note(f"besides: {type(other).__name__}: {other}")
            raise ours[0] from ours[0].__cause__
        if len(leaves) == 1 or all(is_exhaustion(error) for error in leaves):
            raise leaves[0] from leaves[0].__cause__
        raise


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
