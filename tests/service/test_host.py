"""Without an event loop of one's own: `run`, `connect`, handles; and what the package gives."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

import walrus_sdk as ws
from walrus_sdk import local
from walrus_sdk.errors import DeploymentStopped
from walrus_sdk.model.progress import Phase
from walrus_sdk.sui.signers import KeySigner


@pytest.fixture
def options(house: Any) -> dict[str, Any]:
    return {"home": house.home, "network": house.net.network, "signer": KeySigner(house.net.key)}


def test_one_call_deploys_and_the_others_look_at_it(house: Any, options: dict[str, Any]) -> None:
    seen: list[ws.Progress] = []
    result = ws.run.deploy(house.folder, site_name="tides", progress=seen.append, **options)
    assert house.served(result.url) == house.source()
    assert seen[-1].phase is Phase.DONE
    assert [item.deployment_id for item in ws.run.list(**options)] == [result.deployment_id]
    assert ws.run.status(str(result.deployment_id), **options).summary.status == "completed"
    assert ws.run.verify("tides", **options).files == 4
    assert ws.run.url("tides", **options) == result.url
    assert ws.run.plan(house.folder, site_name="tides", **options).nothing_to_do


def test_progress_is_told_in_lines_when_asked_for(
    house: Any, options: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    ws.run.deploy(house.folder, site_name="tides", progress=True, **options)
    lines = capfd.readouterr().err.splitlines()
    assert any("confirmed" in line for line in lines)
    assert lines == list(dict.fromkeys(lines)), "no line is told twice"


def test_errors_come_out_as_they_are(house: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ws.WalrusError) as caught:
        ws.run.deploy(house.folder / "nowhere", **options)
    assert caught.value.code == "folder_missing"


def test_a_connection_lasts_and_its_handles_tell_how_far_they_are(house: Any, options: dict[str, Any]) -> None:
    with ws.connect(**options) as sites:
        handle = sites.deploy(house.folder, site_name="tides")
        result = handle.wait(60)
        assert handle.done
        assert handle.progress.phase is Phase.DONE
        assert sites.url("tides").wait() == result.url


def test_pause_and_unpause_work_without_an_event_loop(house: Any, options: dict[str, Any]) -> None:
    house.net.faults.reshape(latency_s=0.2)
    storing, paused = threading.Event(), threading.Event()

    def listen(progress: ws.Progress) -> None:
        if progress.phase is Phase.STORE:
            storing.set()
        if progress.paused:
            paused.set()

    with ws.connect(**options) as sites:
        handle = sites.deploy(house.folder, site_name="tides", max_quilt_files=1, concurrency=1, progress=listen)
        assert storing.wait(30)
        assert ws.run.pause(**options).status == "paused"
        assert paused.wait(30)
        assert not handle.done
        ws.run.unpause(**options)
        assert handle.wait(60).version == 1


def test_a_cancelled_handle_leaves_a_deployment_that_goes_on(house: Any, options: dict[str, Any]) -> None:
    house.net.faults.reshape(latency_s=0.5)
    storing = threading.Event()

    def listen(progress: ws.Progress) -> None:
        if progress.phase is Phase.STORE:
            storing.set()

    with ws.connect(**options) as sites:
        handle = sites.deploy(house.folder, site_name="tides", progress=listen)
        assert storing.wait(30)
        handle.cancel()
        with pytest.raises(DeploymentStopped) as caught:
            handle.wait()
        assert caught.value.code == "interrupted"
    with ws.connect(**options) as sites:
        (left,) = sites.list().wait()
        assert left.resumable
        result = sites.deploy(house.folder, site_name="tides").wait()
        assert result.deployment_id == left.deployment_id
    assert set(house.paid().values()) == {1}


@pytest.mark.anyio
async def test_a_handle_can_be_awaited_on_any_event_loop(house: Any, options: dict[str, Any]) -> None:
    with ws.connect(**options) as sites:
        result = await sites.deploy(house.folder, site_name="tides")
        assert (await sites.status(str(result.deployment_id))).summary.version == 1


def test_the_same_deploy_while_one_runs_is_the_same_handle(house: Any, options: dict[str, Any]) -> None:
    house.net.faults.reshape(latency_s=0.3)
    with ws.connect(**options) as sites, ws.connect(**options) as again:
        handle = sites.deploy(house.folder, site_name="tides")
        assert again.deploy(house.folder, site_name="tides") is handle, "a cell that is run twice"
        assert again.deploy(house.folder, site_name="other") is not handle
        handle.wait(60)
        assert again.deploy(house.folder, site_name="tides") is not handle
    assert house.paid().most_common(1)[0][1] == 1


def test_a_deploy_right_after_the_same_one_was_cancelled_waits_for_its_grace_and_goes_on(
    house: Any, options: dict[str, Any]
) -> None:
    house.net.faults.reshape(latency_s=0.5)
    storing = threading.Event()
    with ws.connect(**options) as sites:
        handle = sites.deploy(house.folder, site_name="tides", progress=lambda p: p.bytes_sent and storing.set())
        assert storing.wait(30)
        handle.cancel()
        again = sites.deploy(house.folder, site_name="tides")
        assert again is not handle
        assert again.wait(60).version == 1
        assert handle.is_over
        assert len(sites.list().wait()) == 1
    assert set(house.paid().values()) == {1}


def test_who_connects_on_the_host_thread_is_refused_and_starts_no_second_one(
    house: Any, options: dict[str, Any]
) -> None:
    said: list[str] = []

    def listen(_: ws.Progress) -> None:
        if not said:
            said.append("connected")
            try:
                ws.connect(**options)
            except RuntimeError as error:
                said[0] = str(error)

    with ws.connect(**options) as sites:
        sites.deploy(house.folder, site_name="tides", progress=listen).wait(60)
        with ws.connect(**options) as again:
            assert again._portal is sites._portal
    assert "event loop thread" in said[0]
    assert [thread.name for thread in threading.enumerate()].count("walrus_sdk host") == 1


@pytest.mark.anyio
async def test_who_is_cancelled_while_awaiting_a_handle_stops_it_resumably(house: Any, options: dict[str, Any]) -> None:
    house.net.faults.reshape(latency_s=0.5)
    storing = threading.Event()
    with ws.connect(**options) as sites:
        handle = sites.deploy(house.folder, site_name="tides", progress=lambda p: p.bytes_sent and storing.set())
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:

                async def stop() -> None:
                    while not storing.is_set():  # noqa: ASYNC110  # set by another thread
                        await anyio.sleep(0.01)
                    scope.cancel()

                tasks.start_soon(stop)
                await handle
        assert handle.is_over
        assert [item.status for item in await sites.list()] == ["interrupted"]


def test_a_coroutine_function_of_ones_own_runs_with_the_session(house: Any, options: dict[str, Any]) -> None:
    async def count(session: ws.Session) -> int:
        return len(await session.list())

    with ws.connect(**options) as sites:
        sites.deploy(house.folder, site_name="tides").wait()
        assert sites.submit(count).wait() == 1


def test_waiting_has_a_limit(house: Any, options: dict[str, Any]) -> None:
    house.fault("publisher.request", "stall")
    with ws.connect(**options) as sites:
        handle = sites.deploy(house.folder, site_name="tides")
        with pytest.raises(TimeoutError):
            handle.wait(0.2)
        assert not handle.done
        house.net.faults.clear()


def test_closing_a_connection_lets_paid_stores_of_a_running_deploy_finish(house: Any, options: dict[str, Any]) -> None:
    house.net.faults.reshape(latency_s=0.5)
    sites = ws.connect(**options)
    handle = sites.deploy(house.folder, site_name="tides", concurrency=1)
    while not house.net.ledger():
        assert not handle.is_over
    sites.close()
    assert handle.is_over
    with ws.connect(**options) as again:
        (left,) = again.list().wait()
        report = again.status(str(left.deployment_id)).wait()
    assert left.resumable
    assert [row["state"] for row in report.details["operations"]] == ["done"]


def test_haste_with_one_deploy_takes_no_grace_from_another(house: Any, options: dict[str, Any]) -> None:
    house.net.faults.reshape(latency_s=0.5)
    with ws.connect(**options) as sites:
        handle = sites.deploy(house.folder, site_name="tides", concurrency=1)
        while not house.net.ledger():
            assert not handle.is_over
        sites._hurry()  # somebody else's second Ctrl-C
        handle.cancel()
        handle.settle()
        (left,) = sites.list().wait()
        report = sites.status(str(left.deployment_id)).wait()
    assert [row["state"] for row in report.details["operations"]] == ["done"]


@pytest.mark.processes
def test_a_script_that_ends_while_it_deploys_lets_what_is_paid_finish(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("home")
    home = str(tmp_path / "home")
    code = f"""
