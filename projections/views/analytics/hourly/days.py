"""Whole days of UTC of a subject of figures, made of its hours once all of them are kept.

A day is stored with the sum of its hours' numbers of changes. These only grow, so the sum is the
same as long as each of them is.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from sqlalchemy import ARRAY, BigInteger, Column, DateTime, Index, Table, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.analytics.grouping.buckets import day_after
from offhook.projections.views.analytics.hourly.figure_hours import COMMAND_HOURS, VISIT_HOURS
from offhook.projections.views.analytics.hourly.making import Hourly, kept_hours, until_now
from offhook.projections.views.analytics.rollups.changes import DAYS
from offhook.projections.views.analytics.subjects.commands import COMMANDS
from offhook.projections.views.analytics.subjects.subject import Subject
from offhook.projections.views.analytics.subjects.visits import VISITS
from offhook.projections.views.view import metadata

DAYS_AT_ONCE = 7
"""Days that one statement makes."""


@dataclass(frozen=True, kw_only=True)
class Daily:
    """The days of a subject. In `hours_made` each is known by its first hour."""

    hours: Hourly
    table: Table
    dimensions: tuple[str, ...]

    @property
    def name(self) -> str:
        """As a subject of `hours_made`; the triggers of the rows know it too."""
        return f"{self.hours.name}{DAYS}"

    @cached_property
    def rows(self) -> str:
        """SQL for the rows of the table, of the days in the CTE `due (day)`."""
        by = ", ".join(("kind", "day", *self.dimensions))
        return f"""select {by}, array_agg(number order by number), array_agg(total order by number)
    from (
        select {by}, each.number, sum(each.total)::bigint as total
        from due join {self.hours.table.name} as kept
            on kept.hour >= due.day and kept.hour < due.day + interval '1 day'
        cross join lateral unnest(kept.numbers, kept.totals) as each (number, total)
        group by {by}, each.number
    ) as summed group by {by}"""

    @cached_property
    def definition(self) -> str:
        """What is stored with the days that it made: that of its hours is in it."""
        return hashlib.sha256(f"{self.hours.definition} {self.rows}".encode()).hexdigest()[:16]


def kept_days(daily: Daily, condition: str) -> str:
    """A query over the CTE `hours`, made by `kept_hours`: `day`, each in [:first_day, :last_day) of
    which the figures count.

    Of a day that is not over at :known_until nothing is kept.
    """
    return f"""select day from (
        select date_trunc('day', hour, 'UTC') as day, sum(changes) as changes from hours
        where hour >= :first_day and hour < :last_day
        group by day
    ) as changed
    join hours_made as made on made.subject = '{daily.name}' and made.hour = changed.day
        and made.definition = '{daily.definition}' and made.changes = changed.changes
    where day + interval '1 day' <= :known_until and {condition}"""


def whole_days(first: datetime, last: datetime) -> dict[str, datetime]:
    """Parameters: `first_day` and `last_day`, between which days of the whole hours are whole."""
    return {"first_day": day_after(first), "last_day": last.replace(hour=0)}


async def make_days(connection: AsyncConnection, daily: Daily) -> int:
    """Make up to DAYS_AT_ONCE days that are over, of which all hours are kept, the latest first.

    Returns how many. The transaction is as `make_hours` needs it.
    """
    times = (bindparam(name, type_=DateTime(timezone=True)) for name in _TIMES)
    found = await connection.execute(
        text(_made(daily)).bindparams(*times), await until_now(connection)
    )
    return found.rowcount


_TIMES = ("first", "last", "known_until")


def _made(daily: Daily) -> str:
    columns = ", ".join(column.name for column in daily.table.columns)
    return f"""with hours as materialized (
    {kept_hours(daily.hours)}
), due as materialized (
    select day, changes from (
        select date_trunc('day', hour, 'UTC') as day, sum(changes) as changes from hours
        group by day having bool_and(is_kept)
    ) as whole
    where day + interval '1 day' <= :known_until and not exists (
        select from hours_made as made where made.subject = '{daily.name}' and made.hour = day
            and made.definition = '{daily.definition}' and made.changes = whole.changes
    )
    order by day desc limit {DAYS_AT_ONCE}
), gone as (
    delete from {daily.table.name} as old using due where old.day = due.day
), written as (
    insert into {daily.table.name} ({columns}) {daily.rows}
)
insert into hours_made (subject, hour, changes, definition)
select '{daily.name}', day, changes, '{daily.definition}' from due
on conflict (subject, hour) do update
set changes = excluded.changes, definition = excluded.definition"""


def _daily(subject: Subject, hours: Hourly, table: str) -> Daily:
    return Daily(
        hours=hours,
        dimensions=tuple(subject.dimensions),
        table=Table(
            table,
            metadata,
            Column("kind", Text, nullable=False),  # of the subject's kinds
            Column("day", DateTime(timezone=True), nullable=False),
            *(Column(name, Text) for name in subject.dimensions),
            Column("numbers", ARRAY(BigInteger), nullable=False),  # as `subject` has them
            Column("totals", ARRAY(BigInteger), nullable=False),
            Index(f"{table}_day_index", "day", "kind"),
        ),
    )


COMMAND_DAYS = _daily(COMMANDS, COMMAND_HOURS, "command_days")
VISIT_DAYS = _daily(VISITS, VISIT_HOURS, "visit_days")

DAYS_OF = {COMMANDS.name: COMMAND_DAYS, VISITS.name: VISIT_DAYS}
"""By the name of the subject."""
