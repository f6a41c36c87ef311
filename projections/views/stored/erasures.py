"""What was erased: that it was, when and how much; of whom only a digest, to know late records by.

erasures           a row per erasure; `pending` says whom, until it is proved
erased_sessions    a digest per erased session: a record that arrives late is recognised by it
"""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    Identity,
    Integer,
    Table,
    Text,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import OperatorFault
from offhook.projections.views.view import metadata

ERASED = "erased:"
"""Begins the ids of rows whose session was erased. A colon is in no session's id."""

erasures = Table(
    "erasures",
    metadata,
    Column("erasure_id", BigInteger, Identity(), primary_key=True),
    Column("begun_at", DateTime(timezone=True), nullable=False),
    Column("erased_at", DateTime(timezone=True)),
    Column("pending", JSONB),  # see IS_PENDING
    Column("sessions", Integer, nullable=False),
    Column("records", BigInteger, nullable=False),  # in event_log and in segments
    Column("messages", BigInteger, nullable=False),  # in the streams
    Column("segments", Integer, nullable=False),  # that were written again
    # Segments that it ended without, because they are lost.
    Column("given_up", ARRAY(Text), nullable=False, server_default=text("'{}'")),
)

# Of one that is proved it is JSON's null.
IS_PENDING = func.jsonb_typeof(erasures.c.pending) == "object"

erased_sessions = Table(
    "erased_sessions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("erasure_id", BigInteger),
)


def digest_of(session_id: str) -> str:
    """What is kept of an erased session's id. The carrier's ids are random, so none is guessed."""
    return hashlib.sha256(b"offhook erased session " + session_id.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """Erasures without a proof: `offhook erase --resume` finishes them."""

    count: int
    since: datetime | None  # when the first of them began


async def read_unfinished(connection: AsyncConnection) -> Unfinished:
    """Those that were interrupted, are at work, or are to erase what arrived late."""
    found = await connection.execute(
        select(func.count(), func.min(erasures.c.begun_at)).where(IS_PENDING)
    )
    count, since = found.one()
    return Unfinished(count=count, since=since)


async def require_rows_erased(connection: AsyncConnection) -> None:
    """Raise OperatorFault if an erasure was interrupted before it erased the rows of the views.

    Their records may be gone by then: nothing else could make these rows.
    """
    found = await connection.execute(
        select(erasures.c.erasure_id)
        .where(
            erasures.c.erased_at.is_(None),
            text(
                "exists (select from jsonb_array_elements_text(pending->'session_ids') as each"
                " join sessions on sessions.session_id = each.value)"
            ),
        )
        .order_by(erasures.c.erasure_id)
        .limit(1)
    )
    if (erasure_id := found.scalar_one_or_none()) is not None:
        raise OperatorFault(
            f"erasure {erasure_id} was interrupted before it had erased its sessions from the"
            " views: run `offhook erase --resume` first"
        )


async def add_counts(connection: AsyncConnection, erasure_id: int, **counts: int) -> None:
    """Add to what the erasure has erased: `records`, `messages`, `segments`."""
    await connection.execute(
        update(erasures)
        .where(erasures.c.erasure_id == erasure_id)
        .values({name: erasures.c[name] + count for name, count in counts.items()})
    )


async def erase_again(connection: AsyncConnection, session_ids: Collection[str]) -> None:
    """Have records that arrived for erased sessions erased too: `Eraser.finish` does it."""
    for session_id in sorted(session_ids):
        await connection.execute(
            text(
                "insert into erasures (begun_at, pending, sessions, records, messages, segments)"
                " select now(), jsonb_build_object('session_ids', jsonb_build_array("
                " cast(:session_id as text))), 0, 0, 0, 0 where not exists"
                " (select from erasures where erased_at is null and pending->'session_ids' ? :id)"
            ),
            {"session_id": session_id, "id": session_id},
        )


async def copy_erased(
    connection: AsyncConnection, tables: Iterable[str], live: str, other: str
) -> None:
    """Copy the rows of erased sessions into another version of the views: no record makes them.

    `tables` are those of the views; `live` and `other` are schemas, as quoted identifiers. A row
    that is there already stays.
    """
    for table in tables:
        await connection.execute(
            text(
                f"insert into {other}.{table} select * from {live}.{table}"
                f" where starts_with(session_id, :erased) on conflict do nothing"
            ),
            {"erased": ERASED},
        )
