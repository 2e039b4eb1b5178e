"""Power cuts (fault D3): nothing acknowledged is lost, and the harness goes red when less is synced."""

from __future__ import annotations

import random

import pytest

from tests.torture.images import Op, _Disk, record, run


def test_no_image_after_a_power_cut_is_damaged_or_lacks_an_acknowledged_commit() -> None:
    figures = run(400, seed=1)
    assert (figures.images, figures.corrupt, figures.lost) == (400, 0, 0)


@pytest.mark.slow
def test_no_image_of_many_is_damaged_or_lacks_an_acknowledged_commit() -> None:
    figures = run(10_000, seed=2)
    assert (figures.images, figures.corrupt, figures.lost) == (10_000, 0, 0)


def test_a_log_that_is_not_synced_at_each_commit_is_caught_losing_some() -> None:
    figures = run(400, seed=1, synchronous="normal")
    assert figures.corrupt == 0
    assert figures.lost > 20


def test_a_journal_that_is_never_synced_is_caught() -> None:
    figures = run(400, seed=1, synchronous="off")
    assert figures.corrupt > 20
    assert figures.lost > 20


def test_the_same_seed_gives_the_same_figures() -> None:
    one, two = run(200, seed=3, synchronous="normal"), run(200, seed=3, synchronous="normal")
    assert (one.images, one.corrupt, one.lost) == (two.images, two.corrupt, two.lost)


def test_the_record_holds_what_happened_to_each_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    made = record(tmp_path_factory.mktemp("record"), seed=1)
    seen = {(op.kind, op.suffix) for op in made.ops}
    assert {("write", ""), ("write", "-wal"), ("sync", ""), ("sync", "-wal"), ("delete", "-wal")} <= seen
    assert len(made.acknowledged) == len(made.contents)


def test_what_was_synced_is_certain_and_the_rest_is_not() -> None:
    disk = _Disk()
    disk.add(Op("write", "", 0, b"a" * 512))
    disk.add(Op("sync", ""))
    disk.add(Op("write", "", 0, b"b" * 512))
    found = {disk.image(random.Random(seed)).get("", b"")[:1] for seed in range(50)}
    assert {b"a", b"b"} <= found
    assert all(len(disk.image(random.Random(seed))[""]) == 512 for seed in range(50))
