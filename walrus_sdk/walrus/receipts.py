"""A publisher's 200: strict on what is used, tolerant to what is not known, never believed about ids."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from walrus_sdk.errors import CodecError, ProtocolError, StorageError
from walrus_sdk.http import redact
from walrus_sdk.http.client import Answer
from walrus_sdk.model.plan import StoreKind
from walrus_sdk.model.units import BlobId, Frost, ObjectId, QuiltPatchId, WalrusEpoch, json_number
from walrus_sdk.ports import StoreReceipt, StoreRequest

__all__ = ["read_receipt"]


def read_receipt(answer: Answer, request: StoreRequest, secrets: Iterable[str] = ()) -> StoreReceipt:
    """Read the answer to a store (walrus-service, `BlobStoreResult`, for quilts with `storedQuiltBlobs`).

    Raises `ProtocolError` ``bad_answer``; `StorageError` ``blob_id_mismatch``, ``blob_blocked`` or ``store_failed``
    (the publisher reports failures with status 200 too). `secrets` are hidden in what is quoted of the answer.
    """
    document = _object(answer, answer.json(), "the answer")
    result = document
    if request.kind is StoreKind.QUILT:
        result = _object(answer, document.get("blobStoreResult"), "blobStoreResult")
    _raise_reported(answer, result, secrets)
    try:
        receipt = _created(answer, result) or _known(answer, result)
        if receipt is None:
            _bad(answer, f"one of newlyCreated and alreadyCertified expected, found {sorted(result)!r:.100}")
        _check_id(answer, request, receipt.blob_id)
        if request.kind is StoreKind.BLOB:
            return receipt
        patches = _patches(answer, request, document.get("storedQuiltBlobs"))
    except CodecError as error:
        _bad(answer, redact.text(error.message)[:200], error)
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
        blob_id=BlobId.parse(_text(answer, blob.get("blobId"), "blobId")),
        end_epoch=WalrusEpoch(json_number(storage.get("endEpoch"))),
        cost=Frost(json_number(created.get("cost"))),
        already_certified=False,
        object_id=ObjectId.parse(_text(answer, blob.get("id"), "id")),
        endpoint=answer.endpoint,
    )


def _known(answer: Answer, result: Mapping[str, Any]) -> StoreReceipt | None:
    if "alreadyCertified" not in result:
        return None
    known = _object(answer, result["alreadyCertified"], "alreadyCertified")
    return StoreReceipt(
        blob_id=BlobId.parse(_text(answer, known.get("blobId"), "blobId")),
        end_epoch=WalrusEpoch(json_number(known.get("endEpoch"))),
        cost=Frost(),
        already_certified=True,
        endpoint=answer.endpoint,
    )


def _raise_reported(answer: Answer, result: Mapping[str, Any], secrets: Iterable[str]) -> None:
    if "markedInvalid" in result:
        message = f"{answer.endpoint}: the blob is marked invalid on chain"
        raise StorageError("blob_blocked", message, endpoint=answer.endpoint, reason="markedInvalid")
    if "error" not in result:
        return
    error = _object(answer, result["error"], "error")
    phase, says = (redact.text(str(error.get(name, "")), secrets)[:200] for name in ("failurePhase", "errorMsg"))
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
        patch = QuiltPatchId.parse(_text(answer, row.get("quiltPatchId"), "quiltPatchId"))
        if identifier in patches or patch.quilt != request.blob_id:
            _bad(answer, f"the patch of {identifier!r:.80} occurs twice or lies in another quilt")
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


def _bad(answer: Answer, why: str, cause: Exception | None = None) -> NoReturn:
    message = f"{answer.endpoint}: the publisher's answer cannot be used: {redact.text(why)}"
    raise ProtocolError("bad_answer", message, endpoint=answer.endpoint, http_status=answer.status) from cause
