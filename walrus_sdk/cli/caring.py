"""``doctor``, ``adopt``, ``backup``, ``restore``, ``drill``."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import click

from walrus_sdk.cli import exits, pages
from walrus_sdk.cli.calls import Call, command
from walrus_sdk.cli.options import NETWORK
from walrus_sdk.errors import ConfigurationError, ValidationError

__all__ = ["COMMANDS"]


@command(
    "doctor",
    click.argument("action", required=False, type=click.Choice(["export"])),
    click.argument("file", required=False, type=click.Path()),
    click.option(
        "--repair", is_flag=True, help="Mend what is provable: modes of files, effects to look up, destroyed sites."
    ),
    *NETWORK,
)
def doctor(call: Call, action: str | None, file: str | None, repair: bool) -> int:
    """Examine the state, the environment, the network, the key, the sites and what did not come to its end.

    `walrus-sdk doctor export FILE` writes the whole journal as plain JSON instead, without signed bytes. Ends with exit
    code 1 when something is bad and was not mended.
    """
    if action == "export":
        return _export(call, file)
    found = call.run(lambda session, _: session.doctor(repair=repair))
    call.output.result(found.to_json(), pages.examination_page(found))
    return exits.DONE if found.healthy else exits.FAILED


def _export(call: Call, file: str | None) -> int:
    if file is None:
        raise ConfigurationError(
            "option_invalid", "name the FILE to write: walrus-sdk doctor export FILE", option="file"
        )
    tables = call.run(lambda session, _: session.export())
    place = Path(file)
    try:
        with place.open("x", encoding="utf-8") as out:
            place.chmod(0o600)
            json.dump(tables, out, indent=1, ensure_ascii=False)
    except OSError as error:
        raise ConfigurationError("option_invalid", f"{place}: {error.strerror}", option="file") from error
    fields = {"file": str(place), "rows": sum(len(rows) for rows in tables.values())}
    call.output.result(fields, pages.facts(fields))
    return exits.DONE


@command("adopt", click.argument("site"), click.option("--message", default="", metavar="TEXT",
                                                       help="What this version is about."), *NETWORK)  # fmt: skip
def adopt(call: Call, site: str, message: str) -> None:
    """Record what SITE is on chain as a version: for a lost state, or a site that another tool deployed."""
    number = call.run(lambda session, _: session.adopt(site, message=message))
    fields = {"site": site, "version": number}
    call.output.result(fields, pages.facts(fields))


@command("backup", click.argument("folder", type=click.Path()))
def backup(call: Call, folder: str) -> None:
    """Copy the journal and all checkpoints into the new FOLDER, whole, whoever works meanwhile."""
    place = call.run(lambda session, _: session.backup(folder))
    fields = {"folder": str(place)}
    call.output.result(fields, pages.facts(fields))


@command("restore", click.argument("folder", type=click.Path()))
def restore(call: Call, folder: str) -> None:
    """Bring the backup in FOLDER back as the state of a home that has none."""
    from walrus_sdk.service.session import restore_home

    home = anyio.run(restore_home, folder, call.settings)
    fields = {"home": str(home)}
    call.output.result(fields, pages.facts(fields))


@command(
    "drill",
    click.argument("folder", type=click.Path()),
    click.option("--points", type=click.IntRange(1, 10_000), default=60, show_default=True, metavar="N",
                 help="Most deaths to try, spread over the deployment."),
)  # fmt: skip
def drill(call: Call, folder: str, points: int) -> int:
    """Run the site in FOLDER through deaths and lost answers in a simulated world, and show what that would have cost.

    Nothing touches a network or the state folder. Ends with exit code 1 when something was not as it must be.
    """
    from walrus_sdk.testing.drill import drill as run_drill
    from walrus_sdk.testing.drill import read_folder

    place = Path(folder).expanduser()
    if not place.is_dir():
        raise ValidationError("folder_missing", f"there is no folder {place}", path=str(place))
    files = read_folder(place)
    if not files:
        raise ValidationError("folder_empty", f"nothing to publish in {place}", path=str(place))
    found = run_drill(files, points=points, listen=call.output.note if not call.output.as_json else lambda _: None)
    call.output.result(found.to_json(), pages.facts(found.to_json()))
    return exits.DONE if found.good else exits.FAILED


COMMANDS = (doctor, adopt, backup, restore, drill)
