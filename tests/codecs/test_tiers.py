"""The compiled tier: the same bytes as the pure one for every kernel, and nothing worse than an exception."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from walrus_sdk.codecs import redstuff, tiers

NATIVE = tiers.compiled()
KERNELS = NATIVE.kernels() if NATIVE else []
needs_native = pytest.mark.skipif(NATIVE is None, reason="no compiled tier was built")

PIECES = st.one_of(st.binary(max_size=400), st.integers(0, 3000).map(bytes))
CONTENT = st.lists(PIECES, max_size=6).map(b"".join)


def agree(data: bytes, n_shards: int, threads: int) -> None:
    expected = redstuff.metadata(data, n_shards, tier=tiers.PURE)
    for kernel in KERNELS:
        assert redstuff.metadata(data, n_shards, threads=threads, tier=kernel) == expected, (
            kernel,
            n_shards,
            len(data),
        )


@needs_native
@settings(max_examples=150, deadline=None)
@given(data=CONTENT, n_shards=st.integers(1, 70), threads=st.integers(0, 4))
@example(data=b"", n_shards=1, threads=1)
@example(data=bytes(5000), n_shards=10, threads=3)
def test_every_kernel_gives_the_roots_of_the_pure_tier(data: bytes, n_shards: int, threads: int) -> None:
    agree(data, n_shards, threads)


@needs_native
@pytest.mark.parametrize("size", [30, 32, 34, 62, 64, 66, 94, 126, 128, 130, 190, 254, 256, 384])
def test_symbols_round_the_blocks_of_code_and_hash(size: int) -> None:
    data = random.Random(size).randbytes(redstuff.geometry(19).symbols * size)
    assert redstuff.symbol_size(len(data), 19) == size
    agree(data, 19, 2)


@needs_native
@pytest.mark.parametrize("n_shards", [511, 512, 513, 1000])
@pytest.mark.parametrize("rows", [0.01, 1.5, 1000])
def test_many_shards_use_the_table_of_leaves_and_leave_zeros_out(n_shards: int, rows: float) -> None:
    shape = redstuff.geometry(n_shards)
    length = min(int(rows * shape.columns * 2), shape.symbols * 2)
    agree((b"tide" * (length // 4 + 1))[:length], n_shards, 3)


@needs_native
def test_columns_without_content_between_others_are_found() -> None:
    shape, symbol = redstuff.geometry(100), 4
    row = b"\1\2\3\4" * 8 + bytes(24 * symbol)
    line = (row * shape.columns)[: shape.columns * symbol]
    agree(line * shape.rows, 100, 1)


@needs_native
def test_the_interpreter_is_free_while_roots_are_computed() -> None:
    assert NATIVE is not None
    data, done, before = bytes(range(256)) * 40_000, [], sys.getswitchinterval()
    worker = threading.Thread(target=lambda: done.append(NATIVE.roots(data, 1000, 1)))
    try:
        sys.setswitchinterval(1000)  # nobody is asked to let go of the interpreter
        worker.start()
        seen = list(done)
    finally:
        sys.setswitchinterval(before)
        worker.join()
    assert seen == []
    assert len(done) == 1


@needs_native
@pytest.mark.parametrize(
    ("n_shards", "threads", "kernel"),
    [
        (0, 1, None),
        (-1, 1, None),
        (65_536, 1, None),
        (65_535, 1, None),
        (10, -1, None),
        (10, 65, None),
        (10, 1, "abacus"),
    ],
)
def test_arguments_that_cannot_be_are_refused(n_shards: int, threads: int, kernel: str | None) -> None:
    assert NATIVE is not None
    with pytest.raises(ValueError, match=r"no code|no kernel"):
        NATIVE.roots(b"tide", n_shards, threads, kernel)  # type: ignore[arg-type]


@needs_native
def test_bytes_that_do_not_lie_in_one_piece_and_too_many_of_them_are_refused() -> None:
    assert NATIVE is not None
    with pytest.raises(BufferError):
        NATIVE.roots(memoryview(b"tides")[::2], 10, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no code"):
        NATIVE.roots(bytes(redstuff.max_blob_size(4) + 1), 4, 1)  # type: ignore[arg-type]


@needs_native
@pytest.mark.processes
def test_memory_that_is_not_there_is_an_exception() -> None:
    script = (
        "import resource; from walrus_sdk.codecs import _redstuff\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "try:\n    _redstuff.roots(b'tide', 40000, 1)\n"
        "except MemoryError:\n    print('told')\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "told\n"


@contextmanager
def without_native(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "walrus_sdk.codecs._redstuff", None)
    monkeypatch.delattr("walrus_sdk.codecs._redstuff", raising=False)
    tiers.compiled.cache_clear()
    try:
        yield
    finally:
        tiers.compiled.cache_clear()


def test_without_the_compiled_tier_ids_are_the_same_and_the_log_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = redstuff.blob_id(b"tide", 10)
    with without_native(monkeypatch), caplog.at_level(logging.INFO):
        assert [redstuff.blob_id(b"tide", 10) for _ in range(3)] == [expected] * 3
        assert tiers.available() == [tiers.PURE]
        with pytest.raises(ValueError, match="expected a tier"):
            redstuff.blob_id(b"tide", 10, tier="avx2")
    assert len([record for record in caplog.records if "pure tier" in record.message]) == 1


@pytest.mark.slow
def test_ids_slivers_and_metadata_are_those_of_pysui_fastcrypto(content: Callable[[Any], bytes]) -> None:
    other = pytest.importorskip(
        "pysui_fastcrypto", reason="pysui-fastcrypto is not installed (pip install pysui-fastcrypto)"
    )
    pattern = "byte i = (i*31+7+(i//256)*17+(i//65536)*29) % 256"
    for n_shards, length in ((4, 0), (7, 5000), (10, 1), (100, 70_000), (1000, 1000), (1000, 1_000_000)):
        data = content({"length": length, "pattern": pattern})
        theirs = other.redstuff_encode(data, n_shards)
        for tier in tiers.available():
            ours = redstuff.metadata(data, n_shards, tier=tier)
            assert (ours.blob_id.raw, ours.root_hash) == (theirs.blob_id, theirs.root_hash), (tier, n_shards, length)
            assert ours.to_bcs()[32:] == theirs.metadata_bcs  # theirs is without the id
