"""``blob-id``, ``quilt inspect`` and ``completion``: what needs no home, no network and no key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from walrus_sdk.cli.calls import Call, command, group
from walrus_sdk.cli.options import SHARDS

__all__ = ["blob_id", "completion", "quilt"]


@command("blob-id", click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE..."), SHARDS)
def blob_id(call: Call, files: Sequence[str], shards: int) -> None:
    """Show the Walrus blob id of each FILE; nothing is stored."""
    from walrus_sdk.service import tools

    rows = [{"file": name, "blob_id": str(tools.blob_id(Path(name), shards)), "n_shards": shards} for name in files]
    call.output.rows(rows, ("blob id", "file"), [(str(row["blob_id"]), str(row["file"])) for row in rows])


@command("inspect", click.argument("file", type=click.Path(), metavar="FILE"), SHARDS)
def inspect(call: Call, file: str, shards: int) -> None:
    """Show what the quilt in FILE holds: each file's name, size and patch id."""
    from walrus_sdk.service import tools

    found = tools.inspect_quilt(Path(file), shards)
    page = [
        ("blob id", str(found["blob_id"])),
        ("size", f"{found['size']} bytes"),
        ("files", str(len(found["patches"]))),
    ]
    page += [
        ("patch", f"{patch['patch_id']}  {patch['size']} bytes  {patch['identifier']}") for patch in found["patches"]
    ]
    call.output.result({"file": file, **found}, page)


quilt = group("quilt", "Look into quilts: blobs that pack many files.", inspect)


@command("completion", click.argument("shell", type=click.Choice(["bash", "zsh", "fish"])))
def completion(call: Call, shell: str) -> None:
    """Write the script that completes commands and options in SHELL.

    For bash: walrus-sdk completion bash > ~/.local/share/bash-completion/completions/walrus-sdk
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None, "click completes in these shells"
    program = click.get_current_context().find_root().command
    script = made(program, {}, "walrus-sdk", "_WALRUS_SDK_COMPLETE").source()
    if call.output.as_json:
        call.output.result({"shell": shell, "script": script}, [])
    else:
        call.output.text(script)
