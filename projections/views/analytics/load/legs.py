"""The statement of load that reads every leg of the range.

It is for buckets of less than an hour, and for more groups than are asked for: the peak of all
others is no sum of theirs.
"""

from sqlalchemy import TextClause, text

from offhook.projections.views.analytics.grouping.buckets import (
    bucket_begin,
    bucket_end,
    bucket_start,
    buckets_between,
)
from offhook.projections.views.analytics.grouping.wanted import GroupsWanted
from offhook.projections.views.analytics.hourly.load_hours import COLUMNS, legs_up


def statement_from_legs(wanted: GroupsWanted) -> TextClause:
    """A row for each bucket and group; parameters as in `load`."""
    filters = "".join(f" and {name} = :{name}" for name in sorted(wanted.filters))
    dimensions = "".join(f", {name}" for name in wanted.by)
    return text(
        _SQL.format(
            parts=legs_up(COLUMNS, ":since", ":until"),
            filters=filters,
            key=f"jsonb_build_array({', '.join(wanted.by)})",
            dimensions=dimensions,
            pieces=_PIECES.format(
                buckets=buckets_between(wanted.unit, "up_from", "up_to"),
                begins=bucket_begin(wanted.unit),
                ends=bucket_end(wanted.unit),
            )
            if wanted.unit
            else _ONE_PIECE,
            starts=bucket_start(wanted.unit),
            begins=bucket_begin(wanted.unit),
            ends=bucket_end(wanted.unit),
        )
    )


_ONE_PIECE = (
    "select cast(:since as timestamptz) as starts_at, place, up_from as from_at, up_to as to_at"
    " from placed where up_from < up_to"
)

_PIECES = """select * from (
        select starts_at, place, greatest({begins}, up_from) as from_at,
            least({ends}, up_to) as to_at
        from placed cross join lateral ({buckets}) as each
        where up_from < up_to
    ) as piece where from_at < to_at"""

_SQL = """
with legs_up as materialized (
    select direction, connection_id, started_at, greatest(started_at, :since) as up_from,
        least(up_to, :known_until) as up_to
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
select greatest({begins}, :since) as starts_at, least({ends}, :until) as ends_at,
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
