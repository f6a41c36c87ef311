"""Calls in numbers: one statement over the legs, for a range of time or each bucket of it.

    legs ─▶ chosen ─┬─ by start ─▶ counts, ratios, hangup causes
                    ├─ by end ───▶ durations
                    └─ sweep ────▶ concurrency: +1 at each start, −1 at each end, in order of time

What is counted, and why, is in `kpis`. A range and its buckets are half-open: from the first
instant, until before the last. A summary is a timeseries of one bucket, so the two cannot disagree.
One statement sees one snapshot: the counts of a bucket fit together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Row, TextualSelect, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import DateTime

from offhook.projections.views.analytics.kpis import (
    ACD_FORMULA,
    ANSWER_DELAY_FORMULA,
    COUNTERS,
    ERLANGS_FORMULA,
    Ratio,
    ratios_of,
)
from offhook.projections.views.analytics.rollups.tables import IS_COUNTED
from offhook.projections.views.view import storable

BUCKETS_MAX = 1_500
"""A day of minutes, two months of hours, four years of days."""

CAUSES_MAX = 50
"""Pairs of cause and SIP code that are listed; both are the carrier's text, without a bound."""


@dataclass(frozen=True, kw_only=True)
class CallFilter:
    """Which calls; None is any. `start` is in the range, `end` is not; both in UTC."""

    start: datetime
    end: datetime
    direction: str | None = None
    connection_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class AnswerDelay:
    """Seconds from start to answer, as `samples` calls had them; null without any."""

    p50_s: float | None
    p95_s: float | None
    samples: int
    formula: str


@dataclass(frozen=True, kw_only=True)
class Durations:
    """Of the answered calls that ended in the bucket. `acd_s` is the mean conversation."""

    acd_s: Ratio
    answer_delay: AnswerDelay


@dataclass(frozen=True, kw_only=True)
class Concurrency:
    """Calls that are up at once: the most, and the mean over time in erlangs."""

    peak: int
    erlangs: Ratio


@dataclass(frozen=True, kw_only=True)
class HangupCause:
    """How many calls ended that way. None is what the carrier did not say."""

    hangup_cause: str | None
    sip_hangup_cause: str | None
    count: int


@dataclass(frozen=True, kw_only=True)
class HangupCauses:
    """The most frequent ones, and how many calls ended in any other way."""

    most_frequent: Sequence[HangupCause]
    others: int


@dataclass(frozen=True, kw_only=True)
class BucketView:
    """The calls of one bucket in numbers. `counts` and `ratios` are by the names in kpis."""

    start: datetime
    end: datetime
    counts: Mapping[str, int]
    ratios: Mapping[str, Ratio]
    durations: Durations
    concurrency: Concurrency
    hangup_causes: HangupCauses


async def read_summary(
    connection: AsyncConnection, wanted: CallFilter, now: datetime
) -> BucketView:
    """The whole range as one bucket. See `read_timeseries`."""
    [bucket] = await _read(connection, wanted, [wanted.start], now)
    return bucket


async def read_timeseries(
    connection: AsyncConnection, wanted: CallFilter, width: timedelta, now: datetime
) -> list[BucketView]:
    """The buckets of the range, in order, empty ones too; at most BUCKETS_MAX.

    A call that has not ended is up until `now`, and nothing is known of the time after that.
    """
    assert bucket_count(wanted, width) <= BUCKETS_MAX, "the caller checks how many there are"
    return await _read(connection, wanted, bucket_starts(wanted, width), now)


def bucket_starts(wanted: CallFilter, width: timedelta) -> list[datetime]:
    """The start of the range, then every multiple of `width` in it, counted in UTC."""
    first = _until_next(wanted.start, width)
    following = range(bucket_count(wanted, width) - 1)
    return [wanted.start, *(wanted.start + first + number * width for number in following)]


