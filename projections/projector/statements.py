"""The statements of a batch, each one round trip, as text for asyncpg and as its arguments.

    copy    records into event_log, and what must be known of their sessions before they are folded
    write   the rows of all views, the sums of webhooks, and the checkpoints if their fences hold
    plain   both in one, which changes nothing if anything must be known before they are folded

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


_Shape = tuple[tuple[str, ...], bool, bool]
"""The views that have rows, whether the partitions are leased, and whether there are sums."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """Text with $1, $2, … and their values."""

    text: str
    values: Sequence[Any]
    shape: _Shape | None = None  # of `write_statement`


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


def plain_statement(copy: Statement, write: Statement) -> Statement:
    """Both as one statement. It changes nothing and returns no row if an event id is known, a
    session is parked, archived or erased, an unknown one has records, or a fence does not hold.

    It waits for the locks of its tables before it looks: an archive run or an erasure that holds
    them is seen.
    """
    assert write.shape is not None
    return Statement(
        text=_write(*write.shape, copied=len(copy.values)), values=[*copy.values, *write.values]
    )


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
    shape = (names, is_leased, bool(sums))
    return Statement(text=_write(*shape), values=values, shape=shape)


def stub_statement(table: Table, rows: Sequence[Mapping[str, Any]]) -> Statement:
    """Insert the rows that break no key."""
    return Statement(
        text=f"{_insert(table, 1)} on conflict do nothing", values=_arrays(table, rows)
    )


@cache
def _write(names: tuple[str, ...], is_leased: bool, has_sums: bool, copied: int = 0) -> str:
    """With `copied`, the number of the copy's values, it is the plain statement."""
    is_plain = "(select is_plain from known)"
    only_if = f" where {is_plain}" if copied else ""
    number = 1 + copied
    written = []
    for view in VIEWS:
        if view.name in names:
            # In the order of `schema.hold_off_projectors`, or the two could wait for each other.
            written.append(f"written_{view.name} as ({_upsert(view.table, number, only_if)})")
            number += len(view.table.columns)
    partitions = f"${number}::int[]"
    name, channel, epochs = f"${number + 4}::text", f"${number + 5}::text", f"${number + 6}"
    if has_sums:
        written.append(f"added as ({add_sums(number + 6 + is_leased, only_if)})")
    columns = "partition, expected_seq, seq, stored_at"
    arrays = (
        f"{partitions}, ${number + 1}::bigint[], ${number + 2}::bigint[],"
        f" ${number + 3}::timestamptz[]"
    )
    if is_leased:
        arrays, columns = f"{arrays}, {epochs}::bigint[]", f"{columns}, epoch"
    held = f"select m.* from unnest({arrays}) as m ({columns})"
    locked = []
    if is_leased:
        held += (
            " join projector_leases as l"
            f" on l.name = {name} and l.partition = m.partition and l.epoch = m.epoch"
        )
        # Shared: the lease does not change hands until this batch has ended.
        locked.append(" for share of l")
    if copied:
        held += (
            " join checkpoint as c"
            f" on c.name = {name} and c.partition = m.partition and c.seq = m.expected_seq"
        )
        locked.append(" for update of c")
    moved = (
        "moved as (update checkpoint as c set seq = held.seq, stored_at = held.stored_at,"
        " updated_at = clock_timestamp() from held where"
        f" c.name = {name} and c.partition = held.partition and c.seq = held.expected_seq"
        f"{f' and {is_plain}' if copied else ''} returning c.partition, c.seq)"
    )
    parts = [f"held as materialized ({held}{''.join(locked)})"]
    if copied:
        all_held = f"(select count(*) from held) = cardinality({partitions})"
        parts = [
            # Postgres locks tables in this order. Who holds projectors off has event_log first, and
            # may then want it for itself: it must not be read before it is locked to be written.
            "nothing as (delete from event_log where false)",
            *parts,
            f"known as materialized (select {_IS_PLAIN} and {all_held} as is_plain)",
            f"copied as ({_insert(event_log, 1)}{only_if})",
        ]
    parts += [moved, *written]
    return (
        f"with {', '.join(parts)}"
        f" select partition, pg_notify({channel}, {name} || ':' || seq) from moved"
    )


def _upsert(table: Table, number: int, only_if: str) -> str:
    keys = [column.name for column in table.primary_key.columns]
    others = [column.name for column in table.columns if column.name not in keys]
    return (
        f"{_insert(table, number)}{only_if} on conflict ({', '.join(keys)}) do update set "
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
_PARKED = f"select session_id from parked_sessions where session_id = any(${_NEXT}::text[])"
_KNOWN = (
    f"select u.session_id from unnest(${_NEXT + 1}::text[], ${_NEXT + 2}::bigint[])"
    " as u (session_id, position) where exists"
    " (select from event_log as e where e.session_id = u.session_id and e.seq <= u.position)"
)
_SPECIAL = (
    f"exists (select from archived_sessions where session_id = any(${_NEXT}::text[]))"
    f" or exists (select from erased_sessions where digest = any(${_NEXT + 3}::text[]))"
)
_COPY = (
    f"with copied as ({_insert(event_log, 1)} on conflict do nothing returning seq)"
    " select (select coalesce(array_agg(seq), '{}') from copied) as copied,"
    f" (select coalesce(array_agg(session_id), '{{}}') from ({_PARKED}) as each) as parked,"
    f" (select coalesce(array_agg(session_id), '{{}}') from ({_KNOWN}) as each) as known,"
    f" {_SPECIAL} as is_special"
)
_EVENT_IDS = f"${[column.name for column in event_log.columns].index('event_id') + 1}::text[]"
_IS_PLAIN = (
    f"not exists ({_PARKED}) and not ({_SPECIAL}) and not exists ({_KNOWN})"
    f" and not exists (select from event_log where event_id = any({_EVENT_IDS}))"
)
