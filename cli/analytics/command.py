"""The command `offhook analytics` and its options."""

from enum import StrEnum
from typing import Annotated

import typer

from offhook.cli.options import AsJson, ReadyFile, console, settings_of_command


class SubjectName(StrEnum):
    """What there are figures of: a resource of the API each."""

    CALLS = "calls"
    LOAD = "load"
    QUEUES = "queues"
    COMMANDS = "commands"
    WEBHOOKS = "webhooks"


def analytics(
    subject: Annotated[
        SubjectName, typer.Argument(help="What to print figures of.")
    ] = SubjectName.CALLS,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="RFC 3339, or how long ago (15m, 2h, 7d).")
    ] = "24h",
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Before this time. Default: now.")
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Separated by commas: at most one of 5m, 15m, hour, day …, and dimensions such as "
            "connection_id, flow, queue, operation.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Only what has this value. May be repeated."),
    ] = None,
    tz: Annotated[str, typer.Option(help="Time zone of the buckets: Europe/Berlin.")] = "UTC",
    top: Annotated[
        int, typer.Option(min=1, help="Groups per bucket; all others are added up in one.")
    ] = 10,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    ready_file: ReadyFile = None,
) -> None:
    """Print key figures of calls, load, queues, commands or webhooks, from the API."""
    from offhook.cli.analytics.run import FiguresWanted, run_analytics

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude one another")
    run_analytics(
        console,
        settings_of_command(ready_file),
        FiguresWanted(
            subject=subject.value,
            since=since,
            until=until,
            group_by=group_by,
            where=where or [],
            tz=tz,
            top=top,
        ),
        form="json" if as_json else "csv" if as_csv else "text",
    )
