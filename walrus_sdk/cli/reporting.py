"""``report``: one deployment as a page and as a trace. The logic is in `walrus_sdk.frames`."""

from __future__ import annotations

import click

from walrus_sdk.cli.calls import Call, command
from walrus_sdk.errors import ConfigurationError

__all__ = ["report"]

_PAGE = "report.html"


@command(
    "report",
    click.argument("deployment", metavar="ID"),
    click.option(
        "--html",
        metavar="FILE",
        type=click.Path(dir_okay=False),
        is_flag=False,
        flag_value=_PAGE,
        help=f"Write a page in one file; without FILE as {_PAGE}.",
    ),
    click.option(
        "--trace", metavar="FILE", type=click.Path(dir_okay=False), help="Write a Chrome trace (Perfetto reads it)."
    ),
)
def report(call: Call, deployment: str, html: str | None, trace: str | None) -> None:
    """Tell one deployment: timeline, phases, slowest files, errors, cost. Needs no network, and the extra `frames`.

    It may be under way. FILE is written anew; only its owner may read it.
    """
    if html is None and trace is None:
        raise ConfigurationError("option_invalid", "say what to write: --html FILE, --trace FILE or both")
    from walrus_sdk.frames.report import report as read

    found = read(deployment, home=call.home)
    written = {}
    if html is not None:
        written["html"] = str(found.write_html(html))
    if trace is not None:
        written["trace"] = str(found.write_trace(trace))
    page = [("deployment", deployment), *(("page" if kind == "html" else kind, path) for kind, path in written.items())]
    call.output.result({"deployment_id": deployment, **written}, page)
