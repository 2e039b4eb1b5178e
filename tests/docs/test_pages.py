"""The documentation says what is there: code that parses, names that exist, links and commands that work."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
from pathlib import Path

import click
import pytest

from walrus_sdk import settings
from walrus_sdk.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts)])
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_python_in_the_documentation_parses_and_imports_what_exists(page: Path) -> None:
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("walrus_sdk"):
                module = importlib.import_module(node.module or "")
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ws":
                assert hasattr(importlib.import_module("walrus_sdk"), node.attr), node.attr


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_in_the_documentation_have_the_options_that_it_names(page: Path) -> None:
    for line in re.findall(r"^(?:\$ |- run: )?walrus-sdk (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        words = line.split("#")[0].split()
        command: click.Command = main
        while isinstance(command, click.Group) and words:
            assert words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known | {"--help"}, line


def test_every_variable_that_is_read_is_documented() -> None:
    source = (ROOT / "walrus_sdk" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r'env\.get\("(\w+)"', source)) - {"HOME"}
    assert read == set(settings.ENVIRONMENT)


def test_the_makefile_has_the_two_commands_that_the_readme_begins_with() -> None:
    first = blocks(ROOT / "README.md", "")[0]
    targets = re.findall(r"^make (\w+)", first, re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_readme_shows_a_recorded_demo() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text.split("<!-- demo:begin -->")[1].split("<!-- demo:end -->")[0]
    assert "served byte for byte" in shown
    assert re.search(r"address +http://\w+\.localhost:\d+/", shown)
