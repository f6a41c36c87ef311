"""Archived sessions leave the log, many segments at once: they are marked, then deleted."""

import asyncio
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from typing import Any, TypeVar

from nats.aio.client import Client
from sqlalchemy import func, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.history.lines import HistoryRecord
from offhook.history.segments import read_block
from offhook.jetstream.archived import ArchivedMarks
from offhook.jetstream.retention import Retention
from offhook.projections.views.stored.archive import (
    archive_segments,
    archived_sessions,
    block_of,
)

RECORDS_MAX = 500_000
"""Records that leave the log together, beside those that waited. The more they are, the fewer have
to be overwritten. The sizes of all are in memory."""

WAITING_MAX = RECORDS_MAX // 2
"""Records of sessions near others that are kept for the next group rather than overwritten now."""

AT_ONCE = 16
"""Sessions that are deleted from the log before one transaction records that they were."""

Sizes = Mapping[int, int]
"""Of a session: what each of its records takes in the log at least, in bytes, by its position."""

Step = Callable[[str], None]
Item = TypeVar("Item")


class Leaving:
    """Segments that are registered, and whose sessions are still in the log."""

    def __init__(
        self, client: Client, engine: AsyncEngine, retention: Retention, at_step: Step
    ) -> None:
        self._marks = ArchivedMarks(client)
        self._engine = engine
        self._retention = retention
        self._at_step = at_step
        self.sessions = 0  # that were deleted from the log
        self._sizes: dict[str, dict[str, Sizes]] = {}  # of each segment's sessions, if known
        self._records = 0

    async def unfinished(self) -> Sequence[Any]:
        """Segments that an earlier run registered: name, and what is still in the log of each.

        Without those that were given up: the log may have all that there is of their sessions.
        """
        async with self._engine.connect() as connection:
            left = await connection.execute(
                select(
                    archived_sessions.c.segment,
                    func.count().label("sessions"),
                    func.sum(archived_sessions.c.records).label("records"),
                )
                .join(archive_segments, archive_segments.c.name == archived_sessions.c.segment)
                .where(
                    archived_sessions.c.left_log_at.is_(None),
                    archive_segments.c.given_up_at.is_(None),
                )
                .group_by(archived_sessions.c.segment)
            )
            return left.all()

    async def later(
        self, segment: str, records: int, sizes: Mapping[str, Sizes] | None = None
    ) -> None:
        """Delete the sessions of the segment once there are enough of them, at the latest by `now`.

        `sizes` are by session; without them the segment is read.
        """
        self._sizes[segment] = dict(sizes or {})
        self._records += records
        if self._records >= RECORDS_MAX:
            await self._leave(waiting_max=WAITING_MAX)

    async def now(self) -> None:
        """Delete them all, once every session is marked as archived."""
        await self._leave(waiting_max=0)

    async def _leave(self, *, waiting_max: int) -> None:
        """Delete them. Those to be overwritten wait, if they have no more records than that."""
        segments, self._sizes, self._records = self._sizes, {}, 0
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(archived_sessions, archive_segments.c.root)
                .join(archive_segments, archive_segments.c.name == archived_sessions.c.segment)
                .where(
                    archived_sessions.c.segment.in_([*segments]),
                    archived_sessions.c.left_log_at.is_(None),
                )
                .order_by(archived_sessions.c.last_seq)
            )
            rows = found.all()
        if not rows:
            return
        await self._marks.add({row.session_id for row in rows})
        self._at_step("marked")
        sizes: list[Sizes] = []
        for row in rows:
            if (known := segments[row.segment].get(row.session_id)) is None:
                known = await asyncio.to_thread(_sizes_of, row)
            sizes.append(known)
        overwritten = await self._retention.to_overwrite(
            {position: size for each in sizes for position, size in each.items()}
        )
        leaving = [*zip(rows, sizes, strict=True)]
        near = [(row, each) for row, each in leaving if not overwritten.isdisjoint(each)]
        if sum(len(each) for _, each in near) <= waiting_max:
            leaving = [(row, each) for row, each in leaving if overwritten.isdisjoint(each)]
            for row, each in near:
                self._sizes.setdefault(row.segment, {})[row.session_id] = each
        for several in groups(leaving, AT_ONCE):
            await asyncio.gather(
                *(self._delete(row.session_id, each, overwritten) for row, each in several)
            )
            async with self._engine.begin() as connection:
                await connection.execute(
                    update(archived_sessions)
                    .where(
                        tuple_(archived_sessions.c.session_id, archived_sessions.c.segment).in_(
                            [(row.session_id, row.segment) for row, _ in several]
                        )
                    )
                    .values(left_log_at=text("clock_timestamp()"))
                )
            for _ in several:
                self.sessions += 1
                self._at_step("a session left the log")
        self._at_step("left the log")

    async def _delete(
        self, session_id: str, positions: Collection[int], overwritten: Container[int]
    ) -> None:
        """Delete an archived session's records and alarms from the log."""
        await self._retention.delete_session(session_id, positions, overwritten)
        await self._retention.delete_alarms(session_id)


def sizes_in(records: Sequence[HistoryRecord]) -> Sizes:
    """The sizes of a session's records."""
    return {each.position: len(each.body) for each in records}


def groups(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """The items, at most so many at a time."""
    return [items[at : at + size] for at in range(0, len(items), size)]


def _sizes_of(row: Any) -> Sizes:
    """The sizes of an archived session's records, from its segment."""
    return sizes_in(read_block(row.root, row.segment, block_of(row)))
