"""One call of a command: what surrounds it, where it goes, how it speaks; and how commands are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from walrus_sdk.cli.options import COMMON, Decorator
from walrus_sdk.cli.output import Output
from walrus_sdk.cli.outside import Outside
from walrus_sdk.settings import Settings

if TYPE_CHECKING:
    from walrus_sdk.cli.displays import Display
    from walrus_sdk.cli.running import Verb
    from walrus_sdk.service.session import Session

__all__ = ["Call", "Program", "command", "group"]

T = TypeVar("T")

_WHERE = ("network", "publisher", "aggregator", "graphql", "portal")


@dataclass(frozen=True, slots=True)
class Program:
    """What every command line has before it is read: click's context object."""

    outside: Outside
    output: Output


@dataclass(frozen=True, slots=True)
class Call:
    """A command line that was read. `where` holds the options that `walrus_sdk.open` takes."""

    outside: Outside
    output: Output
    settings: Settings
    where: Mapping[str, Any] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The state folder."""
        return self.settings.home

    @property
    def network(self) -> str:
        """The name of the network that is meant. Raises `ConfigurationError` ``network_unknown``."""
        return self.settings.network(self.where.get("network")).name

    @property
    def may_ask(self) -> bool:
        """Whether somebody is there to be asked: a terminal at both ends, no `--json`, no ``CI=true``."""
        stdin = self.outside.stdin
        return self.output.on_terminal and not self.output.as_json and stdin is not None and stdin.isatty()

    def ask(self, question: str) -> bool:
        """Ask for a yes; anything else is a no."""
        self.output.prompt(f"{question} [y/N] ")
        assert self.outside.stdin is not None
        return self.outside.stdin.readline().strip().lower() in ("y", "yes")

    def run(self, verb: Verb[T]) -> T:
        """Run a verb in a session, with progress and signals; see `run_verb`."""
        from walrus_sdk.cli.running import run_verb

        return run_verb(self._open_session, verb, self.output.display(), self.output.note)

    def watch(self, verb: Verb[T], display: Display | None) -> T:
        """Run a verb that only looks: a signal ends the looking, and there is nothing to finish."""
        from walrus_sdk.cli.running import run_verb

        return run_verb(self._open_session, verb, display, lambda _: None)

    def _open_session(self) -> AbstractAsyncContextManager[Session]:
        return self.outside.open_session(self.settings, **self.where)


def command(name: str, *parameters: Decorator[Any]) -> Callable[[Callable[..., int | None]], click.Command]:
    """Make a command of a function ``(call, **parameters) -> exit code or None``; its docstring is the help."""

    def made(function: Callable[..., int | None]) -> click.Command:
        @click.pass_obj
        def called(program: Program, /, as_json: bool, home: str | None, verbose: bool, **given: Any) -> int | None:
            where = {key: given.pop(key) for key in _WHERE if key in given}
            return function(_call(program, where, as_json=as_json, home=home, verbose=verbose), **given)

        described: Callable[..., int | None] = called
        for parameter in reversed((*parameters, *COMMON)):
            described = parameter(described)
        return click.command(name, help=function.__doc__)(described)

    return made


def group(name: str, help_text: str, *commands: click.Command) -> click.Group:
    """Make a group of commands; without one of them it shows its help."""

    @click.pass_context
    def show(context: click.Context) -> None:
        if context.invoked_subcommand is None:
            click.echo(context.get_help())

    made = click.Group(name, callback=show, invoke_without_command=True, help=help_text)
    for one in commands:
        made.add_command(one)
    return made


def _call(program: Program, where: Mapping[str, Any], *, as_json: bool, home: str | None, verbose: bool) -> Call:
    settings = program.outside.load_settings()
    if home is not None:
        settings = replace(settings, home=Path(home).expanduser().absolute())
    program.output.settle(settings, as_json=as_json, verbose=verbose)
    return Call(program.outside, program.output, settings, where)
