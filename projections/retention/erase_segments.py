"""Erased sessions leave the segments: each is written again without them, and the old one goes.

A segment that cannot be read keeps nothing else from being erased. Its rows of these sessions go,
so that nothing reads them there, it is noted in the erasure, and written again once it is back.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

from sqlalchemy import func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.errors import HistoryUnreadable, OperatorFault
from offhook.history.segments import Manifest, read_manifest, without_sessions
from offhook.projections.retention.segment_rows import (
    remove_unused,
    segment_values,
    session_values,
)
from offhook.projections.views.stored.archive import archive_segments, archived_sessions
from offhook.projections.views.stored.erasures import (
    add_counts,
    digest_of,
    erased_sessions,
    erasures,
)


class SegmentsLeft:
    """`at_step` is called after each step, and `doing` with what is being done."""

    def __init__(
        self, engine: AsyncEngine, at_step: Callable[[str], None], doing: Callable[[str], None]
    ) -> None:
        self._engine = engine
        self._at_step = at_step
        self._doing = doing

    async def leave(
        self, erasure_id: int, session_ids: AbstractSet[str]
    ) -> Mapping[str, Exception]:
        """Write them without the sessions; returns why, for each that cannot be read."""
        async with self._engine.connect() as connection:
            noted = select(func.jsonb_array_elements_text(erasures.c.pending["unread"])).where(
                erasures.c.erasure_id == erasure_id
            )
            found = await connection.execute(
                select(archive_segments.c.name, archive_segments.c.root)
                .outerjoin(
                    archived_sessions, archived_sessions.c.segment == archive_segments.c.name
                )
                .where(
                    archive_segments.c.sessions > 0,
                    or_(
                        archived_sessions.c.session_id.in_(session_ids),
                        archive_segments.c.name.in_(noted),
                    ),
                )
                .distinct()
            )
            segments = found.all()
        unread: dict[str, Exception] = {}
        for number, row in enumerate(segments, start=1):
            self._doing(f"writing segment {number:,} of {len(segments):,} without them")
            try:
                await self._rewrite(erasure_id, row.root, row.name, session_ids)
            except (OperatorFault, HistoryUnreadable) as error:
                await self._note_unread(erasure_id, row.name, session_ids)
                unread[row.name] = error
        try:
            await self.remove_unused()
        except OperatorFault:
            if not unread:  # else it is said already
                raise
        return unread

    async def _note_unread(
        self, erasure_id: int, segment: str, session_ids: AbstractSet[str]
    ) -> None:
        """Have the sessions be nowhere in that segment for those who read."""
        async with self._engine.begin() as connection:
            records = await _leave_index(connection, segment, session_ids)
            await add_counts(connection, erasure_id, records=records)
            await connection.execute(
                text(
                    "update erasures set pending = jsonb_set(pending, '{unread}',"
                    " coalesce(pending->'unread', '[]') || to_jsonb(cast(:segment as text)))"
                    " where erasure_id = :erasure_id"
                    " and not coalesce(pending->'unread', '[]') ? :segment"
                ),
                {"erasure_id": erasure_id, "segment": segment},
            )
        self._at_step("a segment was left")

    async def remove_unused(self) -> None:
        """The proof names those that are not there."""
        await remove_unused(self._engine, lambda: self._at_step("a segment was removed"))

    async def _rewrite(
        self, erasure_id: int, root: str, old: str, session_ids: AbstractSet[str]
    ) -> None:
        manifest = await asyncio.to_thread(read_manifest, root, old)
        new = f"segment-{secrets.token_hex(8)}"
        async with self._engine.begin() as connection:
            # As an archive run does: if this one is killed, the next removes what it wrote.
            await connection.execute(
                insert(archive_segments).values(
                    name=new, root=root, begun_at=text("clock_timestamp()")
                )
            )
        self._at_step("a segment was begun")
        gone = session_ids | await self._erased_in(manifest)
        kept = await asyncio.to_thread(without_sessions, root, manifest, gone, new)
        self._at_step("a segment was written")
        async with self._engine.begin() as connection:
            records = await _leave_index(connection, old, gone)
            if kept is None:
                await connection.execute(
                    archive_segments.delete().where(archive_segments.c.name == new)
                )
            else:
                await connection.execute(
                    update(archive_segments)
                    .where(archive_segments.c.name == new)
                    .values(archived_at=text("clock_timestamp()"), **segment_values(kept))
                )
                for block in kept.blocks:
                    await connection.execute(
                        update(archived_sessions)
                        .where(
                            archived_sessions.c.segment == old,
                            archived_sessions.c.session_id == block.session_id,
                        )
                        .values(session_values(new, block))
                    )
            # Its files are to be removed: see `leave`.
            await connection.execute(
                update(archive_segments).where(archive_segments.c.name == old).values(sessions=0)
            )
            await add_counts(connection, erasure_id, records=records, segments=1)
        self._at_step("a segment was replaced")

    async def _erased_in(self, manifest: Manifest) -> AbstractSet[str]:
        """Sessions that were erased while the segment could not be read."""
        by_digest = {digest_of(each.session_id): each.session_id for each in manifest.blocks}
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(erased_sessions.c.digest).where(erased_sessions.c.digest.in_(by_digest))
            )
            return {by_digest[each] for each in found.scalars()}


async def _leave_index(
    connection: AsyncConnection, segment: str, session_ids: AbstractSet[str]
) -> int:
    """Delete the rows of the sessions in that segment; how many records they had."""
    gone = await connection.execute(
        archived_sessions.delete()
        .where(
            archived_sessions.c.segment == segment,
            archived_sessions.c.session_id.in_(session_ids),
        )
        .returning(archived_sessions.c.records)
    )
    return sum(gone.scalars())
