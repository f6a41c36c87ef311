"""Figures of groups of calls: by a bucket of time in any time zone, by what legs have in common.

    legs ─▶ facts ─▶ by bucket and dimensions ─▶ the most frequent, and one group of all others

A group is about the calls that started in it, whenever they ended: so all its figures are sums over
the same legs, and groups add up to the total, which is asked without any dimension.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Literal

from sqlalchemy import Row, TextualSelect, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.analytics.facts import (
    ADDED,
    BOUNDS_US,
    DIMENSIONS,
    SUMS,
    class_of,
    facts_of,
)
from offhook.projections.views.analytics.kpis import ACD_FORMULA, COUNTERS, Ratio, ratios_of
from offhook.projections.views.view import storable

GROUPS_MAX = 5_000
"""Buckets times groups in a reply."""

TOP_MAX = 100
"""Groups besides the one of all others, for each bucket."""

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

MOS_FORMULA = "sum of the mean opinion scores / legs that have one"
LOSS_FORMULA = "skipped inbound packets / inbound packets"
RING_FORMULA = "seconds from start to answer, or to the end without one / calls answered or ended"


class UnknownTimeZone(ValueError):
    """Postgres does not know a time zone of that name."""


class TooManyGroups(ValueError):
    """There are more than GROUPS_MAX."""


@dataclass(frozen=True, kw_only=True)
class GroupsWanted:
    """Which calls, and by what they are grouped: a bucket of time or None, and dimensions.

    `filters` has a value for each dimension that is filtered. `top` is how many groups there are,
    besides one of all others, for each bucket.
    """

    start: datetime
    end: datetime
    unit: Unit | None = None
    tz: str = "UTC"
    by: Sequence[str] = ()
    filters: Mapping[str, str] = field(default_factory=dict)
    top: int = TOP_MAX


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Seconds, each as the end of its class, which is up to 10 % above the duration itself."""

    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    samples: int


@dataclass(frozen=True, kw_only=True)
class GroupDurations:
    """`acd_s` and `ring_s` are means, in seconds. Percentiles are null where none are kept."""

    acd_s: Ratio
    ring_s: Ratio
    answer_delay: Percentiles | None
    talk: Percentiles | None


@dataclass(frozen=True, kw_only=True)
class GroupQuality:
    """Of the audio that was received, by legs that ended and have it in their hangup."""

    mos: Ratio
    loss: Ratio


@dataclass(frozen=True, kw_only=True)
class Cost:
    """In millionths of the currency, so that it is exact. None is what has no currency."""

    currency: str | None
    micros: int
    calls: int


@dataclass(frozen=True, kw_only=True)
class GroupView:
    """The calls of one group. `group` has the value of each dimension: null is what is not known.

    `start` and `end` are of its bucket, cut off by the range. `is_other` is the group of all that
    are not among the most frequent; its dimensions are null.
    """

    start: datetime
    end: datetime
    group: Mapping[str, str | None]
    is_other: bool
    counts: Mapping[str, int]
    ratios: Mapping[str, Ratio]
    durations: GroupDurations
    quality: GroupQuality
    costs: Sequence[Cost] | None


async def read_groups(
    connection: AsyncConnection, wanted: GroupsWanted, now: datetime
) -> list[GroupView]:
    """In order of time, then the most frequent first; only groups with calls.

    Raises UnknownTimeZone, TooManyGroups.
    """
    values: dict[str, Any] = {
        "since": wanted.start,
        "until": wanted.end,
        "now": now,
        "top": wanted.top,
        "groups_max": GROUPS_MAX,
        **{name: storable(value) for name, value in wanted.filters.items()},
    }
    if wanted.tz != "UTC":
        await _require_time_zone(connection, wanted.tz)
    if wanted.unit is not None:
        values["tz"] = wanted.tz
    statement = _statement(wanted.unit, tuple(wanted.by), tuple(sorted(wanted.filters)))
    found = await connection.execute(statement, values)
    rows = found.all()
    if len(rows) > GROUPS_MAX:
        raise TooManyGroups
    return [_group(row, wanted.by) for row in rows]


async def _require_time_zone(connection: AsyncConnection, tz: str) -> None:
    try:
        await connection.execute(text("select now() at time zone cast(:tz as text)"), {"tz": tz})
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _INVALID_PARAMETER:
            raise UnknownTimeZone(tz) from error
        raise


def has_distributions(by: Sequence[str], filters: Sequence[str]) -> bool:
    """Whether percentiles and costs are kept for such groups."""
    return {*by, *filters} <= {"direction", "connection_id"}


def _group(row: "Row[Any]", by: Sequence[str]) -> GroupView:
    open_now = int(row.in_progress)
    of_now = {"in_progress": open_now, "end_unknown": row.calls - row.ended - open_now}
    counts = {each.name: of_now.get(each.name, getattr(row, each.name, 0)) for each in COUNTERS}
    loss = Ratio.of(int(row.skipped_packets), int(row.packets), LOSS_FORMULA)
    costs = None if row.costs is None else [Cost(**each) for each in row.costs]
    return GroupView(
        start=row.starts_at,
        end=row.ends_at,
        group={name: getattr(row, name) for name in by},
        is_other=row.is_other,
        counts=counts,
        ratios=ratios_of(counts),
        durations=GroupDurations(
            acd_s=Ratio.of(int(row.talk_us) / 1e6, int(row.talked), ACD_FORMULA),
            ring_s=Ratio.of(int(row.ring_us) / 1e6, int(row.rang), RING_FORMULA),
            answer_delay=_percentiles(row.delays),
            talk=_percentiles(row.talks),
        ),
        quality=GroupQuality(
            mos=Ratio.of(int(row.mos_milli) / 1e3, int(row.mos_legs), MOS_FORMULA), loss=loss
        ),
        costs=costs,
    )


