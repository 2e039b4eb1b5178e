"""What a panel shows of a state, and which buttons are enabled: pure, over all states."""

from __future__ import annotations

import itertools
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.notebook.seen import NAME, seen, summary
from walrus_sdk.errors import CODES
from walrus_sdk.model.alerts import Alert, Severity
from walrus_sdk.model.html import escape
from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.units import Digest, ObjectId
from walrus_sdk.model.versions import Version
from walrus_sdk.model.views import Eta, OperationView, Rates, Step
from walrus_sdk.notebook.state import (
    Action,
    File,
    FileState,
    Offer,
    Problem,
    State,
    counts,
    file_states,
)
from walrus_sdk.notebook.view import MAX_ROWS, View, enabled, files_html, focused, text_of, view

SITE = ObjectId(bytes(31) + b"\x07")
LIVE = ("pending", "uploading", "processing")
STATUSES = (*LIVE, "paused", "interrupted", "failed", "completed", "cancelled")
EVIL = "<script>alert(1)</script>\"'&"


def version(number: int, *, current: bool) -> Version:
    digest = Digest(bytes(32))
    return Version(number, SITE, NAME, 1, "", "", (), 4, digest, None, current=current, pinned=False)


def every_state() -> list[State]:
    """All combinations of what the buttons depend on."""
    deployments = [None, *(
        summary(status, resumable=resumable, verb=verb)
        for status in STATUSES
        for resumable in ((True, False) if status == "failed" else (status == "interrupted",))
        for verb in ("deploy", "cleanup")
    )]  # fmt: skip
    shapes = itertools.product(
        deployments,
        ("", "planning"),
        ("", "/site"),
        (0, 1, 2),
        (None, Offer(Action.DEPLOY, "t", (), "go")),
        ("", "http://s"),
    )
    return [
        State(
            summary=found,
            busy=busy,
            folder=folder,
            versions=tuple(version(n + 1, current=n + 1 == how_many) for n in range(how_many)),
            offer=offer,
            url=url,
        )
        for found, busy, folder, how_many, offer, url in shapes
    ]


ALL = every_state()


def test_while_somebody_works_on_it_only_what_a_live_deployment_takes_is_enabled() -> None:
    live = [state for state in ALL if state.at_work]
    assert live
    allowed = {Action.PAUSE, Action.CONTINUE, Action.CANCEL, Action.OPEN, Action.DISMISS}
    for state in live:
        assert enabled(state) <= allowed
        assert Action.CANCEL in enabled(state)


def test_what_is_final_can_only_be_followed_by_something_new() -> None:
    for state in ALL:
        if state.status in ("completed", "cancelled") and not state.busy:
            assert not enabled(state) & {Action.PAUSE, Action.CONTINUE, Action.CANCEL, Action.RESUME, Action.RETRY}


def test_while_the_panel_is_busy_nothing_else_begins() -> None:
    for state in ALL:
        if state.busy:
            assert enabled(state) <= {Action.PAUSE, Action.CONTINUE, Action.CANCEL, Action.OPEN}


def test_failures_are_tried_again_only_where_something_failed() -> None:
    failed = seen(steps={"store-1": Step.FAILED})
    for state in ALL:
        again = Action.RESUME in enabled(state)
        assert (Action.RETRY in enabled(state)) == (again and state.status == "failed")
        assert (Action.RETRY in enabled(replace(state, seen=failed))) == again


def test_a_panel_that_has_ended_has_no_button() -> None:
    assert {enabled(replace(state, ended="it was closed")) for state in ALL} == {frozenset()}


def shows(*on: Action) -> View:
    return replace(view(State()), enabled=frozenset(on))


def test_the_focus_waits_for_a_button_that_may_have_it() -> None:
    free, busy = shows(Action.DEPLOY, Action.VERIFY, Action.OPEN), shows(Action.CANCEL, Action.OPEN)
    asked, live = shows(Action.DEPLOY, Action.CONFIRM, Action.DISMISS), shows(Action.PAUSE, Action.CANCEL, Action.OPEN)
    assert focused(None, free, busy, None) is None
    assert focused(Action.DEPLOY, free, free, None) is None, "it is not heard yet"
    assert focused(Action.DEPLOY, free, busy, None) is None
    assert focused(Action.DEPLOY, busy, asked, Action.DEPLOY) is Action.CONFIRM
    assert focused(Action.DEPLOY, free, asked, Action.DEPLOY) is Action.CONFIRM, "so quick that nothing was disabled"
    assert focused(Action.DEPLOY, busy, free, None) is Action.DEPLOY
    assert focused(Action.VERIFY, busy, shows(*asked.enabled, Action.VERIFY), Action.DEPLOY) is Action.VERIFY
    assert focused(Action.CONFIRM, asked, live, None) is Action.PAUSE
    assert focused(Action.CANCEL, live, live, None) is None, "what is under way comes to its end"
    assert focused(Action.CANCEL, live, free, None) is Action.DEPLOY


