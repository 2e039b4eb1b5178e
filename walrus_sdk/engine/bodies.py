"""The bytes of a store: read once to compute its name, read again while they are sent."""

from __future__ import annotations

from walrus_sdk.codecs import tasks
from walrus_sdk.engine.feed import Feed, counted
from walrus_sdk.model.plan import StoreKind, StoreOperation
from walrus_sdk.model.units import BlobId, SuiAddress
from walrus_sdk.ports import Content, Part, StoreRequest, World

__all__ = ["name_of", "request_of"]


async def name_of(world: World, operation: StoreOperation, n_shards: int) -> BlobId:
    """Return the blob id of an operation: its files are read and encoded, off the event loop.

    Takes as much memory as the operation's content. Raises `ValidationError` ``file_changed``.
    """
    contents = [await _whole(content) for content in world.folder.contents(operation.pieces)]
    if operation.kind is StoreKind.BLOB:
        return BlobId(await world.threads.compute(tasks.blob_name, contents[0], n_shards))
    names = [piece.identifier for piece in operation.pieces]
    raw, _ = await world.threads.compute(tasks.quilt_name, names, contents, n_shards)
    return BlobId(raw)


async def _whole(content: Content) -> bytes | bytearray:
    data: bytes | bytearray = b""
    async for chunk in content:
        if not data:
            data = chunk
        else:
            data = bytearray(data) if isinstance(data, bytes) else data
            data += chunk  # grown, not joined: a large file is held once
    return data


def request_of(
    world: World,
    operation: StoreOperation,
    blob_id: BlobId,
    *,
    epochs: int,
    owner: SuiAddress,
    deletable: bool,
    feed: Feed,
) -> StoreRequest:
    """Return the request that stores an operation; its bytes count as sent while they are read."""
    contents = world.folder.contents(operation.pieces)
    parts = tuple(
        Part(piece.identifier, piece.size, piece.sha256, counted(content, feed, operation.key), verified=True)
        for piece, content in zip(operation.pieces, contents, strict=True)
    )
    return StoreRequest(operation.kind, blob_id, parts, epochs, owner, deletable)
