"""Whole commands on a real local network: its process, its chain, its ledger."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from walrus_sdk import local, settings
from walrus_sdk.cli.main import run
from walrus_sdk.cli.outside import Outside

pytestmark = pytest.mark.processes


class Shell:
    """Runs the program in a home of its own; `start` does so in a process of its own."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GITHUB", "WALRUS", "SUI"))},
            "WALRUS_DEPLOYMENT_HOME": str(home),
        }

    def start(self, *args: str, **options: Any) -> subprocess.Popen[str]:
        code = "import sys; from walrus_sdk.cli.main import run; sys.exit(run())"
        command = [sys.executable, "-c", code, *args]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(command, env=self.environment, cwd=self.folder.parent, text=True, **pipes)

    def __call__(self, *args: str) -> tuple[int, list[dict[str, Any]]]:
        """Run a command with ``--json`` in this process; returns its exit code and its objects."""
        out, err = io.StringIO(), io.StringIO()
        found = settings.load(self.environment, folder=self.folder)
        outside = Outside(out=out, err=err, stdin=io.StringIO(), load_settings=lambda: found)
        code = run([*(str(self.folder) if arg == "out" else arg for arg in args), "--json"], outside)
        assert "Traceback" not in err.getvalue(), err.getvalue()
        return code, [json.loads(line) for line in out.getvalue().splitlines()]

    def ledger(self) -> list[dict[str, Any]]:
        return self("localnet", "ledger")[1]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    home, folder = tmp_path / "home", tmp_path / "out"
    folder.mkdir()
    (folder / "index.html").write_text("<h1>hello</h1>")
    (folder / "a.css").write_text("body { color: #123 }")
    local.ensure_running(home, shards=10, idle_s=120)
    try:
        yield Shell(home, folder)
    finally:
        local.stop(home)


