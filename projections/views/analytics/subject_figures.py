"""Figures of anything that happens at a time, grouped like calls: what `groups` is for legs.

    kept days, and kept hours of others ────────────────┐
    other hours, and the ends of the range ─▶ facts ────┴▶ numbers ─▶ by bucket and dimensions

`subjects` says what facts and numbers are. In buckets of less than an hour all facts are counted.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, DateTime, TextClause, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.analytics.grouping.buckets import (
    LOCAL,
    Unit,
    bucket_begin,
    bucket_end,
    bucket_start,
    has_whole_hours,
)
from offhook.projections.views.analytics.grouping.percentiles import Percentiles, percentiles_of
from offhook.projections.views.analytics.grouping.planning import plan_for_range, plan_once
from offhook.projections.views.analytics.grouping.wanted import (
    GROUPS_MAX,
    GroupsWanted,
    TooManyGroups,
    is_single,
)
from offhook.projections.views.analytics.hourly.days import DAYS_OF, kept_days, whole_days
from offhook.projections.views.analytics.hourly.figure_hours import HOURS_OF
from offhook.projections.views.analytics.hourly.making import (
    kept_hours,
    no_whole_hours,
    whole_hours,
)
from offhook.projections.views.analytics.kpis import Ratio
from offhook.projections.views.analytics.subjects.subject import CLASSES, EXACT, Subject, numbers_of
from offhook.projections.views.view import storable

ROWS_MAX = 400_000
"""Sums that are read: figures and classes of durations of all groups."""


@dataclass(frozen=True, kw_only=True)
class FigureGroup:
    """The figures of one group; `group` has the value of each dimension that was asked for.

    `start` and `end` are of its bucket, cut off by the range. `is_other` is the group of all that
    are not among the most frequent. `means` are in seconds.
    """

    start: datetime
    end: datetime
    group: Mapping[str, str | None]
    is_other: bool
    counts: Mapping[str, int]
    ratios: Mapping[str, Ratio]
    means: Mapping[str, Ratio]
    percentiles: Mapping[str, Percentiles]


async def read_figures(
    connection: AsyncConnection,
    subject: Subject,
    wanted: GroupsWanted,
    extra: Mapping[str, Any] | None = None,
) -> list[FigureGroup]:
    """In order of time, then the most frequent first. Raises UnknownTimeZone, TooManyGroups."""
    values: dict[str, Any] = {
        "since": wanted.start,
        "until": wanted.end,
        "rows_max": ROWS_MAX,
        **{name: storable(value) for name, value in wanted.filters.items()},
    }
    if wanted.unit in LOCAL:
        values["tz"] = wanted.tz
    is_whole = await has_whole_hours(connection, wanted.unit, wanted.tz, wanted.start, wanted.end)
    if not subject.is_rolled_up:
        hours = whole_hours if is_whole else no_whole_hours
        values |= hours(wanted.start, wanted.end) | {"known_until": wanted.end}
        values |= whole_days(values["first"], values["last"])
    values |= {
        _below(place): round(1_000_000 * (extra or {})[limit.parameter]) + limit.is_included
        for place, limit in enumerate(subject.limits.values(), start=1)
    }
    is_kept = subject.is_rolled_up or is_whole
    await (plan_once if is_kept else plan_for_range)(connection)
    found = await connection.execute(_statement(subject, wanted), values)
    rows = found.all()
    if sum(len(row.numbers) for row in rows) > ROWS_MAX:
        raise TooManyGroups
    return _groups(rows, subject, wanted)


_Key = tuple[str | None, ...]


class _Sums(NamedTuple):
    """Of a group: counters and sums, and how many there are of each class of its durations."""

    named: dict[str, int]
    classes: Sequence[dict[int, int]]


def _groups(rows: Sequence[Any], subject: Subject, wanted: GroupsWanted) -> list[FigureGroup]:
    ends = {row.starts_at: row.ends_at for row in rows}
    found: dict[tuple[datetime, _Key], _Sums] = {}
    for row in rows:
        key = tuple(row[2 : 2 + len(wanted.by)])
        sums = found.setdefault((row.starts_at, key), _no_sums(subject))
        _add(sums, row.numbers, row.totals, subject)
    sizes: dict[_Key, int] = defaultdict(int)
    for (_, key), sums in found.items():
        sizes[key] += sums.named[subject.size]
    ranked = sorted(sizes, key=lambda key: (-sizes[key], [(v is not None, v or "") for v in key]))
    places = {key: place for place, key in enumerate(ranked[: wanted.top])}
    placed: dict[tuple[datetime, int], _Sums] = {}
    for (start, key), sums in found.items():
        if key in places:
            placed[start, places[key]] = sums
            continue
        others = placed.setdefault((start, wanted.top), _no_sums(subject))
        for name, total in sums.named.items():
            others.named[name] += total
        for classes, more in zip(others.classes, sums.classes, strict=True):
            for class_, total in more.items():
                classes[class_] = classes.get(class_, 0) + total
    present = sorted(group for group, sums in placed.items() if sums.named[subject.size])
    if len(present) > GROUPS_MAX:
        raise TooManyGroups
    views = []
    for start, place in present:
        is_other = place == wanted.top
        values = [None] * len(wanted.by) if is_other else ranked[place]
        group = dict(zip(wanted.by, values, strict=True))
        sums = placed[start, place]
        views.append(_view(start, ends[start], group, sums, subject, is_other=is_other))
    return views


def _no_sums(subject: Subject) -> _Sums:
    return _Sums(defaultdict(int), [{} for _ in subject.durations])


def _add(sums: _Sums, numbers: Sequence[int], totals: Sequence[int], subject: Subject) -> None:
    named, classes = sums
    names, limits = subject.numbered, [*subject.limits]
    for number, total in zip(numbers, totals, strict=True):
        if number < CLASSES:
            named[names[number - 1]] += total
        elif number < EXACT:
            of_class = classes[number // CLASSES - 1]
            class_ = number % CLASSES
            of_class[class_] = of_class.get(class_, 0) + total
        else:
            named[limits[number // EXACT - 1]] += total


def _view(
    start: datetime,
    end: datetime,
    group: Mapping[str, str | None],
    sums: _Sums,
    subject: Subject,
    *,
    is_other: bool,
) -> FigureGroup:
    named = sums.named
    counts = {name: named[name] for name in subject.counters}
    return FigureGroup(
        start=start,
        end=end,
        group=group,
        is_other=is_other,
        counts=counts,
        ratios={rule.name: rule.ratio(counts) for rule in subject.ratios},
        means={
            each.name: Ratio.of(named[each.microseconds] / 1e6, counts[each.counted], each.formula)
            for each in subject.means
        },
        percentiles={
            name: percentiles_of(classes)
            for name, classes in zip(subject.durations, sums.classes, strict=True)
        },
    )


def _statement(subject: Subject, wanted: GroupsWanted) -> TextClause:
    by, filters = tuple(wanted.by), sorted(wanted.filters)
    assert {*by, *filters} <= {*subject.dimensions}
    dimensions = "".join(f", {name}" for name in by)
    values = {
        "dimensions": dimensions,
        "filters": "".join(f" and {name} = :{name}" for name in filters),
        "at": bucket_start(wanted.unit, "at"),
        "begins": bucket_begin(wanted.unit),
        "ends": bucket_end(wanted.unit),
        "number": "number",
        **_kept(subject),
    }
    if subject.limits:
        values["number"] = f"case when number < {EXACT} then number else {_ITS_LIMIT} * {EXACT} end"
    if subject.is_rolled_up:
        facts = subject.facts_in(":since", ":until")
        parts = _ROLLED.format(facts=facts, **values)
        return text(_SUMMED.format(parts=parts, numbers_of_parts="parts", **values))
    hours, days = HOURS_OF[subject.name], DAYS_OF[subject.name]
    parts = _PARTS.format(
        facts=subject.facts_in("from_at", "to_at"),
        hours=kept_hours(hours),
        numbers_of_facts=numbers_of(subject, f"starts_at{dimensions}"),
        hour=bucket_start(wanted.unit, "hour"),
        table=hours.table.name,
        days=kept_days(days, _in_one_bucket(wanted.unit)),
        day=bucket_start(wanted.unit, "day"),
        day_table=days.table.name,
        kind=subject.kind([*by, *filters]),
        **values,
    )
    sql = _SUMMED if _has_parts(subject, wanted) else _SINGLE
    times = ARRAY(DateTime(timezone=True))
    return text(sql.format(parts=parts, numbers_of_parts=_NUMBERS_OF_PARTS, **values)).bindparams(
        bindparam("from_ends", type_=times), bindparam("to_ends", type_=times)
    )


def _has_parts(subject: Subject, wanted: GroupsWanted) -> bool:
    """Whether a group has several numbers to be added up, so that it pays to do it there: of hours
    or days, or of dimensions that nobody asked for."""
    if subject.is_rolled_up or not is_single(wanted):
        return True
    asked = {*wanted.by, *wanted.filters}
    return asked != {*subject.kinds[subject.kind(asked)]}


def _below(place: int) -> str:
    """The parameter for the microseconds below which durations of that limit are counted."""
    return f"below_{place}_us"


def _kept(subject: Subject) -> dict[str, str]:
    """Parts of the statement: of a kept row, the numbers and totals without durations that are not
    below their limit; and which numbers of facts count.

    Numbers are in order, so each limit is looked up, and what it leaves is one slice.
    """
    if not subject.limits:
        return {"bounds": "", "numbers": "numbers", "totals": "totals", "is_counted": "true"}
    below = {
        place: f"cast(:{_below(place)} as bigint)" for place in range(1, len(subject.limits) + 1)
    }
    bounds = {"until_0": f"{EXACT} - 1"}
    slices = ["[1:until_0]"]
    for place, limit in below.items():
        bounds[f"after_{place}"] = f"{place * EXACT} - 1"
        bounds[f"until_{place}"] = f"{place * EXACT} + {limit} - 1"
        slices.append(f"[after_{place} + 1:until_{place}]")
    looked_up = ", ".join(
        f"width_bucket({number}, numbers) as {name}" for name, number in bounds.items()
    )
    numbers, totals = (
        " || ".join(f"{name}{each}" for each in slices) for name in ("numbers", "totals")
    )
    limits = " ".join(f"when {place} then {limit}" for place, limit in below.items())
    return {
        # With `offset 0` each is looked up once, not for each slice.
        "bounds": f"cross join lateral (select {looked_up} offset 0) as bound",
        "numbers": f"{numbers} as numbers",
        "totals": f"{totals} as totals",
        "is_counted": f"(number < {EXACT} or number % {EXACT} < case {_ITS_LIMIT} {limits} end)",
    }


def _in_one_bucket(unit: Unit | None) -> str:
    """Whether all hours of a day of UTC are in the same bucket, in SQL."""
    return f"{bucket_start(unit, 'day')} = {bucket_start(unit, _LAST_HOUR)}"


_LAST_HOUR = "day + interval '23 hours'"

_ITS_LIMIT = f"number / {EXACT}"

_PARTS = """hours as materialized (
    {hours}
),
days as materialized (
    {days}
),
single as materialized (
    select hour, is_kept from hours
    where not exists (select from days where day = date_trunc('day', hour, 'UTC'))
),
pieces as materialized (
    select hour as from_at, hour + interval '1 hour' as to_at from single where not is_kept
    union all
    select from_at, to_at from unnest(:from_ends, :to_ends) as rest (from_at, to_at)
),
facts as materialized (
    select {at} as starts_at, fact.* from pieces cross join lateral ({facts}) as fact
    where true{filters}
),
parts as (
    select starts_at{dimensions}, array_agg(number) as numbers, array_agg(total) as totals
    from ({numbers_of_facts}) as counted where {is_counted} group by starts_at{dimensions}
    union all
    select {day} as starts_at{dimensions}, {numbers}, {totals}
    from days join {day_table} using (day) {bounds}
    where kind = '{kind}'{filters}
    union all
    select {hour} as starts_at{dimensions}, {numbers}, {totals}
    from single join {table} using (hour) {bounds}
    where is_kept and kind = '{kind}'{filters}
)"""

_ROLLED = """parts as (
    select {at} as starts_at{dimensions}, number, total from ({facts}) as each where true{filters}
)"""

_NUMBERS_OF_PARTS = "parts cross join lateral unnest(numbers, totals) as each (number, total)"

_SUMMED = """
with {parts}
select greatest({begins}, :since) as starts_at, least({ends}, :until) as ends_at{dimensions},
    array_agg(number) as numbers, array_agg(total) as totals
from (
    select starts_at{dimensions}, {number} as number, sum(total)::bigint as total
    from {numbers_of_parts} group by starts_at{dimensions}, {number}
    having sum(total) <> 0 limit :rows_max + 1
) as summed
group by starts_at{dimensions}
"""

_SINGLE = """
with {parts}
select greatest({begins}, :since) as starts_at, least({ends}, :until) as ends_at{dimensions},
    numbers, totals
from (
    select *, sum(cardinality(numbers)) over (rows unbounded preceding) as read from parts
) as part
where read - cardinality(numbers) <= :rows_max
"""
