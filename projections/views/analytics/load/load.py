"""Load: how many calls are up at once, how many start in a second, and the busy hour.

Whole hours are kept (`hourly`), the rest of a range is counted from legs: `whole`. Buckets of
less than an hour, and the group of all others, are counted from legs alone: `legs`. All of it
is exact. A call that has not ended is up until now, and nothing is known of later.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.analytics.grouping.buckets import (
    LOCAL,
    has_whole_hours,
)
from offhook.projections.views.analytics.grouping.planning import plan_for_range, plan_once
from offhook.projections.views.analytics.grouping.wanted import (
    GROUPS_MAX,
    GroupsWanted,
    TooManyGroups,
)
from offhook.projections.views.analytics.hourly.making import whole_hours
from offhook.projections.views.analytics.kpis import ERLANGS_FORMULA, Ratio
from offhook.projections.views.analytics.load.legs import statement_from_legs
from offhook.projections.views.analytics.load.whole import statement_from_hours
from offhook.projections.views.view import storable

LOAD_DIMENSIONS = {
    "direction": "incoming, outgoing",
    "connection_id": "the carrier's connection",
}

CPS_FORMULA = (
    "the most calls that started in one second of the clock, and the nearest rank of 99 % of all "
    "seconds, those without a call too"
)

LOAD_FIGURES: Mapping[str, tuple[str, str, str]] = {
    "peak": (
        "the most calls that were up at once",
        "Offhook",
        "greatest sum of +1 at each start and -1 at each end, in order of time",
    ),
    "erlangs": ("mean number of calls that were up", "traffic in erlangs", ERLANGS_FORMULA),
    "calls_per_second": (
        "calls that started in a second of the clock: peak and 99th percentile",
        "Offhook",
        CPS_FORMULA,
    ),
    "busy_hour": (
        "the hour of the clock in UTC with the most erlangs, and the calls that started in it",
        "teletraffic: busy hour, BHCA",
        "hour with the most seconds that calls were up",
    ),
}
"""Meaning, source, formula."""


@dataclass(frozen=True, kw_only=True)
class CallsPerSecond:
    """Calls that started in a second of the clock. `seconds` is how many seconds there were."""

    peak: int
    p99: int
    seconds: int


@dataclass(frozen=True, kw_only=True)
class BusyHour:
    """The hour of the clock, in UTC, in which calls were up for the longest time together.

    `end` is an hour later, or where the bucket ends, or now. `calls` are those that started in it.
    """

    start: datetime
    end: datetime
    erlangs: Ratio
    calls: int


@dataclass(frozen=True, kw_only=True)
class LoadView:
    """The load of one group. `group` has the value of each dimension that was asked for.

    `start` and `end` are of its bucket, cut off by the range. `is_other` is the group of all that
    are not among the busiest. `busy_hour` is null in buckets of an hour or less.
    """

    start: datetime
    end: datetime
    group: Mapping[str, str | None]
    is_other: bool
    calls: int  # started in the bucket
    peak: int  # up at once
    erlangs: Ratio
    calls_per_second: CallsPerSecond
    busy_hour: BusyHour | None


async def read_load(
    connection: AsyncConnection, wanted: GroupsWanted, now: datetime
) -> list[LoadView]:
    """In order of time, then the busiest first; only groups with calls that were up or started.

    Raises UnknownTimeZone, TooManyGroups.
    """
    known_until = min(max(now, wanted.start), wanted.end)
    values: dict[str, Any] = {
        "since": wanted.start,
        "until": wanted.end,
        "known_until": known_until,
        "top": wanted.top,
        "groups_max": GROUPS_MAX,
        **{name: storable(value) for name, value in wanted.filters.items()},
    }
    if wanted.unit in LOCAL:
        values["tz"] = wanted.tz
    statement = statement_from_legs(wanted)
    if await has_whole_hours(connection, wanted.unit, wanted.tz, wanted.start, wanted.end):
        await plan_once(connection)
        more = whole_hours(wanted.start, wanted.end)
        found = await connection.execute(
            statement_from_hours(wanted).columns(seconds=JSONB), values | more
        )
        rows = found.all()
        if not rows or rows[0].groups <= wanted.top:
            return _loads(rows, wanted, known_until)
    await plan_for_range(connection)
    found = await connection.execute(statement.columns(seconds=JSONB), values)
    return _loads(found.all(), wanted, known_until)


def _loads(
    rows: Sequence["Row[Any]"], wanted: GroupsWanted, known_until: datetime
) -> list[LoadView]:
    if len(rows) > GROUPS_MAX:
        raise TooManyGroups
    return [_load(row, wanted, known_until) for row in rows]


def _load(row: "Row[Any]", wanted: GroupsWanted, known_until: datetime) -> LoadView:
    known_to = max(row.starts_at, min(row.ends_at, known_until))
    return LoadView(
        start=row.starts_at,
        end=row.ends_at,
        group={name: getattr(row, name) for name in wanted.by},
        is_other=row.is_other,
        calls=row.calls,
        peak=row.peak,
        erlangs=_erlangs(row.up_us, row.starts_at, known_to),
        calls_per_second=_per_second(row.seconds, row.starts_at, known_to),
        busy_hour=_busy_hour(row, known_to) if wanted.unit not in _NO_BUSY_HOUR else None,
    )


def _busy_hour(row: "Row[Any]", known_to: datetime) -> BusyHour | None:
    if row.hour is None:
        return None
    start = max(row.hour, row.starts_at)
    end = min(row.hour + timedelta(hours=1), known_to)
    return BusyHour(
        start=start, end=end, erlangs=_erlangs(row.hour_us, start, end), calls=row.hour_calls
    )


def _erlangs(up_us: int, start: datetime, end: datetime) -> Ratio:
    return Ratio.of(int(up_us) / 1e6, (end - start).total_seconds(), ERLANGS_FORMULA)


def _per_second(counted: Mapping[str, int], start: datetime, end: datetime) -> CallsPerSecond:
    """Of how many seconds had each number of calls; the others had none."""
    seconds = max(0, math.ceil(end.timestamp()) - math.floor(start.timestamp()))
    above = seconds // 100  # seconds that may have more than the rank's
    p99 = 0
    for calls, count in sorted(((int(each), n) for each, n in counted.items()), reverse=True):
        if count > above:
            p99 = calls
            break
        above -= count
    return CallsPerSecond(peak=max(map(int, counted), default=0), p99=p99, seconds=seconds)


_NO_BUSY_HOUR = ("minute", "5m", "15m", "hour")
