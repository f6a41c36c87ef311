"""The command `offhook show` and its options."""

from typing import Annotated

import typer

from offhook.cli.options import AsJson, ReadyFile, console, settings_of_command


def show(
    session: Annotated[
        str, typer.Argument(help="The session's id: the carrier's call_session_id.")
    ],
    last: Annotated[
        int | None,
        typer.Option(help="Number of records to print, the newest ones. Default: all.", min=1),
    ] = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Print a session's records from the log, each with the state of the session after it."""
    from offhook.cli.remote.show import run_show

    run_show(console, settings_of_command(ready_file), session, last=last, as_json=as_json)
