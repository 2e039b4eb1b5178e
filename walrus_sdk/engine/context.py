"""What every part of one execution shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from walrus_sdk.engine.feed import Feed
from walrus_sdk.engine.gate import Gate
from walrus_sdk.engine.patience import Patience
from walrus_sdk.model.network import Network
from walrus_sdk.model.options import DeployOptions, Limits
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Ownership, World

__all__ = ["Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """The world, whose deployment it is, the network, the options, where progress goes, how long a stop may take.

    `limits` are those of uploads. `is_live` tells whether a process works on a deployment of this home. While `gate` is
    closed no effect begins.
    """

    world: World
    owner: Ownership
    network: Network
    options: DeployOptions
    limits: Limits
    feed: Feed
    is_live: Callable[[DeploymentId], bool]
    patience: Patience = field(default_factory=Patience)
    gate: Gate = field(default_factory=Gate)

    @property
    def settle_s(self) -> float:
        """How long a store whose answer was lost may still complete, in seconds."""
        return self.network.settle_s if self.options.settle_s is None else self.options.settle_s