import time, urllib.request, walrus_sdk as ws
sites = ws.connect(home={home!r}, shards=10)
storing = []
handle = sites.deploy({str(tmp_path / "site")!r}, progress=lambda p: storing.append(p.bytes_sent))
while not any(storing):
    time.sleep(0.001)
"""
    try:
        subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
    finally:
        local.stop(Path(home))
    (left,) = ws.run.list(home=home)
    report = ws.run.status(str(left.deployment_id), home=home)
    assert left.status in ("interrupted", "completed")
    assert "released" not in {row["state"] for row in report.details["operations"]}


@pytest.mark.processes
def test_a_script_ends_although_its_connection_was_left_open(tmp_path: Path) -> None:
    code = f"import walrus_sdk as ws; sites = ws.connect(home={str(tmp_path / 'home')!r}); print(sites.list().wait())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_blob_ids_of_bytes_and_of_files_agree(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello")
    (tmp_path / "empty").touch()
    assert ws.blob_id(b"hello", 10) == ws.blob_id(tmp_path / "f", 10) == ws.blob_id(str(tmp_path / "f"), 10)
    assert ws.blob_id(b"", 10) == ws.blob_id(tmp_path / "empty", 10)
    assert len(str(ws.blob_id(b"hello"))) == 43


@pytest.mark.processes
def test_quilts_are_reached_from_the_package() -> None:
    code = (
        "from walrus_sdk import codecs as c; q = c.quilt; print(q.decode(q.encode([q.QuiltFile('a', b'x')], 10), 10))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "QuiltFile(identifier='a', data=b'x'" in done.stdout


@pytest.mark.processes
def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, walrus_sdk; print([m for m in ('numpy', 'httpx', 'pandas', 'anyio') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
