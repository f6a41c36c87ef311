"""Every subject of which hours and days are kept, and the tables for it."""

from collections.abc import Sequence

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.analytics.hourly.days import (
    COMMAND_DAYS,
    VISIT_DAYS,
    Daily,
    make_days,
)
from offhook.projections.views.analytics.hourly.figure_hours import COMMAND_HOURS, VISIT_HOURS
from offhook.projections.views.analytics.hourly.load_hours import LOAD_HOURS
from offhook.projections.views.analytics.hourly.making import Hourly, hours_made, make_every_hour
from offhook.projections.views.analytics.rollups.changes import hour_changes

KEPT_HOURS: Sequence[Hourly] = (LOAD_HOURS, COMMAND_HOURS, VISIT_HOURS)

KEPT_DAYS: Sequence[Daily] = (COMMAND_DAYS, VISIT_DAYS)

HOURLY_TABLES: Sequence[Table] = (
    hour_changes,
    hours_made,
    *(subject.table for subject in KEPT_HOURS),
    *(daily.table for daily in KEPT_DAYS),
)


async def make_everything(connection: AsyncConnection) -> None:
    """Make all hours and days that are over, in tables that no other transaction knows."""
    for subject in KEPT_HOURS:
        await make_every_hour(connection, subject)
    for daily in KEPT_DAYS:
        while await make_days(connection, daily):
            pass
