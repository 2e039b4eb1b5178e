"""What nodes say when something is wrong, as codes of the tree."""

from __future__ import annotations

from typing import Any

import pytest

from walrus_sdk.errors import CODES, BlockchainError, ErrorClass
from walrus_sdk.sui.failures import TEXTS, graphql_error, http_status_error

OBJECT = "0x" + "ab" * 32
REFUSED = "BAD_USER_INPUT"
FAILED = "INTERNAL_SERVER_ERROR"


def answer(text: str, kind: str | None = REFUSED, chain: list[str] | None = None) -> list[dict[str, Any]]:
    extensions: dict[str, Any] = {"code": kind} if kind is not None else {}
    if chain is not None:
        extensions["chain"] = chain
    return [{"message": text, "path": ["executeTransaction"], "extensions": extensions}]


# Texts of nodes of 2026, as their clients met them; wrappers around the inner text differ between versions.
SAID = [
    (
        f"Invalid argument: Error checking transaction input objects: object {OBJECT} version 0x5 (9xY) is unavailable "
        "for consumption, current version: 0x6",
        "stale_object",
    ),
    (
        "Invalid argument: Transaction is rejected as invalid by more than 1/3 of validators by stake. "
        f"Non-retriable errors: [object {OBJECT} version 0x5 is unavailable for consumption, current version: 0x6 "
        "{ k#ab.., k#cd.. } with 4000 stake].",
        "stale_object",
    ),
    (
        f"Invalid argument: Could not find the referenced object {OBJECT} as the asked version SequenceNumber(9) is "
        "higher than the latest SequenceNumber(8)",
        "chain_unavailable",
    ),
    (
        "Invalid argument: Failed to sign transaction by a quorum of validators because of locked objects. "
        "Conflicting Transactions: {…}",
        "object_locked",
    ),
    (f"Invalid argument: Object {OBJECT} already locked by: reserved for another transaction: 7dk", "object_locked"),
    ("Invalid argument: Transaction Expired", "transaction_expired"),
    (
        "Invalid argument: Balance of gas object 12 is lower than the needed amount: 5000000",
        "insufficient_gas",
    ),
    (
        "Invalid argument: Gas price 700 under reference gas price (RGP) 1000",
        "stale_object",
    ),
    ("Invalid argument: Size limit exceeded: number of commands is 1024", "transaction_too_large"),
    (
        "Invalid argument: Invalid user signature: Signature is not valid: Fail to verify user sig",
        "signature_refused",
    ),
    (
        "Invalid argument: Transaction was not signed by the correct sender: Object 0x1 is owned by account address "
        "0x2, but given owner/signer address is 0x3",
        "signature_refused",
    ),
    (f"Invalid argument: Object {OBJECT} not found", "stale_object"),
    ("Invalid argument: Gas budget: 10 is lower than min: 1000000", "transaction_refused"),
    ("Invalid argument: Gas price cannot exceed 100000 MIST", "transaction_refused"),
    ("Failed to deserialize transaction: unexpected end of input", "transaction_refused"),
]


@pytest.mark.parametrize(("text", "code"), SAID, ids=[code + text[17:40] for text, code in SAID])
def test_a_refused_transaction_has_the_code_of_its_inner_text(text: str, code: str) -> None:
    error = graphql_error(answer(text), executing=True)
    assert isinstance(error, BlockchainError)
    assert error.code == code
    assert text[:60] in error.message
    assert error.fields["kind"] == REFUSED


def test_every_row_of_the_table_is_met_by_some_text_and_has_a_code() -> None:
    assert {code for _, code in TEXTS} <= set(CODES)
    met = {graphql_error(answer(text), executing=True).code for text, _ in SAID}
    late = ("Transaction timed out before finality", "cancelled due to congestion")
    met |= {graphql_error(answer(text, FAILED), executing=False).code for text in late}
    assert {code for _, code in TEXTS} <= met


@pytest.mark.parametrize("kind", [FAILED, "REQUEST_TIMEOUT", "SOMETHING_NEW", "", None])
@pytest.mark.parametrize(
    "text",
    [
        "Request timed out",
        "Transaction timed out before finality could be reached",
        "Too many requests: validators are overloaded",
        "database connection lost",
        "rejected because of congestion",
        "object 0x1 version 0x2 is unavailable for consumption, current version: 0x3",
        "Transaction Expired",
        "Object 0x1 not found",
        "",
    ],
)
def test_any_failure_but_a_refusal_leaves_the_transactions_outcome_unknown(kind: str | None, text: str) -> None:
    error = graphql_error(answer(text, kind), executing=True)
    assert (error.code, error.error_class) == ("transaction_unknown", ErrorClass.LOOK_FIRST)


