"""How stores are paced: on the local network, and in the model of publishers in virtual time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.house import open_house, scratch, write_site
from benchmarks.rows import Row
from walrus_sdk.model import events
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.testing.publishers import POLICIES, SCENARIOS, Policy, Result, Scenario, run

__all__ = ["refused_bodies", "refused_bodies_of_many", "scenarios"]

_FILES, _SIZE = 300, 2_000_000
_LATENCY_S, _BYTES_PER_S = 2.0, 12_500_000
_SHAPE = {"latency_s": _LATENCY_S, "bytes_per_s": _BYTES_PER_S, "slots": 8, "queue": 8}


def refused_bodies() -> Iterator[Row]:
    """300 blobs of 2 MB against a publisher with 8 places and 8 more in its buffer: bodies refused of those sent.

    Over HTTP, on the local network with 100 shards. A store takes 2 s there, so that its places are what is short, and
    not the encoder of the machine or the wire.
    """
    yield _refused("default limits")


def refused_bodies_of_many() -> Iterator[Row]:
    """The same with 64 requests in flight allowed, so that only what is found out keeps them from being refused."""
    yield _refused("64 in flight allowed", concurrency=64)


def _refused(name: str, **asked: Any) -> Row:
    with scratch() as place, open_house(shards=100, **_SHAPE) as house:
        folder = write_site(place / "site", _FILES, _SIZE)
        timed = house.deploy(folder, "refused", max_quilt_files=1, **asked)
        refused = _refusals(house.home, timed.result.deployment_id)
    sent = timed.result.cost.requests + refused
    floor = max(_FILES * _LATENCY_S / 8, _FILES * _SIZE / _BYTES_PER_S + _LATENCY_S)
    note = f"{name}; {refused} of {sent}; {timed.store:.0f} s, the places allow {floor:.0f} s"
    return Row("bodies refused, 300 x 2 MB against 8 + 8 slots", "bodies sent", refused, sent, "bodies",
               refused / sent, 0.05, 0.01, at_most=True, note=note)  # fmt: skip


def _refusals(home: Path, deployment: DeploymentId) -> int:
    """Return how many stores of a deployment were refused because there were too many, by the journal."""
    with sqlite3.connect(home / "state" / "journal.db") as db:
        query = "select data from events where deployment = ? and type = ?"
        rows = db.execute(query, (str(deployment), events.EFFECT_FAILED)).fetchall()
    return sum(json.loads(data)["code"] == "rate_limited" for (data,) in rows)


def scenarios() -> Iterator[Row]:
    """Every scenario of the simulator, each against its floor, for what the product does and for other policies.

    Virtual time: these are a model's figures. Only the product's own way has limits to reach, in two of them.
    """
    for scenario in SCENARIOS:
        for policy in POLICIES:
            yield _row(scenario, policy, run(scenario, policy))


def _row(scenario: Scenario, policy: Policy, result: Result) -> Row:
    limit = aim = None
    if policy is POLICIES[0] and scenario.name == "16 quilts":
        limit, aim = 1.25, 1.10
    note = f"refused {result.refused} of {result.sent}, failed {result.failed}, at most {result.peak} in flight"
    floor = scenario.floor_s
    name = f"[sim] {scenario.name}: {policy.name}"
    return Row(name, "physical floor", result.seconds, floor, "s", result.seconds / floor, limit, aim, at_most=True,
               note=note)  # fmt: skip
