"""kill -9 in the middle of a deploy, then the same command again: nothing that was certified is paid twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from commands import COMMAND, Visitor, expect, last, ledger, walrus

FILES = 300
IN_FLIGHT = 8
LATENCY_S = 1.0
"""Each store takes this long, so that the kill meets several of them in flight."""


def make_site(folder: Path) -> None:
    """Write a site of small pages."""
    folder.mkdir()
    for number in range(FILES):
        (folder / f"page-{number:03}.html").write_text(f"<p>page {number}</p>\n" * (number % 40 + 1))
    (folder / "index.html").write_text("<h1>300 pages</h1>\n")


@contextmanager
def local_network(on_disconnect: str) -> Iterator[None]:
    """Give a fresh local network with slow stores; its state folder is gone afterwards."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["WALRUS_DEPLOYMENT_HOME"] = home
        walrus("localnet", "start", "--shards", "10")
        rule = f"publisher.after_pay=latency,latency_s={LATENCY_S}"
        walrus("localnet", "faults", "--on-disconnect", on_disconnect, "--rule", rule)
        try:
            yield
        finally:
            walrus("localnet", "stop")


def certified() -> int:
    """Return how many stores the ledger shows."""
    return len(ledger())


def kill_in_the_middle(command: list[str]) -> None:
    """Start the command, and kill it once some stores are done and others are under way."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while certified() <= IN_FLIGHT and time.monotonic() < end:
            assert process.poll() is None, "the deploy ended before it could be killed"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)


def story(on_disconnect: str) -> None:
    """Kill, run again, count payments."""
    print(f"-- on_disconnect = {on_disconnect}")
    with local_network(on_disconnect), tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "site"
        make_site(folder)
        arguments = ["deploy", str(folder), "--site-name", "killed", "--max-quilt-files", "10", "--settle-time", "3"]
        arguments += ["--concurrency", str(IN_FLIGHT)]
        kill_in_the_middle([str(COMMAND), *arguments])
        listed = walrus("list")
        expect(listed[-1]["status"] == "interrupted" and listed[-1]["resumable"], "the deployment shows as interrupted")

        result = last(walrus(*arguments))
        expect(result["deployment_id"] == listed[-1]["deployment_id"], "the same command goes on with it")
        paid = Counter(row["blob_id"] for row in ledger() if row["paid"])
        more = sum(paid.values()) - len(paid)
        if on_disconnect == "finish":
            expect(more == 0, f"every one of {len(paid)} blobs is paid once")
        else:
            expect(more <= IN_FLIGHT, f"{more} extra payments, at most the {IN_FLIGHT} stores in flight")
            twice = {blob_id for blob_id, times in paid.items() if times > 1}
            expect(twice <= set(result["possibly_paid_in_vain"]), "each of them named in the result")
        status, _, body = Visitor(result["url"]).get("/page-299.html")
        expect(status == 200 and body == (folder / "page-299.html").read_bytes(), "the site is served")


if __name__ == "__main__":
    story("finish")
    story("drop")
    sys.stdout.write("done\n")
