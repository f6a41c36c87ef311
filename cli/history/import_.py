"""The command `offhook import`: files of history, or captured webhooks, into the log."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from offhook.cli.counted import counted
from offhook.cli.options import ReadyFile, settings_of_command
from offhook.cli.printable import printable
from offhook.settings import Settings
from offhook.wording.durations import duration

if TYPE_CHECKING:
    from offhook.cli.history.progress import Advance
    from offhook.history.importing import Imported

CHUNK_MAX = 2_000
"""Records read before they are appended; of a session in order, of several at once."""

CHUNK_BYTES_MAX = 16 * 1024 * 1024


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
    from offhook.history.lines import PlacedRecord
    from offhook.history.sources import records_of
    from offhook.jetstream.archived import ArchivedMarks
    from offhook.jetstream.client.connection import close, connect
    from offhook.jetstream.log import JetStreamLog

    client = await connect(settings.nats_url, "import")
    importer = Importer(JetStreamLog(client), has_left=ArchivedMarks(client).contains)
    progress = Advance("importing")

    async def take(chunk: Sequence[PlacedRecord]) -> None:
        await importer.take(chunk)
        if differing := importer.done.differing.count:
            progress.note = f", {differing:,} differ from the log"
        progress.add(len(chunk))

    try:
        with progress:
            for file in files:
                chunk: list[PlacedRecord] = []
                size = 0
                for place, record in records_of(file):
                    chunk.append((place, record))
                    size += len(record.body)
                    if len(chunk) >= CHUNK_MAX or size >= CHUNK_BYTES_MAX:
                        await take(chunk)
                        chunk, size = [], 0
                await take(chunk)
    finally:
        # Whatever ended it: what was done stays done.
        _print(progress, importer.done)
        await close(client)
    done = importer.done
    if done.refused or done.unreadable.count or done.differing.count:
        raise SystemExit(1)


def _print(progress: "Advance", done: "Imported") -> None:
    from offhook.history.importing import NAMED_MAX

    progress.say(
        f"{counted(done.added, 'record')} added, {done.known:,} already there;"
        f" {duration(progress.took_s)}, {progress.rate:,.0f} records/s"
    )
    refused = list(done.refused.values())
    differ = "differs" if done.differing.count == 1 else "differ"
    differing, unreadable = done.differing, done.unreadable
    for noun, count, what, first in (
        (
            "record",
            differing.count,
            f"{differ} from the log, which was left as it is",
            differing.first,
        ),
        ("session", len(refused), "refused", refused),
        ("record", unreadable.count, "left out, as unreadable", unreadable.first),
    ):
        if count:
            progress.say(f"{counted(count, noun)} {what}", style="red")
            for text in first[:NAMED_MAX]:
                progress.say(f"  {printable(text)}", style="red")
            if count > NAMED_MAX:
                progress.say(f"  and {count - NAMED_MAX:,} more", style="red")