@pytest.mark.parametrize("errors", [[], [None], ["text"], [{}], [{"message": None}], [{"extensions": "x"}], [[1]]])
def test_errors_of_a_strange_form_leave_the_outcome_unknown(errors: list[Any]) -> None:
    assert graphql_error(errors, executing=True).code == "transaction_unknown"
    assert graphql_error(errors, executing=False).code == "chain_unavailable"


def test_locked_objects_are_known_although_the_server_failed() -> None:
    chain = ["Failed to sign transaction by a quorum because of locked objects. Conflicting Transactions: {7dk: []}"]
    error = graphql_error(answer("Internal error", FAILED, chain), executing=True)
    assert (error.code, error.error_class) == ("object_locked", ErrorClass.LOOK_FIRST)
    assert "7dk" in error.message


def test_the_text_decides_however_long_its_wrapper_is() -> None:
    wrapper = "Invalid argument: rejected: " + ", ".join(f"k#{number:064x}" for number in range(100))
    error = graphql_error(answer(wrapper + ": Transaction Expired"), executing=True)
    assert error.code == "transaction_expired"
    assert len(error.message) < 600


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ("Request timed out", "REQUEST_TIMEOUT", "chain_unavailable"),
        ("no matching text", FAILED, "chain_unavailable"),
        ("Invalid cursor", REFUSED, "chain_refused"),
        ("Cannot query field", "GRAPHQL_VALIDATION_FAILED", "chain_refused"),
        ("not supported by this node", "FEATURE_UNAVAILABLE", "chain_refused"),
        ("Query payload too large: 5001B > 5000B", "GRAPHQL_VALIDATION_FAILED", "chain_refused"),
        ("Too many keys supplied to multi-get: 201 > 200", "GRAPHQL_VALIDATION_FAILED", "chain_refused"),
        ("Transaction payload exceeded limit of 174763B", "GRAPHQL_VALIDATION_FAILED", "transaction_too_large"),
        ("Request too large 180000B > 179763B", "GRAPHQL_VALIDATION_FAILED", "transaction_too_large"),
        ("Exceeded the maximum number (21) of queries", "RESOURCE_EXHAUSTED", "chain_refused"),
        ("Transaction payload is too large: 200000 of 174763 bytes", "RESOURCE_EXHAUSTED", "transaction_too_large"),
    ],
)
def test_a_failed_read_is_waited_for_or_given_up(text: str, kind: str, code: str) -> None:
    assert graphql_error(answer(text, kind), executing=False).code == code


STATUSES = [
    (200, None, None),
    (400, None, None),  # the body says why
    (401, "chain_refused", "chain_refused"),
    (403, "chain_refused", "chain_refused"),
    (404, "chain_refused", "chain_refused"),
    (413, "chain_refused", "chain_refused"),
    (429, "chain_unavailable", "chain_unavailable"),
    (500, "chain_unavailable", "transaction_unknown"),
    (502, "chain_unavailable", "transaction_unknown"),
    (503, "chain_unavailable", "transaction_unknown"),
    (504, "chain_unavailable", "transaction_unknown"),
]


@pytest.mark.parametrize(("status", "reading", "executing"), STATUSES)
def test_an_http_status_says_whether_a_transaction_may_have_happened(
    status: int, reading: str | None, executing: str | None
) -> None:
    for code, flag in ((reading, False), (executing, True)):
        error = http_status_error(status, "https://node/graphql", executing=flag)
        assert (error.code if error else None) == code
        if error is not None:
            assert str(status) in error.message or status == 429
            assert "https://node/graphql" in error.message
            assert error.fields["endpoint"] == "https://node/graphql"


@pytest.mark.parametrize("kind", ["BAD_USER_INPUT", "INTERNAL_SERVER_ERROR", "RESOURCE_EXHAUSTED"])
@pytest.mark.parametrize("executing", [False, True])
def test_what_a_node_says_is_told_with_its_endpoint(kind: str, executing: bool) -> None:
    error = graphql_error(answer("no", kind), executing=executing, endpoint="https://node/graphql")
    assert error.fields == {"kind": kind, "endpoint": "https://node/graphql"}
