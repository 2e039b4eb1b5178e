"""The verbs in one call each, without an event loop in sight: ``walrus_sdk.run.deploy("out/", site_name="my-app")``.

Options of the session (network, home, addresses, signer: see `walrus_sdk.open`) and the fields of `DeployOptions` are
keyword arguments of the same call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from walrus_sdk.host import connect
from walrus_sdk.model.options import DeployOptions, DeployResult, Verify
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.reports import DeploymentReport, DeploymentSummary, VerifyReport
from walrus_sdk.service.narrate import LineWriter
from walrus_sdk.service.session import Listener

__all__ = ["deploy", "list", "plan", "status", "url", "verify"]

_ASKED = frozenset(field.name for field in fields(DeployOptions))


def _split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of the session and those of the deployment."""
    asked = {name: value for name, value in options.items() if name in _ASKED}
    return {name: value for name, value in options.items() if name not in _ASKED}, asked


def _listener(progress: bool | Listener) -> Listener | None:
    if isinstance(progress, bool):
        return LineWriter() if progress else None
    return progress


def deploy(folder: str | Path, *, progress: bool | Listener = False, **options: Any) -> DeployResult:
    """Publish `folder` and return the result.

    `progress`: true writes a line at each step to the standard error stream; a function is called with each
    `Progress`. Raises `WalrusError`; the same call goes on where this one stopped.
    """
    session, asked = _split(options)
    with connect(**session) as connection:
        return connection.deploy(folder, progress=_listener(progress), **asked).wait()


def plan(folder: str | Path, *, progress: bool | Listener = False, **options: Any) -> Plan:
    """Return what deploying `folder` would store, change and cost; nothing is spent."""
    session, asked = _split(options)
    with connect(**session) as connection:
        return connection.plan(folder, progress=_listener(progress), **asked).wait()


def list(**session: Any) -> Sequence[DeploymentSummary]:  # noqa: A001  # the verb's name
    """Return the deployments of a home, newest first."""
    with connect(**session) as connection:
        return connection.list().wait()


def status(deployment: str, **session: Any) -> DeploymentReport:
    """Return everything about one deployment. Raises ``deployment_not_found``."""
    with connect(**session) as connection:
        return connection.status(deployment).wait()


def verify(site: str, how: Verify = Verify.ALL, **session: Any) -> VerifyReport:
    """Read a site as visitors get it; `site` is an object id, a base36 address or a name."""
    with connect(**session) as connection:
        return connection.verify(site, how).wait()


def url(site: str, **session: Any) -> str:
    """Return the portal's address of a site."""
    with connect(**session) as connection:
        return connection.url(site).wait()
