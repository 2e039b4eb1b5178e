"""Faults on demand: rules as data, asked at named points of the services.

A rule says at which points (a name, or a pattern with ``*``) it acts, how (`ACTIONS`), how often (`times`, after
`skip` hits, with `probability`), and with which figures. The points are those of `POINTS`; a service asks
`Faults.hit` at each of them. Besides the rules there is a `Shape`: what holds all the time.
"""

from __future__ import annotations

import fnmatch
import math
import random
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.localnet.http_sui.failures import NODE_ERRORS

__all__ = ["ACTIONS", "POINTS", "Fault", "Faults", "Shape"]

POINTS: Mapping[str, str] = {
    "publisher.request": "a store's headers are here, its body is not read yet",
    "publisher.body": "the body is complete, nothing is looked up yet",
    "publisher.before_pay": "looked up, not paid yet",
    "publisher.after_pay": "registered and paid, not certified yet",
    "publisher.after_certify": "certified, not answered yet",
    "aggregator.request": "a read is about to be answered",
    "sui.request": "a GraphQL or gRPC-Web request is here",
    "sui.execute.before": "a transaction is here, not executed yet",
    "sui.execute.after": "the transaction is final, not answered yet",
    "sui.read": "a read is about to be answered (action lag: from an older state)",
    "portal.request": "a visitor's request is here",
}
"""Where faults can be set, with what is true there."""

ACTIONS: Mapping[str, str] = {
    "latency": "wait latency_s seconds, then go on",
    "error": "answer with status (500), as JSON, text or HTML (kind), with Retry-After if told so",
    "too_many_requests": "answer 429 as an overloaded service does, with Retry-After if told so",
    "gateway_timeout": "answer with status (504) and HTML at once, as a proxy that gave up; what was asked for goes on "
    "behind it, latency_s seconds later",
    "drop": "close the connection without an answer",
    "stall": "neither answer nor close",
    "truncate": "send the answer's headers and half of its body, then close",
    "wrong_blob_id": "answer with another blob id",
    "error_in_200": "answer 200 with an error inside (a publisher's failure of one blob)",
    "lag": "answer from the state as it was behind transactions (1), or late_s seconds, ago: reads, simulations, and "
    "transactions whose inputs such a node does not know",
    "node_error": "answer 200 with the GraphQL error that error names: " + ", ".join(NODE_ERRORS),
    "congestion": "cancel a transaction that uses a shared object: it is final, has failed, and gas is charged",
}
"""What a fault can do."""

_BEHIND_A_PROXY = tuple(point for point in POINTS if re.match(r"publisher\.(body|before|after)|sui\.execute", point))
_ONLY_AT: Mapping[str, tuple[str, ...]] = {
    "gateway_timeout": _BEHIND_A_PROXY,
    "wrong_blob_id": ("publisher.*",),
    "error_in_200": ("publisher.*",),
    "lag": ("sui.*",),
    "node_error": ("sui.*",),
    "congestion": ("sui.execute.before",),
}


