"""Target, cost, limits, retries, statuses, requests, plans as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any, get_type_hints

import pytest

from walrus_sdk.errors import (
    CODES,
    CodecError,
    ConfigurationError,
    EffectFailed,
    EffectUnknown,
    ErrorClass,
    LimitError,
    StateError,
    ValidationError,
    WalrusError,
)
from walrus_sdk.model.chain import GasUsed
from walrus_sdk.model.deployment import MOVES, Status, may_move
from walrus_sdk.model.options import Asked, DeployOptions, Limits, RecoveryOptions
from walrus_sdk.model.plan import Cost, Entry, Plan
from walrus_sdk.model.site import Redirect
from walrus_sdk.model.units import Frost, Mist, ObjectId, SuiAddress
from walrus_sdk.planning import cost, request, retry, state, target
from walrus_sdk.planning.plan_json import dump, load_plan, plan_digest
from walrus_sdk.sites.ws_resources import WsResources
from walrus_sdk.testing import SimulatedWorld

A, B, C = (ObjectId(bytes(31) + bytes([n])) for n in (1, 2, 3))
NAMED, UNNAMED = target.Name("tides", True), target.Name("tides", False)


# ── which site ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_site_that_is_meant_is_found_in_the_documented_order() -> None:
    on_chain = [(C, "tides"), (A, "other")]
    assert target.choose_site(A, B, C, on_chain, NAMED).site_id == A
    assert target.choose_site(None, B, C, on_chain, NAMED).site_id == B
    assert target.choose_site(None, None, B, on_chain, NAMED).site_id == B
    assert target.choose_site(None, None, None, on_chain, NAMED).site_id == C
    assert target.choose_site(None, None, None, on_chain, UNNAMED).site_id is None
    assert target.choose_site(None, None, None, [], NAMED).how == "new"


def test_several_sites_of_one_name_are_listed() -> None:
    with pytest.raises(ConfigurationError) as caught:
        target.choose_site(None, None, None, [(A, "tides"), (B, "tides")], NAMED)
    assert str(A) in caught.value.message
    assert str(B) in caught.value.message


@pytest.mark.parametrize(
    ("flag", "rules", "project", "found", "explicit"),
    [("f", "r", "p", "f", True), (None, "r", "p", "r", True), (None, None, "p", "p", True),
     (None, None, None, "out", False)],
)  # fmt: skip
def test_the_name_is_the_flag_the_file_the_project_or_the_folder(
    flag: str | None, rules: str | None, project: str | None, found: str, explicit: bool
) -> None:
    assert target.choose_name(flag, rules, project, "/home/me/out") == target.Name(found, explicit)


def test_a_name_that_cannot_be_is_refused_when_somebody_wrote_it() -> None:
    with pytest.raises(ValidationError):
        target.choose_name("x" * 101, None, None, "out")
    assert target.choose_name(None, None, None, "/" + "x" * 101).text == "site"


# ── cost and limits ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_gas_budget_covers_an_estimate_with_headroom_and_never_more_than_the_protocol_allows() -> None:
    used = GasUsed(1_000_000, 5_000_000, 2_000_000)
    assert cost.gas_budget(used, 1000) == int((1_000_000 + 5_000_000 - 2_000_000 + 1_000_000) * Decimal("1.2"))
    assert cost.gas_budget(GasUsed(1, 0, 10**9), 1000) > 0
    assert cost.gas_budget(GasUsed(10**12, 0, 0), 1000) == 50_000_000_000


def test_what_ran_out_or_was_congested_is_offered_half_as_much_again_each_time() -> None:
    used = GasUsed(1_000_000, 5_000_000, 2_000_000)
    assert cost.gas_budget(used, 1000, 2) == cost.gas_budget(used, 1000) * 9 // 4
    assert cost.gas_budget(GasUsed(10**10, 0, 0), 1000, 9) == 50_000_000_000
    assert [cost.gas_price(1000, times) for times in range(3)] == [1000, 1500, 2250]
    assert cost.gas_price(1000, 50) == 99_999, "the protocol takes no more"
    assert cost.gas_price(200_000, 1) == 200_000, "never below the reference price"


def test_usd_is_said_only_when_a_price_is_given() -> None:
    spent = Cost(frost=Frost(500_000_000), gas=Mist(2_000_000_000))
    assert spent.usd(None, None) is None
    assert spent.usd(Decimal("0.5"), Decimal(3)) == Decimal("6.25")


def test_limits_say_no_only_beyond_them() -> None:
    cost.check_cost(Cost(frost=Frost(5)), Frost(5))
    with pytest.raises(LimitError):
        cost.check_cost(Cost(frost=Frost(6)), Frost(5))
    cost.check_deletes(5, 10, 0.5)
    cost.check_deletes(0, 0, 0.0)
    with pytest.raises(LimitError):
        cost.check_deletes(6, 10, 0.5)


# ── retries ───────────────────────────────────────────────────────────────────────────────────────────────────────

OPTIONS = RecoveryOptions(max_retries=3, retry_delay_s=5.0)


@pytest.mark.parametrize("code", sorted(CODES))
def test_what_follows_a_failure_is_decided_by_its_class(code: str) -> None:
    action = retry.next_action(1, WalrusError(code, "it failed"), OPTIONS, 0.5)
    again = CODES[code].error_class is ErrorClass.RETRY
    assert isinstance(action, retry.Again) == again
    # An effect that is known not to have happened may also be repeated when its failure said "look first".
    failed = EffectFailed("effect_failed", "it failed", cause=WalrusError(code, "it failed"))
    action = retry.next_action(1, failed, OPTIONS, 0.5)
    expected = CODES[code].error_class in (ErrorClass.RETRY, ErrorClass.LOOK_FIRST)
    assert isinstance(action, retry.Again) == expected


def test_a_journal_that_cannot_be_written_ends_a_deployment_at_once() -> None:
    full = StateError("state_full", "no room")
    assert retry.next_action(1, full, OPTIONS, 0.5) == retry.Stop(full)


def test_pauses_have_full_jitter_and_a_service_is_never_asked_earlier_than_it_said() -> None:
    error = WalrusError("connect_failed", "no route")
    pauses = [retry.next_action(n, error, OPTIONS, 1.0) for n in (1, 2, 3)]
    assert pauses == [retry.Again(5.0), retry.Again(10.0), retry.Again(20.0)]
    assert retry.next_action(1, error, OPTIONS, 0.0) == retry.Again(0.0)
    asked = WalrusError("rate_limited", "busy", retry_after=30)
    assert retry.next_action(1, asked, OPTIONS, 0.0) == retry.Again(30.0)


def test_tries_end_and_a_busy_service_gets_ten_times_as_many() -> None:
    assert isinstance(retry.next_action(4, WalrusError("connect_failed", "x"), OPTIONS, 0.5), retry.Stop)
    assert isinstance(retry.next_action(30, WalrusError("rate_limited", "x"), OPTIONS, 0.5), retry.Again)
    assert isinstance(retry.next_action(31, WalrusError("rate_limited", "x"), OPTIONS, 0.5), retry.Stop)


def test_the_reason_of_an_effects_failure_is_what_is_told() -> None:
    cause = WalrusError("blob_blocked", "blocked")
    action = retry.next_action(1, EffectFailed("effect_failed", "it failed", cause=cause), OPTIONS, 0.5)
    assert action == retry.Stop(cause)
    unknown = EffectUnknown("effect_unsettled", "?", cause=cause)
    assert retry.next_action(1, unknown, OPTIONS, 0.5) == retry.Stop(cause)


def test_looks_come_at_growing_pauses_and_a_deployment_has_a_budget() -> None:
    assert [retry.look_pause(n) for n in range(7)] == [0.0, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert retry.budget(4, OPTIONS) == 10
    assert retry.budget(100, OPTIONS) == 50


# ── statuses ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_final_statuses_have_no_way_out_and_a_failure_goes_on_only_while_it_can() -> None:
    assert [status for status in Status if not MOVES[status]] == [Status.COMPLETED, Status.CANCELLED]
    assert may_move(Status.FAILED, Status.PROCESSING)
    assert not may_move(Status.FAILED, Status.PROCESSING, can_resume=False)
    assert may_move(Status.FAILED, Status.CANCELLED, can_resume=False)
    assert not may_move(Status.PROCESSING, Status.UPLOADING)


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_failure_that_plans_anew_or_is_for_good_cannot_be_resumed(code: str) -> None:
    expected = CODES[code].error_class is not ErrorClass.GIVE_UP and code not in ("plan_expired", "site_changed")
    assert state.can_resume(WalrusError(code, "x")) is expected


@pytest.mark.parametrize(
    ("status", "can_resume", "unfinished"),
    [("pending", 1, True), ("uploading", 1, True), ("processing", 1, True), ("failed", 1, True), ("failed", 0, False),
     ("completed", 1, False), ("cancelled", 1, False)],
)  # fmt: skip
def test_which_deployments_are_unfinished(status: str, can_resume: int, unfinished: bool) -> None:
    assert state.is_unfinished({"status": status, "can_resume": can_resume}) is unfinished


# ── requests and plans ────────────────────────────────────────────────────────────────────────────────────────────

ENTRY = Entry("/a.html", "a.html", 3, b"\1" * 32, (("content-type", "text/html"),))


def digest(**changes: Any) -> str:
    values: dict[str, Any] = {
        "entries": {"/a.html": ENTRY},
        "rules": WsResources(),
        "options": DeployOptions(),
        "chain_id": "c",
        "owner": SuiAddress(bytes(32)),
        "site_id": None,
        "name": "tides",
    }
    values |= changes
    first = [values.pop(name) for name in ("entries", "rules", "options")]
    return request.request_digest(*first, **values)


@pytest.mark.parametrize(
    "change",
    [
        {"entries": {"/b.html": ENTRY}},
        {"entries": {"/a.html": replace(ENTRY, sha256=b"\2" * 32)}},
        {"entries": {"/a.html": replace(ENTRY, headers=())}},
        {"rules": WsResources(routes=(("/x", "/a.html"),))},
        {"rules": WsResources(redirects=(("/x", Redirect("/y", 301)),))},
        {"options": DeployOptions(epochs=9)},
        {"options": DeployOptions(max_quilt_files=3)},
        {"options": DeployOptions(deletable=True)},
        {"chain_id": "d"},
        {"owner": SuiAddress(b"\1" * 32)},
        {"site_id": A},
        {"name": "moon"},
    ],
    ids=str,
)
def test_a_request_changes_with_what_is_asked_for(change: dict[str, Any]) -> None:
    assert digest(**change) != digest()


@pytest.mark.parametrize(
    "options",
    [
        DeployOptions(concurrency=2, max_bodies=1, max_memory=10**6),
        DeployOptions(message="x"),
        DeployOptions(deadline_s=5),
        DeployOptions(max_delete=1),
    ],
    ids=str,
)
def test_a_request_stays_the_same_however_patient_or_loud_it_is(options: DeployOptions) -> None:
    assert digest(options=options) == digest()


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("max_cost", "abc", "Frost"),
        ("max_cost", 5, "Frost"),
        ("epochs", "5", "int"),
        ("epochs", True, "int"),
        ("max_delete", "50%", "float"),
        ("ignore", "*.map", "tuple"),
        ("tags", (1,), "tuple"),
        ("verify", "all", "Verify"),
        ("fresh", 1, "bool"),
        ("object_id", "0x1", "ObjectId"),
        ("recovery", {}, "RecoveryOptions"),
    ],
)
def test_an_option_of_another_type_is_refused_and_the_right_one_named(option: str, value: Any, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{option}: expected {expected}.*found {type(value).__name__}") as got:
        DeployOptions(**{option: value})
    assert got.value.code == "option_invalid"


def test_the_keyword_arguments_are_the_options() -> None:
    assert get_type_hints(Asked).keys() == {field.name for field in fields(DeployOptions)}


@pytest.fixture
async def plan() -> Plan:
    world = SimulatedWorld({"index.html": b"home", "a/b.css": b"x" * 700_000})
    await world.deploy()
    world.files["index.html"] = b"changed"
    world.files["ws-resources.json"] = json.dumps({"routes": {"/x/*": "/index.html"}}).encode()
    return await world.plan(message="ünïcode")


@pytest.mark.anyio
async def test_a_plan_survives_json_with_its_digest(plan: Plan) -> None:
    again = load_plan(json.loads(json.dumps(dump(plan))))
    assert again == plan
    assert plan_digest(again) == plan.digest


@pytest.mark.anyio
async def test_a_damaged_plan_is_never_half_read(plan: Plan) -> None:
    whole = dump(plan)
    for name in whole:
        without = {key: value for key, value in whole.items() if key != name}
        with pytest.raises(CodecError):
            load_plan(without)
    with pytest.raises(CodecError):
        load_plan(whole | {"more": 1})
    with pytest.raises(CodecError):
        load_plan(whole | {"epochs": "5"})
    with pytest.raises(CodecError):
        load_plan(whole | {"target": whole["target"] | {"owner": "nonsense"}})


def with_one_wrong(data: Any, wrong: Any) -> Iterator[tuple[Any, Any]]:
    """Yield copies of JSON data, in each of which another value is wrong, with what stood there."""
    yield wrong, data
    if isinstance(data, list):
        for place, item in enumerate(data):
            yield from (([*data[:place], one, *data[place + 1 :]], was) for one, was in with_one_wrong(item, wrong))
    elif isinstance(data, dict):
        for key, item in data.items():
            yield from ((data | {key: one}, was) for one, was in with_one_wrong(item, wrong))


@pytest.mark.anyio
@pytest.mark.parametrize("wrong", [1.5, True, ["a", "b", "c", "d"]], ids=["a fraction", "a truth", "a list"])
async def test_a_plan_is_refused_wherever_one_value_is_of_another_type(plan: Plan, wrong: Any) -> None:
    whole = {**dump(plan), "options": {}}  # these are of any type
    tried = 0
    for damaged, was in with_one_wrong(whole, wrong):
        if type(was) is type(wrong):
            continue
        tried += 1
        with pytest.raises(CodecError):
            load_plan(damaged)
    assert tried > 50


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 0},
        {"max_delete": 1.5},
        {"concurrency": 0},
        {"concurrency": 257},
        {"max_bodies": 0},
        {"max_memory": 0},
        {"max_quilt_files": 0},
        {"deadline_s": 0},
        {"settle_s": -1},
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        DeployOptions(**values)
    assert caught.value.fields["option"] in values


def test_limits_are_those_asked_for_else_those_of_the_project_else_the_defaults() -> None:
    assert DeployOptions().limits() == Limits(requests=16, bodies=2, memory=256 * 2**20)
    project = {"concurrency": 3, "max_bodies": 5, "max_memory": None}
    assert DeployOptions(concurrency=4).limits(**project) == Limits(requests=4, bodies=5)
    with pytest.raises(ConfigurationError, match="max_bodies"):
        DeployOptions().limits(max_bodies=65)


@pytest.mark.parametrize("values", [{"max_retries": -1}, {"retry_delay_s": 10**6}, {"timeout_s": 0}], ids=str)
def test_recovery_options_that_cannot_be_are_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RecoveryOptions(**values)
    assert caught.value.fields["option"] in values
