"""The statement behind groups of calls, which reads roll-ups where they tell the groups apart."""

from collections.abc import Sequence
from functools import cache

from sqlalchemy import DateTime, Text, TextualSelect, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from offhook.flow import API_FLOW, ARCHIVED, NO_FLOW
from offhook.projections.views.analytics.grouping.buckets import (
    Unit,
    bucket_begin,
    bucket_end,
    bucket_start,
)
from offhook.projections.views.analytics.leg_facts import DIMENSIONS, facts_of
from offhook.projections.views.analytics.rollups.rollups import CLASSES, FIGURES, IS_COUNTED, KINDS


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


@cache
def statement_of(
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
        begins=bucket_begin(unit),
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
    return statement.columns(costs=JSONB, delays=JSONB, talks=JSONB, rings=JSONB)


def _distributions(unit: Unit | None, by: tuple[str, ...], filters: str, kind: str | None) -> str:
    """The parts of the statement that read histograms and costs."""
    parts = [_CLASSES.format(**CLASSES, filters=filters)]
    if kind is not None:
        parts.append(_ROLLED_CLASSES.format(filters=filters))
    placed = _PLACED_CLASSES.format(
        classes="\nunion all\n".join(parts),
        starts=bucket_start(unit),
        key=f"jsonb_build_array({', '.join(by)})",
        dimensions="".join(f", {name}" for name in by),
    )
    return "".join([placed, *(_HISTOGRAM.format(kind=name) for name in CLASSES), _COSTS])


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
select greatest({begins}, :since) as starts_at, least({ends}, :until) as ends_at,
    place = 0 as is_other{dimensions}, {figures}, {read}{no_bids}
from groups
left join ranked using (place)
{joined}
order by groups.starts_at, place = 0, place
limit :groups_max + 1
"""

_READ = (
    "coalesce(delays, '{}') as delays, coalesce(talks, '{}') as talks,"
    " coalesce(rings, '{}') as rings,"
    " coalesce(costs, '[]') as costs"
)
_NOT_READ = (
    "null::jsonb as delays, null::jsonb as talks, null::jsonb as rings, null::jsonb as costs"
)
_JOINED = """
left join delays using (starts_at, place)
left join talks using (starts_at, place)
left join rings using (starts_at, place)
left join costs using (starts_at, place)
"""

_CLASSES = """
select kind, started_at, direction, connection_id, value, 1 as legs, micros
from leg_facts cross join lateral (values
    ('delay', ({delay})::text, delay_us, 0),
    ('talk', ({talk})::text, talked_us, 0),
    ('ring', ({ring})::text, unanswered_us, 0),
    ('cost', currency, cost_micros, cost_micros)
) as each (kind, value, counted, micros)
where counted is not null{filters}"""

_ROLLED_CLASSES = """
select kind, starts_at, direction, connection_id, value, legs, micros
from spans cross join lateral (
    select * from leg_classes
    where kind in ('delay', 'talk', 'ring', 'cost') and leg_classes.level = spans.level
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
