"""Sites as they are now: after a rollback, adopted into another home, with blobs that were stored for another site."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

import walrus_sdk as ws
from walrus_sdk.frames.history import History, history
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.sui.signers import KeySigner

from .conftest import CHAIN, T0, Journal


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[History, History]]:
    """Two homes: one that deployed a site twice and rolled it back; one that adopted it then."""
    base = tmp_path_factory.mktemp("published")
    site, first, second = base / "site", base / "first", base / "second"
    site.mkdir()
    with LocalNetwork(n_shards=10) as net:
        network, signer = replace(net.network, settle_s=0.2), KeySigner(net.key)
        with ws.connect(home=first, network=network, signer=signer) as sites:
            for edition in ("one", "another"):
                (site / "index.html").write_text(f"<h1>{edition}</h1>")
                (site / "a.html").write_text(edition)
                sites.deploy(site, site_name="shop", epochs=5).wait()
            sites.rollback("shop").wait()
        with ws.connect(home=second, network=network, signer=signer) as sites:
            assert sites.submit(lambda session: session.adopt("shop")).wait() == 1
        yield history(first), history(second)


def test_a_site_that_was_rolled_back_expires_as_before(homes: tuple[History, History]) -> None:
    history, _ = homes
    (row,) = history.expiring().to_dict("records")
    assert (row["site_name"], row["network"], row["current_files"], row["epochs_left"]) == ("shop", "local", 2, 5)
    assert row["blob_id"] == history.blobs["blob_id"].iloc[0]
    assert list(history.blobs["current_files"]) == [2, 0]


def test_a_rollback_leads_to_the_files_of_its_version(homes: tuple[History, History]) -> None:
    versions, deployments = homes[0].versions, homes[0].deployments
    assert list(versions["files"]) == [2, 2, 2]
    assert versions["bytes"].iloc[2] == versions["bytes"].iloc[0] == len("<h1>one</h1>one")
    for of_both in ("files", "bytes", "stored_files"):
        assert deployments[of_both].iloc[2] == deployments[of_both].iloc[0] > 0, of_both
    assert deployments["new_files"].iloc[2] == 0
    assert list(homes[0].cost_per_deployment()["saved_bytes"]) == [0, 0, len("<h1>one</h1>one")]


def test_a_site_that_was_adopted_expires(homes: tuple[History, History]) -> None:
    (row,) = homes[1].expiring().to_dict("records")
    assert (row["site_name"], row["network"], row["current_files"], row["epochs_left"]) == ("shop", "local", 2, 5)
    assert list(homes[1].blobs["network"]) == ["local"]


def test_the_files_of_an_adopted_site_are_counted_and_their_sizes_are_not_known(homes: tuple[History, History]) -> None:
    (version,) = homes[1].versions.to_dict("records")
    assert version["files"] == 2
    assert pd.isna(version["bytes"])
    assert list(homes[1].deployments["files"]) == list(homes[1].deployments["stored_files"]) == [2]


def test_an_archive_tells_the_same_of_what_expires(homes: tuple[History, History], tmp_path: Path) -> None:
    for place, one in enumerate(homes):
        folder = tmp_path / str(place)
        one.to_parquet(folder)
        when = datetime.fromtimestamp(T0 / 1000, UTC)
        pd.testing.assert_frame_equal(history(parquet=folder).expiring(as_of=when), one.expiring(as_of=when))


@pytest.mark.processes
def test_pages_cost_what_the_session_says_they_cost_and_copies_are_stored_once(tmp_path: Path) -> None:
    site, home = tmp_path / "site", tmp_path / "home"
    site.mkdir()
    contents = {"index.html": b"x", "a.html": b"yy" * 50, "copy.html": b"yy" * 50, "b.html": b"z" * 3000, "e.txt": b""}
    for name, content in contents.items():
        (site / name).write_bytes(content)
    with (
        LocalNetwork(n_shards=10) as net,
        ws.connect(home=home, network=net.network, signer=KeySigner(net.key)) as sites,
    ):
        deployed = sites.deploy(site, site_name="shop").wait()
        told = sites.submit(lambda session: session.costs(deployed.deployment_id)).wait()
        (site / "new.html").write_bytes(b"new")
        sites.deploy(site, site_name="shop").wait()
    found = history(home)
    pages = found.only(deployed.deployment_id).cost_per_page()
    assert dict(zip(pages["path"], pages["paid_frost"], strict=True)) == {one.path: one.paid_frost for one in told}
    first, second = found.deployments.to_dict("records")
    assert (first["files"], first["new_files"], first["new_bytes"]) == (5, 4, 3101)
    assert (first["new_paths"], first["new_path_bytes"], first["saved_bytes"]) == (5, 3201, 0)
    assert (second["new_files"], second["new_bytes"]) == (1, 3)
    assert (second["new_paths"], second["new_path_bytes"], second["saved_bytes"]) == (1, 3, 3201)
    assert list(found.cost_per_deployment()["saved_bytes"]) == [0, 3201]
    assert list(found.success_rate("month")["bytes"]) == [3201 + 3]


def test_what_expires_is_told_of_each_site_that_needs_it(journal: Journal) -> None:
    shop, blog = journal.deployment(1), journal.deployment(2, site_name="blog", network="testnet")
    journal.store(shop, "s", "b", 1)
    journal.put("blobs", chain=CHAIN, blob_id="b", end_epoch=9, size=9, deletable=0)
    journal.version("0x1", 1, shop, {"/old": "b"})
    journal.version("0x1", 2, shop, {"/new": "elsewhere"})
    journal.version("0x2", 1, blog, {"/a": "b", "/b": "b", "/c": "elsewhere"}, name="blog")
    found = journal.history.expiring()
    told = sorted(zip(found["site_name"], found["blob_id"], found["current_files"], strict=True))
    assert told == [("blog", "b", 2), ("blog", "elsewhere", 1), ("shop", "elsewhere", 1)]
    assert found[found["blob_id"] == "elsewhere"]["end_epoch"].isna().all()
    assert list(journal.history.only(blog).expiring()["site_name"].unique()) == ["blog"]
    assert found["end_epoch"].iloc[0] == 9, "what has an end comes first"


def test_a_site_is_known_when_the_history_of_its_deployment_is_gone(journal: Journal) -> None:
    journal.deployment(1, verb="cleanup", site_name="")
    journal.version("0x1", 1, "deploy_1770000000000_ffffffff", {"/a": "b"}, name="shop")
    (row,) = journal.history.expiring().to_dict("records")
    assert (row["site_name"], row["network"]) == ("shop", "testnet")
