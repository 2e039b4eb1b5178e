"""Alert rules as data: what is watched, from which figure on, until which one.

    [alerts.stuck]                  # a rule of the kind that is its name
    after_s = 120

    [alerts.small-disk]             # or a name of your own
    kind = "disk"
    below_bytes = 5_000_000_000
    severity = "critical"

A rule fires when its figure has been beyond the limit for `for_s` seconds, and clears at the second figure
(`clear_…`), which lies on the safe side of the first: what swings round the limit is told once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.model.alerts import WALLET, Severity

__all__ = ["DEFAULTS", "KINDS", "Kind", "Rule", "longest_window_s", "parse"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What rules of a kind watch.

    `limit_key` names the figure with its unit; `None`: there is none, the thing is so or not. `is_floor`: it fires at
    or below the limit, not at or above. `band`: the second figure is the limit times this, unless it is said.
    `window_s` and `least` are for what is counted over a time: how long it is, and from how many on it says anything.
    """

    name: str
    meaning: str
    subject: str
    unit: str
    limit_key: str | None = None
    limit: float = 1.0
    band: float = 1.0
    is_floor: bool = False
    severity: Severity = Severity.WARNING
    window_s: float | None = None
    least: int | None = None
    is_default: bool = False

    @property
    def clear_key(self) -> str | None:
        """The key of the second figure: ``clear_`` and the unit of the first."""
        return None if self.limit_key is None else "clear_" + self.limit_key.partition("_")[2]

    @property
    def keys(self) -> tuple[str, ...]:
        """What a rule of this kind may say."""
        own = [key for key in (self.limit_key, self.clear_key) if key is not None]
        over = [name for name in ("window_s", "least") if getattr(self, name) is not None]
        return ("kind", "enabled", "severity", "for_s", *own, *over)


def _kinds(*kinds: Kind) -> Mapping[str, Kind]:
    return {kind.name: kind for kind in kinds}


KINDS: Mapping[str, Kind] = _kinds(
    Kind("failed", "a deployment failed, and nothing has mended it", "deployment", "", severity=Severity.CRITICAL,
         is_default=True),
    Kind("interrupted", "nobody has worked on an unfinished deployment for so long", "deployment", "s", "after_s", 60.0,
         is_default=True),
    Kind("stuck", "a deployment has made no progress for so long", "deployment", "s", "after_s", 300.0,
         is_default=True),
    Kind("error_rate", "share of a deployment's tries that failed", "deployment", "share", "above_share", 0.5, 0.5,
         window_s=300.0, least=4, is_default=True),
    Kind("endpoint", "tries in a row that an endpoint failed, by its own fault", "endpoint", "tries",
         "above_tries", 3, 1 / 3, window_s=3600.0, is_default=True),
    Kind("slow", "median seconds of a publisher's stores", "endpoint", "s", "above_s", 60.0, 0.8,
         window_s=600.0, least=3),
    Kind("memory", "memory of a deployment's process", "deployment", "bytes", "above_bytes", 2 * 1024**3, 0.9),
    Kind("open_files", "open descriptors of a deployment's process", "deployment", "files", "above_files", 800, 0.9),
    Kind("disk", "room on the disk of the state folder", "home", "bytes", "below_bytes", 1024**3, 1.1,
         is_floor=True, is_default=True),
    Kind("sui_balance", "SUI of the sites' owner", "wallet", "MIST", "below_mist", 500_000_000, 1.1, is_floor=True),
    Kind("wal_balance", "WAL of the sites' owner", "wallet", "FROST", "below_frost", 500_000_000, 1.1, is_floor=True),
    Kind("cost", "share of its cost limit that a deployment has spent", "deployment", "share", "above_share", 0.8, 1.0),
    Kind("expiring", "seconds until something that a site serves may end", "site", "s", "within_s",
         3 * 86_400, 1.0, is_floor=True, is_default=True),
)  # fmt: skip
"""Every kind of rule."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `limit` and `clear` are in the unit of its kind; `for_s`: how long it must be beyond the limit."""

    name: str
    kind: str
    limit: float
    clear: float
    for_s: float = 0.0
    window_s: float = 0.0
    least: int = 1
    severity: Severity = Severity.WARNING

    @property
    def needs_wallet(self) -> bool:
        """Whether its figures are asked of a network."""
        return KINDS[self.kind].subject == WALLET

    @property
    def unit(self) -> str:
        """The unit of its figures."""
        return KINDS[self.kind].unit

    def fires(self, value: float) -> bool:
        """Return whether a figure is beyond the limit."""
        return value <= self.limit if KINDS[self.kind].is_floor else value >= self.limit

    def clears(self, value: float) -> bool:
        """Return whether a figure is so far on the safe side that an alert is over."""
        return value > self.clear if KINDS[self.kind].is_floor else value < self.clear


