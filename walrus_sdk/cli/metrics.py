"""``metrics`` and ``alerts``: figures of deployments, for people and for Prometheus; what is wrong, and watching."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import click

from walrus_sdk.cli import pages
from walrus_sdk.cli.calls import Call, command
from walrus_sdk.cli.options import NETWORK
from walrus_sdk.errors import ConfigurationError, DeploymentStopped
from walrus_sdk.model.alerts import Alert, AlertOptions, Notice
from walrus_sdk.model.performance import FileCost, Performance
from walrus_sdk.model.reports import iso
from walrus_sdk.settings import read_toml
from walrus_sdk.watch.metrics import METRICS, PORT, Key
from walrus_sdk.watch.progress import size
from walrus_sdk.watch.sinks import terminal

if TYPE_CHECKING:
    from walrus_sdk.cli.running import Verb
    from walrus_sdk.service.session import Session

__all__ = ["COMMANDS"]


@command(
    "metrics",
    click.argument("deployment", metavar="[ID]", required=False),
    click.option("--costs", is_flag=True, help="Of the deployment ID: what each file was to cost, has cost and saved."),
    click.option("--serve", "serves", is_flag=True, help="Serve the figures over HTTP for Prometheus until stopped."),
    click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, metavar="N",
                 help="Port to serve at; 0 takes a free one."),
    click.option("--bind", default="127.0.0.1", show_default=True, metavar="ADDRESS",
                 help="Address to serve at; there is no password, so keep it where only Prometheus comes."),
    click.option("--textfile", type=click.Path(), metavar="PATH",
                 help="Write the figures to PATH (NAME.prom) for the node exporter, whole or not at all."),
)  # fmt: skip
def metrics(
    call: Call, deployment: str | None, costs: bool, serves: bool, port: int, bind: str, textfile: str | None
) -> None:
    """Show the figures of this home, or of one deployment. Needs no network.

    They are read from the journal, also while another process deploys.
    """
    if sum(map(bool, (deployment, serves, textfile))) > 1 or (costs and not deployment):
        text = "give one of ID, --serve and --textfile; --costs goes with ID"
        raise ConfigurationError("option_invalid", text, option="serve")
    if serves:
        _watch(call, lambda session, _: _serve(call, session, port, bind))
    elif textfile is not None:
        from walrus_sdk.watch.exporters.prometheus import write_textfile

        place = Path(textfile)
        call.run(lambda session, _: write_textfile(session.meter(), place))
        fields = {"file": str(place)}
        call.output.result(fields, pages.facts(fields))
    elif deployment is not None and costs:
        found = call.run(lambda session, _: session.costs(deployment))
        call.output.rows((one.to_json() for one in found), _COSTS, map(_cost_cells, found))
    elif deployment is not None:
        shown = call.run(lambda session, _: session.performance(deployment))
        call.output.result(shown.to_json(), _performance_page(shown))
    else:
        lines = list(_lines(call.run(lambda session, _: session.meter().read())))
        call.output.rows((row for row, _ in lines), ("figure", "of", "value"), (cells for _, cells in lines))


@command(
    "alerts",
    click.argument("deployment", metavar="[ID]", required=False),
    click.option("--all", "all_of_them", is_flag=True, help="Also those that have cleared."),
    click.option("--watch", "watches", is_flag=True,
                 help="Hold the rules against this home until stopped, and tell of each alert once."),
    click.option("--rules", type=click.Path(), metavar="FILE",
                 help="TOML file with [alerts.NAME] and [webhooks] instead of the project file's."),
    click.option("--wallet", is_flag=True, help="With --watch: ask the network what the sites' owner has, too."),
    *NETWORK,
)  # fmt: skip
def alerts(
    call: Call, deployment: str | None, all_of_them: bool, watches: bool, rules: str | None, wallet: bool
) -> None:
    """Show the alerts that fire, of this home or of one deployment; with --watch, look for new ones.

    A monitor may run in any process, beside any deployment: it reads the journal, and tells each alert once when it
    fires and once when it clears. Rules come from [alerts.NAME] of walrus-sdk.toml.
    """
    if watches:
        options = _alert_options(rules, wallet=wallet)
        _watch(call, lambda session, _: session.monitor(options, tell=lambda notice: _tell(call, notice)))
        return
    found = call.run(lambda session, _: session.alerts(deployment, all_of_them=all_of_them))
    call.output.rows((alert.to_json() for alert in found), _ALERTS, map(_alert_cells, found))


async def _serve(call: Call, session: Session, port: int, bind: str) -> None:
    from walrus_sdk.watch.exporters.prometheus import serve

    async with serve(session.meter(), port=port, address=bind) as url:
        call.output.result({"url": url}, [("metrics", url)])
        await anyio.sleep_forever()


def _watch(call: Call, verb: Verb[None]) -> None:
    """Run something that goes on until a signal ends it: that is how it ends well."""
    try:
        call.watch(verb, None)
    except DeploymentStopped as stopped:
        if stopped.code != "interrupted":
            raise


def _alert_options(rules: str | None, *, wallet: bool) -> AlertOptions:
    if rules is None:
        return AlertOptions(wallet=wallet)
    said = read_toml(Path(rules))
    for key, value in said.items():
        if key not in ("alerts", "webhooks") or not isinstance(value, dict):
            text = f"{rules}: {key}: expected [alerts.NAME] or [webhooks]"
            raise ConfigurationError("setting_invalid", text, path=rules, key=key)
    webhooks = said.get("webhooks", {})
    if not all(isinstance(url, str) for url in webhooks.values()):
        raise ConfigurationError("setting_invalid", f"{rules}: webhooks: expected addresses by name", path=rules)
    return AlertOptions(rules=said.get("alerts", {}), webhooks=webhooks, wallet=wallet)


def _tell(call: Call, notice: Notice) -> None:
    if call.output.as_json:
        call.output.rows([notice.alert.to_json()], (), ())
    else:
        terminal(call.output.text)(notice)


# ── for people ────────────────────────────────────────────────────────────────────────────────────────────────────

_COSTS = ("path", "size", "operation", "planned", "paid", "saved")
_ALERTS = ("n", "state", "severity", "rule", "since", "what")


def _cost_cells(cost: FileCost) -> Sequence[str]:
    saved = "?" if cost.saved_frost is None else str(cost.saved_frost)
    return (cost.path, size(cost.size), cost.operation or "", str(cost.planned_frost), str(cost.paid_frost), saved)


def _alert_cells(alert: Alert) -> Sequence[str]:
    state = "firing" if alert.is_firing else "cleared"
    return (str(alert.number), state, alert.severity.value, alert.rule, iso(alert.fired_ms) or "", alert.message)


def _performance_page(shown: Performance) -> list[tuple[str, str]]:
    phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in shown.phases_s.items())
    lines = [
        ("status", f"{shown.status}, {shown.duration_s:.1f} s from the plan on, {shown.owners} owners"),
        ("stored", f"{shown.stored_files:,} of {shown.files:,} files, {size(shown.stored_bytes)}"),
        ("stored already", size(shown.skipped_bytes)),
        ("throughput", f"{shown.files_per_s:.1f} files/s, {size(round(shown.bytes_per_s))}/s"),
        ("tries", f"{shown.tries:,}, {shown.retries:,} of them again; {shown.error_rate:.0%} failed"),
        ("busy", phases),
        ("storage", f"{shown.paid_frost} FROST paid, {shown.planned_frost} planned"),
        ("gas", f"{shown.paid_mist} MIST paid, {shown.planned_mist} planned"),
    ]
    lines += [("failures", f"{one.count} × {one.code} of a {one.kind} {one.endpoint}") for one in shown.failures]
    if shown.possibly_paid_in_vain:
        lines.append(("in vain", f"{shown.possibly_paid_in_vain} stores may have been paid in vain"))
    if shown.cpu_s is not None and shown.peak_memory_bytes is not None:
        taken = f"{shown.cpu_s:.1f} s CPU, {size(shown.peak_memory_bytes)} memory, {shown.peak_open_files} descriptors"
        lines.append(("process", taken))
    return lines


def _lines(figures: Mapping[Key, float]) -> Iterable[tuple[dict[str, Any], Sequence[str]]]:
    """Yield each figure as a row and as cells; of a histogram its count and its sum."""
    totals: dict[tuple[str, tuple[str, ...]], float] = {}
    for (name, labels, bound), value in figures.items():
        shown = f"{name}_count" if bound is not None else name
        totals[shown, labels] = totals.get((shown, labels), 0.0) + value
    for (name, labels), value in sorted(totals.items()):
        metric = METRICS.get(name) or METRICS[name.rpartition("_")[0]]
        of = dict(zip(metric.labels, labels, strict=True))
        yield {"metric": name, "labels": of, "value": value}, (name, " ".join(labels), f"{value:,.15g}")


COMMANDS = (metrics, alerts)
