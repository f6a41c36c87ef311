"""Figures of groups of calls: by a bucket of time in any time zone, by what legs have in common.

    roll-ups of whole hours, days and months ─┐
    legs of the rest, and those that are up ──┴▶ facts ─▶ by bucket and dimensions ─▶ the most
                                                              frequent, and one group of all others

What no roll-up has told apart (two of outcome, number and flow), and buckets that hours do not fit
into, are counted from legs.

A group is about the calls that started in it, whenever they ended: so all its figures are sums over
the same legs, and groups add up to the total, which is asked without any dimension.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any, Literal

from sqlalchemy import DateTime, Row, Text, TextualSelect, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.flow import API_FLOW, ARCHIVED, NO_FLOW
from offhook.projections.views.analytics.facts import BOUNDS_US, DIMENSIONS, facts_of
from offhook.projections.views.analytics.kpis import (
    ABR,
    ABR_UNKNOWN,
    ACD_FORMULA,
    BIDS_FAILED,
    COUNTERS,
    Ratio,
    ratios_of,
)
from offhook.projections.views.analytics.periods import Span, spans_of
from offhook.projections.views.analytics.rollups import CLASSES, FIGURES, IS_COUNTED, KINDS
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
    besides one of all others, for each bucket. `with_histograms` adds the classes behind the
    percentiles.
    """

    start: datetime
    end: datetime
    unit: Unit | None = None
    tz: str = "UTC"
    by: Sequence[str] = ()
    filters: Mapping[str, str] = field(default_factory=dict)
    top: int = TOP_MAX
    with_histograms: bool = False


