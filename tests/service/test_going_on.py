"""What a stop in the middle leaves, and the same call again: nothing recorded is paid twice, no site is made twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest

from walrus_sdk.errors import BlockchainError, DeploymentStopped, OwnershipError, WalrusError
from walrus_sdk.model.options import RecoveryOptions
from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.units import ObjectId

pytestmark = pytest.mark.anyio

NO_RETRY = RecoveryOptions(max_retries=0, retry_delay_s=0.0)


def many(count: int) -> dict[str, bytes]:
    return {f"page-{number:02}.html": b"<p>%d</p>" % number * 9 for number in range(count)}


async def stop_when(house: Any, reached: Any, **asked: Any) -> None:
    """Deploy and cancel as soon as a progress satisfies `reached`."""
    with anyio.CancelScope() as scope:

        def listen(progress: Progress) -> None:
            if reached(progress):
                scope.cancel()

        async with house.session() as sites:
            await sites.deploy(house.folder, site_name="tides", progress=listen, **asked)
    assert scope.cancelled_caught


async def test_a_cancelled_deploy_goes_on_with_the_same_call_and_pays_each_blob_once(house: Any) -> None:
    house.write(many(20))
    await stop_when(house, lambda p: p.stores_confirmed >= 2, max_quilt_files=3, concurrency=2)
    async with house.session() as sites:
        (left,) = await sites.list()
        assert (left.status, left.resumable) == ("interrupted", True)
        result = await sites.deploy(house.folder, site_name="tides", max_quilt_files=3)
        (now,) = await sites.list()
    assert result.deployment_id == left.deployment_id
    assert (now.status, now.progress) == ("completed", 1.0)
    assert set(house.paid().values()) == {1}
    assert house.served(result.url) == house.source()


async def test_paid_stores_are_finished_and_recorded_when_a_deploy_is_cancelled(house: Any) -> None:
    house.net.faults.reshape(latency_s=0.3)
    await stop_when(house, lambda p: p.bytes_sent >= sum(map(len, house_bytes(house))), concurrency=1)
    async with house.session() as sites:
        (left,) = await sites.list()
        report = await sites.status(left.deployment_id)
    assert {row["state"] for row in report.details["operations"]} <= {"done", "intent", "failed"}
    paid = house.paid()
    async with house.session() as sites:
        await sites.deploy(house.folder, site_name="tides")
    assert house.paid() | paid == house.paid()
    assert set(house.paid().values()) == {1}


def house_bytes(house: Any) -> list[bytes]:
    return [path.read_bytes() for path in house.folder.rglob("*") if path.is_file()]


async def test_changed_files_supersede_the_unfinished_deployment_and_reuse_its_stores(house: Any) -> None:
    house.write(many(20))
    await stop_when(house, lambda p: p.phase is Phase.CHAIN, max_quilt_files=3)
    before = house.paid()
    house.write({"about.html": b"changed meanwhile"})
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides", max_quilt_files=3)
        newest, oldest = await sites.list()
    assert (oldest.status, oldest.reason) == ("cancelled", "superseded")
    assert newest.deployment_id == result.deployment_id
    assert sum(house.paid().values()) == sum(before.values()) + 1
    assert house.served(result.url) == house.source()


async def test_a_site_made_by_an_interrupted_deployment_is_not_made_again(house: Any) -> None:
    house.fault("sui.execute.after", "stall")  # the site is made, and nobody hears of it
    network = replace(house.net.network, settle_s=0.2, grace_s=0.2)
    async with house.session(network=network) as sites:
        with pytest.raises(DeploymentStopped):
            await sites.deploy(house.folder, site_name="tides", deadline_s=3.0)
    (made,) = sites_of(house)
    house.net.faults.clear()
    house.write({"about.html": b"changed meanwhile"})
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides")
    assert sites_of(house) == [result.site_id] == [made]
    assert house.served(result.url) == house.source()


def sites_of(house: Any) -> list[Any]:
    chain = house.net.world.chain
    owned = (chain.objects.get(id_) for id_ in chain.objects.ids_of(house.net.key.address.raw))
    return [ObjectId(item.id.raw) for item in owned if item is not None and item.type.endswith("::site::Site")]


async def test_a_lost_answer_of_the_publisher_is_looked_up_and_not_paid_again(house: Any) -> None:
    house.fault("publisher.after_certify", "drop", times=1)
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides")
    assert set(house.paid().values()) == {1}
    assert result.possibly_paid_in_vain == ()
    assert house.served(result.url) == house.source()


@pytest.mark.parametrize("point", ["publisher.body", "publisher.after_pay"])
async def test_a_store_that_goes_on_behind_a_proxy_that_gave_up_is_waited_for_and_paid_once(
    house: Any, point: str
) -> None:
    house.fault(point, "gateway_timeout", times=1, latency_s=0.5)
    async with house.session(network=replace(house.net.network, settle_s=20.0)) as sites:
        result = await sites.deploy(house.folder, site_name="tides")
    assert set(house.paid().values()) == {1}
    assert result.possibly_paid_in_vain == ()
    assert house.served(result.url) == house.source()


async def test_a_store_behind_a_proxy_that_takes_longer_than_is_waited_for_costs_one_more_payment_and_is_said(
    house: Any,
) -> None:
    house.fault("publisher.before_pay", "gateway_timeout", times=1, latency_s=2.0)
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides")
        assert set(house.paid().values()) == {1}, "the late one is not paid yet"
        with anyio.fail_after(20):
            while max(house.paid().values()) == 1:  # noqa: ASYNC110  # another thread's
                await anyio.sleep(0.01)
        (twice,) = (blob_id for blob_id, times in house.paid().items() if times == 2)
        assert result.possibly_paid_in_vain == (twice,)
        assert not (await sites.deploy(house.folder, site_name="tides")).changed


async def test_a_node_that_lags_by_time_slows_updates_down_and_breaks_nothing(house: Any) -> None:
    async with house.session() as sites:
        made = await sites.deploy(house.folder, site_name="tides")
        house.fault("sui.*", "lag", late_s=0.5)
        for number in range(2):
            house.write({"about.html": b"version %d" % number})
            result = await sites.deploy(house.folder, site_name="tides")
            assert (result.site_id, len(result.digests)) == (made.site_id, 1)
    assert set(house.paid().values()) == {1}
    assert house.net.world.chain.equivocations == []
    house.net.faults.clear()  # the portal reads by itself
    assert house.served(made.url) == house.source()


@pytest.mark.parametrize(("point", "name"), [("sui.execute.before", "locked"), ("sui.execute.after", "not_final")])
async def test_a_transaction_whose_outcome_the_node_does_not_know_happens_once(
    house: Any, point: str, name: str
) -> None:
    house.fault(point, "node_error", times=2, error=name)
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides", recovery=RecoveryOptions(retry_delay_s=0.01))
    assert len(result.digests) == 1
    assert sites_of(house) == [result.site_id]
    assert house.net.world.chain.equivocations == []


@pytest.mark.parametrize("point", ["sui.execute.before", "sui.execute.after"])
async def test_a_transaction_behind_a_proxy_that_gave_up_is_found_or_sent_again_and_happens_once(
    house: Any, point: str
) -> None:
    house.fault(point, "gateway_timeout", times=1, latency_s=0.3)
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides", recovery=RecoveryOptions(retry_delay_s=0.01))
    assert len(result.digests) == 1
    assert sites_of(house) == [result.site_id]
    assert house.net.world.chain.equivocations == []


async def test_a_store_that_was_paid_and_never_certified_is_paid_again_and_said(house: Any) -> None:
    house.fault("publisher.after_pay", "drop", times=1)
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides")
    twice = {blob_id for blob_id, times in house.paid().items() if times == 2}
    assert len(twice) == 1
    assert set(result.possibly_paid_in_vain) == twice
    assert house.served(result.url) == house.source()


async def test_a_lost_answer_of_the_node_is_found_by_the_digest(house: Any) -> None:
    house.fault("sui.execute.after", "drop", times=1)
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides", recovery=RecoveryOptions(retry_delay_s=0.01))
    assert len(result.digests) == 1
    assert sites_of(house) == [result.site_id]


async def test_a_failed_deployment_goes_on_once_the_cause_is_gone(house: Any) -> None:
    house.fault("publisher.request", "error", status=403)  # no store is begun, whenever it is read
    async with house.session() as sites:
        with pytest.raises(WalrusError) as caught:
            await sites.deploy(house.folder, site_name="tides", recovery=NO_RETRY)
        assert caught.value.fields["resumable"] is True
        (left,) = await sites.list()
        assert (left.status, left.resumable) == ("failed", True)
        house.net.faults.clear()
        result = await sites.deploy(house.folder, site_name="tides")
    assert str(result.deployment_id) == caught.value.fields["deployment_id"]
    assert house.served(result.url) == house.source()


async def test_a_deadline_stops_resumably(house: Any) -> None:
    house.fault("publisher.request", "stall")
    async with house.session(network=replace(house.net.network, settle_s=0.2, grace_s=0.2)) as sites:
        with pytest.raises(DeploymentStopped) as caught:
            await sites.deploy(house.folder, site_name="tides", deadline_s=4.0)
        assert caught.value.code == "deadline_reached"
        (left,) = await sites.list()
        assert left.resumable
        house.net.faults.clear()
        result = await sites.deploy(house.folder, site_name="tides")
    assert result.deployment_id == left.deployment_id


async def test_a_site_changed_by_somebody_else_in_the_middle_is_not_overwritten(house: Any) -> None:
    async with house.session() as sites:
        made = await sites.deploy(house.folder, site_name="tides")
        plan = await sites.plan(house.folder, site_name="tides", fresh=True)
        house.write({"about.html": b"mine"})
        await sites.deploy(house.folder, object_id=made.site_id, site_name="tides")
        house.write({"about.html": b"<p>about</p>" * 20})
        before = house.net.ledger()
        with pytest.raises(BlockchainError) as caught:
            await sites.apply(plan)
        assert caught.value.code == "site_changed"
        assert house.net.ledger() == before, "nothing is stored for a site that will not be written"
    assert house.get(made.url, "/about.html")[2] == b"mine"


async def test_a_deployment_that_another_session_works_on_is_refused(house: Any) -> None:
    house.fault("publisher.request", "latency", latency_s=30.0)
    async with anyio.create_task_group() as tasks:
        started = anyio.Event()

        async def first() -> None:
            async with house.session() as sites:
                await sites.deploy(
                    house.folder,
                    site_name="tides",
                    progress=lambda p: started.set() if p.phase is Phase.STORE else None,
                )

        tasks.start_soon(first)
        await started.wait()
        async with house.session() as sites:
            with pytest.raises(OwnershipError) as caught:
                await sites.deploy(house.folder, site_name="tides")
        assert caught.value.code == "deployment_owned"
        tasks.cancel_scope.cancel()


async def test_a_deployment_is_paused_and_continued_from_another_session_of_the_home(house: Any) -> None:
    house.net.faults.reshape(latency_s=0.2)
    seen: list[bool] = []
    async with anyio.create_task_group() as tasks, house.session() as other:
        storing, paused = anyio.Event(), anyio.Event()

        def listen(progress: Progress) -> None:
            seen.append(progress.paused)
            if progress.phase is Phase.STORE:
                storing.set()
            if progress.paused:
                paused.set()

        async def first() -> None:
            async with house.session() as sites:
                await sites.deploy(house.folder, site_name="tides", max_quilt_files=1, concurrency=1, progress=listen)

        tasks.start_soon(first)
        await storing.wait()
        (item,) = await other.list()
        asked = await other.pause(item.deployment_id, reason="lunch")
        assert (asked.status, (await other.list())[0].status) == ("paused", "paused")
        with anyio.fail_after(20):
            await paused.wait()
        assert (await other.unpause()).status in ("pending", "uploading")
    assert (True in seen, seen[-1]) == (True, False)
    async with house.session() as sites:
        assert [item.status for item in await sites.list()] == ["completed"]
    assert set(house.paid().values()) == {1}


async def test_two_first_deploys_at_the_same_moment_make_one_site(house: Any) -> None:
    codes: list[str] = []

    async def deploy() -> None:
        try:
            async with house.session() as sites:
                await sites.deploy(house.folder, site_name="tides")
            codes.append("done")
        except OwnershipError as error:
            codes.append(error.code)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(deploy)
    assert len(sites_of(house)) == 1
    assert "done" in codes
    assert set(codes) <= {"done", "deployment_owned"}
    assert set(house.paid().values()) == {1}


async def test_a_stop_says_how_many_paid_stores_it_waits_for(house: Any) -> None:
    house.net.faults.reshape(latency_s=0.5)
    waited: list[str] = []

    async def stop_once_paid(scope: anyio.CancelScope) -> None:
        while not house.net.ledger():  # noqa: ASYNC110  # another thread's
            await anyio.sleep(0.01)
        scope.cancel()

    async with anyio.create_task_group() as tasks, house.session() as sites:
        with anyio.CancelScope() as scope:
            tasks.start_soon(stop_once_paid, scope)
            await sites.deploy(house.folder, site_name="tides", progress=lambda p: waited.append(p.waiting))
        (left,) = await sites.list()
        report = await sites.status(left.deployment_id)
    assert {row["state"] for row in report.details["operations"]} == {"done"}
    assert "finishing 1 paid store" in waited


async def test_watching_yields_all_events_and_ends_with_the_deployment(house: Any) -> None:
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides")
        events = [event async for event in sites.watch(result.deployment_id)]
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert events[0].type == "deployment.planned"
    assert events[-1].data["to"] == "completed"


async def test_the_log_of_the_home_has_a_line_for_each_event(house: Any) -> None:
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides")
        events = [event async for event in sites.watch(result.deployment_id)]
    lines = (house.home / "logs" / "deployment.log").read_text().splitlines()
    assert len(lines) == len(events)


async def test_checkpoints_are_written_at_their_moments(house: Any) -> None:
    house.write(many(20))
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides", max_quilt_files=3)
    names = sorted(path.name for path in (house.home / "checkpoints" / str(result.deployment_id)).iterdir())
    moments = [name.split("-", 1)[1].removesuffix(".json.zst") for name in names]
    assert moments[0] == "initialization"
    assert moments[-3:] == ["manifest", "transaction-1", "finalization"]
    assert "upload-100" in moments


async def test_deletes_that_the_node_cancelled_for_congestion_are_sent_again(house: Any) -> None:
    async with house.session() as sites:
        for number in range(3):
            house.write({"about.html": b"version %d" % number})
            made = await sites.deploy(house.folder, site_name="tides", deletable=True)
        house.fault("sui.execute.before", "congestion", times=1)
        done = await sites.cleanup(older_than_days=0.0, keep_last=1, dry_run=False)
    assert done.deleted
    failures = [record.failure for record in house.net.world.chain.records.values() if record.failure]
    assert ["CONGESTION" in failure.kind for failure in failures] == [True]
    assert house.served(made.url) == house.source()


async def test_a_folder_is_compared_by_its_bare_name_where_no_site_has_it(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(house.folder.parent)
    name = house.folder.name
    async with house.session() as sites:
        await sites.deploy(house.folder, site_name="tides")
        house.write({"index.html": b"changed"})
        assert (await sites.diff("tides@1", name, site_name="tides")).changed == ("/index.html",)
        with pytest.raises(BlockchainError):
            await sites.diff("tides@1", "no-such-folder")
        await sites.deploy(house.folder, site_name=name)
        assert (await sites.diff("tides@1", name)).changed == ("/index.html",), "a site of that name wins"
