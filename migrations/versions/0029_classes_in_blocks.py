"""Histograms with 16 classes in a row, and costs in a table of their own.

Rows are made of those that there are, month by month. The SQL is that of
`offhook.projections.views.analytics.rollups` at this revision; a test compares the functions.
"""

import re
from collections.abc import Iterator
from datetime import UTC, timedelta
from typing import Any

from alembic import context, op
from sqlalchemy import BigInteger, Column, DateTime, Integer, Text, text

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create("new_leg_classes", Column("block", Integer, nullable=False), _OF_BLOCK, Integer)
    _create("leg_costs", Column("currency", Text), ("legs", "micros"), BigInteger)
    for part in _parts((*_HISTOGRAMS, "cost")):
        made_of = _COSTS if part["kind"].startswith("cost") else _BLOCKS
        op.execute(text(made_of).bindparams(**part))
    _grant_alike("new_leg_classes", "leg_costs")
    _replace({_ONE_BY_ONE: _IN_BLOCKS, _TRUNCATED: _TRUNCATED_WITH_COSTS})
    _take_over()


def downgrade() -> None:
    _create("new_leg_classes", Column("value", Text), ("legs", "micros"), BigInteger)
    for part in _parts(_HISTOGRAMS):
        op.execute(text(_CLASSES).bindparams(**part))
    op.execute(_COSTS_AS_CLASSES)
    _grant_alike("new_leg_classes")
    _replace({_IN_BLOCKS: _ONE_BY_ONE, _TRUNCATED_WITH_COSTS: _TRUNCATED})
    op.drop_table("leg_costs")
    _take_over()


def _take_over() -> None:
    """Last of all: from here on readers of the table before wait, until the migration has ended."""
    op.drop_table("leg_classes")
    op.execute("alter table new_leg_classes rename to leg_classes")
    op.execute("alter index new_leg_classes_key rename to leg_classes_key")


def _grant_alike(*tables: str) -> None:
    """Give tables what may be done with the one that there is."""
    for table in tables:
        op.execute(f"analyze {table}")
        for statement in op.get_bind().execute(_GRANTS, {"name": table}).scalars().all():
            op.get_bind().exec_driver_sql(statement)


def _create(table: str, last_of_key: Column[Any], figures: tuple[str, ...], type_: Any) -> None:
    op.create_table(
        table,
        Column("kind", Text, nullable=False),
        Column("level", Text, nullable=False),
        Column("starts_at", DateTime(timezone=True), nullable=False),
        Column("shard", Integer, nullable=False),
        Column("direction", Text),
        Column("connection_id", Text),
        last_of_key,
        *(Column(name, type_, nullable=False) for name in figures),
    )
    op.create_index(
        f"{table}_key",
        table,
        [
            *("kind", "level", "starts_at", "shard", "direction", "connection_id"),
            last_of_key.name,
        ],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )


