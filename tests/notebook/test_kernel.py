"""A real kernel over the Jupyter protocol: interrupted and restarted in the middle of a deployment.

Interrupt of a cell that awaits a deployment stops it resumably; of one that awaits a panel it only ends the waiting. A
kernel restart loses nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from walrus_sdk import local

pytestmark = [pytest.mark.slow, pytest.mark.processes, pytest.mark.timeout(240)]

SETUP = """
import anyio, walrus_sdk as ws
from walrus_sdk import local
sites = ws.connect(network="local", home={home!r}, shards=10)
DEPLOY = dict(site_name="tides", max_quilt_files=1, concurrency=1)
"""


class Kernel:
    """A kernel that is asked in code and answers in text."""

    def __init__(self, folder: Path) -> None:
        from jupyter_client import KernelManager

        self.manager: Any = KernelManager(kernel_name="python3", transport="ipc", ip=str(folder / "ipc"))
        self.manager.start_kernel(cwd=str(folder))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def send(self, code: str) -> str:
        return str(self.client.execute(code))

    def answer(self, request: str) -> tuple[str, str]:
        """Return what a cell came to (``ok``, or an error's name) and what it printed."""
        said, failed = [], "ok"
        while True:
            message = self.client.get_iopub_msg(timeout=90)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                said.append(content["text"])
            elif kind == "error":
                failed = content["ename"]
                said += content["traceback"]
            elif kind == "status" and content["execution_state"] == "idle":
                return failed, "".join(said)

    def run(self, code: str) -> str:
        failed, said = self.answer(self.send(code))
        assert failed == "ok", said
        return said.strip()

    def interrupt_when(self, request: str, file: Path) -> tuple[str, str]:
        """Interrupt once a file is there, which the running cell writes."""
        while not file.exists():
            time.sleep(0.05)
        self.manager.interrupt_kernel()
        return self.answer(request)

    def restart(self) -> None:
        self.manager.restart_kernel(now=False)
        self.client.wait_for_ready(timeout=60)

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    for needed in ("jupyter_client", "ipykernel", "ipywidgets"):
        pytest.importorskip(needed, reason=f"{needed} is not installed: the extras `dev` and `all` have it")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    site = tmp_path / "site"
    site.mkdir()
    for number in range(8):
        (site / ("index.html" if not number else f"page-{number}.html")).write_text(f"<p>{number}</p>")
    made = Kernel(tmp_path)
    try:
        made.run(SETUP.format(home=str(tmp_path / "home")))
        made.run("local.ensure_running(__import__('pathlib').Path('home').absolute(), shards=10)")
        yield made
    finally:
        made.stop()
        with contextlib.suppress(Exception):
            local.stop(tmp_path / "home")


def slow(home: Path, seconds: float) -> None:
    local.set_faults(home, {"shape": {"latency_s": seconds}})


WHEN_SENT = "progress=lambda p: p.stores_confirmed and open('sent', 'w').close()"


def test_interrupt_of_an_awaited_deployment_stops_it_resumably(kernel: Kernel, tmp_path: Path) -> None:
    slow(tmp_path / "home", 0.5)
    request = kernel.send(f"handle = sites.deploy('site', {WHEN_SENT}, **DEPLOY)\nawait handle")
    failed, _ = kernel.interrupt_when(request, tmp_path / "sent")
    assert failed in ("CancelledError", "KeyboardInterrupt")
    assert kernel.run("print(handle.is_over, [item.status for item in sites.list().wait()])") == "True ['interrupted']"
    slow(tmp_path / "home", 0.0)
    assert kernel.run("print((await sites.deploy('site', **DEPLOY)).version, len(sites.list().wait()))") == "1 1"


def test_interrupt_of_a_cell_that_waits_without_a_loop_stops_it_resumably(kernel: Kernel, tmp_path: Path) -> None:
    slow(tmp_path / "home", 0.5)
    request = kernel.send(f"handle = sites.deploy('site', {WHEN_SENT}, **DEPLOY)\nhandle.wait()")
    failed, _ = kernel.interrupt_when(request, tmp_path / "sent")
    assert failed == "KeyboardInterrupt"
    assert kernel.run("print(handle.is_over, [item.status for item in sites.list().wait()])") == "True ['interrupted']"


def test_interrupt_of_a_cell_that_awaits_a_panel_leaves_the_deployment_running(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run("panel = ws.panel('site', sites=sites, **DEPLOY); panel.press('Deploy'); await panel.settled()")
    slow(tmp_path / "home", 0.3)
    request = kernel.send("panel.press('Confirm'); open('sent', 'w').close(); await panel.settled()")
    failed, _ = kernel.interrupt_when(request, tmp_path / "sent")
    assert failed in ("CancelledError", "KeyboardInterrupt")
    assert kernel.run("await panel.settled(); print(panel)") == "Panel of tides: completed: version 1"


def test_a_kernel_restart_in_the_middle_loses_nothing(kernel: Kernel, tmp_path: Path) -> None:
    slow(tmp_path / "home", 0.5)
    kernel.run(f"handle = sites.deploy('site', {WHEN_SENT}, **DEPLOY)")
    while not (tmp_path / "sent").exists():
        time.sleep(0.05)
    kernel.restart()
    kernel.run(SETUP.format(home=str(tmp_path / "home")))
    slow(tmp_path / "home", 0.0)
    assert kernel.run("panel = ws.panel('site', sites=sites); print(panel)") == "Panel of tides: interrupted, can go on"
    assert kernel.run("panel.press('Resume'); await panel.settled(); print(panel)") == (
        "Panel of tides: completed: version 1"
    )
    paid = [row["blob_id"] for row in local.ledger(tmp_path / "home") if row["paid"]]
    assert len(paid) == len(set(paid)) == 8
