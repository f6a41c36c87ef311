"""Options that several commands share, and the settings and the console a command uses."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console

from offhook.cli.embedded import ready_file
from offhook.settings import Settings, settings_from

console = Console(log_path=False)

ReadyFile = Annotated[
    Path | None,
    typer.Option(
        "--ready-file",
        envvar=ready_file.VARIABLE,
        help="Take addresses and keys from this file of `offhook up`.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings_of_command(path: Path | None = None) -> Settings:
    """From the environment, and from the ready file if one is named. Raises OffhookError."""
    settings = settings_from(os.environ)
    return settings if path is None else ready_file.attached(settings, path)


def with_options_of(
    shared: Callable[..., None],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Tell Typer that a command's `**keywords` are the keyword-only parameters of `shared`.

    So options that many commands pass on unread stand once, with the function that reads them.
    """
    options = [
        each
        for each in inspect.signature(shared).parameters.values()
        if each.kind is inspect.Parameter.KEYWORD_ONLY
    ]

    def told(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        *own, _keywords = signature.parameters.values()
        cast(Any, command).__signature__ = signature.replace(parameters=[*own, *options])
        return command

    return told
