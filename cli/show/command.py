"""The command `offhook show` and its options."""

from typing import Annotated

import typer

from offhook.cli.options import AsJson, ReadyFile, console, settings_of_command


def show(
    session: Annotated[
        str, typer.Argument(help="The session's id, the carrier's call_session_id, or its start.")
    ],
    last: Annotated[
        int | None,
        typer.Option(help="Number of records to print, the newest ones. Default: all.", min=1),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="MOMENT",
            help="Print the log as it was at a position (the seq of a record), at a time since "
            "the first record as it is printed (+1:05.123, +1.5s), or at a time such as "
            "2026-11-22T10:00:00Z.",
        ),
    ] = None,
    diff: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="MOMENT MOMENT", help="Print what changed between two moments."),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Print records as they arrive, until the session ends."),
    ] = False,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Say why a call ended or failed, and print its records, each with the session after it."""
    from offhook.cli.show.run import run_show

    if not session.strip():
        raise typer.BadParameter("SESSION is empty; expected the id of a session")
    if sum((as_of is not None, diff is not None, follow)) > 1:
        raise typer.BadParameter("--as-of, --diff and --follow exclude one another")
    if diff is not None and last is not None:
        raise typer.BadParameter("--diff does not print records, so it takes no --last")
    if follow and as_json:
        raise typer.BadParameter("--follow prints text; for JSON read GET /sessions/ID/stream")
    run_show(
        console,
        settings_of_command(ready_file),
        session,
        last=last,
        as_of=as_of,
        diff=diff,
        follow=follow,
        as_json=as_json,
    )