def _acts(action: str, point: str) -> bool:
    """Whether something carries an action out at a point."""
    return any(fnmatch.fnmatchcase(point, where) for where in _ONLY_AT.get(action, ("*",)))


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule.

    A rule acts at `point` `times` times (`None`: always), after `skip` hits that are let through, each time with
    `probability`. `latency_s`: seconds of a latency, and what goes on behind a proxy waits so long. `status` (`None`:
    the action's own) and `kind`: of an error. `retry_after_s` asks with it to be left alone for so many seconds, as a
    number or, with `retry_after_date`, as a date (RFC 9110, 10.2.3). `behind`: transactions that a node lags; `late_s`
    above 0 counts instead, in seconds. `error`: what a node says.
    """

    point: str
    action: str
    times: int | None = None
    skip: int = 0
    probability: float = 1.0
    latency_s: float = 0.0
    status: int | None = None
    kind: str = "json"
    error: str = "internal"
    retry_after_s: int | None = None
    retry_after_date: bool = False
    behind: int = 1
    late_s: float = 0.0

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise _bad(f"unknown action {self.action!r}; known are {', '.join(ACTIONS)}")
        if not any(fnmatch.fnmatchcase(point, self.point) for point in POINTS):
            raise _bad(f"no point matches {self.point!r}; known are {', '.join(POINTS)}")
        if not any(fnmatch.fnmatchcase(point, self.point) and _acts(self.action, point) for point in POINTS):
            raise _bad(f"{self.action} acts at {', '.join(_ONLY_AT[self.action])} only, not at {self.point!r}")
        seconds = (self.latency_s, self.late_s)
        if not 0 <= self.probability <= 1 or not all(0 <= value < math.inf for value in seconds):
            raise _bad("expected probability 0..1, latency_s and late_s from 0")
        if self.status is not None and not 200 <= self.status <= 599:
            raise _bad("expected status 200..599")
        if min(self.times or 0, self.skip, self.behind, self.retry_after_s or 0) < 0:
            raise _bad("expected times, skip, behind and retry_after_s from 0")
        if self.error not in NODE_ERRORS:
            raise _bad(f"expected error {', '.join(NODE_ERRORS)}, found {self.error!r}")
        if self.kind not in ("json", "text", "html"):
            raise _bad(f"expected kind json, text or html, found {self.kind!r}")


@dataclass(frozen=True, slots=True)
class Shape:
    """What holds all the time.

    `latency_s`: seconds that a store takes between payment and certification. `bytes_per_s`: how fast bodies are taken
    in, all stores together; 0 is unlimited. `slots`, `queue`: stores under way and waiting before 429. `on_disconnect`:
    ``drop`` a store whose client hangs up (as the official server does) or ``finish`` it. `sink`: only count bytes.
    `not_found_cache_s` above 0 puts a caching proxy before the aggregator that keeps a 404 for so long;
    `cache_deaf`: one that ignores ``Cache-Control`` of requests. `jwt_secret` makes the publisher ask for tokens;
    `jwt_verify_upload` holds their claims against the request, `jwt_expiring_s` fixes their lifetime (0: any).
    Limits are bytes of a body.
    """

    latency_s: float = 0.0
    bytes_per_s: int = 0
    slots: int = 8
    queue: int = 8
    on_disconnect: str = "drop"
    sink: bool = False
    not_found_cache_s: float = 0.0
    cache_deaf: bool = False
    jwt_secret: str = ""
    jwt_verify_upload: bool = False
    jwt_expiring_s: int = 0
    max_blob_body: int = 10 * 1024 * 1024
    max_quilt_body: int = 100 * 1024 * 1024

    def __post_init__(self) -> None:
        if self.on_disconnect not in ("drop", "finish"):
            raise _bad(f"expected on_disconnect drop or finish, found {self.on_disconnect!r}")
        seconds = (self.latency_s, self.not_found_cache_s)
        if not all(0 <= value < math.inf for value in seconds) or min(self.bytes_per_s, self.queue) < 0:
            raise _bad("expected latency_s, bytes_per_s, queue, not_found_cache_s from 0")
        if self.slots < 1 or min(self.max_blob_body, self.max_quilt_body, self.jwt_expiring_s) < 0:
            raise _bad("expected slots from 1, limits of bodies and jwt_expiring_s from 0")


def _bad(why: str) -> ConfigurationError:
    return ConfigurationError("option_invalid", f"faults: {why}", option="faults")


@dataclass(slots=True)
class _Counted:
    fault: Fault
    hits: int = 0
    fired: int = 0


@dataclass(slots=True)
class Faults:
    """The rules and the shape of one network; `seed` makes chance repeatable."""

    shape: Shape = field(default_factory=Shape)
    seed: int = 0
    _rules: list[_Counted] = field(default_factory=list)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311  # chance for tests

    def add(self, fault: Fault) -> None:
        """Add a rule; rules are asked in order, the first that fires counts."""
        self._rules.append(_Counted(fault))

    def clear(self) -> None:
        """Remove all rules; the shape stays."""
        self._rules.clear()

    def hit(self, point: str) -> Fault | None:
        """Return the fault that strikes at a point now, if any."""
        assert point in POINTS, point
        for rule in self._rules:
            if not (fnmatch.fnmatchcase(point, rule.fault.point) and _acts(rule.fault.action, point)):
                continue
            rule.hits += 1
            used_up = rule.fault.times is not None and rule.fired >= rule.fault.times
            if rule.hits <= rule.fault.skip or used_up or self._random.random() >= rule.fault.probability:
                continue
            rule.fired += 1
            return rule.fault
        return None

    def reshape(self, **values: Any) -> None:
        """Change the shape. Raises `ConfigurationError` ``option_invalid``."""
        known = {item.name for item in fields(Shape)}
        if not set(values) <= known:
            raise _bad(f"unknown {', '.join(sorted(set(values) - known))}; known are {', '.join(sorted(known))}")
        self.shape = replace(self.shape, **_typed(Shape, values))

    def to_json(self) -> dict[str, Any]:
        """Return shape and rules, with how often each was met and fired."""
        rules = [asdict(rule.fault) | {"hits": rule.hits, "fired": rule.fired} for rule in self._rules]
        shape = asdict(self.shape)
        del shape["jwt_secret"]
        return {"shape": shape | {"jwt": bool(self.shape.jwt_secret)}, "rules": rules}

    def load(self, data: Mapping[str, Any]) -> None:
        """Take rules (``rules``: replaced) and figures (``shape``: changed) from JSON. Raises ``option_invalid``."""
        rules, shape = data.get("rules"), data.get("shape")
        if not set(data) <= {"rules", "shape"} or not (shape is None or isinstance(shape, dict)):
            raise _bad("expected rules (a list) and shape (an object), nothing else")
        if rules is not None and not (isinstance(rules, list) and all(isinstance(item, dict) for item in rules)):
            raise _bad("expected rules as a list of objects")
        known = {item.name for item in fields(Fault)}
        made = []
        for item in rules or []:
            values = {key: value for key, value in item.items() if key not in ("hits", "fired")}
            if not set(values) <= known or not {"point", "action"} <= set(values):
                raise _bad(f"a rule has point, action and of {', '.join(sorted(known - {'point', 'action'}))}")
            made.append(Fault(**_typed(Fault, values)))
        if shape is not None:
            self.reshape(**{key: value for key, value in shape.items() if key != "jwt"})
        if rules is not None:
            self._rules = [_Counted(fault) for fault in made]


def _typed(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values after a check of their plain types."""
    kinds: dict[str, tuple[type, ...]] = {
        "str": (str,),
        "int": (int,),
        "float": (int, float),
        "bool": (bool,),
        "int | None": (int, type(None)),
    }
    for item in fields(cls):
        if item.name in values:
            value, wanted = values[item.name], kinds[str(item.type)]
            if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
                raise _bad(f"{item.name}: expected {item.type}, found {value!r:.40}")
    return dict(values)