@dataclass(frozen=True, kw_only=True)
class HistogramClass:
    """How many calls took longer than `from_s` and at most `to_s`, which is null without a limit.

    The first class has those of 0 s too.
    """

    from_s: float
    to_s: float | None
    calls: int


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Seconds, each as the end of its class, which is up to 10 % above the duration itself.

    `histogram` has the classes with calls, in order; it is null unless it was asked for.
    """

    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    samples: int
    histogram: Sequence[HistogramClass] | None = None


@dataclass(frozen=True, kw_only=True)
class GroupDurations:
    """`acd_s` and `ring_s` are means, in seconds. Percentiles are null where none are kept.

    `minutes_of_use` is the time from answer to end of all calls.
    """

    minutes_of_use: float
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
    has_whole_hours = await _has_whole_hours(connection, wanted)
    kind = _kind(wanted.by, [*wanted.filters]) if has_whole_hours else None
    first, last = _hour_after(wanted.start), wanted.end.replace(minute=0, second=0, microsecond=0)
    if first >= last:
        kind = None
    values: dict[str, Any] = {
        "since": wanted.start,
        "until": wanted.end,
        "now": now,
        "top": wanted.top,
        "groups_max": GROUPS_MAX,
        **{name: storable(value) for name, value in wanted.filters.items()},
    }
    if wanted.unit in LOCAL:
        values["tz"] = wanted.tz
    if kind is not None:
        spans = await _spans(connection, wanted, first, last)
        values |= {"kind": kind, "first": first, "last": last}
        values |= {
            "levels": [span.level for span in spans],
            "firsts": [span.first for span in spans],
            "lasts": [span.last for span in spans],
        }
    filtered = tuple(sorted(wanted.filters))
    # Compiling takes longer than reading a few thousand rows; Postgres overestimates how many.
    await connection.execute(text("set local jit to off"))
    found = await connection.execute(
        _statement(wanted.unit, tuple(wanted.by), filtered, kind), values
    )
    rows = found.all()
    if len(rows) > GROUPS_MAX:
        raise TooManyGroups
    return [_group(row, wanted) for row in rows]


async def _has_whole_hours(connection: AsyncConnection, wanted: GroupsWanted) -> bool:
    """Whether every hour of UTC is in one bucket. Raises UnknownTimeZone."""
    if wanted.tz == "UTC":
        return wanted.unit not in _SHORT
    try:
        # An offset may change within the range, but not for less than a month.
        found = await connection.execute(
            text(
                "select bool_and(extract(minute from at at time zone cast(:tz as text)) ="
                " extract(minute from at at time zone 'UTC')) from (select generate_series("
                ":since, :until, interval '28 days') union select :until) as each (at)"
            ).bindparams(since=wanted.start, until=wanted.end, tz=wanted.tz)
        )
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _INVALID_PARAMETER:
            raise UnknownTimeZone(wanted.tz) from error
        raise
    return bool(found.scalar_one()) and wanted.unit not in _SHORT


async def require_time_zone(connection: AsyncConnection, tz: str) -> None:
    """Raise UnknownTimeZone unless Postgres knows it: without rows it would not be looked up."""
    if tz == "UTC":
        return
    try:
        await connection.execute(text("select now() at time zone cast(:tz as text)"), {"tz": tz})
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _INVALID_PARAMETER:
            raise UnknownTimeZone(tz) from error
        raise


async def _spans(
    connection: AsyncConnection, wanted: GroupsWanted, first: datetime, last: datetime
) -> list[Span]:
    """The periods that make up these hours, none in two buckets."""
    match wanted.unit:
        case None:
            return spans_of(first, last)
        case "day" if wanted.tz == "UTC":
            return spans_of(first, last, ("hour", "day"))
        case "week" | "month":
            found = await connection.execute(
                text(
                    "select generate_series("
                    f"date_trunc('{wanted.unit}', :first, cast(:tz as text)), :last,"
                    f" interval '{INTERVALS[wanted.unit]}', cast(:tz as text))"
                ).bindparams(
                    bindparam("first", first, DateTime(timezone=True)),
                    bindparam("last", last, DateTime(timezone=True)),
                    tz=wanted.tz,
                )
            )
            edges = [first, *(at for at in found.scalars() if first < at < last), last]
            return [span for edge in pairwise(edges) for span in spans_of(*edge)]
        case _:
            return [Span("hour", first, last)]


def _kind(by: Sequence[str], filters: Sequence[str]) -> str | None:
    """The roll-up that tells such groups apart."""
    told_apart = {*by, *filters} - {"direction", "connection_id"}
    return next((kind for kind, values in KINDS.items() if told_apart <= {*values}), None)


def _hour_after(at: datetime) -> datetime:
    """The first whole hour that is not before."""
    hour = at.replace(minute=0, second=0, microsecond=0)
    return hour if hour == at else hour + timedelta(hours=1)


def has_distributions(by: Sequence[str], filters: Sequence[str]) -> bool:
    """Whether percentiles and costs are kept for such groups."""
    return {*by, *filters} <= {"direction", "connection_id"}


def has_bids(by: Sequence[str], filters: Sequence[str]) -> bool:
    """Whether dials and transfers that never became a call can be grouped like that."""
    return {*by, *filters} <= {*_OF_BIDS}


def _group(row: "Row[Any]", wanted: GroupsWanted) -> GroupView:
    open_now = int(row.in_progress)
    of_now = {"in_progress": open_now, "end_unknown": row.calls - row.ended - open_now}
    counts = {each.name: of_now.get(each.name, getattr(row, each.name, 0)) for each in COUNTERS}
    bids = {BIDS_FAILED: int(row.bids_failed)} if row.bids_failed is not None else {}
    loss = Ratio.of(int(row.skipped_packets), int(row.packets), LOSS_FORMULA)
    costs = None if row.costs is None else [Cost(**each) for each in row.costs]
    return GroupView(
        start=row.starts_at,
        end=row.ends_at,
        group={name: getattr(row, name) for name in wanted.by},
        is_other=row.is_other,
        counts=counts | bids,
        ratios=ratios_of(counts) | {ABR.name: ABR.ratio(counts | bids) if bids else ABR_UNKNOWN},
        durations=GroupDurations(
            minutes_of_use=int(row.talk_us) / 6e7,
            acd_s=Ratio.of(int(row.talk_us) / 1e6, int(row.talked), ACD_FORMULA),
            ring_s=Ratio.of(int(row.ring_us) / 1e6, int(row.rang), RING_FORMULA),
            answer_delay=None
            if row.delays is None
            else percentiles_of(row.delays, with_histogram=wanted.with_histograms),
            talk=None
            if row.talks is None
            else percentiles_of(row.talks, with_histogram=wanted.with_histograms),
        ),
        quality=GroupQuality(
            mos=Ratio.of(int(row.mos_milli) / 1e3, int(row.mos_legs), MOS_FORMULA), loss=loss
        ),
        costs=costs,
    )


def percentiles_of(classes: Mapping[str, int], *, with_histogram: bool = False) -> Percentiles:
    """Nearest rank, of how many there are in each class."""
    counted = sorted((int(number), count) for number, count in classes.items())
    samples = sum(count for _, count in counted)

    def rank(percent: int) -> float | None:
        left = -(-samples * percent // 100)
        for number, count in counted:
            left -= count
            if left <= 0:
                return BOUNDS_US[min(number, len(BOUNDS_US) - 1)] / 1e6
        return None

    return Percentiles(
        p50_s=rank(50),
        p95_s=rank(95),
        p99_s=rank(99),
        samples=samples,
        histogram=[_histogram_class(*each) for each in counted] if with_histogram else None,
    )


def _histogram_class(number: int, count: int) -> HistogramClass:
    return HistogramClass(
        from_s=BOUNDS_US[number - 1] / 1e6 if number else 0.0,
        to_s=BOUNDS_US[number] / 1e6 if number < len(BOUNDS_US) else None,
        calls=count,
    )


@cache
def _statement(
    unit: Unit | None, by: tuple[str, ...], filtered: tuple[str, ...], kind: str | None
) -> TextualSelect:
    assert {*by, *filtered} <= {*DIMENSIONS}
    filters = "".join(
        f" and starts_with({name}, :{name})"
        if name == "number_prefix"
        else f" and {name} = :{name}"
        for name in filtered
    )
    is_in_range = "started_at >= :since and started_at < :until"
    if kind is not None:
        # Ranges of indexes; as a condition on one it would be read from end to end.
        is_in_range = (
            "(started_at >= :since and started_at < :first"
            " or started_at >= :last and started_at < :until"
            " or started_at >= :first and started_at < :last and leg.ended_at is null)"
        )
    is_up = "(leg.ended_at is null and coalesce(leg.up_until > :now, false))::int"
    condition = f"{is_in_range} and {IS_COUNTED}"
    sources = [_FROM_LEGS] if kind is None else [_FROM_LEGS, _ROLLED]
    if has_bids(by, filtered):
        sources.append(_BIDS)
    values = {name: f"value{at}" for at, name in enumerate(KINDS.get(kind or "", ()), start=1)}
    values |= {"direction": "direction", "connection_id": "connection_id"}
    has_more = has_distributions(by, filtered)
    sql = _SQL.format(
        leg_facts=facts_of("legs", {"in_progress": is_up}, condition),
        facts="\nunion all\n".join(sources).format(
            dimensions=", ".join(DIMENSIONS),
            values=", ".join(f"{values.get(name, 'null')} as {name}" for name in DIMENSIONS),
            figures=", ".join(FIGURES),
            zeros=", ".join("0" for _ in FIGURES),
            bids=", ".join(f"{_OF_BIDS.get(name, 'null')} as {name}" for name in DIMENSIONS),
        ),
        spans="" if kind is None else _SPANS,
        filters=filters,
        starts=bucket_start(unit),
        ends=bucket_end(unit),
        key=f"jsonb_build_array({', '.join(by)})",
        dimensions="".join(f", {name}" for name in by),
        sums=", ".join(f"coalesce(sum({name}), 0)::bigint as {name}" for name in _SUMMED),
        figures=", ".join(_SUMMED if has_bids(by, filtered) else _SUMMED[:-1]),
        no_bids="" if has_bids(by, filtered) else ", null as bids_failed",
        distributions=_distributions(unit, by, filters, kind) if has_more else "",
        joined=_JOINED if has_more else "",
        read=_READ if has_more else _NOT_READ,
    )
    statement = text(sql)
    if kind is not None:
        times = ARRAY(DateTime(timezone=True))
        statement = statement.bindparams(
            bindparam("levels", type_=ARRAY(Text)),
            bindparam("firsts", type_=times),
            bindparam("lasts", type_=times),
        )
    return statement.columns(costs=JSONB, delays=JSONB, talks=JSONB)


def _distributions(unit: Unit | None, by: tuple[str, ...], filters: str, kind: str | None) -> str:
    """The parts of the statement that read histograms and costs."""
    parts = [_CLASSES.format(delay=CLASSES["delay"], talk=CLASSES["talk"], filters=filters)]
    if kind is not None:
        parts.append(_ROLLED_CLASSES.format(filters=filters))
    placed = _PLACED_CLASSES.format(
        classes="\nunion all\n".join(parts),
        starts=bucket_start(unit),
        key=f"jsonb_build_array({', '.join(by)})",
        dimensions="".join(f", {name}" for name in by),
    )
    return "".join([placed, *(_HISTOGRAM.format(kind=name) for name in CLASSES), _COSTS])


def bucket_start(unit: Unit | None, at: str = "started_at") -> str:
    """Where the bucket of that time begins, in SQL; its parameters are since and tz."""
    match unit:
        case None:
            return "cast(:since as timestamptz)"
        case "5m" | "15m":
            # All time zones of the present are whole quarters of an hour from UTC.
            return f"date_bin('{INTERVALS[unit]}', {at}, '1970-01-01 00:00:00+00')"
        case _:
            return f"date_trunc('{unit}', {at}, cast(:tz as text))"


def bucket_end(unit: Unit | None) -> str:
    """Where the bucket ends that begins at starts_at."""
    match unit:
        case None:
            return "cast(:until as timestamptz)"
        case "day" | "week" | "month":
            tz = "cast(:tz as text)"
            return f"(starts_at at time zone {tz} + interval '{INTERVALS[unit]}') at time zone {tz}"
        case _:
            return f"starts_at + interval '{INTERVALS[unit]}'"


_INVALID_PARAMETER = "22023"
_SHORT = ("minute", "5m", "15m")
LOCAL = ("minute", "hour", "day", "week", "month")
_SUMMED = (*FIGURES, "in_progress", "bids_failed")

_NO_FLOWS = ", ".join(f"'{flow.name}'" for flow in (NO_FLOW, API_FLOW, ARCHIVED))

# What a bid can be grouped by that never became a call.
_OF_BIDS = {
    "direction": "'outgoing'",
    "connection_id": (
        "left(coalesce(parameters->>'connection_id', (select connection_id from legs"
        " where legs.session_id = command.session_id"
        " and legs.call_control_id = command.call_control_id)), 100)"
    ),
    "flow": f"case when flow not in ({_NO_FLOWS}) then left(flow, 100) end",
    "flow_version": f"case when flow not in ({_NO_FLOWS}) then left(flow_version, 100) end",
}

_FROM_LEGS = (
    "select started_at, {dimensions}, in_progress, 0 as bids_failed, {figures} from leg_facts"
)
_ROLLED = """select starts_at, {values}, 0 as in_progress, 0 as bids_failed, {figures}
    from spans cross join lateral (
        select * from leg_sums
        where kind = :kind and leg_sums.level = spans.level
            and starts_at >= spans.first and starts_at < spans.last
        offset 0
    ) as rolled"""
# With `offset 0` each span is looked up in the index; a join would read all of the roll-up.
_BIDS = """select decided_at, {bids}, 0 as in_progress, 1 as bids_failed, {zeros}
    from commands as command
    where decided_at >= :since and decided_at < :until
        and status = 'failed' and operation in ('dial', 'transfer')
        and maybe_performed is not true"""

_SPANS = """spans as materialized (
    select * from unnest(:levels, :firsts, :lasts) as span (level, first, last)
),
"""

_SQL = """
with {spans}leg_facts as (
    {leg_facts}
),
facts as (
    {facts}
),
placed as materialized (
    select *, {key} as key from (
        select {starts} as starts_at{dimensions}, {sums}
        from facts where true{filters}
        group by 1{dimensions}
    ) as each
),
ranked as (
    select key{dimensions}, row_number() over (order by sum(calls) desc, key) as place
    from placed group by key{dimensions} having sum(calls + bids_failed) > 0
    order by place limit :top
),
groups as (
    select starts_at, coalesce(place, 0) as place, {sums}
    from placed left join ranked using (key)
    group by 1, 2
    having sum(calls + bids_failed) > 0
){distributions}
select greatest(starts_at, :since) as starts_at, least({ends}, :until) as ends_at,
    place = 0 as is_other{dimensions}, {figures}, {read}{no_bids}
