"""The statement behind groups of calls, which reads roll-ups where they tell the groups apart."""

from collections.abc import Sequence
from functools import lru_cache

from sqlalchemy import DateTime, Integer, Text, TextualSelect, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from offhook.flow import API_FLOW, ARCHIVED, NO_FLOW
from offhook.projections.views.analytics.grouping.buckets import (
    Unit,
    bucket_begin,
    bucket_end,
    bucket_start,
)
from offhook.projections.views.analytics.leg_facts import DIMENSIONS, facts_of
from offhook.projections.views.analytics.rollups.rollups import (
    CLASS_KINDS,
    CLASSES,
    FIGURES,
    IS_COUNTED,
    KINDS,
    suffix_of,
)

STATEMENTS_MAX = 256
"""Texts that are kept: any order of dimensions has its own."""


def kind_of(by: Sequence[str], filters: Sequence[str]) -> str | None:
    """The roll-up that tells such groups apart."""
    told_apart = {*by, *filters} - {"direction", "connection_id"}
    return next((kind for kind, values in KINDS.items() if told_apart <= {*values}), None)


def has_distributions(by: Sequence[str], filters: Sequence[str]) -> bool:
    """Whether percentiles and costs are kept for such groups."""
    return {*by, *filters} <= {"direction", "connection_id"}


def has_bids(by: Sequence[str], filters: Sequence[str]) -> bool:
    """Whether dials and transfers that never became a call can be grouped like that."""
    return {*by, *filters} <= {*_OF_BIDS}


@lru_cache(maxsize=STATEMENTS_MAX)
def statement_of(
    unit: Unit | None,
    by: tuple[str, ...],
    filtered: tuple[str, ...],
    kind: str | None,
    *,
    is_single: bool,
) -> TextualSelect:
    """It `is_single` if buckets are periods that are kept, so that it does not pay to add up."""
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
            signed=", ".join(f"sign * {name}" for name in FIGURES),
            rolled_start=_rolled_start(unit),
            zeros=", ".join("0" for _ in FIGURES),
            starts=bucket_start(unit),
            bid_starts=bucket_start(unit, "decided_at"),
            bids=", ".join(f"{_OF_BIDS.get(name, 'null')} as {name}" for name in DIMENSIONS),
        ),
        spans="" if kind is None else _SPANS,
        filters=filters,
        begins=bucket_begin(unit),
        ends=bucket_end(unit),
        key=f"jsonb_build_array({', '.join(by)})",
        dimensions="".join(f", {name}" for name in by),
        sums=", ".join(f"coalesce(sum({name}), 0)::bigint as {name}" for name in _SUMMED),
        figures=", ".join(_SUMMED if has_bids(by, filtered) else _SUMMED[:-1]),
        no_bids="" if has_bids(by, filtered) else ", null as bids_failed",
        distributions=_distributions(unit, by, filtered, filters, kind, is_single=is_single)
        if has_more
        else "",
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
            bindparam("signs", type_=ARRAY(Integer)),
            bindparam("ats", type_=times),
        )
    return statement.columns(costs=JSONB)


