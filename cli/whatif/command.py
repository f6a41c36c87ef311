"""The command `offhook whatif`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from offhook.cli.options import (
    AsJson,
    ReadyFile,
    console,
    keyword_options,
    settings_of_command,
    with_options,
)
from offhook.cli.whatif.options import WhatifOptions


@with_options(keyword_options(WhatifOptions))
def whatif(
    *,
    html: Annotated[
        Path | None, typer.Option(help="Write the report as a page to this file.", dir_okay=False)
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            help="Exit with status 1 if anything differs, cannot be read, or nothing was compared."
        ),
    ] = False,
    processes: Annotated[
        int | None, typer.Option(help="Number of processes. Default: one for each core.", min=1)
    ] = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
    **asked: Any,
) -> None:
    """Try a flow on recorded sessions, and report where it decides differently. Sends nothing."""
    from offhook.cli.whatif.run import run_whatif

    is_clean = run_whatif(
        console,
        settings_of_command(ready_file),
        WhatifOptions(**asked),
        processes=processes,
        html=html,
        as_json=as_json,
    )
    if check and not is_clean:
        raise typer.Exit(1)
