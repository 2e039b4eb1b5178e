"""Figures: what events tell of one deployment and of a home, without a second read and without a counter that falls."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.watch.conftest import Watched
from walrus_sdk.errors import ConfigurationError
from walrus_sdk.model import events
from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.samples import Sample
from walrus_sdk.model.shares import shared_out
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change, Put
from walrus_sdk.watch.costs import costs_once
from walrus_sdk.watch.exporters import prometheus
from walrus_sdk.watch.metering import Meter
from walrus_sdk.watch.metrics import METRICS, Endpoints, Sums, figures, performance
from walrus_sdk.watch.runs import Run, fold, origin

pytestmark = pytest.mark.anyio


async def a_life(watched: Any) -> Any:
    """One deployment: a store that failed once, one that went well, a transaction, a verification."""
    deployment = await watched.deployment()
    clock = watched.clock
    await deployment.move("uploading")
    for name, size in (("1", 200), ("2", 100)):
        named = {"operation": f"store-{name}", "blob_id": f"blob-{name}", "files": 1, "bytes": size, "encode_s": 0.25}
        await deployment.write(events.STORE_NAMED, named)
    clock.advance(1)
    await deployment.begin("1")
    await deployment.begin("2")
    clock.advance(2)
    await deployment.release("1")
    await deployment.failed("2")
    clock.advance(3)
    await deployment.done("1", cost=1200)
    await deployment.begin("2", 2)
    clock.advance(1)
    await deployment.release("2")
    clock.advance(1)
    await deployment.done("2", cost=800)
    await deployment.move("processing")
    effect = {"kind": "transaction", "name": "digest", "operation": "site"}
    await deployment.write(events.EFFECT_INTENT, {**effect, "attempt": 1})
    clock.advance(2)
    await deployment.write(events.EFFECT_DONE, {**effect, "how": "done", "outcome": {"gas": 55, "ok": True}})
    clock.advance(1)
    await deployment.write(events.VERIFIED, {"how": "all", "files": 3})
    await deployment.move("completed")
    return deployment


async def run_of(watched: Any, deployment: Any) -> Run:
    return fold(deployment.id, await watched.journal.events(DeploymentId(deployment.id)))


async def test_the_phases_are_told_apart_by_the_times_of_events(watched: Any) -> None:
    shown = performance(await run_of(watched, await a_life(watched)))
    assert shown.phases_s == {
        "hash": 0.5, "encode": 0.5, "wait": 1 + 1 + 3, "send": 2 + 2 + 1, "certify": 3 + 1, "chain": 2, "verify": 1,
    }  # fmt: skip
    assert (shown.status, shown.duration_s) == ("completed", 11)


async def test_counts_costs_and_throughput_are_those_of_what_was_stored(watched: Any) -> None:
    shown = performance(await run_of(watched, await a_life(watched)))
    assert (shown.stored_files, shown.stored_bytes, shown.skipped_bytes) == (2, 300, 100)
    assert (shown.tries, shown.retries, shown.error_rate) == (4, 1, 0.25)
    assert (shown.paid_frost, shown.planned_frost, shown.paid_mist, shown.planned_mist) == (2000, 2000, 55, 7)
    assert (shown.files_per_s, shown.bytes_per_s) == (2 / 7, 300 / 7)
    assert [(one.kind, one.code, one.endpoint, one.count) for one in shown.failures] == [
        ("store", "store_failed", "https://publisher.example.com", 1)
    ]


async def test_what_a_dead_owner_left_under_way_is_cut_off_and_nobodys_failure(watched: Any) -> None:
    deployment = await watched.deployment()
    await deployment.begin("1")
    await deployment.end_owner()
    deployment.owner = await watched.journal.claim(DeploymentId(deployment.id))
    await deployment.write(events.DEPLOYMENT_TAKEN_UP, {"incarnation": 2})
    run = await run_of(watched, deployment)
    assert [one.outcome for one in run.tries] == ["cut_off"]
    assert (run.under_way, run.owners) == ((), 2)
    assert performance(run).failures == ()


async def test_a_transaction_that_is_final_and_did_nothing_is_a_failure_that_was_charged(watched: Any) -> None:
    deployment = await watched.deployment()
    outcome = {"gas": 7, "ok": False, "failure": "INSUFFICIENT_GAS"}
    data = {"kind": "transaction", "name": "x", "operation": "site", "how": "done", "outcome": outcome}
    await deployment.write(events.EFFECT_INTENT, {**data, "attempt": 1})
    await deployment.write(events.EFFECT_DONE, data)
    shown = performance(await run_of(watched, deployment))
    assert [one.code for one in shown.failures] == ["gas_ran_out"]
    assert shown.paid_mist == 7


async def test_what_another_deployment_recorded_and_is_gone_is_no_failed_try(watched: Any) -> None:
    monitor = watched.monitor({"error_rate": {"least": 1}, "endpoint": {"above_tries": 1}})
    deployment = await watched.deployment()
    for number, code in enumerate(("cleaned_up", "cleaned_up", "blob_not_found")):
        gone = {"kind": "store", "name": f"blob-{number}", "operation": "", "code": code, "message": "it is deleted"}
        await deployment.write(events.EFFECT_FAILED, gone)
    await deployment.begin("1")
    await deployment.done("1")
    await monitor.look()
    shown = performance(await run_of(watched, deployment))
    assert (shown.tries, shown.failures, shown.error_rate) == (1, (), 0.0)
    assert watched.heard() == []


async def test_a_home_read_while_it_grows_has_the_same_figures_as_one_read_at_the_end_and_no_counter_falls(
    watched: Any,
) -> None:
    meter, seen = Meter(watched.journal, watched.eyes), []
    append = watched.journal.append

    async def and_read(*args: Any) -> Any:
        made = await append(*args)
        seen.append(await meter.read())
        return made

    watched.journal.append = and_read
    await a_life(watched)
    watched.clock.advance(5)
    at_the_end = await Meter(watched.journal, watched.eyes).read()
    assert seen[-1] == at_the_end
    for earlier, later in itertools.pairwise(seen):
        for key, value in earlier.items():
            if key[0] in METRICS and METRICS[key[0]].type != "gauge":
                assert later[key] >= value, key


async def test_two_deployments_of_one_process_have_its_figures_once_and_what_is_not_known_is_absent(
    watched: Any,
) -> None:
    for number, (host, pid) in enumerate((("here", 7), ("here", 7), ("there", 7)), start=1):
        deployment = await watched.deployment(number, status="uploading")
        await watched.sample(deployment, stores_total=3)
        put = Put("incarnations", {"deployment": deployment.id, "n": 1}, {"host": host, "pid": pid})
        await watched.journal.append(deployment.owner, [Change("test", puts=(put,))])
    found = await Meter(watched.journal, watched.eyes).read()
    assert found["walrus_sdk_process_resident_memory_bytes", (), None] == 2 * 5000
    assert found["walrus_sdk_under_way_stores", ("testnet", "total"), None] == 9
    bare = Watched()
    sample = Sample(0, bare.clock.wall_ms(), 1, Progress(phase=Phase.STORE)).data()
    deployment = await bare.deployment(status="uploading")
    values = {"deployment": deployment.id, "wall_ms": bare.clock.wall_ms(), "data": sample}
    await bare.journal.append(None, [Change("sample", puts=(Put("samples", {}, values),))])
    names = {name for name, _, _ in await Meter(bare.journal, bare.eyes).read()}
    assert "walrus_sdk_under_way_stores" in names
    assert "walrus_sdk_process_open_files" not in names


async def test_a_deployment_that_was_cleaned_up_still_counts_where_it_was_seen(watched: Any) -> None:
    meter = Meter(watched.journal, watched.eyes)
    deployment = await a_life(watched)
    key = ("walrus_sdk_deployments_total", ("testnet", "deploy", "completed"), None)
    assert (await meter.read())[key] == 1
    await watched.forget(deployment)
    assert (await meter.read())[key] == 1


async def test_a_process_that_was_killed_is_seen_although_nobody_writes_any_more(watched: Any) -> None:
    class Still:
        async def changed(self) -> int:
            return 1

        async def latest(self, _: object) -> None:
            return None

    meter = Meter(watched.journal, replace(watched.eyes, tail=Still()))
    deployment = await watched.deployment()
    await deployment.move("uploading")
    assert ("walrus_sdk_deployments_standing", ("testnet", "uploading"), None) in await meter.read()
    await deployment.end_owner()
    found = await meter.read()
    assert found["walrus_sdk_deployments_standing", ("testnet", "interrupted"), None] == 1
    assert ("walrus_sdk_deployments_standing", ("testnet", "uploading"), None) not in found


async def test_labels_are_bounded_whatever_servers_and_codes_there_are(watched: Any) -> None:
    deployment = await watched.deployment()
    for number in range(50):
        data = {"kind": "store", "name": f"b{number}", "operation": "o", "code": f"new_code_{number}", "message": ""}
        await deployment.write(events.EFFECT_FAILED, {**data, "endpoint": f"https://p{number}.example/v1"})
    found = figures(await run_of(watched, deployment), "testnet", "deploy", Endpoints())
    labels = [labels for name, labels, _ in found if name == "walrus_sdk_errors_total"]
    assert len(labels) == 21
    assert {code for _, _, code, _ in labels} == {"other"}


def test_what_is_given_back_leaves_nothing_of_rounding() -> None:
    sums, key = Sums(), ("walrus_sdk_phase_seconds_total", ("n", "wait"), None)
    sums.give("b", {key: 0.3})
    for step in range(1, 200):
        sums.give("a", {key: step * 0.1})
        assert sums.values[key] == round(0.3 + step * 0.1, 3)


def test_an_endpoint_is_its_origin_without_path_query_or_user() -> None:
    assert origin("https://me:pw@P.Example.com:8443/v1/blobs?x=1") == "https://p.example.com:8443"
    assert [origin(text) for text in ("", "(an address that cannot be read)", "p.example.com")] == ["", "", ""]


@given(st.integers(0, 10**20), st.lists(st.integers(0, 10**9), max_size=30))
def test_what_is_shared_out_adds_up_and_is_fair(amount: int, sizes: list[int]) -> None:
    parts = shared_out(amount, sizes)
    assert sum(parts) == (amount if sizes else 0)
    total = sum(sizes)
    if total:
        assert all(
            abs(part - amount * size / total) < max(1, amount * 1e-12) + 1
            for part, size in zip(parts, sizes, strict=True)
        )


def test_what_content_cost_once_is_its_share_of_the_blob_that_was_paid() -> None:
    rows = [
        {"sha256": "aa", "blob_id": "x", "size": 30},
        {"sha256": "bb", "blob_id": "x", "size": 10},
        {"sha256": "cc", "blob_id": "y", "size": 5},
    ]
    assert costs_once(rows, {"x": 100}) == {b"\xaa": 75, b"\xbb": 25}


async def test_a_server_ends_with_its_block_also_when_it_is_cancelled(watched: Any) -> None:
    urls = []
    with anyio.CancelScope() as scope:
        async with prometheus.serve(Meter(watched.journal, watched.eyes), port=0) as url, httpx.AsyncClient() as http:
            urls.append(url)
            assert (await http.get(url)).status_code == 200
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(urls[0])


async def test_a_port_that_is_taken_is_told(watched: Any) -> None:
    meter = Meter(watched.journal, watched.eyes)
    async with prometheus.serve(meter, port=0) as url:
        with pytest.raises(ConfigurationError, match="cannot listen on 127"):
            async with prometheus.serve(meter, port=int(url.split(":")[2].split("/")[0])):
                pass


def test_neither_the_package_nor_a_session_loads_what_only_exporters_need() -> None:
    code = (
        "import sys, walrus_sdk.service.session;"
        "import walrus_sdk.watch.exporters.prometheus, walrus_sdk.watch.exporters.otel;"
        "late = ('prometheus_client', 'opentelemetry', 'pandas');"
        "print([name for name in sys.modules if name.split('.')[0] in late])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
