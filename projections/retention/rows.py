"""What erasing does in Postgres: records go; of view rows what is counted stays, under random ids.

Aggregates (`docs/analytics.md`) are sums over rows of legs, so those rows stay: times, durations,
causes and cost, without a number, an id, content or free text. Each view says which of its columns
stay (`View.kept_when_erased`).
"""

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.registry import VIEWS
from offhook.projections.views.stored.erasures import ERASED
from offhook.projections.views.view import View

IDS = ("session_id", "call_control_id", "command_id")
"""Columns that get a random id in place of theirs, the same in every table."""


async def erase_rows(connection: AsyncConnection, session_ids: Sequence[str]) -> int:
    """Delete the sessions' records and replace their view rows; how many records there were."""
    renamed = {each: _random_id() for each in session_ids}
    for column in IDS[1:]:
        renamed |= await _others(connection, column, session_ids)
    names = {"old": list(renamed), "new": list(renamed.values()), "ids": list(session_ids)}
    for view in VIEWS:
        await connection.execute(text(_copy(view)), names)
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


def _copy(view: View[Any]) -> str:
    """A statement that writes a row without what is personal, for each row of the sessions."""
    values: dict[str, Any] = {}
    for column in view.table.columns:
        if column.name in IDS:
            values[column.name] = (
                f"(select new from renamed where renamed.old = each.{column.name} limit 1)"
            )
        elif column.name in view.kept_when_erased:
            values[column.name] = f"each.{column.name}"
        else:
            values[column.name] = "null" if column.nullable else "false"
    return (
        "with renamed as (select * from"
        " unnest(cast(:old as text[]), cast(:new as text[])) as renamed (old, new))"
        f" insert into {view.name} ({', '.join(values)})"
        f" select {', '.join(values.values())} from {view.name} as each"
        " where each.session_id = any(:ids)"
    )


def _random_id() -> str:
    return ERASED + secrets.token_hex(16)
