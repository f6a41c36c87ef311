"""Buckets of time in any time zone, in SQL; a bucket begins at a whole minute or later."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.database.errors import sqlstate_of

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
    """What the bucket of that time is known by, in SQL; its parameters are since and tz.

    It is where the bucket begins, except next to a change of the clocks: see `bucket_begin`.
    """
    match unit:
        case None:
            return "cast(:since as timestamptz)"
        case "5m" | "15m":
            # All time zones of the present are whole quarters of an hour from UTC.
            return f"date_bin('{INTERVALS[unit]}', {at}, '1970-01-01 00:00:00+00')"
        case _:
            return f"date_trunc('{unit}', {at}, {_TZ})"


def bucket_begin(unit: Unit | None) -> str:
    """Where the bucket begins that is known as starts_at."""
    match unit:
        case "hour":
            # Lord Howe changes its clocks by half an hour: each time an hour of the clock lasts
            # half as long, and what `date_trunc` makes of its times is before it.
            is_in_itself = f"date_trunc('hour', starts_at, {_TZ}) = starts_at"
            return f"(starts_at + case when {is_in_itself} then '0' else interval '30 minutes' end)"
        case "day" | "week" | "month":
            return _first_at(_local_start(unit))
        case _:
            return "starts_at"


def bucket_end(unit: Unit | None) -> str:
    """Where the bucket ends that is known as starts_at."""
    match unit:
        case None:
            return "cast(:until as timestamptz)"
        case "day" | "week" | "month":
            return _first_at(f"{_local_start(unit)} + interval '{INTERVALS[unit]}'")
        case _:
            return f"starts_at + interval '{INTERVALS[unit]}'"


def buckets_between(unit: Unit, start: str, end: str) -> str:
    """A query of the buckets of a span, as `starts_at`; there may be others before and after it."""
    match unit:
        case "hour":
            times = f"generate_series(date_trunc('hour', {start}, {_TZ}), {end}, '30 minutes')"
            return f"select distinct {bucket_start(unit, 'at')} as starts_at from {times} as at"
        case "day" | "week" | "month":
            first = f"date_trunc('{unit}', {start} at time zone {_TZ})"
            step = f"interval '{INTERVALS[unit]}'"
            times = f"generate_series({first}, {end} at time zone {_TZ}, {step})"
            return f"select local at time zone {_TZ} as starts_at from {times} as local"
        case _:
            step = f"interval '{INTERVALS[unit]}'"
            return (
                f"select generate_series({bucket_start(unit, start)}, {end}, {step}) as starts_at"
            )


def _local_start(unit: Unit) -> str:
    # Where the clocks go forward at midnight, the day is known by 01:00.
    return f"date_trunc('{unit}', starts_at at time zone {_TZ})"


def _first_at(local: str) -> str:
    """When it is that time in the time zone; the first time if it comes twice.

    Postgres takes the second one: where the clocks go back at midnight, that is an hour late.
    """
    second = f"(({local}) at time zone {_TZ})"
    is_first = f"({second} - interval '1 hour') at time zone {_TZ} <> {local}"
    return f"({second} - case when {is_first} then '0' else interval '1 hour' end)"


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
        if sqlstate_of(error) == _INVALID_PARAMETER:
            raise UnknownTimeZone(tz) from error
        raise
    return bool(found.scalar_one()) and unit not in SHORT


def hour_after(at: datetime) -> datetime:
    """The first whole hour that is not before."""
    hour = at.replace(minute=0, second=0, microsecond=0)
    return hour if hour == at else hour + timedelta(hours=1)


def day_after(at: datetime) -> datetime:
    """The first whole day that is not before."""
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return day if day == at else day + timedelta(days=1)


_TZ = "cast(:tz as text)"
_INVALID_PARAMETER = "22023"
