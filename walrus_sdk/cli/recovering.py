"""The recovery verbs: ``resume``, ``cancel``, ``rollback``, ``cleanup``, versions and locks."""

from __future__ import annotations

from typing import Any

import click

from walrus_sdk.cli import kinds, pages
from walrus_sdk.cli.calls import Call, command
from walrus_sdk.cli.options import CARRY_OUT, NETWORK, carry_out_options

__all__ = ["COMMANDS"]

_SITE = click.argument("site")
_REASON = click.option("--reason", default="", metavar="TEXT", help="Why; kept with it.")
_YES = click.option("--yes", is_flag=True, help="Do it; without it, what would be done is shown only.")


@command(
    "resume",
    click.argument("deployment", metavar="[ID]", required=False),
    click.option("--folder", metavar="FOLDER", help="Where the site's files are now, when they were moved."),
    click.option("--from-checkpoint", "checkpoint", metavar="FILE",
                 help="Go on from this checkpoint file, with a deployment that this home does not know."),
    click.option("--replan", is_flag=True, help="When files have changed since the plan, deploy them anew."),
    click.option("--take-over", is_flag=True,
                 help="When another process works on it, ask it to stop, and fence it off when it does not answer."),
    *CARRY_OUT,
    *NETWORK,
)  # fmt: skip
def resume(
    call: Call,
    deployment: str | None,
    folder: str | None,
    checkpoint: str | None,
    replan: bool,
    take_over: bool,
    **given: Any,
) -> None:
    """Go on with deployment ID where it stopped (default: the newest that can go on).

    Everything that was begun is looked up by name first; what is recorded and found is not paid again. A deployment
    that is complete shows its result, and nothing is sent.
    """
    options = carry_out_options(given)
    call.output.report_to(call.settings)
    result = call.run(
        lambda session, listen: session.resume(
            deployment,
            options,
            folder=folder,
            checkpoint=checkpoint,
            replan=replan,
            take_over=take_over,
            progress=listen,
        )
    )
    page = pages.result_page(result, None)
    call.output.result(result.to_json(), page, f"{result.site_name}: version {result.version}")


@command("cancel", click.argument("deployment", metavar="ID"), _REASON, *NETWORK)
def cancel(call: Call, deployment: str, reason: str) -> None:
    """Cancel deployment ID, whoever works on it; what is stored is kept for the next deploy.

    Nothing new begins, paid stores under way get their time of grace. When all of it was on chain before the request
    could be heard, it is complete instead, and the result says so.
    """
    result = call.run(lambda session, listen: session.cancel(deployment, reason=reason, progress=listen))
    status = "cancelled" if result is None else "completed"
    fields = {"deployment_id": deployment, "status": status}
    call.output.result(fields if result is None else {**result.to_json(), **fields}, pages.facts(fields))


@command("pause", click.argument("deployment", metavar="[ID]", required=False), _REASON, *NETWORK)
def pause(call: Call, deployment: str | None, reason: str) -> None:
    """Let deployment ID begin nothing new until `walrus-sdk continue`, whoever works on it.

    What is under way comes to its end. Without an ID it is the one that is running. A pause ends with the process that
    works on the deployment: `resume`, or the same deploy, goes on.
    """
    item = call.run(lambda session, _: session.pause(deployment, reason=reason))
    call.output.result(item.to_json(), pages.summary_page(item))


@command("continue", click.argument("deployment", metavar="[ID]", required=False), *NETWORK)
def continue_(call: Call, deployment: str | None) -> None:
    """Let deployment ID go on after a pause. Without an ID it is the one that is paused."""
    item = call.run(lambda session, _: session.unpause(deployment))
    call.output.result(item.to_json(), pages.summary_page(item))


