"""The recovery commands over a simulated world: what they print for programs and people, and their exit codes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from walrus_sdk.service.verbs import Session
from walrus_sdk.settings import Settings
from walrus_sdk.testing import SimulatedWorld


class InWorld:
    """Opens sessions on a simulated world."""

    def __init__(self, world: SimulatedWorld) -> None:
        self.world = world

    @asynccontextmanager
    async def open(self, settings: Settings, **where: Any) -> AsyncIterator[Session]:
        yield self.world.session


@pytest.fixture
def world(cli: Any) -> SimulatedWorld:
    made = SimulatedWorld()
    cli.session = InWorld(made)
    return made


DEPLOY = ("deploy", "/site", "--site-name", "simulated")


def die(world: SimulatedWorld, point: str) -> None:
    assert anyio.run(world.dies, point)


def test_a_dead_deployment_is_listed_as_interrupted_and_resumed(cli: Any, world: SimulatedWorld) -> None:
    die(world, "store.outcome.before")
    (row,) = cli("list", "--json").objects
    assert (row["status"], row["resumable"]) == ("interrupted", True)
    ran = cli("resume", "--json")
    assert (ran.code, ran.last["deployment_id"], ran.last["version"]) == (0, row["deployment_id"], 1)
    again = cli("resume", row["deployment_id"], "--json")
    assert {**again.last, "time": None} == {**ran.last, "time": None}, "resume of a finished one tells the same"
    assert cli("resume", "--json").last["code"] == "deployment_not_found"
    assert set(world.paid().values()) == {1}


def test_a_dead_deployment_is_cancelled_with_a_reason(cli: Any, world: SimulatedWorld) -> None:
    die(world, "store.outcome.before")
    name = cli("list", "--json").last["deployment_id"]
    assert cli("cancel", name, "--reason", "not wanted", "--json").last["status"] == "cancelled"
    assert cli("list", "--json").last["reason"] == "not wanted"
    ran = cli("resume", name, "--json")
    assert (ran.code, ran.last["code"]) == (2, "illegal_move")


def test_rollback_lock_and_unlock(cli: Any, world: SimulatedWorld) -> None:
    cli(*DEPLOY, "--message", "one", "--tag", "v1")
    world.files["about.html"] = b"changed"
    cli(*DEPLOY, "--message", "two")
    versions = cli("versions", "simulated", "--json").objects
    assert [(row["version"], row["message"], row["tags"]) for row in versions] == [(2, "two", []), (1, "one", ["v1"])]
    assert "2 *" in cli("versions", "simulated").out
    assert cli("diff", "simulated@1", "simulated@2", "--json").last["changed"] == ["/about.html"]
    assert cli("rollback", "simulated", "--dry-run", "--json").last["replace"] == ["/about.html"]
    ran = cli("rollback", "simulated", "--reason", "broken build", "--json")
    assert (ran.code, ran.last["version"], ran.last["stores"]) == (0, 3, 0)
    locked = cli(*DEPLOY, "--json")
    assert (locked.code, locked.last["code"], locked.last["reason"]) == (3, "site_locked", "broken build")
    assert "broken build" in cli(*DEPLOY).err
    assert cli("unlock", "simulated", "--json").last["was_locked"] is True
    assert cli(*DEPLOY, "--json").code == 0
    assert cli("lock", "simulated", "--reason", "freeze", "--json").last["reason"] == "freeze"
    assert cli("rollback", "simulated", "--to", "99", "--json").code == 2


def test_a_version_is_downloaded(cli: Any, world: SimulatedWorld, tmp_path: Path) -> None:
    cli(*DEPLOY)
    ran = cli("download", "simulated@1", str(tmp_path / "copy"), "--json")
    assert (ran.code, ran.last["files"]) == (0, 4)
    assert (tmp_path / "copy" / "index.html").read_bytes() == world.files["index.html"]


def test_cleanup_shows_first_and_does_it_with_yes(cli: Any, world: SimulatedWorld) -> None:
    for number in range(3):
        world.files["about.html"] = b"version %d" % number
        cli(*DEPLOY, "--deletable")
        world.clock.advance(86_400)
    cli("pin", "simulated@1")
    options = ("--older-than", "1d", "--keep-last", "1")
    shown = cli("cleanup", *options, "--json").last
    assert (shown["dry_run"], len(shown["deleted"])) == (True, 1)
    assert "the same with --yes does it" in cli("cleanup", *options).out
    done = cli("cleanup", *options, "--yes", "--json").last
    assert (done["dry_run"], done["deleted"]) == (False, shown["deleted"])
    assert [row["version"] for row in cli("versions", "simulated", "--json").objects] == [3, 1]


def test_doctor_ends_with_an_exit_code_and_exports_plain_json(cli: Any, world: SimulatedWorld, tmp_path: Path) -> None:
    cli(*DEPLOY)
    ran = cli("doctor", "--json")
    assert (ran.code, ran.last["healthy"]) == (0, True)
    assert cli("doctor", "export", "--json").code == 2
    target = tmp_path / "state.json"
    assert cli("doctor", "export", str(target), "--json").last["rows"] > 10
    assert target.stat().st_mode & 0o777 == 0o600
    assert cli("doctor", "export", str(target), "--json").code == 2, "nothing is overwritten"
    assert cli("adopt", "simulated", "--json").last["version"] == 1


def test_a_drill_tells_what_it_would_have_cost(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("home")
    ran = cli("drill", str(tmp_path), "--points", "5", "--json")
    assert (ran.code, ran.last["good"], ran.last["files"]) == (0, True, 1)
    assert int(ran.last["most_extra_frost"]) >= 0
    assert cli("drill", str(tmp_path / "nowhere"), "--json").code == 2


def test_pause_and_continue_want_a_deployment_that_somebody_works_on(cli: Any, world: SimulatedWorld) -> None:
    assert cli("pause", "--json").last["code"] == "deployment_not_found"
    die(world, "store.outcome.before")
    name = cli("list", "--json").last["deployment_id"]
    for verb in ("pause", "continue"):
        ran = cli(verb, name, "--json")
        assert (ran.code, ran.last["code"]) == (2, "illegal_move")
        assert "known as" not in cli(verb, name).err, "nobody wanted to resume it"


def test_a_deployment_is_paused_shown_as_paused_and_continued(cli: Any, world: SimulatedWorld) -> None:
    die(world, "store.outcome.before")
    (row,) = cli("list", "--json").objects
    world.disk.held.add(row["deployment_id"])  # another process took it up
    assert cli("pause", "--reason", "lunch", "--json").last["status"] == "paused"
    again = cli("pause", "--json")
    assert (again.code, again.last["status"]) == (0, "paused"), "once more is no mistake"
    assert cli("list", "--json").last["status"] == "paused"
    assert "paused" in cli("status", row["deployment_id"]).out
    assert cli("continue", "--json").last["status"] == "uploading"
    assert cli("list", "--json").last["status"] == "uploading"
