"""A journal in memory, a clock that moves when told, and a deployment whose events a test writes itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from walrus_sdk.errors import NetworkError
from walrus_sdk.model import events
from walrus_sdk.model.alerts import Notice
from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.samples import Resources, Sample
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change, Drop, Ownership, Put
from walrus_sdk.testing.death import Life
from walrus_sdk.testing.journal import Disk, MemoryJournal, MemoryTail
from walrus_sdk.testing.machine import ManualClock
from walrus_sdk.watch.gather import Eyes
from walrus_sdk.watch.monitor import Monitor
from walrus_sdk.watch.rules import parse

PUBLISHER = "https://publisher.example.com/v1/quilts"


def deployment_id(number: int) -> DeploymentId:
    return DeploymentId(f"deploy_180000000000{number}_0000000{number}")


@dataclass
class Deployment:
    """A deployment as its owner writes it, one event at a time."""

    watched: Watched
    owner: Ownership
    row: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.owner.deployment)

    async def write(self, kind: str, data: Mapping[str, Any], *puts: Put) -> None:
        await self.watched.journal.append(self.owner, [Change(kind, data, puts)])

    async def move(self, status: str, reason: str = "") -> None:
        values = {"status": status, "updated_ms": self.watched.clock.wall_ms(), "reason": reason}
        row = Put("deployments", {"id": self.id}, values)
        await self.write(events.DEPLOYMENT_STATUS, {"from": self.row["status"], "to": status}, row)
        self.row["status"] = status

    async def begin(self, name: str, attempt: int = 1) -> None:
        data = {"kind": "store", "name": f"blob-{name}", "operation": f"store-{name}", "attempt": attempt}
        await self.write(events.EFFECT_INTENT, data)

    async def release(self, name: str) -> None:
        await self.write(events.EFFECT_RELEASED, {"kind": "store", "name": f"blob-{name}"})

    async def done(self, name: str, cost: int = 1000) -> None:
        outcome = {"cost_frost": str(cost), "endpoint": PUBLISHER}
        data = {"kind": "store", "name": f"blob-{name}", "operation": f"store-{name}", "how": "done"}
        await self.write(events.EFFECT_DONE, {**data, "outcome": outcome})

    async def failed(self, name: str, code: str = "store_failed") -> None:
        data = {"kind": "store", "name": f"blob-{name}", "operation": f"store-{name}", "code": code}
        await self.write(events.EFFECT_FAILED, {**data, "message": "no", "open": False, "endpoint": PUBLISHER})

    async def end_owner(self) -> None:
        await self.watched.journal.release(self.owner)


@dataclass
class Watched:
    """A home in memory, and monitors of it."""

    disk: Disk = field(default_factory=Disk)
    clock: ManualClock = field(default_factory=ManualClock)
    told: list[Notice] = field(default_factory=list)
    disk_free: int | None = None

    def __post_init__(self) -> None:
        self.journal = MemoryJournal(self.disk, self.clock, Life())

    async def deployment(self, number: int = 1, **facts: Any) -> Deployment:
        owner = await self.journal.claim(deployment_id(number), new=True)
        row = {"status": "pending", "verb": "deploy", "chain": "c", "network": "testnet", "site_name": "tides"}
        row |= {"created_ms": self.clock.wall_ms(), "updated_ms": self.clock.wall_ms(), "can_resume": 1, **facts}
        found = Deployment(self, owner, row)
        planned = {"files": 3, "stores": 2, "cost_frost": "2000", "max_cost_frost": "4000", "gas_mist": "7",
                   "store_bytes": 300, "skipped_bytes": 100, "end_epoch": 15, "epochs": 5, "scan_s": 0.5}  # fmt: skip
        await found.write(events.DEPLOYMENT_PLANNED, planned, Put("deployments", {"id": found.id}, row))
        return found

    async def forget(self, deployment: Deployment) -> None:
        drops = (Drop("events", {"deployment": deployment.id}), Drop("deployments", {"id": deployment.id}))
        await self.journal.append(deployment.owner, [Change("forgotten", {}, (), drops)])

    @property
    def eyes(self) -> Eyes:
        return Eyes(lambda which: str(which) in self.disk.held, MemoryTail(self.disk), lambda: self.disk_free)

    async def sample(self, deployment: Deployment, **facts: int) -> None:
        """Write a sample as the process that works on a deployment does."""
        progress, resources = Progress(phase=Phase.STORE, **facts), Resources(1.5, 5000, 7, 9000)
        sample = Sample(0, self.clock.wall_ms(), deployment.owner.incarnation, progress, resources=resources)
        values = {"deployment": deployment.id, "wall_ms": sample.wall_ms, "data": sample.data()}
        await self.journal.append(None, [Change("sample", puts=(Put("samples", {}, values),))])

    def monitor(self, table: Mapping[str, Any], **options: Any) -> Monitor:
        """A monitor of these rules only, as a process would start it."""
        rules = parse(table, defaults=False)
        given = {"clock": self.clock, "sleep": self.clock.sleep, "tellers": [self.told.append]} | options
        return Monitor(self.journal, rules, self.eyes, **given)

    async def alerts(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.journal.rows("alerts")]

    def heard(self) -> list[str]:
        """What was told: rule and state."""
        return [f"{notice.alert.rule} {notice.state}" for notice in self.told]


@pytest.fixture
def watched() -> Watched:
    return Watched()


class Receiver:
    """Takes webhooks; `answers` are statuses, or codes of failures, of the next requests; after them 204."""

    def __init__(self) -> None:
        self.answers: list[int | str] = []
        self.requests: list[tuple[str, bytes, dict[str, str]]] = []

    async def __call__(self, url: str, content: bytes, headers: Mapping[str, str], limit_s: float) -> int:
        self.requests.append((url, content, dict(headers)))
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, str):
            raise NetworkError(answer, "it is away")
        return answer


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()
