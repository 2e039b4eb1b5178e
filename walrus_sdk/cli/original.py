"""``deploy-site``: the command of the original design. Each of its flags is another command, or a verb, of this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from walrus_sdk.cli import pages, recovering, watching
from walrus_sdk.cli.calls import Call, Program, command
from walrus_sdk.cli.deploying import deploy
from walrus_sdk.cli.looking import list_deployments, status
from walrus_sdk.cli.options import NETWORK
from walrus_sdk.errors import ConfigurationError

__all__ = ["deploy_site"]

_COMMANDS: Mapping[str, click.Command] = {
    "deploy": deploy,
    "list_deployments": list_deployments,
    "resume": recovering.resume,
    "status": status,
    "cancel": recovering.cancel,
    "cleanup_old": recovering.cleanup,
    "monitor": watching.monitor,
}
"""The command that a flag stands for."""
_ACTIONS = ("list_deployments", "resume", "status", "rollback", "cancel", "cleanup_old", "monitor")
_GO_TOGETHER = (["status", "monitor"],)


@command(
    "deploy-site",
    click.argument("folder", metavar="[DIR]", required=False, type=click.Path()),
    click.option("--site-name", metavar="NAME", help="Site's name, as of deploy."),
    NETWORK[0],
    click.option("--list-deployments", is_flag=True, help="As `list`."),
    click.option("--resume", metavar="ID", help="As `resume ID`; DIR is where the files are now, if they moved."),
    click.option("--deployment-status", "--status", "status", metavar="ID", help="As `status ID`."),
    click.option("--rollback", metavar="ID", help="Roll the site of deployment ID back to the version before it."),
    click.option("--cancel", metavar="ID", help="As `cancel ID`."),
    click.option("--cleanup-old", type=click.FloatRange(0), metavar="DAYS",
                 help="As `cleanup --older-than DAYSd --yes`."),
    click.option("--progress", is_flag=True, help="Progress as plain lines, on a terminal too."),
    click.option("--monitor", is_flag=True,
                 help="As `monitor`: watch a deployment (that of --status, else the newest that runs) until it ends."),
)  # fmt: skip
def deploy_site(call: Call, folder: str | None, site_name: str | None, progress: bool, **given: Any) -> int | None:
    """Publish DIR as a Walrus Site, or do what a flag says instead.

    The command of the original design: without a flag it is `deploy DIR`, and DIR may come from walrus-sdk.toml. The
    flags --list-deployments, --resume, --status, --rollback, --cancel, --cleanup-old and --monitor each say what to do
    instead; one at a time, only --monitor goes with --status.
    """
    asked = [name for name in _ACTIONS if given[name] is not None and given[name] is not False]
    if (
        (len(asked) > 1 and asked not in _GO_TOGETHER)
        or (asked and site_name)
        or (folder and asked not in ([], ["resume"]))
    ):
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in asked)
        raise ConfigurationError("option_invalid", f"{flags}: one thing at a time; see `deploy-site --help`")
    call.output.plain_progress = progress
    if asked == ["rollback"]:
        _rollback(call, given["rollback"])
        return None
    verb = asked[-1] if asked else "deploy"  # `--status ID --monitor` watches
    return _forward(call, verb, _words(verb, folder, site_name, given))


def _words(verb: str, folder: str | None, site_name: str | None, given: Mapping[str, Any]) -> Sequence[str]:
    """Return the words of the command that a flag stands for."""
    if verb == "deploy":
        return [*_option("--site-name", site_name), "--", *([folder] if folder else [])]
    if verb == "list_deployments":
        return []
    if verb == "cleanup_old":
        return ["--older-than", f"{given[verb]:f}d", "--yes"]
    if verb == "monitor":
        return ["--", *([given["status"]] if given["status"] else [])]
    return [*_option("--folder", folder), "--", given[verb]]


def _option(name: str, value: str | None) -> Sequence[str]:
    return [] if value is None else [name, value]


def _forward(call: Call, verb: str, words: Sequence[str]) -> int | None:
    """Run another command in the place of this one, with what all commands share."""
    network = [] if verb in ("status", "monitor") else _option("--network", call.where.get("network"))
    common = [*network, "--home", str(call.home)]
    common += [flag for flag, on in (("--json", call.output.as_json), ("--verbose", call.output.verbose)) if on]
    program = Program(call.outside, call.output)
    code = _COMMANDS[verb].main([*common, *words], prog_name="walrus-sdk", standalone_mode=False, obj=program)
    return code if isinstance(code, int) else None


def _rollback(call: Call, deployment: str) -> None:
    from walrus_sdk.service.original import rollback_deployment

    call.output.report_to(call.settings)
    result = call.run(lambda session, listen: rollback_deployment(session, deployment, progress=listen))
    page = pages.result_page(result, None)
    call.output.result(result.to_json(), page, f"{result.site_name}: version {result.version}")
