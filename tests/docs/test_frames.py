"""The reference of frames and the page that asks five questions say what the schemas and questions are."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from docutils import nodes

from walrus_sdk.frames import questions
from walrus_sdk.frames.history import History, Plots
from walrus_sdk.frames.tables import SCHEMAS

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[str, ...]]]:
    """The tables that the directive writes, by their frame."""
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    try:
        import walrus_reference

        sections = walrus_reference.Frames.run(None)
    finally:
        sys.modules.pop("walrus_reference", None)
    found = {}
    for section in sections:
        rows = [tuple(entry.astext() for entry in row.findall(nodes.entry)) for row in section.findall(nodes.row)]
        found[section.next_node(nodes.title).astext()] = rows[1:]
    return found


def test_the_reference_has_every_column_of_every_frame(reference: dict[str, list[tuple[str, ...]]]) -> None:
    assert list(reference) == list(SCHEMAS)
    for name, rows in reference.items():
        assert [(column, dtype) for column, dtype, _ in rows] == list(SCHEMAS[name].dtypes.items())
        assert all(meaning for _, _, meaning in rows)


def test_the_reference_page_uses_the_directive() -> None:
    assert "{walrus-frames}" in (DOCS / "reference" / "frames.md").read_text(encoding="utf-8")


def test_every_question_is_in_the_how_to() -> None:
    text = (DOCS / "how-to" / "analyse_history.md").read_text(encoding="utf-8")
    asked = set(questions.__all__) - {"OF_SUCCESS"}
    assert asked <= set(re.findall(r"`(\w+)\(", text))
    assert all(hasattr(History, name) for name in asked)
    assert all(name in text for name in vars(Plots) if not name.startswith("_") and name != "history")


def test_the_page_of_questions_is_executed_when_the_documentation_is_built() -> None:
    text = (DOCS / "tutorial" / "history.md").read_text(encoding="utf-8")
    assert "execution_mode: force" in text
    assert "nb_execution_raise_on_error = True" in (DOCS / "conf.py").read_text(encoding="utf-8")
    assert len(re.findall(r"^## \d\. ", text, re.MULTILINE)) == 5
