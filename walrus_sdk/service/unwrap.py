"""Out of nested groups of exceptions, the one that a caller can do something about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from walrus_sdk.errors import WalrusError

__all__ = ["one_error"]


@contextmanager
def one_error() -> Iterator[None]:
    """Raise one error instead of a group: the first of our tree, else the only other one, else the group."""
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
        if len(leaves) == 1:
            raise leaves[0] from leaves[0].__cause__
        raise


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
