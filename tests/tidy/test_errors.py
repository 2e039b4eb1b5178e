"""The catalogue of errors: complete, used, documented."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import pytest

from walrus_sdk import errors

ROOT = Path(__file__).resolve().parents[2]
CLASSES = {
    name: cls
    for name, cls in vars(errors).items()
    if isinstance(cls, type) and issubclass(cls, errors.WalrusError) and cls is not errors.WalrusError
}


def raised_codes() -> dict[str, list[str]]:
    """Every first argument of a call of an error class, as written in the package."""
    found: dict[str, list[str]] = {}
    for path in (ROOT / "walrus_sdk").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in errors.CODES
            if isinstance(node, ast.Constant) and named and path.name != "errors.py":
                found.setdefault(str(node.value), []).append(f"{path.name}:{node.lineno}")
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                first = node.args[0] if node.args else None
                if name in CLASSES and isinstance(first, ast.Constant):
                    assert first.value in errors.CODES, f"{path}:{node.lineno}: no row for {first.value!r}"
    return found


def test_every_raised_code_has_a_row_and_every_row_is_used() -> None:
    unused = sorted(set(errors.CODES) - set(raised_codes()))
    assert unused == []


def test_every_row_reads_as_two_sentences_of_help() -> None:
    for row in errors.CODES.values():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", row.code)
        assert row.meaning[0].islower() or row.meaning[0].isupper()
        assert not row.meaning.endswith(".")
        assert row.next_step.endswith("."), row.code


def test_every_code_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    assert "walrus-errors" in page, "the page is generated from the table by a directive"


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_an_error_survives_pickling_and_tells_its_row(name: str) -> None:
    error = CLASSES[name]("malformed", "found something else", path="a.html")
    again = pickle.loads(pickle.dumps(error))
    assert again.to_dict() == error.to_dict()
    assert error.to_dict()["next_step"] == errors.CODES["malformed"].next_step
    assert str(error) == "found something else [malformed]"


def test_the_page_at_the_top_draws_the_whole_tree() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    assert drawn == set(CLASSES)