def parse(
    table: Mapping[str, Any], *, defaults: bool = True, wallet: bool = False, where: str = "alerts"
) -> tuple[Rule, ...]:
    """Read a table of rules by name, as TOML or Python has it; `defaults` adds those that are on unless disabled.

    `wallet`: somebody asks for the balances, so rules about them are among the defaults. `where` is told with an error.
    Raises `ConfigurationError` ``setting_invalid`` with the rule and the key.
    """
    usual = [kind.name for kind in KINDS.values() if kind.is_default or (wallet and kind.subject == WALLET)]
    given = {**({name: {} for name in usual} if defaults else {}), **table}
    found = (_rule(name, said, f"{where}.{name}") for name, said in given.items())
    return tuple(rule for rule in found if rule is not None)


def longest_window_s(rules: tuple[Rule, ...]) -> float:
    """Return the seconds for which the tries of the past matter to any rule."""
    return max((rule.window_s for rule in rules), default=0.0)


def _rule(name: str, said: Any, where: str) -> Rule | None:
    if not isinstance(said, Mapping):
        raise _bad(where, "a table of settings", said)
    kind = KINDS.get(str(said.get("kind", name)))
    if kind is None:
        raise _bad(f"{where}.kind", f"one of {', '.join(KINDS)}", said.get("kind", name))
    for key in said:
        if key not in kind.keys:
            raise _bad(f"{where}.{key}", f"one of {', '.join(kind.keys)}", key)
    if not _truth(said, "enabled", where, default=True):
        return None
    limit = _figure(said, kind.limit_key, where, kind.limit)
    clear = _figure(said, kind.clear_key, where, limit * kind.band)
    if kind.limit_key is not None and (clear < limit if kind.is_floor else clear > limit):
        side = "at or above" if kind.is_floor else "at or below"
        raise _bad(f"{where}.{kind.clear_key}", f"a figure {side} {kind.limit_key} = {limit:g}", clear)
    return Rule(
        name=name,
        kind=kind.name,
        limit=limit,
        clear=clear,
        for_s=_figure(said, "for_s", where, 0.0),
        window_s=_figure(said, "window_s", where, kind.window_s or 0.0),
        least=int(_figure(said, "least", where, kind.least or 1, whole=True)),
        severity=_severity(said, where, kind.severity),
    )


def _figure(said: Mapping[str, Any], key: str | None, where: str, default: float, *, whole: bool = False) -> float:
    if key is None or key not in said:
        return default
    value, is_share = said[key], key.endswith("_share")
    expected = "a share from 0 to 1" if is_share else "a whole number from 1" if whole else "a number from 0"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not math.isfinite(value):
        raise _bad(f"{where}.{key}", expected, value)
    if value < (1 if whole else 0) or (is_share and value > 1):
        raise _bad(f"{where}.{key}", expected, value)
    return float(value)


def _truth(said: Mapping[str, Any], key: str, where: str, *, default: bool) -> bool:
    value = said.get(key, default)
    if not isinstance(value, bool):
        raise _bad(f"{where}.{key}", "true or false", value)
    return value


def _severity(said: Mapping[str, Any], where: str, default: Severity) -> Severity:
    value = said.get("severity", default.value)
    known = [severity.value for severity in Severity]
    if value not in known:
        raise _bad(f"{where}.severity", f"one of {', '.join(known)}", value)
    return Severity(value)


def _bad(where: str, expected: str, found: object) -> ConfigurationError:
    text = f"{where}: expected {expected}, found {found!r:.80}"
    return ConfigurationError("setting_invalid", text, key=where, expected=expected, found=f"{found!r:.80}")


DEFAULTS: tuple[Rule, ...] = parse({})
"""The rules that are on when nothing is said."""
