"""What a verb works with: one network's ports, and ways to those that not every verb needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from walrus_sdk.engine.context import Context
from walrus_sdk.engine.feed import Feed
from walrus_sdk.engine.patience import Patience
from walrus_sdk.model.network import Network
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import (
    BlobStore,
    Chain,
    Checkpoints,
    Clock,
    Folder,
    Hook,
    Ids,
    Journal,
    Ownership,
    Random,
    Signer,
    Sleep,
    Threads,
    World,
    no_hook,
)
from walrus_sdk.service.sampling import Sampler
from walrus_sdk.settings import Project

__all__ = ["Connection"]


@dataclass(frozen=True, slots=True)
class Connection:
    """One network, connected.

    `store` gives the store with the limits that are asked for, `signer` the key's signer (or raises
    ``key_missing``), `folder` opens a site folder, `commit` tells the commit that a folder was built from,
    `is_live` whether a process works on a deployment. `asked` waits until what the owner of a deployment is asked for
    (``cancel``, ``take_over``, ``pause``) is no longer what it knows, and returns it. `hook` is for crash tests.
    `sampler` makes what tells other processes of progress.
    """

    network: Network
    project: Project
    journal: Journal
    checkpoints: Checkpoints
    chain: Chain
    clock: Clock
    sleep: Sleep
    random: Random
    ids: Ids
    threads: Threads
    patience: Patience
    store: Callable[[DeployOptions], BlobStore]
    signer: Callable[[], Signer]
    folder: Callable[[Path], AbstractAsyncContextManager[Folder]]
    commit: Callable[[Path], Awaitable[str]]
    is_live: Callable[[DeploymentId], bool]
    asked: Callable[[Ownership, frozenset[str]], Awaitable[frozenset[str]]]
    hook: Hook = no_hook
    sampler: Callable[[Ownership, Feed], Sampler] | None = None

    def context(self, owner: Ownership, folder: Folder, options: DeployOptions, feed: Feed) -> Context:
        """Return what the engine needs to work on a deployment."""
        world = self.world(folder, options)
        limits = options.limits(**self.project.limits)
        return Context(world, owner, self.network, options, limits, feed, self.is_live, self.patience)

    def world(self, folder: Folder, options: DeployOptions) -> World:
        """Return all ports, with a folder and the time limits of the options."""
        return World(
            clock=self.clock,
            sleep=self.sleep,
            random=self.random,
            ids=self.ids,
            threads=self.threads,
            store=self.store(options),
            chain=self.chain,
            signer=self.signer(),
            journal=self.journal,
            checkpoints=self.checkpoints,
            folder=folder,
            hook=self.hook,
        )
