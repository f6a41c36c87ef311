"""Options that several commands share, and the settings and the console a command uses."""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console

from offhook.cli.embedded import ready_file
from offhook.errors import SenderFault
from offhook.settings import Settings, settings_from

PIPE_WIDTH = 10_000
"""Of what is not a terminal: whoever reads a pipe or a file wants whole lines."""

console = Console(log_path=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)
"""Standard output. Lines are left to the terminal: rich would break ids in wrapping them."""


class UsageWrong(SenderFault):
    """A command line that means nothing. Exit status 2, as of typer's own errors."""


ReadyFile = Annotated[
    Path | None,
    typer.Option(
        "--ready-file",
        envvar=ready_file.VARIABLE,
        help="Read addresses and keys from this file, written by `offhook up`.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings_of_command(path: Path | None = None) -> Settings:
    """The settings from the environment, overridden by the ready file at `path` if there is one.

    Raises OffhookError.
    """
    settings = settings_from(os.environ)
    return settings if path is None else ready_file.attached(settings, path)


def keyword_options(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The keyword-only parameters of a function or a dataclass, each an option."""
    return [
        each
        for each in inspect.signature(function).parameters.values()
        if each.kind is inspect.Parameter.KEYWORD_ONLY
    ]


def with_options(
    options: Sequence[inspect.Parameter],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options in place of its `**keywords`, which receive their values.

    So a list of options that several commands have is written once. It comes before the command's
    own keyword-only options in `--help`.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        *own, _keywords = signature.parameters.values()
        first = [each for each in own if each.kind is not inspect.Parameter.KEYWORD_ONLY]
        last = [each for each in own if each.kind is inspect.Parameter.KEYWORD_ONLY]
        parameters = [*first, *options, *last]
        cast(Any, command).__signature__ = signature.replace(parameters=parameters)
        return command

    return decorated
