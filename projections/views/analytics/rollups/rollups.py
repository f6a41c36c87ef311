"""Figures kept by hour, day and month of UTC, so that a long range is a sum over few rows.

Only legs that have ended are in them: the row of a leg changes with nearly each of its records, but
hardly after its end. Readers add the legs that are up, of which there are few.

    leg_sums      each counter and sum of `leg_facts`, by period of the start, direction,
                  connection, and one of: nothing more, the outcome, the number's prefix, the flow
    leg_classes   histograms of answer delay, talk and ring (of calls without an answer), by period
                  and both of direction and connection, one of them, or none; several classes a row
    leg_costs     cost by currency, by the same
    leg_repeats   rows of `legs` that do not count: another session has a fuller row of the leg

Triggers on `legs` keep them, in the transaction of the rows: the values of the old row are
subtracted, those of the new one are added. So nothing that writes legs (projector, rebuild,
erasure) has code for it, and a late fact corrects every figure. `filling` computes the same from
all rows.

Projectors of different partitions must not wait for each other: a row of a roll-up has a `shard`,
the partition whose projector writes it, and readers add the shards up.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from offhook.projections.views.analytics.leg_facts import (
    ADDED,
    DIMENSIONS,
    SUMS,
    class_of,
    facts_of,
)
from offhook.projections.views.analytics.rollups.changes import OF_REPEATS
from offhook.projections.views.view import metadata

FIGURES = (*ADDED, *SUMS)

LEVELS = ("hour", "day", "month")
"""Periods of UTC. Each leg is in one row of each: readers take the longest that fit."""

KINDS = {
    "all": (),
    "outcome": ("hangup_cause", "hangup_source", "sip_hangup_cause"),
    "number": ("number_prefix",),
    "flow": ("flow", "flow_version"),
}
"""What legs are told apart by, besides direction and connection; up to three values."""

CLASSES = {
    "delay": class_of("delay_us"),
    "talk": class_of("talked_us"),
    "ring": class_of("unanswered_us"),
}
"""The histograms, and the number of a leg's class."""

COST = "cost"

BLOCK = 16
"""Classes in a row of `leg_classes`. A group of an hour has dozens, which are read at once."""

OF_BLOCK = tuple(f"legs_{place}" for place in range(BLOCK))
"""How many legs there are of each class of a block: class n is in block n / BLOCK."""

TOLD_APART = {
    "_all": (),
    "_direction": ("direction",),
    "_connection": ("connection_id",),
    "": ("direction", "connection_id"),
}
"""What each histogram, and cost, is kept by, under its kind and this suffix. Merging those of every
direction and connection would be most of a read."""


def suffix_of(told_apart: Collection[str]) -> str:
    """The suffix of the kinds that have the fewest rows and tell these dimensions apart."""
    return next(suffix for suffix, by in TOLD_APART.items() if {*told_apart} <= {*by})


_SHARD_BITS = 47  # a position above them is the partition, as `offhook.position` has it

