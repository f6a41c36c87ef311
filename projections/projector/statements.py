"""The statements of a batch, each one round trip, as text for asyncpg and as its arguments.

    copy    records into event_log, and what must be known of their sessions before they are folded
    write   the rows of all views, the sums of webhooks, and the checkpoints if their fences hold

Each column goes over as one array, so a statement's text depends only on which views have rows; it
is parsed and planned once for a connection. Without SQLAlchemy: its part in a batch of few records
was larger than Postgres'.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from offhook.projections.projector.checkpoint import Fence
from offhook.projections.views.analytics.subjects.webhooks import Sums, add_sums, arrays_of
from offhook.projections.views.progress.checkpoint import CHANNEL
from offhook.projections.views.registry import VIEWS, Rows
from offhook.projections.views.stored.event_log import event_log


@dataclass(frozen=True, kw_only=True)
class Move:
    """A partition's checkpoint, moved to the position `seq`, if the fence holds."""

    partition: int
    fence: Fence
    seq: int
    stored_at: datetime


@dataclass(frozen=True, kw_only=True)
class Statement:
    """Text with $1, $2, … and their values."""

    text: str
    values: Sequence[Any]


def copy_statement(
    rows: Sequence[Mapping[str, Any]],
    session_ids: Sequence[str],
    digests: Sequence[str],
    unknown: Mapping[str, int],
) -> Statement:
    """Insert the rows of event_log that break no key, and look up their sessions.

    Returns one row: `copied`, the positions of those; `parked`, which of the sessions are;
    `known`, which of the unknown ones have records up to the position given for each; `is_special`,
    whether any is archived or erased; erased ones are found by their digest.
    """
    values = [
        *_arrays(event_log, rows),
        list(session_ids),
        list(unknown),
        list(unknown.values()),
        list(digests),
    ]
    return Statement(text=_COPY, values=values)


def write_statement(
    several: Sequence[Rows], name: str, moves: Sequence[Move] = (), sums: Sums | None = None
) -> Statement:
    """Upsert the rows, add the sums, and move the checkpoints of that name.

    Returns the partitions that moved.

    Readers that wait for a position are notified when, and only if, the transaction commits.
    """
    rows = {view.name: [vars(row) for each in several for row in each[view.name]] for view in VIEWS}
    names = tuple(name for name, found in rows.items() if found)
    values: list[Any] = []
    for view in VIEWS:
        if view.name in names:
            values += _arrays(view.table, rows[view.name])
    values += [
        [each.partition for each in moves],
        [each.fence.seq for each in moves],
        [each.seq for each in moves],
        [each.stored_at for each in moves],
        name,
        CHANNEL,
    ]
    if is_leased := any(each.fence.epoch is not None for each in moves):
        values.append([each.fence.epoch for each in moves])
    if sums:
        values += arrays_of(sums)
    return Statement(text=_write(names, is_leased, bool(sums)), values=values)


def stub_statement(table: Table, rows: Sequence[Mapping[str, Any]]) -> Statement:
    """Insert the rows that break no key."""
    return Statement(
        text=f"{_insert(table, 1)} on conflict do nothing", values=_arrays(table, rows)
    )


