"""The versions of the views: the live one, and one that a rebuild keeps in a schema aside.

    public            what the projector writes and readers read
    public_rebuild    before the cutover: the version that is being built
                      after it: the version before, kept up to date until the grace period ends

Who deletes rows of the views for good, or changes their tables, has to think of both.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

MARK = "offhook rebuild"
"""The comment on a schema of ours begins with this."""


async def live_schema(connection: AsyncConnection) -> str:
    """The schema of the live views, as a quoted identifier."""
    found = await connection.execute(
        text(
            "select quote_ident(nspname) from pg_namespace"
            " join pg_class on pg_namespace.oid = relnamespace"
            " where pg_class.oid = to_regclass('checkpoint')"
        )
    )
    return str(found.scalar_one())


def aside_of(live: str) -> str:
    """The schema aside, as a quoted identifier like `live`."""
    return f'{live[:-1]}_rebuild"' if live.endswith('"') else f"{live}_rebuild"


async def aside_exists(connection: AsyncConnection, live: str) -> bool:
    """Whether there is a schema aside that a rebuild created."""
    found = await connection.execute(
        text("select obj_description(to_regnamespace(:name), 'pg_namespace')"),
        {"name": aside_of(live)},
    )
    return str(found.scalar_one_or_none() or "").startswith(MARK)


@dataclass(frozen=True, kw_only=True)
class RebuildView:
    """A rebuild of the views, as far as it is.

    folding      `folded` of `total` records are in the version aside
    finishing    the records of archived sessions are being folded, too
    following    it is `behind` positions behind the live views, and complete but for `unreadable`
                 archived sessions, whose files are missing or were changed
    live         it is in use, and can be rolled back until `grace_until`
    """

    state: str
    total: int
    folded: int
    unreadable: int
    behind: int
    started_at: datetime
    cut_over_at: datetime | None
    grace_until: datetime | None
    wanted: str | None  # pause, cancel: asked of the process at work


async def read_rebuild_progress(
    connection: AsyncConnection, positions: Mapping[int, int]
) -> RebuildView | None:
    """The rebuild, None without one. `positions` are those of the live views, by partition."""
    live = await live_schema(connection)
    aside = aside_of(live)
    found = await connection.execute(text("select to_regclass(:name)"), {"name": f"{aside}.build"})
    if found.scalar_one() is None:
        return None
    found = await connection.execute(
        text(
            "select state, total, started_at, cut_over_at, grace_until, wanted, positions,"
            # Not every version has had this column. Before that state there may be many rows.
            f" case state when 'following' then (select count(*) from {aside}.later"
            " where to_jsonb(later) ->> 'unreadable' is not null) else 0 end as unreadable,"
            f" coalesce((select sum(records) from {aside}.chunk where is_done), 0) as folded"
            f" from {aside}.build"
        )
    )
    row = dict(found.one()._mapping)
    stored = row.pop("positions")
    reached = json.loads(stored) if isinstance(stored, str) else stored
    behind = sum(
        max(0, position - reached.get(str(partition), position))
        for partition, position in positions.items()
    )
    folded = int(row.pop("folded"))
    return RebuildView(**row, folded=folded, behind=behind if row["state"] == "following" else 0)


async def drop_unfinished(connection: AsyncConnection) -> bool:
    """Drop a version aside that is not in use yet; whether there was one."""
    live = await live_schema(connection)
    aside = aside_of(live)
    found = await connection.execute(text("select to_regclass(:name)"), {"name": f"{aside}.build"})
    if found.scalar_one() is None:
        return False
    state = await connection.execute(text(f"select state from {aside}.build"))
    return state.scalar_one() != "live" and await drop_aside(connection, live)


async def drop_aside(connection: AsyncConnection, live: str) -> bool:
    """Drop the version aside; whether there was one. What wrote to it as well no longer does."""
    if not await aside_exists(connection, live):
        return False
    await connection.execute(text(f"drop schema {aside_of(live)} cascade"))
    return True
