"""Figures of anything that happens at a time, grouped like calls: what `groups` is for legs.

A subject says what its facts are, in SQL: a row for each thing that happened, with the dimensions,
a number for each counter and sum, and microseconds for each duration. Here they are added up by a
bucket of time and by dimensions.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.analytics.facts import class_of
from offhook.projections.views.analytics.grouping.buckets import (
    LOCAL,
    bucket_end,
    bucket_start,
    require_time_zone,
)
from offhook.projections.views.analytics.grouping.percentiles import Percentiles, percentiles_of
from offhook.projections.views.analytics.grouping.wanted import (
    GROUPS_MAX,
    GroupsWanted,
    TooManyGroups,
)
from offhook.projections.views.analytics.kpis import Ratio, RatioRule
from offhook.projections.views.view import storable

ROWS_MAX = 400_000
"""Sums that are read: figures and classes of durations of all groups."""


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Seconds: a sum in microseconds, divided by a counter."""

    name: str
    meaning: str
    microseconds: str  # name of the sum
    counted: str  # name of the counter
    formula: str


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is counted. `counters`, `dimensions`, `durations` have the meaning of each name.

    `facts` is SQL with a row for each thing: `at`, the dimensions, `counters` and `sums` as
    integers, and `durations` in microseconds or null; or, if it `is_rolled_up`, with a row for each
    figure: `at`, the dimensions, `name`, `class` and `total`. Its parameters are since, until and
    those of its own. Groups are ranked by `size`; one in which it is 0 is not there.
    """

    name: str
    size: str
    dimensions: Mapping[str, str]
    counters: Mapping[str, str]
    sums: Sequence[str] = ()
    ratios: Sequence[RatioRule] = ()
    means: Sequence[Mean] = ()
    durations: Mapping[str, str] = field(default_factory=dict)
    facts: str
    is_rolled_up: bool = False

    @property
    def definitions(self) -> dict[str, str]:
        """What each counter, ratio, mean and duration is."""
        named = dict(self.counters)
        named |= {rule.name: f"{rule.meaning} ({rule.source})" for rule in self.ratios}
        named |= {mean.name: mean.meaning for mean in self.means}
        return named | dict(self.durations)


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
        **(extra or {}),
    }
    if wanted.unit in LOCAL:
        values["tz"] = wanted.tz
    await require_time_zone(connection, wanted.tz)
    await connection.execute(text("set local jit to off"))
    found = await connection.execute(_statement(subject, wanted), values)
    rows = found.all()
    if len(rows) > ROWS_MAX:
        raise TooManyGroups
    return _groups(rows, subject, wanted)


def _groups(rows: Sequence[Any], subject: Subject, wanted: GroupsWanted) -> list[FigureGroup]:
    sizes: dict[tuple[str | None, ...], int] = defaultdict(int)
    for row in rows:
        if row.name == subject.size:
            sizes[tuple(row[2 : 2 + len(wanted.by)])] += row.total
    ranked = sorted(sizes, key=lambda key: (-sizes[key], [(v is not None, v or "") for v in key]))
    places = {key: place for place, key in enumerate(ranked[: wanted.top])}
    ends: dict[datetime, datetime] = {}
    totals: dict[tuple[datetime, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    classes: dict[tuple[datetime, int], dict[str, dict[str, int]]] = defaultdict(
        lambda: {name: {} for name in subject.durations}
    )
    for row in rows:
        place = places.get(tuple(row[2 : 2 + len(wanted.by)]), wanted.top)
        group = (row.starts_at, place)
        ends[row.starts_at] = row.ends_at
        if row.name in subject.durations:
            counted = classes[group][row.name]
            counted[str(row.class_)] = counted.get(str(row.class_), 0) + row.total
        else:
            totals[group][row.name] += row.total
    present = sorted(group for group, named in totals.items() if named[subject.size])
    if len(present) > GROUPS_MAX:
        raise TooManyGroups
    found = []
    for start, place in present:
        named = totals[start, place]
        is_other = place == wanted.top
        key = [None] * len(wanted.by) if is_other else ranked[place]
        counts = {name: named[name] for name in subject.counters}
        found.append(
            FigureGroup(
                start=start,
                end=ends[start],
                group=dict(zip(wanted.by, key, strict=True)),
                is_other=is_other,
                counts=counts,
                ratios={rule.name: rule.ratio(counts) for rule in subject.ratios},
                means={
                    each.name: Ratio.of(
                        named[each.microseconds] / 1e6, counts[each.counted], each.formula
                    )
                    for each in subject.means
                },
                percentiles={
                    name: percentiles_of(counted) for name, counted in classes[start, place].items()
                },
            )
        )
    return found


def _statement(subject: Subject, wanted: GroupsWanted) -> TextClause:
    by, filters = tuple(wanted.by), sorted(wanted.filters)
    assert {*by, *filters} <= {*subject.dimensions}
    chosen = "".join(f" and {name} = :{name}" for name in filters)
    dimensions = "".join(f", {name}" for name in by)
    start = bucket_start(wanted.unit, "at")
    summed = _ROLLED if subject.is_rolled_up else _COUNTED
    numbers = [*subject.counters, *subject.sums]
    return text(
        _SQL.format(
            summed=summed.format(
                facts=subject.facts,
                filters=chosen,
                dimensions=dimensions,
                start=start,
                sums="".join(f", sum({name})::bigint as {name}" for name in numbers),
                named=", ".join(f"('{name}', {name})" for name in numbers),
                durations=", ".join(f"('{name}', {name})" for name in subject.durations),
                class_=class_of("each.us"),
            ),
            dimensions=dimensions,
            ends=bucket_end(wanted.unit),
        )
    )


_SQL = """
with {summed}
select greatest(starts_at, :since) as starts_at, least({ends}, :until) as ends_at{dimensions},
    name, class_, total
from summed where total <> 0
limit :rows_max + 1
"""

_COUNTED = """facts as materialized (
    select {start} as starts_at, each.* from ({facts}) as each where true{filters}
),
summed as (
    select starts_at{dimensions}, each.name, 0 as class_, each.total
    from (select starts_at{dimensions}{sums} from facts group by starts_at{dimensions}) as sums
        cross join lateral (values {named}) as each (name, total)
    union all
    select starts_at{dimensions}, each.name, {class_} as class_, count(*)
    from facts cross join lateral (values {durations}) as each (name, us)
    where each.us is not null
    group by starts_at{dimensions}, each.name, class_
)"""

_ROLLED = """summed as (
    select {start} as starts_at{dimensions}, name, class as class_, sum(total)::bigint as total
    from ({facts}) as each where true{filters}
    group by 1{dimensions}, name, class
)"""
