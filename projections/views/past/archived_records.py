"""The records of archived sessions, as a stream, and which of these sessions were decided when.

Read at one moment (`read_at_one_moment`): a session that is archived meanwhile is then still in
event_log, and none is in both or in neither. What an erasure removes meanwhile cannot be read.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Iterator
from datetime import datetime
from heapq import heappop, heappush, heappushpop, heapreplace
from itertools import count
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import HistoryUnreadable, OperatorFault, shown_url
from offhook.history.lines import HistoryRecord
from offhook.history.segments import read_block, require_hash, segment_url
from offhook.projections.views.sessions import sessions
from offhook.projections.views.stored.archive import (
    Place,
    archive_segments,
    archived_sessions,
    block_of,
)
from offhook.projections.views.stored.event_log import CLOCK_STEP_MAX

HELD_BYTES_MAX = 64 * 1024 * 1024
"""Bodies in memory of sessions that went on at the same time. Beyond it frames are read again."""

DECISIONS = ("Decided", "SessionParked")

_FETCHED = 200


def stored_within(
    since: datetime | None, until: datetime | None
) -> "Iterator[ColumnElement[bool]]":
    """The conditions that leave out archived sessions without a record from then to then.

    By the view of sessions: one that has no row there is not left out.
    """
    own = (
        select(sessions.c.session_id)
        .where(sessions.c.session_id == archived_sessions.c.session_id)
        .correlate(archived_sessions)
    )
    if since is not None:
        yield ~own.where(sessions.c.last_stored_at < since - CLOCK_STEP_MAX).exists()
    if until is not None:
        yield ~own.where(sessions.c.first_stored_at >= until + CLOCK_STEP_MAX).exists()


async def has_archived(connection: AsyncConnection, *conditions: "ColumnElement[bool]") -> bool:
    """Whether any archived session meets the conditions, which are on `archived_sessions`."""
    found = await connection.execute(
        select(archived_sessions.c.session_id).where(*conditions).limit(1)
    )
    return found.scalar_one_or_none() is not None


async def count_archived(connection: AsyncConnection, *conditions: "ColumnElement[bool]") -> int:
    """How many records these archived sessions have; repeated deliveries are not counted."""
    columns = archived_sessions.c
    found = await connection.execute(
        select(func.sum(columns.records - func.cardinality(columns.repeated))).where(*conditions)
    )
    return int(found.scalar_one() or 0)


async def archived_in_order(
    connection: AsyncConnection,
    *conditions: "ColumnElement[bool]",
    held_bytes_max: int = HELD_BYTES_MAX,
) -> AsyncIterator[HistoryRecord]:
    """All records of these archived sessions, in order of position, without repeated deliveries.

    In memory are the sessions that overlap, up to `held_bytes_max`. Raises OperatorFault, which
    names the segment that cannot be read.
    """
    frames = _Frames(held_bytes_max)
    places = archived_places(connection, *conditions)
    numbers = count()  # so that places are never compared
    begun: list[tuple[int, int, int, Place]] = []  # the position of the record that is next
    following = await anext(places, None)
    while begun or following is not None:
        while following is not None and (
            not begun or following.block.first_position <= begun[0][0]
        ):
            heappush(begun, (following.block.first_position, next(numbers), 0, following))
            following = await anext(places, None)
        position, number, index, place = begun[0]
        records = await frames.of(place)
        if index < len(records) and records[index].position == position:
            yield records[index]
            index += 1
        # Else its first record is a repeated delivery, and the next one comes later.
        if index < len(records):
            heapreplace(begun, (records[index].position, number, index, place))
        else:
            heappop(begun)
            frames.drop(place)


async def read_place(place: Place) -> list[HistoryRecord]:
    """A session's records in one segment, in order of position, without repeated deliveries.

    Raises OperatorFault, which names the segment.
    """
    try:
        records = await asyncio.to_thread(read_block, place.root, place.segment, place.block)
    except (OperatorFault, HistoryUnreadable) as error:
        raise OperatorFault(
            f"session {place.block.session_id} is archived in"
            f" {shown_url(segment_url(place.root, place.segment))} and cannot be read: {error}."
            " Restore that file, or run this where it can be reached; if sessions were erased in"
            " the meantime, run it again"
        ) from error
    repeated = frozenset(place.block.repeated)
    return [each for each in records if each.position not in repeated]


async def changed_segments(
    connection: AsyncConnection, *conditions: "ColumnElement[bool]"
) -> list[str]:
    """What is wrong with each segment of these sessions that is not as it was written.

    Raises OperatorFault if one cannot be read.
    """
    own = select(archived_sessions.c.segment).where(*conditions)
    columns = archive_segments.c
    found = await connection.execute(
        select(columns.root, columns.name, columns.sha256)
        .where(columns.name.in_(own))
        .order_by(columns.name)
    )
    changed: list[str] = []
    for row in found:
        try:
            await asyncio.to_thread(require_hash, row.root, row.name, row.sha256)
        except HistoryUnreadable as error:
            changed.append(str(error))
    return changed


async def last_decided(
    connection: AsyncConnection,
    *,
    since: datetime | None,
    until: datetime | None,
    session_ids: Collection[str] | None,
    limit: int,
) -> dict[str, tuple[datetime, int]]:
    """The archived sessions with a decision, or parked, from `since` and before `until`.

    Time and position of the last such record in the archive. The `limit` latest are among them:
    those that last had a record before these had their decisions are not read.
    """
    conditions = [*stored_within(since, until)]
    if session_ids is not None:
        conditions.append(archived_sessions.c.session_id.in_(session_ids))
    found: dict[str, tuple[datetime, int]] = {}
    latest: list[datetime] = []  # of the sessions that are complete, a heap
    current = ""
    async for at_most, place in _latest_first(connection, *conditions):
        session_id = place.block.session_id
        if session_id != current and current in found:
            at = found[current][0]
            heappush(latest, at) if len(latest) < limit else heappushpop(latest, at)
        current = session_id
        if len(latest) >= limit and at_most is not None and at_most + CLOCK_STEP_MAX < latest[0]:
            break
        decided = [
            (each.stored_at, each.position)
            for each in await read_place(place)
            if each.type in DECISIONS
            and (since is None or each.stored_at >= since)
            and (until is None or each.stored_at < until)
        ]
        if decided:
            known = found.get(session_id, decided[0])
            found[session_id] = (
                max(known[0], *(at for at, _ in decided)),
                max(known[1], *(position for _, position in decided)),
            )
    return found


class _Frames:
    """The decompressed sessions that are in use; the one unused for longest goes first."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._held: OrderedDict[tuple[str, str], tuple[list[HistoryRecord], int]] = OrderedDict()

    async def of(self, place: Place) -> list[HistoryRecord]:
        key = _key(place)
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key][0]
        records = await read_place(place)
        size = sum(len(each.body) for each in records)
        self._held[key] = (records, size)
        self._bytes += size
        while self._bytes > self._bytes_max and len(self._held) > 1:
            self._bytes -= self._held.popitem(last=False)[1][1]
        return records

    def drop(self, place: Place) -> None:
        self._bytes -= self._held.pop(_key(place))[1]


