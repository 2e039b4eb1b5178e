"""``deploy`` and ``plan``."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from walrus_sdk.cli import exits, pages
from walrus_sdk.cli.calls import Call, command
from walrus_sdk.cli.options import DEPLOY, NETWORK, deploy_options
from walrus_sdk.errors import ConfigurationError
from walrus_sdk.model.options import DeployOptions, DeployResult
from walrus_sdk.model.plan import Cost, Packing, Plan

if TYPE_CHECKING:
    from walrus_sdk.service.session import Listener, Session

__all__ = ["deploy", "plan"]

_FOLDER = click.argument("folder", required=False, type=click.Path())
_YES = click.option("--yes", is_flag=True, help="Do not ask before spending on a real network.")
_FAIL_ON_CHANGE = click.option(
    "--fail-on-change", is_flag=True, help="End with exit code 4 when the deployment would change something."
)


@command("deploy", _FOLDER, _YES, *DEPLOY, *NETWORK)
def deploy(call: Call, folder: str | None, yes: bool, **given: Any) -> None:
    """Publish FOLDER as a Walrus Site.

    The same command after an interruption goes on where it stopped, and pays for nothing twice that is recorded.
    FOLDER is the built site (default: `folder` in walrus-sdk.toml). On testnet and mainnet a person at a terminal is
    asked before anything is spent; with --yes, with --json, with CI=true and without a terminal nobody is asked, and
    --max-cost and --max-delete are the limits.
    """
    place, options = _place(call, folder), deploy_options(given)
    call.output.report_to(call.settings)
    if call.network == "local" or yes or not call.may_ask:
        result = call.run(lambda session, listen: session.deploy(place, options, progress=listen))
    else:
        result = _asked(call, place, options)
    dollars = _dollars(result.cost, given)
    title = f"{result.site_name}: version {result.version}"
    call.output.result({**result.to_json(), **dollars.fields}, pages.result_page(result, dollars.amount), title)


_PACKINGS = click.option("--packings", is_flag=True, help="Show other ways to pack the files, and what each costs.")


@command("plan", _FOLDER, _FAIL_ON_CHANGE, _PACKINGS, *DEPLOY, *NETWORK)
def plan(call: Call, folder: str | None, fail_on_change: bool, packings: bool, **given: Any) -> int:
    """Show what deploying FOLDER would store, change and cost; nothing is spent.

    Takes the options of deploy. Ends with exit code 4 with --fail-on-change when there is something to do.
    """
    place, options = _place(call, folder), deploy_options(given)
    call.output.report_to(call.settings)

    async def prepare(session: Session, listen: Listener) -> tuple[Plan, list[Packing]]:
        made = await session.plan(place, options, progress=listen)
        return made, await session.packings(made, options) if packings else []

    found, ways = call.run(prepare)
    dollars = _dollars(found.cost, given)
    page = [*pages.plan_page(found, dollars.amount), *pages.packings(ways)]
    more = {"packings": [way.to_json() for way in ways]} if packings else {}
    call.output.result({**found.to_json(), **dollars.fields, **more}, page, f"Plan for {found.target.name}")
    return exits.CHANGES if fail_on_change and not found.nothing_to_do else exits.DONE


class _Dollars:
    """A cost in USD, for programs and for people; nothing when no price is given."""

    def __init__(self, amount: Decimal | None) -> None:
        self.amount = amount
        self.fields = {} if amount is None else {"cost_usd": f"{amount:f}"}


def _dollars(cost: Cost, given: Mapping[str, Any]) -> _Dollars:
    return _Dollars(cost.usd(given["wal_price"], given["sui_price"]))


def _place(call: Call, folder: str | None) -> Path:
    """Return the folder that is meant. Raises `ConfigurationError` ``option_invalid`` when none is named."""
    project = call.settings.project
    if folder is not None:
        return Path(folder).expanduser().absolute()
    if project.folder is None or project.path is None:
        text = "name the FOLDER to publish, or write `folder` into walrus-sdk.toml"
        raise ConfigurationError("option_invalid", text, option="folder")
    return project.path.parent / Path(project.folder).expanduser()


def _asked(call: Call, place: Path, options: DeployOptions) -> DeployResult:
    """Plan, ask, and carry the plan out; nobody is asked when nothing is spent or an unfinished deployment goes on.

    Asking stands between two sessions, so that no connection waits for an answer and Ctrl-C ends the question.
    Raises `ConfigurationError` ``confirmation_needed`` when the answer is no.
    """

    async def prepare(session: Session, listen: Listener) -> tuple[Plan, bool]:
        found = await session.plan(place, options, progress=listen)
        return found, not options.fresh and await _goes_on(session, found)

    found, goes_on = call.run(prepare)
    if goes_on:
        return call.run(lambda session, listen: session.deploy(place, options, progress=listen))
    if not found.nothing_to_do:
        call.output.page(pages.plan_page(found, found.cost.usd(options.wal_price, options.sui_price)))
        if not call.ask(pages.question(found)):
            raise ConfigurationError("confirmation_needed", "nothing was deployed: the answer was no")
    return call.run(lambda session, listen: session.apply(found, options, progress=listen))


async def _goes_on(session: Session, found: Plan) -> bool:
    """Return whether the plan's request is that of an unfinished deployment: it was said yes to already."""
    for item in await session.list():
        if item.resumable and item.network == found.network and item.site_name == found.target.name:
            stored = (await session.status(item.deployment_id)).details.get("plan") or {}
            if stored.get("request_digest") == found.request_digest:
                return True
    return False