def until_storing(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the first progress that tells of a store whose bytes are on their way."""
    assert process.stdout is not None
    for line in process.stdout:
        found: dict[str, Any] = json.loads(line)
        if found["type"] != "progress" or (
            found["phase"] == "store" and found["bytes_sent"] == found["bytes_total"] > 0
        ):
            return found
    pytest.fail("it ended before it stored anything")


def test_a_folder_is_planned_deployed_listed_verified_and_served(shell: Shell) -> None:
    assert shell("plan", "out", "--site-name", "my-app", "--fail-on-change")[0] == 4
    ways = {way["name"]: way for way in shell("plan", "out", "--site-name", "my-app", "--packings")[1][-1]["packings"]}
    assert (ways["chosen"]["quilts"], ways["one blob a file"]["blobs"]) == (1, 2)
    assert int(ways["one blob a file"]["cost_frost"]) > int(ways["chosen"]["cost_frost"])
    assert shell.ledger() == [], "a plan spends nothing"

    code, objects = shell("deploy", "out", "--site-name", "my-app")
    result = objects[-1]
    assert (code, result["type"], result["version"], result["verified"]) == (0, "result", 1, "all")
    (store,) = shell.ledger()

    place = urlsplit(shell("open", "my-app")[1][-1]["url"])
    page = httpx.get(f"http://127.0.0.1:{place.port}/", headers={"Host": place.netloc}, trust_env=False)
    assert page.content == (shell.folder / "index.html").read_bytes()

    (row,) = shell("list")[1]
    assert (row["deployment_id"], row["status"], row["progress"]) == (result["deployment_id"], "completed", 1.0)
    report = shell("status", result["deployment_id"])[1][-1]
    assert [item["name"] for item in report["operations"] if item["kind"] == "store"] == [store["blob_id"]]
    for name in (result["site_id"], place.netloc.partition(".")[0], "my-app"):
        assert shell("verify", name)[1][-1]["files"] == 2

    code, objects = shell("deploy", "out", "--site-name", "my-app", "--yes")
    assert (code, objects[-1]["changed"], objects[-1]["digests"], len(shell.ledger())) == (0, False, [], 1)
    assert shell("plan", "out", "--site-name", "my-app", "--fail-on-change")[0] == 0


def test_a_limit_and_a_bad_folder_spend_nothing(shell: Shell) -> None:
    for args, number, code in (
        (("deploy", "out", "--max-cost", "1frost"), 2, "cost_limit"),
        (("deploy", "nowhere"), 2, "folder_missing"),
        (("deploy", "out", "--object-id", "0x1234"), 2, None),
        (("status", "deploy_1700000000000_0badcafe"), 2, "deployment_not_found"),
        (("verify", "no-such-site"), 2, "site_not_found"),
        (("localnet", "faults", "--rule", "nowhere=error"), 2, "option_invalid"),
    ):
        found, objects = shell(*args)
        assert (found, objects[-1]["type"]) == (number, "error"), args
        assert code in (None, objects[-1]["code"]), args
    assert shell.ledger() == []
    assert shell("list") == (0, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_what_is_paid_and_the_same_command_goes_on(shell: Shell, number: signal.Signals) -> None:
    shell("localnet", "faults", "--latency", "1s")
    with shell.start("deploy", "out", "--site-name", "my-app", "--json") as process:
        until_storing(process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    last = json.loads(out.splitlines()[-1])
    assert (process.returncode, last["code"], last["resumable"]) == (128 + number, "interrupted", True)
    assert "Traceback" not in err
    (row,) = shell("list")[1]
    assert (row["status"], row["deployment_id"]) == ("interrupted", last["deployment_id"])

    code, objects = shell("deploy", "out", "--site-name", "my-app")
    assert (code, objects[-1]["deployment_id"]) == (0, last["deployment_id"])
    paid = [item["blob_id"] for item in shell.ledger() if item["paid"]]
    assert len(paid) == len(set(paid)) == 1


def test_a_reader_that_goes_away_loses_nothing_but_the_lines(shell: Shell) -> None:
    with shell.start("deploy", "out", "--site-name", "my-app", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (0, "")
    assert shell("list")[1][0]["status"] == "completed"


def test_another_terminal_watches_a_deployment_to_its_end(shell: Shell) -> None:
    shell("localnet", "faults", "--latency", "2s")
    with shell.start("deploy", "out", "--site-name", "my-app", "--json") as process:
        until_storing(process)
        code, objects = shell("monitor")
        process.communicate(timeout=60)
    *progress, last = objects
    assert (code, last["type"], last["status"], last["files_done"]) == (0, "result", "completed", 2)
    assert {one["type"] for one in progress} == {"progress"}
    assert (progress[0]["phase"], progress[0]["live"], progress[0]["files_done"]) == ("store", True, 0)
    assert "the publisher's answer" in {wait["on"] for one in progress for wait in one["waiting"]}
    assert last["cpu_s"] > 0

    code, rows = shell("logs", last["deployment_id"])
    assert (code, [row["n"] for row in rows]) == (0, list(range(1, len(rows) + 1)))
    assert rows[-1]["to"] == "completed"
    assert {row["n"] for row in shell("logs", "--lines", "2")[1]} == {len(rows) - 1, len(rows)}


def test_what_was_killed_is_shown_as_it_stands_and_can_go_on(shell: Shell) -> None:
    shell("localnet", "faults", "--latency", "30s")
    with shell.start("deploy", "out", "--site-name", "my-app", "--json") as process:
        until_storing(process)
        process.kill()
    (row,) = shell("list")[1]
    code, objects = shell("monitor", row["deployment_id"])
    last = objects[-1]
    assert (code, last["status"], last["live"], last["resumable"]) == (3, "interrupted", False, True)
    assert last["waiting"][0]["on"] == f"somebody who goes on: walrus-sdk resume {row['deployment_id']}"
    assert shell("monitor")[1][-1]["code"] == "deployment_not_found"


def test_verbose_shows_every_event_as_it_happens(shell: Shell) -> None:
    with shell.start("deploy", "out", "--site-name", "my-app", "--verbose") as process:
        _, err = process.communicate(timeout=60)
    events = [line for line in err.splitlines() if "walrus_sdk.events" in line]
    assert len(events) == len(shell("logs", shell("list")[1][0]["deployment_id"])[1])
