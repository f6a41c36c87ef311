"""What erasing does in Postgres: records go; of view rows what is counted stays, under random ids.

Aggregates (`docs/analytics.md`) are sums over rows of legs, so those rows stay: times, durations,
causes and cost, without a number, an id, content or free text.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.registry import VIEWS
from offhook.projections.views.stored.erasures import ERASED

KEPT: Mapping[str, frozenset[str]] = {
    "sessions": frozenset(
        [
            "status",
            "started_at",
            "answered_at",
            "ended_at",
            "up_until",
            "leg_count",
            "connection_id",
            "direction",
            "hangup_cause",
            "hangup_source",
            "sip_hangup_cause",
            "cost",
            "currency",
            "recording_count",
            "flow",
            "flow_version",
            "first_seq",
            "first_stored_at",
            "last_seq",
            "last_stored_at",
        ]
    ),
    "legs": frozenset(
        [
            "connection_id",
            "direction",
            "state",
            "started_at",
            "answered_at",
            "bridged_at",
            "ended_at",
            "up_until",
            "hangup_cause",
            "hangup_source",
            "sip_hangup_cause",
            "talk_s",
            "quality",
            "held_since",
            "queue",
            "enqueued_at",
            "dequeued_at",
            "queue_wait_s",
            "queue_reason",
            "machine_detection",
            "machine_greeting",
            "media",
            "transcribed_at",
            "cost",
            "currency",
            "cost_parts",
            "last_seq",
        ]
    ),
    "commands": frozenset(
        [
            "operation",
            "status",
            "reason",
            "http_status",
            "maybe_performed",
            "attempts",
            "flow",
            "flow_version",
            "cause_seq",
            "ordinal",
            "requested_at",
            "decided_at",
            "settled_at",
            "last_seq",
        ]
    ),
    "queue_visits": frozenset(
        [
            "number",
            "queue",
            "enqueued_at",
            "dequeued_at",
            "wait_s",
            "reason",
            "first_seq",
            "first_stored_at",
            "last_seq",
        ]
    ),
}
"""Columns whose values stay."""

CLEARED: Mapping[str, frozenset[str]] = {
    "sessions": frozenset(["from_number", "to_number", "recordings", "conferences", "parked"]),
    "legs": frozenset(
        [
            "call_leg_id",
            "from_number",
            "to_number",
            "client_state",
            "conference_id",
            "dtmf",
            "gathered",
            "refer",
            "recording_error",
        ]
    ),
    "commands": frozenset(["parameters", "detail", "answer", "answer_session_id", "errors"]),
    "queue_visits": frozenset(),
}
"""Columns that become null, or false."""

IDS = ("session_id", "call_control_id", "command_id")
"""Columns that get a random id in place of theirs, the same in every table."""


async def erase_rows(connection: AsyncConnection, session_ids: Sequence[str]) -> int:
    """Delete the sessions' records and replace their view rows; how many records there were."""
    renamed = {each: _random_id() for each in session_ids}
    for column in IDS[1:]:
        renamed |= await _others(connection, column, session_ids)
    names = {"old": list(renamed), "new": list(renamed.values()), "ids": list(session_ids)}
    for view in VIEWS:
        await connection.execute(text(_copy(view.table)), names)
        await connection.execute(
            text(f"delete from {view.name} where session_id = any(:ids)"),
            {"ids": list(session_ids)},
        )
    await connection.execute(
        text("delete from parked_sessions where session_id = any(:ids)"),
        {"ids": list(session_ids)},
    )
    deleted = await connection.execute(
        text("delete from event_log where session_id = any(:ids)"), {"ids": list(session_ids)}
    )
    return deleted.rowcount


async def _others(
    connection: AsyncConnection, column: str, session_ids: Sequence[str]
) -> dict[str, str]:
    """Random ids for what the column holds in rows of these sessions."""
    found: set[str] = set()
    for view in VIEWS:
        if column in view.table.columns:
            result = await connection.execute(
                text(
                    f"select distinct {column} from {view.name}"
                    f" where session_id = any(:ids) and {column} is not null"
                ),
                {"ids": list(session_ids)},
            )
            found |= set(result.scalars())
    return {each: _random_id() for each in sorted(found)}


def _copy(table: Table) -> str:
    """A statement that writes a row without what is personal, for each row of the sessions."""
    values: dict[str, Any] = {}
    for column in table.columns:
        if column.name in IDS:
            values[column.name] = (
                f"(select new from renamed where renamed.old = each.{column.name} limit 1)"
            )
        elif column.name in KEPT[table.name]:
            values[column.name] = f"each.{column.name}"
        else:
            values[column.name] = "null" if column.nullable else "false"
    return (
        "with renamed as (select * from"
        " unnest(cast(:old as text[]), cast(:new as text[])) as renamed (old, new))"
        f" insert into {table.name} ({', '.join(values)})"
        f" select {', '.join(values.values())} from {table.name} as each"
        " where each.session_id = any(:ids)"
    )


def _random_id() -> str:
    return ERASED + secrets.token_hex(16)
