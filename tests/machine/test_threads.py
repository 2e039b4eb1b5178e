"""Worker processes: they compute what the parent would, fail as the parent would, and die alone."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from walrus_sdk.codecs.redstuff import blob_id, encoded_size
from walrus_sdk.errors import StateError, WalrusError
from walrus_sdk.machine import wire, worker
from walrus_sdk.machine.threads import open_threads

pytestmark = pytest.mark.anyio


async def test_a_task_gives_in_a_worker_what_it_gives_here() -> None:
    async with open_threads(computing=1, in_threads=False) as threads:
        assert await threads.compute(encoded_size, 445_557, 1000) == encoded_size(445_557, 1000) == 68_036_000


async def test_a_task_in_a_thread_needs_no_copy_and_gives_the_same() -> None:
    data = bytearray(b"tide" * 1000)
    async with open_threads(in_threads=True) as threads:
        assert await threads.compute(blob_id, data, 10) == blob_id(data, 10)
        with pytest.raises(WalrusError) as there:
            await threads.compute(encoded_size, 10**15, 10)
        assert there.value.code == "file_too_large"
        assert threads._idle == []


async def test_a_cancelled_caller_does_not_wait_for_the_thread() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def task() -> None:
        begun.set()
        go_on.wait()

    async with open_threads(in_threads=True) as threads, anyio.create_task_group() as tasks:
        tasks.start_soon(threads.compute, task)
        await anyio.to_thread.run_sync(begun.wait)
        tasks.cancel_scope.cancel()
    go_on.set()


async def test_an_error_of_the_tree_comes_back_as_itself() -> None:
    async with open_threads(computing=1, in_threads=False) as threads:
        with pytest.raises(WalrusError) as here:
            encoded_size(10**15, 10)
        with pytest.raises(type(here.value)) as there:
            await threads.compute(encoded_size, 10**15, 10)
    assert there.value.code == here.value.code


async def test_a_function_outside_the_codecs_is_refused() -> None:
    with pytest.raises(LookupError):
        worker.find("os:system")
    with pytest.raises(LookupError):
        worker.find("walrus_sdk.codecs.redstuff:blob_id.__globals__")


async def test_a_cancelled_task_leaves_no_worker_behind() -> None:
    async with open_threads(computing=1, in_threads=False) as threads:
        with anyio.move_on_after(0.05) as scope:
            await threads.compute(blob_id, b"x" * 3_000_000, 1000)
        assert scope.cancelled_caught
        assert await threads.compute(encoded_size, 1, 10) == 6940


async def test_a_dead_worker_is_an_error_and_the_next_task_gets_a_new_one() -> None:
    async with open_threads(computing=1, in_threads=False) as threads:
        await threads.compute(encoded_size, 1, 10)
        threads._idle[0]._process.kill()
        with pytest.raises(StateError):
            await threads.compute(encoded_size, 1, 10)
        assert await threads.compute(encoded_size, 1, 10) == 6940


def test_a_script_without_a_main_guard_runs_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import anyio\n"
        "from walrus_sdk.codecs.redstuff import encoded_size\n"
        "from walrus_sdk.machine.threads import open_threads\n"
        "print('started')\n"
        "async def main():\n"
        "    async with open_threads(in_threads=False) as threads:\n"
        "        print(await threads.compute(encoded_size, 1, 10))\n"
        "anyio.run(main)\n"
    )
    out = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["started", "6940"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_every_plain_value_passes_the_wire_unchanged(value: object) -> None:
    stream = io.BytesIO(b"".join(wire.pack(value)))

    def read(size: int) -> bytes:
        data = stream.read(size)
        if len(data) != size:
            raise EOFError
        return data

    assert wire.unpack(read) == value
