"""Whether what triggers and the projector keep is what is made of all rows at once."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.projections.views.analytics.hourly.days import Daily, make_days
from offhook.projections.views.analytics.hourly.kept import HOURLY_TABLES, KEPT_DAYS, KEPT_HOURS
from offhook.projections.views.analytics.hourly.making import Hourly, make_hours
from offhook.projections.views.analytics.rollups.changes import FILL_CHANGES
from offhook.projections.views.analytics.rollups.filling import fill_rollups
from offhook.projections.views.analytics.rollups.tables import OF_BLOCK
from offhook.projections.views.database.transactions import read_at_one_moment

# A row that has come to nothing stays.
CONDITIONS = {
    "leg_sums": "calls <> 0",
    "leg_classes": f"({', '.join(OF_BLOCK)}) <> ({', '.join('0' for _ in OF_BLOCK)})",
    "leg_costs": "legs <> 0",
    "leg_repeats": "true",
}

CURRENT = (
    "select hour from hours_made as made where subject = :made and definition = :definition"
    " and changes = (select sum(changes) from hour_changes as changed"
    " where changed.subject = :subject and date_trunc(:level, changed.hour, 'UTC') = made.hour)"
)


async def assert_rolled_up(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await read_at_one_moment(connection)
        kept = await rolled_up(connection)
        hours = {subject: await current_hours(connection, subject) for subject in KEPT_HOURS}
        rows = {
            subject: await _rows(connection, subject.table.name, "hour = any(:hours)", hours=hours)
            for subject, hours in hours.items()
        }
        days = {daily: await current_days(connection, daily) for daily in KEPT_DAYS}
        rows_of_days = {
            daily: await _rows(connection, daily.table.name, "day = any(:days)", days=days)
            for daily, days in days.items()
        }
        changed = await _rows(connection, "(select distinct subject, hour from hour_changes)")
        for table in (*CONDITIONS, *(each.name for each in HOURLY_TABLES)):
            # Of this session alone, and found before the one that it is like.
            await connection.execute(
                text(f"create temporary table {table} (like {table} including all) on commit drop")
            )
        await fill_rollups(connection)
        for statement in FILL_CHANGES.values():
            await connection.execute(text(statement))
        assert await rolled_up(connection) == kept
        assert (
            await _rows(connection, "(select distinct subject, hour from hour_changes)") <= changed
        )
        for subject, current in hours.items():
            await make_hours(connection, subject, current)
            assert await _rows(connection, subject.table.name) == rows[subject]
        for daily, of_daily in rows_of_days.items():
            while await make_days(connection, daily):
                pass
            made = await _rows(connection, daily.table.name, "day = any(:days)", days=days[daily])
            assert made == of_daily
        await connection.rollback()


async def current_hours(connection: AsyncConnection, subject: Hourly) -> list[datetime]:
    """Hours of which the figures are kept and count."""
    return await _current(connection, subject.name, subject, "hour")


async def current_days(connection: AsyncConnection, daily: Daily) -> list[datetime]:
    """The first hours of days of which the figures are kept and count."""
    return await _current(connection, daily.hours.name, daily, "day")


async def _current(
    connection: AsyncConnection, subject: str, made: Hourly | Daily, level: str
) -> list[datetime]:
    found = await connection.execute(
        text(CURRENT),
        {
            "subject": subject,
            "made": made.name,
            "definition": made.definition,
            "level": level,
        },
    )
    return list(found.scalars())


async def rolled_up(
    connection: AsyncConnection, conditions: Mapping[str, str] = CONDITIONS
) -> dict[str, set[str]]:
    """The rows of each roll-up, as text."""
    return {
        table: await _rows(connection, table, condition) for table, condition in conditions.items()
    }


async def _rows(
    connection: AsyncConnection, table: str, condition: str = "true", **values: Any
) -> set[str]:
    found = await connection.execute(
        text(f"select cast(each as text) from {table} as each where {condition}"), values
    )
    return set(found.scalars())
