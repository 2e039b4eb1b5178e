"""What GitHub Actions gets besides: fields for the next steps of a workflow, and a summary for its page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from walrus_sdk.cli.streams import printable
from walrus_sdk.errors import WalrusError

__all__ = ["GitHub", "error_summary", "outputs", "summary"]

_FIELDS = (
    "deployment_id", "site_id", "site_name", "url", "version", "verified", "changed", "nothing_to_do", "cost_frost",
    "gas_mist", "transactions", "stored_bytes", "files", "digests", "possibly_paid_in_vain",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GitHub:
    """The two files that a step may add to; `None` where this is no GitHub Actions."""

    output: Path | None
    summary: Path | None

    def result(self, fields: Mapping[str, Any], title: str) -> list[str]:
        """Add a result; returns what could not be written, as warnings: the command itself is done."""
        return [*_append(self.output, outputs(fields)), *_append(self.summary, summary(fields, title))]

    def error(self, error: WalrusError) -> list[str]:
        """Add an error to the summary."""
        return _append(self.summary, error_summary(error))


def outputs(fields: Mapping[str, Any]) -> str:
    """Return a result as ``name=value`` lines; lists as JSON. No value can end its line."""
    return "".join(f"{name}={_text(value)}\n" for name, value in _chosen(fields))


def summary(fields: Mapping[str, Any], title: str) -> str:
    """Return a result as a Markdown table."""
    rows = "".join(f"| {name} | {_cell(value)} |\n" for name, value in _chosen(fields))
    return f"### {_cell(title)}\n\n| | |\n| --- | --- |\n{rows}\n"


def error_summary(error: WalrusError) -> str:
    """Return an error as Markdown: what, its code, the next step."""
    head, text, step = _cell(error.code), _cell(error.message), _cell(error.next_step)
    return f"### walrus-sdk failed: {head}\n\n{text}\n\nNext step: {step}\n\n"


def _chosen(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, fields[name]) for name in _FIELDS if fields.get(name) is not None)


def _text(value: Any) -> str:
    return printable(value) if isinstance(value, str) else json.dumps(value)


def _cell(value: Any) -> str:
    """Return a value as a piece of Markdown that says only itself."""
    text = _text(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{char}" if char in "\\|`*_[]!#" else char for char in text)


def _append(path: Path | None, text: str) -> list[str]:
    if path is None:
        return []
    try:
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        return [f"{path}: {error.strerror}"]
    return []