def _key(place: Place) -> tuple[str, str]:
    return place.segment, place.block.session_id


async def archived_places(
    connection: AsyncConnection, *conditions: "ColumnElement[bool]", by_session: bool = False
) -> AsyncIterator[Place]:
    """Where these sessions are, in order of their first records there, or of their ids."""
    order = archived_sessions.c.session_id if by_session else archived_sessions.c.first_seq
    query = _select().where(*conditions).order_by(order)
    async for row in await connection.stream(query, execution_options={"yield_per": _FETCHED}):
        yield _place(row)


async def _latest_first(
    connection: AsyncConnection, *conditions: "ColumnElement[bool]"
) -> AsyncIterator[tuple[datetime | None, Place]]:
    """Where each session is, one after the other, and when its last record was stored."""
    last = sessions.c.last_stored_at
    query = (
        _select()
        .add_columns(last)
        .outerjoin(sessions, sessions.c.session_id == archived_sessions.c.session_id)
        .where(*conditions)
        .order_by(last.desc().nulls_first(), archived_sessions.c.session_id)
    )
    async for row in await connection.stream(query, execution_options={"yield_per": _FETCHED}):
        yield row.last_stored_at, _place(row)


def _select() -> Any:
    return select(archived_sessions, archive_segments.c.root, archive_segments.c.sha256).join(
        archive_segments, archive_segments.c.name == archived_sessions.c.segment
    )


def _place(row: Any) -> Place:
    return Place(root=row.root, segment=row.segment, sha256=row.sha256, block=block_of(row))
