"""Watching a home from end to end: a stalled publisher, a receiver on loopback, a page that Prometheus reads."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

import walrus_sdk as ws
from walrus_sdk.errors import ConfigurationError
from walrus_sdk.localnet.faults import Fault
from walrus_sdk.model.alerts import AlertOptions, Notice
from walrus_sdk.model.options import RecoveryOptions
from walrus_sdk.service.doctor import environment
from walrus_sdk.service.monitoring import rules_of
from walrus_sdk.service.sampling import PACE_S
from walrus_sdk.service.session import open_session
from walrus_sdk.settings import Project, Secret
from walrus_sdk.sui.signers import KeySigner
from walrus_sdk.watch.exporters import prometheus
from walrus_sdk.watch.metrics import METRICS
from walrus_sdk.watch.rules import DEFAULTS

pytestmark = pytest.mark.anyio

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ONLY_STUCK = {rule.name: {"enabled": False} for rule in DEFAULTS if rule.name != "stuck"}


@dataclass
class Receiver:
    """Answers webhooks with 204 and keeps them."""

    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def __call__(self, peer: Any) -> None:
        head = await peer.head()
        fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:] if line)
        signature = next(line for line in head.decode().split("\r\n") if line.lower().startswith("webhook-signature"))
        fields["webhook-signature"] = signature.split(": ", 1)[1]
        self.heard.append((fields, await peer.body(int(fields["content-length"]))))
        await peer.answer(204, close=True)

    def said(self) -> list[dict[str, Any]]:
        """What was sent, each signature checked."""
        found = []
        for fields, content in self.heard:
            stated = f"{fields['webhook-id']}.{fields['webhook-timestamp']}.".encode() + content
            mac = hmac.new(base64.b64decode(KEY.removeprefix("whsec_")), stated, hashlib.sha256).digest()
            assert fields["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"
            found.append(json.loads(content))
        return found


class Told:
    """Notices, and a way to wait for some."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self._more = anyio.Event()

    def __call__(self, notice: Notice) -> None:
        self.notices.append(notice)
        self._more.set()
        self._more = anyio.Event()

    async def until(self, enough: Callable[[list[str]], bool]) -> None:
        while not enough([notice.name for notice in self.notices]):
            await self._more.wait()


async def test_a_stalled_publisher_raises_the_stuck_alert_once_and_clears_it_once_and_a_webhook_gets_both_signed(
    house: Any, served: Any
) -> None:
    house.fault("publisher.request", "stall", times=1)
    receiver, told = Receiver(), Told()
    recovery = RecoveryOptions(timeout_s=2.5, retry_delay_s=0.01)
    async with served(receiver) as url, house.session() as sites, anyio.create_task_group() as tasks:
        asked = AlertOptions(
            rules={**ONLY_STUCK, "stuck": {"after_s": 2 * PACE_S}},  # else a sample that is late ends and begins it
            webhooks={"ops": url + "/hook"},
            webhook_origins=(url,),
            webhook_key=KEY,
            every_s=0.05,
        )

        async def watch() -> None:
            async with house.session() as other:  # as another process would: a session of its own
                await other.monitor(asked, tell=told)

        tasks.start_soon(watch)
        result = await sites.deploy(house.folder, site_name="tides", recovery=recovery)
        with anyio.fail_after(20):
            await told.until(lambda names: "alert-1-cleared" in names)
            while len(receiver.heard) < 2:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert [notice.name for notice in told.notices] == ["alert-1-firing", "alert-1-cleared"]
    assert [one["type"] for one in receiver.said()] == ["alert.firing", "alert.cleared"]
    first = receiver.said()[0]["data"]
    assert first["deployment_id"] == str(result.deployment_id)
    assert "it waits for" in first["message"]
    assert set(house.paid().values()) == {1}, "watching changes nothing"
    async with house.session() as later:
        assert await later.alerts() == ()
        (alert,) = await later.alerts(result.deployment_id, all_of_them=True)
        assert alert.cleared_ms is not None