def _percentiles(classes: Mapping[str, int] | None) -> Percentiles | None:
    """Nearest rank, of how many there are in each class."""
    if classes is None:
        return None
    counted = sorted((int(number), count) for number, count in classes.items())
    samples = sum(count for _, count in counted)

    def rank(percent: int) -> float | None:
        left = -(-samples * percent // 100)
        for number, count in counted:
            left -= count
            if left <= 0:
                return BOUNDS_US[min(number, len(BOUNDS_US) - 1)] / 1e6
        return None

    return Percentiles(p50_s=rank(50), p95_s=rank(95), p99_s=rank(99), samples=samples)


@cache
def _statement(unit: Unit | None, by: tuple[str, ...], filtered: tuple[str, ...]) -> TextualSelect:
    assert {*by, *filtered} <= {*DIMENSIONS}
    conditions = [f"{name} = :{name}" for name in filtered if name != "number_prefix"]
    if "number_prefix" in filtered:
        conditions.append("starts_with(number_prefix, :number_prefix)")
    figures = [*ADDED, *SUMS, "in_progress"]
    is_up = "(leg.ended_at is null and coalesce(leg.up_until > :now, false))::int"
    sql = _SQL.format(
        facts=facts_of("legs", {"in_progress": is_up}, " and ".join([_COUNTED, *conditions])),
        starts=_starts(unit),
        ends=_ends(unit),
        key=f"jsonb_build_array({', '.join(by)})",
        dimensions="".join(f", {name}" for name in by),
        sums=", ".join(f"coalesce(sum({name}), 0)::bigint as {name}" for name in figures),
        figures=", ".join(figures),
        **_distributions(has_distributions(by, filtered)),
    )
    return text(sql).columns(costs=JSONB, delays=JSONB, talks=JSONB)


def _distributions(are_kept: bool) -> dict[str, str]:
    """The parts of the statement that read histograms and costs."""
    if not are_kept:
        return {
            "distributions": "",
            "joined": "",
            "read": "null::jsonb as delays, null::jsonb as talks, null::jsonb as costs",
        }
    histograms = [("delays", class_of("delay_us")), ("talks", class_of("talked_us"))]
    parts = [_HISTOGRAM.format(name=name, number=number) for name, number in histograms]
    names = ("delays", "talks", "costs")
    empty = {"delays": "{}", "talks": "{}", "costs": "[]"}
    return {
        "distributions": "".join([*parts, _COSTS]),
        "joined": "\n".join(f"left join {name} using (starts_at, place)" for name in names),
        "read": ", ".join(f"coalesce({name}, '{none}') as {name}" for name, none in empty.items()),
    }


def _starts(unit: Unit | None) -> str:
    """Where the bucket of started_at begins."""
    match unit:
        case None:
            return "cast(:since as timestamptz)"
        case "5m" | "15m":
            # All time zones of the present are whole quarters of an hour from UTC.
            return f"date_bin('{INTERVALS[unit]}', started_at, '1970-01-01 00:00:00+00')"
        case _:
            return f"date_trunc('{unit}', started_at, cast(:tz as text))"


def _ends(unit: Unit | None) -> str:
    match unit:
        case None:
            return "cast(:until as timestamptz)"
        case "day" | "week" | "month":
            tz = "cast(:tz as text)"
            return f"(starts_at at time zone {tz} + interval '{INTERVALS[unit]}') at time zone {tz}"
        case _:
            return f"starts_at + interval '{INTERVALS[unit]}'"


_INVALID_PARAMETER = "22023"

# A call counts once: where events without a session id put a leg in several sessions, the fullest
# row does, as in `legs.read_leg`.
_COUNTED = """leg.started_at >= :since and leg.started_at < :until and not exists (
        select from legs as fuller
        where fuller.call_control_id = leg.call_control_id
            and (fuller.state <> 'unseen', fuller.last_seq) > (leg.state <> 'unseen', leg.last_seq)
    )"""

_SQL = """
with facts as (
    {facts}
),
placed as (
    select *, {starts} as starts_at, {key} as key from facts
),
ranked as (
    select key, row_number() over (order by sum(calls) desc, key) as place
    from placed group by key order by place limit :top
),
groups as (
    select starts_at, coalesce(place, 0) as place, {sums}
    from placed left join ranked using (key)
    group by 1, 2
),
named as (
    select distinct place{dimensions} from placed join ranked using (key)
){distributions}
select greatest(starts_at, :since) as starts_at, least({ends}, :until) as ends_at,
    place = 0 as is_other{dimensions}, {figures}, {read}
from groups
left join named using (place)
{joined}
order by groups.starts_at, place = 0, place
limit :groups_max + 1
"""

_HISTOGRAM = """,
{name} as (
    select starts_at, place, jsonb_object_agg(number, legs) as {name}
    from (
        select starts_at, coalesce(place, 0) as place, {number} as number, count(*) as legs
        from placed left join ranked using (key)
        group by 1, 2, 3
    ) as each
    where number is not null
    group by 1, 2
)"""

_COSTS = """,
costs as (
    select starts_at, place, jsonb_agg(
        jsonb_build_object('currency', currency, 'micros', micros, 'calls', legs)
        order by currency
    ) as costs
    from (
        select starts_at, coalesce(place, 0) as place, currency,
            sum(cost_micros)::bigint as micros, count(*) as legs
        from placed left join ranked using (key)
        where cost_micros is not null
        group by 1, 2, 3
    ) as each
    group by 1, 2
)"""
