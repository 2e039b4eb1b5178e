"""Exit codes: a pure function of the error, complete over the catalogue."""

from __future__ import annotations

import signal

import pytest

from walrus_sdk.cli.exits import EXITS, exit_code, goes_on
from walrus_sdk.errors import CODES, DeploymentStopped, ErrorClass, WalrusError


def test_every_error_code_has_an_exit_code_and_no_other_stands_there() -> None:
    assert set(EXITS) == set(CODES), "a new error code is classified in cli/exits.py"
    assert set(EXITS.values()) == {1, 2, 3}


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("blob_id_mismatch", 1), ("internal", 1), ("site_changed", 1),
        ("folder_missing", 2), ("cost_limit", 2), ("delete_limit", 2), ("secret_found", 2), ("key_missing", 2),
        ("deadline_reached", 3), ("deployment_owned", 3), ("state_busy", 3), ("connect_failed", 3),
        ("object_locked", 3), ("effect_unsettled", 3),
    ],
)  # fmt: skip
def test_a_code_ends_with_its_number(code: str, number: int) -> None:
    assert exit_code(WalrusError(code, "it happened")) == number


def test_what_is_tried_again_can_go_on_and_what_is_given_up_never_counts_as_bad_input_before_it_was_tried() -> None:
    retried = {code for code, row in CODES.items() if row.error_class in (ErrorClass.RETRY, ErrorClass.LOOK_FIRST)}
    assert {code: EXITS[code] for code in retried} == dict.fromkeys(retried, 3)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_decides_over_the_code(number: signal.Signals, code: int) -> None:
    error = DeploymentStopped("interrupted", "stopped", signal=int(number))
    assert (exit_code(error), goes_on(error)) == (code, True)


def test_the_service_knows_best_whether_a_deployment_goes_on() -> None:
    assert goes_on(WalrusError("plan_expired", "over", resumable=False)) is False
    assert goes_on(WalrusError("plan_expired", "over")) is True
    assert goes_on(WalrusError("folder_missing", "not there")) is False
