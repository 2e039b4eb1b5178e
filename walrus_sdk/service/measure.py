"""Measuring a publisher: real stores of fresh bytes, so many at once, each timed. Nothing is retried or journalled."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import anyio

from walrus_sdk.engine.bodies import name_of, request_of
from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import ConfigurationError, WalrusError
from walrus_sdk.model.measures import STORED, Shot
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.plan import Cost, Piece, StoreOperation
from walrus_sdk.model.units import Frost
from walrus_sdk.planning import build, cost, packing
from walrus_sdk.ports import StoreRequest
from walrus_sdk.service.connection import Connection
from walrus_sdk.service.nowhere import NoFolder

__all__ = ["measure"]

_CHUNK = 1024 * 1024


async def measure(
    connection: Connection, options: DeployOptions, sizes: Sequence[int], concurrency: Sequence[int], count: int
) -> tuple[Shot, ...]:
    """Store `count` fresh blobs for each size (bytes) and each number of stores at once, one round after the other.

    Of the options, `epochs` (Walrus epochs, 1 if not given), `deletable`, `max_cost` and `recovery` count. Blob ids
    are computed before the clock runs; a round holds its blobs in memory (count times size).

    Raises `LimitError` ``cost_limit`` before anything is stored, `ConfigurationError` ``option_invalid``.
    """
    if not sizes or not concurrency or min(*sizes, *concurrency, count) < 1:
        text = "expected sizes, concurrency and count from 1"
        raise ConfigurationError("option_invalid", text, option="sizes, concurrency, count")
    state, epochs = await connection.chain.state(), options.epochs or 1
    seed = str(connection.ids.deployment_id())
    limits = build.limits(connection.network, options, state.n_shards)
    rounds: list[tuple[int, list[StoreOperation]]] = []
    for at_once in concurrency:
        for size in sizes:
            pieces = [_piece(f"{seed} {len(rounds)} {number}", size) for number in range(count)]  # no two alike
            packed = [packing.pack([piece], state.n_shards, epochs, state.prices, limits) for piece in pieces]
            rounds.append((at_once, [operation for (operation,) in packed]))
    whole = sum((operation.cost for _, operations in rounds for operation in operations), Frost())
    cost.check_cost(Cost(frost=whole), options.max_cost)
    found: list[Shot] = []
    for at_once, operations in rounds:
        found += await _round(connection, options, operations, at_once, state.n_shards, epochs)
    return tuple(found)


def _bytes(name: str, size: int) -> bytes:
    return hashlib.shake_128(name.encode()).digest(size)


def _piece(name: str, size: int) -> Piece:
    return Piece(name, name, size, hashlib.sha256(_bytes(name, size)).digest())


class _Made(NoFolder):
    """A folder whose files are made of their names."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._made = contents

    def content(self, source: str, size: int, sha256: bytes) -> _Chunks:
        """Return a file's bytes."""
        return _Chunks(self._made[source])

    def contents(self, pieces: Sequence[Piece]) -> Sequence[_Chunks]:
        """Return the bytes of files."""
        return [_Chunks(self._made[piece.source]) for piece in pieces]


@dataclass(frozen=True, slots=True)
class _Chunks:
    data: bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.data), _CHUNK):
            yield self.data[start : start + _CHUNK]


async def _round(
    connection: Connection,
    options: DeployOptions,
    operations: Sequence[StoreOperation],
    at_once: int,
    n_shards: int,
    epochs: int,
) -> list[Shot]:
    """Store a round's blobs, `at_once` at a time."""
    pieces = [operation.pieces[0] for operation in operations]
    contents = {piece.source: _bytes(piece.source, piece.size) for piece in pieces}
    world = connection.world(_Made(contents), options)
    owner, feed = world.signer.address, Feed()
    waiting: list[StoreRequest] = []
    for operation in operations:
        name = await name_of(world, operation, n_shards)
        made = request_of(world, operation, name, epochs=epochs, owner=owner, deletable=options.deletable, feed=feed)
        waiting.append(made)
    found: list[Shot] = []
    began = anyio.current_time()

    async def worker() -> None:
        while waiting:
            request = waiting.pop()
            started, paid, endpoint, outcome = anyio.current_time(), Frost(), "", STORED
            try:
                receipt = await world.store.store(request, _release)
                paid, endpoint = receipt.cost, receipt.endpoint
            except WalrusError as error:
                outcome = error.code
            seconds = anyio.current_time() - started
            size = request.parts[0].size
            found.append(Shot(size, at_once, started - began, seconds, outcome, paid, endpoint))

    async with anyio.create_task_group() as tasks:
        for _ in range(min(at_once, len(operations))):
            tasks.start_soon(worker)
    return sorted(found, key=lambda shot: shot.started_s)


async def _release() -> None:
    """Nothing is written down: a measurement is never gone on with."""
