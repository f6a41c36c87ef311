"""What `offhook whatif` is to try, each field an option of the command."""

from dataclasses import dataclass
from typing import Annotated

import typer


@dataclass(frozen=True, kw_only=True)
class WhatifOptions:
    """As it was typed; None where an option was not given."""

    flow: Annotated[str, typer.Argument(help="The flow to try: module:attribute.")]
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Sessions with a decision at this time or later: RFC 3339, or how long ago (7d).",
        ),
    ] = None
    until: Annotated[
        str | None, typer.Option(help="Sessions with a decision before this time.")
    ] = None
    sessions: Annotated[
        str | None,
        typer.Option(
            help="Only these sessions: ids separated by commas, or @FILE with one a line."
        ),
    ] = None
    limit: Annotated[
        int | None, typer.Option(help="Maximum number of sessions, the latest first.", min=1)
    ] = None
    recorded: Annotated[
        list[str] | None,
        typer.Option(
            "--flow",
            metavar="NAME",
            help="Compare with decisions of the recorded flow of this name. May be repeated."
            " Default: the name of the flow to try.",
        ),
    ] = None
    all_flows: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Compare with the decisions of all flows, and include calls that no flow took.",
        ),
    ] = False
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Read the history from this file of `offhook export`, a path or URL, instead of"
            " the database. May be repeated.",
        ),
    ] = None
