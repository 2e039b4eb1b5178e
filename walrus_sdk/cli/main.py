"""The program: all commands, and the one place where an error becomes words and an exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

import click

from walrus_sdk.cli import caring, exits, metrics, recovering, watching
from walrus_sdk.cli.calls import Program, group
from walrus_sdk.cli.deploying import deploy, plan
from walrus_sdk.cli.local_network import localnet
from walrus_sdk.cli.looking import list_deployments, open_site, status, verify
from walrus_sdk.cli.original import deploy_site
from walrus_sdk.cli.output import Output
from walrus_sdk.cli.outside import Outside
from walrus_sdk.cli.reporting import report
from walrus_sdk.cli.tools import blob_id, completion, quilt
from walrus_sdk.errors import ConfigurationError, DeploymentStopped, WalrusError

__all__ = ["main", "run"]

NAME = "walrus-sdk"

main = click.version_option(package_name=NAME, prog_name=NAME, message="%(prog)s %(version)s")(
    group(
        NAME,
        "Publish static sites to Walrus and Sui: built so that deployments are not lost, repeated or half-finished.",
        deploy, plan, list_deployments, status, report, verify, open_site, *recovering.COMMANDS, *caring.COMMANDS,
        *watching.COMMANDS, *metrics.COMMANDS, deploy_site,
        blob_id, quilt, localnet, completion,
    )
)  # fmt: skip


def run(args: Sequence[str] | None = None, outside: Outside | None = None) -> int:
    """Run a command line (default: that of the process) and return its exit code."""
    given = list(sys.argv[1:] if args is None else args)
    surroundings = outside or Outside()
    options = given[: given.index("--")] if "--" in given else given
    output = Output(surroundings, as_json="--json" in options, verbose="--verbose" in options)
    try:
        code = main.main(given, prog_name=NAME, standalone_mode=False, obj=Program(surroundings, output))
        return code if isinstance(code, int) else exits.DONE
    except (Exception, KeyboardInterrupt) as problem:
        error = as_error(problem)
        output.error(error)
        return exits.exit_code(error)
    finally:
        output.close()


def as_error(problem: BaseException) -> WalrusError:
    """Return anything that ended a command as an error of the tree."""
    if isinstance(problem, WalrusError):
        return problem
    if isinstance(problem, click.Abort | KeyboardInterrupt):
        return DeploymentStopped("interrupted", "stopped by SIGINT", signal=int(signal.SIGINT))
    if isinstance(problem, click.ClickException):
        context = getattr(problem, "ctx", None)
        hint = f"{context.command_path} --help" if context is not None else f"{NAME} --help"
        return ConfigurationError("option_invalid", f"{problem.format_message()} (see `{hint}`)")
    error = WalrusError("internal", f"{type(problem).__name__}: {problem}")
    error.__cause__ = problem
    return error
