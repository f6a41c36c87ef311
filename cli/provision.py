"""The command `offhook provision` and its options."""

import asyncio
from typing import Annotated

import typer

from offhook.cli.options import ReadyFile, console, settings_of_command


def provision(
    rewrite_compressed: Annotated[
        bool,
        typer.Option(
            "--rewrite-compressed",
            help="Rewrite streams that an older Offhook compressed. Stop every role first.",
        ),
    ] = False,
    ready_file: ReadyFile = None,
) -> None:
    """Create the streams of the log and their consumers. Running it again changes nothing."""
    from offhook.cli.embedded.prepare import provision_log

    settings = settings_of_command(ready_file)
    asyncio.run(provision_log(settings, rewrite_compressed=rewrite_compressed, say=console.print))
    console.print("streams CALLS and TIMERS and their consumers: provisioned")