@cache
def _write(names: tuple[str, ...], is_leased: bool, has_sums: bool) -> str:
    number = 1 + sum(len(view.table.columns) for view in VIEWS if view.name in names)
    name, channel, epochs = f"${number + 4}::text", f"${number + 5}::text", f"${number + 6}"
    sums = number + 6 + is_leased
    columns = "partition, expected_seq, seq, stored_at"
    arrays = (
        f"${number}::int[], ${number + 1}::bigint[], ${number + 2}::bigint[],"
        f" ${number + 3}::timestamptz[]"
    )
    if is_leased:
        # Shared: the lease does not change hands until this batch has ended.
        held = (
            f"select m.* from unnest({arrays}, {epochs}::bigint[]) as m ({columns}, epoch)"
            " join projector_leases as l"
            f" on l.name = {name} and l.partition = m.partition and l.epoch = m.epoch"
            " for share of l"
        )
    else:
        held = f"select m.* from unnest({arrays}) as m ({columns})"
    moved = (
        "moved as (update checkpoint as c set seq = held.seq, stored_at = held.stored_at,"
        " updated_at = clock_timestamp() from held where"
        f" c.name = {name} and c.partition = held.partition and c.seq = held.expected_seq"
        " returning c.partition, c.seq)"
    )
    parts = [f"held as materialized ({held})", moved]
    number = 1
    for view in VIEWS:
        if view.name in names:
            # In the order of `schema.hold_off_projectors`, or the two could wait for each other.
            parts.append(f"written_{view.name} as ({_upsert(view.table, number)})")
            number += len(view.table.columns)
    if has_sums:
        parts.append(f"added as ({add_sums(sums)})")
    return (
        f"with {', '.join(parts)}"
        f" select partition, pg_notify({channel}, {name} || ':' || seq) from moved"
    )


def _upsert(table: Table, number: int) -> str:
    keys = [column.name for column in table.primary_key.columns]
    others = [column.name for column in table.columns if column.name not in keys]
    return (
        f"{_insert(table, number)} on conflict ({', '.join(keys)}) do update set "
        + ", ".join(f"{name} = excluded.{name}" for name in others)
        + f" where {table.name}.last_seq < excluded.last_seq"
    )


@cache
def _insert(table: Table, number: int) -> str:
    names = ", ".join(column.name for column in table.columns)
    arrays = ", ".join(_array(column, at) for at, column in enumerate(table.columns, start=number))
    return f"insert into {table.name} ({names}) select * from unnest({arrays})"


def _array(column: "Column[Any]", number: int) -> str:
    if isinstance(column.type, JSONB):
        return f"cast(${number}::text[] as jsonb[])"
    return f"${number}::{column.type.compile(dialect=_DIALECT)}[]"


def _arrays(table: Table, rows: Sequence[Mapping[str, Any]]) -> list[Sequence[Any] | None]:
    """The rows turned into columns.

    None stands for a column without a value: `unnest` fills up its rows, while asyncpg looks at
    each element of an array for a dimension more.
    """
    take, documents = _columns_of(table)
    columns: list[Sequence[Any] | None] = [
        None if column.count(None) == len(rows) else column
        for column in zip(*map(take, rows), strict=True)
    ]
    for at in documents:
        if column := columns[at]:
            columns[at] = [None if each is None else _json(each) for each in column]
    return columns


@cache
def _columns_of(table: Table) -> tuple[Callable[[Mapping[str, Any]], tuple[Any, ...]], list[int]]:
    names = [column.name for column in table.columns]
    documents = [at for at, each in enumerate(table.columns) if isinstance(each.type, JSONB)]
    return itemgetter(*names), documents


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # as SQLAlchemy leaves it

_NEXT = len(event_log.columns) + 1
_COPY = (
    f"with copied as ({_insert(event_log, 1)} on conflict do nothing returning seq)"
    " select (select coalesce(array_agg(seq), '{}') from copied) as copied,"
    " (select coalesce(array_agg(session_id), '{}') from parked_sessions"
    f" where session_id = any(${_NEXT}::text[])) as parked,"
    " (select coalesce(array_agg(u.session_id), '{}')"
    f" from unnest(${_NEXT + 1}::text[], ${_NEXT + 2}::bigint[]) as u (session_id, position)"
    " where exists (select from event_log as e"
    " where e.session_id = u.session_id and e.seq <= u.position)) as known,"
    f" exists (select from archived_sessions where session_id = any(${_NEXT}::text[]))"
    f" or exists (select from erased_sessions where digest = any(${_NEXT + 3}::text[]))"
    " as is_special"
)
