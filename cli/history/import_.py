"""The command `offhook import`: files of history, or captured webhooks, into the log."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from offhook.cli.counted import counted
from offhook.cli.options import ReadyFile, settings_of_command
from offhook.settings import Settings
from offhook.wording.durations import duration

if TYPE_CHECKING:
    from offhook.cli.history.progress import Advance
    from offhook.history.importing import Imported

CHUNK_MAX = 2_000
"""Records read before they are appended; of a session in order, of several at once."""

CHUNK_BYTES_MAX = 16 * 1024 * 1024
SHOWN_MAX = 20


def import_(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…",
            help="Files or URLs that `offhook export` wrote, compressed or not, or captured"
            " webhooks as JSON. - is standard input.",
        ),
    ],
    ready_file: ReadyFile = None,
) -> None:
    """Add records to the log, each once. No flow is called on them, and nothing is sent.

    If interrupted, run it again to continue.
    """
    from offhook.cli.history.reading import run

    run(_imported(settings_of_command(ready_file), files))


async def _imported(settings: Settings, files: Sequence[str]) -> None:
    from offhook.cli.history.progress import Advance
    from offhook.history.importing import Importer
    from offhook.history.lines import HistoryRecord
    from offhook.history.sources import records_of
    from offhook.jetstream.client.connection import close, connect
    from offhook.jetstream.log import JetStreamLog

    client = await connect(settings.nats_url, "import")
    try:
        importer = Importer(JetStreamLog(client))
        with Advance("importing") as progress:
            for file in files:
                chunk: list[HistoryRecord] = []
                size = 0
                for record in records_of(file):
                    chunk.append(record)
                    size += len(record.body)
                    if len(chunk) >= CHUNK_MAX or size >= CHUNK_BYTES_MAX:
                        await importer.take(chunk)
                        progress.add(len(chunk))
                        chunk, size = [], 0
                await importer.take(chunk)
                progress.add(len(chunk))
    finally:
        await close(client)
    _print(progress, importer.done)
    if importer.done.refused or importer.done.unreadable:
        raise SystemExit(1)


def _print(progress: "Advance", done: "Imported") -> None:
    progress.say(
        f"{counted(done.added, 'record')} added, {done.known:,} already there;"
        f" {duration(progress.took_s)}, {progress.rate:,.0f} records/s"
    )
    for noun, what, said in (
        ("session", "refused", list(done.refused.values())),
        ("record", "left out, as unreadable", done.unreadable),
    ):
        if said:
            progress.say(f"{counted(len(said), noun)} {what}", style="red")
            for text in said[:SHOWN_MAX]:
                progress.say(f"  {text}", style="red")
            if len(said) > SHOWN_MAX:
                progress.say(f"  and {len(said) - SHOWN_MAX:,} more", style="red")
