"""How the version aside differs from the live one, both at the same position.

The live views keep changing meanwhile: sessions with a record beyond the positions of the version
aside are left out, and so are those that cannot be folded in one of the two. A difference can be
the purpose of the rebuild.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.position import partition_of
from offhook.projections.rebuild.build import Positions, live_positions, position_in
from offhook.projections.rebuild.unreadable import read_unreadable
from offhook.projections.views.database.transactions import read_at_one_moment
from offhook.projections.views.registry import VIEWS
from offhook.projections.views.stored.erasures import ERASED

EXAMPLES_MAX = 5
"""Rows that are shown of each table."""

COLUMNS_MAX = 5
VALUE_CHARS_MAX = 60
WORK_MEMORY = "64MB"


@dataclass(frozen=True, kw_only=True)
class Example:
    """A row that differs: its key, and for each column that differs the value before and after."""

    key: Mapping[str, str]
    columns: Mapping[str, tuple[str, str]]  # empty for a row that is in one version only
    only_in: str  # live, rebuilt; empty if it is in both


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A table of the two versions."""

    table: str
    rows: int  # in the version aside, of the sessions that were compared
    checksum: str  # of the same rows
    removed: int  # rows of the live version that are not in the other
    added: int
    changed: int
    examples: Sequence[Example]

    @property
    def identical(self) -> bool:
        """Whether no row differs."""
        return not (self.removed or self.added or self.changed)


@dataclass(frozen=True, kw_only=True)
class Parity:
    """What was found. `unrecorded` are sessions of the live views without any record to fold."""

    positions: Positions
    compared: Sequence[Compared]
    moving: int  # sessions with a record that only the live version has
    parked: int  # sessions that cannot be folded, but for those that cannot be read
    unreadable: Mapping[str, int]  # archived sessions, by what is wrong with their segment
    uncompared: int  # sessions: all of these, and those that are parked in the live version
    unrecorded: int

    @property
    def identical(self) -> bool:
        """Whether no table differs."""
        return all(each.identical for each in self.compared)


async def compare(engine: AsyncEngine, *, live: str, aside: str, positions: Positions) -> Parity:
    """Compare the two versions as of one moment, two tables at a time."""
    tables = [view.table for view in VIEWS if "session_id" in view.table.columns]
    async with _at_one_moment(engine) as (first, second):
        moving = await _in_motion(first, live, positions)
        parameters = {"left_out": sorted(moving)}
        left = iter(tables)
        compared: dict[str, Compared] = {}

        async def compare_some(connection: AsyncConnection) -> None:
            await connection.execute(text(f"set local work_mem to '{WORK_MEMORY}'"))
            for table in left:
                compared[table.name] = await _compared(connection, table, live, aside, parameters)

        await asyncio.gather(compare_some(first), compare_some(second))
        unreadable = await read_unreadable(first, aside)
        counted = await first.execute(
            text(
                f"select (select count(*) from {aside}.parked_sessions) as parked,"
                f" (select count(*) from (select session_id from {live}.parked_sessions union"
                f" select session_id from {aside}.parked_sessions union"
                " select unnest(cast(:left_out as text[]))) as each) as uncompared"
            ),
            parameters,
        )
        counts = counted.one()
        return Parity(
            positions=positions,
            compared=[compared[table.name] for table in tables],
            moving=len(moving),
            parked=counts.parked - sum(unreadable.values()),
            unreadable=unreadable,
            uncompared=counts.uncompared,
            unrecorded=await count_unrecorded(first, live),
        )


@asynccontextmanager
async def _at_one_moment(
    engine: AsyncEngine,
) -> AsyncIterator[tuple[AsyncConnection, AsyncConnection]]:
    """Two connections with the same snapshot."""
    async with engine.connect() as first, engine.connect() as second:
        await read_at_one_moment(first)
        await read_at_one_moment(second)
        exported = await first.execute(text("select pg_export_snapshot()"))
        # It is a statement without parameters.
        await second.execute(text(f"set transaction snapshot '{exported.scalar_one()}'"))
        yield first, second


