"""Sphinx configuration: MyST-NB pages, the furo theme, reference pages generated from the code."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "walrus_sdk"
author = "the walrus_sdk maintainers"
copyright = "2026, the walrus_sdk maintainers"  # noqa: A001  # Sphinx's name for it
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "walrus_reference"]
html_theme = "furo"
html_title = "walrus_sdk"
html_static_path: list[str] = []
exclude_patterns = ["_build"]
nb_execution_mode = "off"  # a page that is to be executed says so itself
nb_execution_raise_on_error = True
# A panel is shown by its still picture: widgets in a page would load scripts from another machine.
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
default_role = "code"


def copy_notebooks() -> None:
    """Bring the notebooks here: as they ran (`make notebooks`) where that was done, else without outputs."""
    place, here = Path(__file__).parents[1] / "notebooks", Path(__file__).parent / "notebooks"
    here.mkdir(exist_ok=True)
    for source in place.glob("*.ipynb"):
        ran, copy = place / "executed" / source.name, here / source.name
        data = (ran if ran.exists() else source).read_bytes()
        if not copy.exists() or copy.read_bytes() != data:
            copy.write_bytes(data)


def copy_screens() -> None:
    """Bring the picture of a panel here: as the browser saw it (`make test-browser`), else the one that is kept."""
    here, seen = Path(__file__).parent, Path(__file__).parent / "_build" / "screens" / "uploading.png"
    data = (seen if seen.exists() else here / "images" / "panel.png").read_bytes()
    copy = here / "screens" / "panel.png"
    copy.parent.mkdir(exist_ok=True)
    if not copy.exists() or copy.read_bytes() != data:
        copy.write_bytes(data)


copy_notebooks()
copy_screens()
# Types of our own dependencies are named as they are; there is no network to look their pages up.
nitpicky = False
