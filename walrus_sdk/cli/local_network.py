"""``localnet …``: the embedded local network, a simulation on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from walrus_sdk.cli import kinds, pages
from walrus_sdk.cli.calls import Call, command, group
from walrus_sdk.errors import ConfigurationError
from walrus_sdk.model.units import Mist, SuiAddress

__all__ = ["localnet"]

_LEDGER = ("kind", "blob_id", "paid", "cost_frost", "bytes_received", "owner")


def _say(call: Call, fields: Mapping[str, Any]) -> None:
    call.output.result(fields, pages.facts(fields))


@command(
    "start",
    click.option("--shards", type=click.IntRange(4, 65535), help="Shards of a new network (1000); 10 is quick."),
    click.option("--idle", type=kinds.DURATION, default="30m", show_default=True, metavar="TIME",
                 help="End after so long without a request: 30m, 90s; 0 is never."),
)  # fmt: skip
def start(call: Call, shards: int | None, idle: float) -> None:
    """Start the local network of this home, unless it runs."""
    from walrus_sdk import local

    found = local.ensure_running(call.home, shards=shards, idle_s=idle)
    if found.port_changed:
        call.output.note("its old port was taken: sites have new addresses")
    said = {"running": True, "started": found.started, "port_changed": found.port_changed, "url": found.url}
    _say(call, {**said, **found.facts})


@command("stop")
def stop(call: Call) -> None:
    """End the local network of this home; its state stays."""
    from walrus_sdk import local

    _say(call, {"stopped": local.stop(call.home), "running": False})


@command("status")
def status(call: Call) -> None:
    """Show whether the local network runs, where, and its chain and epochs."""
    from walrus_sdk import local

    found = local.status(call.home)
    _say(call, {"running": False} if found is None else {"running": True, "url": found.url, **found.facts})


@command("reset", click.option("--yes", is_flag=True, help="Do not ask."))
def reset(call: Call, yes: bool) -> None:
    """End the local network and remove its state: sites, blobs, money. The next one is another chain."""
    from walrus_sdk import local

    if not yes and not call.may_ask:
        raise ConfigurationError("confirmation_needed", f"this removes the local network of {call.home} for good")
    if not yes and not call.ask(f"remove the local network of {call.home} for good?"):
        raise ConfigurationError("confirmation_needed", "nothing was removed: the answer was no")
    local.reset(call.home)
    _say(call, {"reset": True, "running": False})


@command("ledger")
def ledger(call: Call) -> None:
    """List what was stored and paid on the local network, oldest first."""
    from walrus_sdk import local

    rows = local.ledger(call.home)
    call.output.rows(rows, _LEDGER, [[str(row.get(name)) for name in _LEDGER] for row in rows])


_RULE_HELP = (
    "Rule 'POINT=ACTION' with ',times=N', ',latency_s=S', ',status=N', …, e.g. "
    "'publisher.before_pay=error,times=1'. All rules of this call replace those that are set."
)


@command(
    "faults",
    click.option("--clear", is_flag=True, help="Remove all rules first."),
    click.option("--set", "source", metavar="FILE|-", help="JSON with rules and shape; - is the standard input."),
    click.option("--rule", "rules", multiple=True, metavar="RULE", help=_RULE_HELP),
    click.option("--on-disconnect", type=click.Choice(["drop", "finish"]),
                 help="What becomes of a store whose client hangs up."),
    click.option("--latency", type=kinds.DURATION, metavar="TIME", help="Time that each store takes: 250ms, 2s."),
    click.option("--shape", "shape", multiple=True, metavar="NAME=VALUE",
                 help="Any other figure, e.g. bytes_per_s=100000."),
)  # fmt: skip
def faults(call: Call, clear: bool, source: str | None, rules: Sequence[str], **given: Any) -> None:
    """Show or set how the local network misbehaves: rules at named points, and figures that hold all the time."""
    from walrus_sdk import local

    data = _faults(call, source, rules, given)
    found = local.set_faults(call.home, None) if clear else None
    if data:
        found = local.set_faults(call.home, data)
    found = found or local.faults(call.home)
    page = pages.facts(found.get("shape", {}))
    page += [("rule", json.dumps(rule, sort_keys=True)) for rule in found.get("rules", ())]
    call.output.result(found, page)


def _faults(call: Call, source: str | None, rules: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rules and figures that were given, as the local network takes them; it says what is wrong in them."""
    data = _read_json(call, source) if source is not None else {}
    shape: dict[str, Any] = dict(_pair(text, "shape") for text in given["shape"])
    if given["on_disconnect"] is not None:
        shape["on_disconnect"] = given["on_disconnect"]
    if given["latency"] is not None:
        shape["latency_s"] = given["latency"]
    if shape:
        data["shape"] = {**(data.get("shape") or {}), **shape}
    if rules:
        data["rules"] = [*(data.get("rules") or []), *(_rule(text) for text in rules)]
    return data


