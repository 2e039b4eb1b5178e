"""State as GraphQL nodes: dictionaries whose values are values, or functions of a field's arguments."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from graphql import GraphQLError

from walrus_sdk.codecs import objects
from walrus_sdk.localnet.chain.objects import StoredObject, View
from walrus_sdk.localnet.chain.state import Record, SuiState
from walrus_sdk.localnet.genesis import GAS_TYPE, coin_type
from walrus_sdk.localnet.http_sui.limits import DEFAULT_PAGE, MAX_CHANGES, Rich
from walrus_sdk.model.chain import ExecutionFailure, GasUsed, ObjectChange, ObjectRef
from walrus_sdk.model.units import ObjectId

__all__ = ["Nodes", "bad_input", "base64_text"]

Node = dict[str, Any]


def bad_input(message: str) -> GraphQLError:
    """Return an error of the client's making."""
    return GraphQLError(message, extensions={"code": "BAD_USER_INPUT"})


def base64_text(data: bytes) -> str:
    """Return bytes as GraphQL's Base64 scalar."""
    return base64.b64encode(data).decode("ascii")


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def page(items: Sequence[Any], make: Callable[[Any], Node], default: int = DEFAULT_PAGE) -> Callable[..., Node]:
    """Return a Relay connection over items that stay in order; how large a page may be was checked before."""

    def connection(
        first: int | None = None, after: str | None = None, last: int | None = None, before: str | None = None, **_: Any
    ) -> Node:
        if last is not None or before is not None:
            raise GraphQLError("paging backwards is not simulated", extensions={"code": "FEATURE_UNAVAILABLE"})
        size = default if first is None else first
        if size < 0:
            raise bad_input(f"Invalid page size {size}")
        start = _cursor(after) + 1 if after is not None else 0
        nodes = [make(item) for item in items[start : start + size]]
        cursors = [base64_text(str(start + i).encode()) for i in range(len(nodes))]
        info = {
            "hasNextPage": start + size < len(items),
            "hasPreviousPage": start > 0,
            "startCursor": cursors[0] if cursors else None,
            "endCursor": cursors[-1] if cursors else None,
        }
        edges = [{"cursor": cursor, "node": node} for cursor, node in zip(cursors, nodes, strict=True)]
        return {"nodes": nodes, "edges": edges, "pageInfo": info}

    return connection


def _cursor(text: str) -> int:
    try:
        return int(base64.b64decode(text, validate=True))
    except ValueError as error:
        raise bad_input("Invalid cursor") from error


