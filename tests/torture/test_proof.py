"""The quick profile of the proof: some seeds, some pairs of deaths, and that the tests have teeth."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tests.torture import crashes, planted
from walrus_sdk.testing import virtual
from walrus_sdk.testing.simulation import run_seed


@pytest.mark.parametrize("first", range(0, 100, 20))
def test_seeds_live_and_come_to_their_end(first: int) -> None:
    for seed in range(first, first + 20):
        run_seed(seed)


def test_seeds_live_on_trio_too() -> None:
    for seed in range(200, 215):
        run_seed(seed, "trio")


@pytest.mark.processes
def test_a_seed_replays_exactly_whatever_the_order_of_hashes() -> None:
    code = "from walrus_sdk.testing.simulation import run_seed; print([run_seed(s).trace for s in range(300, 312)])"
    traces = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(traces) == 1


@pytest.mark.parametrize("verb", sorted(crashes.VERBS))
@pytest.mark.parametrize(("step", "commits"), [(19, False), (61, True)])
def test_pairs_of_deaths_of_each_verb(verb: str, step: int, commits: bool) -> None:
    found = crashes.run(verb, step, commits)
    assert found.pairs >= found.points > 0


@pytest.mark.parametrize("bug", planted.BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: planted.Bug) -> None:
    assert planted.hunt(bug) in proven()


def proven() -> set[str]:
    """Return the invariants that the page on the proof states."""
    page = Path(__file__).parents[2] / "docs" / "explanation" / "proof.md"
    rows = re.findall(r"^\| ([A-Z]+-\d[^|]*) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {name for row in rows for name in row.split(", ")}


@pytest.mark.parametrize("scenario", planted.SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_scenario_passes_without_its_bug(scenario: planted.Scenario) -> None:
    scenario()


def test_each_listed_bug_is_planted_or_said_not_to_apply_and_each_lie_is_planted() -> None:
    keys = {bug.key for bug in planted.BUGS} - {None}
    assert keys | planted.NOT_APPLICABLE.keys() == planted.LISTED.keys() | planted.LIES.keys()
    assert not keys & planted.NOT_APPLICABLE.keys()
    assert len({bug.name for bug in planted.BUGS}) == len(planted.BUGS)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_virtual_time_wakes_in_order_and_takes_none(backend: str) -> None:
    order: list[str] = []

    async def main() -> float:
        async def wait(name: str, seconds: float) -> None:
            await anyio.sleep(seconds)
            order.append(name)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, "day", 86_400)
            tasks.start_soon(wait, "second", 1)
            tasks.start_soon(wait, "hour", 3_600)
        return anyio.current_time()

    assert virtual.run(main, backend) >= 86_400
    assert order == ["second", "hour", "day"]


def test_a_program_that_can_never_end_is_told_so() -> None:
    with pytest.raises(virtual.Stuck):
        virtual.run(anyio.sleep_forever)
