"""The folder: everything in it is published, refused or listed, and nothing changes under us."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from walrus_sdk.errors import ValidationError
from walrus_sdk.machine.clock import SystemClock
from walrus_sdk.model.plan import FileStat, Piece, Snapshot
from walrus_sdk.ports import Content, ScanProgress, ScanRules
from walrus_sdk.sites.paths import site_path
from walrus_sdk.source import content as content_module
from walrus_sdk.source.folder import SiteFolder
from walrus_sdk.source.small import Together
from walrus_sdk.source.stat_cache import StatCache

pytestmark = pytest.mark.anyio


class Inline:
    """Threads that run at once, and a list of what was run."""

    def __init__(self) -> None:
        self.before: Callable[[], None] = lambda: None

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        self.before()
        return function(*args)

    compute = run


RULES = ScanRules(ignore=lambda path: path.startswith("/private/"), site_path=site_path)


@pytest.fixture
def threads() -> Inline:
    return Inline()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>tides</h1>")
    (folder / "a" / "b" / "deep.css").write_text("p {}")
    return folder


@pytest.fixture
def opened(threads: Inline) -> Iterator[Callable[..., SiteFolder]]:
    folders: list[SiteFolder] = []

    def open_folder(place: Path, cache: StatCache | None = None) -> SiteFolder:
        folders.append(SiteFolder(place, threads, SystemClock(), cache))
        return folders[-1]

    yield open_folder
    for folder in folders:
        folder.close()


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def scan(folder: SiteFolder, rules: ScanRules = RULES) -> Snapshot:
    return await folder.scan(rules, lambda progress: None)


async def refused(folder: SiteFolder, rules: ScanRules = RULES) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        await scan(folder, rules)
    return caught.value


async def test_files_are_found_hashed_and_sorted(site: Path, opened: Callable[..., SiteFolder]) -> None:
    seen: list[ScanProgress] = []
    snapshot = await opened(site).scan(RULES, seen.append)
    assert [(f.path, f.source, f.size) for f in snapshot.files] == [
        ("/a/b/deep.css", "a/b/deep.css", 4),
        ("/index.html", "index.html", 14),
    ]
    assert snapshot.files[1].sha256 == hashlib.sha256(b"<h1>tides</h1>").digest()
    assert seen[-1] == ScanProgress(2, 2, 18)


async def test_junk_and_ignored_files_are_listed_dotfiles_are_published(
    site: Path, opened: Callable[..., SiteFolder]
) -> None:
    for name in (
        ".git/config",
        ".DS_Store",
        "x.swp.d/ok.txt",
        ".page.html.swp",
        "old.txt~",
        "private/x",
        ".well-known/y",
    ):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text("x")
    snapshot = await scan(opened(site))
    assert dict(snapshot.ignored) == {
        ".git": "junk",
        ".DS_Store": "junk",
        ".page.html.swp": "junk",
        "old.txt~": "junk",
        "private/x": "ignore rule",
    }
    assert {"/.well-known/y", "/x.swp.d/ok.txt"} <= {f.path for f in snapshot.files}


async def test_a_missing_folder_and_an_empty_one_are_refused(tmp_path: Path, opened: Callable[..., SiteFolder]) -> None:
    with pytest.raises(ValidationError) as caught:
        opened(tmp_path / "nowhere")
    assert caught.value.code == "folder_missing"
    (tmp_path / "empty").mkdir()
    assert (await refused(opened(tmp_path / "empty"))).code == "folder_empty"


async def test_f2_links_inside_are_followed_and_served_at_both_places(
    site: Path, opened: Callable[..., SiteFolder]
) -> None:
    (site / "copy.css").symlink_to("a/b/deep.css")
    (site / "absolute.css").symlink_to(site / "a" / "b" / "deep.css")
    (site / "alias").symlink_to("a")
    (site / "hard.html").hardlink_to(site / "index.html")
    (site / "twice.css").symlink_to("alias/b/deep.css")
    paths = {f.path: f.sha256 for f in (await scan(opened(site))).files}
    assert (
        len({paths[p] for p in ("/a/b/deep.css", "/copy.css", "/absolute.css", "/alias/b/deep.css", "/twice.css")}) == 1
    )
    assert paths["/hard.html"] == paths["/index.html"]


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("../outside.txt", "link_outside"),
        ("/etc/hostname", "link_outside"),
        ("a/../../outside.txt", "link_outside"),
        ("nowhere", "link_broken"),
        ("loop", "link_broken"),
    ],
)
async def test_f2_links_that_leave_break_or_turn_are_refused(
    site: Path, opened: Callable[..., SiteFolder], target: str, code: str
) -> None:
    (site.parent / "outside.txt").write_text("secret")
    (site / "loop").symlink_to(target)
    error = await refused(opened(site))
    assert (error.code, error.fields["path"]) == (code, "loop")


@pytest.mark.parametrize("target", ["..", "../..", ".", "../../a"])
async def test_f2_folder_links_in_a_circle_are_refused(
    site: Path, opened: Callable[..., SiteFolder], target: str
) -> None:
    (site / "a" / "b" / "up").symlink_to(target)
    assert (await refused(opened(site))).code in {"link_broken", "link_outside"}


@pytest.mark.parametrize("bad", [b"new\nline.html", "rtl\u202egnp.exe".encode(), b"esc\x1b[2J.html", b"\xff\xfe.html"])
async def test_f3_a_bad_name_is_refused_and_shown_escaped(
    site: Path, opened: Callable[..., SiteFolder], bad: bytes
) -> None:
    (site / os.fsdecode(bad)).write_text("x")
    error = await refused(opened(site))
    assert error.code == "path_invalid"
    assert error.message.isprintable()


async def test_f4_names_that_differ_in_unicode_form_are_refused_in_case_warned(
    site: Path, opened: Callable[..., SiteFolder]
) -> None:
    (site / "A.css").write_text("x")
    (site / "a.css").write_text("y")
    assert any("case only" in warning for warning in (await scan(opened(site))).warnings)
    (site / "caf\u00e9.html").write_text("x")
    (site / "cafe\u0301.html").write_text("x")
    assert (await refused(opened(site))).code == "path_conflict"


def bind_inside(server: socket.socket, folder: Path) -> None:
    here = Path.cwd()
    os.chdir(folder)  # socket addresses are short
    try:
        server.bind("sock")
    finally:
        os.chdir(here)


async def test_f5_special_files_are_refused_without_being_opened(site: Path, opened: Callable[..., SiteFolder]) -> None:
    os.mkfifo(site / "pipe")
    assert (await refused(opened(site))).code == "special_file"
    (site / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        bind_inside(server, site)
        assert "a socket" in (await refused(opened(site))).message


async def test_f6_what_cannot_be_read_is_an_error_with_the_list(
    site: Path, opened: Callable[..., SiteFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    real_listdir = os.listdir

    def listdir(folder: Any) -> list[str]:
        if os.fstat(folder).st_ino == (site / "a").stat().st_ino:
            raise PermissionError(13, "Permission denied")
        return real_listdir(folder)

    monkeypatch.setattr(os, "listdir", listdir)
    error = await refused(opened(site))
    assert (error.code, error.fields["paths"]) == ("file_unreadable", ["a (Permission denied)"])


async def test_f7_a_deep_tree_is_walked_without_recursion(site: Path, opened: Callable[..., SiteFolder]) -> None:
    deep = site.joinpath(*["d"] * 200)
    deep.mkdir(parents=True)
    (deep / "x.txt").write_text("x")
    assert len((await scan(opened(site))).files) == 3


async def test_f1_a_file_that_changes_between_walk_and_hash_stops_the_scan(
    site: Path, opened: Callable[..., SiteFolder], threads: Inline
) -> None:
    folder = opened(site)
    calls = iter(range(10))

    def grow() -> None:
        if next(calls) == 1:
            (site / "index.html").write_text("<h1>other</h1> and longer")
            (site / "a" / "b" / "deep.css").write_text("longer than before")

    threads.before = grow
    assert (await refused(folder)).code == "file_changed"


@pytest.mark.parametrize("at", range(1, 6))
@pytest.mark.parametrize("how", ["grow", "shrink", "edit", "replace"])
async def test_f1_what_is_sent_is_what_was_hashed_or_the_last_chunk_never_leaves(
    site: Path,
    opened: Callable[..., SiteFolder],
    threads: Inline,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    how: str,
) -> None:
    monkeypatch.setattr(content_module, "CHUNK", 100)
    place, data = site / "big.bin", bytes(range(250)) * 2
    place.write_bytes(data)
    folder = opened(site)
    snapshot = await scan(folder)
    file = next(f for f in snapshot.files if f.path == "/big.bin")
    calls = iter(range(1, 100))

    def mutate() -> None:
        if next(calls) != at:
            return
        if how == "grow":
            place.write_bytes(data + b"x")
        elif how == "shrink":
            place.write_bytes(data[:-1])
        elif how == "edit":
            place.write_bytes(b"\xff" * len(data))
        else:
            other = site / "other"
            other.write_bytes(b"\xee" * len(data))
            other.rename(place)

    threads.before = mutate
    reading = content_module.FileContent(folder._root, file.source, file.size, file.sha256, threads, 100)
    got, error = b"", None
    try:
        async for chunk in reading:
            got += chunk
    except ValidationError as caught:
        error = caught
    assert got == data if error is None else (error.code == "file_changed" and len(got) < len(data))


async def test_content_can_be_read_again_and_an_empty_file_is_empty(
    site: Path, opened: Callable[..., SiteFolder]
) -> None:
    (site / "empty").write_bytes(b"")
    folder = opened(site)
    snapshot = await scan(folder)
    for file in snapshot.files:
        body = folder.content(file.source, file.size, file.sha256)
        for _ in range(2):
            assert b"".join([chunk async for chunk in body]) == (site / file.source).read_bytes()


# ── the files of one store ────────────────────────────────────────────────────────────────────────────────────────


async def pieces_of(folder: SiteFolder, names: list[str]) -> list[Piece]:
    files = {file.source: file for file in (await scan(folder)).files}
    return [Piece("/" + name, name, files[name].size, files[name].sha256) for name in names]


async def whole(content: Content) -> bytes:
    return b"".join([chunk async for chunk in content])


async def test_small_files_of_a_store_are_read_together_and_large_ones_by_chunks(
    site: Path, opened: Callable[..., SiteFolder], threads: Inline
) -> None:
    sizes = {f"{n:02}": n * 1000 for n in range(40)} | {"15-large": 2_500_000}
    for name, size in sizes.items():
        (site / name).write_bytes((name.encode() * size)[:size])
    folder, hops = opened(site), []
    names = sorted(sizes)
    pieces = await pieces_of(folder, names)
    threads.before = lambda: hops.append(1)
    contents = folder.contents(pieces)
    for _ in range(2):  # a store that is tried again begins anew
        hops.clear()
        assert [await whole(content) for content in contents] == [(site / name).read_bytes() for name in names]
        assert len(hops) == 1 + 3, "one for the small ones (780 kB), three for the large one"


async def test_no_more_than_a_mebibyte_of_small_files_is_held(
    site: Path, opened: Callable[..., SiteFolder], threads: Inline
) -> None:
    for n in range(50):
        (site / f"{n:02}").write_bytes(bytes([n]) * 60_000)
    folder, hops = opened(site), []
    contents = folder.contents(await pieces_of(folder, [f"{n:02}" for n in range(50)]))
    threads.before = lambda: hops.append(1)
    for n, content in enumerate(contents):
        assert await whole(content) == bytes([n]) * 60_000
    assert len(hops) == 3, "17 files a MiB"


@pytest.mark.parametrize("how", ["grow", "shrink", "edit", "remove"])
async def test_f1_a_small_file_that_changed_is_an_error_of_its_own_content_and_gives_nothing(
    site: Path, opened: Callable[..., SiteFolder], how: str
) -> None:
    names = ["1", "2", "3"]
    for name in names:
        (site / name).write_bytes(name.encode() * 100)
    folder = opened(site)
    first, second, third = folder.contents(await pieces_of(folder, names))
    changes: dict[str, Callable[[], object]] = {
        "grow": lambda: (site / "2").write_bytes(b"2" * 101),
        "shrink": lambda: (site / "2").write_bytes(b"2" * 99),
        "edit": lambda: (site / "2").write_bytes(b"x" * 100),
        "remove": lambda: (site / "2").unlink(),
    }
    changes[how]()
    assert await whole(first) == b"1" * 100
    with pytest.raises(ValidationError) as caught:
        await anext(aiter(second))
    assert caught.value.code == ("file_unreadable" if how == "remove" else "file_changed")
    assert await whole(third) == b"3" * 100


async def test_a_reading_that_is_given_up_leaves_no_descriptor(site: Path, opened: Callable[..., SiteFolder]) -> None:
    (site / "big").write_bytes(b"x" * 3_000_000)
    folder = opened(site)
    file = next(f for f in (await scan(folder)).files if f.path == "/big")
    before = open_descriptors()
    reading = aiter(folder.content(file.source, file.size, file.sha256))
    await anext(reading)
    await reading.aclose()  # type: ignore[attr-defined]
    assert open_descriptors() == before


async def test_unchanged_files_are_not_hashed_again_and_young_ones_are(
    site: Path, opened: Callable[..., SiteFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in (site / "index.html", site / "a" / "b" / "deep.css"):
        os.utime(file, ns=(10**18, 10**18))
    hashed: list[str] = []
    real = content_module.hash_file

    def spy(root: int, name: str, stat: FileStat) -> Any:
        hashed.append(name)
        return real(root, name, stat)

    monkeypatch.setattr("walrus_sdk.source.folder.hash_file", spy)
    first = opened(site)
    monkeypatch.setattr(first, "_clock", Later())
    await scan(first)
    assert len(hashed) == 2
    second = opened(site, StatCache.load(first.cache.dump()))
    monkeypatch.setattr(second, "_clock", Later())
    one = await scan(second)
    assert len(hashed) == 2
    (site / "index.html").write_text("<h1>tidal</h1>")
    third = opened(site, StatCache.load(second.cache.dump()))
    two = await scan(third)
    assert hashed[2:] == ["index.html"]
    assert one.files[1].sha256 != two.files[1].sha256


class Later(SystemClock):
    """An hour later: nothing is young."""

    def wall_ms(self) -> int:
        return super().wall_ms() + 3_600_000


async def test_the_first_scan_of_fresh_files_caches_nothing(site: Path, opened: Callable[..., SiteFolder]) -> None:
    folder = opened(site)
    await scan(folder)
    assert StatCache.load(folder.cache.dump()).get((await scan(folder)).files[0].stat) is None


async def test_a_cache_with_a_flipped_bit_is_an_empty_one(
    site: Path, opened: Callable[..., SiteFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = opened(site)
    monkeypatch.setattr(folder, "_clock", Later())
    stats = [file.stat for file in (await scan(folder)).files]
    kept = folder.cache.dump()
    assert all(StatCache.load(kept).get(stat) for stat in stats)
    for place in (20, 60, len(kept) - 1):
        flipped = kept[:place] + bytes([kept[place] ^ 4]) + kept[place + 1 :]
        assert not any(StatCache.load(flipped).get(stat) for stat in stats)


async def test_what_is_gone_is_forgotten(
    site: Path, opened: Callable[..., SiteFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = opened(site)
    monkeypatch.setattr(folder, "_clock", Later())
    gone = next(file.stat for file in (await scan(folder)).files if file.path == "/index.html")
    (site / "index.html").unlink()
    await scan(folder)
    assert StatCache.load(folder.cache.dump()).get(gone) is None


async def test_a_secret_that_was_allowed_is_found_when_it_is_not_any_more(
    site: Path, opened: Callable[..., SiteFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "token.txt").write_text("ghp_" + "a1B2" * 9)
    folder = opened(site)
    monkeypatch.setattr(folder, "_clock", Later())
    await scan(folder, replace(RULES, allow_files=frozenset({"token.txt"})))
    assert (await refused(folder)).code == "secret_found"


async def test_the_cache_is_read_when_it_is_needed_and_kept_after_each_scan_that_learnt_something(
    site: Path, threads: Inline
) -> None:
    kept: list[bytes] = []
    asked: list[bytes | None] = []

    async def remember(value: bytes | None) -> bytes | None:
        asked.append(value)
        if value is not None:
            kept.append(value)
        return kept[-1] if kept else None

    for _ in range(2):
        folder = SiteFolder(site, threads, Later(), remember=remember)
        assert await folder.look() is not None
        await scan(folder)
        await folder.save()
        folder.close()
    assert [value is None for value in asked] == [True, False, True]


async def test_a_scan_that_is_cancelled_keeps_the_hashes_that_it_made(
    site: Path, threads: Inline, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[bytes] = []

    async def remember(value: bytes | None) -> bytes | None:
        kept.extend([value] if value is not None else [])
        return None

    def cancel(progress: ScanProgress) -> None:
        if progress.hashed:
            scope.cancel()

    monkeypatch.setattr("walrus_sdk.source.folder._BATCH_FILES", 1)
    monkeypatch.setattr("walrus_sdk.source.folder._HASHERS", 1)
    folder = SiteFolder(site, threads, Later(), remember=remember)
    with anyio.CancelScope() as scope:
        await folder.scan(RULES, cancel)
    folder.close()
    assert scope.cancelled_caught
    assert len(StatCache.load(kept[-1])._old) == 1


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b'{"format": 1, "files": {"a": "zz"}}', b'{"format": 9}'])
def test_a_damaged_cache_is_an_empty_one(damaged: bytes) -> None:
    assert StatCache.load(damaged).get(FileStat(1, 1, 1, 1, 1)) is None


async def test_a_small_file_is_read_whole_and_a_large_one_refused(
    site: Path, opened: Callable[..., SiteFolder]
) -> None:
    folder = opened(site)
    assert await folder.read("index.html", max_size=100) == b"<h1>tides</h1>"
    assert await folder.read("nope.json", max_size=100) is None
    with pytest.raises(ValidationError):
        await folder.read("index.html", max_size=5)


async def test_small_files_are_read_whole_where_a_file_system_gives_less_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(200))
    (tmp_path / "a.bin").write_bytes(data)
    read = os.read
    monkeypatch.setattr("walrus_sdk.source.small.os.read", lambda descriptor, size: read(descriptor, min(size, 70)))
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        content = Together(root, Inline()).content("a.bin", len(data), hashlib.sha256(data).digest())
        assert [chunk async for chunk in content] == [data]
    finally:
        os.close(root)
