"""``metrics`` and ``alerts`` over a home that is there; no network."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from walrus_sdk.cli.main import run
from walrus_sdk.cli.outside import Outside
from walrus_sdk.journal.store import open_journal
from walrus_sdk.machine.clock import SystemClock
from walrus_sdk.model import events
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change, Put
from walrus_sdk.settings import Settings, load

ONE = DeploymentId("deploy_1700000000000_0badcafe")
ALERT = {
    "rule": "stuck",
    "kind": "stuck",
    "subject": str(ONE),
    "severity": "warning",
    "deployment": str(ONE),
    "fired_ms": 1_700_000_000_000,
    "value": 130.0,
    "threshold": 120.0,
    "unit": "s",
    "message": "no progress",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    async def fill() -> None:
        async with open_journal(tmp_path / "home", SystemClock()) as journal:
            owner = await journal.claim(ONE, new=True)
            row = {"status": "failed", "verb": "deploy", "network": "local", "chain": "c", "site_name": "tides",
                   "created_ms": 1, "updated_ms": 2, "reason": "store_failed: no"}  # fmt: skip
            planned = {"files": 3, "stores": 1, "cost_frost": "700", "gas_mist": "9", "skipped_bytes": 40}
            named = {"operation": "store-1", "blob_id": "b", "files": 2, "bytes": 60, "encode_s": 0.5}
            effect = {"kind": "store", "name": "b", "operation": "store-1"}
            failed = {**effect, "code": "store_failed", "message": "no", "open": False, "endpoint": "https://p.x/v1"}
            await journal.append(
                owner,
                [
                    Change(events.DEPLOYMENT_PLANNED, planned, (Put("deployments", {"id": str(ONE)}, row),)),
                    Change(events.STORE_NAMED, named),
                    Change(events.EFFECT_INTENT, {**effect, "attempt": 1}),
                    Change(events.EFFECT_FAILED, failed),
                    Change(events.DEPLOYMENT_STATUS, {"from": "uploading", "to": "failed"}),
                ],
            )
            past = {**ALERT, "rule": "disk", "subject": "home", "deployment": None, "cleared_ms": 1_700_000_009_000}
            puts = (Put("alerts", {"n": 1}, ALERT), Put("alerts", {"n": 2}, past))
            await journal.append(None, [Change("alerts", puts=puts)])
            await journal.release(owner)

    anyio.run(fill)
    return tmp_path / "home"


@pytest.fixture
def program(home: Path) -> Any:
    def call(*args: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        settings = Settings(home=home, user_home=home)
        return run(args, Outside(out=out, err=err, stdin=io.StringIO(), load_settings=lambda: settings)), *(
            stream.getvalue() for stream in (out, err)
        )

    return call


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_figures_of_a_home_are_rows(program: Any) -> None:
    code, out, _ = program("metrics", "--json")
    assert code == 0
    found = {(row["metric"], *row["labels"].values()): row["value"] for row in objects(out)}
    assert found["walrus_sdk_deployments_total", "local", "deploy", "failed"] == 1
    assert found["walrus_sdk_errors_total", "local", "store", "store_failed", "https://p.x"] == 1
    assert found["walrus_sdk_phase_seconds_total", "local", "encode"] == 0.5
    assert found["walrus_sdk_alerts_firing", "stuck", "warning"] == 1
    assert found["walrus_sdk_alerts_firing", "disk", "warning"] == 0
    assert "walrus_sdk_skipped_bytes_total" in program("metrics")[1]


def test_figures_of_a_deployment_are_a_page_or_an_object(program: Any) -> None:
    code, out, _ = program("metrics", str(ONE), "--json")
    (found,) = objects(out)
    assert (code, found["status"], found["planned_frost"], found["error_rate"]) == (0, "failed", "700", 1.0)
    assert found["failures"] == [{"kind": "store", "code": "store_failed", "endpoint": "https://p.x", "count": 1}]
    assert "1 × store_failed of a store https://p.x" in program("metrics", str(ONE))[1]


def test_a_deployment_that_is_not_there_and_options_that_do_not_go_together_are_bad_input(program: Any) -> None:
    assert program("metrics", "deploy_1700000000000_ffffffff", "--json")[0] == 2
    assert program("metrics", str(ONE), "--serve")[0] == 2
    assert program("metrics", "--costs")[0] == 2
    assert program("metrics", "--serve", "--port", "0", "--bind", "192.0.2.1")[0] == 2


def test_the_text_file_is_written(program: Any, tmp_path: Path) -> None:
    code, out, _ = program("metrics", "--textfile", str(tmp_path / "w.prom"), "--json")
    assert (code, objects(out)[0]["file"]) == (0, str(tmp_path / "w.prom"))
    assert list(text_string_to_metric_families((tmp_path / "w.prom").read_text()))
    code, _, err = program("metrics", "--textfile", str(tmp_path / "nowhere" / "w.prom"))
    assert "state_unwritable" in err
    assert code != 0


def test_without_the_client_library_one_sentence_says_what_to_install(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client.core", None)
    code, _, err = program("metrics", "--textfile", str(tmp_path / "w.prom"))
    assert code == 2
    assert "pip install 'walrus-sdk[metrics]'" in err


def test_alerts_are_listed_those_that_fire_unless_all_are_asked_for(program: Any) -> None:
    assert [row["rule"] for row in objects(program("alerts", "--json")[1])] == ["stuck"]
    assert [row["state"] for row in objects(program("alerts", "--all", "--json")[1])] == ["firing", "cleared"]
    assert [row["rule"] for row in objects(program("alerts", str(ONE), "--all", "--json")[1])] == ["stuck"]
    assert "no progress" in program("alerts")[1]


def test_a_file_of_rules_that_is_wrong_is_told_with_its_place(program: Any, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    for text, named in (
        ("[alerts.stuck]\nafter = 3\n", "alerts.stuck.after"),
        ("[stuck]\nafter_s = 3\n", "stuck: expected [alerts.NAME]"),
        ("[webhooks]\nops = 3\n", "webhooks: expected addresses"),
        ("[webhooks]\nops = 'https://h.example/x'\n", "not among the allowed origins"),
        ("nonsense", str(rules)),
    ):
        rules.write_text(text)
        code, _, err = program("alerts", "--watch", "--rules", str(rules))
        assert (code, named in err) == (2, True), err


def test_the_project_file_has_rules_and_webhooks_whose_addresses_are_not_shown(tmp_path: Path) -> None:
    text = "[alerts.stuck]\nafter_s = 120\n[webhooks]\nops = 'https://h.example/T0/secret'\n"
    (tmp_path / "walrus-sdk.toml").write_text(text)
    env = {"HOME": str(tmp_path), "WALRUS_WEBHOOK_KEY": "k" * 30, "WALRUS_WEBHOOK_ORIGINS": "https://a, https://b"}
    found = load(env, folder=tmp_path)
    assert found.project.alerts == {"stuck": {"after_s": 120}}
    assert found.project.webhooks == {"ops": "https://h.example/T0/secret"}
    assert found.webhook_origins == ("https://a", "https://b")
    assert "secret" not in repr(found)
    assert "kkk" not in repr(found)


@pytest.mark.processes
def test_a_server_and_a_watcher_run_until_a_signal_ends_them_which_is_well(home: Path, tmp_path: Path) -> None:
    def start(*args: str) -> subprocess.Popen[str]:
        code = "import sys; from walrus_sdk.cli.main import run; sys.exit(run())"
        command = [sys.executable, "-c", code, *args, "--json", "--home", str(home)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
                                env={**os.environ, "HOME": str(tmp_path)})  # fmt: skip

    rules = tmp_path / "rules.toml"
    rules.write_text("[alerts.full]\nkind = 'disk'\nbelow_bytes = 1e30\n")
    for args, check in (
        (("metrics", "--serve", "--port", "0"), lambda said: httpx.get(said["url"]).raise_for_status()),
        (("alerts", "--watch", "--rules", str(rules)), lambda said: said["rule"] in ("full", "failed")),
    ):
        process = start(*args)
        try:
            assert process.stdout is not None
            assert check(json.loads(process.stdout.readline()))
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, process.communicate()
        finally:
            process.kill()
            process.communicate()