def _parts(kinds: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Parameters of a statement that makes rows: each small enough to be sorted in memory."""
    op.execute("set local work_mem = '64MB'")
    found = op.get_bind().execute(
        text("select distinct starts_at at time zone 'UTC' from leg_classes where level = 'month'")
    )
    months = sorted(month.replace(tzinfo=UTC) for month in found.scalars())
    parts = [
        {
            "kind": f"{kind}{suffix}",
            "level": level,
            "first": month,
            "last": (month + timedelta(days=31)).replace(day=1),
        }
        for kind in kinds
        for suffix in ("_all", "_direction", "_connection", "")
        for level in ("hour", "day", "month")
        for month in months
    ]
    for done, part in enumerate(parts):
        context.config.attributes["part"](done, len(parts))
        yield part


def _replace(texts: dict[str, str]) -> None:
    found = op.get_bind().scalar(
        text("select prosrc from pg_proc where proname = 'offhook_rollups'")
    )
    body = str(found)
    bounds = re.search(r"array\[[0-9, ]+\]::bigint\[\]", body)
    assert bounds is not None
    for before, after in texts.items():
        before, after = (each.replace("@bounds", bounds[0]) for each in (before, after))
        assert before in body, "offhook_rollups is not as the revision before made it"
        body = body.replace(before, after)
    op.get_bind().exec_driver_sql(
        "create or replace function offhook_rollups() returns trigger language plpgsql"
        f" security definer set search_path to pg_catalog, pg_temp as $${body}$$"
    )


_GRANTS = text(
    "select format('grant %s on %I to %s%s', privilege_type, cast(:name as text),"
    " case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end,"
    " case when is_grantable then ' with grant option' else '' end)"
    " from pg_class, aclexplode(relacl)"
    " where oid = to_regclass('leg_classes') and grantee <> relowner"
)

_HISTOGRAMS = ("delay", "talk", "ring")

_OF_BLOCK = tuple(f"legs_{place}" for place in range(16))

_KEY = "kind, level, starts_at, shard, direction, connection_id"

_RANGE = "kind = :kind and level = :level and starts_at >= :first and starts_at < :last"

_BLOCKS = f"""
insert into new_leg_classes ({_KEY}, block, {", ".join(_OF_BLOCK)})
select {_KEY}, class / 16, {
    ", ".join(f"coalesce(sum(legs) filter (where class % 16 = {place}), 0)" for place in range(16))
}
from (select *, value::int as class from leg_classes where {_RANGE}) as each
group by {_KEY}, class / 16
order by {_KEY}, class / 16
"""

_COSTS = f"""
insert into leg_costs ({_KEY}, currency, legs, micros)
select {_KEY}, value, legs, micros from leg_classes where {_RANGE}
order by {_KEY}, value
"""

_CLASSES = f"""
insert into new_leg_classes ({_KEY}, value, legs, micros)
select {_KEY}, (16 * block + place - 1)::text, legs, 0
from leg_classes
cross join lateral unnest(array[{", ".join(_OF_BLOCK)}]) with ordinality as each (legs, place)
where {_RANGE} and legs <> 0
"""

_COSTS_AS_CLASSES = f"""
insert into new_leg_classes ({_KEY}, value, legs, micros)
select {_KEY}, currency, legs, micros from leg_costs
"""

_TRUNCATED = "truncate leg_sums, leg_classes, leg_repeats;"

_TRUNCATED_WITH_COSTS = "truncate leg_sums, leg_classes, leg_costs, leg_repeats;"

# Generated, and as wide as it is.
# ruff: noqa: E501
_ONE_BY_ONE = """hour_classes as materialized (
    select kind, date_trunc('hour', started_at, 'UTC') as hour, shard, direction, connection_id,
        value, sum(sign) as legs, sum(sign * micros) as micros
    from changes cross join lateral (values
        ('delay', (width_bucket(delay_us - 1, @bounds))::text, delay_us, 0),
        ('talk', (width_bucket(talked_us - 1, @bounds))::text, talked_us, 0),
        ('ring', (width_bucket(unanswered_us - 1, @bounds))::text, unanswered_us, 0),
        ('cost', currency, cost_micros, cost_micros)
    ) as each (kind, value, counted, micros)
    where counted is not null
    group by kind, hour, shard, direction, connection_id, value
    having sum(sign) <> 0 or sum(sign * micros) <> 0
),
classes as (
    insert into leg_classes (
        kind, level, starts_at, shard, direction, connection_id, value, legs, micros
    )
    select kind || suffix, level, date_trunc(level, hour, 'UTC'), shard, told.direction,
        told.connection_id, value, sum(legs), sum(micros)
    from hour_classes cross join (values ('hour'), ('day'), ('month')) as period (level)
        cross join lateral (values ('_all', null, null), ('_direction', direction, null), ('_connection', null, connection_id), ('', direction, connection_id)) as told (suffix, direction, connection_id)
    group by 1, 2, 3, 4, 5, 6, 7
    order by 1, 2, 3, 4, 5, 6, 7
    on conflict (kind, level, starts_at, shard, direction, connection_id, value) do update
    set legs = leg_classes.legs + excluded.legs, micros = leg_classes.micros + excluded.micros
)
"""

_IN_BLOCKS = """hour_classes as materialized (
    select kind, date_trunc('hour', started_at, 'UTC') as hour, shard, direction, connection_id,
        class, sum(sign) as legs
    from changes cross join lateral (values
        ('delay', width_bucket(delay_us - 1, @bounds), delay_us),
        ('talk', width_bucket(talked_us - 1, @bounds), talked_us),
        ('ring', width_bucket(unanswered_us - 1, @bounds), unanswered_us)
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
        kind, level, starts_at, shard, direction, connection_id, block, legs_0, legs_1, legs_2, legs_3, legs_4, legs_5, legs_6, legs_7, legs_8, legs_9, legs_10, legs_11, legs_12, legs_13, legs_14, legs_15
    )
    select kind || suffix, level, date_trunc(level, hour, 'UTC'), shard, told.direction,
        told.connection_id, class / 16, coalesce(sum(legs) filter (where class % 16 = 0), 0), coalesce(sum(legs) filter (where class % 16 = 1), 0), coalesce(sum(legs) filter (where class % 16 = 2), 0), coalesce(sum(legs) filter (where class % 16 = 3), 0), coalesce(sum(legs) filter (where class % 16 = 4), 0), coalesce(sum(legs) filter (where class % 16 = 5), 0), coalesce(sum(legs) filter (where class % 16 = 6), 0), coalesce(sum(legs) filter (where class % 16 = 7), 0), coalesce(sum(legs) filter (where class % 16 = 8), 0), coalesce(sum(legs) filter (where class % 16 = 9), 0), coalesce(sum(legs) filter (where class % 16 = 10), 0), coalesce(sum(legs) filter (where class % 16 = 11), 0), coalesce(sum(legs) filter (where class % 16 = 12), 0), coalesce(sum(legs) filter (where class % 16 = 13), 0), coalesce(sum(legs) filter (where class % 16 = 14), 0), coalesce(sum(legs) filter (where class % 16 = 15), 0)
    from hour_classes cross join (values ('hour'), ('day'), ('month')) as period (level)
        cross join lateral (values ('_all', null, null), ('_direction', direction, null), ('_connection', null, connection_id), ('', direction, connection_id)) as told (suffix, direction, connection_id)
    group by 1, 2, 3, 4, 5, 6, 7
    order by 1, 2, 3, 4, 5, 6, 7
    on conflict (kind, level, starts_at, shard, direction, connection_id, block) do update
    set legs_0 = leg_classes.legs_0 + excluded.legs_0, legs_1 = leg_classes.legs_1 + excluded.legs_1, legs_2 = leg_classes.legs_2 + excluded.legs_2, legs_3 = leg_classes.legs_3 + excluded.legs_3, legs_4 = leg_classes.legs_4 + excluded.legs_4, legs_5 = leg_classes.legs_5 + excluded.legs_5, legs_6 = leg_classes.legs_6 + excluded.legs_6, legs_7 = leg_classes.legs_7 + excluded.legs_7, legs_8 = leg_classes.legs_8 + excluded.legs_8, legs_9 = leg_classes.legs_9 + excluded.legs_9, legs_10 = leg_classes.legs_10 + excluded.legs_10, legs_11 = leg_classes.legs_11 + excluded.legs_11, legs_12 = leg_classes.legs_12 + excluded.legs_12, legs_13 = leg_classes.legs_13 + excluded.legs_13, legs_14 = leg_classes.legs_14 + excluded.legs_14, legs_15 = leg_classes.legs_15 + excluded.legs_15
),
costs as (
    insert into leg_costs (
        kind, level, starts_at, shard, direction, connection_id, currency, legs, micros
    )
    select 'cost' || suffix, level, date_trunc(level, hour, 'UTC'), shard, told.direction,
        told.connection_id, currency, sum(legs), sum(micros)
    from hour_costs cross join (values ('hour'), ('day'), ('month')) as period (level)
        cross join lateral (values ('_all', null, null), ('_direction', direction, null), ('_connection', null, connection_id), ('', direction, connection_id)) as told (suffix, direction, connection_id)
    group by 1, 2, 3, 4, 5, 6, 7
    order by 1, 2, 3, 4, 5, 6, 7
    on conflict (kind, level, starts_at, shard, direction, connection_id, currency) do update
    set legs = leg_costs.legs + excluded.legs, micros = leg_costs.micros + excluded.micros
)
"""
