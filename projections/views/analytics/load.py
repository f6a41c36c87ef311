"""Load: how many calls are up at once, how many start in a second, and the busy hour.

    legs that are up in the range ─▶ cut at the buckets ─┬─ sweep ───▶ most at once
                                                         ├─ sum ─────▶ erlangs, by hour: busy hour
                                  starts by second ──────┴───────────▶ calls per second

A peak of a sum is no sum of peaks, so these do not come from roll-ups: they are exact, and read the
legs of the range. A call that has not ended is up until now, and nothing is known of later.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.analytics.grouping.buckets import (
    INTERVALS,
    LOCAL,
    bucket_end,
    bucket_start,
    require_time_zone,
)
from offhook.projections.views.analytics.grouping.wanted import (
    GROUPS_MAX,
    GroupsWanted,
    TooManyGroups,
)
from offhook.projections.views.analytics.kpis import ERLANGS_FORMULA, Ratio
from offhook.projections.views.analytics.rollups import IS_COUNTED
from offhook.projections.views.view import storable

LOAD_DIMENSIONS = {
    "direction": "incoming, outgoing",
    "connection_id": "the carrier's connection",
}

CPS_FORMULA = (
    "the most calls that started in one second of the clock, and the nearest rank of 99 % of all "
    "seconds, those without a call too"
)


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
    await require_time_zone(connection, wanted.tz)
    await connection.execute(text("set local jit to off"))
    found = await connection.execute(_statement(wanted).columns(seconds=JSONB), values)
    rows = found.all()
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


def _statement(wanted: GroupsWanted) -> TextClause:
    assert {*wanted.by, *wanted.filters} <= {*LOAD_DIMENSIONS}
    filters = "".join(f" and {name} = :{name}" for name in sorted(wanted.filters))
    dimensions = "".join(f", {name}" for name in wanted.by)
    parts = "\n        union all\n        ".join(
        f"select * from legs as leg where {condition} and {IS_COUNTED}" for condition in _PARTS
    )
    return text(
        _SQL.format(
            parts=parts,
            filters=filters,
            key=f"jsonb_build_array({', '.join(wanted.by)})",
            dimensions=dimensions,
            pieces=_PIECES.format(
                first=bucket_start(wanted.unit, "up_from"),
                step=f"interval '{INTERVALS[wanted.unit]}'" if wanted.unit else "null",
                tz=", cast(:tz as text)" if wanted.unit in LOCAL else "",
                ends=bucket_end(wanted.unit),
            )
            if wanted.unit
            else _ONE_PIECE,
            starts=bucket_start(wanted.unit),
            ends=bucket_end(wanted.unit),
        )
    )


LONG = "ended_at - started_at > interval '1 hour'"
"""The condition of an index of calls that may be up in a range without starting or ending in it."""

# Each is a range of an index, and no leg is in two of them.
_PARTS = (
    "started_at >= :since and started_at < :until",
    "started_at < :since and ended_at > :since and ended_at <= :until",
    f"started_at < :since and ended_at > :until and {LONG}",
    "started_at < :since and started_at >= :since - interval '1 hour'"
    f" and ended_at > :until and not ({LONG})",
    "started_at < :since and ended_at is null and up_until > :since",
)

_ONE_PIECE = (
    "select cast(:since as timestamptz) as starts_at, place, up_from as from_at, up_to as to_at"
    " from placed where up_from < up_to"
)

_PIECES = """select starts_at, place, greatest(starts_at, up_from) as from_at,
        least({ends}, up_to) as to_at
    from placed cross join lateral
        generate_series({first}, up_to, {step}{tz}) as each (starts_at)
    where up_from < up_to and starts_at < up_to"""

_SQL = """
with legs_up as materialized (
    select left(direction, 100) as direction, left(connection_id, 100) as connection_id,
        started_at, greatest(started_at, :since) as up_from,
        least(
            case when ended_at is null then coalesce(up_until, :known_until)
                else greatest(ended_at, started_at) end,
            :known_until
        ) as up_to
    from (
        {parts}
    ) as leg
),
keyed as materialized (
    select *, {key} as key from legs_up
    where (up_from < up_to or started_at >= :since){filters}
),
ranked as (
    select key{dimensions}, row_number() over (order by count(*) desc, key) as place
    from keyed group by key{dimensions} order by place limit :top
),
placed as materialized (
    select coalesce(place, 0) as place, started_at, up_from, up_to
    from keyed left join ranked using (key)
),
pieces as materialized (
    {pieces}
),
peaks as (
    select starts_at, place, max(level)::int as peak from (
        select starts_at, place,
            sum(sum(change)) over (partition by starts_at, place order by at) as level
        from (
            select starts_at, place, from_at as at, 1 as change from pieces
            union all
            select starts_at, place, to_at, -1 from pieces
        ) as changes
        group by starts_at, place, at
    ) as levels
    group by starts_at, place
),
hours as (
    select starts_at, place, hour, sum((1000000 * extract(epoch from
        least(hour + interval '1 hour', to_at) - greatest(hour, from_at)))::bigint) as hour_us
    from pieces cross join lateral
        generate_series(date_trunc('hour', from_at, 'UTC'), to_at, interval '1 hour')
            as each (hour)
    where hour < to_at
    group by starts_at, place, hour
),
sums as (
    select starts_at, place, sum(hour_us)::bigint as up_us from hours group by starts_at, place
),
busiest as (
    select distinct on (starts_at, place) starts_at, place, hour, hour_us
    from hours order by starts_at, place, hour_us desc, hour
),
started as materialized (
    select {starts} as starts_at, place, floor(extract(epoch from started_at)) as second,
        date_trunc('hour', started_at, 'UTC') as hour, count(*) as calls
    from placed where started_at >= :since
    group by 1, 2, 3, 4
),
counted as (
    select starts_at, place, sum(calls * times)::int as calls,
        jsonb_object_agg(calls, times) as seconds
    from (
        select starts_at, place, calls, count(*) as times from started group by 1, 2, 3
    ) as each
    group by starts_at, place
),
in_hours as (
    select starts_at, place, hour, sum(calls)::int as hour_calls from started group by 1, 2, 3
),
groups as (
    select starts_at, place from sums union select starts_at, place from counted
)
select greatest(starts_at, :since) as starts_at, least({ends}, :until) as ends_at,
    place = 0 as is_other{dimensions}, coalesce(calls, 0) as calls, coalesce(peak, 0) as peak,
    coalesce(up_us, 0) as up_us, coalesce(seconds, '{{}}') as seconds,
    hour, hour_us, coalesce(hour_calls, 0) as hour_calls
from groups
left join ranked using (place)
left join counted using (starts_at, place)
left join peaks using (starts_at, place)
left join sums using (starts_at, place)
left join busiest using (starts_at, place)
left join in_hours using (starts_at, place, hour)
order by groups.starts_at, place = 0, place
limit :groups_max + 1
"""

_NO_BUSY_HOUR = ("minute", "5m", "15m", "hour")
