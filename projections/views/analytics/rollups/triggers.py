"""The triggers that keep the roll-ups, in the transaction of the rows that they are about."""

from collections.abc import Mapping, Sequence

from offhook.projections.views.analytics.rollups import changes
from offhook.projections.views.analytics.rollups.adding import changed, ended_facts
from offhook.projections.views.analytics.rollups.tables import RANK

TRIGGER = "offhook_rollups"
"""How the names of all triggers and of their functions begin."""

_MARK = changed(
    {
        "-": ended_facts(
            "(select legs.* from legs join marked using (call_control_id, session_id))", "true"
        ),
        "+": ended_facts(
            "(select legs.* from legs join unmarked using (call_control_id, session_id))", "true"
        ),
    },
    f"""ranked as (
    select call_control_id, session_id, {RANK} as repeats from legs
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

_OF_LEGS = f"""
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
            {changed({"-": ended_facts("old_rows"), "+": ended_facts("new_rows")})};
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
            {changed({"+": ended_facts("new_rows")})};
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
        {changed({"-": ended_facts("old_rows")})};
        delete from leg_repeats using old_rows
        where leg_repeats.call_control_id = old_rows.call_control_id
            and leg_repeats.session_id = old_rows.session_id;
        select array_agg(distinct call_control_id) into due from old_rows where exists (
            select from legs where legs.call_control_id = old_rows.call_control_id
        );
    end if;
    if due is not null then
        {changes.OF_REPEATS};
        {_MARK};
    end if;
    return null;
end
"""

FUNCTIONS: Mapping[str, str] = {
    TRIGGER: _OF_LEGS,
    **{f"{changes.TRIGGER}_{table}": body for table, body in changes.FUNCTIONS.items()},
}
"""The bodies of the triggers' functions, in PL/pgSQL, by name."""

_ROWS = {
    "insert": "referencing new table as new_rows",
    "update": "referencing old table as old_rows new table as new_rows",
    "delete": "referencing old table as old_rows",
    "truncate": "",
}


def _triggers(prefix: str, table: str, function: str) -> list[str]:
    return [
        f"create trigger {prefix}_{event} after {event} on {table} {rows}"
        f" for each statement execute function {function}()"
        for event, rows in _ROWS.items()
    ]


TRIGGERS: Sequence[str] = (
    *_triggers(TRIGGER, "legs", TRIGGER),
    *(
        each
        for table in changes.FUNCTIONS
        for each in _triggers(changes.TRIGGER, table, f"{changes.TRIGGER}_{table}")
    ),
)
"""Statements that create them."""