def _read_json(call: Call, source: str) -> dict[str, Any]:
    try:
        if source == "-":
            text = call.outside.stdin.read() if call.outside.stdin is not None else ""
        else:
            text = Path(source).read_text(encoding="utf-8")
        data = json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigurationError("option_invalid", f"--set {source}: {error}", option="set", path=source) from error
    if not isinstance(data, dict):
        raise ConfigurationError("option_invalid", f"--set {source}: expected an object", option="set", path=source)
    return data


def _rule(text: str) -> dict[str, Any]:
    """Read ``POINT=ACTION,name=value,…``."""
    first, *more = text.split(",")
    point, equals, action = first.partition("=")
    if not (point and equals and action):
        raise ConfigurationError("option_invalid", f"--rule: expected POINT=ACTION, found {text!r:.80}", option="rule")
    return {"point": point.strip(), "action": action.strip(), **dict(_pair(item, "rule") for item in more)}


def _pair(text: str, option: str) -> tuple[str, Any]:
    """Read ``name=value``; the value is JSON where it can be, else a text."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ConfigurationError(
            "option_invalid", f"--{option}: expected name=value, found {text!r:.80}", option=option
        )
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value


_EPOCHS: Callable[..., Any] = click.IntRange(min=0)


@command(
    "advance-epoch",
    click.option("--walrus", type=_EPOCHS, default=0, metavar="N", help="Walrus epochs (storage runs out by these)."),
    click.option("--sui", type=_EPOCHS, default=0, metavar="N", help="Sui epochs (transactions expire by these)."),
)
def advance_epoch(call: Call, walrus: int, sui: int) -> None:
    """Let epochs pass on the local network."""
    from walrus_sdk import local

    _say(call, local.advance_epoch(call.home, walrus=walrus, sui=sui))


@command(
    "prices",
    click.option("--storage", type=_EPOCHS, metavar="FROST", help="Of a storage unit (1 MiB encoded), each epoch."),
    click.option("--write", type=_EPOCHS, metavar="FROST", help="Of a storage unit, once with a store."),
    click.option("--gas", type=_EPOCHS, metavar="MIST", help="Of a computation unit: Sui's reference gas price."),
)
def prices(call: Call, **given: int | None) -> None:
    """Change what storage and gas cost on the local network, as votes do at the change of an epoch."""
    from walrus_sdk import local

    _say(call, local.set_prices(call.home, **{name: value for name, value in given.items() if value is not None}))


@command(
    "faucet",
    click.argument("address", type=kinds.ADDRESS, metavar="ADDRESS"),
    click.option(
        "--sui", type=kinds.SUI, default="100", show_default=True, metavar="SUI", help="SUI as 0.5, or 500mist."
    ),
)
def faucet(call: Call, address: SuiAddress, sui: Mist) -> None:
    """Give ADDRESS SUI on the local network."""
    from walrus_sdk import local

    _say(call, {"address": str(address), **local.faucet(call.home, address, sui.units)})


localnet = group(
    "localnet",
    "The embedded local network: Walrus and Sui simulated on this machine, for tests and trying out.",
    start, stop, status, reset, ledger, faults, advance_epoch, prices, faucet,
)  # fmt: skip
