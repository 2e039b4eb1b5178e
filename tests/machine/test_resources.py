"""What a process takes of its machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from walrus_sdk.machine import resources
from walrus_sdk.machine.resources import read_resources


@pytest.mark.skipif(sys.platform != "linux", reason="memory is that of /proc")
def test_memory_descriptors_and_room_are_those_of_this_process(tmp_path: Path) -> None:
    before = read_resources(tmp_path)
    held = bytearray(b"x" * 64_000_000)
    with (tmp_path / "one").open("wb"), (tmp_path / "two").open("wb"):
        after = read_resources(tmp_path)
    assert None not in (before.rss_bytes, before.open_files, after.rss_bytes, after.open_files)
    assert after.open_files == (before.open_files or 0) + 2
    assert (after.rss_bytes or 0) - (before.rss_bytes or 0) > len(held) // 2
    assert (after.cpu_s or 0) >= (before.cpu_s or 0) > 0
    assert (after.disk_free_bytes or 0) > 0


def test_what_the_system_does_not_tell_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> int:
        raise OSError("no such file system")

    monkeypatch.setattr(resources, "_resident", gone)
    monkeypatch.setattr(resources, "_descriptors", gone)
    found = read_resources(tmp_path / "missing")
    assert (found.rss_bytes, found.open_files, found.disk_free_bytes) == (None, None, None)
    assert found.cpu_s is not None
