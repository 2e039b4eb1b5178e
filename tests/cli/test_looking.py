"""``list``, ``status``, ``verify``, ``open`` and the tools; start-up and completion."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from walrus_sdk import __version__
from walrus_sdk.codecs import quilt, redstuff
from walrus_sdk.errors import ConfigurationError
from walrus_sdk.model.options import Verify


def test_list_is_a_table_for_people_and_rows_for_programs(cli: Any, session: Any) -> None:
    other = replace(session.summaries[0], network="local", status="interrupted", resumable=True, progress=0.5)
    session.summaries.append(other)
    lines = cli("list").out.splitlines()
    assert lines[0].split() == ["deployment", "site", "network", "status", "stored", "started", "version"]
    assert "interrupted, can go on" in lines[2]
    assert "50%" in lines[2]
    rows = cli("list", "--json").objects
    assert [row["type"] for row in rows] == ["row", "row"]
    for name in ("deployment_id", "site_name", "network", "status", "progress", "started", "finished"):
        assert name in rows[0]
    assert [row["network"] for row in cli("list", "--network", "local", "--json").objects] == ["local"]


def test_a_cleanup_is_named_as_such_where_a_site_would_stand(cli: Any, session: Any) -> None:
    session.summaries[0] = replace(session.summaries[0], site_name="", site_id=None, verb="cleanup")
    assert cli("list").out.splitlines()[1].split()[1] == "(cleanup)"
    (row,) = cli("list", "--json").objects
    assert (row["site_name"], row["verb"]) == ("", "cleanup")
    page = cli("status", "deploy_1700000000000_0badcafe").out
    assert "what        cleanup" in page
    assert "not made yet" not in page


def test_status_is_a_page_for_people_and_everything_for_programs(cli: Any, session: Any) -> None:
    session.details = {
        "operations": [{"state": "done"}, {"state": "released"}],
        "errors": [{"n": 3, "operation": "store-0001", "code": "timeout_read", "message": "no answer"}],
        "events": [{"n": 1, "wall_ms": 0, "type": "deployment.planned", "data": {}}],
    }
    page = cli("status", "deploy_1700000000000_0badcafe").out
    assert "effects     2: 1 done, 1 released" in page
    assert "store-0001  timeout_read: no answer" in page
    assert cli("status", "deploy_1700000000000_0badcafe", "--json").last["operations"] == session.details["operations"]
    assert session.calls[-1] == ("status", "deploy_1700000000000_0badcafe")


def test_an_unknown_deployment_is_bad_input(cli: Any, session: Any) -> None:
    session.failure = ConfigurationError("deployment_not_found", "no such deployment")
    ran = cli("status", "deploy_1700000000000_0badcafe", "--json")
    assert (ran.code, ran.last["code"]) == (2, "deployment_not_found")


def test_verify_reads_all_unless_told_otherwise(cli: Any, session: Any) -> None:
    ran = cli("verify", "my-app", "--json")
    assert (ran.code, ran.last["verified"], ran.last["files"]) == (0, "all", 12)
    assert cli("verify", "my-app", "--how", "sample").code == 0
    assert session.calls == [("verify", ("my-app", Verify.ALL)), ("verify", ("my-app", Verify.SAMPLE))]


def test_open_shows_the_address_and_a_browser_to_a_person_only(cli: Any) -> None:
    assert cli("open", "my-app").out == "address  http://x.localhost:1/\n"
    cli.terminal = True
    assert cli("open", "my-app", "--no-browser").code == 0
    assert cli("open", "my-app", "--json").last["opened"] is False
    assert cli.shown == []
    assert cli("open", "my-app").code == 0
    assert cli.shown == ["http://x.localhost:1/"]


def test_blob_id_names_each_file(cli: Any, tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for number, file in enumerate(files):
        file.write_bytes(b"x" * number)
    rows = cli("blob-id", *map(str, files), "--shards", "10", "--json").objects
    assert [row["blob_id"] for row in rows] == [str(redstuff.blob_id(b"x" * number, 10)) for number in (0, 1)]
    assert rows[0]["blob_id"] in cli("blob-id", *map(str, files), "--shards", "10").out


def test_a_file_that_is_not_there_is_named(cli: Any, tmp_path: Path) -> None:
    ran = cli("blob-id", str(tmp_path / "nope"), "--json")
    assert (ran.code, ran.last["code"], ran.last["path"]) == (2, "file_unreadable", str(tmp_path / "nope"))


def test_quilt_inspect_lists_what_it_holds(cli: Any, tmp_path: Path) -> None:
    file = tmp_path / "quilt"
    files = [quilt.QuiltFile("a.html", b"hello"), quilt.QuiltFile("b.css", b"body{}")]
    file.write_bytes(bytes(quilt.encode(files, 10)))
    ran = cli("quilt", "inspect", str(file), "--shards", "10", "--json")
    assert [(patch["identifier"], patch["size"]) for patch in ran.last["patches"]] == [("a.html", 5), ("b.css", 6)]
    file.write_bytes(b"no quilt")
    assert cli("quilt", "inspect", str(file), "--json").code == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_writes_a_script_for_each_shell(cli: Any, shell: str) -> None:
    script = cli("completion", shell).out
    assert "_WALRUS_SDK_COMPLETE" in script
    assert cli("completion", shell, "--json").last["script"] in script


def test_the_shell_is_told_commands_and_options() -> None:
    command = [sys.executable, "-c", "from walrus_sdk.cli.main import run; run()"]
    asked = {"COMP_WORDS": "walrus-sdk deploy --site", "COMP_CWORD": "2", "_WALRUS_SDK_COMPLETE": "bash_complete"}
    answer = subprocess.run(command, env=asked, capture_output=True, text=True, timeout=60)
    assert "--site-name" in answer.stdout


def test_the_version_is_the_packages(cli: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli("--version").code == 0
    assert capsys.readouterr().out == f"walrus-sdk {__version__}\n"


def test_no_command_shows_the_help(cli: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli().code == 0
    assert "deploy" in capsys.readouterr().out


@pytest.mark.parametrize("args", [["--help"], ["deploy", "--help"], ["localnet", "--help"]])
def test_help_loads_nothing_heavy(args: list[str]) -> None:
    code = (
        "import json, sys; from walrus_sdk.cli.main import run; run(sys.argv[1:]);"
        "print(json.dumps([n for n in ('pandas', 'ipywidgets', 'httpx', 'numpy', 'rich') if n in sys.modules]))"
    )
    answer = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(answer.stdout.splitlines()[-1]) == []
