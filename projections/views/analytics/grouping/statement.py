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
from offhook.projections.views.analytics.grouping.percentiles import Blocks, added
from offhook.projections.views.analytics.leg_facts import BOUNDS_US, DIMENSIONS, facts_of
from offhook.projections.views.analytics.rollups.tables import (
    BLOCK,
    CLASSES,
    COST,
    FIGURES,
    IS_COUNTED,
    KINDS,
    OF_BLOCK,
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
    has_ends: bool,
) -> TextualSelect:
    """It `is_single` if buckets are periods that are kept, so that it does not pay to add up. It
    `has_ends` if not all of the range are whole hours."""
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
        is_in_range = "started_at >= :first and started_at < :last and leg.ended_at is null"
        if has_ends:  # without them Postgres would still expect rows there, and plan for them
            is_in_range = (
                "(started_at >= :since and started_at < :first"
                f" or started_at >= :last and started_at < :until or {is_in_range})"
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


def histograms_of(blocks: Sequence[int], counts: Sequence[Sequence[int]]) -> list[Blocks]:
    """For each of CLASSES the blocks, each with how many there are of its classes."""
    found: list[Blocks] = [{} for _ in CLASSES]
    for number, of_block in zip(blocks, counts, strict=True):
        place, block = divmod(number, _BLOCKS)
        before = found[place].get(block)
        found[place][block] = of_block if before is None else added(before, of_block)
    return found


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
    of_classes = ", ".join(
        f"case number % {BLOCK} when {place} then added else 0 end as {name}"
        for place, name in enumerate(OF_BLOCK)
    )
    starts = bucket_start(unit)
    parts = [
        _CLASSES.format(**CLASSES, starts=starts, dimensions=dimensions, filters=filters).format(
            of_classes=of_classes
        )
    ]
    if kind is not None:
        suffix = suffix_of({*by, *filtered})
        kinds = [(f"'{each}{suffix}'", place) for place, each in enumerate(CLASSES)]
        parts.append(
            _ROLLED_CLASSES.format(
                kinds=", ".join(each for each, _ in kinds),
                places=" ".join(f"when {each} then {place}" for each, place in kinds),
                signed=", ".join(f"sign * {name}" for name in OF_BLOCK),
                cost=f"{COST}{suffix}",
                zeros=", ".join("0" for _ in OF_BLOCK[2:]),
                filters=filters,
                dimensions=dimensions,
                rolled_start=_rolled_start(unit),
            )
        )
    blocks = "\nunion all\n".join(parts)
    return _PLACED_BLOCKS.format(
        blocks=blocks if is_single else _SUMMED_BLOCKS.format(blocks=blocks, dimensions=dimensions),
        key=f"jsonb_build_array({', '.join(by)})",
        dimensions=dimensions,
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
    "coalesce(blocks, '{}') as blocks, coalesce(counts, '{}') as counts,"
    " coalesce(costs, '[]') as costs"
)
_NOT_READ = "null::int[] as blocks, null::bigint[] as counts, null::jsonb as costs"
_JOINED = "left join listed using (starts_at, place)"

_BLOCKS = -(-(len(BOUNDS_US) + 1) // BLOCK)
_CLASSES_MAX = _BLOCKS * BLOCK
_COST_BLOCK = len(CLASSES) * _BLOCKS

# A class is a number: those of the second histogram follow those of the first. So is its block.
# After the last one is that of costs: first how many legs have one, then the sum.
_CLASSES = f"""
select starts_at{{dimensions}}, number / {BLOCK} as block, currency, {{{{of_classes}}}}
from (
    select {{starts}} as starts_at{{dimensions}}, number, each.currency, sum(added)::bigint as added
    from leg_facts cross join lateral (values
        ({{delay}}, null, delay_us, 1),
        ({_CLASSES_MAX} + {{talk}}, null, talked_us, 1),
        ({2 * _CLASSES_MAX} + {{ring}}, null, unanswered_us, 1),
        ({_COST_BLOCK * BLOCK}, currency, cost_micros, 1),
        ({_COST_BLOCK * BLOCK + 1}, currency, cost_micros, cost_micros)
    ) as each (number, currency, counted, added)
    where counted is not null{{filters}}
    group by 1{{dimensions}}, number, each.currency
) as counted"""

_ROLLED_CLASSES = f"""
select {{rolled_start}}{{dimensions}}, {_BLOCKS} * place + block, null, {{signed}}
from spans cross join lateral (
    select *, case kind {{places}} end as place from leg_classes
    where kind in ({{kinds}}) and leg_classes.level = spans.level
        and starts_at >= spans.first and starts_at < spans.last{{filters}}
    offset 0
) as rolled
union all
select {{rolled_start}}{{dimensions}}, {_COST_BLOCK}, currency, sign * legs, sign * micros,
    {{zeros}}
from spans cross join lateral (
    select * from leg_costs
    where kind = '{{cost}}' and leg_costs.level = spans.level
        and starts_at >= spans.first and starts_at < spans.last{{filters}}
    offset 0
) as rolled"""

_SUMS = ", ".join(f"sum({name})::bigint as {name}" for name in OF_BLOCK)

# Without it the reader adds up what there is of a block twice: partitions, and hours of a day at an
# end of the range. A block that has come to nothing stays.
_SUMMED_BLOCKS = f"""
select starts_at{{dimensions}}, block, currency, {_SUMS}
from ({{blocks}}) as each group by starts_at{{dimensions}}, block, currency"""

_LISTS = f"""
        array_agg(block) filter (where block < {_COST_BLOCK}) as blocks,
        array_agg(array[{", ".join(OF_BLOCK)}]) filter (where block < {_COST_BLOCK}) as counts,
        jsonb_agg(jsonb_build_object(
            'currency', currency, 'calls', {OF_BLOCK[0]}, 'micros', {OF_BLOCK[1]}
        )) filter (where block = {_COST_BLOCK}) as costs"""

# Keys are made of groups, of which there are few, and not of their blocks.
_PLACED_BLOCKS = f""",
blocks as not materialized (
    {{blocks}}
),
of_groups as materialized (
    select starts_at, {{key}} as key, {_LISTS}
    from blocks group by starts_at{{dimensions}}
),
listed as (
    select starts_at, place, blocks, counts, costs from of_groups join ranked using (key)
    union all
    select starts_at, 0, {_LISTS}
    from (
        select starts_at, block, currency, {_SUMS}
        from blocks
        where exists (select from of_groups left join ranked using (key) where place is null)
            and {{key}} not in (select key from ranked)
        group by starts_at, block, currency
    ) as others
    group by starts_at
)"""