def histograms_of(numbers: Sequence[int], totals: Sequence[int]) -> list[dict[int, int]]:
    """How many there are of each class, for each of CLASSES."""
    found: list[dict[int, int]] = [{} for _ in CLASSES]
    for number, total in zip(numbers, totals, strict=True):
        classes = found[number // 1000 - 1]
        class_ = number % 1000
        classes[class_] = classes.get(class_, 0) + total
    # What was subtracted may have been all.
    return [
        {class_: total for class_, total in classes.items() if total}
        if 0 in classes.values()
        else classes
        for classes in found
    ]


def _distributions(
    unit: Unit | None,
    by: tuple[str, ...],
    filtered: tuple[str, ...],
    filters: str,
    kind: str | None,
    *,
    is_single: bool,
) -> str:
    """The parts of the statement that read histograms and costs."""
    dimensions = "".join(f", {name}" for name in by)
    parts = [_CLASSES.format(**CLASSES, starts=bucket_start(unit), filters=filters)]
    if kind is not None:
        suffix = suffix_of({*by, *filtered})
        kinds = [(f"'{each}{suffix}'", at) for at, each in enumerate(CLASS_KINDS, start=1)]
        parts.append(
            _ROLLED_CLASSES.format(
                kinds=", ".join(each for each, _ in kinds),
                places=" ".join(f"when {each} then {at}" for each, at in kinds),
                filters=filters,
                rolled_start=_rolled_start(unit),
            )
        )
    return _PLACED_CLASSES.format(
        summed=(_SINGLE_CLASSES if is_single else _SUMMED_CLASSES).format(
            classes="\nunion all\n".join(parts), dimensions=dimensions
        ),
        key=f"jsonb_build_array({', '.join(by)})",
        dimensions=dimensions,
        lists=_LISTS.strip(),
    )


def _rolled_start(unit: Unit | None) -> str:
    """The bucket of a row of a roll-up. If buckets are hours, each of its hours is one."""
    return "starts_at" if unit == "hour" else f"coalesce(at, {bucket_start(unit, 'starts_at')})"


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

_FROM_LEGS = """select {starts} as starts_at, {dimensions}, in_progress, 0 as bids_failed, {figures}
    from leg_facts"""
_ROLLED = """select {rolled_start}, {values}, 0 as in_progress, 0 as bids_failed, {signed}
    from spans cross join lateral (
        select * from leg_sums
        where kind = :kind and leg_sums.level = spans.level
            and starts_at >= spans.first and starts_at < spans.last
        offset 0
    ) as rolled"""
# With `offset 0` each span is looked up in the index; a join would read all of the roll-up.
_BIDS = """select {bid_starts}, {bids}, 0 as in_progress, 1 as bids_failed, {zeros}
    from commands as command
    where decided_at >= :since and decided_at < :until
        and status = 'failed' and operation in ('dial', 'transfer')
        and maybe_performed is not true"""

_SPANS = """spans as materialized (
    select * from unnest(:levels, :firsts, :lasts, :signs, :ats)
        as span (level, first, last, sign, at)
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
        select starts_at{dimensions}, {sums}
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
select greatest({begins}, :since) as starts_at, least({ends}, :until) as ends_at,
    place = 0 as is_other{dimensions}, {figures}, {read}{no_bids}
from groups
left join ranked using (place)
{joined}
order by groups.starts_at, place = 0, place
limit :groups_max + 1
"""

_READ = (
    "coalesce(numbers, '{}') as numbers, coalesce(totals, '{}') as totals,"
    " coalesce(costs, '[]') as costs"
)
_NOT_READ = "null::int[] as numbers, null::bigint[] as totals, null::jsonb as costs"
_JOINED = "left join listed using (starts_at, place)"

# A class is a number: 1000 times the place of its kind, and the class. Costs have none.
_CLASSES = """
select {starts} as starts_at, direction, connection_id, number, each.currency, 1 as legs, micros
from leg_facts cross join lateral (values
    (1000 + {delay}, null, delay_us, 0),
    (2000 + {talk}, null, talked_us, 0),
    (3000 + {ring}, null, unanswered_us, 0),
    (4000, currency, cost_micros, cost_micros)
) as each (number, currency, counted, micros)
where counted is not null{filters}"""

_ROLLED_CLASSES = """
select {rolled_start}, direction, connection_id,
    1000 * place + case when place < 4 then value::int else 0 end,
    case when place = 4 then value end, sign * legs, sign * micros
from spans cross join lateral (
    select *, case kind {places} end as place from leg_classes
    where kind in ({kinds}) and leg_classes.level = spans.level
        and starts_at >= spans.first and starts_at < spans.last{filters}
    offset 0
) as rolled"""

_SUMMED_CLASSES = """select starts_at{dimensions}, number, currency,
        sum(legs)::bigint as legs, sum(micros)::bigint as micros
    from ({classes}) as each
    group by 1{dimensions}, number, currency
    having sum(legs) <> 0"""

# The reader adds up partitions, and hours of a day at an end of the range. A row that has come to
# nothing stays.
_SINGLE_CLASSES = """select starts_at{dimensions}, number, currency, legs, micros
    from ({classes}) as each where legs <> 0"""

# Keys are made of groups, of which there are few, and not of their classes.
_PLACED_CLASSES = """,
classes as not materialized (
    {summed}
),
of_groups as materialized (
    select starts_at, {key} as key, {lists}
    from classes group by starts_at{dimensions}
),
listed as (
    select starts_at, place, numbers, totals, costs from of_groups join ranked using (key)
    union all
    select starts_at, 0, {lists}
    from (
        select starts_at, number, currency, sum(legs)::bigint as legs,
            sum(micros)::bigint as micros
        from classes
        where exists (select from of_groups left join ranked using (key) where place is null)
            and {key} not in (select key from ranked)
        group by starts_at, number, currency
    ) as others
    group by starts_at
)"""

_LISTS = """
        array_agg(number) filter (where number < 4000) as numbers,
        array_agg(legs) filter (where number < 4000) as totals,
        jsonb_agg(jsonb_build_object('currency', currency, 'micros', micros, 'calls', legs))
            filter (where number = 4000) as costs"""
