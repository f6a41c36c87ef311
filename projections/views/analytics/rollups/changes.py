"""How often the rows behind an hour's figures have changed, by subject and hour of UTC.

Triggers count, in the transaction of the rows: those of `legs` the hours in which the leg was up,
now or before the change. A number only ever grows, so it is another one after any change. A row
belongs to one partition of the log (`shard`), so that projectors do not wait for each other; the
number of an hour is the sum over them. An hour without a row is empty.
"""

from collections.abc import Mapping

from sqlalchemy import BigInteger, Column, DateTime, Integer, PrimaryKeyConstraint, Table, Text

from offhook.projections.views.analytics.subjects.commands import SURVIVAL_S
from offhook.projections.views.view import metadata

LOAD, COMMANDS, VISITS = "load", "commands", "visits"
"""Subjects, by the names that they are stored under."""

DAYS = "_days"
"""Of a subject with days, what follows its name in `hours_made`."""

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
"""For `triggers`: which rows of these legs count may have changed."""


def _at(row: str, column: str) -> str:
    return (
        f"select {row}.{column} as since, {row}.{column} as until, {SHARD.format(row=row)} as shard"
    )


# A visit's contact ends with its leg; a leg's row has a queue if it has any visit.
_VISITS_OF = (
    f"{_at('visit', 'enqueued_at')} from ({{legs}}) as leg"
    " join queue_visits as visit using (session_id, call_control_id)"
)
_HAS_VISITS = (
    "(leg.enqueued_at is not null or leg.dequeued_at is not null or leg.queue is not null)"
)

# Whether a transfer holds is known from its leg's bridge and end; a later end changes nothing.
_TRANSFERS_OF = (
    f"{_at('transfer', 'decided_at')} from ({{legs}}) as leg"
    " join commands as transfer using (session_id, call_control_id)"
    " where transfer.operation = 'transfer'"
)
_BOTH = "old_rows as before join new_rows as leg using (session_id, call_control_id)"

_LEGS_WITH_VISITS = {
    "update": f"select session_id, call_control_id from {_BOTH}"
    f" where before.ended_at is distinct from leg.ended_at and {_HAS_VISITS}",
    "insert": "select session_id, call_control_id from new_rows as leg"
    f" where leg.ended_at is not null and {_HAS_VISITS}",
    "delete": "select session_id, call_control_id from old_rows as leg"
    f" where leg.ended_at is not null and {_HAS_VISITS}",
}

_LEGS_WITH_BRIDGES = {
    "update": f"select session_id, call_control_id from {_BOTH}"
    " where before.bridged_at is distinct from leg.bridged_at"
    " or before.ended_at is distinct from leg.ended_at and least(before.ended_at, leg.ended_at)"
    f" < leg.bridged_at + interval '{SURVIVAL_S} s'",
    "insert": "select session_id, call_control_id from new_rows where bridged_at is not null",
    "delete": "select session_id, call_control_id from old_rows where bridged_at is not null",
}


def _of_leg(event: str, up: str) -> str:
    return ";\n        ".join(
        (
            added(LOAD, up),
            added(VISITS, _VISITS_OF.format(legs=_LEGS_WITH_VISITS[event])),
            added(COMMANDS, _TRANSFERS_OF.format(legs=_LEGS_WITH_BRIDGES[event])),
        )
    )


def _of_command(rows: str) -> str:
    """A hangup of the session may end a transferred leg."""
    return added(
        COMMANDS,
        f"{_at('command', 'decided_at')} from {rows} as command union all"
        f" {_at('transfer', 'decided_at')} from (select distinct session_id from {rows}"
        " as command where command.operation = 'hangup' and command.status = 'succeeded') as hung"
        " join commands as transfer using (session_id) where transfer.operation = 'transfer'",
    )


def _of_visit(rows: str) -> str:
    """A contact ends with the leg's next visit."""
    return added(
        VISITS,
        f"{_at('visit', 'enqueued_at')} from {rows} as visit union all"
        f" {_at('visit', 'enqueued_at')} from (select distinct session_id, call_control_id"
        f" from {rows} as changed) as leg"
        " join queue_visits as visit using (session_id, call_control_id)",
    )


_CHANGED = "(select * from old_rows union all select * from new_rows)"

FILL_CHANGES: Mapping[str, str] = {
    LOAD: added(LOAD, _up("legs")),
    COMMANDS: added(COMMANDS, f"{_at('command', 'decided_at')} from commands as command"),
    VISITS: added(VISITS, f"{_at('visit', 'enqueued_at')} from queue_visits as visit"),
}
"""From all rows, for empty tables."""

_BODY = """
begin
    perform set_config(
        'search_path', quote_ident(tg_table_schema) || ', pg_catalog, pg_temp', true
    );
    if tg_op = 'TRUNCATE' then
        delete from hour_changes where subject = '{subject}';
        delete from hours_made where {made};
    elsif tg_op = 'UPDATE' then
        if exists (select from new_rows) then
        {update};
        end if;
    elsif tg_op = 'INSERT' then
        if exists (select from new_rows) then
        {insert};
        end if;
    else
        {delete};
    end if;
    return null;
end
"""

_MADE = f"subject in ('{{0}}', '{{0}}{DAYS}')"

FUNCTIONS: Mapping[str, str] = {
    "legs": _BODY.format(
        subject=LOAD,
        made=f"subject = '{LOAD}'",
        update=_of_leg("update", _MOVED),
        insert=_of_leg("insert", _up("new_rows")),
        delete=_of_leg("delete", _up("old_rows")),
    ),
    "commands": _BODY.format(
        subject=COMMANDS,
        made=_MADE.format(COMMANDS),
        update=_of_command(_CHANGED),
        insert=_of_command("new_rows"),
        delete=_of_command("old_rows"),
    ),
    "queue_visits": _BODY.format(
        subject=VISITS,
        made=_MADE.format(VISITS),
        update=_of_visit(_CHANGED),
        insert=_of_visit("new_rows"),
        delete=_of_visit("old_rows"),
    ),
}
"""The bodies of the triggers' functions, in PL/pgSQL, by table."""
