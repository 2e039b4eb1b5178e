"""By hand, as a user would: kill -9 and resume by id; version 1, version 2, rollback, the lock, and back."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from commands import COMMAND, Visitor, expect, last, ledger, walrus
from killed_deploy import IN_FLIGHT, kill_in_the_middle, local_network, make_site


def resumed(on_disconnect: str) -> None:
    """Kill a deploy of 300 files, look at the list, resume it by id."""
    print(f"-- resume, on_disconnect = {on_disconnect}")
    with local_network(on_disconnect), tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "site"
        make_site(folder)
        limits = ["--settle-time", "3", "--concurrency", str(IN_FLIGHT)]
        arguments = ["deploy", str(folder), "--site-name", "killed", "--max-quilt-files", "10", *limits]
        kill_in_the_middle([str(COMMAND), *arguments])
        listed = walrus("list")[-1]
        expect(listed["status"] == "interrupted" and 0 < listed["progress"] < 1, f"interrupted at {listed['progress']}")
        result = last(walrus("resume", listed["deployment_id"], *limits))
        expect(result["deployment_id"] == listed["deployment_id"], "resume keeps the deployment's id")
        paid = Counter(row["blob_id"] for row in ledger() if row["paid"])
        twice = {blob_id for blob_id, times in paid.items() if times > 1}
        if on_disconnect == "finish":
            expect(not twice, f"every one of {len(paid)} blobs is paid once")
        else:
            expect(len(twice) <= IN_FLIGHT, f"{len(twice)} blobs paid again, at most those in flight")
            expect(twice <= set(result["possibly_paid_in_vain"]), "each of them named in the result")
        stores = len(ledger())
        again = last(walrus("resume", listed["deployment_id"]))
        expect(
            again["version"] == result["version"] and len(ledger()) == stores, "resume of a finished one sends nothing"
        )


def rolled_back() -> None:
    """Publish two versions, roll back, meet the lock, roll back again."""
    print("-- versions and rollback")
    with local_network("drop"), tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "site"
        folder.mkdir()
        first = {"index.html": b"<h1>one</h1>", "about.html": b"<p>about one</p>", "old.html": b"<p>old</p>"}
        second = {"index.html": b"<h1>two</h1>", "about.html": b"<p>about two</p>", "new.html": b"<p>new</p>"}
        deploy = ["deploy", str(folder), "--site-name", "versions"]
        for files in (first, second):
            for path in folder.iterdir():
                path.unlink()
            for name, data in files.items():
                (folder / name).write_bytes(data)
            url = last(walrus(*deploy))["url"]
        stores = len(ledger())
        expect(last(walrus("rollback", "versions", "--reason", "broken"))["version"] == 3, "a rollback is a version")
        expect(len(ledger()) == stores, "no upload happened")
        expect(_served(url, first) and Visitor(url).get("/new.html")[0] == 404, "visitors get version 1 byte for byte")
        refused = walrus(*deploy, check=False)[-1]
        expect(refused["code"] == "site_locked" and refused["reason"] == "broken", "a deploy stops at the lock")
        walrus("rollback", "versions")
        expect(_served(url, second), "the rollback of the rollback gives version 2")
        walrus("unlock", "versions")
        expect(last(walrus(*deploy))["changed"] is False, "after unlock the deploy finds it as it is")


def _served(url: str, files: dict[str, bytes]) -> bool:
    visitor = Visitor(url)
    return all(visitor.get(f"/{name}")[2] == data for name, data in files.items())


if __name__ == "__main__":
    resumed("finish")
    resumed("drop")
    rolled_back()
    sys.stdout.write("done\n")
