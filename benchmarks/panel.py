"""What a panel costs: CPU seconds of the process that deploys, and long tasks of the page that shows it.

Each deployment is a kernel of its own that deploys the same files to a local network in another process, so only the
work of the client counts. The widgets of the panel send to a kernel that a client listens to, as in a notebook.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.rows import Row, interleaved
from walrus_sdk import local

__all__ = ["panel_cpu", "panel_page"]

FILES, PAIRS = 10_000, 10
_CODE = """
import time
import walrus_sdk as ws
sites = ws.connect(network="local", home={home!r})
await sites.plan({site!r}, site_name="bench")  # the files are in the stat cache then, for both
if {shown}:
    panel = ws.panel({site!r}, sites=sites, site_name="bench")
    display(panel)
began = time.process_time()
if {shown}:
    panel.press("Deploy")
    await panel.settled()
    panel.press("Confirm")
    await panel.settled()
    assert panel.state.status == "completed", panel
else:
    await sites.apply(await sites.plan({site!r}, site_name="bench"))
print(time.process_time() - began)
"""
_LONG_TASKS = """() => {
  window.long = [];
  const note = (list) => list.getEntries().forEach((entry) => window.long.push(entry.duration));
  new PerformanceObserver(note).observe({ type: "longtask" });
}"""


@contextlib.contextmanager
def _place() -> Iterator[tuple[Path, Path]]:
    """Give a place, and a site of many files in it."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        site.mkdir()
        for number in range(FILES):
            name = "index.html" if number == 0 else f"page-{number:05}.html"
            (site / name).write_text(f"<p>{number}</p>" * 40)
        yield Path(folder), site


def panel_cpu() -> Iterator[Row]:
    """Yield the ratio of CPU seconds with a panel to those without, over pairs that take turns."""
    with _place() as (place, site):
        numbers = iter(range(10_000))
        contenders: dict[str, Callable[[], float]] = {
            name: partial(_run, place, site, numbers, shown)
            for name, shown in (("without a panel", False), ("with a panel", True))
        }
        found = interleaved(contenders, PAIRS)
    pairs = zip(found["with a panel"], found["without a panel"], strict=True)
    yield Row(
        f"CPU of a deployment of {FILES:,} files with a panel",
        "without one",
        median(found["with a panel"]),
        median(found["without a panel"]),
        "s",
        median(ours / theirs for ours, theirs in pairs),
        limit=1.05,
        at_most=True,
        note=f"median of {PAIRS} pairs",
        samples=found,
    )


def _run(place: Path, site: Path, numbers: Iterator[int], shown: bool) -> float:
    """Return the CPU seconds of a deployment in a new kernel and a new home."""
    from jupyter_client.manager import KernelManager

    home = place / f"home-{next(numbers)}"
    local.ensure_running(home, shards=10)
    manager: Any = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(home))
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        return float(_said(client, client.execute(_CODE.format(home=str(home), site=str(site), shown=shown))))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        with contextlib.suppress(Exception):
            local.stop(home)


def _said(client: Any, request: str) -> str:
    said = []
    while True:
        message = client.get_iopub_msg(timeout=600)
        kind, content = message["msg_type"], message["content"]
        if message["parent_header"].get("msg_id") != request:
            continue
        if kind == "error":
            raise RuntimeError("\n".join(content["traceback"]))
        if kind == "stream" and content["name"] == "stdout":
            said.append(content["text"])
        if kind == "status" and content["execution_state"] == "idle":
            return "".join(said).strip()


def panel_page() -> Iterator[Row]:
    """Yield the longest task of a page that shows a large deployment, with the grid, against 100 ms."""
    from tests.browser.lab import Notebook, open_browser, open_lab, write_notebook

    with _place() as (place, site):
        home, root = place / "home", place / "root"
        root.mkdir()
        local.ensure_running(home, shards=10)
        code = f"import walrus_sdk as ws\nsites = ws.connect(network='local', home={str(home)!r})\n"
        write_notebook(root / "large.ipynb", [f"{code}ws.panel({str(site)!r}, sites=sites, site_name='large')"])
        try:
            with open_lab(root, place / "lab") as lab, open_browser() as browser:
                notebook = Notebook(lab, browser, "large.ipynb")
                notebook.run_all()
                longest = _watched(notebook.page)
        finally:
            local.stop(home)
    yield Row(
        f"longest task of the page while {FILES:,} files are deployed",
        "100 ms",
        longest,
        100.0,
        "ms",
        longest / 100.0,
        limit=1.0,
        at_most=True,
        note="0: none over 50 ms",
    )


def _watched(page: Any) -> float:
    """Deploy by the panel's buttons; returns the longest task of the page meanwhile, in ms."""
    page.set_default_timeout(900_000)
    panel = page.locator(".jp-OutputArea-output .wsdk-panel").first
    panel.get_by_role("status").filter(has_text="ready").wait_for()
    panel.get_by_role("button", name="Deploy", exact=True).click()
    confirm = panel.locator(".wsdk-confirm", has_text="Deploy for")
    confirm.wait_for()
    page.evaluate(_LONG_TASKS)
    confirm.click()
    panel.get_by_role("status").filter(has_text="completed").wait_for()
    return float(max(page.evaluate("() => window.long"), default=0.0))
