"""The recovery verbs over real files and sockets: what they write is what the journal's own examination expects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from walrus_sdk.errors import DeploymentStopped, OwnershipError
from walrus_sdk.journal.check import check
from walrus_sdk.service.session import restore_home

pytestmark = pytest.mark.anyio


def problems(home: Path) -> list[str]:
    return check(home / "state" / "journal.db")


async def test_versions_rollback_and_cleanup_leave_a_sound_journal(house: Any) -> None:
    async with house.session() as sites:
        for number in range(3):
            house.write({"about.html": b"version %d" % number})
            made = await sites.deploy(house.folder, site_name="tides", deletable=True)
        await sites.rollback("tides", to=2, lock=False)
        assert house.get(made.url, "/about.html")[2] == b"version 1"
        done = await sites.cleanup(older_than_days=0.0, keep_last=1, dry_run=False)
        assert len(done.deleted) == 1, "that of version 3: version 2 is served again"
        assert house.get(made.url, "/about.html")[2] == b"version 1"
        assert (await sites.doctor()).healthy
    assert problems(house.home) == []


async def test_a_deploy_goes_on_elsewhere_from_its_newest_checkpoint(house: Any, tmp_path: Path) -> None:
    house.fault("sui.execute.before", "stall")
    async with house.session(network=replace(house.net.network, settle_s=0.2, grace_s=0.2)) as sites:
        with pytest.raises(DeploymentStopped):
            await sites.deploy(house.folder, site_name="tides", deadline_s=5.0)
        (left,) = await sites.list()
    house.net.faults.clear()
    files = sorted((house.home / "checkpoints" / str(left.deployment_id)).iterdir())
    home, house.home = house.home, tmp_path / "elsewhere"
    async with house.session() as sites:
        with pytest.raises(DeploymentStopped) as caught:
            await sites.resume(checkpoint=files[-1])
        assert caught.value.code == "transaction_open", "it was signed, and only the other machine can send it"
        for _ in range(2):
            house.net.world.chain.advance_sui_epoch(1)
        result = await sites.resume()
        assert str(result.deployment_id) == str(left.deployment_id)
    assert set(house.paid().values()) == {1}
    assert house.served(result.url) == house.source()
    assert problems(house.home) == []
    assert problems(home) == []


async def test_a_state_that_was_restored_from_a_backup_goes_on(house: Any, tmp_path: Path) -> None:
    async with house.session() as sites:
        made = await sites.deploy(house.folder, site_name="tides")
        await sites.backup(tmp_path / "copy")
    house.home = tmp_path / "new"
    await restore_home(tmp_path / "copy", house.settings)
    async with house.session() as sites:
        (version,) = await sites.versions("tides")
        assert version.deployment_id == made.deployment_id
        house.write({"about.html": b"changed"})
        assert (await sites.deploy(house.folder, site_name="tides")).site_id == made.site_id
    assert problems(house.home) == []


async def test_the_lock_of_a_rollback_is_in_the_files(house: Any) -> None:
    async with house.session() as sites:
        await sites.deploy(house.folder, site_name="tides")
        house.write({"about.html": b"changed"})
        await sites.deploy(house.folder, site_name="tides")
        await sites.rollback("tides", reason="broken")
    async with house.session() as sites:
        with pytest.raises(OwnershipError) as caught:
            await sites.deploy(house.folder, site_name="tides")
        assert caught.value.fields["reason"] == "broken"
