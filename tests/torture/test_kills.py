"""Processes killed at any moment (fault P1): what was acknowledged is there, and the same verb comes to its end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.torture.kills import Figures

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]


def figures_of(kills: int, seed: int, fresh_share: float = 0.1, *, calls: bool = False) -> Figures:
    """Run in a process of its own, which has no threads and may fork."""
    code = f"""
import dataclasses, json
from tests.torture.kills import run
print(json.dumps(dataclasses.asdict(run({kills}, {seed}, {fresh_share}, calls={calls}))))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stderr)  # what is wrong, when something is
    return Figures(**json.loads(done.stdout))


@pytest.mark.parametrize("fresh_share", [0.0, 0.5])
def test_whatever_is_killed_comes_to_its_end_and_nothing_acknowledged_is_lost(fresh_share: float) -> None:
    kills = 4 if fresh_share else 8
    figures = figures_of(kills, 1, fresh_share)
    assert figures.good, figures
    assert figures.kills >= kills
    assert figures.acknowledgements > 0
