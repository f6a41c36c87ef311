"""Options that several commands share, and the settings a command runs with."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli import ready_file
from offhook.settings import Settings, settings_from

ReadyFile = Annotated[
    Path | None,
    typer.Option(
        "--ready-file",
        envvar=ready_file.VARIABLE,
        help="Take addresses and keys from this file of `offhook up`.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def settings_of_command(path: Path | None = None) -> Settings:
    """From the environment, and from the ready file if one is named. Raises OffhookError."""
    settings = settings_from(os.environ)
    return settings if path is None else ready_file.attached(settings, path)
