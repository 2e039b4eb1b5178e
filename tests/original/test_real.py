"""The classes over a real home: SQLite, sockets, threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

import walrus_sdk as ws
from walrus_sdk.localnet.faults import Fault
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.model.original import DeploymentOptions, DeploymentProgress, ErrorRecord
from walrus_sdk.sui.signers import KeySigner

pytestmark = pytest.mark.anyio


@pytest.fixture
def net() -> Iterator[LocalNetwork]:
    with LocalNetwork(n_shards=10) as found:
        yield found


@pytest.fixture
def where(net: LocalNetwork, tmp_path: Path) -> dict[str, Any]:
    """The options of the classes: where their sessions go."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("<h1>hello</h1>")
    network = replace(net.network, settle_s=0.2, grace_s=5.0)
    return {"home": tmp_path / "home", "network": network, "signer": KeySigner(net.key)}


async def test_a_deployment_is_begun_marked_carried_out_and_read_meanwhile(
    where: dict[str, Any], tmp_path: Path
) -> None:
    manager, service = ws.DeploymentRecoveryManager(**where), ws.WalrusSitesDeploymentService(**where)
    made = await manager.initialize_deployment("tides", "local", tmp_path / "site")
    await manager.update_deployment_state(made, {"labels": {"team": "web"}})
    await manager.update_deployment_state(made, {"labels": {"stage": "beta"}})
    await manager.record_error(made, ErrorRecord("our-own", "seen", 1))

    seen: list[DeploymentProgress | None] = []
    result = await service.resume_deployment(
        made, progress=lambda _: seen.append(service.get_deployment_progress(made))
    )
    assert result.success
    assert None not in seen
    assert {"uploading", "processing"} <= {found.status for found in seen if found is not None}
    found = service.get_deployment_progress(made)
    assert found is not None
    assert found.share == 1
    state = await manager.get_deployment_state(made)
    assert (state.labels, state.errors) == ({"team": "web", "stage": "beta"}, (ErrorRecord("our-own", "seen", 1),))
    assert (await ws.DeploymentMonitor(**where).health(made)).healthy


async def test_a_running_deployment_is_watched_and_cancelled_by_other_sessions_of_the_same_process(
    net: LocalNetwork, where: dict[str, Any], tmp_path: Path
) -> None:
    manager, service = ws.DeploymentRecoveryManager(**where), ws.WalrusSitesDeploymentService(**where)
    made = await manager.initialize_deployment("tides", None, tmp_path / "site")
    net.faults.add(Fault("publisher.after_pay", "latency", latency_s=1.0))
    codes: list[str] = []

    async def work() -> None:
        try:
            await service.deploy(DeploymentOptions(tmp_path / "site", "tides"))
        except ws.WalrusError as error:
            codes.append(error.code)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        while (await ws.DeploymentMonitor(**where).progress(made)).status != "uploading":
            await anyio.lowlevel.checkpoint()
        assert await service.cancel_deployment(made)
    assert codes == ["cancelled"]
    assert (await manager.get_deployment_state(made)).status == "cancelled"
