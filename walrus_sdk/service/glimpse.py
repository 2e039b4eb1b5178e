"""What is new of a deployment, for eyes that look several times a second, in any process."""

from __future__ import annotations

from collections.abc import Callable

from walrus_sdk.model.reports import Glimpse
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Journal
from walrus_sdk.service import reports
from walrus_sdk.watch.tail import Tail

__all__ = ["glimpse"]


async def glimpse(
    journal: Journal, tail: Tail, deployment: DeploymentId, is_live: Callable[[DeploymentId], bool], after: int
) -> Glimpse:
    """Return a deployment in short, its events numbered above `after`, and its latest sample; files are not read.

    Raises `ConfigurationError` ``deployment_not_found``.
    """
    summary = await reports.summary(journal, deployment, is_live)
    return Glimpse(summary, tuple(await journal.events(deployment, after=after)), await tail.latest(deployment))
