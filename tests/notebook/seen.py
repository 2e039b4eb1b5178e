"""A deployment as a panel gets to see it, made up."""

from __future__ import annotations

from collections import Counter
from typing import Any

from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.reports import DeploymentSummary
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.model.views import DeploymentView, OperationView, Step

__all__ = ["NAME", "seen", "summary"]

NAME = DeploymentId("deploy_1700000000000_0badcafe")


def summary(status: str, *, resumable: bool = False, verb: str = "deploy", **more: Any) -> DeploymentSummary:
    return DeploymentSummary(
        NAME, "my-app", "local", status, 0.5, 1_700_000_000_000, resumable=resumable, verb=verb, **more
    )


def seen(**more: Any) -> DeploymentView:
    """A deployment with some files, as who watches it sees it."""
    steps: dict[str, Step] = more.pop("steps", {})
    operations = {
        key: OperationView(key, "store", step, since_ms=number, code="store_failed" if step is Step.FAILED else "",
                           message="500" if step is Step.FAILED else "")
        for number, (key, step) in enumerate(steps.items())
    }  # fmt: skip
    fixed = dict.fromkeys(("files_done", "files_total", "bytes_done", "bytes_total", "moved_ms"), 0)
    return DeploymentView(**{
        **fixed, "summary": summary("uploading"), "at_ms": 1, "live": True, "phase": Phase.STORE,
        "progress": Progress(Phase.STORE), "steps": Counter(steps.values()), "operations": operations, **more,
    })  # fmt: skip
