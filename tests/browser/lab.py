"""JupyterLab on loopback in throw-away folders, driven by the system's Chromium.

Three things that a first attempt gets wrong: the toolbar reads idle before a kernel is there (the server is asked
instead); Playwright's own browsers are not installed (the system's is given by its path); settings leak between runs
(each has its own folders).
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["CHROMIUM", "Lab", "Notebook", "open_browser", "open_lab", "write_notebook"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_NEWS = "@jupyterlab/apputils-extension/notification.jupyterlab-settings"
_IDLE = ".jp-NotebookPanel-toolbar .jp-Notebook-ExecutionIndicator[data-status=idle]"
_LIMIT_S = 90.0


@dataclass(frozen=True)
class Lab:
    """A running server: its address, its token, the folder that it shows."""

    base: str
    token: str
    root: Path

    def api(self, method: str, path: str) -> Any:
        """Ask the server's REST interface."""
        request = urllib.request.Request(f"{self.base}/api/{path}", method=method)
        request.add_header("Authorization", f"token {self.token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def kernel(self, name: str) -> dict[str, Any] | None:
        """Return the kernel of a notebook."""
        found = [one for one in self.api("GET", "sessions") if one["path"].endswith(name)]
        kernel: dict[str, Any] | None = found[0]["kernel"] if found else None
        return kernel


def _until(reached: Any, what: str) -> None:
    end = time.monotonic() + _LIMIT_S
    while not reached():
        assert time.monotonic() < end, f"{what}: not within {_LIMIT_S:.0f} s"
        time.sleep(0.1)


@contextmanager
def open_lab(root: Path, place: Path) -> Iterator[Lab]:
    """Start a server that shows `root` and keeps all its own files in `place`; it ends with the block."""
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "HOME": "home",
    }
    env = {**os.environ, **{name: str(place / folder) for name, folder in folders.items()}}
    for folder in folders.values():
        (place / folder).mkdir(parents=True, exist_ok=True)
    news = place / "settings" / _NEWS
    news.parent.mkdir(parents=True)
    news.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    token = secrets.token_hex(12)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}",
        "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        *(["--allow-root"] if os.geteuid() == 0 else []),
    ]  # fmt: skip
    lab = Lab(f"http://127.0.0.1:{port}", token, root)
    with (place / "lab.log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            _until(lambda: _answers(lab, process, place / "lab.log"), "the server answers")
            yield lab
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(lab: Lab, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()[-3000:]
    try:
        lab.api("GET", "status")
    except (OSError, urllib.error.URLError):
        return False
    return True


@contextmanager
def open_browser() -> Iterator[Any]:
    """Start the system's Chromium."""
    from playwright.sync_api import sync_playwright

    assert CHROMIUM is not None
    flags = ["--disable-dev-shm-usage", "--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, headless=True, args=flags)
        try:
            yield browser
        finally:
            browser.close()


def write_notebook(path: Path, cells: list[str]) -> None:
    """Write a notebook of code cells."""
    made: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": text, "outputs": [], "execution_count": None}
        for n, text in enumerate(cells)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    path.write_text(json.dumps({"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}))


@dataclass
class Notebook:
    """One notebook that is open in a page."""

    lab: Lab
    browser: Any
    name: str
    outside: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page = self.browser.new_page(viewport={"width": 1280, "height": 1150})
        self.page.set_default_timeout(_LIMIT_S * 1000)
        self.page.on("request", self._note)
        self.page.goto(f"{self.lab.base}/lab/tree/{self.name}?token={self.lab.token}&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.wait_for_kernel()

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.lab.base, "data:", "blob:")):
            self.outside.append(request.url)

    def wait_for_kernel(self) -> None:
        """Wait until the kernel is there, connected and idle."""

        def ready() -> bool:
            kernel = self.lab.kernel(self.name)
            return bool(kernel and kernel["connections"] and kernel["execution_state"] == "idle")

        _until(ready, "the kernel is ready")
        self.page.wait_for_selector(_IDLE)

    def run_all(self) -> None:
        """Run all cells."""
        for item in ("Run", "Run All Cells"):
            self.page.get_by_role("menuitem", name=item, exact=True).click()

    def run(self, number: int) -> str:
        """Run one cell again and return what it says."""
        cell = self.page.locator(".jp-Notebook .jp-Cell").nth(number)
        cell.locator(".jp-InputArea-editor").click()
        count = cell.locator(".jp-InputArea-prompt").inner_text()
        self.page.keyboard.press("Control+Enter")
        _until(lambda: cell.locator(".jp-InputArea-prompt").inner_text() not in (count, "[*]:"), "the cell ran")
        return "".join(cell.locator(".jp-OutputArea-output").all_inner_texts()).strip()

    def close(self) -> None:
        """Close the page."""
        self.page.close()
