"""What is sent follows the official schema and fits the limits of public nodes."""

from __future__ import annotations

import base64
import json
from importlib import resources
from typing import Any

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate

from walrus_sdk.codecs.ptb import MAX_TRANSACTION
from walrus_sdk.localnet.http_sui import limits
from walrus_sdk.sui import documents

ID = "0x" + "f" * 64
DIGEST = "B" * 44
CURSOR = "A" * 120
TRANSACTION = base64.b64encode(bytes(MAX_TRANSACTION)).decode()
SIGNATURE = base64.b64encode(bytes(97)).decode()
DOCUMENTS = {name: getattr(documents, name) for name in documents.__all__}

# The largest variables that are ever sent with a document.
LARGEST: dict[str, dict[str, Any]] = {
    "STATE": {},
    "OBJECTS": {"keys": [{"address": ID}] * 40},
    "FIELDS": {"id": ID, "after": CURSOR},
    "OWNED": {"owner": ID, "type": f"{ID}::site::Site", "after": CURSOR},
    "BALANCE": {"owner": ID, "coin": f"{ID}::wal::WAL"},
    "COINS": {"owner": ID, "type": "0x2::coin::Coin<0x2::sui::SUI>", "after": CURSOR},
    "SIMULATE": {"t": {"bcs": {"value": TRANSACTION}}},
    "EXECUTE": {"t": TRANSACTION, "s": [SIGNATURE] * 2},
    "TRANSACTION": {"d": DIGEST},
}


@pytest.fixture(scope="module")
def official() -> GraphQLSchema:
    place = resources.files("walrus_sdk.localnet").joinpath("schema", "schema.graphql")
    return build_schema(place.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_document_is_valid_by_the_official_schema(official: GraphQLSchema, name: str) -> None:
    assert validate(official, parse(DOCUMENTS[name])) == []


def test_a_field_that_does_not_exist_would_be_noticed(official: GraphQLSchema) -> None:
    wrong = documents.TRANSACTION.replace("checkpoint{", "checkpoints{")
    assert [error.message for error in validate(official, parse(wrong))]


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_document_is_within_the_limits_of_a_public_node(official: GraphQLSchema, name: str) -> None:
    document = parse(DOCUMENTS[name])
    body = json.dumps({"query": DOCUMENTS[name], "variables": LARGEST[name]}, separators=(",", ":"))
    limits.check_size(len(body))
    limits.check_document(document)
    limits.check_payload(len(body), document, LARGEST[name])
    limits.check_output(official, document, LARGEST[name])


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_document_spends_no_bytes_on_layout(name: str) -> None:
    assert "\n" not in DOCUMENTS[name]
    assert "  " not in DOCUMENTS[name]
    assert "#" not in DOCUMENTS[name]


def test_two_hundred_keys_would_not_fit() -> None:
    """The reason for 40 keys a request: 200 are allowed, and too large."""
    variables = {"keys": [{"address": ID}] * 200}
    body = json.dumps({"query": documents.OBJECTS, "variables": variables})
    with pytest.raises(limits.OverLimit, match="Query payload too large"):
        limits.check_payload(len(body), parse(documents.OBJECTS), variables)
