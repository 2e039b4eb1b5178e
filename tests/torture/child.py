"""A child that carries out one verb and tells each event of the journal as soon as it is acknowledged to it.

It imports what a deploying program imports, and nothing of the local network's server: a tenth of the children that
are killed are fresh interpreters.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio

from walrus_sdk.codecs.keys import PrivateKey
from walrus_sdk.localnet.genesis import Genesis
from walrus_sdk.localnet.world import network_of
from walrus_sdk.machine.threads import SystemThreads
from walrus_sdk.model.deployment import Event
from walrus_sdk.model.options import DeployOptions, RecoveryOptions
from walrus_sdk.ports import Change, Ownership
from walrus_sdk.service import session
from walrus_sdk.service.logged import LoggedJournal
from walrus_sdk.settings import Settings
from walrus_sdk.sui.signers import KeySigner

__all__ = ["CONCURRENCY", "KEPT", "NAME", "Task", "work"]

NAME = "killed"
CONCURRENCY = 4
KEPT = 3
"""Versions that a cleanup keeps."""
_SETTLE_S = 0.15


@dataclass(frozen=True, slots=True)
class Task:
    """What a child does, all of it JSON-ready."""

    home: str
    folder: str
    facts: dict[str, Any]
    verb: str
    arguments: dict[str, Any] = field(default_factory=dict)
    backend: str = "asyncio"


def work(task: Task, pipe: int, *, forked: bool) -> None:
    """Carry out a task and tell what was acknowledged, a line each."""

    def tell(kind: str, value: Any) -> None:
        data = json.dumps({kind: value}).encode() + b"\n"
        while data:
            data = data[os.write(pipe, data) :]

    class Telling(LoggedJournal):
        async def append(self, owner: Ownership | None, changes: Sequence[Change]) -> Sequence[Event]:
            made = await super().append(owner, changes)
            for event in made:
                where = (str(event.deployment), event.number, event.incarnation)
                tell("event", [*where, event.type, dict(event.data)])
            return made

    setattr(session, "LoggedJournal", Telling)  # noqa: B010  # this process is all ours
    if forked:  # what is imported here need not be imported again by a worker process for a millisecond's work
        setattr(SystemThreads, "compute", SystemThreads.run)  # noqa: B010
    tell("begun", True)
    try:
        tell("result", anyio.run(_verb, task, backend=task.backend))
    except BaseException:
        tell("error", traceback.format_exc())
        raise


async def _verb(task: Task) -> Any:
    home, key = Path(task.home), PrivateKey.from_suiprivkey(task.facts["key"])
    settings = Settings(home=home, user_home=home, ci=True)
    genesis = Genesis.from_json(task.facts["genesis"].encode())
    network = replace(network_of(genesis, task.facts["url"]), settle_s=_SETTLE_S, grace_s=1.0)
    options = DeployOptions(
        site_name=NAME,
        max_quilt_files=4,
        concurrency=CONCURRENCY,
        max_delete=1.0,
        recovery=RecoveryOptions(retry_delay_s=0.05),
    )
    async with session.open_session(settings, network=network, signer=KeySigner(key)) as sites:
        verbs: Mapping[str, Callable[..., Any]] = {
            "deploy": lambda: sites.deploy(task.folder, options),
            "resume": lambda deployment: sites.resume(deployment, options),
            "rollback": lambda to: sites.rollback(NAME, options, to=to, lock=False),
            "cancel": lambda deployment: sites.cancel(deployment),
            "cleanup": lambda days: sites.cleanup(options, older_than_days=days, keep_last=KEPT, dry_run=False),
        }
        result = await verbs[task.verb](**task.arguments)
    return result.to_json() if result is not None else None


if __name__ == "__main__":
    work(Task(**json.loads(sys.argv[2])), int(sys.argv[1]), forked=False)
