"""``deploy`` and ``plan``: what is asked of the service, and what is said of its answer."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from walrus_sdk.errors import LimitError, ValidationError
from walrus_sdk.model.options import DeployOptions, RecoveryOptions, Verify
from walrus_sdk.model.plan import SiteChange
from walrus_sdk.model.units import Frost, ObjectId
from walrus_sdk.settings import Project


def test_no_option_means_the_service_own_defaults(cli: Any) -> None:
    assert cli("deploy", "out").code == 0
    assert cli.options == DeployOptions()


def test_every_option_reaches_the_service(cli: Any) -> None:
    given = (
        "--site-name my-app --object-id 0x7 --epochs 9 --message hi --ws-resources rules.json --ignore /a/* "
        "--ignore *.map --allow-file key.pem --write-object-id --deletable --fresh --repack --verify sample --max-cost "
        "0.5 --max-delete 25% --max-quilt-size 1MiB --max-quilt-files 10 --concurrency 4 --max-bodies 3 "
        "--max-memory 64MiB --max-bandwidth 50M --deadline 30m --settle-time 2s "
        "--wal-price 0.4 --sui-price 3 --max-retries 1 --retry-delay 250ms --timeout 90s"
    ).split()
    assert cli("deploy", "out", *given).code == 0
    assert cli.options == DeployOptions(
        site_name="my-app",
        object_id=ObjectId.parse("0x7"),
        epochs=9,
        message="hi",
        ws_resources=str(Path("rules.json").absolute()),
        ignore=("/a/*", "*.map"),
        allow_files=("key.pem",),
        write_object_id=True,
        deletable=True,
        fresh=True,
        repack=True,
        verify=Verify.SAMPLE,
        max_cost=Frost(500_000_000),
        max_delete=0.25,
        max_quilt_size=1024 * 1024,
        max_quilt_files=10,
        concurrency=4,
        max_bodies=3,
        max_memory=64 * 1024 * 1024,
        max_bandwidth=50 * 1024 * 1024,
        deadline_s=1800.0,
        settle_s=2.0,
        wal_price=Decimal("0.4"),
        sui_price=Decimal(3),
        recovery=RecoveryOptions(max_retries=1, retry_delay_s=0.25, timeout_s=90.0),
    )


def test_where_to_go_is_handed_to_the_session(cli: Any, session: Any, tmp_path: Path) -> None:
    urls = (
        "--publisher http://a --publisher http://b --aggregator http://c --graphql http://d --portal http://e".split()
    )
    assert cli("deploy", "out", "--network", "testnet", "--home", str(tmp_path / "h"), *urls).code == 0
    (opened,) = session.opened
    assert opened.pop("settings").home == tmp_path / "h"
    assert opened == {
        "network": "testnet",
        "publisher": ("http://a", "http://b"),
        "aggregator": ("http://c",),
        "graphql": ("http://d",),
        "portal": "http://e",
    }


def test_the_folder_comes_from_the_project_file_when_none_is_named(cli: Any, session: Any, tmp_path: Path) -> None:
    cli.set(project=Project(folder="dist", path=tmp_path / "walrus-sdk.toml"))
    assert cli("deploy").code == 0
    assert session.calls[0][1][0] == tmp_path / "dist"


def test_no_folder_at_all_is_a_usage_error(cli: Any, session: Any) -> None:
    ran = cli("deploy", "--json")
    assert (ran.code, ran.last["code"], session.calls) == (2, "option_invalid", [])


def test_json_ends_with_the_result_and_holds_nothing_else(cli: Any) -> None:
    ran = cli("deploy", "out", "--json")
    assert [item["type"] for item in ran.objects] == ["progress", "result"], "the clock stands: one progress object"
    assert {(item["v"], item["time"]) for item in ran.objects} == {(1, "2023-11-14T22:13:20.000+00:00")}
    for name in ("deployment_id", "site_id", "site_name", "url", "version", "digests", "verified"):
        assert name in ran.last
    assert (ran.last["cost_frost"], ran.last["gas_mist"]) == ("1500000000", "20000000")
    assert ran.err == ""


def test_people_get_lines_of_progress_and_a_page(cli: Any) -> None:
    ran = cli("deploy", "out")
    assert "address     http://x.localhost:1/" in ran.out
    assert "1.5 WAL" in ran.out
    assert ran.err.splitlines()[0] == "preparing: 2 of 2 files read, 2.6 kB"
    assert ran.err.splitlines()[-1] == "done"


def test_a_payment_in_vain_and_warnings_are_named(cli: Any, session: Any) -> None:
    session.result = replace(session.result, possibly_paid_in_vain=("B" * 43,), warnings=("epochs run out",))
    ran = cli("deploy", "out")
    assert "B" * 43 in ran.out
    assert "epochs run out" in ran.out


def test_the_cost_is_shown_in_usd_when_prices_are_given(cli: Any) -> None:
    prices = ("--wal-price", "0.5", "--sui-price", "2")
    assert Decimal(cli("plan", "out", *prices, "--json").last["cost_usd"]) == Decimal("0.79")
    assert "0.790000" in cli("deploy", "out", *prices).out
    assert "cost_usd" not in cli("plan", "out", "--json").last


def test_plan_spends_nothing_and_fails_on_change_only_when_asked(cli: Any, session: Any) -> None:
    assert cli("plan", "out").code == 0
    assert cli("plan", "out", "--fail-on-change").code == 4
    session.plan_ = replace(session.plan_, change=SiteChange())
    ran = cli("plan", "out", "--fail-on-change", "--json")
    assert (ran.code, ran.last["type"], ran.last["nothing_to_do"]) == (0, "result", True)
    assert set(session.verbs) == {"plan"}


# ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────────

TESTNET = ("deploy", "out", "--network", "testnet")


def test_a_person_is_asked_before_anything_is_spent_on_a_real_network(cli: Any, session: Any) -> None:
    cli.terminal, cli.answer = True, "y\n"
    ran = cli(*TESTNET)
    assert ran.code == 0
    assert "'my-app' on testnet, for 1.5 WAL" in ran.err
    assert session.verbs == ["plan", "list", "apply"]


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_any_answer_but_yes_spends_nothing(cli: Any, session: Any, answer: str) -> None:
    cli.terminal, cli.answer = True, answer
    ran = cli(*TESTNET)
    assert (ran.code, "apply" in session.verbs) == (2, False)
    assert "confirmation_needed" in ran.err


@pytest.mark.parametrize("why", ["--yes", "--json", "ci", "pipe", "local"])
def test_nobody_is_asked_where_nobody_is_to_be_asked(cli: Any, session: Any, why: str) -> None:
    cli.terminal = why != "pipe"
    cli.set(ci=why == "ci")
    args = ("deploy", "out") if why == "local" else TESTNET
    ran = cli(*args, *([why] if why.startswith("--") else []))
    assert (ran.code, session.verbs) == (0, ["deploy"])
    assert "[y/N]" not in ran.err


def test_an_unfinished_deployment_of_the_same_request_goes_on_without_asking(cli: Any, session: Any) -> None:
    cli.terminal = True
    session.summaries = [replace(session.summaries[0], status="interrupted", resumable=True)]
    session.details = {"plan": {"request_digest": session.plan_.request_digest}}
    ran = cli(*TESTNET)
    assert (ran.code, session.verbs) == (0, ["plan", "list", "status", "deploy"])
    session.details = {"plan": {"request_digest": "another"}}
    assert cli(*TESTNET).code == 2, "another request is asked about"
    session.details = {"plan": {"request_digest": session.plan_.request_digest}}
    assert cli(*TESTNET, "--fresh").code == 2, "and so is one that pays anew"


def test_a_plan_that_does_nothing_is_not_asked_about(cli: Any, session: Any) -> None:
    cli.terminal = True
    session.plan_ = replace(session.plan_, change=SiteChange())
    assert cli(*TESTNET).code == 0
    assert session.verbs[-1] == "apply"


def test_an_unknown_network_is_said_before_a_session_opens(cli: Any, session: Any) -> None:
    ran = cli("deploy", "out", "--network", "moonnet", "--json")
    assert (ran.code, ran.last["code"], session.opened) == (2, "network_unknown", [])


# ── failures ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_limit_ends_with_2_and_an_error_object(cli: Any, session: Any) -> None:
    session.failure = LimitError("cost_limit", "the plan costs too much")
    ran = cli("deploy", "out", "--json")
    assert ran.code == 2
    assert ran.last["type"] == "error"
    for name in ("code", "class", "message", "next_step", "resumable", "deployment_id"):
        assert name in ran.last


def test_an_error_for_people_has_its_code_its_file_and_the_next_step(cli: Any, session: Any) -> None:
    session.failure = ValidationError("file_unreadable", "permission denied", path="a/b.html")
    ran = cli("deploy", "out")
    assert ran.out == ""
    assert "error: permission denied [file_unreadable]" in ran.err
    assert "a/b.html" in ran.err
    assert session.failure.next_step in ran.err


def test_the_files_that_an_error_is_about_are_named_up_to_a_bound(cli: Any, session: Any) -> None:
    session.failure = ValidationError("file_changed", "files changed", paths=[f"p{n}.html" for n in range(30)])
    ran = cli("deploy", "out")
    assert "p0.html" in ran.err
    assert "and 20 more" in ran.err


def test_foreign_text_cannot_drive_the_terminal(cli: Any, session: Any) -> None:
    session.failure = ValidationError("path_invalid", "bad name \x1b[31m\u202e", path="x\r\ny")
    ran = cli("deploy", "out")
    assert "\x1b" not in ran.err
    assert "\u202e" not in ran.err
    assert "\\x1b[31m\\u202e" in ran.err


def test_a_deployment_that_stopped_says_that_the_same_command_goes_on(cli: Any, session: Any) -> None:
    failure = LimitError("cost_limit", "later", deployment_id="deploy_1700000000000_0badcafe", resumable=True)
    session.failure = failure
    assert "deploy_1700000000000_0badcafe: the same command goes on" in cli("deploy", "out").err
    assert cli("deploy", "out", "--json").last["resumable"] is True


def test_a_bug_is_internal_and_shows_its_traceback_only_when_asked(cli: Any, session: Any) -> None:
    session.failure = RuntimeError("boom")
    ran = cli("deploy", "out")
    assert ran.code == 1
    assert "RuntimeError: boom [internal]" in ran.err
    assert "Traceback" not in ran.err
    assert "Traceback" in cli("deploy", "out", "--verbose").err
    cli.set(verbose=True)
    assert "Traceback" in cli("deploy", "out").err


def test_the_first_error_of_the_tree_is_taken_out_of_nested_groups(cli: Any, session: Any) -> None:
    inner = ValidationError("no_index", "there is none")
    session.failure = BaseExceptionGroup("a", [BaseExceptionGroup("b", [OSError("besides"), inner])])
    ran = cli("deploy", "out", "--json")
    assert (ran.code, ran.last["code"]) == (2, "no_index")


@pytest.mark.parametrize(
    "args", [("deploy", "--epochs", "x", "o"), ("nonsense",), ("deploy", "--max-cost", "1e9", "o")]
)
def test_bad_usage_is_an_error_like_any_other(cli: Any, session: Any, args: tuple[str, ...]) -> None:
    ran = cli(*args, "--json")
    assert (ran.code, ran.last["type"], ran.last["code"]) == (2, "error", "option_invalid")
    assert "--help" in cli(*args).err
    assert session.calls == []


# ── GitHub Actions ────────────────────────────────────────────────────────────────────────────────────────────────


def test_github_gets_the_result_as_fields_and_a_summary(cli: Any, tmp_path: Path) -> None:
    output, summary = tmp_path / "output", tmp_path / "summary"
    output.write_text("before=1\n")
    cli.set(github_output=output, github_summary=summary)
    assert cli("deploy", "out").code == 0
    fields = dict(line.split("=", 1) for line in output.read_text().splitlines())
    assert fields["before"] == "1"
    assert (fields["url"], fields["version"], fields["changed"]) == ("http://x.localhost:1/", "3", "true")
    assert "### my-app: version 3" in summary.read_text()


def test_no_value_can_write_a_field_or_markup_of_its_own(cli: Any, session: Any, tmp_path: Path) -> None:
    output, summary = tmp_path / "output", tmp_path / "summary"
    session.result = replace(session.result, site_name="a\nurl=http://evil\n<img src=x>|")
    cli.set(github_output=output, github_summary=summary)
    assert cli("deploy", "out").code == 0
    assert [line for line in output.read_text().splitlines() if line.startswith("url=")] == [
        "url=http://x.localhost:1/"
    ]
    assert "<img" not in summary.read_text()


def test_github_gets_an_error_in_the_summary_and_its_files_never_fail_a_deployment(
    cli: Any, session: Any, tmp_path: Path
) -> None:
    cli.set(github_output=tmp_path / "none" / "output", github_summary=tmp_path / "summary")
    ran = cli("deploy", "out")
    assert ran.code == 0
    assert "warning" in ran.err
    session.failure = LimitError("cost_limit", "the plan costs too much")
    assert cli("deploy", "out").code == 2
    assert "the plan costs too much" in (tmp_path / "summary").read_text()
