"""The Grafana dashboard asks for metrics that there are, by labels that they have, and shows each of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from walrus_sdk.watch.metrics import METRICS

FILE = Path(__file__).resolve().parents[2] / "docs" / "grafana" / "walrus_sdk.json"
DASHBOARD = json.loads(FILE.read_text(encoding="utf-8"))


def expressions() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]


EXPRESSIONS = dict(expressions())


def names(expression: str) -> list[tuple[str, set[str]]]:
    """Each metric of an expression with the labels that are asked of it, in its braces or by the grouping before it."""
    found = []
    for match in re.finditer(r"[a-z_:][a-z0-9_:]*(?=[\s{\[)>,]|$)", re.sub(r'"[^"]*"', '""', expression)):
        if match.group().startswith("walrus_sdk"):
            rest = re.sub(r'"[^"]*"', '""', expression)[match.end() :]
            braces = re.match(r"\{([^}]*)\}", rest)
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", braces.group(1))) if braces else set()
            found.append((match.group(), labels))
    return found


def base(name: str) -> str:
    """A metric's name without what a histogram appends, which must then be one."""
    short = re.sub(r"_(bucket|sum|count)$", "", name)
    if short != name:
        assert METRICS[short].type == "histogram", name
    return short


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_expression_is_of_metrics_and_labels_that_there_are(where: str) -> None:
    expression = EXPRESSIONS[where]
    asked = names(expression)
    assert asked, expression
    known = set[str]()
    for name, labels in asked:
        metric = METRICS[base(name)]
        assert labels <= set(metric.labels), (name, labels)
        known |= set(metric.labels) | ({"le"} if name.endswith("_bucket") else set())
        if metric.type != "gauge":
            assert re.search(rf"(rate|increase)\({name}\b", expression), f"{name} only grows: ask for its rate"
    for group in re.findall(r"by \(([^)]*)\)", expression):
        assert {label.strip() for label in group.split(",")} <= known, expression


def test_legends_name_labels_that_the_expression_keeps() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            kept = {
                label.strip() for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in group.split(",")
            }
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, panel["title"]


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {base(name) for expression in EXPRESSIONS.values() for name, _ in names(expression)}
    assert shown == set(METRICS)


def test_panels_have_places_of_their_own() -> None:
    taken = set[tuple[int, int]]()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
