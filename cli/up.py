"""The command `offhook up` and its options."""

from pathlib import Path
from typing import Annotated

import typer

from offhook.cli.embedded import ready_file as ready_files
from offhook.cli.options import console, settings_of_command


def up(
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1)] = 2,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Directory for the log, the views and the secret key that signs development"
            " webhooks; without it, nothing is kept."
        ),
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            envvar=ready_files.VARIABLE,
            help="Write addresses and keys to this file, as JSON, once everything is ready.",
        ),
    ] = None,
    free_ports: Annotated[
        bool, typer.Option(help="Use free ports instead of those in the settings.")
    ] = False,
) -> None:
    """Run NATS, PostgreSQL and every role on this machine, until Ctrl-C.

    Your flows are named in OFFHOOK_FLOWS. Without OFFHOOK_CARRIER_KEY the carrier is the simulator.
    """
    from offhook.cli.embedded.run import run_up

    run_up(
        console,
        settings_of_command(),
        workers=workers,
        directory=data,
        ready_file=ready_file,
        free_ports=free_ports,
    )
