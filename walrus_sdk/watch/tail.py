"""What watchers read of a journal besides its rows and events; implemented in the room `journal`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from walrus_sdk.model.samples import Sample
from walrus_sdk.model.units import DeploymentId

__all__ = ["Tail"]


class Tail(Protocol):
    """The end of a journal, in any process, never in the way of its owner."""

    async def changed(self) -> int:
        """Return a number that differs when somebody has committed since the last call; reads nothing."""
        ...

    async def samples(self, deployment: DeploymentId, *, after: int = 0) -> Sequence[Sample]:
        """Read the samples of a deployment numbered above `after`, in order."""
        ...

    async def latest(self, deployment: DeploymentId) -> Sample | None:
        """Read the last sample of a deployment, if there is one."""
        ...
