"""Work off the event loop (port `Threads`).

Worker threads for blocking I/O, and for the compiled tier of blob ids, which leaves the interpreter free; worker
processes for the pure tier, which does not.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import IO, Any, TypeVar

import anyio
import anyio.to_thread

from walrus_sdk import errors
from walrus_sdk.codecs import tiers
from walrus_sdk.errors import WalrusError
from walrus_sdk.machine import wire, worker

__all__ = ["SystemThreads", "open_threads"]

T = TypeVar("T")


class SystemThreads:
    """Threads and worker processes of one session; made by `open_threads`.

    Two limits: `io_threads` for blocking I/O (default 8: the journal and the event loop's own resolver have
    others), and `computing` for tasks that compute (default 2: an encoder of a 1000-shard blob keeps a core or more
    busy and holds about 1.5 times the blob plus 40 MB). They run in threads when `in_threads` (default: the compiled
    tier is there), else in processes, which start when first needed and are kept.
    """

    def __init__(self, *, io_threads: int = 8, computing: int = 2, in_threads: bool | None = None) -> None:
        self._io = anyio.CapacityLimiter(io_threads)
        self._compute = anyio.CapacityLimiter(computing)
        self._in_threads = tiers.compiled() is not None if in_threads is None else in_threads
        self._idle: list[_Worker] = []

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run blocking I/O in a worker thread; a cancelled caller waits for it to end."""
        return await anyio.to_thread.run_sync(function, *args, limiter=self._io)

    async def compute(self, function: Callable[..., T], *args: Any) -> T:
        """Run a pure function of `codecs` in a worker thread or process.

        Arguments and result are what `wire` passes. Errors of the tree come back as themselves. A caller that is
        cancelled does not wait: a worker process is killed, as it holds nothing but the task; a thread cannot be, and
        its task goes on to its end unheard. Raises `StateError` ``internal`` when a worker process dies.
        """
        async with self._compute:
            if self._in_threads:
                return await anyio.to_thread.run_sync(function, *args, abandon_on_cancel=True)
            process = await self._worker()
            try:
                answer = await anyio.to_thread.run_sync(
                    process.call, f"{function.__module__}:{function.__qualname__}", args, abandon_on_cancel=True
                )
            except BaseException:
                process.kill()
                raise
            self._idle.append(process)
        return _result(answer)  # type: ignore[no-any-return]  # the wire carries plain values

    async def _worker(self) -> _Worker:
        if self._idle:
            return self._idle.pop()
        found: list[_Worker] = []
        with anyio.CancelScope(shield=True):  # a process that was just started must not be lost to a cancellation
            found.append(await anyio.to_thread.run_sync(_Worker))
        return found[0]

    @property
    def encoder(self) -> str:
        """What computes blob ids here, for people."""
        if not self._in_threads:
            return "pure Python, in worker processes; a build with a C compiler is 10 to 20 times as fast"
        return f"compiled ({tiers.available()[0]}), in threads"

    def close(self) -> None:
        """End the worker processes."""
        while self._idle:
            self._idle.pop().kill()


@asynccontextmanager
async def open_threads(
    *, io_threads: int = 8, computing: int = 2, in_threads: bool | None = None
) -> AsyncIterator[SystemThreads]:
    """Give threads and workers for the length of a block; see `SystemThreads`."""
    threads = SystemThreads(io_threads=io_threads, computing=computing, in_threads=in_threads)
    try:
        yield threads
    finally:
        threads.close()


def _result(answer: dict[str, Any]) -> Any:
    if "done" in answer:
        return answer["done"]
    if "memory" in answer:
        raise MemoryError(f"not enough memory for {answer['memory']}")
    name, code, message, fields = answer["error"]
    cls: type[WalrusError] = getattr(errors, name)
    raise cls(code, message, **fields)


class _Worker:
    """One child process and the two ends of its pipes."""

    def __init__(self) -> None:
        # The search path is handed over, so that the worker finds the same package whatever its current folder is.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *[p for p in sys.path if p]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=1 << 20,
            start_new_session=True,  # a Ctrl-C in the terminal is ours to handle, not the worker's
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin: IO[bytes] = self._process.stdin
        self._stdout: IO[bytes] = self._process.stdout

    def call(self, name: str, args: tuple[Any, ...]) -> Any:
        try:
            for buffer in wire.pack([name, list(args)]):
                self._stdin.write(buffer)
            self._stdin.flush()
            return wire.unpack(self._read)
        except (OSError, EOFError) as error:
            raise errors.StateError("internal", f"a worker process died while it ran {name}") from error

    def _read(self, size: int) -> bytes:
        data = self._stdout.read(size)
        if len(data) != size:
            raise EOFError
        return data

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._stdin, self._stdout):
            try:
                stream.close()
            except OSError:
                continue  # unsent bytes of the task that was given up


_START = (
    f"import sys; sys.path[:] = sys.argv[1:]; sys.argv[1:] = []; "
    f"from {worker.__name__} import serve; serve(sys.stdin.buffer, sys.stdout.buffer)"
)
