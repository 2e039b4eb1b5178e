"""``list``, ``status``, ``verify`` and ``open``: what reads and changes nothing."""

from __future__ import annotations

import click

from walrus_sdk.cli import pages
from walrus_sdk.cli.calls import Call, command
from walrus_sdk.cli.options import NETWORK, verify_kind
from walrus_sdk.model.options import Verify

__all__ = ["list_deployments", "open_site", "status", "verify"]

_SITE = click.argument("site")
_ONLY = click.option("--network", "only", metavar="NAME", help="Only deployments on this network.")


@command("list", _ONLY)
def list_deployments(call: Call, only: str | None) -> None:
    """List the deployments of this home, newest first. Needs no network."""
    found = call.run(lambda session, _: session.list())
    shown = [item for item in found if only in (None, item.network)]
    call.output.rows((item.to_json() for item in shown), pages.DEPLOYMENTS, pages.deployments(shown))


@command("status", click.argument("deployment", metavar="ID"))
def status(call: Call, deployment: str) -> None:
    """Show one deployment; with --json, everything that is recorded of it. Needs no network."""
    report = call.run(lambda session, _: session.status(deployment))
    call.output.result(report.to_json(), pages.report_page(report))


@command(
    "verify",
    _SITE,
    click.option("--how", type=verify_kind, default=Verify.ALL.value, show_default=True, help="How much is read."),
    *NETWORK,
)
def verify(call: Call, site: str, how: str) -> None:
    """Read SITE as visitors get it and compare each file with the hash on chain.

    SITE is an object id, a base36 address or a name.
    """
    call.output.report_to(call.settings)
    report = call.run(lambda session, listen: session.verify(site, Verify(how), progress=listen))
    call.output.result(report.to_json(), pages.verify_page(report), f"{report.site_name} is served as it is on chain")


@command(
    "open",
    _SITE,
    click.option("--no-browser", is_flag=True, help="Only show the address; so does no terminal."),
    *NETWORK,
)
def open_site(call: Call, site: str, no_browser: bool) -> None:
    """Show the address of SITE and open it in a browser.

    SITE is an object id, a base36 address or a name. A browser is opened for a person at a terminal only.
    """
    url = call.run(lambda session, _: session.url(site))
    opened = call.may_ask and not no_browser and call.outside.browse(url)
    call.output.result({"site": site, "url": url, "opened": opened}, [("address", url)])
