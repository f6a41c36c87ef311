"""Sessions with decisions in a range of time, and their records: what a flow is tried on.

Read in transactions that cannot write, whatever the role may do, and at one moment. Archived
sessions are read from their segments.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, cast

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.database.engine import driver_in, open_database
from offhook.projections.views.database.transactions import read_at_one_moment
from offhook.projections.views.past.archived_records import DECISIONS, last_decided, read_place
from offhook.projections.views.stored.archive import places_of
from offhook.projections.views.view import storable

StoredRow = tuple[str, int, str, int, datetime, bytes]

ROWS_AT_ONCE = 2_000
"""Records that are fetched from the server in one go."""


@asynccontextmanager
async def reading_only(url: str, application: str) -> AsyncIterator[AsyncConnection]:
    """A connection to the database that cannot write, and whose reads all see one moment."""
    engine = open_database(url, application, statement_timeout_s=None)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("set default_transaction_read_only = on"))
            await connection.commit()
            await read_at_one_moment(connection)
            yield connection
    finally:
        await engine.dispose()


async def list_decided(
    connection: AsyncConnection,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    session_ids: Sequence[str] | None = None,
    limit: int,
) -> list[str]:
    """The sessions with a decision, or parked, from `since` and before `until`: at most `limit`.

    If there are more, those with the latest ones. In the order of their last decision. Raises
    OperatorFault if a segment cannot be read.
    """
    conditions, values = ["type = any(:types)"], dict[str, Any](limit=limit, types=[*DECISIONS])
    if since is not None:
        conditions.append("stored_at >= :since")
        values["since"] = since
    if until is not None:
        conditions.append("stored_at < :until")
        values["until"] = until
    if session_ids is not None:
        conditions.append("session_id = any(:ids)")
        values["ids"] = [storable(each) for each in session_ids]
    found = await connection.execute(
        text(
            "select session_id, max(stored_at) as at, max(seq) as seq"
            f" from event_log where {' and '.join(conditions)} group by session_id"
            " order by 2 desc, 3 desc limit :limit"
        ),
        values,
    )
    latest = await last_decided(
        connection, since=since, until=until, session_ids=values.get("ids"), limit=limit
    )
    for row in found:
        at, seq = latest.get(row.session_id, (row.at, row.seq))
        latest[row.session_id] = (max(at, row.at), max(seq, row.seq))
    return sorted(latest, key=latest.__getitem__)[-limit:]


async def read_rows(
    connection: AsyncConnection, session_ids: Sequence[str]
) -> AsyncIterator[Sequence[StoredRow]]:
    """The sessions' records in pages, one session after the other, each in order of position.

    Session, position, type, version, when it was stored, and the stored bytes. Archived sessions
    come last, each in a page of its own. Raises OperatorFault if a segment cannot be read.
    """
    places = await places_of(connection, session_ids)
    live = [each for each in session_ids if each not in places]
    async for page in _rows_in_event_log(connection, live):
        yield page
    for session_id, several in places.items():
        # What arrived after it was archived is in event_log.
        found = [
            each async for page in _rows_in_event_log(connection, [session_id]) for each in page
        ]
        for place in several:
            found += [
                (session_id, each.position, each.type, each.version, each.stored_at, each.body)
                for each in await read_place(place)
            ]
        yield sorted(found, key=lambda row: row[1])


async def _rows_in_event_log(
    connection: AsyncConnection, session_ids: Sequence[str]
) -> AsyncIterator[Sequence[StoredRow]]:
    # Of the driver itself: SQLAlchemy takes as long again for each row, and what-if's other
    # processes wait for it.
    driver = await driver_in(connection)
    # In a savepoint: going back to it closes the cursor in the server. The driver leaves it open,
    # with its memory, until the transaction ends, which is the end of the run.
    reading = driver.transaction()
    await reading.start()
    cursor = await driver.cursor(
        "select session_id, seq, type, version, stored_at, body from event_log"
        " where session_id = any($1::text[]) order by session_id, seq",
        list(session_ids),
    )
    # Its rows are tuples, but for their type.
    while page := cast("Sequence[StoredRow]", await cursor.fetch(ROWS_AT_ONCE)):
        yield page
    await reading.rollback()
