"""How often the commands and visits to queues of each hour have changed, and the hours themselves.

As for legs, the changes are counted from the rows that there are, and the projector makes the hours.
The SQL is that of `offhook.projections.views.analytics.rollups.changes` at this revision.
"""

from alembic import op
from sqlalchemy import ARRAY, BigInteger, Column, DateTime, Text, text

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, dimensions in _TABLES.items():
        op.create_table(
            table,
            Column("kind", Text, nullable=False),
            Column("hour", DateTime(timezone=True), nullable=False),
            *(Column(name, Text) for name in dimensions),
            Column("numbers", ARRAY(BigInteger), nullable=False),
            Column("totals", ARRAY(BigInteger), nullable=False),
        )
        op.create_index(f"{table}_hour_index", table, ["hour", "kind"])
    for statement in _FILLS:
        op.execute(text(statement))
    for table, body in _FUNCTIONS.items():
        _create_function(table, body)
        for event, rows in _TRIGGERS.items():
            op.execute(
                f"create trigger offhook_rollups_hours_{event} after {event} on {table} {rows}"
                f" for each statement execute function offhook_rollups_hours_{table}()"
            )
    _create_function("legs", _OF_LEGS)


def downgrade() -> None:
    _create_function("legs", _OF_LEGS_BEFORE)
    for table in _FUNCTIONS:
        op.execute(f"drop function offhook_rollups_hours_{table}() cascade")
    for table in _TABLES:
        op.drop_table(table)
    op.execute("delete from hour_changes where subject <> 'load'")
    op.execute("delete from hours_made where subject <> 'load'")


def _create_function(table: str, body: str) -> None:
    op.execute(
        text(
            f"create or replace function offhook_rollups_hours_{table}() returns trigger"
            " language plpgsql security definer set search_path to pg_catalog, pg_temp"
            f" as $$\n{body}$$"
        )
    )


_TABLES = {
    "command_hours": (
        "operation",
        "flow",
        "flow_version",
        "status",
        "reason",
        "http_status",
    ),
    "visit_hours": ("queue",),
}

_TRIGGERS = {
    "insert": "referencing new table as new_rows",
    "update": "referencing old table as old_rows new table as new_rows",
    "delete": "referencing old table as old_rows",
    "truncate": "",
}

# Generated, and as wide as it is.
# ruff: noqa: E501
_FILLS = (
    """insert into hour_changes (subject, hour, shard, changes)
    select 'commands', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select command.decided_at as since, command.decided_at as until, (command.last_seq >> 47)::int as shard from commands as command) as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes""",
    """insert into hour_changes (subject, hour, shard, changes)
    select 'visits', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select visit.enqueued_at as since, visit.enqueued_at as until, (visit.last_seq >> 47)::int as shard from queue_visits as visit) as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes""",
)

_FUNCTIONS = {
    "commands": """
begin
    perform set_config(
        'search_path', quote_ident(tg_table_schema) || ', pg_catalog, pg_temp', true
    );
    if tg_op = 'TRUNCATE' then
        delete from hour_changes where subject = 'commands';
        delete from hours_made where subject = 'commands';
    elsif tg_op = 'UPDATE' then
        if exists (select from new_rows) then
        insert into hour_changes (subject, hour, shard, changes)
    select 'commands', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select command.decided_at as since, command.decided_at as until, (command.last_seq >> 47)::int as shard from (select * from old_rows union all select * from new_rows) as command union all select transfer.decided_at as since, transfer.decided_at as until, (transfer.last_seq >> 47)::int as shard from (select distinct session_id from (select * from old_rows union all select * from new_rows) as command where command.operation = 'hangup' and command.status = 'succeeded') as hung join commands as transfer using (session_id) where transfer.operation = 'transfer') as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes;
        end if;
    elsif tg_op = 'INSERT' then
        if exists (select from new_rows) then
        insert into hour_changes (subject, hour, shard, changes)
    select 'commands', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select command.decided_at as since, command.decided_at as until, (command.last_seq >> 47)::int as shard from new_rows as command union all select transfer.decided_at as since, transfer.decided_at as until, (transfer.last_seq >> 47)::int as shard from (select distinct session_id from new_rows as command where command.operation = 'hangup' and command.status = 'succeeded') as hung join commands as transfer using (session_id) where transfer.operation = 'transfer') as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes;
        end if;
    else
        insert into hour_changes (subject, hour, shard, changes)
    select 'commands', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select command.decided_at as since, command.decided_at as until, (command.last_seq >> 47)::int as shard from old_rows as command union all select transfer.decided_at as since, transfer.decided_at as until, (transfer.last_seq >> 47)::int as shard from (select distinct session_id from old_rows as command where command.operation = 'hangup' and command.status = 'succeeded') as hung join commands as transfer using (session_id) where transfer.operation = 'transfer') as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes;
    end if;
    return null;
end
""",
    "queue_visits": """
begin
    perform set_config(
        'search_path', quote_ident(tg_table_schema) || ', pg_catalog, pg_temp', true
    );
    if tg_op = 'TRUNCATE' then
        delete from hour_changes where subject = 'visits';
        delete from hours_made where subject = 'visits';
    elsif tg_op = 'UPDATE' then
        if exists (select from new_rows) then
        insert into hour_changes (subject, hour, shard, changes)
    select 'visits', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select visit.enqueued_at as since, visit.enqueued_at as until, (visit.last_seq >> 47)::int as shard from (select * from old_rows union all select * from new_rows) as visit union all select visit.enqueued_at as since, visit.enqueued_at as until, (visit.last_seq >> 47)::int as shard from (select distinct session_id, call_control_id from (select * from old_rows union all select * from new_rows) as changed) as leg join queue_visits as visit using (session_id, call_control_id)) as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes;
        end if;
    elsif tg_op = 'INSERT' then
        if exists (select from new_rows) then
        insert into hour_changes (subject, hour, shard, changes)
    select 'visits', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select visit.enqueued_at as since, visit.enqueued_at as until, (visit.last_seq >> 47)::int as shard from new_rows as visit union all select visit.enqueued_at as since, visit.enqueued_at as until, (visit.last_seq >> 47)::int as shard from (select distinct session_id, call_control_id from new_rows as changed) as leg join queue_visits as visit using (session_id, call_control_id)) as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes;
        end if;
    else
        insert into hour_changes (subject, hour, shard, changes)
    select 'visits', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select visit.enqueued_at as since, visit.enqueued_at as until, (visit.last_seq >> 47)::int as shard from old_rows as visit union all select visit.enqueued_at as since, visit.enqueued_at as until, (visit.last_seq >> 47)::int as shard from (select distinct session_id, call_control_id from old_rows as changed) as leg join queue_visits as visit using (session_id, call_control_id)) as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes;
    end if;
    return null;
end
""",
}

