"""`offhook provision`: the log's streams and consumers."""

import asyncio
from typing import Annotated

import typer

from offhook.cli.options import ReadyFile, console, settings_of_command


def provision(
    rewrite_compressed: Annotated[
        bool,
        typer.Option(
            "--rewrite-compressed",
            help="First rewrite streams that an older Offhook compressed. Stop every role before.",
        ),
    ] = False,
    ready_file: ReadyFile = None,
) -> None:
    """Make the streams and their consumers. Doing it again changes nothing."""
    from offhook.cli.embedded.prepare import provision_log

    settings = settings_of_command(ready_file)
    asyncio.run(provision_log(settings, rewrite_compressed=rewrite_compressed, say=console.print))
    console.print("streams CALLS and TIMERS with their consumers: provisioned")
