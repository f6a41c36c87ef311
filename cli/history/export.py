"""The command `offhook export`: records of the log as a file of history."""

from typing import Annotated, Any, Literal

import typer

from offhook.cli.counted import counted
from offhook.cli.history.options import SELECTION, selection_of
from offhook.cli.options import ReadyFile, settings_of_command, with_options
from offhook.history.selection import Selection
from offhook.settings import Settings
from offhook.wording.durations import duration

Order = Annotated[
    Literal["position", "time"],
    typer.Option(
        help="position: partition by partition. time: all partitions merged by the log's clock."
        " A session's own order is the same in both."
    ),
]


@with_options(SELECTION)
def export(
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File or URL to write; compressed if it ends in .zst. - is standard output.",
        ),
    ],
    *,
    order: Order = "position",
    ready_file: ReadyFile = None,
    **chosen: Any,
) -> None:
    """Write records of the log as lines of JSON, with headers and bodies as they were stored."""
    from offhook.cli.history.reading import run

    selection = selection_of(**chosen)
    run(_exported(settings_of_command(ready_file), selection, output, order))


async def _exported(
    settings: Settings, selection: Selection, output: str, order: Literal["position", "time"]
) -> None:
    from offhook.cli.history.reading import selected_records
    from offhook.history.files import STDIO, writing
    from offhook.history.lines import line_of

    sessions: set[str] = set()
    async with selected_records(settings, selection, order, "exporting") as (records, progress):
        with writing(output) as file:
            async for record in records:
                file.write(line_of(record))
                sessions.add(record.session_id)
    name = "standard output" if output == STDIO else output
    progress.say(
        f"{counted(file.lines, 'record')} of {counted(len(sessions), 'session')}"
        f" in {name}: {counted(file.bytes, 'byte')},"
        f" {duration(progress.took_s)}"
    )
