"""Run notebooks from top to bottom, each in a kernel of its own, and keep what they say in ``notebooks/executed``.

    python notebooks/run.py [NAME...]       # all, or those whose names begin so; stops with the first that fails

The documentation uses the executed ones. Notebooks in git have no outputs.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
OUT = HERE / "executed"
LIMIT_S = 300


def names(wanted: list[str]) -> list[Path]:
    """Return the notebooks whose names begin with one of `wanted`; all where nothing is wanted."""
    found = sorted(HERE.glob("*.ipynb"))
    return [path for path in found if not wanted or any(path.name.startswith(name) for name in wanted)]


def run(path: Path, **options: object) -> nbformat.NotebookNode:
    """Run one notebook and return it with its outputs. Raises `CellExecutionError`."""
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(HERE)}}
    client = NotebookClient(
        notebook, timeout=LIMIT_S, kernel_name="python3", resources=place, store_widget_state=True, **options
    )
    client.execute()
    return notebook


def main(wanted: list[str]) -> int:
    """Run them and write what they say."""
    OUT.mkdir(exist_ok=True)
    for path in names(wanted):
        began = time.monotonic()
        notebook = run(path)
        nbformat.write(notebook, OUT / path.name)
        sys.stdout.write(f"{path.name}: {time.monotonic() - began:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
