"""What is sent follows the official schema and fits the limits of public nodes."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest
from graphql import FieldNode, GraphQLSchema, Visitor, build_schema, parse, validate, visit

from walrus_sdk.sui import documents

MAX_PAYLOAD, MAX_NODES, MAX_DEPTH = 5_000, 300, 20
ID = "0x" + "f" * 64
DIGEST = "B" * 44
CURSOR = "A" * 120
DOCUMENTS = {name: getattr(documents, name) for name in documents.__all__}

# The largest variables that are ever sent with a document, without a transaction's bytes and signatures.
LARGEST: dict[str, dict[str, Any]] = {
    "STATE": {},
    "OBJECTS": {"keys": [{"address": ID}] * 40},
    "FIELDS": {"id": ID, "after": CURSOR},
    "OWNED": {"owner": ID, "type": f"{ID}::site::Site", "after": CURSOR},
    "COINS": {"owner": ID, "type": "0x2::coin::Coin<0x2::sui::SUI>", "after": CURSOR},
    "SIMULATE": {"t": {"bcs": {"value": ""}}},
    "EXECUTE": {"t": "", "s": [""]},
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


class Counter(Visitor):
    """Counts fields, and how deep they lie."""

    def __init__(self) -> None:
        super().__init__()
        self.fields = self.depth = self.deepest = 0

    def enter_field(self, _node: FieldNode, *_: Any) -> None:
        self.fields += 1
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)

    def leave_field(self, _node: FieldNode, *_: Any) -> None:
        self.depth -= 1


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_document_is_within_the_limits_of_a_public_node(name: str) -> None:
    counter = Counter()
    visit(parse(DOCUMENTS[name]), counter)
    assert 0 < counter.fields < MAX_NODES
    assert counter.deepest < MAX_DEPTH
    body = json.dumps({"query": DOCUMENTS[name], "variables": LARGEST[name]}, separators=(",", ":"))
    assert len(body) < MAX_PAYLOAD


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_document_spends_no_bytes_on_layout(name: str) -> None:
    assert "\n" not in DOCUMENTS[name]
    assert "  " not in DOCUMENTS[name]
    assert "#" not in DOCUMENTS[name]


def test_two_hundred_keys_would_not_fit() -> None:
    """The reason for 40 keys a request: 200 are allowed, and too large."""
    body = json.dumps({"query": documents.OBJECTS, "variables": {"keys": [{"address": ID}] * 200}})
    assert len(body) > MAX_PAYLOAD
