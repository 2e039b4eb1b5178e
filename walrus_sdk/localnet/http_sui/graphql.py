"""GraphQL over the state: the official schema, its limits, and the node's errors as the server passes them on.

The schema is Sui's (Apache-2.0, beside this file in ``schema/``). Fields that are not simulated answer
``FEATURE_UNAVAILABLE``; they are never silently null.
"""

from __future__ import annotations

import json
from functools import cache, lru_cache, partial
from importlib import resources
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
    execute_sync,
    parse,
    validate,
)

from walrus_sdk.codecs.text import from_base64
from walrus_sdk.errors import CodecError
from walrus_sdk.localnet.chain.checks import Refused
from walrus_sdk.localnet.chain.state import SuiState
from walrus_sdk.localnet.http_sui.limits import (
    LIMITS,
    MAX_PAGE,
    OverLimit,
    check_document,
    check_output,
    check_payload,
    check_size,
)
from walrus_sdk.localnet.http_sui.nodes import Nodes, bad_input, base64_text
from walrus_sdk.model.units import Digest, ObjectId

__all__ = ["GraphQlService", "schema"]


def _checked(name: str, good: type | tuple[type, ...]) -> Any:
    def serialize(value: Any) -> Any:
        if not isinstance(value, good) or isinstance(value, bool):
            raise GraphQLError(f"{name} cannot represent {value!r:.60}")
        return value

    return serialize


@cache
def schema() -> GraphQLSchema:
    """Return the official schema, with scalars that refuse values of the wrong type."""
    text = resources.files("walrus_sdk.localnet").joinpath("schema", "schema.graphql").read_text(encoding="utf-8")
    built = build_schema(text)
    texts = ("Base64", "BigInt", "DateTime", "SuiAddress")
    for name, kind in [*((text, str) for text in texts), ("UInt53", int)]:
        scalar = built.type_map[name]
        assert isinstance(scalar, GraphQLScalarType)
        scalar.serialize = _checked(name, kind)  # type: ignore[method-assign]  # its own serializer takes anything
    return built


@lru_cache(maxsize=256)
def _document(text: str) -> DocumentNode | str:
    """Parse and validate once per text: 690 microseconds the first time, nothing later. A `str` says what is wrong."""
    try:
        document = parse(text)
    except GraphQLError as error:
        return f"GRAPHQL_PARSE_FAILED {error.message}"
    errors = validate(schema(), document)
    if errors:
        return f"GRAPHQL_VALIDATION_FAILED {errors[0].message}"
    try:
        check_document(document)
    except OverLimit as error:
        return f"GRAPHQL_VALIDATION_FAILED {error}"
    return document


