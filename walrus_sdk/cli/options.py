"""Options that several commands share, and from their values to the service's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from walrus_sdk.cli import kinds
from walrus_sdk.model.options import DeployOptions, Limits, RecoveryOptions, Verify
from walrus_sdk.model.units import Frost
from walrus_sdk.settings import NETWORKS

__all__ = ["CARRY_OUT", "COMMON", "DEPLOY", "NETWORK", "SHARDS", "carry_out_options", "deploy_options", "verify_kind"]

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]

_LIMITS_OF = Limits()
_RECOVERY = RecoveryOptions()

COMMON: Sequence[Decorator[Any]] = (
    click.option("--json", "as_json", is_flag=True, help="One JSON object a line on the standard output."),
    click.option("--home", metavar="FOLDER",
                 help="State folder (default: WALRUS_DEPLOYMENT_HOME, else ~/.walrus-deployment)."),
    click.option("--verbose", is_flag=True, help="Log to the terminal; show the traceback of a bug (VERBOSE=true)."),
)  # fmt: skip

NETWORK: Sequence[Decorator[Any]] = (
    click.option(
        "--network",
        metavar="NAME",
        help=f"{', '.join(NETWORKS)} (default: the project file's, else local, which is started when needed).",
    ),
    click.option("--publisher", multiple=True, metavar="URL", help="Publisher to store with; several: side by side."),
    click.option("--aggregator", multiple=True, metavar="URL", help="Aggregator to read from; several: in order."),
    click.option("--graphql", multiple=True, metavar="URL", help="Sui node (GraphQL); several as above."),
    click.option("--portal", metavar="URL", help="Portal's address, {base36} stands for the site."),
)  # fmt: skip

SHARDS: Decorator[Any] = click.option(
    "--shards", type=click.IntRange(1, 65535), default=1000, show_default=True, help="Shards of the network."
)

verify_kind = click.Choice([kind.value for kind in Verify])

_WHAT: Sequence[Decorator[Any]] = (
    click.option("--site-name", metavar="NAME", help="Site's name (default: ws-resources.json, project file, folder)."),
    click.option("--object-id", type=kinds.OBJECT_ID, metavar="ID", help="The site to update, whatever its name."),
    click.option("--epochs", type=int, metavar="N", help="Walrus epochs that new storage is paid for (default 5)."),
    click.option("--message", default="", metavar="TEXT", help="What this version is about; kept with it."),
    click.option("--tag", "tags", multiple=True, metavar="TEXT", help="A tag that is kept with this version."),
    click.option("--keep-old", "keep_old_s", type=kinds.DURATION, default="0s", metavar="TIME",
                 help="Leave replaced assets with a hash in their name on the site for 7d, …; never HTML."),
    click.option("--rollback-on-bad-verify", is_flag=True,
                 help="Go back to the last version when the new one is proven to serve wrong bytes."),
    click.option("--ws-resources", metavar="FILE", help="Rules to use instead of FOLDER/ws-resources.json."),
    click.option("--ignore", multiple=True, metavar="GLOB", help="Site paths to leave out, e.g. '/drafts/*'."),
    click.option("--allow-file", "allow_files", multiple=True, metavar="PATH",
                 help="Publish this file although it looks like a secret; from the folder."),
    click.option("--write-object-id", is_flag=True, help="Write the site's id into ws-resources.json at the end."),
    click.option("--deletable", is_flag=True,
                 help="Store blobs that can be deleted again. Costs safety: a deletable blob is not recognised when it "
                      "is stored again, so a store whose answer was lost is paid twice, and whoever has the key can "
                      "delete what the site serves."),
    click.option("--fresh", is_flag=True, help="Go on with no unfinished deployment, use nothing that is stored: "
                 "deletable blobs are paid again."),
    click.option("--repack", is_flag=True,
                 help="Store pages anew whose old quilts hold mostly what no page uses; a plan says when it pays."),
)  # fmt: skip

CARRY_OUT: Sequence[Decorator[Any]] = (
    click.option("--max-cost", type=kinds.WAL, metavar="WAL",
                 help="Most that storage may cost: WAL as 0.5, or FROST as 500000frost; else nothing is spent."),
    click.option("--verify", type=verify_kind, default=Verify.AUTO.value, show_default=True,
                 help="What is read back: auto is all up to 200 files, else each new store, all HTML, a sample."),
    click.option("--concurrency", type=int, metavar="N",
                 help=f"Most store requests in flight (default {_LIMITS_OF.requests}); how many is found out."),
    click.option("--max-bodies", type=int, metavar="N",
                 help=f"Most bodies being sent to one publisher (default {_LIMITS_OF.bodies})."),
    click.option("--max-memory", type=kinds.SIZE, metavar="SIZE",
                 help=f"Content held while it is encoded (default {_LIMITS_OF.memory // 2**20}MiB)."),
    click.option("--max-bandwidth", type=kinds.SIZE, metavar="RATE",
                 help="Most bytes sent a second, all stores together: 500K, 50M (of 1024), or bytes; bytes, not bits."),
    click.option("--deadline", "deadline_s", type=kinds.DURATION, metavar="TIME",
                 help="Stop after 30m, 90s, …; the same command goes on later."),
    click.option("--settle-time", "settle_s", type=kinds.DURATION, metavar="TIME",
                 help="How long a store whose answer was lost may still complete (default 2m, local 5s)."),
    click.option("--max-retries", type=int, default=_RECOVERY.max_retries, show_default=True, metavar="N",
                 help="Further tries of one operation."),
    click.option("--retry-delay", "retry_delay_s", type=kinds.DURATION, default="5s", show_default=True, metavar="TIME",
                 help="Pause before the first further try; it doubles, with chance."),
    click.option("--timeout", "timeout_s", type=kinds.DURATION, default="5m", show_default=True, metavar="TIME",
                  help="Longest try of one operation, plus a second a MiB."),
    click.option("--max-recoveries", type=int, default=_RECOVERY.max_recoveries, show_default=True, metavar="N",
                 help="How often a deployment is taken up again before it is given up."),
    click.option("--cleanup-on-failure/--no-cleanup-on-failure", default=True, show_default=True,
                 help="Remove the checkpoints of a deployment that failed for good."),
    click.option("--preserve-partial-uploads/--no-preserve-partial-uploads", default=True, show_default=True,
                 help="Cleanup spares what a failed deployment stored, while it can go on."),
    click.option("--enable-rollback/--no-enable-rollback", default=True, show_default=True,
                 help="Whether a site may be rolled back."),
    click.option("--gas-budget", type=kinds.SUI, metavar="SUI",
                 help="Gas budget of each transaction: SUI as 0.5, or MIST as 500000mist (default: by simulation)."),
)  # fmt: skip
"""How a plan is carried out, for all verbs that change a site."""

_LIMITS: Sequence[Decorator[Any]] = (
    click.option("--max-delete", type=kinds.SHARE, default="50%", show_default=True, metavar="SHARE",
                 help="Most of the site's pages that may go: 0.5 or 50%."),
    click.option("--max-quilt-size", type=kinds.SIZE, metavar="SIZE", help="Largest quilt: 10MiB, 500kB, or bytes."),
    click.option("--max-quilt-files", type=int, metavar="N", help="Most files in one quilt."),
    click.option("--wal-price", type=kinds.PRICE, metavar="USD", help="USD for one WAL, to show the cost in USD."),
    click.option("--sui-price", type=kinds.PRICE, metavar="USD", help="USD for one SUI, to show the cost in USD."),
)  # fmt: skip

DEPLOY: Sequence[Decorator[Any]] = (*_WHAT, *_LIMITS, *CARRY_OUT)
"""Everything that `DeployOptions` holds, for `deploy` and `plan`."""


def carry_out_options(given: Mapping[str, Any]) -> DeployOptions:
    """Return the options of `CARRY_OUT`. Raises `ConfigurationError` ``option_invalid``."""
    return _options(given)


def deploy_options(given: Mapping[str, Any]) -> DeployOptions:
    """Return the options of a deployment from those of the command line; a ws-resources file is from where one stands.

    Raises `ConfigurationError` ``option_invalid``.
    """
    rules = given["ws_resources"]
    return _options({**given, "ws_resources": str(Path(rules).expanduser().absolute()) if rules else None})


def _options(given: Mapping[str, Any]) -> DeployOptions:
    recovery = {field.name: given[field.name] for field in fields(RecoveryOptions) if field.name in given}
    chosen = {field.name: given[field.name] for field in fields(DeployOptions) if field.name in given}
    limit = chosen.get("max_cost")
    assert limit is None or isinstance(limit, Frost)
    chosen["verify"] = Verify(chosen["verify"])
    return DeployOptions(**chosen, recovery=RecoveryOptions(**recovery))