def bucket_count(wanted: CallFilter, width: timedelta) -> int:
    """How many buckets `bucket_starts` gives."""
    rest = wanted.end - wanted.start - _until_next(wanted.start, width)
    return 1 + max(0, -(-rest // width))


def _until_next(at: datetime, width: timedelta) -> timedelta:
    """From `at` to the next multiple of `width`, above zero."""
    return width - (at - _EPOCH) % width


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def _read(
    connection: AsyncConnection, wanted: CallFilter, starts: Sequence[datetime], now: datetime
) -> list[BucketView]:
    known_until = min(max(now, wanted.start), wanted.end)
    values = {
        "starts": starts,
        "since": wanted.start,
        "until": wanted.end,
        "known_until": known_until,
        "now": now,
        "causes_max": CAUSES_MAX,
    }
    chosen = {"direction": wanted.direction, "connection_id": wanted.connection_id}
    chosen = {name: storable(value) for name, value in chosen.items() if value is not None}
    found = await connection.execute(_statement(tuple(chosen)), values | chosen)
    return [_bucket(row, known_until) for row in found]


def _bucket(row: "Row[Any]", known_until: datetime) -> BucketView:
    counts = {counter.name: getattr(row, counter.name) for counter in COUNTERS}
    delays = [None, None] if row.delays_s is None else [float(delay) for delay in row.delays_s]
    known_s = max(timedelta(0), min(row.ends_at, known_until) - row.starts_at).total_seconds()
    causes = [HangupCause(**cause) for cause in row.causes or ()]
    return BucketView(
        start=row.starts_at,
        end=row.ends_at,
        counts=counts,
        ratios=ratios_of(counts),
        durations=Durations(
            acd_s=Ratio.of(float(row.talk_s), row.talked, ACD_FORMULA),
            answer_delay=AnswerDelay(
                p50_s=delays[0], p95_s=delays[1], samples=row.talked, formula=ANSWER_DELAY_FORMULA
            ),
        ),
        concurrency=Concurrency(
            peak=row.peak, erlangs=Ratio.of(float(row.occupied_s), known_s, ERLANGS_FORMULA)
        ),
        hangup_causes=HangupCauses(
            most_frequent=causes,
            others=counts["ended"] - sum(cause.count for cause in causes),
        ),
    )


@cache
def _statement(chosen_by: tuple[str, ...]) -> TextualSelect:
    """A row for each bucket. Conditions only where asked for: the plan depends on them."""
    counters = ",\n".join(
        f"count(*) filter (where {counter.condition}) as {counter.name}" for counter in COUNTERS
    )
    zeros = ",\n".join(f"coalesce({counter.name}, 0) as {counter.name}" for counter in COUNTERS)
    equal = "".join(f" and leg.{column} = :{column}" for column in chosen_by)
    times = ARRAY(DateTime(timezone=True))
    return (
        text(_SQL.format(counters=counters, zeros=zeros, equal=equal, is_counted=IS_COUNTED))
        .bindparams(bindparam("starts", type_=times))
        .columns(causes=JSONB)
    )


# A call counts once: where events without a session id put a leg in several sessions, the fullest
# row does, as in `legs.read_leg`. By the carrier's clocks a leg may end before it started; then
# it ends as it starts. Sums are of numeric, so they are exact in whatever order they are made.
_SQL = """
with buckets as (
    select bucket::int, starts_at, lead(starts_at, 1, :until) over (order by bucket) as ends_at
    from unnest(:starts) with ordinality as each (starts_at, bucket)
),
chosen as materialized (
    select direction, started_at, answered_at, hangup_cause, sip_hangup_cause, known.ended_at,
        extract(epoch from greatest(answered_at - started_at, interval '0')) as delay_s,
        extract(epoch from greatest(known.ended_at - answered_at, interval '0')) as talk_s,
        greatest(started_at, :since) as up_from,
        known.ended_at is null and coalesce(leg.up_until > :now, false) as is_up,
        least(coalesce(known.ended_at, leg.up_until, :known_until), :known_until) as up_until
    from legs as leg
    cross join lateral (
        select case when ended_at is not null then greatest(ended_at, started_at) end as ended_at
    ) as known
    where started_at < :until
        and (started_at >= :since or leg.ended_at >= :since or leg.ended_at is null){equal}
        and {is_counted}
),
by_start as (
    select width_bucket(started_at, :starts) as bucket,
        {counters}
    from chosen
    where started_at >= :since
    group by 1
),
by_end as (
    select width_bucket(ended_at, :starts) as bucket,
        count(*) as talked,
        sum(talk_s) as talk_s,
        percentile_disc(array[0.5, 0.95]) within group (order by delay_s) as delays_s
    from chosen
    where answered_at is not null and ended_at >= :since and ended_at < :until
    group by 1
),
changes as (
    select starts_at as at, 0 as change from buckets
    union all
    select up_from, 1 from chosen where up_from < up_until
    union all
    select up_until, -1 from chosen where up_from < up_until and up_until < :until
),
levels as (
    select at, lead(at, 1, :until) over (order by at) as next_at,
        sum(sum(change)) over (order by at) as level
    from changes
    group by at
),
by_time as (
    select width_bucket(at, :starts) as bucket,
        max(level)::int as peak,
        sum(level * extract(epoch from next_at - at)) as occupied_s
    from levels
    group by 1
),
ranked as (
    select width_bucket(started_at, :starts) as bucket, hangup_cause, sip_hangup_cause,
        count(*) as count,
        row_number() over (
            partition by width_bucket(started_at, :starts)
            order by count(*) desc, hangup_cause collate "C", sip_hangup_cause collate "C"
        ) as place
    from chosen
    where started_at >= :since and ended_at is not null
    group by 1, 2, 3
),
by_cause as (
    select bucket, jsonb_agg(
        jsonb_build_object(
            'hangup_cause', hangup_cause, 'sip_hangup_cause', sip_hangup_cause, 'count', count
        ) order by place
    ) as causes
    from ranked
    where place <= :causes_max
    group by bucket
)
select starts_at, ends_at, causes, delays_s, peak, occupied_s,
    coalesce(talked, 0) as talked,
    coalesce(talk_s, 0) as talk_s,
    {zeros}
from buckets
join by_time using (bucket)
left join by_start using (bucket)
left join by_end using (bucket)
left join by_cause using (bucket)
order by bucket
"""
