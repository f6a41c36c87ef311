"""The statement of load that takes whole hours from those that are kept.

    kept hours ───────────────────────────────────────┐
    other hours, and the ends of the range ─▶ legs ───┴▶ parts ─▶ by bucket and group

A peak is the greatest of its parts', time and calls are sums, and a second is in one part only.
"""

from sqlalchemy import ARRAY, DateTime, TextClause, bindparam, text

from offhook.projections.views.analytics.grouping.buckets import (
    bucket_begin,
    bucket_end,
    bucket_start,
)
from offhook.projections.views.analytics.grouping.wanted import GroupsWanted
from offhook.projections.views.analytics.hourly.load_hours import KINDS, LOAD_HOURS, swept
from offhook.projections.views.analytics.hourly.making import kept_hours


def statement_from_hours(wanted: GroupsWanted) -> TextClause:
    """A row for each bucket and group, with the number of `groups` in all.

    Parameters as in `load`, `first` and `last`, between which hours are whole, and the ends of the
    range before and after as two arrays.
    """
    told_apart = {*wanted.by, *wanted.filters}
    [kind] = (name for name, by in KINDS.items() if {*by} == told_apart)
    filters = "".join(f" and {name} = :{name}" for name in sorted(wanted.filters))
    columns = ", ".join(
        name if name in wanted.by else f"cast(null as text) as {name}" for name in KINDS["both"]
    )
    values = ", ".join(
        f"up.{name}" if name in wanted.by else "cast(null as text)" for name in KINDS["both"]
    )
    times = ARRAY(DateTime(timezone=True))
    return text(
        _SQL.format(
            hours=kept_hours(LOAD_HOURS),
            swept=swept(f"('{kind}', {values})", filters),
            kind=kind,
            filters=filters,
            columns=columns,
            key=f"jsonb_build_array({', '.join(wanted.by)})",
            dimensions="".join(f", {name}" for name in wanted.by),
            starts=bucket_start(wanted.unit, "from_at"),
            begins=bucket_begin(wanted.unit),
            ends=bucket_end(wanted.unit),
        )
    ).bindparams(bindparam("from_ends", type_=times), bindparam("to_ends", type_=times))


_SQL = """
with hours as materialized (
    {hours}
),
pieces as materialized (
    select hour, hour as from_at, hour + interval '1 hour' as to_at,
        least(hour + interval '1 hour', :known_until) as known_to
    from hours where not is_kept
    union all
    select date_trunc('hour', from_at, 'UTC'), from_at, to_at, least(to_at, :known_until)
    from unnest(:from_ends, :to_ends) as rest (from_at, to_at)
),
{swept},
parts as materialized (
    select {starts} as starts_at, from_at, hour, calls, carried, peak, up_us, per_second, seconds,
        {key} as key{dimensions}
    from (
        select hour, from_at, direction, connection_id, calls, carried, peak, up_us, per_second,
            seconds
        from swept
        union all
        select hour, hour as from_at, {columns}, calls, carried, peak, up_us, per_second, seconds
        from hours join load_hours using (hour)
        where is_kept and kind = '{kind}'{filters}
    ) as each
    where calls > 0 or up_us > 0
),
ranked as (
    select key{dimensions}, count(*) over () as groups, row_number() over (order by
        sum(calls) + coalesce(sum(carried) filter (where from_at = :since), 0) desc, key
    ) as place
    from parts group by key{dimensions} order by place limit :top
),
placed as materialized (
    select place, starts_at, hour, calls, peak, up_us, per_second, seconds
    from parts join ranked using (key)
),
summed as (
    select starts_at, place, sum(calls)::bigint as calls, max(peak) as peak,
        sum(up_us)::bigint as up_us
    from placed group by starts_at, place
),
counted as (
    select starts_at, place, jsonb_object_agg(each.calls, times) as seconds from (
        select starts_at, place, each.calls, sum(each.times) as times
        from placed cross join lateral unnest(per_second, seconds) as each (calls, times)
        group by starts_at, place, each.calls
    ) as each
    group by starts_at, place
),
busiest as (
    select distinct on (starts_at, place) starts_at, place, hour, up_us as hour_us,
        calls as hour_calls
    from placed where up_us > 0
    order by starts_at, place, up_us desc, hour
)
select greatest({begins}, :since) as starts_at, least({ends}, :until) as ends_at,
    false as is_other{dimensions}, groups, calls, peak, up_us,
    coalesce(seconds, '{{}}') as seconds, hour, hour_us, coalesce(hour_calls, 0) as hour_calls
from summed
join ranked using (place)
left join counted using (starts_at, place)
left join busiest using (starts_at, place)
order by summed.starts_at, place
limit :groups_max + 1
"""
