"""What the GraphQL server says when a node could not do, or not finish, what it was asked for.

Source: Sui's GraphQL server, which answers a node's refusal of a transaction as bad input and all other states of the
node (locks, overload, time-outs) as failures of its own, with the node's words in ``extensions.chain``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["NODE_ERRORS", "node_error"]

_INTERNAL = "INTERNAL_SERVER_ERROR"
_EXECUTION = "Failed to execute transaction"

NODE_ERRORS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "internal": (_INTERNAL, "Internal error", ("error communicating with the database",)),
    "locked": (
        _INTERNAL,
        _EXECUTION,
        (
            "Failed to sign transaction by a quorum of validators because of locked objects. Conflicting Transactions: "
            "{TransactionDigest(4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM): []}",
        ),
    ),
    "not_final": (_INTERNAL, _EXECUTION, ("Transaction timed out before reaching finality",)),
    "overloaded": (_INTERNAL, _EXECUTION, ("Too many transactions: validators are overloaded",)),
    "request_timeout": ("REQUEST_TIMEOUT", "Request timed out. Limit: 74s", ()),
}
"""Errors by name: the code in ``extensions``, the message, the chain of causes."""


def node_error(name: str) -> dict[str, Any]:
    """Return the whole answer with an error of `NODE_ERRORS`."""
    code, message, chain = NODE_ERRORS[name]
    extensions: dict[str, Any] = {"code": code} | ({"chain": list(chain)} if chain else {})
    return {"data": None, "errors": [{"message": message, "path": ["executeTransaction"], "extensions": extensions}]}
