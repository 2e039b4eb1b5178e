"""What the pages about alerts and metrics say: rules that can be read, a check of signatures that works."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from walrus_sdk.watch.rules import KINDS, parse
from walrus_sdk.watch.sinks import key_bytes, signed

DOCS = Path(__file__).resolve().parents[2] / "docs"
HOW_TO = (DOCS / "how-to" / "monitor.md").read_text(encoding="utf-8")
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", HOW_TO, re.MULTILINE | re.DOTALL)


def test_the_tables_of_kinds_and_metrics_are_made_from_the_code() -> None:
    assert "{walrus-alert-rules}" in (DOCS / "reference" / "alerts.md").read_text(encoding="utf-8")
    assert "{walrus-metrics}" in (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8")


def test_every_kind_is_explained() -> None:
    text = (DOCS / "reference" / "alerts.md").read_text(encoding="utf-8")
    told = set(re.findall(r"\*\*(\w+)\*\*", text))
    assert told | {"slow", "disk"} == set(KINDS), "those two need no more than their line in the table"


def test_rules_in_the_how_to_can_be_read() -> None:
    read = [tomllib.loads(block) for block in blocks("toml")]
    rules = [parse(said["alerts"]) for said in read if "alerts" in said]
    assert {"stuck", "small-disk"} <= {rule.name for rule in rules[0]}
    assert any("webhooks" in said for said in read)


def test_the_check_of_signatures_in_the_how_to_accepts_ours_and_nothing_else() -> None:
    (code,) = [block for block in blocks("python") if "def is_ours" in block]
    names: dict[str, Any] = {}
    exec(code, names)
    headers, key = signed(b"{}", "alert-1-firing", 1, key_bytes(KEY)), key_bytes(KEY)
    assert names["is_ours"](key, headers, b"{}")
    assert not names["is_ours"](key, headers, b"{ }")
    assert not names["is_ours"](key, {**headers, "webhook-timestamp": "2"}, b"{}")
