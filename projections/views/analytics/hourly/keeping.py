"""Makes the figures of hours and days that are over, beside the projector's batches.

Of several projectors one does it at a time. The latest hours come first, and pauses leave half of
the time to others: after an upgrade there may be years to make.
"""

import asyncio
import logging
import time

from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.projections.views.analytics.hourly.days import DAYS_AT_ONCE, Daily, make_days
from offhook.projections.views.analytics.hourly.kept import KEPT_DAYS, KEPT_HOURS
from offhook.projections.views.analytics.hourly.making import (
    HOURS_AT_ONCE,
    Hourly,
    list_old_hours,
    make_hours,
    take_makers_lock,
)
from offhook.projections.views.database.errors import DATABASE_ERRORS

EVERY_S = 60.0
"""How often it looks for hours; readers count the others from rows meanwhile."""

HOURS_LISTED = 50 * HOURS_AT_ONCE

_log = logging.getLogger(__name__)


async def keep_hours(engine: AsyncEngine) -> None:
    """Make hours, for as long as a projector runs."""
    while True:
        try:
            await make_old(engine)
        except DATABASE_ERRORS as error:
            _log.warning(
                "hours that are over are not made; they are counted from rows",
                extra={"error": repr(error)},
            )
        await asyncio.sleep(EVERY_S)


async def make_old(engine: AsyncEngine) -> None:
    """Make every hour and day that is over and old."""
    for subject in KEPT_HOURS:
        await make_old_hours(engine, subject)
    for daily in KEPT_DAYS:
        await make_old_days(engine, daily)


async def make_old_hours(engine: AsyncEngine, subject: Hourly) -> int:
    """Make every hour of the subject that is over and old; how many."""
    made = 0
    while True:
        async with engine.connect() as connection:
            hours = await list_old_hours(connection, subject, HOURS_LISTED)
        for at in range(0, len(hours), HOURS_AT_ONCE):
            several = hours[at : at + HOURS_AT_ONCE]
            began_at = time.monotonic()
            async with engine.begin() as connection:
                if not await take_makers_lock(connection):
                    return made
                await make_hours(connection, subject, several)
            made += len(several)
            if len(hours) > HOURS_AT_ONCE:
                await asyncio.sleep(time.monotonic() - began_at)
        if len(hours) < HOURS_LISTED:
            return made


async def make_old_days(engine: AsyncEngine, daily: Daily) -> int:
    """Make every day of the subject that is over and old, of which the hours are made; how many."""
    made = 0
    while True:
        began_at = time.monotonic()
        async with engine.begin() as connection:
            if not await take_makers_lock(connection):
                return made
            count = await make_days(connection, daily)
        made += count
        if count < DAYS_AT_ONCE:
            return made
        await asyncio.sleep(time.monotonic() - began_at)
