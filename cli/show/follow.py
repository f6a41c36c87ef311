"""Printing a session's records as they arrive, until it ends.

The API's event stream says that there is a record; the record itself is read from the log.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from rich.console import Console

from offhook.cli.remote.event_stream import events
from offhook.cli.show.text import is_over, session_text
from offhook.events import Record
from offhook.jetstream.log import EventLog
from offhook.session import fold
from offhook.settings import Settings


async def follow_session(
    console: Console,
    settings: Settings,
    log: EventLog,
    session_id: str,
    records: Sequence[Record],
) -> None:
    """Print what follows these records. Raises OperatorFault if the API refuses, or is away."""
    known = list(records)
    if is_over(fold(session_id, known)):
        return
    path = f"/sessions/{quote(session_id, safe='')}/stream"
    # Of its own: the dial that placed it may be in another partition.
    last_seq = max((each.seq for each in known if each.session_id == session_id), default=0)
    async for _ in events(settings, path, str(last_seq)):
        own = [each for each in known if each.session_id == session_id]
        new = await log.read(
            session_id,
            in_after=max((each.seq for each in own if each.side == "in"), default=0),
            out_after=max((each.seq for each in own if each.side == "out"), default=0),
        )
        if not new:
            continue
        known += new
        now = datetime.now(UTC)
        text = session_text(
            session_id, known, len(new), now=now, width=width_of(console), is_continued=True
        )
        console.print(text, crop=False)
        if is_over(fold(session_id, known)):
            return


def width_of(console: Console) -> int | None:
    """Of a terminal; None for a pipe or a file, whose lines are not broken."""
    return console.width if console.is_terminal else None
