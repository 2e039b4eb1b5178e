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
from walrus_sdk.model.versions import CleanupReport, Version
from walrus_sdk.service.narrate import LineWriter
from walrus_sdk.service.session import Listener

__all__ = [
    "cancel",
    "cleanup",
    "deploy",
    "list",
    "pause",
    "plan",
    "resume",
    "rollback",
    "status",
    "unpause",
    "url",
    "verify",
    "versions",
]

_RESUME = frozenset({"folder", "checkpoint", "replan", "take_over"})
_ROLLBACK = frozenset({"to", "reason", "lock", "source"})
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


def resume(deployment: str | None = None, *, progress: bool | Listener = False, **options: Any) -> DeployResult:
    """Go on with a deployment (default: the newest that can); `options` may hold those of `Session.resume`."""
    session, asked = _split(options)
    with connect(**_without(session, _RESUME)) as connection:
        return connection.resume(deployment, progress=_listener(progress), **_only(session, _RESUME), **asked).wait()


def cancel(deployment: str, *, reason: str = "", **session: Any) -> DeployResult | None:
    """Cancel a deployment, whoever works on it; returns its result when it was complete before that."""
    with connect(**session) as connection:
        return connection.cancel(deployment, reason=reason).wait()


def pause(deployment: str | None = None, *, reason: str = "", **session: Any) -> DeploymentSummary:
    """Let a deployment that is under way begin nothing new until `unpause`, whoever works on it."""
    with connect(**session) as connection:
        return connection.pause(deployment, reason=reason).wait()


def unpause(deployment: str | None = None, **session: Any) -> DeploymentSummary:
    """Let a paused deployment go on."""
    with connect(**session) as connection:
        return connection.unpause(deployment).wait()


def rollback(site: str, *, progress: bool | Listener = False, **options: Any) -> DeployResult:
    """Bring an earlier version of a site back; `options` may hold those of `Session.rollback`."""
    session, asked = _split(options)
    with connect(**_without(session, _ROLLBACK)) as connection:
        return connection.rollback(site, progress=_listener(progress), **_only(session, _ROLLBACK), **asked).wait()


def versions(site: str, **session: Any) -> Sequence[Version]:
    """Return the versions of a site that this home knows, newest first."""
    with connect(**session) as connection:
        return connection.versions(site).wait()


def cleanup(*, older_than_days: float = 7.0, keep_last: int = 3, dry_run: bool = True, **options: Any) -> CleanupReport:
    """Return what nothing refers to any more, cleaned up unless `dry_run`."""
    session, asked = _split(options)
    with connect(**session) as connection:
        return connection.cleanup(older_than_days=older_than_days, keep_last=keep_last, dry_run=dry_run, **asked).wait()


def _only(options: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in names}


def _without(options: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in names}
