"""Make the figures of hours that are over, and notice which are old.

Who makes hours has the makers' lock: two of them that began at different numbers of changes could
mix their rows. What is read of an hour and its number of changes are of one statement, so they fit.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    PrimaryKeyConstraint,
    Table,
    Text,
    bindparam,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.analytics.grouping.buckets import hour_after
from offhook.projections.views.view import metadata

HOURS_AT_ONCE = 24
"""Hours that one statement makes."""

HOURS_MAX = 1_000_000
"""Hours that are made in one transaction: a century."""

hours_made = Table(
    "hours_made",
    metadata,
    Column("subject", Text, nullable=False),
    Column("hour", DateTime(timezone=True), nullable=False),
    Column("changes", BigInteger, nullable=False),  # of which its figures are
    Column("definition", Text, nullable=False),  # by which they were made
    PrimaryKeyConstraint("subject", "hour"),
)

_LOCK = "offhook hours"


@dataclass(frozen=True, kw_only=True)
class Hourly:
    """A subject: `rows` is SQL for the rows of its table, of the hours in the CTE `due (hour)`.

    Another SQL is another definition, and makes all hours old.
    """

    name: str
    table: Table
    rows: str

    @cached_property
    def definition(self) -> str:
        """What is stored with the hours that it made."""
        return hashlib.sha256(self.rows.encode()).hexdigest()[:16]


def kept_hours(subject: Hourly) -> str:
    """A query of the hours of [:first, :last) with changes: `hour`, `changes`, and whether its row
    `is_kept`.

    Of an hour that is not over at :known_until nothing is kept.
    """
    return f"""select changed.hour, changed.changes, coalesce(made.changes = changed.changes
            and changed.hour + interval '1 hour' <= :known_until, false) as is_kept
        from (
            select hour, sum(changes) as changes from hour_changes
            where subject = '{subject.name}' and hour >= :first and hour < :last
            group by hour
        ) as changed
        left join hours_made as made on made.subject = '{subject.name}'
            and made.hour = changed.hour and made.definition = '{subject.definition}'"""


def whole_hours(start: datetime, end: datetime) -> dict[str, Any]:
    """Parameters: `first` and `last`, between which hours of the range are whole, and the arrays
    `from_ends` and `to_ends`, what is before and after them."""
    first, last = hour_after(start), end.replace(minute=0, second=0, microsecond=0)
    if first > last:
        return no_whole_hours(start, end)
    rest = [(a, b) for a, b in ((start, first), (last, end)) if a < b]
    return {
        "first": first,
        "last": last,
        "from_ends": [a for a, _ in rest],
        "to_ends": [b for _, b in rest],
    }


def no_whole_hours(start: datetime, end: datetime) -> dict[str, Any]:
    """The same for a range of which nothing is taken from whole hours."""
    return {"first": end, "last": end, "from_ends": [start], "to_ends": [end]}


async def list_old_hours(
    connection: AsyncConnection, subject: Hourly, limit: int
) -> Sequence[datetime]:
    """Hours that are over and have to be made, the latest first."""
    found = await connection.execute(
        text(
            f"select hour from ({kept_hours(subject)}) as each where not is_kept"
            " order by hour desc limit :limit"
        ).bindparams(
            bindparam("first", type_=DateTime(timezone=True)),
            bindparam("last", type_=DateTime(timezone=True)),
            bindparam("known_until", type_=DateTime(timezone=True)),
        ),
        await until_now(connection) | {"limit": limit},
    )
    return found.scalars().all()


async def take_makers_lock(connection: AsyncConnection) -> bool:
    """Whether this transaction has the lock; if not, another one makes hours."""
    found = await connection.execute(
        text("select pg_try_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": _LOCK}
    )
    return bool(found.scalar_one())


async def make_hours(
    connection: AsyncConnection, subject: Hourly, hours: Sequence[datetime]
) -> None:
    """Replace what is kept of these hours. The transaction has the makers' lock, or tables that no
    other one knows; it must not be of REPEATABLE READ."""
    times = bindparam("hours", list(hours), ARRAY(DateTime(timezone=True)))
    await connection.execute(
        text(f"delete from {subject.table.name} where hour = any(:hours)").bindparams(times)
    )
    await connection.execute(text(_made(subject)).bindparams(times))


async def make_every_hour(connection: AsyncConnection, subject: Hourly) -> None:
    """Make all hours that are over; as `make_hours`."""
    hours = await list_old_hours(connection, subject, HOURS_MAX)
    for at in range(0, len(hours), HOURS_AT_ONCE):
        await make_hours(connection, subject, hours[at : at + HOURS_AT_ONCE])


async def until_now(connection: AsyncConnection) -> dict[str, datetime]:
    """The parameters of `kept_hours` for all hours with changes."""
    found = await connection.execute(
        text("select min(hour) as first, clock_timestamp() as now from hour_changes")
    )
    row = found.one()
    return {"first": row.first or row.now, "last": row.now, "known_until": row.now}


def _made(subject: Hourly) -> str:
    columns = ", ".join(column.name for column in subject.table.columns)
    return f"""with due as materialized (
    select hour, sum(changes) as changes from hour_changes
    where subject = '{subject.name}' and hour = any(:hours)
    group by hour
), written as (
    insert into {subject.table.name} ({columns}) {subject.rows}
)
insert into hours_made (subject, hour, changes, definition)
select '{subject.name}', hour, changes, '{subject.definition}' from due
on conflict (subject, hour) do update
set changes = excluded.changes, definition = excluded.definition"""
