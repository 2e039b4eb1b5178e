"""GraphQL answers as values: strict, so that a strange answer is an error and never a wrong value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from walrus_sdk.codecs.text import from_base64
from walrus_sdk.errors import CodecError, ProtocolError
from walrus_sdk.model.chain import (
    ExecutionFailure,
    GasUsed,
    ObjectChange,
    ObjectRef,
    OwnedObject,
    Simulation,
    TransactionOutcome,
)
from walrus_sdk.model.units import Digest, ObjectId, SuiAddress, json_number

__all__ = [
    "contents",
    "nodes",
    "number",
    "object_of",
    "outcome",
    "page_info",
    "reference",
    "simulation",
    "strict",
    "text",
]

P = ParamSpec("P")
T = TypeVar("T")


def strict(function: Callable[P, T]) -> Callable[P, T]:
    """Let a reader raise `ProtocolError` ``bad_answer`` for anything that is missing or of another form."""

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, CodecError) as error:
            raise ProtocolError(
                "bad_answer", f"the Sui node's answer has another form than expected: {error!r:.200}"
            ) from error

    return checked


@strict
def number(value: Any) -> int:
    """Return a whole number of at most 20 digits: UInt53 is a JSON number, BigInt a text."""
    return json_number(value)


@strict
def text(value: Any) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise TypeError(f"expected a text, found {value!r:.40}")
    return value


@strict
def reference(node: Mapping[str, Any]) -> ObjectRef:
    """Return an object's reference."""
    return ObjectRef(ObjectId.parse(node["address"]), number(node["version"]), Digest.parse(node["digest"]))


@strict
def object_of(node: Mapping[str, Any]) -> OwnedObject:
    """Return an object without its contents."""
    owner, previous, move = node["owner"], node["previousTransaction"], node["asMoveObject"]
    kind = text(owner["__typename"]) if owner is not None else ""
    return OwnedObject(
        reference(node),
        text(move["contents"]["type"]["repr"]) if move is not None else "",
        SuiAddress.parse(owner["address"]["address"]) if kind == "AddressOwner" else None,
        Digest.parse(previous["digest"]) if previous is not None else None,
        number(owner["initialSharedVersion"]) if kind == "Shared" else None,
    )


@strict
def contents(node: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return an object's type and BCS; of an Object or a MoveObject node."""
    found = node["asMoveObject"]["contents"] if "asMoveObject" in node else node["contents"]
    return text(found["type"]["repr"]), from_base64(found["bcs"])


@strict
def nodes(connection: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the nodes of a page."""
    found = connection["nodes"]
    if not isinstance(found, list):
        raise TypeError(f"expected a list of nodes, found {found!r:.40}")
    return found


@strict
def page_info(connection: Mapping[str, Any], after: str | None) -> str | None:
    """Return the cursor of the page that follows the one read from `after`, `None` on the last one."""
    info = connection["pageInfo"]
    if not _flag(info["hasNextPage"]):
        return None
    cursor = info["endCursor"]
    if not isinstance(cursor, str) or cursor == after:
        raise TypeError(f"expected a new cursor, found {cursor!r:.40}")
    return cursor


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"expected true or false, found {value!r:.40}")
    return value


def _flag_or_null(value: Any) -> bool:
    return _flag(value) if value is not None else False


def _gas(summary: Mapping[str, Any]) -> GasUsed:
    return GasUsed(
        number(summary["computationCost"]),
        number(summary["storageCost"]),
        number(summary["storageRebate"]),
        number(summary["nonRefundableStorageFee"]),
    )


def _failure(effects: Mapping[str, Any]) -> ExecutionFailure | None:
    if effects["status"] == "SUCCESS":
        return None
    if effects["status"] != "FAILURE":
        raise ValueError(f"expected SUCCESS or FAILURE, found {effects['status']!r:.40}")
    error = effects.get("executionError") or {}
    status = (effects.get("effectsJson") or {}).get("status") or {}
    inner = status.get("error") or {}
    place = (inner.get("abort") or {}).get("location") or {}
    code = (inner.get("abort") or {}).get("abortCode", error.get("abortCode"))
    command = inner.get("command")
    return ExecutionFailure(
        kind=str(inner.get("kind") or ("MOVE_ABORT" if error.get("abortCode") is not None else "UNKNOWN")),
        message=str(error.get("message") or inner.get("description") or "no message"),
        command=int(command) if command is not None else None,
        module=place.get("module") or (error.get("module") or {}).get("name"),
        function=place.get("functionName") or (error.get("function") or {}).get("name"),
        abort_code=int(code) if code is not None else None,
    )


@strict
def simulation(effects: Mapping[str, Any]) -> Simulation:
    """Return a simulation's result."""
    return Simulation(_failure(effects), _gas(effects["gasEffects"]["gasSummary"]))


def _change(node: Mapping[str, Any]) -> ObjectChange:
    state = node["outputState"]
    id_ = ObjectId.parse(node["address"])
    ref = ObjectRef(id_, number(state["version"]), Digest.parse(state["digest"])) if state is not None else None
    owner = text(state["owner"]["__typename"]) if state is not None and state["owner"] is not None else None
    return ObjectChange(id_, _flag_or_null(node["idCreated"]), _flag_or_null(node["idDeleted"]), ref, owner)


@strict
def outcome(effects: Mapping[str, Any]) -> TransactionOutcome:
    """Return a final transaction."""
    gas_object, checkpoint, changes = (
        effects["gasEffects"]["gasObject"],
        effects["checkpoint"],
        effects["objectChanges"],
    )
    return TransactionOutcome(
        Digest.parse(effects["digest"]),
        _failure(effects),
        _gas(effects["gasEffects"]["gasSummary"]),
        reference(gas_object) if gas_object is not None else None,
        tuple(_change(node) for node in nodes(changes)),
        number(checkpoint["sequenceNumber"]) if checkpoint is not None else None,
        complete=not _flag(changes["pageInfo"]["hasNextPage"]),
    )
