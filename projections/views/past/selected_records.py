"""The records of the copy of the log that a selection means, read as a stream.

Those of archived sessions are read from their segments and merged with the others, so that the
order is the same before and after a session is archived. Read at one moment: see
`archived_records`.

Within a session records come in the order of the log, whatever the order of the whole. Between
partitions positions have no order but time: `by time` merges the partitions by the log's clock.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from heapq import heapify, heappop, heapreplace
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, CompoundSelect, func, literal, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import SelectionInvalid, shown
from offhook.history.lines import HistoryRecord
from offhook.history.selection import Selection
from offhook.jetstream.stream import PROJECTOR
from offhook.patterns import Pattern
from offhook.phone_numbers import spellings
from offhook.position import PARTITIONS_MAX, SEQ_MAX, partition_of, position_of, position_text
from offhook.projections.views.past.archived_records import (
    archived_in_order,
    archived_places,
    changed_segments,
    count_archived,
    has_archived,
    read_place,
    stored_within,
)
from offhook.projections.views.progress.checkpoint import read_checkpoints
from offhook.projections.views.search.numbers import sessions_with_number
from offhook.projections.views.stored.archive import Place, archived_sessions
from offhook.projections.views.stored.event_log import event_log
from offhook.projections.views.view import storable

Order = Literal["position", "time"]

HeadersAt = Callable[[int], Awaitable[Mapping[str, str] | None]]
"""The headers of the record at a position, from the log; None if the log no longer has it."""

ROWS_FETCHED = 200
"""Rows held at once for each partition that is read."""

LOOKUPS_AT_ONCE = 32
"""Records whose headers are asked of the log at the same time."""


async def require_sessions(connection: AsyncConnection, selection: Selection) -> None:
    """Raise SelectionInvalid for a session or a number of which no record is stored."""
    wanted = sorted(set(map(str, map(storable, selection.sessions))))
    found = await connection.execute(
        union(
            *(
                select(table.c.session_id).where(table.c.session_id.in_(wanted))
                for table in (event_log, archived_sessions)
            )
        )
    )
    if missing := set(wanted) - set(found.scalars()):
        raise SelectionInvalid(f"session {shown(min(missing))} has no records")
    for number in selection.numbers:
        count = await connection.execute(
            select(literal(1)).select_from(_with_number([number]).subquery()).limit(1)
        )
        if count.scalar_one_or_none() is None:
            raise SelectionInvalid(f"no session has number {shown(number)}")


async def require_partitions(connection: AsyncConnection, selection: Selection) -> None:
    """Raise SelectionInvalid for a position in a partition of which the views have nothing."""
    known = await read_checkpoints(connection, PROJECTOR)
    for position in (selection.first_position, selection.last_position):
        if position is None or not known or partition_of(position) in known:
            continue
        raise SelectionInvalid(
            f"position {position_text(position)} is in partition {partition_of(position)}, of which"
            f" no record is stored; expected a position in partition {', '.join(map(str, known))}"
        )


async def count_records(connection: AsyncConnection, selection: Selection) -> int:
    """How many records meet the selection, but for its types: those are in the bodies.

    An archived session that is partly selected is counted as a whole.
    """
    found = await connection.execute(
        select(func.count()).select_from(event_log).where(*_conditions(selection))
    )
    archived = await count_archived(connection, *_archived_conditions(selection))
    return int(found.scalar_one()) + archived


async def select_records(
    connection: AsyncConnection,
    selection: Selection,
    *,
    order: Order = "position",
    headers_at: HeadersAt | None = None,
) -> AsyncIterator[HistoryRecord]:
    """The selected records, in a transaction of the caller's.

    Rows of an earlier version have no headers; `headers_at` is asked for those, and without it they
    are left empty. Raises OperatorFault if a segment cannot be read.
    """
    ranges: Sequence[tuple[int, int] | None] = [None]
    if order == "time":
        ranges = await _partitions(connection)
    streams: list[AsyncIterator[HistoryRecord]] = []
    for each in ranges:
        live, old = _conditions(selection), _archived_conditions(selection)
        if each is not None:
            live.append(event_log.c.seq.between(*each))
            old.append(archived_sessions.c.first_seq.between(*each))
        stream = _flat(_pages(connection, *live, headers_at=headers_at))
        if await has_archived(connection, *old):
            archived = _within(selection, archived_in_order(connection, *old))
            stream = by_position(stream, archived)
        streams.append(stream)
    async for record in merged(streams):
        if selection.takes_type_of(record):
            yield record


async def changed_segments_of(connection: AsyncConnection, selection: Selection) -> list[str]:
    """What is wrong with each segment of the selected sessions that is not as it was written.

    Raises OperatorFault if one cannot be read.
    """
    return await changed_segments(connection, *_archived_conditions(selection))


async def select_session_ids(
    connection: AsyncConnection, selection: Selection
) -> AsyncIterator[str]:
    """The sessions of which a record is selected, each once. Types are not looked at.

    In no order. Raises OperatorFault if a segment cannot be read.
    """
    query = select(event_log.c.session_id).where(*_conditions(selection)).distinct()
    result = await connection.stream(query, execution_options={"yield_per": ROWS_FETCHED})
    async for session_id in result.scalars():
        yield session_id
    places = archived_places(
        connection,
        *_archived_conditions(selection),
        archived_sessions.c.session_id.not_in(query),
        by_session=True,
    )
    last = ""  # a session may be in several segments
    async for place in places:
        session_id = place.block.session_id
        if session_id != last and await _takes_any(selection, place):
            yield session_id
            last = session_id


async def merged(
    streams: Sequence[AsyncIterator[HistoryRecord]],
) -> AsyncIterator[HistoryRecord]:
    """The records of all streams by time, and by position within a microsecond.

    Each stream keeps its own order, even where its times do not: a clock may be set back.
    """
    heads: list[tuple[Any, int, int, HistoryRecord]] = []
    for number, stream in enumerate(streams):
        first = await anext(stream, None)
        if first is not None:
            heads.append((first.stored_at, first.position, number, first))
    heapify(heads)
    while heads:
        at, _, number, record = heads[0]
        yield record
        following = await anext(streams[number], None)
        if following is None:
            heappop(heads)
        else:
            at = max(at, following.stored_at)
            heapreplace(heads, (at, following.position, number, following))


async def by_position(
    one: AsyncIterator[HistoryRecord], other: AsyncIterator[HistoryRecord]
) -> AsyncIterator[HistoryRecord]:
    """The records of both streams, each of which is in order of position."""
    left, right = await anext(one, None), await anext(other, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left.position < right.position):
            assert left is not None
            yield left
            left = await anext(one, None)
        else:
            yield right
            right = await anext(other, None)


async def _within(
    selection: Selection, records: AsyncIterator[HistoryRecord]
) -> AsyncIterator[HistoryRecord]:
    """Those in its range of time and position; sessions and numbers were looked at before."""
    ranges = _ranges_of(selection)
    async for record in records:
        if ranges.takes(record):
            yield record


async def _takes_any(selection: Selection, place: Place) -> bool:
    ranges = _ranges_of(selection)
    if ranges == Selection():
        return True
    return any(map(ranges.takes, await read_place(place)))


def _ranges_of(selection: Selection) -> Selection:
    return replace(selection, sessions=(), numbers=(), types=())


async def _pages(
    connection: AsyncConnection,
    *conditions: "ColumnElement[bool]",
    headers_at: HeadersAt | None,
) -> AsyncIterator[list[HistoryRecord]]:
    query = select(*(event_log.c[name] for name in _COLUMNS)).where(*conditions)
    result = await connection.stream(
        query.order_by(event_log.c.seq), execution_options={"yield_per": ROWS_FETCHED}
    )
    async for rows in result.partitions(ROWS_FETCHED):
        missing = [row.seq for row in rows if row.headers is None]
        looked_up = await _looked_up(missing, headers_at)
        yield [_record(row, looked_up) for row in rows]


async def _flat(pages: AsyncIterator[list[HistoryRecord]]) -> AsyncIterator[HistoryRecord]:
    async for page in pages:
        for record in page:
            yield record


def _record(row: Any, looked_up: Mapping[int, Mapping[str, str]]) -> HistoryRecord:
    known = row.headers is not None
    return HistoryRecord(
        position=row.seq,
        session_id=row.session_id,
        side=row.side,
        type=row.type,
        version=row.version,
        stored_at=row.stored_at,
        fact_id=row.fact_id or "",
        headers=_HEADERS.decode(row.headers) if known else looked_up.get(row.seq, {}),
        body=row.body,
    )


async def _looked_up(
    positions: Sequence[int], headers_at: HeadersAt | None
) -> dict[int, Mapping[str, str]]:
    if headers_at is None:
        return {}
    found: dict[int, Mapping[str, str]] = {}
    for start in range(0, len(positions), LOOKUPS_AT_ONCE):
        some = positions[start : start + LOOKUPS_AT_ONCE]
        answers = await asyncio.gather(*map(headers_at, some))
        found |= {
            seq: answer for seq, answer in zip(some, answers, strict=True) if answer is not None
        }
    return found


async def _partitions(connection: AsyncConnection) -> list[tuple[int, int]]:
    """The first and last position of each partition that has records."""
    found: list[tuple[int, int]] = []
    for partition in range(PARTITIONS_MAX):
        first, last = position_of(partition, 0), position_of(partition, SEQ_MAX)
        for column in (event_log.c.seq, archived_sessions.c.first_seq):
            within = column.between(first, last)
            one = await connection.execute(select(column).where(within).limit(1))
            if one.scalar_one_or_none() is not None:
                found.append((first, last))
                break
    return found


def _conditions(selection: Selection) -> list["ColumnElement[bool]"]:
    columns = event_log.c
    conditions: list[ColumnElement[bool]] = []
    if selection.since is not None:
        conditions.append(columns.stored_at >= selection.since)
    if selection.until is not None:
        conditions.append(columns.stored_at < selection.until)
    if selection.first_position is not None:
        conditions.append(columns.seq >= selection.first_position)
    if selection.last_position is not None:
        conditions.append(columns.seq <= selection.last_position)
    return conditions + _of_sessions(selection, columns.session_id)


def _archived_conditions(selection: Selection) -> list["ColumnElement[bool]"]:
    """For the archived sessions that may have a selected record."""
    columns = archived_sessions.c
    conditions = [*stored_within(selection.since, selection.until)]
    if selection.first_position is not None:
        conditions.append(columns.last_seq >= selection.first_position)
    if selection.last_position is not None:
        conditions.append(columns.first_seq <= selection.last_position)
    return conditions + _of_sessions(selection, columns.session_id)


def _of_sessions(selection: Selection, column: "ColumnElement[str]") -> list["ColumnElement[bool]"]:
    conditions: list[ColumnElement[bool]] = []
    if selection.sessions:
        conditions.append(column.in_([storable(each) for each in selection.sessions]))
    if selection.numbers:
        conditions.append(column.in_(_with_number(selection.numbers)))
    return conditions


def _with_number(numbers: Sequence[str]) -> "CompoundSelect[Any]":
    texts = sorted({text for number in numbers for text in spellings(number)})
    return sessions_with_number([Pattern(kind="exact", text=text) for text in texts])


_COLUMNS = (
    *("seq", "session_id", "side", "type", "version", "stored_at"),
    *("fact_id", "headers", "body"),
)
_HEADERS = msgspec.json.Decoder(dict[str, str])
