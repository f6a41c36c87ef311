"""How often the rows behind an hour's figures have changed, by subject and hour of UTC.

Triggers count, in the transaction of the rows: those of `legs` the hours in which the leg was up,
now or before the change. A number only ever grows, so it is another one after any change. A row
belongs to one partition of the log (`shard`), so that projectors do not wait for each other; the
number of an hour is the sum over them. An hour without a row is empty.
"""

from collections.abc import Mapping

from sqlalchemy import BigInteger, Column, DateTime, Integer, PrimaryKeyConstraint, Table, Text

from offhook.projections.views.view import metadata

LOAD = "load"

UP_HOURS_MAX = 48
"""A leg counts as up for at most so long. The carrier ends it after 4 hours; a longer one is a
mistake of its clocks, and must not change thousands of hours."""

UP_TO = (
    "case when leg.started_at is not null then"
    " least(greatest(coalesce(leg.ended_at, leg.up_until, leg.started_at), leg.started_at),"
    f" leg.started_at + interval '{UP_HOURS_MAX} hours') end"
)
"""Until when a row of legs, named leg, is up; the end of the range that starts at its start."""

SHARD = "({row}.last_seq >> 47)::int"  # as `offhook.position` has it

hour_changes = Table(
    "hour_changes",
    metadata,
    Column("subject", Text, nullable=False),
    Column("hour", DateTime(timezone=True), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("changes", BigInteger, nullable=False),
    PrimaryKeyConstraint("subject", "hour", "shard"),
)

TRIGGER = "offhook_rollups_hours"
"""How the names of the triggers begin, and of their functions."""


def added(subject: str, spans: str) -> str:
    """A statement that counts a change of each hour of spans: `since`, `until` and `shard`.

    Both ends are included, and null is no span.
    """
    return f"""insert into hour_changes (subject, hour, shard, changes)
    select '{subject}', hour, shard, count(*) from (
        select generate_series(
            date_trunc('hour', since, 'UTC'), until, interval '1 hour'
        ) as hour, shard
        from ({spans}) as span
    ) as each
    group by hour, shard
    order by hour, shard
    on conflict (subject, hour, shard) do update
    set changes = hour_changes.changes + excluded.changes"""


def _up(rows: str) -> str:
    return (
        f"select leg.started_at as since, {UP_TO} as until, {SHARD.format(row='leg')} as shard"
        f" from {rows} as leg"
    )


def _known(rows: str) -> str:
    return (
        "select call_control_id, session_id, leg.last_seq, left(direction, 100) as direction,"
        f" left(connection_id, 100) as connection_id, started_at, {UP_TO} as up_to"
        f" from {rows} as leg"
    )


# Most updates change no hour: the end of a leg that is up moves within one, far ahead.
_MOVED = f"""select span.since, span.until, {SHARD.format(row="later")} as shard
    from ({_known("old_rows")}) as earlier
    join ({_known("new_rows")}) as later using (call_control_id, session_id)
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
    ) as span"""

OF_REPEATS = added(LOAD, _up("(select * from legs where call_control_id = any(due))"))
"""For `rollups`: which rows of these legs count may have changed."""

FILL_CHANGES: Mapping[str, str] = {LOAD: added(LOAD, _up("legs"))}
"""From all rows, for empty tables."""

_BODY = """
begin
    perform set_config(
        'search_path', quote_ident(tg_table_schema) || ', pg_catalog, pg_temp', true
    );
    if tg_op = 'TRUNCATE' then
        delete from hour_changes where subject = '{subject}';
        delete from hours_made where subject = '{subject}';
    elsif tg_op = 'UPDATE' then
        {update};
    elsif tg_op = 'INSERT' then
        {insert};
    else
        {delete};
    end if;
    return null;
end
"""

FUNCTIONS: Mapping[str, str] = {
    "legs": _BODY.format(
        subject=LOAD,
        update=added(LOAD, _MOVED),
        insert=added(LOAD, _up("new_rows")),
        delete=added(LOAD, _up("old_rows")),
    ),
}
"""The bodies of the triggers' functions, in PL/pgSQL, by table."""

_ROWS = {
    "insert": "referencing new table as new_rows",
    "update": "referencing old table as old_rows new table as new_rows",
    "delete": "referencing old table as old_rows",
    "truncate": "",
}


def hour_triggers_on(table: str) -> list[str]:
    """Statements that create the triggers."""
    return [
        f"create trigger {TRIGGER}_{event} after {event} on {table} {rows}"
        f" for each statement execute function {TRIGGER}_{table}()"
        for event, rows in _ROWS.items()
    ]
