"""The command `offhook whatif` and its options."""

from pathlib import Path
from typing import Annotated

import typer

from offhook.cli.options import AsJson, ReadyFile, console, settings_of_command


def whatif(
    flow: Annotated[str, typer.Argument(help="The flow to try: module:attribute.")],
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Sessions with a decision at this time or later: RFC 3339, or how long ago (7d).",
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Sessions with a decision before this time.")
    ] = None,
    sessions: Annotated[
        str | None,
        typer.Option(
            help="Only these sessions: ids separated by commas, or @FILE with one a line."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Maximum number of sessions, the latest first.", min=1)
    ] = None,
    recorded: Annotated[
        list[str] | None,
        typer.Option(
            "--flow",
            metavar="NAME",
            help="Compare with decisions of the recorded flow of this name. May be repeated."
            " Default: the name of the flow to try.",
        ),
    ] = None,
    all_flows: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Compare with the decisions of all flows, and include calls that no flow took.",
        ),
    ] = False,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Read the history from this file of `offhook export`, a path or URL, instead of"
            " the database. May be repeated.",
        ),
    ] = None,
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
) -> None:
    """Try a flow on recorded sessions, and report where it decides differently. Sends nothing."""
    from offhook.cli.whatif.run import Asked, run_whatif

    asked = Asked(
        flow=flow,
        since=since,
        until=until,
        sessions=sessions,
        limit=limit,
        recorded=recorded or (),
        all_flows=all_flows,
        files=files or (),
        processes=processes,
    )
    is_clean = run_whatif(
        console, settings_of_command(ready_file), asked, html=html, as_json=as_json
    )
    if check and not is_clean:
        raise typer.Exit(1)