def test_an_offer_with_nothing_to_confirm_can_only_be_dismissed() -> None:
    on = enabled(State(offer=Offer(Action.CLEANUP, "Cleanup", (), "")))
    assert Action.CONFIRM not in on
    assert Action.DISMISS in on


# ── what is seen of a deployment ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        (Step.PLANNED, FileState.WAITING), (Step.NAMED, FileState.WAITING), (Step.BEGUN, FileState.SENDING),
        (Step.SENT, FileState.SENDING), (Step.UNKNOWN, FileState.LOOKING), (Step.FAILED, FileState.FAILED),
        (Step.DONE, FileState.STORED),
    ],
)  # fmt: skip
def test_files_stand_where_their_operations_do_and_nothing_is_sent_where_nobody_works(
    step: Step, shown: FileState
) -> None:
    files = (File("/a", 1, "store-0001"), File("/b", 1, None), File("/c", 1, "store-0002"))
    state = State(summary=summary("uploading"), seen=seen(steps={"store-0001": step}), files=files)
    assert file_states(state) == [shown, FileState.STORED, FileState.WAITING]
    still = file_states(replace(state, summary=summary("interrupted")))[0]
    assert still is (FileState.WAITING if shown is FileState.SENDING else shown)


def test_the_panel_says_how_fast_it_goes_and_when_it_will_be_over_only_while_somebody_works() -> None:
    eta = Eta(1, 30.0, 20.0, 50.0, "this deployment's speed")
    state = State(summary=summary("uploading"), files=(File("/a", 1, "store-0001"),),
                  seen=seen(files_total=1, rates=Rates(2_000_000.0, 1_000_000.0), eta=eta))  # fmt: skip
    meter = view(state).meter
    assert "2.0 MB/s now, 1.0 MB/s on average" in meter
    assert "about 30 s left (20 s to 50 s" in meter
    assert "left" not in view(replace(state, summary=summary("interrupted"))).meter


# ── what is shown ─────────────────────────────────────────────────────────────────────────────────────────────────