leg_sums = Table(
    "leg_sums",
    metadata,
    Column("kind", Text, nullable=False),  # of KINDS
    Column("level", Text, nullable=False),  # of LEVELS
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("direction", Text),
    Column("connection_id", Text),
    Column("value1", Text),
    Column("value2", Text),
    Column("value3", Text),
    *(Column(name, BigInteger, nullable=False) for name in FIGURES),
    Index(
        "leg_sums_key",
        *(
            "kind",
            "level",
            "starts_at",
            "shard",
            "direction",
            "connection_id",
            "value1",
            "value2",
            "value3",
        ),
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
)

leg_classes = Table(
    "leg_classes",
    metadata,
    Column("kind", Text, nullable=False),  # of CLASSES, with a suffix of TOLD_APART
    Column("level", Text, nullable=False),  # of LEVELS
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("direction", Text),
    Column("connection_id", Text),
    Column("block", Integer, nullable=False),
    *(Column(name, Integer, nullable=False) for name in OF_BLOCK),
    Index(
        "leg_classes_key",
        *("kind", "level", "starts_at", "shard", "direction", "connection_id", "block"),
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
)

leg_costs = Table(
    "leg_costs",
    metadata,
    Column("kind", Text, nullable=False),  # COST, with a suffix of TOLD_APART
    Column("level", Text, nullable=False),  # of LEVELS
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("direction", Text),
    Column("connection_id", Text),
    Column("currency", Text),
    Column("legs", BigInteger, nullable=False),
    Column("micros", BigInteger, nullable=False),
    Index(
        "leg_costs_key",
        *("kind", "level", "starts_at", "shard", "direction", "connection_id", "currency"),
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
)

leg_repeats = Table(
    "leg_repeats",
    metadata,
    Column("call_control_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    PrimaryKeyConstraint("call_control_id", "session_id"),
)

ROLLUPS = (leg_sums, leg_classes, leg_costs, leg_repeats)

IS_COUNTED = (
    "not exists (select from leg_repeats where leg_repeats.call_control_id = leg.call_control_id"
    " and leg_repeats.session_id = leg.session_id)"
)
"""The condition for a row of legs, named leg, to count."""

TRIGGER = "offhook_rollups"
"""How the names of the triggers begin, and the name of their function."""


def triggers_on(table: str) -> list[str]:
    """Statements that create the triggers."""
    tables = {
        "insert": "referencing new table as new_rows",
        "update": "referencing old table as old_rows new table as new_rows",
        "delete": "referencing old table as old_rows",
        "truncate": "",
    }
    return [
        f"create trigger {TRIGGER}_{event} after {event} on {table} {rows}"
        f" for each statement execute function {TRIGGER}()"
        for event, rows in tables.items()
    ]


def rows_told_apart(suffixes: Iterable[str]) -> str:
    """Rows of SQL: a suffix of TOLD_APART, and its dimensions or null."""
    names = TOLD_APART[""]
    return ", ".join(
        f"('{suffix}', {', '.join(n if n in TOLD_APART[suffix] else 'null' for n in names)})"
        for suffix in suffixes
    )


def sums_of_block(class_: str) -> str:
    """The columns of a block, in SQL over rows with the number of a class and its `legs`."""
    return ", ".join(
        f"coalesce(sum(legs) filter (where {class_} % {BLOCK} = {place}), 0)"
        for place in range(BLOCK)
    )


def _changed(
    changes: Mapping[str, str],
    before: str = "",
    levels: Sequence[str] = LEVELS,
    suffixes: Iterable[str] = TOLD_APART,
) -> str:
    """A statement that adds the rows under "+", and subtracts those under "-"."""
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
        of_classes=sums_of_block("class"),
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


def _facts(rows: str, condition: str = IS_COUNTED) -> str:
    shard = {"shard": f"(leg.last_seq >> {_SHARD_BITS})::int"}
    return facts_of(rows, shard, f"leg.ended_at is not null and {condition}")


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

_RANK = (
    "row_number() over (partition by call_control_id"
    " order by state <> 'unseen' desc, last_seq desc) > 1"
)

FILL_REPEATS = f"""
insert into leg_repeats (call_control_id, session_id)
select call_control_id, session_id from (
    select call_control_id, session_id, {_RANK} as repeats from legs
    where call_control_id in (
        select call_control_id from legs group by call_control_id having count(*) > 1
    )
) as ranked
where repeats
"""

FILL_HOURS = _changed(
    {"+": _facts("legs", f"{IS_COUNTED} and leg.started_at >= :first and leg.started_at < :last")},
    levels=LEVELS[:1],
    suffixes=[""],
)
"""The hours of [:first, :last), which are whole, of empty tables; of `leg_classes` and `leg_costs`,
those that tell apart all dimensions."""

_LONGER = """insert into {table} ({columns})
select kind, :longer, date_trunc(:longer, starts_at, 'UTC'), shard, direction, connection_id,
    {values}, {sums}
from {table}
where kind = :kind and level = :level and starts_at >= :first and starts_at < :last
group by kind, 3, shard, direction, connection_id, {values}"""


def _longer(table: Table, values: Sequence[str], figures: Sequence[str]) -> str:
    return _LONGER.format(
        table=table.name,
        columns=", ".join(table.columns.keys()),
        values=", ".join(values),
        sums=", ".join(f"sum({name})" for name in figures),
    )


FILL_LONGER: Mapping[str, Sequence[str]] = {
    _longer(leg_sums, ("value1", "value2", "value3"), FIGURES): tuple(KINDS),
    _longer(leg_classes, ("block",), OF_BLOCK): tuple(CLASSES),
    _longer(leg_costs, ("currency",), ("legs", "micros")): (COST,),
}
"""The periods of level :longer from those of :level that start in [:first, :last), which has whole
ones, of a :kind; and the kinds."""

_COARSER = f"""insert into {{table}} (
    kind, level, starts_at, shard, direction, connection_id, {{columns}}
)
select kind || suffix, level, starts_at, shard, told.direction, told.connection_id, {{value}},
    {{sums}}
from {{table}}
    cross join lateral (values
        {rows_told_apart(suffix for suffix in TOLD_APART if suffix)}
    ) as told (suffix, direction, connection_id)
where kind = :kind and level = :level and starts_at >= :first and starts_at < :last
group by 1, 2, 3, 4, 5, 6, 7
order by 1, 2, 3, 4, 5, 6, 7"""


def _coarser(table: Table, value: str, figures: Sequence[str]) -> str:
    return _COARSER.format(
        table=table.name,
        columns=", ".join((value, *figures)),
        value=value,
        sums=", ".join(f"sum({name})" for name in figures),
    )


FILL_COARSER: Mapping[str, Sequence[str]] = {
    _coarser(leg_classes, "block", OF_BLOCK): tuple(CLASSES),
    _coarser(leg_costs, "currency", ("legs", "micros")): (COST,),
}
"""The rows of a :kind that tell fewer dimensions apart, from those of a :level that start in
[:first, :last) and tell all apart; and the kinds."""

_MARK = _changed(
    {
        "-": _facts(
            "(select legs.* from legs join marked using (call_control_id, session_id))", "true"
        ),
        "+": _facts(
            "(select legs.* from legs join unmarked using (call_control_id, session_id))", "true"
        ),
    },
    f"""ranked as (
    select call_control_id, session_id, {_RANK} as repeats from legs
    where call_control_id = any(due)
),
marked as (
    insert into leg_repeats (call_control_id, session_id)
    select call_control_id, session_id from ranked where repeats
    on conflict do nothing
    returning call_control_id, session_id
),
unmarked as (
    delete from leg_repeats using ranked
    where not repeats and leg_repeats.call_control_id = ranked.call_control_id
        and leg_repeats.session_id = ranked.session_id
    returning leg_repeats.call_control_id, leg_repeats.session_id
),
""",
)

FUNCTION = f"""
declare
    due text[];
    noted text := 'offhook.due_' || tg_relid;
begin
    perform set_config(
        'search_path', quote_ident(tg_table_schema) || ', pg_catalog, pg_temp', true
    );
    if tg_op = 'TRUNCATE' then
        truncate leg_sums, leg_classes, leg_costs, leg_repeats;
        return null;
    elsif tg_op = 'UPDATE' then
        -- Of an upsert, this is before the trigger of its inserted rows, which marks repeats.
        if exists (select from old_rows where ended_at is not null)
            or exists (select from new_rows where ended_at is not null) then
            {_changed({"-": _facts("old_rows"), "+": _facts("new_rows")})};
        end if;
        select array_agg(distinct call_control_id) into due from new_rows where exists (
            select from legs where legs.call_control_id = new_rows.call_control_id
                and legs.session_id <> new_rows.session_id
        );
        if due is not null then
            perform set_config(noted, due::text, true);
        end if;
        return null;
    elsif tg_op = 'INSERT' then
        if exists (select from new_rows where ended_at is not null) then
            {_changed({"+": _facts("new_rows")})};
        end if;
        select array_agg(distinct call_control_id) into due from new_rows where exists (
            select from legs where legs.call_control_id = new_rows.call_control_id
                and legs.session_id <> new_rows.session_id
        );
        if current_setting(noted, true) <> '' then
            due := due || current_setting(noted)::text[];
            perform set_config(noted, '', true);
        end if;
    else
        {_changed({"-": _facts("old_rows")})};
        delete from leg_repeats using old_rows
        where leg_repeats.call_control_id = old_rows.call_control_id
            and leg_repeats.session_id = old_rows.session_id;
        select array_agg(distinct call_control_id) into due from old_rows where exists (
            select from legs where legs.call_control_id = old_rows.call_control_id
        );
    end if;
    if due is not null then
        {OF_REPEATS};
        {_MARK};
    end if;
    return null;
end
"""
"""The body of the triggers' function, in PL/pgSQL."""
