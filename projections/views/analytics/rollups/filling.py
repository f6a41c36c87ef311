"""Fill the empty roll-ups from all legs.

In slices of time, days and months from the hours, and coarser histograms from the finest: one
statement over all would spill several times the size of the table to disk.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import DateTime, Table, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.analytics.rollups.adding import changed, ended_facts
from offhook.projections.views.analytics.rollups.periods import LEVELS
from offhook.projections.views.analytics.rollups.tables import (
    CLASSES,
    COST,
    FIGURES,
    IS_COUNTED,
    KINDS,
    OF_BLOCK,
    RANK,
    TOLD_APART,
    leg_classes,
    leg_costs,
    leg_sums,
    rows_told_apart,
)

SLICE_LEGS = 50_000
"""Legs after which a slice ends, with its hour: some tens of MB while they are grouped."""

_WORK_MEM = "set local work_mem = '64MB'"

_HOURS = """select date_trunc('hour', started_at, 'UTC') as hour, count(*) as legs from legs
where started_at is not null and ended_at is not null group by hour order by hour"""

_RANGE = (
    bindparam("first", type_=DateTime(timezone=True)),
    bindparam("last", type_=DateTime(timezone=True)),
)

_FILL_REPEATS = f"""
insert into leg_repeats (call_control_id, session_id)
select call_control_id, session_id from (
    select call_control_id, session_id, {RANK} as repeats from legs
    where call_control_id in (
        select call_control_id from legs group by call_control_id having count(*) > 1
    )
) as ranked
where repeats
"""

_IN_RANGE = f"{IS_COUNTED} and leg.started_at >= :first and leg.started_at < :last"

_FILL_HOURS = changed(
    {"+": ended_facts("legs", _IN_RANGE)},
    levels=LEVELS[:1],
    suffixes=[""],
)
"""The hours of [:first, :last), which are whole, of empty tables; of `leg_classes` and `leg_costs`,
those that tell apart all dimensions."""

_LONGER = """insert into {table} ({columns})
select kind, :longer, date_trunc(:longer, starts_at, 'UTC'), shard, direction, connection_id,
    {values}, {sums}
from {table}
where kind = :kind and level = :level and starts_at >= :first and starts_at < :last
group by kind, 3, shard, direction, connection_id, {values}"""


def _longer(table: Table, values: Sequence[str], figures: Sequence[str]) -> str:
    return _LONGER.format(
        table=table.name,
        columns=", ".join(table.columns.keys()),
        values=", ".join(values),
        sums=", ".join(f"sum({name})" for name in figures),
    )


_FILL_LONGER: Mapping[str, Sequence[str]] = {
    _longer(leg_sums, ("value1", "value2", "value3"), FIGURES): tuple(KINDS),
    _longer(leg_classes, ("block",), OF_BLOCK): tuple(CLASSES),
    _longer(leg_costs, ("currency",), ("legs", "micros")): (COST,),
}
"""The periods of level :longer from those of :level that start in [:first, :last), which has whole
ones, of a :kind; and the kinds."""

_COARSER = f"""insert into {{table}} (
    kind, level, starts_at, shard, direction, connection_id, {{columns}}
)
select kind || suffix, level, starts_at, shard, told.direction, told.connection_id, {{value}},
    {{sums}}
from {{table}}
    cross join lateral (values
        {rows_told_apart(suffix for suffix in TOLD_APART if suffix)}
    ) as told (suffix, direction, connection_id)
where kind = :kind and level = :level and starts_at >= :first and starts_at < :last
group by 1, 2, 3, 4, 5, 6, 7
order by 1, 2, 3, 4, 5, 6, 7"""


def _coarser(table: Table, value: str, figures: Sequence[str]) -> str:
    return _COARSER.format(
        table=table.name,
        columns=", ".join((value, *figures)),
        value=value,
        sums=", ".join(f"sum({name})" for name in figures),
    )


_FILL_COARSER: Mapping[str, Sequence[str]] = {
    _coarser(leg_classes, "block", OF_BLOCK): tuple(CLASSES),
    _coarser(leg_costs, "currency", ("legs", "micros")): (COST,),
}
"""The rows of a :kind that tell fewer dimensions apart, from those of a :level that start in
[:first, :last) and tell all apart; and the kinds."""


async def fill_rollups(connection: AsyncConnection) -> None:
    """In the transaction of the connection, which alone knows the tables."""
    await connection.execute(text(_WORK_MEM))
    await connection.execute(text(_FILL_REPEATS))
    counted = [(row.hour, row.legs) for row in await connection.execute(text(_HOURS))]
    of_slice = text(_FILL_HOURS).bindparams(*_RANGE)
    for first, last in slices_of(counted):
        await connection.execute(of_slice, {"first": first, "last": last})
    months = sorted({hour.astimezone(UTC).replace(day=1, hour=0) for hour, _ in counted})
    for statement, kinds in _FILL_LONGER.items():
        longer = text(statement).bindparams(*_RANGE)
        ranges = [
            {"kind": kind, "first": month, "last": _next_month(month)}
            for kind in kinds
            for month in months
        ]
        for level, its_longer in itertools.pairwise(LEVELS):
            for each in ranges:
                await connection.execute(longer, each | {"level": level, "longer": its_longer})
    for statement, kinds in _FILL_COARSER.items():
        coarser = text(statement).bindparams(*_RANGE)
        for kind, level, month in itertools.product(kinds, LEVELS, months):
            await connection.execute(
                coarser, {"kind": kind, "level": level, "first": month, "last": _next_month(month)}
            )


def slices_of(counted: Sequence[tuple[datetime, int]]) -> Iterator[tuple[datetime, datetime]]:
    """Ranges that hold all hours, given with their legs in order: each up to SLICE_LEGS, or one
    hour."""
    first, legs = None, 0
    last = datetime.min.replace(tzinfo=UTC)
    for hour, count in counted:
        if first is not None and legs + count > SLICE_LEGS:
            yield first, last
            first, legs = None, 0
        first = first or hour
        last = hour + timedelta(hours=1)
        legs += count
    if first is not None:
        yield first, last


def _next_month(month: datetime) -> datetime:
    return (month + timedelta(days=31)).replace(day=1)
