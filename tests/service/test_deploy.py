"""Deploying a folder, from end to end, over real sockets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from walrus_sdk.engine.bandwidth import Bandwidth
from walrus_sdk.errors import (
    BlockchainError,
    ConfigurationError,
    LimitError,
    StorageError,
    ValidationError,
    WalrusError,
)
from walrus_sdk.model.options import RecoveryOptions, Verify
from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.units import Frost, ObjectId, SuiAddress
from walrus_sdk.service.session import open_session
from walrus_sdk.settings import Project
from walrus_sdk.sui.signers import KeySigner

pytestmark = pytest.mark.anyio


async def test_a_folder_becomes_a_site_that_serves_every_file_byte_for_byte(house: Any) -> None:
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides")
    assert result.changed
    assert result.version == 1
    assert result.verified == "all"
    assert len(result.digests) == 1
    assert house.served(result.url) == house.source()


async def test_a_second_deploy_pays_nothing_and_sends_nothing(house: Any) -> None:
    async with house.session() as sites:
        first = await sites.deploy(house.folder, site_name="tides")
        paid = house.paid()
        second = await sites.deploy(house.folder, site_name="tides")
    assert (second.cost.requests, second.digests, second.changed) == (0, (), False)
    assert (second.site_id, second.version) == (first.site_id, first.version)
    assert house.paid() == paid


async def test_changing_one_file_stores_its_bytes_only_and_sends_one_transaction(house: Any) -> None:
    async with house.session() as sites:
        await sites.deploy(house.folder, site_name="tides")
        before = len(house.net.ledger())
        house.write({"about.html": b"<p>changed</p>"})
        result = await sites.deploy(house.folder, site_name="tides")
    assert result.cost.stored_bytes == len(b"<p>changed</p>")
    assert len(result.digests) == 1
    assert result.version == 2
    (row,) = house.net.ledger()[before:]
    assert row["bytes_received"] == len(b"<p>changed</p>")
    assert house.served(result.url) == house.source()


async def test_a_removed_file_is_no_longer_served(house: Any) -> None:
    async with house.session() as sites:
        await sites.deploy(house.folder, site_name="tides")
        (house.folder / "about.html").unlink()
        result = await sites.deploy(house.folder, site_name="tides")
    assert house.get(result.url, "/about.html")[0] == 404


async def test_content_that_came_back_is_not_stored_again(house: Any) -> None:
    async with house.session() as sites:
        await sites.deploy(house.folder, site_name="tides")
        old = (house.folder / "about.html").read_bytes()
        house.write({"about.html": b"new"})
        await sites.deploy(house.folder, site_name="tides")
        house.write({"about.html": old})
        result = await sites.deploy(house.folder, site_name="tides")
    assert result.cost.requests == 0
    assert len(result.digests) == 1
    assert house.get(result.url, "/about.html")[2] == old


async def test_rules_of_ws_resources_reach_visitors_and_the_file_itself_does_not(house: Any) -> None:
    rules = {
        "headers": {"/assets/*": {"Cache-Control": "max-age=60"}},
        "routes": {"/app/*": "/index.html"},
        "redirects": {"/old": {"location": "/about.html", "status_code": 301}},
        "ignore": ["/drafts/*"],
        "site_name": "tides",
    }
    house.write({"ws-resources.json": json.dumps(rules).encode(), "drafts/x.html": b"draft"})
    async with house.session() as sites:
        result = await sites.deploy(house.folder)
    assert result.site_name == "tides"
    assert house.get(result.url, "/assets/app.js")[1]["cache-control"] == "max-age=60"
    assert house.get(result.url, "/app/anything")[2] == b"<h1>home</h1>"
    status, headers, _ = house.get(result.url, "/old")
    assert (status, headers["location"]) == (301, "/about.html")
    assert house.get(result.url, "/drafts/x.html")[0] == 404
    assert house.get(result.url, "/ws-resources.json")[0] == 404


async def test_the_object_id_is_written_only_when_asked_and_found_again(house: Any) -> None:
    async with house.session() as sites:
        await sites.deploy(house.folder, site_name="tides")
        assert "ws-resources.json" not in house.names()
        result = await sites.deploy(house.folder, site_name="tides", write_object_id=True)
    assert json.loads(house.rules())["object_id"] == str(result.site_id)


async def test_another_machine_updates_the_site_of_that_name_instead_of_making_a_second_one(
    house: Any, tmp_path: Path
) -> None:
    async with house.session() as sites:
        first = await sites.deploy(house.folder, site_name="tides")
    house.home = tmp_path / "another home"
    house.write({"index.html": b"from elsewhere"})
    async with house.session() as sites:
        second = await sites.deploy(house.folder, site_name="tides")
    assert second.site_id == first.site_id
    assert second.cost.stored_bytes == len(b"from elsewhere")


async def test_two_sites_of_one_name_are_refused_with_the_list(house: Any, tmp_path: Path) -> None:
    async with house.session() as sites:
        first = await sites.deploy(house.folder, site_name="tides")
        second = await sites.deploy(house.folder, site_name="moon")
        await sites.deploy(house.folder, object_id=second.site_id, site_name="tides")
    house.home = tmp_path / "another home"
    async with house.session() as sites:
        with pytest.raises(ConfigurationError) as caught:
            await sites.deploy(house.folder, site_name="tides")
    assert caught.value.code == "name_ambiguous"
    assert str(first.site_id) in caught.value.message
    assert str(second.site_id) in caught.value.message


async def test_a_site_of_somebody_else_is_refused(house: Any) -> None:
    async with house.session() as sites:
        made = await sites.deploy(house.folder, site_name="tides")
    other = SuiAddress(bytes(31) + b"\x07")

    class Stranger:
        address = other

        async def sign(self, request: Any) -> bytes:
            raise AssertionError("nothing is signed")

    async with house.session(signer=Stranger()) as sites:
        with pytest.raises(BlockchainError) as caught:
            await sites.deploy(house.folder, object_id=made.site_id)
    assert caught.value.code == "site_not_owned"


async def test_an_object_that_is_not_there_is_refused(house: Any) -> None:
    async with house.session() as sites:
        with pytest.raises(BlockchainError) as caught:
            await sites.deploy(house.folder, object_id=ObjectId(bytes(31) + b"\x09"))
    assert caught.value.code == "site_not_found"


async def test_a_plan_spends_and_writes_nothing(house: Any) -> None:
    async with house.session() as sites:
        plan = await sites.plan(house.folder, site_name="tides")
        assert await sites.list() == []
    assert plan.cost.frost.units > 0
    assert plan.cost.gas.units > 0
    assert plan.to_json()["add"] == ["/about.html", "/assets/app.js", "/assets/logo.svg", "/index.html"]
    assert house.net.ledger() == []


async def test_a_plan_costs_what_the_deployment_then_costs(house: Any) -> None:
    async with house.session() as sites:
        plan = await sites.plan(house.folder, site_name="tides")
        result = await sites.apply(plan)
    assert result.cost.frost == plan.cost.frost
    assert len(result.digests) == plan.cost.transactions
    assert house.served(result.url) == house.source()


async def test_a_plan_whose_files_changed_is_refused_with_the_list(house: Any) -> None:
    async with house.session() as sites:
        plan = await sites.plan(house.folder, site_name="tides")
        house.write({"about.html": b"other"})
        with pytest.raises(ValidationError) as caught:
            await sites.apply(plan)
    assert caught.value.code == "file_changed"
    assert caught.value.fields["paths"] == ["/about.html"]
    assert house.net.ledger() == []


async def test_a_plan_of_a_new_site_makes_one_site_only(house: Any) -> None:
    async with house.session() as sites:
        plan = await sites.plan(house.folder, site_name="tides")
        await sites.apply(plan)
        with pytest.raises(BlockchainError) as caught:
            await sites.apply(plan)
    assert caught.value.code == "site_changed"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"max_cost": Frost(1)}, "cost_limit"),
        ({"epochs": 54}, "option_invalid"),
        ({"site_name": "x" * 200}, "site_name_invalid"),
    ],
)
async def test_a_limit_says_no_before_anything_is_spent(house: Any, asked: dict[str, Any], code: str) -> None:
    async with house.session() as sites:
        with pytest.raises(WalrusError) as caught:
            await sites.deploy(house.folder, **asked)
        assert await sites.list() == []
    assert caught.value.code == code
    assert house.net.ledger() == []


async def test_a_deploy_that_would_remove_most_pages_stops(house: Any) -> None:
    async with house.session() as sites:
        await sites.deploy(house.folder, site_name="tides")
        for name in ("about.html", "assets/app.js", "assets/logo.svg"):
            (house.folder / name).unlink()
        with pytest.raises(LimitError) as caught:
            await sites.deploy(house.folder, site_name="tides")
        assert caught.value.code == "delete_limit"
        result = await sites.deploy(house.folder, site_name="tides", max_delete=1.0)
    assert house.served(result.url) == house.source()


async def test_an_empty_folder_never_empties_a_site(house: Any, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    async with house.session() as sites:
        made = await sites.deploy(house.folder, site_name="tides")
        with pytest.raises(ValidationError) as caught:
            await sites.deploy(empty, site_name="tides", max_delete=1.0)
    assert caught.value.code == "folder_empty"
    assert house.served(made.url) == house.source()


@pytest.mark.parametrize(
    ("files", "code", "named"),
    [
        ({".env": b"A=1"}, "secret_found", ".env"),
        ({"ws-resources.json": b"{nonsense"}, "ws_resources_invalid", "ws-resources.json"),
        ({"bad\\name.html": b"x"}, "path_invalid", "bad"),
    ],
)
async def test_bad_input_names_the_file_and_spends_nothing(
    house: Any, files: dict[str, bytes], code: str, named: str
) -> None:
    house.write(files)
    async with house.session() as sites:
        with pytest.raises(ValidationError) as caught:
            await sites.deploy(house.folder, site_name="tides")
    assert caught.value.code == code
    assert named in caught.value.message
    assert house.net.ledger() == []


async def test_a_secret_that_is_allowed_by_name_is_published(house: Any) -> None:
    house.write({".env": b"PUBLIC=1"})
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides", allow_files=(".env",))
    assert house.get(result.url, "/.env")[2] == b"PUBLIC=1"


async def test_a_missing_folder_and_a_folder_without_index_are_refused(house: Any, tmp_path: Path) -> None:
    async with house.session() as sites:
        with pytest.raises(ValidationError) as missing:
            await sites.deploy(tmp_path / "nowhere")
        (house.folder / "index.html").unlink()
        with pytest.raises(ValidationError) as no_index:
            await sites.deploy(house.folder)
    assert (missing.value.code, no_index.value.code) == ("folder_missing", "no_index")


async def test_an_unknown_option_is_named_with_those_that_are_known(house: Any) -> None:
    async with house.session() as sites:
        with pytest.raises(ConfigurationError) as caught:
            await sites.deploy(house.folder, sitename="tides")
    assert caught.value.code == "option_invalid"
    assert "site_name" in caught.value.message


async def test_progress_tells_sent_and_confirmed_apart_and_ends_done(house: Any) -> None:
    seen: list[Progress] = []
    async with house.session() as sites:
        await sites.deploy(house.folder, site_name="tides", progress=seen.append)
    assert {item.phase for item in seen} == set(Phase)
    assert any(item.bytes_sent > item.bytes_confirmed for item in seen)
    last = seen[-1]
    assert (last.phase, last.bytes_confirmed, last.files_hashed) == (Phase.DONE, last.bytes_total, 4)


async def test_a_progress_view_that_fails_holds_nothing_up(house: Any) -> None:
    def broken(_: Progress) -> None:
        raise RuntimeError("a bug in the view")

    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides", progress=broken)
    assert house.served(result.url) == house.source()


async def test_the_message_and_the_commit_are_kept_with_the_version(house: Any) -> None:
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides", message="spring tide")
        report = await sites.status(result.deployment_id)
    assert report.summary.message == "spring tide"


async def test_wrong_bytes_on_walrus_are_found_by_verification(house: Any) -> None:
    async with house.session() as sites:
        result = await sites.deploy(house.folder, site_name="tides", verify=Verify.NONE)
        assert (await sites.verify("tides")).files == 4
        house.fault("aggregator.request", "error", status=451)
        with pytest.raises(StorageError) as caught:
            await sites.verify(str(result.site_id))
    assert caught.value.code == "verification_failed"


async def test_a_site_is_found_by_object_id_base36_and_name(house: Any) -> None:
    async with house.session() as sites:
        made = await sites.deploy(house.folder, site_name="tides")
        urls = {await sites.url(text) for text in (str(made.site_id), made.site_id.base36, "tides")}
        assert urls == {made.url}
        with pytest.raises(BlockchainError) as caught:
            await sites.url("moon")
    assert caught.value.code == "site_not_found"


ONCE = RecoveryOptions(max_retries=0, retry_delay_s=0.01)


async def test_retries_meet_a_busy_publisher(house: Any) -> None:
    house.fault("publisher.request", "too_many_requests", times=2)
    async with house.session() as sites:
        result = await sites.deploy(
            house.folder, site_name="tides", recovery=RecoveryOptions(retry_delay_s=0.01), concurrency=1
        )
    assert house.served(result.url) == house.source()
    assert set(house.paid().values()) == {1}


async def test_publishers_work_side_by_side_and_one_that_is_not_there_holds_nothing_up(house: Any) -> None:
    house.write({f"p{number}.html": b"%d" % number * 50 for number in range(12)})
    async with house.session(publisher=("http://127.0.0.1:1", house.net.url)) as sites:
        result = await sites.deploy(house.folder, site_name="tides", max_quilt_files=1, recovery=ONCE)
    assert house.served(result.url) == house.source()
    assert set(house.paid().values()) == {1}


async def test_the_wrong_chain_is_refused_before_anything_is_signed(house: Any) -> None:
    other = replace(house.net.network, chain_id="00000000")
    async with house.session(network=other) as sites:
        with pytest.raises(BlockchainError) as caught:
            await sites.deploy(house.folder, site_name="tides")
    assert caught.value.code == "chain_mismatch"


@pytest.mark.parametrize("where", ["option", "project file"])
async def test_all_bodies_of_a_session_share_one_rate(house: Any, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    made: list[Any] = []

    class Counting(Bandwidth):
        def __init__(self, rate: int, clock: Any, sleep: Any) -> None:
            super().__init__(rate, clock, sleep)
            self.rate, self.taken = rate, 0
            made.append(self)

        async def take(self, size: int, told: Any = lambda _: None) -> None:
            self.taken += size
            await super().take(size, told)

    monkeypatch.setattr("walrus_sdk.service.session.Bandwidth", Counting)
    settings, asked = house.settings, {}
    if where == "option":
        asked = {"max_bandwidth": 10**9}
    else:
        settings = replace(settings, project=Project(max_bandwidth=10**9))
    async with open_session(settings, network=house.net.network, signer=KeySigner(house.net.key)) as sites:
        for text, timeout_s in ((b"one", 300.0), (b"two", 301.0)):
            house.write({"index.html": text})
            patience = RecoveryOptions(timeout_s=timeout_s)
            await sites.deploy(house.folder, site_name="tides", max_quilt_files=2, recovery=patience, **asked)
    (rate,) = made
    received = sum(row["bytes_received"] for row in house.net.ledger())
    assert (rate.rate, rate.taken >= received > 0) == (10**9, True)


async def test_a_file_of_authorities_that_is_set_is_used(house: Any, tmp_path: Path) -> None:
    settings = replace(house.settings, ca_file=tmp_path / "authority.pem")
    async with open_session(settings, network=house.net.network, signer=KeySigner(house.net.key)) as sites:
        assert await sites.list() == []
        found = {finding.what: finding for finding in (await sites.doctor()).findings}
        assert found["WALRUS_CA_FILE"].state == "warning"
        assert found["blob ids"].text.startswith(("compiled", "pure"))
        assert "authority.pem" in found["network"].text
        with pytest.raises(ConfigurationError, match=r"authority\.pem") as caught:
            await sites.deploy(house.folder, site_name="tides")
    assert caught.value.code == "setting_invalid"