_OF_LEGS = """
begin
    perform set_config(
        'search_path', quote_ident(tg_table_schema) || ', pg_catalog, pg_temp', true
    );
    if tg_op = 'TRUNCATE' then
        delete from hour_changes where subject = 'load';
        delete from hours_made where subject = 'load';
    elsif tg_op = 'UPDATE' then
        if exists (select from new_rows) then
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
        insert into hour_changes (subject, hour, shard, changes)
    select 'visits', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select visit.enqueued_at as since, visit.enqueued_at as until, (visit.last_seq >> 47)::int as shard from (select session_id, call_control_id from old_rows as before join new_rows as leg using (session_id, call_control_id) where before.ended_at is distinct from leg.ended_at and (leg.enqueued_at is not null or leg.dequeued_at is not null or leg.queue is not null)) as leg join queue_visits as visit using (session_id, call_control_id)) as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes;
        insert into hour_changes (subject, hour, shard, changes)
    select 'commands', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select transfer.decided_at as since, transfer.decided_at as until, (transfer.last_seq >> 47)::int as shard from (select session_id, call_control_id from old_rows as before join new_rows as leg using (session_id, call_control_id) where before.bridged_at is distinct from leg.bridged_at or before.ended_at is distinct from leg.ended_at and least(before.ended_at, leg.ended_at) < leg.bridged_at + interval '120 s') as leg join commands as transfer using (session_id, call_control_id) where transfer.operation = 'transfer') as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes;
        end if;
    elsif tg_op = 'INSERT' then
        if exists (select from new_rows) then
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
        insert into hour_changes (subject, hour, shard, changes)
    select 'visits', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select visit.enqueued_at as since, visit.enqueued_at as until, (visit.last_seq >> 47)::int as shard from (select session_id, call_control_id from new_rows as leg where leg.ended_at is not null and (leg.enqueued_at is not null or leg.dequeued_at is not null or leg.queue is not null)) as leg join queue_visits as visit using (session_id, call_control_id)) as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes;
        insert into hour_changes (subject, hour, shard, changes)
    select 'commands', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select transfer.decided_at as since, transfer.decided_at as until, (transfer.last_seq >> 47)::int as shard from (select session_id, call_control_id from new_rows where bridged_at is not null) as leg join commands as transfer using (session_id, call_control_id) where transfer.operation = 'transfer') as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes;
        end if;
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
        insert into hour_changes (subject, hour, shard, changes)
    select 'visits', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select visit.enqueued_at as since, visit.enqueued_at as until, (visit.last_seq >> 47)::int as shard from (select session_id, call_control_id from old_rows as leg where leg.ended_at is not null and (leg.enqueued_at is not null or leg.dequeued_at is not null or leg.queue is not null)) as leg join queue_visits as visit using (session_id, call_control_id)) as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes;
        insert into hour_changes (subject, hour, shard, changes)
    select 'commands', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from (select transfer.decided_at as since, transfer.decided_at as until, (transfer.last_seq >> 47)::int as shard from (select session_id, call_control_id from old_rows where bridged_at is not null) as leg join commands as transfer using (session_id, call_control_id) where transfer.operation = 'transfer') as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes;
    end if;
    return null;
end
"""

_OF_LEGS_BEFORE = """
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
