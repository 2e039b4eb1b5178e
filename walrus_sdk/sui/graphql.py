"""The GraphQL client: a document and its variables in, data out; several nodes, tried in order for reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from walrus_sdk.errors import BlockchainError, ProtocolError, WalrusError
from walrus_sdk.http.client import HttpClient, Timeouts
from walrus_sdk.http.failover import READ_MOVES_ON, first_of
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


class GraphQl:
    """Asks the nodes of one network."""

    def __init__(self, http: HttpClient, urls: Sequence[str]) -> None:
        self._http = http
        self._urls = tuple(urls)

    async def read(self, document: str, variables: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Return a query's data. Raises `NetworkError`, `BlockchainError`, `ProtocolError`."""

        async def ask(url: str) -> Mapping[str, Any]:
            return await self._ask(url, document, variables or {}, executing=False)

        # A status says nothing about the question: a node that was switched off answers 404 to all of them.
        return await first_of(
            self._urls, ask, moves_on=lambda e: e.code in READ_MOVES_ON | _BUSY or "http_status" in e.fields
        )

    async def execute(self, document: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a mutation; another node is tried only when the first was not reached at all."""

        async def ask(url: str) -> Mapping[str, Any]:
            return await self._ask(url, document, variables, executing=True)

        return await first_of(self._urls, ask, moves_on=lambda error: error.code in _NOT_BEGUN)

    async def _ask(
        self, url: str, document: str, variables: Mapping[str, Any], *, executing: bool
    ) -> Mapping[str, Any]:
        body = json.dumps({"query": document, "variables": dict(variables)}, separators=(",", ":")).encode()
        limits = _EXECUTE if executing else _READ
        try:
            answer = await self._http.post(url, body, headers=_HEADERS, max_size=_MAX_ANSWER, timeouts=limits)
        except WalrusError as error:
            if executing and error.code in _LOST:
                raise BlockchainError("transaction_unknown", error.message) from error
            raise
        failure = http_status_error(answer.status, answer.endpoint, executing=executing)
        if failure is not None:
            raise failure
        data = answer.json()
        if not isinstance(data, Mapping):
            raise ProtocolError("bad_answer", f"{answer.endpoint}: expected a JSON object", endpoint=answer.endpoint)
        if data.get("errors"):
            raise graphql_error(data["errors"], executing=executing)
        if not isinstance(data.get("data"), Mapping):
            raise ProtocolError("bad_answer", f"{answer.endpoint}: the answer has no data", endpoint=answer.endpoint)
        found: Mapping[str, Any] = data["data"]
        return found
