"""`offhook up`: everything on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from offhook.cli.embedded import ready_file as ready_files
from offhook.cli.options import console, settings_of_command


def up(
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1)] = 2,
    data: Annotated[Path | None, typer.Option(help="Keep log and views here.")] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            envvar=ready_files.VARIABLE,
            help="Write addresses and keys here as JSON once all is ready.",
        ),
    ] = None,
    free_ports: Annotated[bool, typer.Option(help="Take free ports, not the settings'.")] = False,
) -> None:
    """Run everything here, for your own flow (OFFHOOK_FLOWS) and carrier (OFFHOOK_CARRIER_KEY)."""
    from offhook.cli.embedded.run import run_up

    run_up(
        console,
        settings_of_command(),
        workers=workers,
        directory=data,
        ready_file=ready_file,
        free_ports=free_ports,
    )
