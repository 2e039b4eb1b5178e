"""The part of the Move package Walrus that a deployment's cleanup calls. Source: walrus ``contracts/walrus``."""

from __future__ import annotations

from typing import Any

from walrus_sdk.codecs import objects
from walrus_sdk.localnet.chain.machine import Context, Function, Slot, abort

__all__ = ["FUNCTIONS"]


def _delete_blob(ctx: Context, system: Slot, blob: objects.BlobContents) -> tuple[Any, ...]:
    module = f"{ctx.genesis.blob_package}::blob"
    if not blob.deletable:
        abort(module, 1, "delete")
    if not blob.start_epoch <= ctx.walrus_epoch < blob.end_epoch:
        abort(module, 2, "delete")
    ctx.sandbox.delete(blob.id)
    return ((blob.storage_id, blob.start_epoch, blob.end_epoch, blob.storage_size),)


def _burn(ctx: Context, blob: objects.BlobContents) -> tuple[Any, ...]:
    ctx.sandbox.delete(blob.id)
    return ()


FUNCTIONS: dict[str, Function] = {
    "system::delete_blob": Function(("&System", "Blob"), ("Storage",), _delete_blob),
    "blob::burn": Function(("Blob",), (), _burn),
    "storage_resource::destroy": Function(("Storage",), (), lambda ctx, storage: ()),
}
