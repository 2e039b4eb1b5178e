"""Alerts: each fires once and clears once, whoever looks, however often, and after any restart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.watch.conftest import Watched
from walrus_sdk.errors import ConfigurationError
from walrus_sdk.model import events
from walrus_sdk.model.alerts import Alert, Notice, Severity, firing
from walrus_sdk.watch.alerts import Judge, judge
from walrus_sdk.watch.rules import parse
from walrus_sdk.watch.runs import Try
from walrus_sdk.watch.view import RunView, SiteView, View, Wallet

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000_000


def values_of(table: dict[str, Any], *views: View) -> list[str]:
    """What one rule does with views, one after the other: ``+`` fires, ``-`` clears, ``.`` neither."""
    rules, state, fired, last = parse(table, defaults=False), Judge(), list[Any](), 0
    told = []
    for view in views:
        verdict = judge(rules, view, fired, last, state)
        state, last = verdict.judge, last + len(verdict.fired)
        gone = {alert.number for alert in verdict.cleared}
        fired = [alert for alert in (*fired, *verdict.fired) if alert.number not in gone]
        told.append("".join(["+" * len(verdict.fired), "-" * len(verdict.cleared)]) or ".")
    return told


def disk(*free: int | None) -> list[View]:
    return [View(NOW + 1000 * number, disk_free_bytes=value) for number, value in enumerate(free)]


# ── the judge ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_swings_round_the_limit_is_told_once() -> None:
    table = {"disk": {"below_bytes": 100, "clear_bytes": 120}}
    assert values_of(table, *disk(150, 100, 99, 101, 99, 119, 121, 130, 90)) == [
        ".",
        "+",
        ".",
        ".",
        ".",
        ".",
        "-",
        ".",
        "+",
    ]


def test_a_rule_with_a_time_fires_only_when_it_was_beyond_the_limit_all_the_time() -> None:
    table = {"disk": {"below_bytes": 100, "for_s": 2}}
    assert values_of(table, *disk(50, 50, 150, 50, 50, 50, 50)) == [".", ".", ".", ".", ".", "+", "."]


def test_what_is_not_known_just_now_neither_fires_nor_clears() -> None:
    table = {"disk": {"below_bytes": 100}}
    assert values_of(table, *disk(None, 50, None, 50, 500)) == [".", "+", ".", ".", "-"]


def run(**facts: Any) -> RunView:
    given = {"deployment": "d", "site_name": "tides", "network": "testnet", "status": "uploading", "progressed_ms": NOW}
    return RunView(**(given | facts))


def ended(
    *outcomes: str, endpoint: str = "https://p.example", code: str = "store_failed", s: float = 1
) -> tuple[Try, ...]:
    return tuple(
        Try("store", "o", "b", 1, NOW - int(s * 1000), None, NOW, outcome, code if outcome != "done" else "", endpoint)
        for outcome in outcomes
    )


@pytest.mark.parametrize(
    ("table", "bad", "good"),
    [
        ({"failed": {}}, {"runs": (run(status="failed", reason="leak: /home/me/secret"),)}, {"runs": ()}),
        ({"failed": {}}, {"runs": (run(status="failed"),)}, {"runs": (run(status="failed", is_mended=True),)}),
        ({"failed": {}}, {"runs": (run(status="failed"),)}, {"runs": (run(status="uploading"),)}),
        ({"stuck": {"after_s": 60}}, {"runs": (run(progressed_ms=NOW - 60_000),)}, {"runs": (run(),)}),
        ({"interrupted": {}}, {"runs": (run(progressed_ms=NOW - 60_000, is_live=False),)}, {"runs": (run(),)}),
        ({"stuck": {"after_s": 60}}, {"runs": (run(progressed_ms=NOW - 60_000),)}, {"runs": (run(status="failed"),)}),
        ({"error_rate": {"least": 2}}, {"runs": (run(tries=ended("failed", "done")),)},
         {"runs": (run(tries=ended("failed", "done", "done", "done", "done")),)}),
        ({"endpoint": {"above_tries": 2}}, {"tries": ended("done", "failed", "unknown")},
         {"tries": ended("done", "failed", "unknown", "done")}),
        ({"slow": {"above_s": 5, "least": 2}}, {"tries": ended("done", "done", s=9)}, {"tries": ended("done", "done")}),
        ({"memory": {"above_bytes": 100}}, {"runs": (run(memory_bytes=100),)}, {"runs": (run(memory_bytes=10),)}),
        ({"open_files": {"above_files": 9}}, {"runs": (run(open_files=9),)}, {"runs": (run(open_files=1),)}),
        ({"sui_balance": {"below_mist": 9}}, {"wallet": Wallet(9, 99)}, {"wallet": Wallet(99, 9)}),
        ({"wal_balance": {"below_frost": 9}}, {"wallet": Wallet(99, 9)}, {"wallet": Wallet(9, 99)}),
        ({"cost": {"above_share": 0.8}}, {"runs": (run(spent_frost=80, cap_frost=100),)},
         {"runs": (run(spent_frost=79, cap_frost=100),)}),
        ({"expiring": {"within_s": 60}}, {"sites": (SiteView("0x1", "t", "testnet", 9, NOW + 60_000),)},
         {"sites": (SiteView("0x1", "t", "testnet", 9, NOW + 61_000),)}),
    ],
)  # fmt: skip
def test_each_kind_fires_when_it_is_so_and_clears_when_it_is_not(
    table: dict[str, Any], bad: dict[str, Any], good: dict[str, Any]
) -> None:
    assert values_of(table, View(NOW, **good), View(NOW, **bad), View(NOW, **bad), View(NOW, **good)) == [
        ".", "+", ".", "-",
    ]  # fmt: skip


def test_a_deployment_without_a_cost_limit_and_one_whose_process_is_gone_are_nobodys_alerts() -> None:
    assert values_of({"cost": {}}, View(NOW, (run(spent_frost=10),))) == ["."]
    gone = run(is_live=False, progressed_ms=0)
    assert values_of({"stuck": {}}, View(NOW, (gone,))) == ["."]


def test_a_few_tries_say_nothing_and_old_ones_are_not_counted() -> None:
    table = {"error_rate": {"least": 3, "window_s": 10}}
    assert values_of(table, View(NOW, (run(tries=ended("failed", "failed")),))) == ["."]
    assert values_of(table, View(NOW + 11_000, (run(tries=ended(*["failed"] * 9)),))) == ["."]


def test_an_endpoint_is_not_blamed_for_what_was_asked_of_it() -> None:
    asked_wrong = ended("failed", "failed", "failed", code="insufficient_gas")
    assert values_of({"endpoint": {}}, View(NOW, tries=asked_wrong)) == ["."]


def test_a_transaction_that_goes_well_speaks_for_the_nodes_that_failed_one_and_for_no_publisher() -> None:
    node = tuple(replace(one, kind="transaction") for one in ended(*["failed"] * 3, endpoint="https://node.example"))
    publisher = ended(*["failed"] * 3)
    well = replace(ended("done", endpoint="")[0], kind="transaction")
    views = View(NOW, tries=(*node, *publisher)), View(NOW, tries=(*node, *publisher, well))
    assert values_of({"endpoint": {}}, *views) == ["++", "-"]


def test_the_message_of_a_failure_has_its_code_and_no_text_that_may_name_files() -> None:
    rules = parse({"failed": {}}, defaults=False)
    (alert,) = judge(rules, View(NOW, (run(status="failed", reason="leak: /home/me/secret"),)), (), 0, Judge()).fired
    assert "failed with leak" in alert.message
    assert "/home" not in alert.message


# ── the monitor ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_stuck_deployment_is_told_once_with_what_it_waits_for_and_once_when_it_goes_on(watched: Any) -> None:
    monitor = watched.monitor({"stuck": {"after_s": 30}})
    deployment = await watched.deployment()
    await deployment.move("uploading")
    await deployment.begin("1")
    await deployment.release("1")
    for _ in range(3):
        await monitor.look()
        watched.clock.advance(29)
    assert watched.heard() == ["stuck firing"]
    assert "waits for the answer to store store-1 (try 1)" in watched.told[0].alert.message
    await deployment.done("1")
    await monitor.look()
    await monitor.look()
    assert watched.heard() == ["stuck firing", "stuck cleared"]
    (row,) = await watched.alerts()
    assert row["cleared_ms"] - row["fired_ms"] == 29_000, "it is cleared by the look that sees it"
    assert firing(await watched.journal.rows("alerts")) == ()


async def test_a_deployment_that_somebody_paused_is_not_stuck_and_may_be_when_it_goes_on(watched: Any) -> None:
    monitor = watched.monitor({"stuck": {"after_s": 30}})
    deployment = await watched.deployment()
    await deployment.write(events.DEPLOYMENT_PAUSED, {"reason": ""})
    watched.clock.advance(100)
    await monitor.look()
    await deployment.write(events.DEPLOYMENT_CONTINUED, {})
    watched.clock.advance(29)
    await monitor.look()
    assert watched.heard() == []
    watched.clock.advance(1)
    await monitor.look()
    assert watched.heard() == ["stuck firing"]


async def test_tries_that_fail_again_and_again_are_no_progress(watched: Any) -> None:
    monitor = watched.monitor({"stuck": {"after_s": 30}})
    deployment = await watched.deployment()
    await deployment.begin("1")
    for number in range(2, 9):
        watched.clock.advance(5)
        await deployment.failed("1")
        await deployment.begin("1", number)
        await monitor.look()
    assert watched.heard() == ["stuck firing"]


async def test_bytes_that_leave_are_progress_and_the_beginning_of_another_try_is_none(watched: Any) -> None:
    monitor = watched.monitor({"stuck": {"after_s": 30}, "memory": {"above_bytes": 5000}})
    deployment = await watched.deployment()
    for number in range(3):
        await watched.sample(deployment, bytes_sent=number)
        await monitor.look()
        watched.clock.advance(29)
    assert watched.heard() == ["memory firing"]
    for number in range(3):
        await watched.sample(deployment, bytes_sent=10 + number, retries=number + 1)
        await monitor.look()
        watched.clock.advance(29)
    assert watched.heard() == ["memory firing", "stuck firing"]


async def test_a_monitor_that_starts_anew_says_nothing_twice_and_clears_what_another_fired(watched: Any) -> None:
    rules = {"failed": {}}
    deployment = await watched.deployment()
    await deployment.move("failed", "store_failed: no")
    await watched.monitor(rules).look()
    await watched.monitor(rules).look()
    assert watched.heard() == ["failed firing"]
    await deployment.move("uploading")
    await watched.monitor(rules).look()
    assert watched.heard() == ["failed firing", "failed cleared"]


async def test_a_monitor_that_starts_anew_knows_since_when_nothing_has_moved(watched: Any) -> None:
    rules = {"stuck": {"after_s": 30}}
    deployment, first = await watched.deployment(), watched.monitor(rules)
    for _ in range(5):
        await watched.sample(deployment, bytes_sent=7)  # as every ten seconds, although nothing moves
        await first.look()
        watched.clock.advance(10)
    await watched.sample(deployment, bytes_sent=7)
    await watched.monitor(rules).look()
    assert watched.heard() == ["stuck firing"]
    await watched.sample(deployment, bytes_sent=8)
    await watched.monitor(rules).look()
    assert watched.heard() == ["stuck firing", "stuck cleared"]


async def test_of_two_monitors_one_tells(watched: Any) -> None:
    rules = {"failed": {}, "disk": {"below_bytes": 100}}
    one, two = watched.monitor(rules), watched.monitor(rules)
    await one.look()
    await two.look()
    deployment = await watched.deployment()
    await deployment.move("failed")
    watched.disk_free = 10
    await one.look()
    await two.look()  # it still believes that there is no alert at all
    watched.disk_free = 1000
    await two.look()
    await one.look()
    assert watched.heard() == ["failed firing", "disk firing", "disk cleared"]
    assert [row["n"] for row in await watched.alerts()] == [1, 2]


@pytest.mark.parametrize("free", [[10], [10, 1000]])
async def test_of_two_monitors_that_see_the_same_at_once_one_writes_and_tells(watched: Any, free: list[int]) -> None:
    rules = {"disk": {"below_bytes": 100}}
    one, two = watched.monitor(rules), watched.monitor(rules)
    append, ahead = watched.journal.append, [True]

    async def two_is_faster(*args: Any) -> Any:
        if ahead.pop():
            ahead.append(False)
            await two.look()  # between what `one` has read and what it writes
        else:
            ahead.append(False)
        return await append(*args)

    watched.journal.append = two_is_faster
    for bytes_left in free:
        watched.disk_free, ahead[:] = bytes_left, [True]
        await one.look()
    assert watched.heard() == ["disk firing", "disk cleared"][: len(free)]
    assert len(await watched.alerts()) == 1


async def test_a_failure_is_over_when_a_later_deployment_of_the_site_is_complete(watched: Any) -> None:
    monitor = watched.monitor({"failed": {}})
    await (await watched.deployment(1)).move("failed")
    await monitor.look()
    watched.clock.advance(1)
    await (await watched.deployment(2, site_name="other")).move("completed")
    await monitor.look()
    assert watched.heard() == ["failed firing"]
    await (await watched.deployment(3)).move("completed")
    await monitor.look()
    assert watched.heard() == ["failed firing", "failed cleared"]


async def test_an_alert_about_a_deployment_that_was_cleaned_up_is_over(watched: Any) -> None:
    monitor = watched.monitor({"failed": {}})
    deployment = await watched.deployment()
    await deployment.move("failed")
    await monitor.look()
    await watched.forget(deployment)
    await monitor.look()
    assert watched.heard() == ["failed firing", "failed cleared"]
    assert watched.told[-1].alert.clearing == "nothing shows it any more"


async def test_a_deployment_whose_process_died_is_told_until_somebody_goes_on_with_it(watched: Any) -> None:
    monitor = watched.monitor({"interrupted": {"after_s": 60}, "stuck": {"after_s": 10}})
    deployment = await watched.deployment()
    await deployment.move("uploading")
    await deployment.end_owner()
    await monitor.look()
    watched.clock.advance(61)
    await monitor.look()
    assert watched.heard() == ["interrupted firing"]
    deployment.owner = await watched.journal.claim(deployment.owner.deployment)
    await deployment.begin("1")
    await monitor.look()
    assert watched.heard() == ["interrupted firing", "interrupted cleared"]


async def test_a_deployment_that_fails_while_it_is_looked_at_is_no_interrupted_one(watched: Any) -> None:
    deployment, rows = await watched.deployment(), watched.journal.rows

    async def and_fails(*args: Any, **options: Any) -> Any:
        found = await rows(*args, **options)
        if deployment.row["status"] != "failed":
            await deployment.move("failed", "store_failed: no")
            await deployment.end_owner()
        return found

    watched.journal.rows = and_fails
    monitor = watched.monitor({"failed": {}}, every_s=0.0)
    with anyio.fail_after(10):
        await monitor.run(until=lambda view: not any(run.is_live for run in view.runs))
    assert watched.heard() == ["failed firing"]


@pytest.mark.parametrize("first", [None, Wallet(99, 9)])
async def test_a_wallet_that_cannot_be_asked_raises_at_first_and_is_a_line_of_the_log_later(
    watched: Any, first: Wallet | None, caplog: pytest.LogCaptureFixture
) -> None:
    answers, asked = [] if first is None else [first], anyio.Event()

    async def ask() -> Wallet:
        if answers:
            return answers.pop()
        asked.set()
        raise ConfigurationError("setting_invalid", "no key")

    monitor = watched.monitor({"sui_balance": {}}, wallet=ask, sleep=anyio.sleep if first is None else _at_once)
    if first is None:
        with anyio.fail_after(10), pytest.raises(BaseExceptionGroup) as caught:
            await monitor.run()
        assert caught.group_contains(ConfigurationError, match="no key")
        return
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(monitor.run)
        await asked.wait()
        tasks.cancel_scope.cancel()
    (line,) = {record.getMessage() for record in caplog.records}
    assert line == "the wallet could not be asked: setting_invalid: no key"
    assert not any(record.exc_info for record in caplog.records)


async def _at_once(_: float) -> None:
    await anyio.lowlevel.checkpoint()


def test_a_clearing_says_what_it_is_about() -> None:
    one = Alert(
        1, "stuck", "stuck", "deploy_1", Severity.WARNING, 5, 9.0, 1.0, "s", "no progress", "deploy_1", 7, "gone"
    )
    assert Notice(one).text == "cleared: stuck: deploy_1: gone"
    assert Notice(replace(one, subject="home")).text == "cleared: stuck: gone", "there is only one"


async def test_a_deployment_that_failed_between_two_looks_is_seen(watched: Any) -> None:
    monitor = watched.monitor({"failed": {}, "endpoint": {"above_tries": 1}})
    await monitor.look()
    deployment = await watched.deployment()
    await deployment.begin("1")
    await deployment.failed("1")
    await deployment.move("failed")
    await deployment.end_owner()
    await monitor.look()
    assert watched.heard() == ["failed firing", "endpoint firing"]
    assert watched.told[1].alert.subject == "https://publisher.example.com"


async def test_a_sink_that_fails_stops_neither_the_others_nor_the_monitor(watched: Any) -> None:
    def broken(_: object) -> None:
        raise SystemExit(1)

    monitor = watched.monitor({"disk": {"below_bytes": 100}}, tellers=[broken, watched.told.append])
    watched.disk_free = 1
    await monitor.look()
    watched.disk_free = 1000
    await monitor.look()
    assert watched.heard() == ["disk firing", "disk cleared"]


async def test_a_site_that_ends_soon_is_told_by_what_its_deployment_planned(watched: Any) -> None:
    import json

    from walrus_sdk.ports import Put

    monitor = watched.monitor({"expiring": {"within_s": 86_400}})
    deployment = await watched.deployment()  # at epoch 10 of testnet, whose epochs are days
    manifest = json.dumps({"resources": {"/a": {"blob_id": "blob-1"}, "/b": {"blob_id": "blob-2"}}})
    version = {"deployment": deployment.id, "manifest": manifest}
    await deployment.write(
        "x",
        {},
        Put("versions", {"chain": "c", "site_id": "0x5", "n": 1}, version),
        Put("blobs", {"chain": "c", "blob_id": "blob-1"}, {"end_epoch": 13}),
        Put("blobs", {"chain": "c", "blob_id": "blob-2"}, {"end_epoch": 15}),
    )
    await deployment.move("completed")
    await monitor.look()
    assert watched.heard() == []
    watched.clock.advance(86_400)  # epoch 13 may begin two days after the plan, when epoch 10 was at its end then
    await monitor.look()
    assert watched.heard() == ["expiring firing"]
    assert "Walrus epoch 13" in watched.told[0].alert.message


async def test_the_journal_is_not_read_again_when_nobody_wrote_to_it(watched: Any) -> None:
    from walrus_sdk.watch.gather import Gatherer

    reads, number = [], [1]

    class Counting:
        async def rows(self, table: str, *args: Any, **more: Any) -> Any:
            reads.append(table)
            return await watched.journal.rows(table, *args, **more)

        events = watched.journal.events

    class Still:
        async def changed(self) -> int:
            return number[0]

        async def latest(self, _: object) -> None:
            return None

        async def samples(self, _: object) -> tuple[()]:
            return ()

    gatherer = Gatherer(Counting(), watched.clock, replace(watched.eyes, tail=Still()), 60)
    await watched.deployment()
    first = await gatherer.look(with_sites=False)
    watched.clock.advance(5)
    second = await gatherer.look(with_sites=False)
    assert reads == ["deployments"]
    assert second == replace(first, at_ms=first.at_ms + 5000, runs=second.runs)
    number[0] = 2
    await gatherer.look(with_sites=False)
    assert reads == ["deployments"] * 2


STEPS = st.lists(
    st.tuples(st.sampled_from([10, 50, 105, 150, 500, None]), st.integers(0, 3), st.integers(0, 12)), max_size=40
)


@given(steps=STEPS)
def test_whoever_looks_and_whenever_one_starts_anew_every_alert_begins_and_ends_in_turn(steps: list[Any]) -> None:
    async def lives() -> None:
        watched = Watched()
        monitors = [watched.monitor({"disk": {"below_bytes": 100, "for_s": 5}}) for _ in range(3)]
        for free, who, seconds in steps:
            watched.disk_free = free
            if who == 3:  # one dies, and another one begins in its place
                monitors[0] = watched.monitor({"disk": {"below_bytes": 100, "for_s": 5}})
            await monitors[who % 3].look()
            watched.clock.advance(seconds)
        told = watched.heard()
        assert told == ["disk firing", "disk cleared"] * (len(told) // 2) + ["disk firing"] * (len(told) % 2)
        rows = await watched.alerts()
        assert [row["n"] for row in rows] == list(range(1, len(rows) + 1))
        ends = [end for row in rows for end in (row["fired_ms"], row["cleared_ms"]) if end is not None]
        assert ends == sorted(ends)
        assert len(ends) == len(told), "what was told is what is written"

    anyio.run(lives)
