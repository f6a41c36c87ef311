"""The records of the copy of the log that a selection means, read as a stream.

Within a session records come in the order of the log, whatever the order of the whole. Between
partitions positions have no order but time: `by time` merges the partitions by the log's clock.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import SelectionInvalid, shown
from offhook.history.lines import HistoryRecord
from offhook.history.selection import Selection
from offhook.phone_numbers import spellings
from offhook.position import PARTITIONS_MAX, SEQ_MAX, position_of
from offhook.projections.views.event_log import event_log
from offhook.projections.views.legs import legs
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
        select(event_log.c.session_id).where(event_log.c.session_id.in_(wanted)).distinct()
    )
    if missing := set(wanted) - set(found.scalars()):
        raise SelectionInvalid(f"session {shown(min(missing))} has no records")
    for number in selection.numbers:
        count = await connection.execute(
            select(literal(1)).select_from(legs).where(_has_number(number)).limit(1)
        )
        if count.scalar_one_or_none() is None:
            raise SelectionInvalid(f"no leg has number {shown(number)}")


async def count_records(connection: AsyncConnection, selection: Selection) -> int:
    """How many records meet the selection, but for its types: those are in the bodies."""
    found = await connection.execute(
        select(func.count()).select_from(event_log).where(*_conditions(selection))
    )
    return int(found.scalar_one())


async def select_records(
    connection: AsyncConnection,
    selection: Selection,
    *,
    order: Order = "position",
    headers_at: HeadersAt | None = None,
) -> AsyncIterator[HistoryRecord]:
    """The selected records, in a transaction of the caller's.

    Rows of an earlier version have no headers; `headers_at` is asked for those, and without it they
    are left empty.
    """
    if order == "position":
        streams = [_pages(connection, *_conditions(selection), headers_at=headers_at)]
    else:
        streams = [
            _pages(connection, *_conditions(selection), each, headers_at=headers_at)
            for each in await _partitions(connection)
        ]
    async for record in merged([_flat(pages) for pages in streams]):
        if selection.takes_type_of(record):
            yield record


async def select_session_ids(
    connection: AsyncConnection, selection: Selection
) -> AsyncIterator[str]:
    """The sessions of which a record is selected, in no order. Types are not looked at."""
    query = select(event_log.c.session_id).where(*_conditions(selection)).distinct()
    result = await connection.stream(query, execution_options={"yield_per": ROWS_FETCHED})
    async for session_id in result.scalars():
        yield session_id


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


async def _partitions(connection: AsyncConnection) -> list["ColumnElement[bool]"]:
    """The condition for each partition that has records."""
    found: list[ColumnElement[bool]] = []
    for partition in range(PARTITIONS_MAX):
        first, last = position_of(partition, 0), position_of(partition, SEQ_MAX)
        within = event_log.c.seq.between(first, last)
        one = await connection.execute(select(event_log.c.seq).where(within).limit(1))
        if one.scalar_one_or_none() is not None:
            found.append(within)
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
    if selection.sessions:
        conditions.append(columns.session_id.in_([storable(each) for each in selection.sessions]))
    if selection.numbers:
        of_number = select(legs.c.session_id).where(or_(*map(_has_number, selection.numbers)))
        conditions.append(columns.session_id.in_(of_number))
    return conditions


def _has_number(number: str) -> "ColumnElement[bool]":
    texts = sorted(spellings(number))
    return or_(legs.c.from_number.in_(texts), legs.c.to_number.in_(texts))


_COLUMNS = (
    *("seq", "session_id", "side", "type", "version", "stored_at"),
    *("fact_id", "headers", "body"),
)
_HEADERS = msgspec.json.Decoder(dict[str, str])
