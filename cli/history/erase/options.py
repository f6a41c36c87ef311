"""What `offhook erase` is to erase, each field an option of the command."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True, kw_only=True)
class ErasureOptions:
    """What was asked for; None where an option was not given."""

    session_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[SESSION]...", help="Sessions to erase.")
    ] = None
    numbers: Annotated[
        list[str] | None,
        typer.Option(
            "--number",
            metavar="E164",
            help="All sessions in which this number occurs anywhere. May be repeated.",
        ),
    ] = None
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            metavar="TEXT",
            help="Another text that the proof looks for, such as a caller's name.",
        ),
    ] = None
    is_agreed: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
    resumes: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Finish an interrupted erasure, and erase records that arrived later.",
        ),
    ] = False
    given_up: Annotated[
        list[str] | None,
        typer.Option(
            "--give-up",
            metavar="SEGMENT",
            help="With --resume: a segment that is lost for good, so that nothing waits for it."
            " May be repeated.",
        ),
    ] = None
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the proof to this file, as JSON.")
    ] = None
    stores: Annotated[
        list[Path] | None,
        typer.Option(
            "--store",
            metavar="DIR",
            help="A NATS server's store directory, for the proof. Detected if the server runs"
            " on this machine. May be repeated.",
            exists=True,
            file_okay=False,
        ),
    ] = None
    full_vacuum: Annotated[
        bool,
        typer.Option(
            "--full-vacuum",
            help="Rewrite the tables, so that no byte of a deleted row stays in their files."
            " Locks each table while it does so.",
        ),
    ] = False