async def test_while_a_deployment_runs_the_page_is_what_the_official_parsers_accept(house: Any) -> None:
    pages: dict[str, str] = {}
    async with house.session() as sites:
        await sites.deploy(house.folder, site_name="tides")
        house.write({"more.html": b"<p>more</p>"})
        house.fault("publisher.before_pay", "stall", times=1)
        async with (
            house.session() as watcher,
            prometheus.serve(watcher.meter(), port=0) as url,
            httpx.AsyncClient() as http,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(lambda: sites.deploy(house.folder, site_name="tides"))
            with anyio.fail_after(20):
                encoded = 'walrus_sdk_under_way_stores{network="local",state="encoded"} 1.0'
                while encoded not in pages.get("plain", ""):
                    pages["plain"] = (await http.get(url)).text
            accept = {"accept": "application/openmetrics-text; version=1.0.0"}
            pages["open"] = (await http.get(url, headers=accept)).text
            tasks.cancel_scope.cancel()
    for text, parser in ((pages["plain"], plain), (pages["open"], openmetrics)):
        found = {sample.name: sample for family in parser(text) for sample in family.samples}
        assert found["walrus_sdk_deployments_total"].labels == {
            "network": "local", "verb": "deploy", "outcome": "completed",
        }  # fmt: skip
        assert found["walrus_sdk_stored_files_total"].value == 4
        assert found["walrus_sdk_store_duration_seconds_count"].value == 1
        assert found["walrus_sdk_process_resident_memory_bytes"].value > 0
        assert found["walrus_sdk_state_disk_free_bytes"].value > 0
    assert pages["open"].endswith("# EOF\n")


async def test_the_text_file_is_the_same_page_and_replaces_the_last_one_whole(house: Any, tmp_path: Any) -> None:
    target = tmp_path / "walrus.prom"
    target.write_text("the last one")
    async with house.session() as sites:
        await sites.deploy(house.folder, site_name="tides")
        await prometheus.write_textfile(sites.meter(), target)
    names = {family.name for family in plain(target.read_text())}
    assert {"walrus_sdk_deployments_standing", "walrus_sdk_stored_bytes"} <= names
    assert [path.name for path in tmp_path.iterdir() if "prom" in path.name] == ["walrus.prom"]


async def test_a_deployment_tells_how_it_went_and_what_each_file_cost(house: Any) -> None:
    house.fault("publisher.request", "error", status=503, times=1)
    async with house.session() as sites:
        quick = RecoveryOptions(retry_delay_s=0.01)
        first = await sites.deploy(house.folder, site_name="tides", recovery=quick)
        house.write({"about.html": b"<p>changed</p>"})
        second = await sites.deploy(house.folder, site_name="tides")
        one, two = [await sites.performance(result.deployment_id) for result in (first, second)]
        costs = await sites.costs(first.deployment_id), await sites.costs(second.deployment_id)
    assert (one.status, one.files, one.stored_files, one.retries) == ("completed", 4, 4, 1)
    assert (one.paid_frost, one.planned_frost) == (first.cost.frost.units, first.cost.frost.units)
    assert one.paid_mist == first.cost.gas.units
    (failed,) = one.failures
    assert (failed.kind, failed.count) == ("store", 1)
    assert failed.code in ("service_unavailable", "store_failed"), "the latter when the reason did not come in time"
    assert failed.endpoint == house.net.url
    assert all(one.phases_s[name] > 0 for name in ("hash", "encode", "send", "chain", "verify"))
    assert (two.stored_files, two.skipped_bytes) == (1, second.cost.skipped_bytes)
    assert one.cpu_s is not None
    assert one.peak_memory_bytes is not None
    assert sum(cost.paid_frost for cost in costs[0]) == first.cost.frost.units
    changed = {cost.path: cost for cost in costs[1]}
    assert changed["/about.html"].paid_frost == second.cost.frost.units
    assert changed["/index.html"].paid_frost == 0
    before = {cost.path: cost.paid_frost for cost in costs[0]}
    assert changed["/index.html"].saved_frost == before["/index.html"]


async def test_the_wallet_is_asked_when_it_is_meant_to_be(house: Any) -> None:
    told, off = Told(), {**ONLY_STUCK, "stuck": {"enabled": False}}
    rules = {**off, "sui_balance": {"below_mist": 10**18}, "wal_balance": {"below_frost": 10**18}}
    async with house.session() as sites, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: sites.monitor(AlertOptions(rules=rules, wallet=True, every_s=0.02), tell=told))
        with anyio.fail_after(20):
            await told.until(lambda names: len(names) == 2)
        tasks.cancel_scope.cancel()
    found = {notice.alert.unit: notice.alert.value for notice in told.notices}
    assert found["MIST"] > 0
    assert found["FROST"] == 0, "it is the publisher that has WAL here"


