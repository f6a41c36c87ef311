"""What `offhook show` does: read a call's records from the log, and print them.

It reads only the log, so it works without Postgres and shows what the views should contain.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console

from offhook.cli.remote.call_records import read_call
from offhook.cli.remote.session_text import session_text
from offhook.codec import fields_of
from offhook.errors import OperatorFault, RecordUnreadable
from offhook.events import Record, session_id_from
from offhook.jetstream.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.projections.views.commands import COMMANDS
from offhook.projections.views.fold import Folded, advanced
from offhook.projections.views.legs import LEGS
from offhook.projections.views.sessions import SESSIONS, session_view
from offhook.projections.views.view import columns_of
from offhook.redact import hidden
from offhook.session import Session
from offhook.settings import Settings


def run_show(
    console: Console, settings: Settings, session: str, *, last: int | None, as_json: bool
) -> None:
    """Print the session's records, or its `last` ones. Raises OperatorFault if there are none."""
    session_id, records = asyncio.run(_read(settings, session_id_from(session)))
    if not records:
        raise OperatorFault(f"the log has no record of session {session}")
    if as_json:
        print(msgspec.json.encode(_as_json(session_id, records, last)).decode())  # noqa: T201
    else:
        console.print(session_text(session_id, records, last, now=datetime.now(UTC)))


async def _read(settings: Settings, session_id: str) -> tuple[str, Sequence[Record]]:
    client = await connect(settings.nats_url, "show")
    try:
        return await read_call(JetStreamLog(client), session_id)
    except RecordUnreadable as error:
        raise RecordUnreadable(
            f"session {session_id} has a record that this version cannot read: {error}"
        ) from error
    finally:
        await close(client)


def _as_json(session_id: str, records: Sequence[Record], last: int | None) -> Mapping[str, Any]:
    """Each record, and the session after it in the form of the API's `/sessions/{id}?as_of=`."""
    shown = []
    folded = Folded(session=Session(session_id=session_id))
    unshown = len(records) - (last or len(records))
    for number, record in enumerate(records):
        folded = advanced(folded, record)
        if number < unshown:
            continue
        shown.append(
            {
                "seq": record.seq,
                "session_id": record.session_id,
                "stored_at": record.stored_at,
                "side": record.side,
                "type": type(record.fact).__name__,
                "fact_id": record.fact_id,
                "fields": hidden(fields_of(record.fact)),
                "after": hidden(_rows(folded)),
            }
        )
    return {"session_id": session_id, "records": shown}


def _rows(folded: Folded) -> Mapping[str, Any]:
    return {
        "session": columns_of(SESSIONS.table, session_view(folded)),
        "legs": [columns_of(LEGS.table, row) for row in LEGS.rows_of(folded, 0)],
        "commands": [columns_of(COMMANDS.table, row) for row in COMMANDS.rows_of(folded, 0)],
    }