async def count_unrecorded(connection: AsyncConnection, live: str) -> int:
    """Sessions of the live views without a record, in event_log or archived, to be folded from.

    Those that were erased have none, and their rows are copied.
    """
    found = await connection.execute(
        text(
            f"select count(*) from {live}.sessions as each where not exists"
            f" (select from {live}.event_log where event_log.session_id = each.session_id)"
            f" and not exists (select from {live}.archived_sessions as archived"
            " where archived.session_id = each.session_id)"
            " and not starts_with(each.session_id, :erased)"
        ),
        {"erased": ERASED},
    )
    return int(found.scalar_one())


async def _in_motion(connection: AsyncConnection, live: str, positions: Positions) -> set[str]:
    found: set[str] = set()
    for position in (await live_positions(connection, live)).values():
        since = position_in(positions, partition_of(position))
        result = await connection.execute(
            text(
                f"select distinct session_id from {live}.event_log"
                " where seq > :since and seq <= :until"
            ),
            {"since": since, "until": position},
        )
        found |= set(result.scalars())
    return found


async def _compared(
    connection: AsyncConnection,
    table: Table,
    live: str,
    aside: str,
    left_out: Mapping[str, Sequence[str]],
) -> Compared:
    keys = ", ".join(column.name for column in table.primary_key.columns)
    old, new = rows_in(table, live, live, aside), rows_in(table, aside, live, aside)
    joined = f" from {old} as old full join {new} as new using ({keys})"
    # By their bytes: equal numbers may be written differently.
    changed = "old.is_there and new.is_there and old *<> new"
    counted = await connection.execute(
        text(
            "select count(*) filter (where old.is_there is null) as added,"
            " count(*) filter (where new.is_there is null) as removed,"
            f" count(*) filter (where {changed}) as changed{joined}"
        ),
        left_out,
    )
    counts = counted.one()
    content = await connection.execute(
        text(
            "select count(*) as total, coalesce(sum(hashtextextended(whole, 0)), 0) as first,"
            " coalesce(sum(hashtextextended(whole, 1)), 0) as second"
            # Offset 0, or the text of each row would be computed twice.
            f" from (select cast(new as text) as whole from {new} as new offset 0) as wholes"
        ),
        left_out,
    )
    row = content.one()
    examples: list[Example] = []
    if counts.added or counts.removed or counts.changed:
        found = await connection.execute(
            text(
                "select to_jsonb(old) as old, to_jsonb(new) as new"
                # Only then as JSON, or every row that differs would be.
                f" from (select {keys}, old, new{joined}"
                f" where old.is_there is null or new.is_there is null or ({changed})"
                f" order by {keys} limit {EXAMPLES_MAX}) as example order by {keys}"
            ),
            left_out,
        )
        examples = [_example(table, each.old, each.new) for each in found]
    return Compared(
        table=table.name,
        rows=row.total,
        checksum=f"{int(row.first) % 2**64:016x}{int(row.second) % 2**64:016x}",
        removed=counts.removed,
        added=counts.added,
        changed=counts.changed,
        examples=examples,
    )


def rows_in(table: Table, schema: str, live: str, aside: str) -> str:
    """A subquery of the rows of a version but for those `left_out` and parked sessions."""
    columns = ", ".join(column.name for column in table.columns)
    return (
        f"(select true as is_there, {columns} from {schema}.{table.name}"
        " where session_id <> all(:left_out)"
        f" and not exists (select from {live}.parked_sessions as parked"
        f" where parked.session_id = {table.name}.session_id)"
        f" and not exists (select from {aside}.parked_sessions as parked"
        f" where parked.session_id = {table.name}.session_id))"
    )


def _example(table: Table, old: Any, new: Any) -> Example:
    old, new = (json.loads(row) if isinstance(row, str) else row for row in (old, new))
    there = old or new
    columns: dict[str, tuple[str, str]] = {}
    if old is not None and new is not None:
        for name, before in old.items():
            if before != new[name] and len(columns) < COLUMNS_MAX:
                columns[name] = (_shown(before), _shown(new[name]))
    return Example(
        key={column.name: _shown(there[column.name]) for column in table.primary_key.columns},
        columns=columns,
        only_in="rebuilt" if old is None else "live" if new is None else "",
    )


def _shown(value: Any) -> str:
    shown = value if isinstance(value, str) else json.dumps(value)
    return shown if len(shown) <= VALUE_CHARS_MAX else shown[: VALUE_CHARS_MAX - 1] + "…"
