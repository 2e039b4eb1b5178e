"""A strange answer is refused or makes no difference: no other exception, and no wrong value that could be noticed."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest

from walrus_sdk.codecs import objects
from walrus_sdk.codecs.transaction import transaction_digest
from walrus_sdk.errors import BlockchainError, ErrorClass, ProtocolError
from walrus_sdk.localnet.chain.objects import Owner, StoredObject
from walrus_sdk.model.chain import ExecutionFailure
from walrus_sdk.model.plan import SiteChange
from walrus_sdk.model.site import Redirect
from walrus_sdk.model.units import BlobId, ObjectId, WalrusEpoch
from walrus_sdk.sui import decode

Path = tuple[str | int, ...]
DELETED = object()
STRANGE: list[Any] = [DELETED, None, "x", "", -1, 2**70, 1.5, True, [], [[]], {}, {"a": 1}]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of everything inside a JSON value."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def replaced(answer: Any, path: Path, value: Any) -> Any:
    """Return an answer with another value at a path."""
    answer = copy.deepcopy(answer)
    inner = answer
    for key in path[:-1]:
        inner = inner[key]
    if value is DELETED:
        del inner[path[-1]]
    else:
        inner[path[-1]] = copy.deepcopy(value)
    return answer


def prepare(wallet: Any) -> None:
    """Put on the chain what the operations read."""
    rules = SiteChange(add=("/a",), routes=(("/x", "/a"),), redirects=(("/y", Redirect("/a", 301)),))
    wallet.publish(rules, new="tides")
    id_, genesis = ObjectId(b"\x71" * 32), wallet.state.genesis
    blob = objects.BlobContents(
        id_, WalrusEpoch(1), BlobId(b"\x72" * 32), 9, WalrusEpoch(1), id_, WalrusEpoch(1), WalrusEpoch(5), 99, True
    )
    type_ = f"{genesis.blob_package}::blob::Blob"
    owner = Owner("AddressOwner", wallet.address.raw)
    wallet.state.system_transaction([StoredObject(id_, 0, type_, owner, objects.encode_blob(blob))])


def operations(wallet: Any) -> dict[str, Callable[[Any], Awaitable[Any]]]:
    site = wallet.site().id
    first = wallet.publish(SiteChange(name="others")).digest
    data = wallet.data(wallet.kind(SiteChange(name="other", remove=("/a",))))
    bad = wallet.data(wallet.kind(SiteChange(remove=("/no",))))
    return {
        "state": lambda chain: chain.state(),
        "site": lambda chain: chain.site(site),
        "sites": lambda chain: chain.sites(wallet.address),
        "blobs": lambda chain: chain.blobs(wallet.address),
        "coins": lambda chain: chain.coins(wallet.address),
        "objects": lambda chain: chain.objects([site, wallet.state.genesis.system_object]),
        "transaction": lambda chain: chain.transaction(first),
        "simulate": lambda chain: chain.simulate(data),
        "failing": lambda chain: chain.simulate(bad),
    }


NAMES = ["state", "site", "sites", "blobs", "coins", "objects", "transaction", "simulate", "failing"]

# Where `null` means something: no such object, no owner, nothing owned, not in a checkpoint yet, gone afterwards.
NULLABLE = {
    "0", "1", "owner", "previousTransaction", "asMoveObject", "address", "transaction", "gasObject", "checkpoint",
    "outputState", "executionError", "effectsJson", "status", "abort", "location", "command",
}  # fmt: skip
# Texts, and yes or no, that nobody can tell from right ones.
TEXTS = {"__typename", "repr", "message", "kind", "description", "module", "functionName", "name"}
FLAGS = {"hasNextPage", "idCreated", "idDeleted"}


def explained(path: Path, value: Any) -> bool:
    """Return whether another value at a path is an answer that may be true."""
    last = str(path[-1])
    if value is DELETED:
        return isinstance(path[-1], int)
    if value is None:
        return last in NULLABLE
    if value is True:
        return last in FLAGS
    if value == []:
        return last == "nodes"
    # An empty key is a field that is none of ours.
    return isinstance(value, str) and (last in TEXTS or path[-2:] == ("name", "bcs"))


@pytest.mark.parametrize("name", NAMES)
def test_a_strange_answer_is_refused_or_makes_no_difference(name: str, connect: Any, node: Any, wallet: Any) -> None:
    prepare(wallet)
    operation = operations(wallet)[name]
    refused, believed = 0, []

    async def ask(number: int, wrong: Any, good: Any) -> bool:
        """Return whether the operation gives another value when its request of that number is answered wrongly."""
        node.requests.clear()
        node.change = lambda n, usual: wrong if n == number else usual
        return (await operation(connect())) != good

    async def main() -> None:
        nonlocal refused
        good = await operation(connect())
        for number, answer in enumerate(copy.deepcopy(node.answers)):
            for path in list(places(answer)):
                for value in STRANGE:
                    try:
                        differs = await ask(number, replaced(answer, path, value), good)
                    except (ProtocolError, BlockchainError):
                        refused += 1
                        continue
                    if differs and not explained(path, value):
                        believed.append((number, path, value))

    anyio.run(main)
    assert believed == []
    assert refused > 100


def test_another_objects_answer_is_not_taken_for_the_one_that_was_asked_for(
    connect: Any, node: Any, wallet: Any
) -> None:
    prepare(wallet)
    site, system = wallet.site().id, wallet.state.genesis.system_object

    def swapped(_number: int, answer: Any) -> Any:
        if "multiGetObjects" in answer["data"]:
            answer["data"]["multiGetObjects"].reverse()
        return answer

    node.change = swapped
    with pytest.raises(ProtocolError, match="expected object") as caught:
        anyio.run(connect().objects, [site, system])
    assert caught.value.code == "bad_answer"


@pytest.mark.parametrize("operation", ["execute", "transaction"])
def test_another_transactions_outcome_is_not_taken_for_the_one_that_was_asked_for(
    operation: str, connect: Any, node: Any, wallet: Any
) -> None:
    other = wallet.publish(SiteChange(), new="tides").digest
    data, signatures = wallet.signed(wallet.kind(SiteChange(name="other")))
    name = "executeTransaction" if operation == "execute" else "transaction"

    def swapped(_number: int, answer: Any) -> Any:
        answer["data"][name]["effects"]["digest"] = str(other)
        return answer

    node.change = swapped
    if operation == "transaction":
        wallet.state.execute(data, signatures)
    arguments: tuple[Any, ...] = (data, signatures) if operation == "execute" else (transaction_digest(data),)
    with pytest.raises(ProtocolError, match="expected transaction") as caught:
        anyio.run(getattr(connect(), operation), *arguments)
    assert caught.value.error_class is ErrorClass.LOOK_FIRST


def test_pages_that_never_end_are_refused(connect: Any, node: Any, wallet: Any) -> None:
    def endless(_number: int, answer: Any) -> Any:
        answer["data"]["address"]["objects"]["pageInfo"] = {"hasNextPage": True, "endCursor": "Ng=="}
        return answer

    node.change = endless
    with pytest.raises(ProtocolError, match="a new cursor"):
        anyio.run(connect().coins, wallet.address)
    assert len(node.requests) == 2


def failure(**effects: Any) -> Any:
    summary = dict.fromkeys(("computationCost", "storageCost", "storageRebate", "nonRefundableStorageFee"), 1)
    given = {"status": "FAILURE", "executionError": None, "effectsJson": None, "gasEffects": {"gasSummary": summary}}
    return decode.simulation(given | effects).failure


def test_a_failure_is_told_from_the_nodes_json_before_its_text() -> None:
    location = {"package": "0x2", "module": "dynamic_field", "function": 3, "instruction": 7, "functionName": "add"}
    inner = {
        "kind": "MOVE_ABORT",
        "description": "aborted",
        "command": "3",
        "abort": {"abortCode": "0", "location": location},
    }
    shown = {"message": "Error in 4th command", "abortCode": "0", "module": {"name": "x"}, "function": {"name": "y"}}
    found = failure(effectsJson={"status": {"success": False, "error": inner}}, executionError=shown)
    assert found == ExecutionFailure("MOVE_ABORT", "Error in 4th command", 3, "dynamic_field", "add", 0)


def test_a_failure_without_the_nodes_json_is_told_from_its_text() -> None:
    shown = {"message": "aborted", "abortCode": "4", "module": {"name": "site"}, "function": {"name": "burn"}}
    assert failure(executionError=shown) == ExecutionFailure("MOVE_ABORT", "aborted", None, "site", "burn", 4)


def test_a_failure_that_says_nothing_is_still_a_failure() -> None:
    assert failure() == ExecutionFailure("UNKNOWN", "no message")


def test_a_congested_execution_keeps_the_nodes_kind() -> None:
    kind = "EXECUTION_CANCELED_DUE_TO_CONSENSUS_OBJECT_CONGESTION"
    inner = {"kind": kind, "description": "cancelled", "congestedObjects": {"objects": ["0x5"]}}
    assert failure(effectsJson={"status": {"error": inner}}) == ExecutionFailure(kind, "cancelled")


@pytest.mark.parametrize(
    "value", [None, True, 1.0, "", "-1", -1, "0x10", " 1", "1 ", "1_0", "\u0661", "9" * 21, [1], {}]
)
def test_what_is_no_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(ProtocolError):
        decode.number(value)


@pytest.mark.parametrize("value", [0, "0", 2**64 - 1, str(2**64 - 1)])
def test_whole_numbers_come_as_numbers_or_texts(value: Any) -> None:
    assert decode.number(value) == int(value)
