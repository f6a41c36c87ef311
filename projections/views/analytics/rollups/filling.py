"""Fill the empty roll-ups from all legs.

In slices of time, days and months from the hours, and coarser histograms from the finest: one
statement over all would spill several times the size of the table to disk.
"""

import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import DateTime, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.analytics.rollups.rollups import (
    FILL_COARSER,
    FILL_HOURS,
    FILL_LONGER,
    FILL_REPEATS,
    LEVELS,
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


async def fill_rollups(connection: AsyncConnection) -> None:
    """In the transaction of the connection, which alone knows the tables."""
    await connection.execute(text(_WORK_MEM))
    await connection.execute(text(FILL_REPEATS))
    counted = [(row.hour, row.legs) for row in await connection.execute(text(_HOURS))]
    of_slice = text(FILL_HOURS).bindparams(*_RANGE)
    for first, last in slices_of(counted):
        await connection.execute(of_slice, {"first": first, "last": last})
    months = sorted({hour.astimezone(UTC).replace(day=1, hour=0) for hour, _ in counted})
    for statement, kinds in FILL_LONGER.items():
        longer = text(statement).bindparams(*_RANGE)
        ranges = [
            {"kind": kind, "first": month, "last": _next_month(month)}
            for kind in kinds
            for month in months
        ]
        for level, its_longer in itertools.pairwise(LEVELS):
            for each in ranges:
                await connection.execute(longer, each | {"level": level, "longer": its_longer})
    for statement, kinds in FILL_COARSER.items():
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