async def test_with_the_wallet_there_are_rules_about_it_and_without_it_there_may_be_none(house: Any) -> None:
    kinds = {rule.kind for rule in rules_of(house.settings, AlertOptions(wallet=True))}
    assert {"sui_balance", "wal_balance"} <= kinds
    assert kinds > {rule.kind for rule in rules_of(house.settings, AlertOptions())}
    async with house.session() as sites:
        with pytest.raises(ConfigurationError, match=r"alerts\.low: nobody asks for the balance: --wallet") as caught:
            await sites.monitor(AlertOptions(rules={"low": {"kind": "wal_balance"}}))
    assert caught.value.code == "setting_invalid"


async def test_a_wallet_that_cannot_be_asked_at_all_is_told_at_once(house: Any) -> None:
    async with house.session(signer=None) as sites:
        with anyio.fail_after(20), pytest.raises(ConfigurationError):
            await sites.monitor(AlertOptions(wallet=True, every_s=0.02))


async def test_a_wrong_rule_or_webhook_is_told_before_anything_is_watched(house: Any) -> None:
    async with house.session() as sites:
        with pytest.raises(ConfigurationError, match=r"alerts\.stuck\.after: expected one of"):
            await sites.monitor(AlertOptions(rules={"stuck": {"after": 1}}))
        with pytest.raises(ConfigurationError, match="not among the allowed origins"):
            await sites.monitor(AlertOptions(webhooks={"ops": "https://x.example/"}, webhook_key=KEY))


async def test_rules_and_webhooks_of_the_project_file_are_used_and_examined(house: Any, served: Any) -> None:
    receiver = Receiver()
    async with served(receiver) as url:
        rules = {**ONLY_STUCK, "stuck": {"enabled": False}, "full": {"kind": "disk", "below_bytes": 1e30}}
        project = Project(alerts=rules, webhooks={"ops": f"{url}/secret-path"})
        settings = replace(house.settings, project=project, webhook_key=Secret(KEY), webhook_origins=(url,))
        async with open_session(settings, network=house.net.network) as sites, anyio.create_task_group() as tasks:
            tasks.start_soon(sites.monitor)
            with anyio.fail_after(20):
                while not receiver.heard:
                    await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    assert receiver.said()[0]["data"]["rule"] == "full"
    (found,) = [one for one in environment(settings) if one.what == "alerts"]
    assert (found.state, found.text) == ("ok", f"1 rules; webhooks: ops at {url}")
    wrong = replace(settings, project=replace(project, alerts={"stuck": {"after": 1}}))
    (found,) = [one for one in environment(wrong) if one.what == "alerts"]
    assert (found.state, "alerts.stuck.after" in found.text) == ("bad", True)


def test_a_connection_watches_beside_a_deployment_until_its_handle_is_cancelled(house: Any) -> None:
    options = {"home": house.home, "network": house.net.network, "signer": KeySigner(house.net.key)}
    house.net.faults.add(Fault("publisher.request", "error", status=400))
    heard: list[ws.Notice] = []
    with ws.connect(**options) as sites:
        watching = sites.monitor(ws.AlertOptions(every_s=0.02), tell=heard.append)
        handle = sites.deploy(house.folder, site_name="tides")
        with pytest.raises(ws.WalrusError):
            handle.wait(60)
        while not heard and not watching.done:
            sites.alerts().wait()
        assert {notice.alert.rule for notice in heard} == {"failed"}
        watching.cancel()
        watching.settle()
        (shown,) = sites.alerts().wait()
        assert shown == heard[0].alert


def test_every_metric_is_named_by_the_conventions_of_prometheus() -> None:
    for name, metric in METRICS.items():
        assert name.startswith("walrus_sdk_")
        assert (metric.type == "counter") is name.endswith("_total")
        if metric.type == "histogram":
            assert name.endswith("_seconds")
        assert not set(metric.labels) & {"deployment", "deployment_id", "path", "site", "message"}
        assert metric.help.endswith(".")
