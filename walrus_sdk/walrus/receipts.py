"""A publisher's 200: strict on what is used, tolerant to what is not known, never believed about ids."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from walrus_sdk.errors import CodecError, ProtocolError, StorageError
from walrus_sdk.http.client import Answer
from walrus_sdk.model.plan import StoreKind
from walrus_sdk.model.units import BlobId, Frost, ObjectId, QuiltPatchId, WalrusEpoch, json_number
from walrus_sdk.ports import StoreReceipt, StoreRequest

__all__ = ["read_receipt"]

T = TypeVar("T")


def read_receipt(answer: Answer, request: StoreRequest) -> StoreReceipt:
    """Read the answer to a store (walrus-service, `BlobStoreResult`, for quilts with `storedQuiltBlobs`).

    Raises `ProtocolError` ``bad_answer``; `StorageError` ``blob_id_mismatch``, ``blob_blocked`` or ``store_failed``
    (the publisher reports failures with status 200 too). What is quoted of the answer is free of our secrets.
    """
    document = _object(answer, answer.json(), "the answer")
    result = document
    if request.kind is StoreKind.QUILT:
        result = _object(answer, document.get("blobStoreResult"), "blobStoreResult")
    _raise_reported(answer, result)
    receipt = _created(answer, result) or _known(answer, result)
    if receipt is None:
        _bad(
            answer, f"one of newlyCreated and alreadyCertified expected, found {answer.shown(str(sorted(result)), 100)}"
        )
    _check_id(answer, request, receipt.blob_id)
    if request.kind is StoreKind.BLOB:
        return receipt
    patches = _patches(answer, request, document.get("storedQuiltBlobs"))
    return StoreReceipt(
        receipt.blob_id,
        receipt.end_epoch,
        receipt.cost,
        receipt.already_certified,
        receipt.object_id,
        patches,
        receipt.endpoint,
    )


def _created(answer: Answer, result: Mapping[str, Any]) -> StoreReceipt | None:
    if "newlyCreated" not in result:
        return None
    created = _object(answer, result["newlyCreated"], "newlyCreated")
    blob = _object(answer, created.get("blobObject"), "blobObject")
    storage = _object(answer, blob.get("storage"), "storage")
    return StoreReceipt(
        blob_id=_parsed(answer, BlobId.parse, blob.get("blobId"), "blobId"),
        end_epoch=_parsed(answer, _epoch, storage.get("endEpoch"), "endEpoch"),
        cost=_parsed(answer, _frost, created.get("cost"), "cost"),
        already_certified=False,
        object_id=_parsed(answer, ObjectId.parse, blob.get("id"), "id"),
        endpoint=answer.endpoint,
    )


def _known(answer: Answer, result: Mapping[str, Any]) -> StoreReceipt | None:
    if "alreadyCertified" not in result:
        return None
    known = _object(answer, result["alreadyCertified"], "alreadyCertified")
    return StoreReceipt(
        blob_id=_parsed(answer, BlobId.parse, known.get("blobId"), "blobId"),
        end_epoch=_parsed(answer, _epoch, known.get("endEpoch"), "endEpoch"),
        cost=Frost(),
        already_certified=True,
        endpoint=answer.endpoint,
    )


def _raise_reported(answer: Answer, result: Mapping[str, Any]) -> None:
    if "markedInvalid" in result:
        message = f"{answer.endpoint}: the blob is marked invalid on chain"
        raise StorageError("blob_blocked", message, endpoint=answer.endpoint, reason="markedInvalid")
    if "error" not in result:
        return
    error = _object(answer, result["error"], "error")
    phase, says = (answer.shown(str(error.get(name, ""))) for name in ("failurePhase", "errorMsg"))
    # Only the block list is consulted before anything is paid; every other phase may have paid.
    code = "blob_blocked" if re.search(r"(?i)blocked", phase) else "store_failed"
    message = f"{answer.endpoint}: the store failed ({phase}): {says}"
    raise StorageError(code, message, endpoint=answer.endpoint, reason=phase)


def _check_id(answer: Answer, request: StoreRequest, found: BlobId) -> None:
    if found != request.blob_id:
        raise StorageError(
            "blob_id_mismatch",
            f"{answer.endpoint}: blob id {request.blob_id} expected, found {found}",
            endpoint=answer.endpoint,
            expected=str(request.blob_id),
            found=str(found),
        )


def _patches(answer: Answer, request: StoreRequest, stored: Any) -> dict[str, QuiltPatchId]:
    if not isinstance(stored, list):
        _bad(answer, "a list storedQuiltBlobs expected")
    patches: dict[str, QuiltPatchId] = {}
    for entry in stored:
        row = _object(answer, entry, "storedQuiltBlobs")
        identifier = _text(answer, row.get("identifier"), "identifier")
        patch = _parsed(answer, QuiltPatchId.parse, row.get("quiltPatchId"), "quiltPatchId")
        if identifier in patches or patch.quilt != request.blob_id:
            _bad(answer, f"the patch of {answer.shown(repr(identifier), 80)} occurs twice or lies in another quilt")
        patches[identifier] = patch
    wanted = {part.identifier for part in request.parts}
    if patches.keys() != wanted:
        _bad(answer, f"{len(wanted)} patches of the names sent expected, found {len(patches)}")
    return patches


def _object(answer: Answer, value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _bad(answer, f"{what} is not an object")
    return value


def _text(answer: Answer, value: Any, what: str) -> str:
    if not isinstance(value, str):
        _bad(answer, f"{what} is not a text")
    return value


def _parsed(answer: Answer, parse: Callable[[Any], T], value: Any, what: str) -> T:
    try:
        return parse(value)
    except (CodecError, TypeError, AttributeError):
        _bad(answer, f"{what} is {answer.shown(repr(value), 80)}")


def _epoch(value: Any) -> WalrusEpoch:
    return WalrusEpoch(json_number(value))


def _frost(value: Any) -> Frost:
    return Frost(json_number(value))


def _bad(answer: Answer, why: str) -> NoReturn:
    message = f"{answer.endpoint}: the publisher's answer cannot be used: {why}"
    raise ProtocolError("bad_answer", message, endpoint=answer.endpoint, http_status=answer.status) from None
