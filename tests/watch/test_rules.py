"""Rules as data: what may be said, and what is said when it is wrong."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.model.alerts import Severity
from walrus_sdk.watch.conditions import CONDITIONS
from walrus_sdk.watch.rules import DEFAULTS, KINDS, Rule, parse


def only(**said: Any) -> Rule:
    (rule,) = parse({"mine": said}, defaults=False)
    return rule


def test_every_kind_has_a_condition_and_every_condition_a_kind() -> None:
    assert set(CONDITIONS) == set(KINDS)


def test_a_rule_of_a_file_is_that_kind_with_the_figures_that_are_said() -> None:
    rules = parse(tomllib.loads("[stuck]\nafter_s = 120\n[tight]\nkind = 'disk'\nbelow_bytes = 5000\n"), defaults=False)
    assert rules == (
        Rule("stuck", "stuck", 120, 120, window_s=0, severity=Severity.WARNING),
        Rule("tight", "disk", 5000, 5500),
    )


def test_what_is_not_said_is_on_by_default_and_can_be_switched_off() -> None:
    assert {rule.name for rule in DEFAULTS} == {kind.name for kind in KINDS.values() if kind.is_default}
    assert "stuck" not in {rule.name for rule in parse({"stuck": {"enabled": False}})}
    assert {rule.name for rule in parse({"memory": {}})} == {"memory", *(rule.name for rule in DEFAULTS)}


def test_a_ceiling_fires_at_its_limit_and_clears_below_the_second_figure() -> None:
    rule = only(kind="memory", above_bytes=100, clear_bytes=80)
    assert [rule.fires(v) for v in (99, 100, 101)] == [False, True, True]
    assert [rule.clears(v) for v in (81, 80, 79)] == [False, False, True]


def test_a_floor_fires_at_its_limit_and_clears_above_the_second_figure() -> None:
    rule = only(kind="disk", below_bytes=100, clear_bytes=120)
    assert [rule.fires(v) for v in (101, 100, 99)] == [False, True, True]
    assert [rule.clears(v) for v in (119, 120, 121)] == [False, False, True]


@pytest.mark.parametrize(
    ("said", "key", "expected"),
    [
        ({"kind": "nonsense"}, "alerts.mine.kind", "one of failed, interrupted"),
        ({"kind": "stuck", "after": 3}, "alerts.mine.after", "after_s"),
        ({"kind": "stuck", "after_s": "2m"}, "alerts.mine.after_s", "a number from 0"),
        ({"kind": "stuck", "after_s": True}, "alerts.mine.after_s", "a number from 0"),
        ({"kind": "stuck", "after_s": -1}, "alerts.mine.after_s", "a number from 0"),
        ({"kind": "stuck", "after_s": float("nan")}, "alerts.mine.after_s", "a number from 0"),
        ({"kind": "error_rate", "above_share": 1.5}, "alerts.mine.above_share", "a share from 0 to 1"),
        ({"kind": "error_rate", "least": 0}, "alerts.mine.least", "a whole number from 1"),
        ({"kind": "memory", "above_bytes": 10, "clear_bytes": 11}, "alerts.mine.clear_bytes", "at or below above_byt"),
        ({"kind": "disk", "below_bytes": 10, "clear_bytes": 9}, "alerts.mine.clear_bytes", "at or above below_bytes"),
        ({"kind": "stuck", "severity": "loud"}, "alerts.mine.severity", "info, warning, critical"),
        ({"kind": "stuck", "enabled": "no"}, "alerts.mine.enabled", "true or false"),
        ({"kind": "failed", "after_s": 3}, "alerts.mine.after_s", "severity"),
    ],
)
def test_what_is_wrong_is_named_with_rule_and_key_and_what_was_expected(said: Any, key: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse({"mine": said})
    assert caught.value.code == "setting_invalid"
    assert caught.value.fields["key"] == key
    assert expected in caught.value.message


def test_a_rule_that_is_no_table_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"alerts\.stuck: expected a table"):
        parse({"stuck": 120})