from groups
left join ranked using (place)
{joined}
order by groups.starts_at, place = 0, place
limit :groups_max + 1
"""

_READ = (
    "coalesce(delays, '{}') as delays, coalesce(talks, '{}') as talks,"
    " coalesce(costs, '[]') as costs"
)
_NOT_READ = "null::jsonb as delays, null::jsonb as talks, null::jsonb as costs"
_JOINED = """
left join delays using (starts_at, place)
left join talks using (starts_at, place)
left join costs using (starts_at, place)
"""

_CLASSES = """
select kind, started_at, direction, connection_id, value, 1 as legs, micros
from leg_facts cross join lateral (values
    ('delay', ({delay})::text, delay_us, 0),
    ('talk', ({talk})::text, talked_us, 0),
    ('cost', currency, cost_micros, cost_micros)
) as each (kind, value, counted, micros)
where counted is not null{filters}"""

_ROLLED_CLASSES = """
select kind, starts_at, direction, connection_id, value, legs, micros
from spans cross join lateral (
    select * from leg_classes
    where kind in ('delay', 'talk', 'cost') and leg_classes.level = spans.level
        and starts_at >= spans.first and starts_at < spans.last{filters}
    offset 0
) as rolled"""

_PLACED_CLASSES = """,
placed_classes as materialized (
    select *, {key} as key from (
        select kind, {starts} as starts_at{dimensions}, value,
            sum(legs)::bigint as legs, sum(micros)::bigint as micros
        from ({classes}) as each
        group by kind, 2{dimensions}, value
        having sum(legs) <> 0
    ) as each
),
classes as (
    select kind, starts_at, coalesce(place, 0) as place, value,
        sum(legs)::bigint as legs, sum(micros)::bigint as micros
    from placed_classes left join ranked using (key)
    group by 1, 2, 3, 4
)"""

_HISTOGRAM = """,
{kind}s as (
    select starts_at, place, jsonb_object_agg(value, legs) as {kind}s
    from classes where kind = '{kind}' group by 1, 2
)"""

_COSTS = """,
costs as (
    select starts_at, place, jsonb_agg(
        jsonb_build_object('currency', value, 'micros', micros, 'calls', legs) order by value
    ) as costs
    from classes where kind = 'cost' group by 1, 2
)"""
