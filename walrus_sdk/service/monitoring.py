"""Watching a home: alerts, figures of deployments, metrics. Reads the journal; of a network only a wallet is asked."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.model.alerts import Alert, AlertOptions, Notice
from walrus_sdk.model.performance import FileCost, Performance
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.planning.state import LIVE
from walrus_sdk.ports import Clock, Journal, Sleep
from walrus_sdk.service.reports import deployment_id
from walrus_sdk.service.unfinished import plan_in
from walrus_sdk.service.unwrap import one_error
from walrus_sdk.settings import Settings
from walrus_sdk.watch.alerts import alerts, firing
from walrus_sdk.watch.costs import costs_once, file_costs
from walrus_sdk.watch.exporters import otel
from walrus_sdk.watch.gather import Eyes
from walrus_sdk.watch.metering import Meter
from walrus_sdk.watch.metrics import performance
from walrus_sdk.watch.monitor import Monitor
from walrus_sdk.watch.rules import Rule, parse
from walrus_sdk.watch.runs import Run, fold
from walrus_sdk.watch.sinks import Post, Teller, Webhook, checked_webhook, log
from walrus_sdk.watch.tail import Tail
from walrus_sdk.watch.view import View, Wallet

__all__ = ["Sight", "Watches", "rules_of", "webhooks_of"]

_LIVE = frozenset(status.value for status in LIVE)


@dataclass(frozen=True, slots=True)
class Sight:
    """What a session gives to those who watch.

    `is_live`: whether a process works on a deployment. `disk_free`: bytes left for the state folder. `post` sends
    webhooks. `wallet` asks the network what the sites' owner has: MIST, and FROST where WAL's type is known.
    """

    settings: Settings
    journal: Journal
    tail: Tail
    clock: Clock
    sleep: Sleep
    is_live: Callable[[DeploymentId], bool]
    disk_free: Callable[[], int | None]
    post: Post
    wallet: Callable[[], Awaitable[tuple[int, int | None]]]

    @property
    def eyes(self) -> Eyes:
        """What is looked at beside the journal's rows and events."""
        return Eyes(self.is_live, self.tail, self.disk_free)

    async def ask_wallet(self) -> Wallet:
        """Ask the network what the sites' owner has."""
        return Wallet(*await self.wallet())


class Watches:
    """The half of a session that looks at its home and changes nothing of any deployment."""

    @property
    def _sight(self) -> Sight:
        """What those need who watch the home; a session has it from its wiring."""
        raise AssertionError("a session has one")

    async def monitor(
        self,
        options: AlertOptions | None = None,
        *,
        tell: Callable[[Notice], object] | None = None,
        until: str | DeploymentId | None = None,
    ) -> None:
        """Hold alert rules against this home, whichever process deploys, until it is cancelled.

        `tell` is called with each alert that fires or clears. `until`: end when nobody works on that deployment any
        more. Raises `ConfigurationError` ``setting_invalid`` for a rule or a webhook, and what the first question about
        the wallet raises of that class.
        """
        which = None if until is None else deployment_id(until)
        tellers = (log, tell) if tell is not None else (log,)
        with one_error():
            await _monitor(self._sight, options or AlertOptions(), tellers, which)

    async def alerts(
        self, deployment: str | DeploymentId | None = None, *, all_of_them: bool = False
    ) -> Sequence[Alert]:
        """Return the alerts that fire now (or all so far), of one deployment where it is named. Needs no network."""
        which = None if deployment is None else deployment_id(deployment)
        return await _alerts(self._sight.journal, which, all_of_them=all_of_them)

    async def performance(self, deployment: str | DeploymentId) -> Performance:
        """Return how fast and how well a deployment went, and what it took. Raises ``deployment_not_found``."""
        return await _performance(self._sight, deployment_id(deployment))

    async def costs(self, deployment: str | DeploymentId) -> Sequence[FileCost]:
        """Return what each file of a deployment was to cost, has cost and saved. Raises ``deployment_not_found``."""
        return await _costs(self._sight.journal, deployment_id(deployment))

    async def trace(self, deployment: str | DeploymentId, *, tracer_provider: Any = None) -> int:
        """Hand a deployment's effects to OpenTelemetry as spans with their true times; returns how many.

        0 without the packages of the extra `otel`. Raises ``deployment_not_found``.
        """
        which = deployment_id(deployment)
        return await _trace(self._sight.journal, which, tracer_provider)

    def meter(self) -> Meter:
        """Return what reads the figures of this home, for exporters (`walrus_sdk.watch.exporters`)."""
        return Meter(self._sight.journal, self._sight.eyes)


