"""The enhanced script in a process of its own, on a real local network, in a temporary home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from walrus_sdk import local

pytestmark = pytest.mark.processes

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "deploy-walrus-site-enhanced.sh"
PROGRAM = f"""#!{sys.executable}
import sys
from walrus_sdk.cli.main import run
sys.exit(run())
"""


class Shell:
    """Runs the script; `program` is what it finds."""

    def __init__(self, place: Path) -> None:
        self.home, self.folder, self.program = place / "home", place / "out", place / "bin" / "waltodo"
        for folder in (self.folder, self.program.parent):
            folder.mkdir()
        self.program.write_text(PROGRAM)
        self.program.chmod(0o755)
        (self.folder / "index.html").write_text("<h1>one</h1>")
        (place / "walrus-sdk.toml").write_text('folder = "out"\nname = "tides"\n')
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB", "WAL", "SUI"))}
        self.environment = {**kept, "HOME": str(place), "WALRUS_DEPLOYMENT_HOME": str(self.home)}

    def run(self, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {**self.environment, "WALTODO_CLI_PATH": str(self.program), **environment}
        return subprocess.run(
            [str(SCRIPT), *args], env=env, cwd=self.folder.parent, capture_output=True, text=True, check=False
        )

    def __call__(self, *args: str, **environment: str) -> dict[str, Any]:
        done = self.run(*args, "--json", **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        last: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return last


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    local.ensure_running(made.home, shards=10, idle_s=120)
    try:
        yield made
    finally:
        local.stop(made.home)


def test_a_site_is_deployed_listed_shown_rolled_back_and_cleaned_up_by_the_script(shell: Shell) -> None:
    first = shell()
    assert (first["site_name"], first["version"]) == ("tides", 1)
    (shell.folder / "index.html").write_text("<h1>two</h1>")
    path = f"{shell.program.parent}{os.pathsep}{shell.environment['PATH']}"
    second = shell(str(shell.folder), "--site-name", "tides", WALTODO_CLI_PATH="", PATH=path)
    assert (second["site_id"], second["version"]) == (first["site_id"], 2)

    assert shell("--list-deployments")["deployment_id"] == first["deployment_id"], "newest first"
    assert shell("--deployment-status", second["deployment_id"])["status"] == "completed"
    assert shell("--monitor", "--status", second["deployment_id"])["status"] == "completed"
    assert shell("--rollback", second["deployment_id"])["version"] == 3
    assert shell("--resume", first["deployment_id"])["version"] == 1, "it is complete"
    assert shell("--cleanup-old", "0")["dry_run"] is False


def test_the_script_ends_as_the_command_does(shell: Shell) -> None:
    done = shell.run("--status", "deploy_1700000000000_0badcafe")
    assert (done.returncode, "deployment_not_found" in done.stderr) == (2, True)


def test_without_a_program_the_script_says_what_to_do(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    done = shell.run(WALTODO_CLI_PATH=str(tmp_path / "nowhere"))
    assert (done.returncode, "WALTODO_CLI_PATH" in done.stderr) == (2, True)
    assert not shell.home.exists()
