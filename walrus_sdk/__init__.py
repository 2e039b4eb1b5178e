"""Publish static sites to Walrus and Sui: built so that deployments are not lost, repeated or half-finished.

    import walrus_sdk as ws

    result = ws.run.deploy("out/", site_name="my-app")        # one call, no event loop in sight

    async with ws.open(network="local") as sites:              # one task's scope
        plan = await sites.plan("out/", site_name="my-app")    # nothing is spent
        result = await sites.apply(plan)

    sites = ws.connect(network="local")                        # lives on the host thread: notebooks across cells
    handle = sites.deploy("out/", site_name="my-app")          # returns at once

    ws.panel("out/", site_name="my-app")                       # in a notebook: live, with a button for each verb
    history = ws.history()                                     # DataFrames of all deployments (extra: frames)

Lives here: the table of contents; names are loaded when they are first used.
Must not live here: code that does anything.
"""

from __future__ import annotations

import importlib
import typing

if typing.TYPE_CHECKING:
    from walrus_sdk import bench, codecs, errors, run
    from walrus_sdk.errors import WalrusError
    from walrus_sdk.frames.history import History, history
    from walrus_sdk.frames.report import Report, report
    from walrus_sdk.host import Connection, Handle, connect
    from walrus_sdk.model.alerts import Alert, AlertOptions, Notice
    from walrus_sdk.model.options import DeployOptions, DeployResult, RecoveryOptions, Verify
    from walrus_sdk.model.performance import FileCost, Performance
    from walrus_sdk.model.plan import Cost, Plan
    from walrus_sdk.model.progress import Phase, Progress
    from walrus_sdk.model.reports import DeploymentReport, DeploymentSummary, VerifyReport
    from walrus_sdk.model.units import BlobId, DeploymentId, Digest, Frost, Mist, ObjectId, QuiltPatchId, SuiAddress
    from walrus_sdk.model.versions import CleanupReport, Download, Lock, Version, VersionDiff
    from walrus_sdk.notebook.dashboard import Dashboard, dashboard
    from walrus_sdk.notebook.panel import Panel, panel
    from walrus_sdk.ports import Signer, SigningRequest
    from walrus_sdk.service.original import (
        DeploymentMonitor,
        DeploymentRecoveryManager,
        WalrusSitesDeploymentService,
    )
    from walrus_sdk.service.session import Session
    from walrus_sdk.service.session import open_session as open  # noqa: A004  # `ws.open`
    from walrus_sdk.service.tools import blob_id

__all__ = [
    "Alert",
    "AlertOptions",
    "BlobId",
    "CleanupReport",
    "Connection",
    "Cost",
    "Dashboard",
    "DeployOptions",
    "DeployResult",
    "DeploymentId",
    "DeploymentMonitor",
    "DeploymentRecoveryManager",
    "DeploymentReport",
    "DeploymentSummary",
    "Digest",
    "Download",
    "FileCost",
    "Frost",
    "Handle",
    "History",
    "Lock",
    "Mist",
    "Notice",
    "ObjectId",
    "Panel",
    "Performance",
    "Phase",
    "Plan",
    "Progress",
    "QuiltPatchId",
    "RecoveryOptions",
    "Report",
    "Session",
    "Signer",
    "SigningRequest",
    "SuiAddress",
    "Verify",
    "VerifyReport",
    "Version",
    "VersionDiff",
    "WalrusError",
    "WalrusSitesDeploymentService",
    "bench",
    "blob_id",
    "codecs",
    "connect",
    "dashboard",
    "errors",
    "history",
    "open",
    "panel",
    "report",
    "run",
]

__version__ = "0.1.0"

_PLACES = {
    "walrus_sdk.frames.history": ("History", "history"),
    "walrus_sdk.frames.report": ("Report", "report"),
    "walrus_sdk.host": ("Connection", "Handle", "connect"),
    "walrus_sdk.model.alerts": ("Alert", "AlertOptions", "Notice"),
    "walrus_sdk.model.options": ("DeployOptions", "DeployResult", "RecoveryOptions", "Verify"),
    "walrus_sdk.model.performance": ("FileCost", "Performance"),
    "walrus_sdk.model.plan": ("Cost", "Plan"),
    "walrus_sdk.model.progress": ("Phase", "Progress"),
    "walrus_sdk.model.reports": ("DeploymentReport", "DeploymentSummary", "VerifyReport"),
    "walrus_sdk.model.versions": ("CleanupReport", "Download", "Lock", "Version", "VersionDiff"),
    "walrus_sdk.model.units": (
        "BlobId", "DeploymentId", "Digest", "Frost", "Mist", "ObjectId", "QuiltPatchId", "SuiAddress",
    ),
    "walrus_sdk.errors": ("WalrusError",),
    "walrus_sdk.notebook.dashboard": ("Dashboard", "dashboard"),
    "walrus_sdk.notebook.panel": ("Panel", "panel"),
    "walrus_sdk.ports": ("Signer", "SigningRequest"),
    "walrus_sdk.service.original": (
        "DeploymentMonitor", "DeploymentRecoveryManager", "WalrusSitesDeploymentService",
    ),
    "walrus_sdk.service.session": ("Session", "open"),
    "walrus_sdk.service.tools": ("blob_id",),
}  # fmt: skip
_MODULES = ("bench", "codecs", "errors", "run")
_HOME = {name: module for module, names in _PLACES.items() for name in names}
_OTHER_NAMES = {"open": "open_session"}


def __getattr__(name: str) -> typing.Any:
    if name in _MODULES:
        return importlib.import_module(f"walrus_sdk.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'walrus_sdk' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), _OTHER_NAMES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
