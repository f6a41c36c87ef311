"""The command `offhook erase`: all records of sessions or numbers, wherever they are."""

from pathlib import Path
from typing import Annotated

import typer

from offhook.cli.options import ReadyFile, console, settings_of_command


def erase(
    sessions: Annotated[
        list[str] | None, typer.Argument(metavar="[SESSION]...", help="Sessions to erase.")
    ] = None,
    *,
    number: Annotated[
        list[str] | None,
        typer.Option(
            metavar="E164",
            help="All sessions in which this number occurs anywhere. May be repeated.",
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="Another text that the proof looks for, such as a caller's name."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Finish an interrupted erasure, and erase records that arrived later.",
        ),
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the proof to this file, as JSON.")
    ] = None,
    store: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="A NATS server's store directory, for the proof. Detected if the server runs"
            " on this machine. May be repeated.",
        ),
    ] = None,
    full_vacuum: Annotated[
        bool,
        typer.Option(
            "--full-vacuum",
            help="Rewrite the tables, so that no byte of a deleted row stays in their files."
            " Locks each table while it does so.",
        ),
    ] = False,
    ready_file: ReadyFile = None,
) -> None:
    """Erase sessions from the streams, the archive and the views.

    Analytics stay as they are. The exit status is 2 if the proof finds anything left.
    """
    from offhook.cli.history.erasing import Wanted, run_erase

    wanted = Wanted(
        session_ids=tuple(sessions or ()),
        numbers=tuple(number or ()),
        names=tuple(name or ()),
        is_agreed=yes,
        resumes=resume,
        report=report,
        stores=tuple(store or ()),
        full_vacuum=full_vacuum,
    )
    if not run_erase(console, settings_of_command(ready_file), wanted):
        raise SystemExit(2)
