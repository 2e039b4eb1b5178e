"""One JupyterLab and one browser for all; each story has its own home, folder and notebook."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.browser.lab import CHROMIUM, Lab, Notebook, open_browser, open_lab, write_notebook
from walrus_sdk import local

ROOT = Path(__file__).resolve().parents[2]
SCREENS = ROOT / "docs" / "_build" / "screens"

SETUP = """
import json
from pathlib import Path
import walrus_sdk as ws
home, site = Path({home!r}), Path({site!r})
sites = ws.connect(network="local", home=home)
"""
PANEL = 'panel = ws.panel(site, sites=sites, site_name="harbour", max_quilt_files=1, concurrency=2)\npanel'
TELL = """
state = panel.state
print(json.dumps({"status": state.status, "deployment": state.deployment, "files": len(state.files)}))
"""
PID = "import os\nprint(os.getpid())"


def missing() -> str:
    """Return what is not installed, empty when all is."""
    needed = ("jupyterlab", "playwright", "axe_playwright_python", "ipywidgets", "anywidget")
    lacking = [name for name in needed if importlib.util.find_spec(name) is None]
    lacking += [] if CHROMIUM is not None else ["chromium (of the system)"]
    return ", ".join(lacking)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if missing():
        told = f"the browser tests need {missing()}: the extras `dev` and `all`, and Debian's package chromium"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(told)
        pytest.skip(told)
    with open_lab(tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("lab")) as found:
        yield found


@pytest.fixture(scope="session")
def browser(lab: Lab) -> Iterator[Any]:
    with open_browser() as found:
        yield found


@dataclass
class Story:
    """A home with a local network, a folder, and a notebook with a panel on it, open in the browser."""

    home: Path
    site: Path
    notebook: Notebook

    @property
    def panel(self) -> Any:
        """The panel on the page."""
        return self.notebook.page.locator(".jp-OutputArea-output .wsdk-panel").first

    def button(self, word: str) -> Any:
        return self.panel.get_by_role("button", name=word, exact=True)

    def press(self, word: str) -> None:
        self.button(word).click()

    def confirm(self) -> None:
        self.panel.locator(".wsdk-confirm").click()

    def status(self) -> str:
        return str(self.panel.get_by_role("status").inner_text())

    def wait_for(self, text: str) -> None:
        self.panel.get_by_role("status").filter(has_text=text).wait_for()

    def share(self) -> float:
        """The share that is stored, in per cent, as it is drawn."""
        drawn = self.panel.get_by_role("progressbar", name="stored").get_attribute("aria-valuenow")
        return float(drawn or 0)

    def shoot(self, name: str) -> None:
        SCREENS.mkdir(parents=True, exist_ok=True)
        self.panel.screenshot(path=SCREENS / f"{name}.png")

    def write(self, text: str, count: int = 12) -> None:
        self.site.mkdir(exist_ok=True)
        for number in range(count):
            name = "index.html" if number == 0 else f"page-{number:05}.html"
            (self.site / name).write_text(f"<p>{text} {number}</p>" * 20)

    def slow(self, seconds: float) -> None:
        local.set_faults(self.home, {"shape": {"latency_s": seconds}})


@pytest.fixture
def story(lab: Lab, browser: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Story]:
    home, site, name = tmp_path / "home", tmp_path / "site", f"{request.node.name[:40]}.ipynb"
    local.ensure_running(home, shards=10)
    write_notebook(lab.root / name, [SETUP.format(home=str(home), site=str(site)), PANEL, TELL, PID])
    made = Story(home, site, Notebook(lab, browser, name))
    made.write("first")
    try:
        yield made
    except BaseException:
        raise
    finally:
        failed = getattr(request.node, "failed", True)
        if failed:
            SCREENS.mkdir(parents=True, exist_ok=True)
            made.notebook.page.screenshot(path=SCREENS / f"failed-{request.node.name[:40]}.png")
        made.notebook.close()
        for one in lab.api("GET", "sessions"):
            lab.api("DELETE", f"sessions/{one['id']}")
        local.stop(home)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.when == "call":
        item.failed = report.failed  # type: ignore[attr-defined]
    return report
