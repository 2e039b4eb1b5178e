"""The limits of the public GraphQL service, counted as it counts them.

Source: MystenLabs/sui, `sui-indexer-alt-graphql` (config and query limits): the size of a request and what of it is
transaction, the nodes and levels of a document with its fragments put in their places, and the output that it may have
at most. What is over a limit is refused as invalid, before anything is looked up. Fields that need the store to
themselves are counted while they are answered (`Rich`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    print_ast,
)

__all__ = [
    "DEFAULT_PAGE",
    "LIMITS",
    "MAX_CHANGES",
    "MAX_PAGE",
    "OverLimit",
    "Rich",
    "check_document",
    "check_output",
    "check_payload",
    "check_size",
]

LIMITS: Mapping[str, int] = {
    "maxQueryPayloadSize": 5_000,
    "maxTransactionPayloadSize": 174_763,
    "maxQueryNodes": 300,
    "maxQueryDepth": 20,
    "maxOutputNodes": 1_000_000,
    "maxMultiGetSize": 200,
    "mutationTimeoutMs": 74_000,
    "queryTimeoutMs": 40_000,
    "maxRichQueries": 21,
}
"""As the public server's defaults; payload sizes in bytes."""

MAX_PAGE, DEFAULT_PAGE, MAX_CHANGES = 50, 20, 1024
"""Page sizes: the most, what counts without one, and both for a transaction's object changes."""

_PAYLOAD = {
    ("Mutation", "executeTransaction"): ("transactionDataBcs", "signatures"),
    ("Query", "simulateTransaction"): ("transaction",),
}
"""Arguments that count as transaction, of fields at the top of a document."""


class OverLimit(Exception):
    """A request is over a limit; its text is the service's."""


class Rich:
    """Counts the fields of one request that cannot share a look-up with others."""

    def __init__(self) -> None:
        self._count = 0

    def debit(self) -> None:
        """Count one. Raises `GraphQLError` ``RESOURCE_EXHAUSTED`` for one too many."""
        self._count += 1
        if self._count > LIMITS["maxRichQueries"]:
            text = f"Exceeded the maximum number ({LIMITS['maxRichQueries']}) of queries that require dedicated access"
            raise GraphQLError(
                f"{text} to a backing store in a single request.", extensions={"code": "RESOURCE_EXHAUSTED"}
            )


def _operations(document: DocumentNode) -> list[OperationDefinitionNode]:
    return [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}


def _inside(node: SelectionNode, fragments: Mapping[str, FragmentDefinitionNode]) -> Sequence[SelectionNode]:
    if isinstance(node, FragmentSpreadNode):
        return fragments[node.name.value].selection_set.selections
    assert isinstance(node, FieldNode | InlineFragmentNode)
    return node.selection_set.selections if node.selection_set is not None else ()


def check_document(document: DocumentNode) -> None:
    """Hold a document's nodes and levels against their limits; fragments count wherever they are used."""
    fragments = _fragments(document)
    level = [node for operation in _operations(document) for node in operation.selection_set.selections]
    nodes = depth = 0
    while level:
        depth, nodes = depth + 1, nodes + len(level)
        if depth > LIMITS["maxQueryDepth"]:
            raise OverLimit(f"Query nesting is over {LIMITS['maxQueryDepth']}")
        if nodes > LIMITS["maxQueryNodes"]:
            raise OverLimit(f"Query has over {LIMITS['maxQueryNodes']} nodes")
        level = [inner for node in level for inner in _inside(node, fragments)]


# ── bytes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def check_size(size: int) -> None:
    """Refuse a request of `size` bytes that cannot be within any limit, before it is read."""
    limit = LIMITS["maxTransactionPayloadSize"] + LIMITS["maxQueryPayloadSize"]
    if size > limit:
        raise OverLimit(f"Request too large {size}B > {limit}B")