def _resolve(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
    """Take a field from a node; a node without it does not simulate it."""
    if info.field_name not in source:
        raise GraphQLError(
            f"{info.parent_type.name}.{info.field_name} is not simulated by this local network",
            extensions={"code": "FEATURE_UNAVAILABLE"},
        )
    value = source[info.field_name]
    return value(**arguments) if callable(value) else value


def _type_of(value: Any, info: GraphQLResolveInfo[Any], abstract: Any) -> str:
    return str(value["__typename"])


class GraphQlService:
    """Answers GraphQL requests on one chain."""

    def __init__(self, state: SuiState) -> None:
        self._state = state
        schema()

    def answer(self, body: bytes, *, behind: int = 0, congested: bool = False) -> dict[str, Any]:
        """Return the answer to a request's body, as JSON-ready data; the node is `behind` transactions late.

        `congested`: a transaction that it sends is cancelled, if it uses a shared object.
        """
        try:
            check_size(len(body))
            request = _request(body)
            if request is None:
                return _failed("GRAPHQL_PARSE_FAILED", "the body is not a GraphQL request")
            variables = request.get("variables") or {}
            document = _document(request["query"])
            if isinstance(document, str):
                return _failed(*document.split(" ", 1))
            check_payload(len(body), document, variables)
            check_output(schema(), document, variables)
        except OverLimit as error:
            return _failed("GRAPHQL_VALIDATION_FAILED", str(error))
        result = execute_sync(
            schema(), document, self._root(behind, congested), variable_values=variables,
            operation_name=request.get("operationName"), field_resolver=_resolve, type_resolver=_type_of,
        )  # fmt: skip
        return _formatted(result)

    # ── the root ──────────────────────────────────────────────────────────────────────────────────────────────

    def _root(self, behind: int, congested: bool) -> dict[str, Any]:
        state, nodes = self._state, Nodes(self._state, self._state.objects.view(behind), behind=behind)
        return {
            "chainIdentifier": str(state.genesis.chain),
            "epoch": lambda epochId=None: self._epoch(epochId),
            "serviceConfig": dict(LIMITS) | {"maxPageSize": lambda **_: MAX_PAGE, "defaultPageSize": lambda **_: 20},
            "protocolConfigs": lambda version=None: _protocol(),
            "checkpoint": lambda **_: self._checkpoint(nodes),
            "object": lambda address, **_: nodes.object(nodes.view.get(_id(address))),
            "multiGetObjects": lambda keys: self._multi(nodes, keys),
            "address": lambda address, **_: nodes.address(_id(address).raw),
            "transaction": lambda digest: nodes.transaction(state.transaction(_digest(digest))),
            "simulateTransaction": partial(self._simulate, behind=behind),
            "executeTransaction": partial(self._execute, congested=congested, behind=behind),
        }

    def _epoch(self, number: int | None) -> dict[str, Any] | None:
        if number not in (None, self._state.sui_epoch.number):
            return None
        return {
            "epochId": self._state.sui_epoch.number,
            "referenceGasPrice": str(self._state.gas_price),
            "startTimestamp": "2026-01-01T00:00:00.000Z",
            "protocolConfigs": _protocol(),
        }

    def _checkpoint(self, nodes: Nodes) -> dict[str, Any] | None:
        late = self._state.checkpoint - nodes.behind
        found = next((r for r in self._state.records.values() if r.checkpoint == late), None)
        return nodes.checkpoint(found) if found is not None else None

    def _multi(self, nodes: Nodes, keys: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
        return [nodes.object(nodes.view.get(_id(key["address"]))) for key in keys]

    def _simulate(
        self,
        transaction: Any,
        checksEnabled: bool | None = None,
        doGasSelection: bool | None = None,
        *,
        behind: int,
    ) -> dict[str, Any]:
        if doGasSelection:
            raise GraphQLError("gas selection is not simulated", extensions={"code": "FEATURE_UNAVAILABLE"})
        try:
            data = from_base64(transaction["bcs"]["value"])
            bill, failure = self._state.simulate(data, checked=checksEnabled is not False, behind=behind)
        except (KeyError, TypeError):
            raise bad_input("expected a transaction as {bcs: {value}}") from None
        except CodecError as error:
            raise bad_input(f"Failed to deserialize transaction: {error.message}") from error
        except Refused as error:
            raise bad_input(f"Invalid argument: {error}") from error
        nodes = Nodes(self._state, self._state.objects.view())
        shown = {"bcs": base64_text(data)}
        return {
            "effects": nodes.outcome(failure, bill) | {"transaction": {"transactionBcs": shown["bcs"]}},
            "outputs": [],
        }

    def _execute(
        self, transactionDataBcs: str, signatures: list[str], *, congested: bool, behind: int
    ) -> dict[str, Any]:
        try:
            data, raw = from_base64(transactionDataBcs), [from_base64(signature) for signature in signatures]
            record = self._state.execute(data, raw, congested=congested, behind=behind)
        except CodecError as error:
            raise bad_input(f"Failed to deserialize transaction: {error.message}") from error
        except Refused as error:
            raise bad_input(f"Invalid argument: {error}") from error
        return {"effects": Nodes(self._state, self._state.objects.view()).effects(record)}


def _request(body: bytes) -> dict[str, Any] | None:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(request, dict) or not isinstance(request.get("query"), str):
        return None
    return request if isinstance(request.get("variables") or {}, dict) else None


def _protocol() -> dict[str, Any]:
    values = {"max_tx_gas": "50000000000", "max_tx_size_bytes": "131072", "max_pure_argument_size": "16384"}
    return {"protocolVersion": 138, "config": lambda key: {"key": key, "value": values.get(key)}}


def _id(text: str) -> ObjectId:
    try:
        return ObjectId.parse(text)
    except CodecError as error:
        raise bad_input(f"Invalid address: {error.message}") from error


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except CodecError as error:
        raise bad_input(f"Invalid digest: {error.message}") from error


def _failed(code: str, message: str) -> dict[str, Any]:
    return {"data": None, "errors": [{"message": message, "extensions": {"code": code}}]}


def _formatted(result: ExecutionResult) -> dict[str, Any]:
    answer: dict[str, Any] = {"data": result.data}
    if result.errors:
        answer["errors"] = [_shown(error) for error in result.errors]
    return answer


def _shown(error: GraphQLError) -> dict[str, Any]:
    extensions = dict(error.extensions or {})
    extensions.setdefault("code", "INTERNAL_SERVER_ERROR" if error.original_error else "BAD_USER_INPUT")
    return {"message": error.message, "path": error.path, "extensions": extensions}