async def _monitor(sight: Sight, options: AlertOptions, tellers: Sequence[Teller], until: DeploymentId | None) -> None:
    """Watch until it is cancelled, or until nobody works on the deployment `until` any more.

    Raises `ConfigurationError` ``setting_invalid`` for a rule or a webhook, before anything is looked at.
    """
    rules = rules_of(sight.settings, options)
    blind = [rule.name for rule in rules if rule.needs_wallet and not options.wallet]
    if blind:
        text = f"alerts.{blind[0]}: nobody asks for the balance: --wallet (AlertOptions.wallet) does"
        raise ConfigurationError("setting_invalid", text, key=f"alerts.{blind[0]}")
    watching = Monitor(
        sight.journal,
        rules,
        sight.eyes,
        clock=sight.clock,
        sleep=sight.sleep,
        tellers=tellers,
        webhooks=webhooks_of(sight.settings, options),
        post=sight.post,
        wallet=sight.ask_wallet if options.wallet else None,
        every_s=options.every_s,
    )

    def is_over(view: View) -> bool:
        return until is not None and not any(run.is_live for run in view.runs if run.deployment == str(until))

    await watching.run(until=is_over)


def rules_of(settings: Settings, options: AlertOptions) -> tuple[Rule, ...]:
    """Return the rules that are meant. Raises `ConfigurationError` ``setting_invalid``."""
    if options.rules is not None:
        return parse(options.rules, wallet=options.wallet)
    path = settings.project.path
    where = f"{path}: alerts" if path is not None else "alerts"
    return parse(settings.project.alerts, wallet=options.wallet, where=where)


def webhooks_of(settings: Settings, options: AlertOptions) -> tuple[Webhook, ...]:
    """Return the webhooks that are meant. Raises `ConfigurationError` ``setting_invalid`` or ``insecure_url``."""
    given = options.webhooks if options.webhooks is not None else settings.project.webhooks
    origins = options.webhook_origins if options.webhook_origins is not None else settings.webhook_origins
    key = options.webhook_key
    if key is None and settings.webhook_key is not None:
        key = settings.webhook_key.reveal()
    return tuple(checked_webhook(name, url, key, origins) for name, url in given.items())


async def _alerts(journal: Journal, deployment: DeploymentId | None, *, all_of_them: bool) -> Sequence[Alert]:
    """Return the alerts that fire, or all there have been; of one deployment, where it is named."""
    rows = await journal.rows("alerts")
    which = None if deployment is None else str(deployment)
    if not all_of_them:
        return firing(rows, which)
    return [alert for alert in alerts(rows) if which is None or alert.deployment == which]


async def _run(journal: Journal, deployment: DeploymentId) -> Run:
    """Return what a deployment's events tell. Raises `ConfigurationError` ``deployment_not_found``."""
    if not await journal.rows("deployments", {"id": str(deployment)}, columns=("id",)):
        raise ConfigurationError("deployment_not_found", f"this home has no deployment {deployment}")
    return fold(str(deployment), await journal.events(deployment))


async def _performance(sight: Sight, deployment: DeploymentId) -> Performance:
    """Return the figures of a deployment. Raises ``deployment_not_found``."""
    is_live = sight.is_live(deployment)  # before the reading: its owner's last words are then among what is read
    run = await _run(sight.journal, deployment)
    shown = performance(run, await sight.tail.samples(deployment))
    is_left = not is_live and shown.status in _LIVE
    return replace(shown, status="interrupted") if is_left else shown


async def _trace(journal: Journal, deployment: DeploymentId, tracer_provider: Any) -> int:
    """Hand a deployment to OpenTelemetry; returns the number of spans. Raises ``deployment_not_found``."""
    run = await _run(journal, deployment)
    (row,) = await journal.rows("deployments", {"id": str(deployment)}, columns=("network", "verb"))
    return otel.record_spans(run, row["network"] or "", row["verb"] or "", tracer_provider)


async def _costs(journal: Journal, deployment: DeploymentId) -> Sequence[FileCost]:
    """Return what each file of a deployment cost and saved. Raises ``deployment_not_found``."""
    run = await _run(journal, deployment)
    (row,) = await journal.rows("deployments", {"id": str(deployment)})
    plan = await plan_in(journal, row)
    paid: dict[str, int] = {}
    for one in run.tries:
        if one.kind == "store":
            paid[one.operation] = paid.get(one.operation, 0) + one.paid
    chain = {"chain": row["chain"]}
    stored = await journal.rows("operations", {**chain, "kind": "store", "state": "done"}, columns=("name", "outcome"))
    blobs = {item["name"]: int(json.loads(item["outcome"]).get("cost_frost", 0)) for item in stored if item["outcome"]}
    patches = await journal.rows("patches", chain, columns=("sha256", "blob_id", "size"))
    return file_costs(plan, paid, costs_once(patches, blobs))
