"""The notebooks, as `make notebooks` ran them from top to bottom: they say what they are to say.

What is asserted inside a notebook fails it there; here is what a reader sees, and what is saved of the widgets.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "notebooks"
FOUND = sorted(path.name for path in PLACE.glob("*.ipynb"))
SAYS = {
    "01": ("Panel of tides: completed: version 1", "Plan of deploy tides", "Deployed tides", "The tides of today"),
    "02": ("Panel of harbour: interrupted, can go on", "Panel of harbour: completed: version 2", "paused", "'found'"),
    "03": ("Panel of museum: completed: version 4", "site_locked", "edition 3", "/index.html"),
    "04": ("History: 14 deployments", "edition 6: token_refused", "image/png", "deployments.parquet"),
    "06": ("has made no progress for", "alert-1-cleared", "token_refused", "Panel of lighthouse"),
    "05": ("bytes_per_s", "image/png"),
}
STATUS = {"01": "completed: version 1", "02": "completed: version 2", "03": "completed: version 4"}


def executed(name: str) -> Any:
    """Return a notebook as `make notebooks` ran it: each is run once for the pages and for these tests."""
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: the extra `dev` has it")
    ran = PLACE / "executed" / name
    notebook = nbformat.read(ran, as_version=4) if ran.exists() else None
    now = [cell["source"] for cell in nbformat.read(PLACE / name, as_version=4).cells]
    if notebook is None or [cell["source"] for cell in notebook.cells] != now:
        told = f"{name} was not run as it is now: `make notebooks` runs it"
        if os.environ.get("REQUIRE_NOTEBOOKS"):
            pytest.fail(told)
        pytest.skip(told)
    return notebook


def test_there_is_a_notebook_for_everything_that_is_asserted() -> None:
    assert {name[:2] for name in FOUND} >= SAYS.keys()


@pytest.mark.parametrize("name", FOUND)
def test_notebooks_in_git_have_no_outputs(name: str) -> None:
    data = json.loads((PLACE / name).read_text(encoding="utf-8"))
    assert "widgets" not in data["metadata"]
    for cell in data["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert not cell["metadata"]


@pytest.mark.parametrize("name", FOUND)
def test_a_notebook_ran_offline_and_said_what_it_is_to_say(name: str) -> None:
    notebook = executed(name)
    said = json.dumps([cell.get("outputs", []) for cell in notebook.cells], ensure_ascii=False)
    for text in SAYS.get(name[:2], ()):
        assert text in said
    assert "http" not in "".join(_addresses(said)), "nothing but this machine"
    if name[:2] in STATUS:
        assert any(STATUS[name[:2]] in html for html in _saved(notebook)), "the end is saved with the notebook"


def _addresses(said: str) -> list[str]:
    """Return the web addresses that are said and are not this machine's, nor names of a format."""
    found = [part.split('"')[0].split("'")[0].split("\\")[0] for part in said.split("http://")[1:]]
    here = ("127.0.0.1", "www.w3.org")
    return [f"http://{one}" for one in found if "localhost" not in one and not one.startswith(here)]


def _saved(notebook: Any) -> list[str]:
    state = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    return [str(one["state"]["value"]) for one in state.values() if "value" in one["state"]]
