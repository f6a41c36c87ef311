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
    repartition: Annotated[
        bool,
        typer.Option(
            "--repartition",
            help="Move a log of one stream to OFFHOOK_PARTITIONS partitions, and fold the views "
            "again. Stop every role first; run it again if it was interrupted.",
        ),
    ] = False,
    ready_file: ReadyFile = None,
) -> None:
    """Create the streams of the log and their consumers. Running it again changes nothing."""
    from offhook.cli.embedded.prepare import provision_log, repartition_log
    from offhook.jetstream.stream import TIMERS, stream_of

    settings = settings_of_command(ready_file)
    if repartition and not asyncio.run(repartition_log(settings, console.print)):
        console.print("there is no log of one stream to be moved")
    partitions = asyncio.run(
        provision_log(settings, rewrite_compressed=rewrite_compressed, say=console.print)
    )
    log = stream_of(0, partitions)
    if partitions > 1:
        log += f" to {stream_of(partitions - 1, partitions)}"
    console.print(f"streams {log} and {TIMERS} and their consumers: provisioned")
