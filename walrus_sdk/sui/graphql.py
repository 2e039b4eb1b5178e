"""The GraphQL client: a document and its variables in, data out; several nodes, tried in order for reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio

from walrus_sdk.errors import BlockchainError, ProtocolError, WalrusError
from walrus_sdk.http.circuits import FAULTS, Circuits
from walrus_sdk.http.client import HttpClient, Timeouts
from walrus_sdk.http.failover import READ_MOVES_ON, first_of
from walrus_sdk.http.fields import retry_after
from walrus_sdk.sui.failures import graphql_error, http_status_error

__all__ = ["GraphQl"]

_READ = Timeouts(read_s=45.0, total_s=60.0)
"""A node gives up a query after 40 s."""
_EXECUTE = Timeouts(read_s=90.0, total_s=100.0)
"""A node waits up to 74 s for finality; a shorter limit would make unknown outcomes of our own."""
_MAX_ANSWER = 32 * 1024 * 1024
_HEADERS = {"content-type": "application/json", "accept": "application/json"}
_NOT_BEGUN = frozenset({"connect_failed", "dns_failed", "tls_failed", "timeout_connect"})
_BUSY = frozenset({"chain_unavailable"})
_LOST = frozenset({"deadline_exceeded", "answer_too_large"})
"""Codes that, of a transaction that was sent, say nothing about its outcome."""


def _at_fault(error: WalrusError) -> bool:
    # A status comes from what stands in front of a node; what a node itself says of a question comes with 200.
    return error.code in FAULTS | _BUSY or "http_status" in error.fields


class GraphQl:
    """Asks the nodes of one network; one that fails again and again is asked last for a while.

    `clock` gives monotonic seconds, `wall_ms` milliseconds since 1970 (to read Retry-After; without it none is read).
    """

    def __init__(
        self,
        http: HttpClient,
        urls: Sequence[str],
        *,
        clock: Callable[[], float] = anyio.current_time,
        wall_ms: Callable[[], int] | None = None,
    ) -> None:
        self._http = http
        self._circuits = Circuits(urls, clock)
        self._wall_ms = wall_ms

    async def read(self, document: str, variables: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Return a query's data. Raises `NetworkError`, `BlockchainError`, `ProtocolError`."""

        async def ask(url: str) -> Mapping[str, Any]:
            return await self._ask(url, document, variables or {}, executing=False)

        # A status says nothing about the question: a node that was switched off answers 404 to all of them.
        return await first_of(
            self._circuits,
            ask,
            moves_on=lambda error: error.code in READ_MOVES_ON | _BUSY or "http_status" in error.fields,
            at_fault=_at_fault,
        )

    async def execute(self, document: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a mutation; another node is tried only when the first was not reached at all."""

        async def ask(url: str) -> Mapping[str, Any]:
            return await self._ask(url, document, variables, executing=True)

        return await first_of(self._circuits, ask, moves_on=lambda error: error.code in _NOT_BEGUN, at_fault=_at_fault)

    async def _ask(
        self, url: str, document: str, variables: Mapping[str, Any], *, executing: bool
    ) -> Mapping[str, Any]:
        body = json.dumps({"query": document, "variables": dict(variables)}, separators=(",", ":")).encode()
        limits = _EXECUTE if executing else _READ
        try:
            answer = await self._http.post(url, body, headers=_HEADERS, max_size=_MAX_ANSWER, timeouts=limits)
        except WalrusError as error:
            if executing and error.code in _LOST:
                raise BlockchainError("transaction_unknown", error.message, **error.fields) from error
            raise
        pause = retry_after(answer.headers, self._wall_ms()) if self._wall_ms is not None else None
        failure = http_status_error(answer.status, answer.endpoint, executing=executing, retry_after=pause)
        if failure is not None:
            raise failure
        data = answer.json()
        if not isinstance(data, Mapping):
            raise ProtocolError("bad_answer", f"{answer.endpoint}: expected a JSON object", endpoint=answer.endpoint)
        if data.get("errors"):
            errors = data["errors"] if isinstance(data["errors"], list) else [data["errors"]]
            raise graphql_error(errors, executing=executing, secrets=answer.secrets, endpoint=answer.endpoint)
        if not isinstance(data.get("data"), Mapping):
            raise ProtocolError("bad_answer", f"{answer.endpoint}: the answer has no data", endpoint=answer.endpoint)
        found: Mapping[str, Any] = data["data"]
        return found
