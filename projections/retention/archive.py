"""Archive: sessions that ended long ago leave event_log and the log for segment files.

    begin ─▶ write the segment ─▶ read it back ─▶ one transaction:      ─▶ delete from the log,
    (a row)                                       register, and delete      many segments at once
                                                  from event_log

Killed anywhere, the next run finishes it first: a segment that was begun and not registered is
removed, and what is registered leaves the log. Until the transaction everything is where it was,
after it the segment is what counts: nothing is lost, and nothing is there twice. Views keep their
rows.

A record that arrives while its session is archived has a later position, and stays.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from nats.aio.client import Client
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.errors import OperatorFault
from offhook.history.files import make_folder
from offhook.history.segments import (
    Archived,
    Manifest,
    write_segment,
)
from offhook.jetstream.retention import Retention
from offhook.jetstream.stream import PROJECTOR
from offhook.position import partition_of
from offhook.projections.retention.alone import alone
from offhook.projections.retention.leaving import Leaving, Step, groups, sizes_in
from offhook.projections.retention.segment_rows import (
    remove_unused,
    segment_values,
    session_values,
)
from offhook.projections.retention.settled import archived_from, session_of, unexplained, why_not
from offhook.projections.views.progress.checkpoint import reached, read_checkpoints
from offhook.projections.views.stored.archive import (
    MOVING_LOCK,
    archive_segments,
    archived_sessions,
)
from offhook.projections.views.stored.event_log import (
    StoredRecord,
    event_id_of,
    event_log,
    read_stored,
    read_with_headers,
)

OLDER_THAN_MIN = timedelta(days=1)
"""With less, a call could be archived while its events are still arriving."""

SEGMENT_SESSIONS_MAX = 500
"""The projector waits while the sessions of a segment are deleted from event_log."""

SEGMENT_BYTES_MAX = 64 * 1024 * 1024
"""The record bodies of a segment, which is in memory while it is written."""

CANDIDATES_MAX = 100_000
"""Sessions that are listed at once: a first run may have many millions."""

READS_AT_ONCE = 16

CANDIDATES = (
    "select max(stored_at) as at, session_id from event_log where side <> ''"
    " and not exists (select from parked_sessions as parked"
    " where parked.session_id = event_log.session_id)"
    " group by session_id having max(stored_at) < :before"
)


@dataclass(kw_only=True)
class ArchiveProgress:
    """What an archive run has done, and why sessions stayed."""

    sessions: int = 0
    records: int = 0
    segments: int = 0
    bytes: int = 0  # of the segments
    looked_at: int = 0
    candidates: int = 0  # sessions without a record for long enough
    unfinished: int = 0  # sessions that an earlier run archived, but did not delete from the log
    kept: Counter[str] = field(default_factory=Counter)  # sessions by reason


class Archiver:
    """`root` is a folder, or any URL of fsspec. `at_step` is called after each step."""

    def __init__(
        self,
        client: Client,
        engine: AsyncEngine,
        root: str,
        *,
        at_step: Step = lambda step: None,
        segment_sessions_max: int = SEGMENT_SESSIONS_MAX,
    ) -> None:
        self._retention = Retention(client)
        self._leaving = Leaving(client, engine, self._retention, at_step)
        self._engine = engine
        self._root = root
        self._at_step = at_step
        self._segment_sessions_max = segment_sessions_max
        self.progress = ArchiveProgress()

    @property
    def left_log(self) -> int:
        """Sessions that this run has deleted from the log."""
        return self._leaving.sessions

    async def run(self, older_than: timedelta, now: datetime) -> ArchiveProgress:
        """Archive what had no record for `older_than`. Raises OperatorFault or PassingFault."""
        require_old_enough(older_than)
        async with alone(self._engine):
            await self.finish()
            before = now - older_than
            group: list[Archived] = []
            size = 0  # of the record bodies, in bytes
            self.progress.candidates = await self._count_candidates(before)
            async for session_ids in self._candidates(before):
                found = await self._sessions(session_ids, before, now)
                self.progress.looked_at += len(session_ids)
                for each in found:
                    group.append(each)
                    size += sum(len(record.body) for record in each.records)
                    if len(group) >= self._segment_sessions_max or size >= SEGMENT_BYTES_MAX:
                        await self._archive(group)
                        group, size = [], 0
            if group:
                await self._archive(group)
            await self._leaving.now()
        return self.progress

    async def finish(self) -> None:
        """Finish what an earlier run left unfinished."""
        await remove_unused(self._engine, lambda: self._at_step("removed an unused segment"))
        unfinished = await self._leaving.unfinished()
        self.progress.unfinished = sum(row.sessions for row in unfinished)
        for row in unfinished:
            await self._leaving.later(row.segment, row.records)
        await self._leaving.now()

    async def _count_candidates(self, before: datetime) -> int:
        async with self._engine.connect() as connection:
            found = await connection.execute(
                text(f"select count(*) from ({CANDIDATES}) as each"), {"before": before}
            )
            return int(found.scalar_one())

    async def _candidates(self, before: datetime) -> AsyncIterator[Sequence[str]]:
        """Sessions whose last record is old enough, the oldest first, READS_AT_ONCE at a time."""
        later, after = "", dict[str, Any]()
        while True:
            async with self._engine.connect() as connection:
                found = await connection.execute(
                    text(f"{CANDIDATES}{later} order by 1, 2 limit {CANDIDATES_MAX}"),
                    {"before": before, **after},
                )
                rows = found.all()
            for several in groups([row.session_id for row in rows], READS_AT_ONCE):
                yield several
            if len(rows) < CANDIDATES_MAX:
                return
            later = " and (max(stored_at), session_id) > (:at, :id)"
            after = {"at": rows[-1].at, "id": rows[-1].session_id}

    async def _sessions(
        self, session_ids: Sequence[str], before: datetime, now: datetime
    ) -> list[Archived]:
        """Those of the sessions that may be archived."""
        # In this order: what is in the log by then, and at or below the checkpoint, is in the rows.
        read = await asyncio.gather(*map(self._retention.read, session_ids))
        may_go: list[Archived] = []
        async with self._engine.connect() as connection:
            positions = await read_checkpoints(connection, PROJECTOR)
            stored = await read_with_headers(connection, session_ids)
            for rows, found in zip(stored.values(), read, strict=True):
                messages = [read_stored(**vars(each)) for each in found]
                reason = await self._why_not(connection, rows, messages, before, now)
                if any(each.seq > reached(positions, partition_of(each.seq)) for each in messages):
                    reason = "has newer records"
                if reason:
                    self.progress.kept[reason] += 1
                else:
                    may_go.append(archived_from(rows, messages))
        return may_go

    async def _why_not(
        self,
        connection: AsyncConnection,
        rows: Sequence[StoredRecord],
        messages: Sequence[StoredRecord],
        before: datetime,
        now: datetime,
    ) -> str:
        session = session_of(rows) if rows else None
        if session is None:
            return "has records that cannot be read"
        last = max(each.stored_at for each in (*rows, *messages))
        if reason := why_not(session, last, before=before, now=now):
            return reason
        missing = [event_id_of(each) for each in unexplained(rows, messages, ())]
        if missing:
            found = await connection.execute(
                select(event_log.c.event_id).where(event_log.c.event_id.in_(missing))
            )
            if unexplained(rows, messages, found.scalars().all()):
                return "has records that event_log has not: run `offhook repair`"
        return ""

    async def _archive(self, sessions: Sequence[Archived]) -> None:
        name = f"segment-{secrets.token_hex(8)}"
        await asyncio.to_thread(make_folder, self._root)
        async with self._engine.begin() as connection:
            await connection.execute(
                insert(archive_segments).values(
                    name=name, root=self._root, begun_at=text("clock_timestamp()")
                )
            )
        self._at_step("begun")
        manifest = await asyncio.to_thread(write_segment, self._root, name, sessions)
        self._at_step("written")
        await self._register(manifest)
        self._at_step("registered")
        self.progress.segments += 1
        self.progress.sessions += len(manifest.blocks)
        self.progress.records += manifest.records
        self.progress.bytes += manifest.bytes
        sizes = {each.session_id: sizes_in(each.records) for each in sessions}
        await self._leaving.later(name, manifest.records, sizes)

    async def _register(self, manifest: Manifest) -> None:
        """Register the segment's sessions, and delete their rows: both or neither."""
        async with self._engine.begin() as connection:
            await connection.execute(
                update(archive_segments)
                .where(archive_segments.c.name == manifest.name)
                .values(archived_at=text("clock_timestamp()"), **segment_values(manifest))
            )
            await connection.execute(
                insert(archived_sessions),
                [session_values(manifest.name, each) for each in manifest.blocks],
            )
            # A batch that is being projected holds the first: its records are copied, and it folds
            # them on top of these rows. Readers hold the second.
            await connection.execute(text("lock table event_log in share row exclusive mode"))
            await connection.execute(
                text("select pg_advisory_xact_lock(:key)"), {"key": MOVING_LOCK}
            )
            deleted = await connection.execute(
                text(
                    "delete from event_log using"
                    " unnest(cast(:ids as text[]), cast(:until as bigint[])) as each (id, until)"
                    " where event_log.session_id = each.id and event_log.seq <= each.until"
                ),
                {
                    "ids": [each.session_id for each in manifest.blocks],
                    "until": [each.last_position for each in manifest.blocks],
                },
            )
            wanted = sum(each.records - len(each.repeated) for each in manifest.blocks)
            if deleted.rowcount != wanted:
                raise OperatorFault(
                    f"segment {manifest.name}: event_log has {deleted.rowcount} of its records;"
                    f" expected {wanted}; nothing was changed: run `offhook archive` again"
                )


def require_old_enough(older_than: timedelta) -> None:
    """Raise OperatorFault for less than OLDER_THAN_MIN."""
    if older_than < OLDER_THAN_MIN:
        raise OperatorFault(
            f"sessions of the last {older_than.total_seconds() / 3600:g} h cannot be archived:"
            " events may still come;"
            f" expected at least {OLDER_THAN_MIN.days} day"
        )
