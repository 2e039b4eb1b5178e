"""The pages on the original design name everything that there is, and the table of complaints is that of the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click
import pytest

import walrus_sdk as ws
from walrus_sdk.cli.main import main
from walrus_sdk.cli.original import deploy_site
from walrus_sdk.errors import CODES
from walrus_sdk.model import original
from walrus_sdk.service import complaints

DOCS = Path(__file__).resolve().parents[2] / "docs"
API = (DOCS / "reference" / "original_api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "kind",
    [ws.DeploymentRecoveryManager, ws.WalrusSitesDeploymentService, ws.DeploymentMonitor],
    ids=lambda kind: kind.__name__,
)
def test_every_method_stands_on_the_page_with_what_it_is(kind: type) -> None:
    for name, _ in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_"):
            assert re.search(rf"^\| `{name}\(.*\| .+ \|$", API, re.MULTILINE), name


def test_every_value_flag_and_variable_stands_on_the_page() -> None:
    values = [name for name in original.__all__ if name[0].isupper() and not name.isupper()]
    flags = [flag for parameter in deploy_site.params for flag in parameter.opts if flag.startswith("--")]
    variables = ["WALTODO_CLI_PATH", "WALRUS_CONFIG_PATH", "WALRUS_WALLET_PATH", "SITE_BUILDER_PATH", "VERBOSE"]
    for text in (*values, *(flag for flag in flags if flag not in ("--json", "--home")), *variables):
        assert text in API, text


def test_the_table_of_complaints_is_made_from_the_code() -> None:
    page = (DOCS / "how-to" / "troubleshooting.md").read_text(encoding="utf-8")
    shown = page.split("<!-- complaints:begin -->\n")[1].split("<!-- complaints:end -->")[0]
    assert shown == complaints.table()
    assert "{walrus-errors}" in page


def test_the_commands_that_a_page_or_a_check_names_exist_with_their_options() -> None:
    pages = [(DOCS / "how-to" / name).read_text(encoding="utf-8") for name in ("recover.md", "troubleshooting.md")]
    named = re.findall(r"`walrus-sdk ([^`]+)`", "\n".join(pages))
    assert len(named) > 10
    for words in (text.split() for text in named):
        command = main.commands[words[0]]
        assert isinstance(command, click.Command)
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, words
    checks = " ".join(check for one in complaints.COMPLAINTS for check in one.checks)
    known = {option for command in main.commands.values() for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z-]+", checks)) <= known


def test_the_complaints_are_the_four_of_the_original_and_belong_to_codes_that_exist() -> None:
    assert [one.text for one in complaints.COMPLAINTS] == [
        "Deployment cannot be resumed",
        "Network timeout during upload",
        "Blob validation failed",
        "Insufficient gas for transaction",
    ]
    for one in complaints.COMPLAINTS:
        assert set(one.codes) <= set(CODES)
        assert all(check.endswith(".") for check in one.checks)
