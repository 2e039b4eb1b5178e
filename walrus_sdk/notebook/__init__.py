"""Notebooks: a live panel with recovery controls, and a dashboard of a site's deployments.

Lives here: what is known of a deployment, folded from the journal (`state`), what is shown of it and which buttons are
enabled (`view`; both pure), the verbs that buttons start (`controller`), and the widgets that bind these (`panel`,
`dashboard`, `grid`).
Must not live here: a decision of a deployment, an event loop, or a request that leaves the machine: scripts and styles
are inline.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Dashboard", "Panel", "dashboard", "panel"]

_PLACES = {"Panel": "panel", "panel": "panel", "Dashboard": "dashboard", "dashboard": "dashboard"}


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _PLACES:
        raise AttributeError(f"module 'walrus_sdk.notebook' has no attribute {name!r}")
    return getattr(importlib.import_module(f"walrus_sdk.notebook.{_PLACES[name]}"), name)