class Nodes:
    """Makes nodes from one view of the state."""

    def __init__(self, state: SuiState, view: View, *, behind: int = 0) -> None:
        self.state = state
        self.view = view
        self.behind = behind
        self._rich = Rich()

    # ── objects ───────────────────────────────────────────────────────────────────────────────────────────────

    def object(self, item: StoredObject | None) -> Node | None:
        """Return an Object node."""
        if item is None:
            return None
        return self._common(item) | {"__typename": "Object", "asMoveObject": lambda: self.move_object(item)}

    def move_object(self, item: StoredObject) -> Node:
        """Return a MoveObject node."""
        value = {"type": {"repr": item.type}, "bcs": base64_text(item.contents), "json": lambda: self._json(item)}
        return self._common(item) | {"__typename": "MoveObject", "contents": value}

    def _common(self, item: StoredObject) -> Node:
        return {
            "address": str(item.id),
            "version": item.version,
            "digest": lambda: str(item.digest),
            "owner": lambda: self._owner(item),
            "storageRebate": str(item.rebate),
            "previousTransaction": lambda: self.transaction(self.state.records.get(item.previous)),
            "dynamicFields": self._fields(item.id),
        }

    def _owner(self, item: StoredObject) -> Node:
        kind = item.owner.kind
        node: Node = {"__typename": kind}
        if kind in ("AddressOwner", "ObjectOwner"):
            node["address"] = lambda: self.address(item.owner.id)
        elif kind == "Shared":
            node["initialSharedVersion"] = item.owner.initial_version
        return node

    def _json(self, item: StoredObject) -> Any:
        if item.type.startswith(coin_type("")[:-1]):
            id_, balance = objects.decode_coin(item.contents)
            return {"id": str(id_), "balance": str(balance)}
        raise GraphQLError(
            "contents.json is simulated for coins only: read contents.bcs", extensions={"code": "FEATURE_UNAVAILABLE"}
        )

    def address(self, raw: bytes) -> Node:
        """Return an Address node: what it owns, its dynamic fields, its balance."""
        id_ = ObjectId(raw)
        return {
            "address": str(id_),
            "objects": self._owned(raw),
            "dynamicFields": self._fields(id_),
            "balance": lambda coinType: self._balance(raw, coinType),  # GraphQL's name
            "asObject": lambda: self.object(self.view.get(id_)),
        }

    def _owned(self, raw: bytes) -> Callable[..., Node]:
        def resolve(filter: dict[str, Any] | None = None, **paging: Any) -> Node:  # noqa: A002  # GraphQL's name
            self._rich.debit()
            wanted = (filter or {}).get("type")
            if filter and set(filter) - {"type"}:
                raise GraphQLError("only filtering by type is simulated", extensions={"code": "FEATURE_UNAVAILABLE"})
            items = [i for i in self.view.owned_by(raw) if i.owner.kind == "AddressOwner" and _is_type(i.type, wanted)]
            return page(items, self.move_object)(**paging)

        return resolve

    def _fields(self, parent: ObjectId) -> Callable[..., Node]:
        def resolve(**paging: Any) -> Node:
            self._rich.debit()
            items = [i for i in self.view.owned_by(parent.raw) if "::dynamic_field::Field<" in i.type]
            return page(items, self._field)(**paging)

        return resolve

    def _field(self, item: StoredObject) -> Node:
        key_type, value_type = _field_types(item.type)
        size = _key_size(key_type, item.contents)
        field = objects.decode_field(item.contents, size)
        return self._common(item) | {
            "__typename": "DynamicField",
            "name": {"type": {"repr": key_type}, "bcs": base64_text(field.key)},
            "value": {"__typename": "MoveValue", "type": {"repr": value_type}, "bcs": base64_text(field.value)},
        }

    def _balance(self, raw: bytes, coin: str) -> Node:
        self._rich.debit()
        wanted = coin_type(GAS_TYPE if coin.startswith("0x2::sui") else coin)
        total = sum(objects.decode_coin(i.contents)[1] for i in self.view.owned_by(raw) if i.type == wanted)
        return {
            "coinBalance": str(total),
            "totalBalance": str(total),
            "addressBalance": "0",
            "coinType": {"repr": coin},
        }

    # ── transactions ──────────────────────────────────────────────────────────────────────────────────────────

    def transaction(self, record: Record | None) -> Node | None:
        """Return a Transaction node; one that the indexer has not reached yet is not there."""
        if record is None or record.checkpoint > self.state.checkpoint - self.behind:
            return None
        return {"digest": str(record.digest), "effects": lambda: self.effects(record)}

    def effects(self, record: Record) -> Node:
        """Return a TransactionEffects node."""
        final = self.outcome(record.failure, record.gas) | {
            "digest": str(record.digest),
            "lamportVersion": record.lamport,
            "timestamp": _time(record.timestamp_ms),
            "objectChanges": page(record.changes, self._change, MAX_CHANGES),
            "transaction": lambda: self.transaction(record),
            "checkpoint": lambda: self.checkpoint(record) if self.transaction(record) is not None else None,
        }
        final["gasEffects"]["gasObject"] = lambda: self._ref(record.gas_object)
        return final

    def outcome(self, failure: ExecutionFailure | None, bill: GasUsed) -> Node:
        """Return what effects and simulations share: status, error, gas."""
        summary = {
            "computationCost": bill.computation,
            "storageCost": bill.storage,
            "storageRebate": bill.rebate,
            "nonRefundableStorageFee": bill.non_refundable,
        }
        return {
            "status": "SUCCESS" if failure is None else "FAILURE",
            "executionError": _execution_error(failure),
            "effectsJson": {"status": _status_json(failure)},
            "gasEffects": {"gasSummary": summary, "gasObject": None},
        }

    def _change(self, change: ObjectChange) -> Node:
        return {
            "address": str(change.id),
            "idCreated": change.created,
            "idDeleted": change.deleted,
            "outputState": lambda: self._ref(change.ref, change.owner_kind),
        }

    def _ref(self, ref: ObjectRef | None, owner_kind: str | None = None) -> Node | None:
        if ref is None:
            return None
        current = self.state.objects.get(ref.id)
        if current is not None and current.ref == ref:
            return self.object(current)
        node: Node = {"address": str(ref.id), "version": ref.version, "digest": str(ref.digest)}
        return node | ({"owner": {"__typename": owner_kind}} if owner_kind else {})

    def checkpoint(self, record: Record) -> Node:
        """Return a Checkpoint node: each transaction has one of its own."""
        return {"sequenceNumber": record.checkpoint, "timestamp": _time(record.timestamp_ms)}


def _is_type(found: str, wanted: str | None) -> bool:
    if wanted is None:
        return True
    address, _, rest = wanted.partition("::")
    full = f"{ObjectId.parse(address)}::{rest}" if rest else wanted
    full = full.replace("<0x2::", f"<{ObjectId.parse('0x2')}::")
    return found == full or found.startswith(full + "<")


@cache
def _field_types(full: str) -> tuple[str, str]:
    inner = full[full.index("<") + 1 : -1]
    depth = 0
    for at, char in enumerate(inner):
        depth += {"<": 1, ">": -1}.get(char, 0)
        if char == "," and depth == 0:
            return inner[:at], inner[at + 1 :].strip()
    raise AssertionError(f"not a field type: {full}")


def _key_size(key_type: str, contents: bytes) -> int:
    if key_type == "u64":
        return 8
    size, shift, at = 0, 0, 32
    while True:
        byte = contents[at]
        size |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            return at - 32 + size


def _execution_error(failure: ExecutionFailure | None) -> Node | None:
    if failure is None:
        return None
    module = failure.module.rpartition("::")[2] if failure.module else None
    return {
        "message": f"Error in command {failure.command}: {failure.message}",
        "abortCode": None if failure.abort_code is None else str(failure.abort_code),
        "identifier": None,
        "constant": None,
        "module": {"name": module} if module else None,
        "function": {"name": failure.function} if failure.function else None,
    }


def _status_json(failure: ExecutionFailure | None) -> Node:
    if failure is None:
        return {"success": True}
    error: Node = {"kind": failure.kind, "description": failure.message}
    if failure.command is not None:
        error["command"] = str(failure.command)
    if failure.module is not None:
        package, _, module = failure.module.partition("::")
        location = {"package": package, "module": module, "functionName": failure.function}
        code = None if failure.abort_code is None else str(failure.abort_code)
        error["abort"] = {"abortCode": code, "location": location}
    return {"success": False, "error": error}
