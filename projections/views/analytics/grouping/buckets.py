"""Buckets of time in any time zone, in SQL; a bucket begins at a whole minute or later."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

Unit = Literal["minute", "5m", "15m", "hour", "day", "week", "month"]

INTERVALS: Mapping[Unit, str] = {
    "minute": "1 minute",
    "5m": "5 minutes",
    "15m": "15 minutes",
    "hour": "1 hour",
    "day": "1 day",
    "week": "7 days",
    "month": "1 month",
}

SHORT = ("minute", "5m", "15m")
"""Units of less than an hour."""

LOCAL = ("minute", "hour", "day", "week", "month")
"""Units whose buckets depend on the time zone."""


class UnknownTimeZone(ValueError):
    """Postgres does not know a time zone of that name."""


def bucket_start(unit: Unit | None, at: str = "started_at") -> str:
    """Where the bucket of that time begins, in SQL; its parameters are since and tz."""
    match unit:
        case None:
            return "cast(:since as timestamptz)"
        case "5m" | "15m":
            # All time zones of the present are whole quarters of an hour from UTC.
            return f"date_bin('{INTERVALS[unit]}', {at}, '1970-01-01 00:00:00+00')"
        case _:
            return f"date_trunc('{unit}', {at}, cast(:tz as text))"


def bucket_end(unit: Unit | None) -> str:
    """Where the bucket ends that begins at starts_at."""
    match unit:
        case None:
            return "cast(:until as timestamptz)"
        case "day" | "week" | "month":
            tz = "cast(:tz as text)"
            return f"(starts_at at time zone {tz} + interval '{INTERVALS[unit]}') at time zone {tz}"
        case _:
            return f"starts_at + interval '{INTERVALS[unit]}'"


async def has_whole_hours(
    connection: AsyncConnection, unit: Unit | None, tz: str, start: datetime, end: datetime
) -> bool:
    """Whether every hour of UTC is in one bucket. Raises UnknownTimeZone."""
    if tz == "UTC":
        return unit not in SHORT
    try:
        # An offset may change within the range, but not for less than a month.
        found = await connection.execute(
            text(
                "select bool_and(extract(minute from at at time zone cast(:tz as text)) ="
                " extract(minute from at at time zone 'UTC')) from (select generate_series("
                ":since, :until, interval '28 days') union select :until) as each (at)"
            ).bindparams(since=start, until=end, tz=tz)
        )
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _INVALID_PARAMETER:
            raise UnknownTimeZone(tz) from error
        raise
    return bool(found.scalar_one()) and unit not in SHORT


def hour_after(at: datetime) -> datetime:
    """The first whole hour that is not before."""
    hour = at.replace(minute=0, second=0, microsecond=0)
    return hour if hour == at else hour + timedelta(hours=1)


_INVALID_PARAMETER = "22023"
