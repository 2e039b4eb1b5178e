"""``monitor`` and ``logs``: a whole screen, lines, objects; signals end the watching only."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import anyio
import pytest

from walrus_sdk.cli.screens import screen
from walrus_sdk.errors import ConfigurationError
from walrus_sdk.model.alerts import Alert, Severity
from walrus_sdk.model.deployment import Event
from walrus_sdk.model.original import ErrorRecord
from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.reports import DeploymentSummary
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.model.views import DeploymentView, Eta, FileView, OperationView, Rates, Step, Waiting

ONE = DeploymentId("deploy_1700000000000_0badcafe")
SUMMARY = DeploymentSummary(ONE, "my-app", "testnet", "uploading", 0.5, 1_700_000_000_000)
OPERATIONS = {
    f"store-{n:04}": OperationView(f"store-{n:04}", "store", step, 3, 2_000_000, 500_000, attempts=1)
    for n, step in enumerate((Step.DONE, Step.BEGUN, Step.SENT, Step.FAILED, Step.PLANNED), start=1)
}
STUCK = Alert(
    4, "stuck", "stuck", str(ONE), Severity.CRITICAL, 1_700_000_058_000, 120.0, 60.0, "s", "no progress", str(ONE)
)
STORING = DeploymentView(
    summary=SUMMARY,
    at_ms=1_700_000_060_000,
    live=True,
    phase=Phase.STORE,
    progress=Progress(Phase.STORE, 20, 20, 10**7, 5, 5, 1, 10**7, 4 * 10**6, 2 * 10**6),
    files_done=3,
    files_total=15,
    bytes_done=2_000_000,
    bytes_total=10_000_000,
    steps={Step.DONE: 1, Step.BEGUN: 1, Step.SENT: 1, Step.FAILED: 1, Step.PLANNED: 1},
    moved_ms=1_700_000_059_000,
    rates=Rates(2e6, 1.5e6),
    eta=Eta(1_700_000_060_000, 130.0, 100.0, 300.0, "by its rate"),
    waiting=(Waiting("store-0003", "the publisher's answer", 1_700_000_055_000),),
    operations=OPERATIONS,
    errors=(ErrorRecord("timeout_send", "too slow", 1_700_000_050_000, "store-0004"),),
    alerts=(STUCK,),
    files=tuple(FileView(f"/page-{n}.html", 1000, Step.BEGUN, 500, "store-0002") for n in range(60)),
)
DONE = replace(
    STORING,
    summary=replace(SUMMARY, status="completed", url="http://x.localhost:1/"),
    live=False,
    phase=Phase.DONE,
    progress=replace(STORING.progress, phase=Phase.DONE, bytes_confirmed=10**7),
    files_done=15,
    steps={Step.DONE: 6},
    waiting=(),
    eta=None,
)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Put the process's signal handlers back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Watched:
    """What a session shows of one deployment."""

    def __init__(self, session: Any, *views: DeploymentView) -> None:
        self.views = list(views)
        self.asked: list[Any] = []
        self.lines: list[str] = []
        self.stopped = False
        session.follow, session.newest, session.log = self.follow, self.newest, self.log

    async def newest(self) -> DeploymentId:
        if not self.views:
            raise ConfigurationError("deployment_not_found", "no deployment of this home is under way")
        return ONE

    async def follow(self, deployment: Any, *, files: int = 0) -> AsyncIterator[DeploymentView]:
        self.asked.append((str(deployment), files))
        for view in self.views:
            yield view
            await anyio.lowlevel.checkpoint()
        if self.stopped:
            os.kill(os.getpid(), signal.SIGINT)
            await anyio.sleep_forever()

    async def log(self, deployment: Any, *, last: int | None, follow: bool) -> AsyncIterator[str]:
        self.asked.append((deployment, last, follow))
        for line in self.lines:
            yield line


def test_lines_where_nobody_sits_and_the_code_of_how_it_ended(cli: Any, session: Any) -> None:
    watched = Watched(session, STORING, STORING, DONE)
    ran = cli("monitor")
    lines = ran.out.splitlines()
    assert ran.code == 0
    assert lines[:2] == ["critical: stuck: no progress", "store-0004: timeout_send: too slow"]
    assert lines[2].startswith("storing: 2.0 MB of 10.0 MB confirmed")
    assert lines[2].endswith("about 2 min 10 s left (1 min 40 s to 5 min, by its rate)")
    assert lines[3] == "done"
    assert lines[4].split() == ["deployment", str(ONE)]
    assert "address      http://x.localhost:1/" in lines
    assert watched.asked == [(str(ONE), 0)]


def test_each_failure_is_a_line_also_where_two_come_at_once(cli: Any, session: Any) -> None:
    one = ErrorRecord("timeout_send", "too slow", 1_700_000_050_000, "store-0004")
    two = replace(one, operation="store-0005")
    many = tuple(replace(one, operation=f"store-{n:04}") for n in range(5, 25))
    Watched(
        session,
        replace(STORING, failures=1, errors=(one,)),
        replace(STORING, failures=2, errors=(one, two)),
        replace(STORING, failures=24, errors=many),
    )
    lines = [line for line in cli("monitor").out.splitlines() if "timeout_send" in line]
    assert lines[:2] == ["store-0004: timeout_send: too slow", "store-0005: timeout_send: too slow"]
    assert len(lines) == 22, "those that are still told"


def test_a_deployment_in_which_nothing_moves_says_once_what_it_waits_for(cli: Any, session: Any) -> None:
    still = [replace(STORING, at_ms=STORING.at_ms + 1000 * second) for second in range(30)]
    moved = replace(still[-1], moved_ms=still[-1].at_ms - 10_000)
    Watched(session, *still, moved)
    lines = [line for line in cli("monitor").out.splitlines() if line.startswith("store-0003")]
    assert lines == [
        "store-0003 waits for 14 s: the publisher's answer",
        "store-0003 waits for 34 s: the publisher's answer",
    ]


def test_programs_are_told_of_operations_failures_and_as_many_files_as_they_ask_for(cli: Any, session: Any) -> None:
    watched = Watched(session, STORING)
    told = cli("monitor", "--json", "--files", "3").objects[0]
    assert watched.asked == [(str(ONE), 3)]
    assert [(one["operation"], one["step"], one["sent"]) for one in told["operations"]] == [
        ("store-0002", "begun", 500_000), ("store-0003", "sent", 500_000),
    ]  # fmt: skip
    assert told["files"][0] == {
        "path": "/page-0.html", "bytes": 1000, "step": "begun", "sent": 500, "operation": "store-0002",
    }  # fmt: skip
    assert told["errors"] == [
        {"operation": "store-0004", "code": "timeout_send", "message": "too slow",
         "happened": "2023-11-14T22:14:10.000+00:00"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "resumable", "code"), [("interrupted", True, 3), ("failed", True, 3), ("cancelled", False, 1)]
)
def test_the_exit_code_tells_how_the_deployment_ended(
    cli: Any, session: Any, status: str, resumable: bool, code: int
) -> None:
    Watched(session, replace(DONE, summary=replace(SUMMARY, status=status, resumable=resumable)))
    assert cli("monitor", str(ONE)).code == code


def test_programs_get_objects_at_most_twice_a_second_and_a_result(cli: Any, session: Any) -> None:
    Watched(session, STORING, STORING, STORING, DONE)
    objects = cli("monitor", "--json").objects
    assert [one["type"] for one in objects] == ["progress", "result"]
    first, last = objects
    assert (first["phase"], first["bytes_per_s"], first["eta_s"], first["files_done"]) == ("store", 2e6, 130.0, 3)
    assert first["waiting"] == [
        {"what": "store-0003", "on": "the publisher's answer", "since": "2023-11-14T22:14:15.000+00:00"}
    ]
    assert [(one["rule"], one["state"]) for one in first["alerts"]] == [("stuck", "firing")]
    assert (last["status"], last["progress"]) == ("completed", 1.0)


def test_a_person_gets_a_whole_screen_that_is_given_back(cli: Any, session: Any) -> None:
    watched = Watched(session, STORING, DONE)
    cli.terminal = True
    ran = cli("monitor")
    enters, leaves = "\x1b[?1049h", "\x1b[?1049l"
    assert ran.code == 0
    assert ran.out.index(enters) < ran.out.index("3 of 15 files") < ran.out.index(leaves) < ran.out.index("status")
    assert watched.asked[0][1] > 0, "its files are shown, too"
    assert "completed" in ran.out


def test_what_happened_is_drawn_at_once_and_bytes_are_not(cli: Any, session: Any) -> None:
    happened = Event(ONE, 9, 1, 1_700_000_060_000, 1.0, "effect.done", {})
    Watched(
        session,
        STORING,
        replace(STORING, files_done=4),
        replace(STORING, files_done=5, events=(happened,)),
        DONE,
    )
    cli.terminal = True
    drawn = cli("monitor").out.partition("\x1b[?1049l")[0]
    assert ("3 of 15 files" in drawn, "4 of 15 files" in drawn, "5 of 15 files" in drawn) == (True, False, True)


def test_of_what_is_over_no_screen_is_drawn(cli: Any, session: Any) -> None:
    Watched(session, DONE)
    cli.terminal = True
    assert "\x1b[?1049h" not in cli("monitor").out


def test_ctrl_c_ends_the_watching_and_not_the_deployment(cli: Any, session: Any) -> None:
    watched = Watched(session, STORING)
    watched.stopped = True
    ran = cli("monitor")
    assert ran.code == 130
    assert ran.err == "the watching ended; the deployment goes on\n"


def test_without_anything_under_way_it_is_said(cli: Any, session: Any) -> None:
    Watched(session)
    assert cli("monitor", "--json").last["code"] == "deployment_not_found"


def drawn(view: DeploymentView, height: int, width: int = 100) -> list[str]:
    from rich.console import Console

    console = Console(width=width, height=height, record=True, file=io.StringIO())
    console.print(screen(view, width, height))
    return console.export_text().splitlines()


@pytest.mark.parametrize("height", [24, 40, 60])
def test_a_screen_has_what_matters_and_fits(height: int) -> None:
    lines = drawn(STORING, height)
    text = "\n".join(lines)
    assert len(lines) <= height
    for part in ("my-app on testnet  uploading", "3 of 15 files", "2.0 MB/s now", "about 2 min 10 s left",
                 "critical: stuck: no progress", "store-0003 waits for 5 s",
                 "store-0004  timeout_send: too slow"):  # fmt: skip
        assert part in text


def test_a_high_screen_also_has_operations_and_files() -> None:
    text = "\n".join(drawn(STORING, 60))
    assert "500.0 kB of 2.0 MB sent" in text
    assert "/page-0.html" in text
    assert "store-0001" not in text, "what is done is counted only"


def test_what_a_site_is_called_draws_nothing() -> None:
    evil = replace(
        STORING, summary=replace(SUMMARY, site_name="a\x1b[2Jb"), files=(FileView("/\x1b[31m", 1, Step.BEGUN),)
    )
    assert "\x1b" not in "\n".join(drawn(evil, 60))


# ── logs ──────────────────────────────────────────────────────────────────────────────────────────────────────────

LINE = {"time": "2026-11-27T01:02:03.000+00:00", "deployment_id": str(ONE), "n": 4, "incarnation": 1,
        "event": "effect.done", "kind": "store", "outcome": {"cost_frost": "7"}}  # fmt: skip


def test_the_log_is_lines_for_people_and_rows_for_programs(cli: Any, session: Any) -> None:
    watched = Watched(session)
    watched.lines = [json.dumps(LINE), '{"cut of']
    assert cli("logs").out.splitlines() == [
        f"2026-11-27T01:02:03.000+00:00  {ONE}     4  effect.done  kind=store",
        '{"cut of',
    ]
    row, torn = cli("logs", "--json").objects
    assert (row["type"], row["event"], row["happened"], row["outcome"]) == (
        "row", "effect.done", LINE["time"], {"cost_frost": "7"}
    )  # fmt: skip
    assert torn["text"] == '{"cut of'


def test_of_a_deployment_all_lines_are_shown_and_of_the_home_the_last(cli: Any, session: Any) -> None:
    watched = Watched(session)
    for given in ((), (str(ONE),), ("--lines", "3"), (str(ONE), "--follow")):
        assert cli("logs", *given).code == 0
    assert watched.asked == [(None, 50, False), (str(ONE), None, False), (None, 3, False), (str(ONE), None, True)]
