"""The load of whole hours: calls, peak, time up and calls per second, for each way of grouping.

    pieces of time ─▶ legs that are up or start in one ─┬─ sweep ─▶ most at once
                                                        ├─ sum ───▶ time up, calls
                                                        └─ starts by second ─▶ calls per second

A peak of a sum is no sum of peaks, so each way of grouping has rows of its own. Readers sweep the
rest of a range in the same way (`load`).
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import ARRAY, BigInteger, Column, DateTime, Index, Integer, Table, Text

from offhook.projections.views.analytics.hourly.making import Hourly
from offhook.projections.views.analytics.rollups.changes import LOAD, UP_HOURS_MAX, UP_TO
from offhook.projections.views.analytics.rollups.tables import IS_COUNTED
from offhook.projections.views.view import metadata

KINDS: Mapping[str, Sequence[str]] = {
    "all": (),
    "direction": ("direction",),
    "connection": ("connection_id",),
    "both": ("direction", "connection_id"),
}
"""The ways of grouping."""

load_hours = Table(
    "load_hours",
    metadata,
    Column("kind", Text, nullable=False),  # of KINDS
    Column("hour", DateTime(timezone=True), nullable=False),
    Column("direction", Text),
    Column("connection_id", Text),
    Column("calls", Integer, nullable=False),  # started in the hour
    Column("carried", Integer, nullable=False),  # were up when it began
    Column("peak", Integer, nullable=False),
    Column("up_us", BigInteger, nullable=False),
    # In how many seconds so many calls started, as two lists; those without a call are left out.
    Column("per_second", ARRAY(Integer), nullable=False),
    Column("seconds", ARRAY(Integer), nullable=False),
    Index(
        "load_hours_key",
        *("kind", "hour", "direction", "connection_id"),
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
    Index("load_hours_hour_index", "hour"),
)

LONG = "(ended_at - started_at > interval '1 hour')::int = 1"
"""The condition of an index of calls that may be up in a piece without starting shortly before.

Postgres expects few rows of an equation, and a third of all of a comparison: it would read two days
of legs by another index."""


def legs_up(columns: str, from_at: str = "from_at", to_at: str = "to_at") -> str:
    """A query of legs that are up or start in [from_at, to_at), and of a few more.

    `columns` have the row as `leg`. Each part reads a range of an index, and no leg is in two.
    """
    parts = (
        f"started_at >= {from_at} and started_at < {to_at}",
        f"started_at >= {from_at} - interval '1 hour' and started_at < {from_at}",
        f"started_at >= {from_at} - interval '{UP_HOURS_MAX} hours'"
        f" and started_at < {from_at} - interval '1 hour' and ended_at > {from_at} and {LONG}",
        f"started_at >= {from_at} - interval '{UP_HOURS_MAX} hours'"
        f" and started_at < {from_at} - interval '1 hour' and ended_at is null"
        f" and up_until > {from_at}",
    )
    return "\n        union all\n        ".join(
        f"select {columns} from legs as leg where {part} and {IS_COUNTED}" for part in parts
    )


COLUMNS = (
    "left(direction, 100) as direction, left(connection_id, 100) as connection_id, started_at,"
    f" {UP_TO} as up_to"
)
"""What load is counted from, of a row of legs, named leg."""


def swept(kinds: str, filters: str = "") -> str:
    """CTEs over `pieces (hour, from_at, to_at, known_to)`; the last is `swept`.

    A piece is within an hour. `kinds` are rows of kind, direction and connection_id, by which its
    legs are grouped. Nothing is known of the time after `known_to`.
    """
    return _SWEPT.format(parts=legs_up(COLUMNS), kinds=kinds, filters=filters)


# With `offset 0` each piece is looked up in the indexes; joined with several, all legs would be
# read from end to end.
_SWEPT = """up as materialized (
    select hour, from_at, direction, connection_id, started_at,
        greatest(started_at, from_at) as up_from, least(up_to, known_to) as up_to
    from pieces cross join lateral (
        select * from (
            {parts}
        ) as leg offset 0
    ) as leg
    where (started_at >= from_at or up_to > from_at){filters}
),
keyed as materialized (
    select dense_rank() over (order by from_at, kind, key.direction, key.connection_id) as number,
        hour, from_at, kind, key.direction, key.connection_id, started_at, up_from, up_to
    from up cross join lateral (values {kinds}) as key (kind, direction, connection_id)
    where up_from < up_to or started_at >= from_at
),
peaks as (
    select number, max(level)::int as peak from (
        select number, sum(sum(change)) over (partition by number order by at) as level
        from (
            select number, up_from as at, 1 as change from keyed where up_from < up_to
            union all
            select number, up_to, -1 from keyed where up_from < up_to
        ) as changes
        group by number, at
    ) as levels
    group by number
),
seconds as (
    select number, array_agg(calls order by calls) as per_second,
        array_agg(times order by calls) as seconds
    from (
        select number, calls, count(*)::int as times from (
            select number, count(*)::int as calls from keyed where started_at >= from_at
            group by number, floor(extract(epoch from started_at))
        ) as each
        group by number, calls
    ) as each
    group by number
),
sums as (
    select number, hour, from_at, kind, direction, connection_id,
        (count(*) filter (where started_at >= from_at))::int as calls,
        (count(*) filter (where started_at < from_at))::int as carried,
        coalesce(sum((1000000 * extract(epoch from up_to - up_from))::bigint)
            filter (where up_from < up_to), 0)::bigint as up_us
    from keyed
    group by number, hour, from_at, kind, direction, connection_id
),
swept as (
    select hour, from_at, kind, direction, connection_id, calls, carried, coalesce(peak, 0) as peak,
        up_us, coalesce(per_second, '{{}}') as per_second, coalesce(seconds, '{{}}') as seconds
    from sums left join peaks using (number) left join seconds using (number)
)"""

_ALL_KINDS = ", ".join(
    f"('{kind}', {', '.join(n if n in by else 'null' for n in ('direction', 'connection_id'))})"
    for kind, by in KINDS.items()
)

LOAD_HOURS = Hourly(
    name=LOAD,
    table=load_hours,
    rows=f"""with pieces as (
        select hour, hour as from_at, hour + interval '1 hour' as to_at,
            hour + interval '1 hour' as known_to
        from due
    ), {swept(_ALL_KINDS)}
    select kind, hour, direction, connection_id, calls, carried, peak, up_us, per_second, seconds
    from swept""",
)
