"""A look at a folder: it differs whenever a scan would find something else, and there is none in doubt."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from walrus_sdk.ports import FolderLook
from walrus_sdk.source.look import look

LONG_AGO = 10**18
NOW = LONG_AGO * 4


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>tides</h1>")
    (folder / "other.html").write_text("<h1>other</h1>")
    (folder / "a" / "b" / "deep.css").write_text("p {}")
    for file in folder.rglob("*.*"):
        os.utime(file, ns=(LONG_AGO, LONG_AGO))
    return folder


@pytest.fixture
def seen(site: Path) -> Iterator[Callable[..., FolderLook | None]]:
    root = os.open(site, os.O_RDONLY)
    yield lambda started_ns=NOW: look(root, started_ns)
    os.close(root)


def test_a_folder_that_did_not_change_looks_the_same(seen: Callable[..., FolderLook | None]) -> None:
    first, second = seen(), seen()
    assert first is not None
    assert first == second
    assert (first.files, first.size, first.settled) == (3, 32, True)


def replace_in_place(site: Path) -> None:
    new = site.parent / "new"
    new.write_text("<h1>waves</h1>")
    os.utime(new, ns=(LONG_AGO, LONG_AGO))
    new.replace(site / "index.html")


def write_in_place(site: Path) -> None:
    (site / "index.html").write_text("<h1>waves</h1>")
    os.utime(site / "index.html", ns=(LONG_AGO, LONG_AGO))  # the change is seen by ctime alone


def swap(site: Path) -> None:
    (site / "index.html").rename(site / "x")
    (site / "other.html").rename(site / "index.html")
    (site / "x").rename(site / "other.html")


CHANGES: dict[str, Callable[[Path], object]] = {
    "written, size and time kept": write_in_place,
    "replaced by another file, size and time kept": replace_in_place,
    "two files swap their names": swap,
    "longer": lambda site: (site / "index.html").write_text("<h1>tides, longer</h1>"),
    "touched": lambda site: (site / "index.html").touch(),
    "mode": lambda site: (site / "index.html").chmod(0),
    "a new file": lambda site: (site / "a" / "new.css").write_text(""),
    "a new empty folder": lambda site: (site / "empty").mkdir(),
    "a new junk file, which is listed": lambda site: (site / ".DS_Store").touch(),
    "one file less": lambda site: (site / "a" / "b" / "deep.css").unlink(),
    "a file moves to another folder": lambda site: (site / "a" / "b" / "deep.css").rename(site / "a" / "deep.css"),
    "a folder is renamed": lambda site: (site / "a").rename(site / "c"),
    "a file becomes a folder": lambda site: ((site / "other.html").unlink(), (site / "other.html").mkdir()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_change_looks_different(
    site: Path, seen: Callable[..., FolderLook | None], change: Callable[[Path], object]
) -> None:
    before = seen()
    change(site)
    after = seen()
    assert before is not None
    assert after is not None
    assert before.digest != after.digest


def test_what_happens_inside_junk_is_not_looked_at(site: Path, seen: Callable[..., FolderLook | None]) -> None:
    (site / ".git").mkdir()
    before = seen()
    (site / ".git" / "index").write_text("x")
    assert seen() == before


def listen(site: Path) -> None:
    with socket.socket(socket.AF_UNIX) as place:
        place.bind(str(site / "socket"))


UNCLEAR: dict[str, Callable[[Path], object]] = {
    "a link to a file": lambda site: (site / "link").symlink_to("index.html"),
    "a link to a folder": lambda site: (site / "a" / "link").symlink_to("b"),
    "a broken link": lambda site: (site / "link").symlink_to("nowhere"),
    "a FIFO": lambda site: os.mkfifo(site / "fifo"),
    "a socket": listen,
}


@pytest.mark.parametrize("change", UNCLEAR.values(), ids=UNCLEAR.keys())
def test_there_is_no_look_where_it_would_not_tell_what_a_scan_finds(
    site: Path, seen: Callable[..., FolderLook | None], change: Callable[[Path], object]
) -> None:
    change(site)
    assert seen() is None


def test_there_is_no_look_where_a_folder_cannot_be_read(
    site: Path, seen: Callable[..., FolderLook | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(place: object) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    assert seen() is None


@pytest.mark.parametrize("younger_s", [0, 1.9])
def test_a_young_file_is_not_settled(site: Path, seen: Callable[..., FolderLook | None], younger_s: float) -> None:
    youngest = (site / "index.html").stat().st_ctime_ns
    found = seen(max(file.stat().st_ctime_ns for file in site.rglob("*")) + int(younger_s * 1e9))
    assert found is not None
    assert not found.settled
    old = seen(youngest + 10**10)
    assert old is not None
    assert old.settled


def test_a_time_in_the_future_is_not_settled(site: Path, seen: Callable[..., FolderLook | None]) -> None:
    os.utime(site / "index.html", ns=(NOW + 10**12, NOW + 10**12))
    found = seen(NOW)
    assert found is not None
    assert not found.settled


def test_a_look_leaves_no_descriptor(site: Path, seen: Callable[..., FolderLook | None]) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    seen()
    (site / "link").symlink_to("index.html")
    seen()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