@command(
    "rollback",
    _SITE,
    click.option("--to", type=int, metavar="VERSION", help="The version to bring back (default: the one before)."),
    _REASON,
    click.option("--dry-run", is_flag=True, help="Show what would change; nothing is spent."),
    click.option("--no-lock", is_flag=True, help="Let later deploys change the site; else they stop until `unlock`."),
    click.option("--from", "source", metavar="FOLDER", help="Where files are whose storage has lapsed."),
    *CARRY_OUT,
    *NETWORK,
)
def rollback(
    call: Call, site: str, to: int | None, reason: str, dry_run: bool, no_lock: bool, source: str | None, **given: Any
) -> None:
    """Bring an earlier version of SITE back, as a deployment of its own; nothing is uploaded while its blobs live.

    The site is locked then: later deploys stop with exit code 3 and the reason, until `walrus-sdk unlock SITE`.
    """
    options = carry_out_options(given)
    if dry_run:
        plan = call.run(lambda session, _: session.plan_rollback(site, options, to=to, lock=not no_lock, source=source))
        call.output.result(plan.to_json(), pages.plan_page(plan, None), f"Rollback of {plan.target.name}")
        return
    call.output.report_to(call.settings)
    result = call.run(
        lambda session, listen: session.rollback(
            site, options, to=to, reason=reason, lock=not no_lock, source=source, progress=listen
        )
    )
    page = pages.result_page(result, None)
    call.output.result(result.to_json(), page, f"{result.site_name}: version {result.version}")


@command("versions", _SITE, *NETWORK)
def versions(call: Call, site: str) -> None:
    """List the versions of SITE that this home knows, newest first."""
    found = call.run(lambda session, _: session.versions(site))
    call.output.rows((item.to_json() for item in found), pages.VERSIONS, pages.versions(found))


@command("diff", click.argument("old"), click.argument("new"), *NETWORK)
def diff(call: Call, old: str, new: str) -> None:
    """Show what differs from OLD to NEW.

    Each is SITE@NUMBER, a SITE as it is on chain, or a folder (./out, or just out where no site has that name).
    """
    found = call.run(lambda session, _: session.diff(old, new))
    call.output.result(found.to_json(), pages.diff_page(found))


@command("download", click.argument("version"), click.argument("folder", type=click.Path()), *NETWORK)
def download(call: Call, version: str, folder: str) -> None:
    """Write the files of VERSION (SITE@NUMBER, or a SITE as it is on chain) into FOLDER, each verified.

    Files that are there with the right content stay; those with other content stop it.
    """
    found = call.run(lambda session, listen: session.download(version, folder, progress=listen))
    call.output.result(found.to_json(), pages.facts(found.to_json()))


@command("pin", click.argument("version"), click.option("--off", is_flag=True, help="No longer."), *NETWORK)
def pin(call: Call, version: str, off: bool) -> None:
    """Keep VERSION (SITE@NUMBER) whatever cleanup does."""
    call.run(lambda session, _: session.pin(version, pinned=not off))
    fields = {"version": version, "pinned": not off}
    call.output.result(fields, pages.facts(fields))


@command("lock", _SITE, _REASON, *NETWORK)
def lock(call: Call, site: str, reason: str) -> None:
    """Let later deploys of SITE stop with exit code 3, until `walrus-sdk unlock SITE`."""
    fields = call.run(lambda session, _: session.lock(site, reason=reason)).to_json()
    call.output.result(fields, pages.facts(fields))


@command("unlock", _SITE, *NETWORK)
def unlock(call: Call, site: str) -> None:
    """Let SITE be deployed again."""
    found = call.run(lambda session, _: session.unlock(site))
    fields = {"site": site, "was_locked": found is not None, "reason": found.reason if found is not None else None}
    call.output.result(fields, pages.facts(fields))


@command(
    "cleanup",
    click.option("--older-than", type=kinds.DURATION, default="7d", show_default=True, metavar="TIME",
                 help="Forget the history of deployments that ended so long ago."),
    click.option("--keep-last", type=click.IntRange(1), default=3, show_default=True, metavar="N",
                 help="Versions of each site that stay, beside pinned ones."),
    click.option("--deployment", metavar="ID", help="Only what this deployment stored; histories and versions stay."),
    _YES,
    *CARRY_OUT,
    *NETWORK,
)  # fmt: skip
def cleanup(call: Call, older_than: float, keep_last: int, deployment: str | None, yes: bool, **given: Any) -> None:
    """Show what nothing refers to any more; with --yes, clean it up.

    Histories of old deployments and versions beyond those that are kept are forgotten, deletable blobs are deleted,
    permanent ones are listed with the Walrus epoch in which they end.
    """
    options = carry_out_options(given)
    found = call.run(
        lambda session, listen: session.cleanup(
            options,
            older_than_days=older_than / 86_400,
            keep_last=keep_last,
            only=deployment,
            dry_run=not yes,
            progress=listen,
        )
    )
    call.output.result(found.to_json(), pages.cleanup_page(found))


COMMANDS = (resume, cancel, pause, continue_, rollback, versions, diff, download, pin, lock, unlock, cleanup)