class Tags(HTMLParser):
    """The tags and attributes of a text, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def tags(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(html)
    return parser.found


def evil_state() -> State:
    return State(
        network=EVIL,
        site_name=EVIL,
        folder=EVIL,
        summary=summary("failed", resumable=True, reason=f"store_failed: {EVIL}"),
        files=(File(EVIL, 1, "store-0001"),),
        seen=seen(
            operations={EVIL: OperationView(EVIL, "store", Step.UNKNOWN, code=EVIL, message=EVIL)},
            alerts=(Alert(1, EVIL, EVIL, EVIL, Severity.WARNING, 1, 1.0, 1.0, EVIL, EVIL, EVIL),),
            paid_frost=1,
            eta=Eta(1, 30.0, 20.0, 50.0, EVIL, EVIL),
        ),
        offer=Offer(Action.DEPLOY, EVIL, ((EVIL, EVIL),), EVIL),
        problem=Problem(EVIL, EVIL, EVIL),
        note=EVIL,
        progress=Progress(waiting=EVIL, phase=Phase.STORE, stores_total=1),
    )


def test_nothing_from_outside_brings_markup_into_the_page() -> None:
    state = evil_state()
    shown = view(state)
    parts = (shown.head, shown.status, shown.meter, shown.cost, shown.offer, shown.problems, shown.note)
    html = "".join(parts) + files_html(state.files, file_states(state))
    assert "script" not in {tag for tag, _ in tags(html)}
    assert not any(name.startswith("on") for _, attributes in tags(html) for name in attributes)
    assert EVIL not in html


def test_the_status_is_read_aloud_only_when_it_changes_or_at_a_tenth() -> None:
    files = tuple(File(f"/{n}", 1, f"store-{n}") for n in range(1000))
    texts = []
    for stored in range(1000):
        found = seen(steps={f"store-{n}": Step.DONE for n in range(stored)})
        texts.append(view(State(summary=summary("uploading"), files=files, seen=found)).status)
    assert len(set(texts)) == 10
    assert all('role="status"' in text for text in texts)


def test_failures_are_an_alert_with_their_next_step_and_go_when_the_deployment_is_complete() -> None:
    found = seen(steps={f"store-{n:04}": Step.FAILED for n in range(15)})
    shown = view(State(summary=summary("uploading"), seen=found)).problems
    assert 'role="alert"' in shown
    assert shown.count(f"<em>{escape(CODES['store_failed'].next_step)}</em>") == 10
    assert shown.index("store-0005") < shown.index("store-0014"), "the last ones, in order"
    assert "and 5 more" in shown
    assert view(State(summary=summary("completed"), seen=found)).problems == ""
    assert view(State(summary=summary("cancelled"), seen=found)).problems == ""


def test_a_failed_deployment_shows_its_reason_once_and_what_to_do() -> None:
    state = State(summary=summary("failed", resumable=True, reason="insufficient_gas: 3 MIST are missing"))
    shown = view(state).problems
    assert "3 MIST are missing" in shown
    assert "<em>" in shown
    again = view(replace(state, problem=Problem("insufficient_gas", "3 MIST are missing", "x"))).problems
    assert again.count("insufficient_gas") == 1


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_is_a_word_and_a_class(status: str) -> None:
    html = view(State(summary=summary(status))).status
    assert status in html
    assert f"wsdk-{status}" in html


def test_the_table_shows_failed_and_active_files_first_and_counts_the_rest() -> None:
    files = tuple(File(f"/{n}", 10, f"store-{n}") for n in range(5000))
    states = [FileState.STORED] * 5000
    states[4999], states[4000] = FileState.FAILED, FileState.SENDING
    html = files_html(files, states)
    rows = [attributes for tag, attributes in tags(html) if tag == "tr"]
    assert len(rows) == MAX_ROWS + 1
    assert html.index("/4999<") < html.index("/4000<") < html.index("/0<")
    assert f"and {5000 - MAX_ROWS:,} more" in html
    assert "<caption>5,000 files: 1 failed, 1 sending, 4,998 stored</caption>" in html
    assert ("th", {"scope": "row"}) in tags(html)


def test_progress_is_three_bars_with_a_role_a_name_and_a_value() -> None:
    state = State(summary=summary("uploading"), deployment=str(NAME), progress=Progress(
        Phase.STORE, 4, 4, 100, 2, 2, 1, bytes_total=100, bytes_sent=60, bytes_confirmed=50, deployment=str(NAME)
    ))  # fmt: skip
    bars = [attributes for _, attributes in tags(view(state).meter) if attributes.get("role") == "progressbar"]
    assert [bar["aria-label"] for bar in bars] == ["prepared", "stored", "on chain"]
    assert bars[1]["aria-valuenow"] == "50.0"


def test_a_deployment_without_samples_shows_what_the_journal_knows() -> None:
    files = (File("/a", 30, "store-1"), File("/b", 10, "store-2"), File("/c", 5, None))
    counted = Progress(Phase.STORE, stores_total=2, bytes_total=40, stores_confirmed=1, bytes_confirmed=30)
    state = State(summary=summary("interrupted", resumable=True), files=files,
                  seen=seen(steps={"store-1": Step.DONE}, files_total=3, progress=counted))  # fmt: skip
    meter = view(state).meter
    assert "30 B of 40 B confirmed" in meter
    assert "2 of 3 files stored" in meter


def test_cost_is_told_against_the_plan_and_the_limit() -> None:
    state = State(
        summary=summary("uploading"), seen=seen(paid_frost=10**9, planned_frost=3 * 10**9, cap_frost=5 * 10**9)
    )
    assert "spent 1 WAL of 3 WAL planned · limit 5 WAL" in view(state).cost


def test_the_text_form_has_no_ids_and_no_times() -> None:
    state = State(site_name="my-app", deployment=str(NAME), summary=summary("completed", version=3), now_ms=5)
    assert text_of(state) == "my-app: completed: version 3"
    assert text_of(State(folder="/site")) == "/site: ready"


def test_counts_list_every_state() -> None:
    assert counts([FileState.STORED]) == {**dict.fromkeys(FileState, 0), FileState.STORED: 1}
