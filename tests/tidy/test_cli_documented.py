"""The command line: every command and option has help, every command speaks JSON, the page is made from the code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from walrus_sdk.cli.main import main
from walrus_sdk.model.options import DeployOptions, RecoveryOptions

ROOT = Path(__file__).resolve().parents[2]
NOT_ON_THE_COMMAND_LINE = {"recovery", "retry_budget"}


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(path), command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))


ALL = dict(commands(main))
LEAVES = {name: command for name, command in ALL.items() if not isinstance(command, click.Group)}


@pytest.mark.parametrize("name", ALL)
def test_every_command_says_what_it_does(name: str) -> None:
    text = (ALL[name].help or "").strip()
    assert text.split("\n\n")[0].endswith("."), name
    assert "``" not in text, "a terminal shows no markup"


@pytest.mark.parametrize("name", ALL)
def test_every_option_has_help(name: str) -> None:
    silent = [
        p.name for p in ALL[name].params if isinstance(p, click.Option) and not (p.help or "").endswith((".", ")"))
    ]
    assert silent == []


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_speaks_json_and_takes_a_home(name: str) -> None:
    options = {option for parameter in LEAVES[name].params for option in parameter.opts}
    assert {"--json", "--home", "--verbose"} <= options


@pytest.mark.parametrize("name", ["deploy", "plan"])
def test_everything_that_may_be_asked_of_a_deployment_is_an_option(name: str) -> None:
    known = {field.name for field in (*fields(DeployOptions), *fields(RecoveryOptions))} - NOT_ON_THE_COMMAND_LINE
    assert known <= {parameter.name for parameter in ALL[name].params}


def test_the_page_of_commands_is_made_from_the_code() -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert "{walrus-commands}" in page
