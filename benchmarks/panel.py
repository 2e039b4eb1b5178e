"""What a panel costs the process that deploys: CPU seconds of a kernel with and without one, in pairs.

Each run is a kernel of its own that deploys the same files to a local network in another process, so that only the
client's work counts. The panel's widgets send to a kernel that a client listens to, as in a notebook.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.rows import Row
from walrus_sdk import local

__all__ = ["panel_cpu"]

FILES, PAIRS = 10_000, 10
_CODE = """
import time
import walrus_sdk as ws
home, site, name, shown = {home!r}, {site!r}, {name!r}, {shown}
sites = ws.connect(network="local", home=home)
plan = await sites.plan(site, site_name=name)
if shown:
    panel = ws.panel(site, sites=sites, site_name=name)
    panel._controller._plan = plan
    display(panel)
began = time.process_time()
result = None
if shown:
    panel.press("Deploy")
    await panel.settled()
    panel.press("Confirm")
    await panel.settled()
    assert panel.state.status == "completed", panel
else:
    plan = await sites.plan(site, site_name=name)
    result = await sites.apply(plan)
print(time.process_time() - began)
"""


def panel_cpu() -> Iterator[Row]:
    """Yield the ratio of CPU seconds with a panel to those without, over pairs."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        site = place / "site"
        site.mkdir()
        for number in range(FILES):
            name = "index.html" if number == 0 else f"page-{number:05}.html"
            (site / name).write_text(f"<p>{number}</p>" * 40)
        pairs = [_pair(place, site, number) for number in range(PAIRS)]
    ratios = [with_one / without for with_one, without in pairs]
    ours, theirs = median(one for one, _ in pairs), median(other for _, other in pairs)
    yield Row(
        quantity=f"CPU of a deployment of {FILES:,} files",
        against="without a panel",
        ours=ours,
        theirs=theirs,
        unit="s",
        ratio=median(ratios),
        at_most=True,
        limit=1.05,
        spread=(max(ratios) - min(ratios)) / median(ratios),
        note=f"median of {PAIRS} pairs",
    )


def _pair(place: Path, site: Path, number: int) -> tuple[float, float]:
    """Return CPU seconds with a panel and without; which comes first changes from pair to pair."""
    order = (True, False) if number % 2 else (False, True)
    found = {shown: _run(place / f"home-{number}-{int(shown)}", site, shown) for shown in order}
    return found[True], found[False]


def _run(home: Path, site: Path, shown: bool) -> float:
    from jupyter_client import KernelManager

    local.ensure_running(home, shards=10)
    manager: Any = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(home))
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        request = client.execute(_CODE.format(home=str(home), site=str(site), name="bench", shown=shown))
        return float(_said(client, request))
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