def check_payload(size: int, document: DocumentNode, variables: Mapping[str, Any]) -> None:
    """Hold the bytes of a request against their limits: those of transactions, and all others."""
    transaction, query = LIMITS["maxTransactionPayloadSize"], LIMITS["maxQueryPayloadSize"]
    spent, used = 0, set[str]()
    for operation in _operations(document):
        kind = operation.operation.value.capitalize()
        for node in operation.selection_set.selections:
            if isinstance(node, FieldNode):
                names = _PAYLOAD.get((kind, node.name.value), ())
                values = [argument.value for argument in node.arguments or () if argument.name.value in names]
                spent += sum(_size(value, variables, used) for value in values)
    if spent > transaction:
        raise OverLimit(f"Transaction payload exceeded limit of {transaction}B")
    if size - spent > query:
        raise OverLimit(f"Query payload too large: {size - spent}B > {query}B")


def _size(value: ValueNode, variables: Mapping[str, Any], used: set[str]) -> int:
    if not isinstance(value, VariableNode):
        return len(print_ast(value).replace(" ", ""))
    name = value.name.value
    if name in used or name not in variables:
        return 0
    used.add(name)
    return len(json.dumps(variables[name], separators=(",", ":")))


# ── output ────────────────────────────────────────────────────────────────────────────────────────────────────────


def check_output(schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]) -> None:
    """Hold what a document may answer at most against the limits: pages are full, and every key is found."""
    count = _Output(schema, _fragments(document), variables)
    for operation in _operations(document):
        root = schema.get_root_type(operation.operation)
        count.visit(operation.selection_set, root, 1, None)


class _Output:
    def __init__(
        self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode], variables: Mapping[str, Any]
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._variables = variables
        self._left = LIMITS["maxOutputNodes"]

    def _deduct(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise OverLimit(
                f"Query is estimated to produce over {LIMITS['maxOutputNodes']} output nodes. Try fetching fewer "
                "fields or fetching fewer items per page in paginated or multi-get fields."
            )

    def visit(self, selections: SelectionSetNode | None, parent: Any, times: int, page: int | None) -> None:
        """Count what lies below a field of type `parent` that occurs so often; `page`: elements of its connection."""
        for node in selections.selections if selections is not None else ():
            if isinstance(node, FieldNode):
                self._field(node, parent, times, page)
                continue
            fragment = self._fragments[node.name.value] if isinstance(node, FragmentSpreadNode) else node
            assert isinstance(fragment, InlineFragmentNode | FragmentDefinitionNode)
            condition = fragment.type_condition
            kind = self._schema.type_map[condition.name.value] if condition is not None else parent
            self.visit(fragment.selection_set, kind, times, page)

    def _field(self, node: FieldNode, parent: Any, times: int, page: int | None) -> None:
        name = node.name.value
        self._deduct(times)
        definition: GraphQLField | None = getattr(parent, "fields", {}).get(name)
        if definition is None:
            return  # __typename
        kind = get_named_type(definition.type)
        if name in ("nodes", "edges") and page is not None:
            times, page = times * page, None
            self._deduct(times)
        elif name.startswith("multiGet"):
            times, page = times * self._keys(node), None
            self._deduct(times)
        elif kind.name.endswith("Connection"):
            page = self._page(node, parent.name, name)
        self.visit(node.selection_set, kind, times, page)

    def _keys(self, node: FieldNode) -> int:
        found = self._argument(node, "keys")
        keys, limit = len(found) if isinstance(found, list) else 1, LIMITS["maxMultiGetSize"]
        if keys > limit:
            raise OverLimit(f"Too many keys supplied to multi-get: {keys} > {limit}")
        return keys

    def _page(self, node: FieldNode, parent: str, name: str) -> int:
        changes = (parent, name) == ("TransactionEffects", "objectChanges")
        most, usual = (MAX_CHANGES, MAX_CHANGES) if changes else (MAX_PAGE, DEFAULT_PAGE)
        asked = [self._argument(node, argument) for argument in ("first", "last")]
        size = max([number for number in asked if isinstance(number, int)], default=usual)
        if size > most:
            raise OverLimit(f"Page size is too large: {size} > {most}")
        return size

    def _argument(self, node: FieldNode, name: str) -> Any:
        value = next((item.value for item in node.arguments or () if item.name.value == name), None)
        if isinstance(value, VariableNode):
            return self._variables.get(value.name.value)
        if isinstance(value, ListValueNode):
            return list(value.values)
        return int(value.value) if isinstance(value, IntValueNode) else None
