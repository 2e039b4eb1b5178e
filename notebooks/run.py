"""Run notebooks from top to bottom, each in a kernel of its own, and keep what they say in ``notebooks/executed``.

    python notebooks/run.py [NAME...]       # all, or those whose names begin so; stops with the first that fails

The documentation and tests/notebook use the executed ones. Notebooks in git have no outputs. They run offline: in a
throw-away home, and with a proxy that is not there.
"""

from __future__ import annotations

import os
import sys
import tempfile
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


def run(path: Path, folder: Path, **options: object) -> nbformat.NotebookNode:
    """Run one notebook in a folder and return it with its outputs. Raises `CellExecutionError`."""
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(folder)}}
    os.environ |= {
        "HOME": str(folder),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "https_proxy": "http://127.0.0.1:1",
    }
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
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            notebook = run(path, Path(folder))
        nbformat.write(notebook, OUT / path.name)
        sys.stdout.write(f"{path.name}: {time.monotonic() - began:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
