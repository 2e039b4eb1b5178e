"""Try the configured addresses of one service, those that work before those that rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from walrus_sdk.errors import ConfigurationError, WalrusError
from walrus_sdk.http.circuits import FAULTS, Circuits

__all__ = ["READ_MOVES_ON", "first_of"]

T = TypeVar("T")

READ_MOVES_ON = frozenset(
    "connect_failed dns_failed tls_failed timeout_connect timeout_send timeout_read deadline_exceeded connection_lost "
    "rate_limited service_unavailable bad_answer redirect_refused http_error".split()
)
"""Codes after which a read may ask the next address: they say nothing about what was asked for."""


async def first_of(
    circuits: Circuits,
    call: Callable[[str], Awaitable[T]],
    *,
    first: str | None = None,
    moves_on: Callable[[WalrusError], bool] = lambda error: error.code in READ_MOVES_ON,
    rank: Callable[[WalrusError], int] = lambda error: 0 if error.code in READ_MOVES_ON else 1,
    at_fault: Callable[[WalrusError], bool] = lambda error: error.code in FAULTS,
) -> T:
    """Return the first success of `call` over the addresses; any error that does not move on is raised at once.

    `first` is preferred to those that work as well; else it is the order of the addresses.
    Only for calls that may be repeated: reads, or effects known not to have begun (the caller's `moves_on` says so).
    When all fail, the error of the highest `rank` is raised (the first of equals; by default answers rank above
    failures of the network), with `tried` = the number of addresses asked. `at_fault` says which errors count
    against the address. Raises `ConfigurationError` ``setting_invalid`` without any address.
    """
    errors: list[WalrusError] = []
    left = sorted(circuits.urls, key=lambda url: url != first)
    while left:
        url = circuits.best(left)
        left.remove(url)
        try:
            with circuits.asking(url, at_fault):
                return await call(url)
        except WalrusError as error:
            if not moves_on(error):
                raise
            errors.append(error)
    if not errors:
        raise ConfigurationError("setting_invalid", "no address is configured for this service")
    telling = max(errors, key=rank)
    telling.fields["tried"] = len(errors)
    raise telling
