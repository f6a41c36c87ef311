"""Buckets of time where the clocks change, against Python's own time zones."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.projections.views.analytics.grouping.buckets import (
    Unit,
    bucket_begin,
    bucket_end,
    bucket_start,
    buckets_between,
)

STEP = timedelta(minutes=15)
"""Every change of these clocks is at a multiple of it."""

CHANGES = [
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-04-05"),  # by half an hour
    ("Australia/Lord_Howe", "2026-10-04"),
    ("America/Havana", "2026-03-08"),  # there is no midnight
    ("America/Havana", "2026-11-01"),  # there are two
    ("Atlantic/Azores", "2026-10-25"),
    ("Asia/Kathmandu", "2026-11-01"),
]


async def test_buckets_are_those_of_the_clocks(engine: AsyncEngine) -> None:
    units: list[Unit] = ["hour", "day"]
    async with engine.connect() as connection:
        for zone, day in CHANGES:
            for unit in units:
                await _assert_buckets(connection, zone, day, unit)


async def _assert_buckets(connection: AsyncConnection, zone: str, day: str, unit: Unit) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    start, end = noon - timedelta(days=2), noon + timedelta(days=2)
    expected = list(_buckets(start - timedelta(days=2), end, zone, unit))
    begins, ends = bucket_begin(unit), bucket_end(unit)
    of_times = (
        f"select at, {begins} as starts, {ends} as ends from (select at,"
        f" {bucket_start(unit, 'at')} as starts_at from"
        " generate_series(cast(:start as timestamptz), :end, :step) as at) as each order by at"
    )
    buckets = buckets_between(unit, "cast(:start as timestamptz)", "cast(:end as timestamptz)")
    of_span = f"select {begins} as starts, {ends} as ends from ({buckets}) as each order by starts"
    span = {"start": start, "end": end, "tz": zone}
    found = (await connection.execute(text(of_times), span | {"step": STEP})).all()
    between = (await connection.execute(text(of_span), span)).all()
    for at, starts, ends_at in found:
        assert [(starts, ends_at)] == [each for each in expected if each[0] <= at < each[1]], (
            zone,
            unit,
            at,
        )
    wanted = {(starts, ends_at) for _, starts, ends_at in found}
    assert wanted <= {tuple(each) for each in between}
    assert len(between) == len(set(between)) <= len(wanted) + 1


def _buckets(
    start: datetime, end: datetime, zone: str, unit: Unit
) -> Iterator[tuple[datetime, datetime]]:
    """One after the other: a bucket ends when the clock shows another hour, or another offset."""
    begin, at = None, start
    known = _shown(start, zone, unit)
    while at < end + timedelta(days=2):
        at += STEP
        if (now := _shown(at, zone, unit)) != known:
            if begin is not None:
                yield begin, at
            begin, known = at, now


def _shown(at: datetime, zone: str, unit: Unit) -> tuple[object, ...]:
    local = at.astimezone(ZoneInfo(zone))
    return (local.date(),) if unit == "day" else (local.date(), local.hour, local.utcoffset())
