"""The statement that adds the figures of legs to the roll-ups, or subtracts them."""

from collections.abc import Iterable, Mapping, Sequence

from offhook.projections.views.analytics.leg_facts import DIMENSIONS, facts_of
from offhook.projections.views.analytics.rollups.periods import LEVELS
from offhook.projections.views.analytics.rollups.tables import (
    BLOCK,
    CLASSES,
    COST,
    FIGURES,
    IS_COUNTED,
    KINDS,
    OF_BLOCK,
    TOLD_APART,
    rows_told_apart,
)

_SHARD_BITS = 47  # a position above them is the partition, as `offhook.position` has it


def changed(
    changes: Mapping[str, str],
    before: str = "",
    levels: Sequence[str] = LEVELS,
    suffixes: Iterable[str] = TOLD_APART,
) -> str:
    """A statement that adds the rows under "+", and subtracts those under "-".

    `before` are more CTEs, which come first; the rows are of `ended_facts`.
    """
    rows = " union all ".join(
        f"select {sign}1 as sign, fact.* from ({query}) as fact" for sign, query in changes.items()
    )
    added = {name: f"coalesce(sum(sign * {name}), 0)" for name in FIGURES}
    sums = [f"sum({name})" for name in FIGURES]
    return _CHANGED.format(
        before=before,
        levels=", ".join(f"('{level}')" for level in levels),
        told_apart=rows_told_apart(suffixes),
        rows=rows,
        dimensions=", ".join(DIMENSIONS),
        delay=CLASSES["delay"],
        talk=CLASSES["talk"],
        ring=CLASSES["ring"],
        of_block=", ".join(OF_BLOCK),
        of_classes=_sums_of_block("class"),
        set_block=", ".join(f"{name} = leg_classes.{name} + excluded.{name}" for name in OF_BLOCK),
        cost=COST,
        block=BLOCK,
        kinds=",\n        ".join(
            f"('{kind}', {', '.join([*values, *['null'] * (3 - len(values))])})"
            for kind, values in KINDS.items()
        ),
        figures=", ".join(FIGURES),
        added=", ".join(f"{each} as {name}" for name, each in added.items()),
        is_added=" or ".join(f"{each} <> 0" for each in added.values()),
        sums=", ".join(sums),
        differs=" or ".join(f"{each} <> 0" for each in sums),
        set=", ".join(f"{name} = leg_sums.{name} + excluded.{name}" for name in FIGURES),
    )


def ended_facts(rows: str, condition: str = IS_COUNTED) -> str:
    """A query of the facts of those rows of legs that have ended and meet the condition."""
    shard = {"shard": f"(leg.last_seq >> {_SHARD_BITS})::int"}
    return facts_of(rows, shard, f"leg.ended_at is not null and {condition}")


def _sums_of_block(class_: str) -> str:
    """The columns of a block, in SQL over rows with the number of a class and its `legs`."""
    return ", ".join(
        f"coalesce(sum(legs) filter (where {class_} % {BLOCK} = {place}), 0)"
        for place in range(BLOCK)
    )


# By hour first: most legs of a statement are alike there, and a change that no figure shows ends.
_CHANGED = """with {before}changes as materialized (
    {rows}
),
hours as materialized (
    select date_trunc('hour', started_at, 'UTC') as hour, shard, {dimensions}, {added}
    from changes
    group by hour, shard, {dimensions}
    having {is_added}
),
hour_classes as materialized (
    select kind, date_trunc('hour', started_at, 'UTC') as hour, shard, direction, connection_id,
        class, sum(sign) as legs
    from changes cross join lateral (values
        ('delay', {delay}, delay_us),
        ('talk', {talk}, talked_us),
        ('ring', {ring}, unanswered_us)
    ) as each (kind, class, counted)
    where counted is not null
    group by kind, hour, shard, direction, connection_id, class
    having sum(sign) <> 0
),
hour_costs as materialized (
    select date_trunc('hour', started_at, 'UTC') as hour, shard, direction, connection_id,
        currency, sum(sign) as legs, sum(sign * cost_micros) as micros
    from changes where cost_micros is not null
    group by hour, shard, direction, connection_id, currency
    having sum(sign) <> 0 or sum(sign * cost_micros) <> 0
),
classes as (
    insert into leg_classes (
        kind, level, starts_at, shard, direction, connection_id, block, {of_block}
    )
    select kind || suffix, level, date_trunc(level, hour, 'UTC'), shard, told.direction,
        told.connection_id, class / {block}, {of_classes}
    from hour_classes cross join (values {levels}) as period (level)
        cross join lateral (values {told_apart}) as told (suffix, direction, connection_id)
    group by 1, 2, 3, 4, 5, 6, 7
    order by 1, 2, 3, 4, 5, 6, 7
    on conflict (kind, level, starts_at, shard, direction, connection_id, block) do update
    set {set_block}
),
costs as (
    insert into leg_costs (
        kind, level, starts_at, shard, direction, connection_id, currency, legs, micros
    )
    select '{cost}' || suffix, level, date_trunc(level, hour, 'UTC'), shard, told.direction,
        told.connection_id, currency, sum(legs), sum(micros)
    from hour_costs cross join (values {levels}) as period (level)
        cross join lateral (values {told_apart}) as told (suffix, direction, connection_id)
    group by 1, 2, 3, 4, 5, 6, 7
    order by 1, 2, 3, 4, 5, 6, 7
    on conflict (kind, level, starts_at, shard, direction, connection_id, currency) do update
    set legs = leg_costs.legs + excluded.legs, micros = leg_costs.micros + excluded.micros
)
insert into leg_sums (
    kind, level, starts_at, shard, direction, connection_id, value1, value2, value3, {figures}
)
select kind, level, date_trunc(level, hour, 'UTC'), shard, direction, connection_id,
    value1, value2, value3, {sums}
from hours cross join lateral (values
        {kinds}
) as each (kind, value1, value2, value3)
    cross join (values {levels}) as period (level)
group by 1, 2, 3, 4, 5, 6, 7, 8, 9
having {differs}
order by 1, 2, 3, 4, 5, 6, 7, 8, 9
on conflict (
    kind, level, starts_at, shard, direction, connection_id, value1, value2, value3
) do update set {set}"""
