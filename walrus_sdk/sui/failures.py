"""The node's failures as errors of the tree. The inner text decides: wrappers around it change between versions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from walrus_sdk.errors import BlockchainError, WalrusError
from walrus_sdk.http import redact

__all__ = ["TEXTS", "graphql_error", "http_status_error"]

TEXTS: tuple[tuple[str, str], ...] = (
    (r"unavailable for consumption|is not available for consumption|version conflict", "stale_object"),
    (r"asked version .* is higher than the latest|higher than the latest version", "chain_unavailable"),
    (r"locked objects|reserved for another transaction|Conflicting Transactions|equivocat", "object_locked"),
    (r"Transaction Expired|transaction has expired", "transaction_expired"),
    (r"lower than the needed amount|insufficient (?:balance|gas|coin)|No valid gas coins", "insufficient_gas"),
    (r"under reference gas price|below the reference gas price", "stale_object"),
    (r"congestion", "congestion"),
    (r"Size limit exceeded|too large|exceeds? max", "transaction_too_large"),
    (r"[Ii]nvalid user signature|not signed by the correct sender|owned by account address", "signature_refused"),
    (r"not found|could not be found|does not exist|deleted", "stale_object"),
    (r"timed out|timeout|overload|too many|unavailable", "chain_unavailable"),
)
"""Patterns of the node's texts, in order, and the codes that they mean."""

_SURE = frozenset({"BAD_USER_INPUT", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "FEATURE_UNAVAILABLE"})
"""Kinds that say that a request was turned down before anything happened; of any other kind that is not known."""
_INVALID = frozenset({"GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED"})
"""Kinds that speak of the request's form and size, and of nothing that it asks for: no other try will do better."""
_SIZES = re.compile(r"Transaction payload|Request too large")
_RESOURCES = "RESOURCE_EXHAUSTED"
_MAX_TEXT = 400


def _of_text(text: str) -> str | None:
    return next((code for pattern, code in TEXTS if re.search(pattern, text)), None)


def graphql_error(
    errors: Sequence[Any], *, executing: bool, secrets: Sequence[str] = (), endpoint: str = ""
) -> WalrusError:
    """Return the error that a GraphQL answer's ``errors`` mean.

    `executing`: the request sent a transaction. Then a failure inside the server leaves its outcome unknown, while
    bad input means that it was refused before anything happened. `secrets` and what looks like one are not shown.
    `endpoint`: who answered so.
    """
    first = errors[0] if errors and isinstance(errors[0], Mapping) else {}
    extensions = first.get("extensions")
    kind = redact.text(str(extensions.get("code", "")), secrets)[:60] if isinstance(extensions, Mapping) else ""
    chain = extensions.get("chain") if isinstance(extensions, Mapping) else None
    parts = [str(first.get("message", ""))]
    parts += [str(part) for part in chain] if isinstance(chain, list) else []
    whole = ": ".join(parts)
    text, code = redact.text(whole, secrets)[:_MAX_TEXT], _of_text(whole)  # the end of a long one decides too
    facts = {"kind": kind, "endpoint": endpoint} if endpoint else {"kind": kind}
    if kind not in _SURE and kind != _RESOURCES:
        if executing and code != "object_locked":
            code = "transaction_unknown"
        return BlockchainError(code or "chain_unavailable", f"the Sui node failed: {text}", **facts)
    if kind in _INVALID:
        code = "transaction_too_large" if _SIZES.search(whole) else None
    if kind == _RESOURCES:
        code = "transaction_too_large" if "ransaction" in whole else "chain_refused"
        return BlockchainError(code, f"the Sui node refused the request: {text}", **facts)
    if executing:
        return BlockchainError(code or "transaction_refused", f"the Sui node refused the transaction: {text}", **facts)
    return BlockchainError(code or "chain_refused", f"the Sui node refused the request: {text}", **facts)


def http_status_error(
    status: int, endpoint: str, *, executing: bool, retry_after: float | None = None
) -> WalrusError | None:
    """Return the error that an HTTP status means; `None` for success and for errors that a body explains.

    `retry_after`: seconds that the node asks to wait.
    """
    facts = {"http_status": status, "retry_after": retry_after, "endpoint": endpoint}
    if status == 429:
        return BlockchainError("chain_unavailable", f"{endpoint} asks for fewer requests", **facts)
    if status >= 500:
        code = "transaction_unknown" if executing else "chain_unavailable"
        return BlockchainError(code, f"{endpoint} answered HTTP {status}", **facts)
    if status in (401, 403, 404, 405, 413, 415):
        return BlockchainError(
            "chain_refused", f"{endpoint} answered HTTP {status}", http_status=status, endpoint=endpoint
        )
    return None
