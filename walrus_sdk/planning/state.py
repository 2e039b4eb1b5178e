"""Statuses: which deployments are unfinished, and whether a failure leaves one that can go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from walrus_sdk.errors import DeploymentStopped, ErrorClass, WalrusError
from walrus_sdk.model.deployment import Status
from walrus_sdk.model.units import ObjectId

__all__ = ["LIVE", "can_resume", "is_failure", "is_same_site", "is_unfinished"]

LIVE = frozenset({Status.PENDING, Status.UPLOADING, Status.PROCESSING})
"""Statuses of work that is under way, or was when its owner ended."""

_PLAN_IS_OVER = frozenset({"plan_expired", "site_changed"})
"""Failures after which the frozen plan cannot come true any more: the next run plans anew."""


def is_unfinished(row: Mapping[str, Any]) -> bool:
    """Return whether a row of `deployments` can still go on."""
    status = Status(row["status"])
    return status in LIVE or (status is Status.FAILED and bool(row["can_resume"]))


def is_same_site(row: Mapping[str, Any], site_id: ObjectId | None, name: str) -> bool:
    """Return whether a row of `deployments` is about this site: by id where both have one, else both new, by name."""
    if row["site_id"] is None or site_id is None:
        return row["site_id"] is None and site_id is None and bool(row["site_name"] == name)
    return bool(row["site_id"] == str(site_id))


def can_resume(error: WalrusError) -> bool:
    """Return whether a deployment that met `error` can be taken up again with the same plan."""
    return error.error_class is not ErrorClass.GIVE_UP and error.code not in _PLAN_IS_OVER


def is_failure(error: WalrusError) -> bool:
    """Return whether `error` makes a deployment failed; a stop (deadline, retries used up) leaves its status."""
    return not (isinstance(error, DeploymentStopped) and can_resume(error))
