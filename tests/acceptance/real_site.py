"""A real site, end to end: deploy, read everything back, deploy again, change one file.

Usage: real_site.py DIR [FILE ...], the files being those that look secret and are meant to be public.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import time
from pathlib import Path

from commands import Visitor, expect, last, ledger, walrus

ALLOWED = "_sources/library/ssl.rst.txt"
"""The documentation of TLS shows an example private key."""


def files_of(folder: Path) -> dict[str, Path]:
    """Return the files below a folder by their site path."""
    return {f"/{path.relative_to(folder).as_posix()}": path for path in sorted(folder.rglob("*")) if path.is_file()}


def check_pages(url: str, files: dict[str, Path]) -> None:
    """Read every file through the portal and compare SHA-256."""
    visitor, wrong = Visitor(url), []
    for path, source in files.items():
        status, _, body = visitor.get(path)
        if status != 200 or hashlib.sha256(body).digest() != hashlib.sha256(source.read_bytes()).digest():
            wrong.append(f"{path} ({status})")
    expect(not wrong, f"all {len(files)} files read through the portal equal the source {wrong[:5]}")


def main(source: Path) -> None:
    """Run the whole story."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "site"
        shutil.copytree(source, folder, symlinks=False)
        files = files_of(folder)
        expect(len(files) > 1000, f"the site has {len(files)} files")
        command = ("deploy", str(folder), "--site-name", "python-docs", "--allow-file", ALLOWED)

        began = time.monotonic()
        first = last(walrus(*command))
        print(f"   {first['stores']} stores, {len(first['digests'])} transactions, {time.monotonic() - began:.1f} s")
        check_pages(first["url"], files)
        paid = ledger()

        again = last(walrus(*command))
        expect(again["stores"] == 0 and again["stored_bytes"] == 0, "a second deploy stores nothing")
        expect(again["digests"] == [], "and sends no transaction")
        expect(again["site_id"] == first["site_id"], "to the same site")
        expect(ledger() == paid, "and nothing more was paid")

        changed = folder / "tutorial" / "index.html"
        changed.write_bytes(changed.read_bytes() + b"<!-- changed -->\n")
        third = last(walrus(*command))
        expect(third["stored_bytes"] == changed.stat().st_size, "after a change only that file's bytes are stored")
        expect(len(third["digests"]) == 1, "with one transaction")
        new = ledger()[len(paid) :]
        expect(len(new) == 1 and new[0]["bytes_received"] == changed.stat().st_size, "the ledger shows one more store")
        check_pages(third["url"], files)
        expect(last(walrus("verify", "python-docs"))["files"] == len(files), "verify reads all of it")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
