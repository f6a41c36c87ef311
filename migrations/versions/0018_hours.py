"""How often the legs of each hour have changed, and the load of hours that are over.

The changes are counted from the legs that there are. The hours themselves are made by the projector
when it runs, the latest first; until then readers count them from legs. The SQL is that of
`offhook.projections.views.analytics.rollups.changes` at this revision; a test compares the two.
"""

from alembic import op
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    Integer,
    PrimaryKeyConstraint,
    Text,
    text,
)

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hour_changes",
        Column("subject", Text, nullable=False),
        Column("hour", DateTime(timezone=True), nullable=False),
        Column("shard", Integer, nullable=False),
        Column("changes", BigInteger, nullable=False),
        PrimaryKeyConstraint("subject", "hour", "shard", name="hour_changes_pkey"),
    )
    op.create_table(
        "hours_made",
        Column("subject", Text, nullable=False),
        Column("hour", DateTime(timezone=True), nullable=False),
        Column("changes", BigInteger, nullable=False),
        Column("definition", Text, nullable=False),
        PrimaryKeyConstraint("subject", "hour", name="hours_made_pkey"),
    )
    op.create_table(
        "load_hours",
        Column("kind", Text, nullable=False),
        Column("hour", DateTime(timezone=True), nullable=False),
        Column("direction", Text),
        Column("connection_id", Text),
        Column("calls", Integer, nullable=False),
        Column("carried", Integer, nullable=False),
        Column("peak", Integer, nullable=False),
        Column("up_us", BigInteger, nullable=False),
        Column("per_second", ARRAY(Integer), nullable=False),
        Column("seconds", ARRAY(Integer), nullable=False),
    )
    key = ["kind", "hour", "direction", "connection_id"]
    op.create_index(
        "load_hours_key", "load_hours", key, unique=True, postgresql_nulls_not_distinct=True
    )
    op.create_index("load_hours_hour_index", "load_hours", ["hour"])
    op.execute(text(_FILL))
    op.execute(
        text(
            "create function offhook_rollups_hours_legs() returns trigger language plpgsql"
            " security definer set search_path to pg_catalog, pg_temp"
            f" as $$\n{_FUNCTION}$$"
        )
    )
    for event, rows in _TRIGGERS.items():
        op.execute(
            f"create trigger offhook_rollups_hours_{event} after {event} on legs {rows}"
            " for each statement execute function offhook_rollups_hours_legs()"
        )
    _replace_in_rollups(_BEFORE, _AFTER)


def downgrade() -> None:
    _replace_in_rollups(_AFTER, _BEFORE)
    op.execute("drop function offhook_rollups_hours_legs() cascade")
    for table in ("load_hours", "hours_made", "hour_changes"):
        op.drop_table(table)


def _replace_in_rollups(old: str, new: str) -> None:
    """The function is 60,000 characters long, and differs in one place."""
    connection = op.get_bind()
    body = connection.scalar(text("select prosrc from pg_proc where proname = 'offhook_rollups'"))
    assert body.count(old) == 1
    op.execute(
        text(
            "create or replace function offhook_rollups() returns trigger language plpgsql"
            " security definer set search_path to pg_catalog, pg_temp as $$"
            f"{body.replace(old, new)}$$"
        )
    )


_TRIGGERS = {
    "insert": "referencing new table as new_rows",
    "update": "referencing old table as old_rows new table as new_rows",
    "delete": "referencing old table as old_rows",
    "truncate": "",
}

# Generated, and as wide as it is.
# ruff: noqa: E501
_FILL = """insert into hour_changes (subject, hour, shard, changes)
    select 'load', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select leg.started_at as since, case when leg.started_at is not null then least(greatest(coalesce(leg.ended_at, leg.up_until, leg.started_at), leg.started_at), leg.started_at + interval '48 hours') end as until, (leg.last_seq >> 47)::int as shard from legs as leg) as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes
"""

_BEFORE = """    if due is not null then
        with ranked as ("""

_AFTER = """    if due is not null then
        insert into hour_changes (subject, hour, shard, changes)
    select 'load', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select leg.started_at as since, case when leg.started_at is not null then least(greatest(coalesce(leg.ended_at, leg.up_until, leg.started_at), leg.started_at), leg.started_at + interval '48 hours') end as until, (leg.last_seq >> 47)::int as shard from (select * from legs where call_control_id = any(due)) as leg) as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes;
        with ranked as ("""

_FUNCTION = """
begin
    perform set_config(
        'search_path', quote_ident(tg_table_schema) || ', pg_catalog, pg_temp', true
    );
    if tg_op = 'TRUNCATE' then
        delete from hour_changes where subject = 'load';
        delete from hours_made where subject = 'load';
    elsif tg_op = 'UPDATE' then
        insert into hour_changes (subject, hour, shard, changes)
    select 'load', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select span.since, span.until, (later.last_seq >> 47)::int as shard
    from (select call_control_id, session_id, leg.last_seq, left(direction, 100) as direction, left(connection_id, 100) as connection_id, started_at, case when leg.started_at is not null then least(greatest(coalesce(leg.ended_at, leg.up_until, leg.started_at), leg.started_at), leg.started_at + interval '48 hours') end as up_to from old_rows as leg) as earlier
    join (select call_control_id, session_id, leg.last_seq, left(direction, 100) as direction, left(connection_id, 100) as connection_id, started_at, case when leg.started_at is not null then least(greatest(coalesce(leg.ended_at, leg.up_until, leg.started_at), leg.started_at), leg.started_at + interval '48 hours') end as up_to from new_rows as leg) as later using (call_control_id, session_id)
    cross join lateral (
        select earlier.direction is distinct from later.direction
            or earlier.connection_id is distinct from later.connection_id
            or earlier.started_at is distinct from later.started_at as is_other
    ) as known
    cross join lateral (
        select earlier.started_at as since, earlier.up_to as until where is_other
        union all
        select later.started_at, later.up_to where is_other
        union all
        select least(earlier.up_to, later.up_to), greatest(earlier.up_to, later.up_to)
        where not is_other and earlier.up_to <> later.up_to
    ) as span) as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes;
    elsif tg_op = 'INSERT' then
        insert into hour_changes (subject, hour, shard, changes)
    select 'load', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select leg.started_at as since, case when leg.started_at is not null then least(greatest(coalesce(leg.ended_at, leg.up_until, leg.started_at), leg.started_at), leg.started_at + interval '48 hours') end as until, (leg.last_seq >> 47)::int as shard from new_rows as leg) as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes;
    else
        insert into hour_changes (subject, hour, shard, changes)
    select 'load', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select leg.started_at as since, case when leg.started_at is not null then least(greatest(coalesce(leg.ended_at, leg.up_until, leg.started_at), leg.started_at), leg.started_at + interval '48 hours') end as until, (leg.last_seq >> 47)::int as shard from old_rows as leg) as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes;
    end if;
    return null;
end
"""
