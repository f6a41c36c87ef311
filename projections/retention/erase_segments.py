"""Erased sessions leave the segments: each is rewritten without them, and the old one removed.

If that cannot be done, for example because its disk is not mounted, the sessions are removed from
the segment's index, so that nothing reads them there. The segment is noted in the erasure, and
rewritten once it can be. Whichever erasure rewrites it leaves out all sessions erased this way.
If it was given up, the erasure ends without it.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress

from sqlalchemy import Delete, Text, cast, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.errors import HistoryUnreadable, OperatorFault
from offhook.history.files import names_in
from offhook.history.segments import (
    Manifest,
    files_of,
    read_manifest,
    remove_segment,
    require_hash,
    without_sessions,
)
from offhook.projections.retention.segment_rows import (
    remove_unused,
    segment_values,
    session_values,
)
from offhook.projections.views.stored.archive import archive_segments, archived_sessions
from offhook.projections.views.stored.erasures import (
    IS_PENDING,
    add_counts,
    digest_of,
    erased_sessions,
    erasures,
)

UNUSED = "segments that are not used any more"

_LEFT = (
    "update erasures set pending = jsonb_set(pending, '{segments}',"
    " coalesce(pending->'segments', '[]') || to_jsonb(cast(:segment as text)))"
    " where erasure_id = :erasure_id and not coalesce(pending->'segments', '[]') ? :segment"
)
_GIVEN_UP = (
    "update erasures set given_up = array_append(given_up, cast(:segment as text))"
    " where erasure_id = :erasure_id and not :segment = any(given_up)"
)


class SegmentEraser:
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
        """Rewrite the segments without the sessions.

        Returns what went wrong, by the name of each that could not be rewritten, and by `UNUSED`.
        """
        async with self._engine.connect() as connection:
            noted = select(func.jsonb_array_elements_text(erasures.c.pending["segments"])).where(
                erasures.c.erasure_id == erasure_id
            )
            indexed = select(archived_sessions.c.segment).where(
                archived_sessions.c.session_id.in_(session_ids)
            )
            found = await connection.execute(
                select(archive_segments.c.name, archive_segments.c.root).where(
                    archive_segments.c.sessions > 0,
                    archive_segments.c.name.in_(indexed.union_all(noted)),
                )
            )
            segments = found.all()
        failed: dict[str, Exception] = {}
        for number, row in enumerate(segments, start=1):
            self._doing(f"writing segment {number:,} of {len(segments):,} without them")
            try:
                await self._rewrite(erasure_id, row.root, row.name, session_ids)
            except (OperatorFault, HistoryUnreadable) as error:
                if not await self._note(erasure_id, row.name, session_ids):
                    failed[row.name] = error
        try:
            await remove_unused(self._engine, lambda: self._at_step("a segment was removed"))
        except OperatorFault as error:
            if await self._has_replaced(erasure_id):
                failed[UNUSED] = error
        return failed

    async def _has_replaced(self, erasure_id: int) -> bool:
        """Whether one of the segments that are not used any more may be of this erasure."""
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(erasures.c.segments).where(erasures.c.erasure_id == erasure_id)
            )
            return int(found.scalar_one()) > 0

    async def take_back(self) -> Mapping[str, Exception]:
        """Have segments that were given up erased from again if they are there again.

        There is an erasure for each from which something is to be erased: `Eraser.finish` finds it.
        Returns what is wrong with those that are there in part, or altered: they stay given up,
        and may have what was erased.
        """
        segments = archive_segments.c
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(segments.name, segments.root, segments.sha256).where(
                    segments.given_up_at.is_not(None), segments.sessions > 0
                )
            )
            rows = found.all()
        names: dict[str, list[str]] = {}
        for root in {row.root for row in rows}:
            with suppress(OperatorFault):
                names[root] = await asyncio.to_thread(names_in, root)
        failed: dict[str, Exception] = {}
        for row in rows:
            if not {*files_of(row.name)}.intersection(names.get(row.root, ())):
                continue
            try:
                manifest = await asyncio.to_thread(read_manifest, row.root, row.name)
                erased = await self._erased_in(manifest)
                await self._require_own(manifest, row.name, erased)
                if not erased:
                    await asyncio.to_thread(require_hash, row.root, row.name, row.sha256)
            except (OperatorFault, HistoryUnreadable) as error:
                failed[row.name] = error
                continue
            async with self._engine.begin() as connection:
                if erased:
                    pending = {"session_ids": sorted(erased), "segments": [row.name]}
                    await connection.execute(
                        insert(erasures).values(
                            begun_at=text("clock_timestamp()"), pending=pending,
                            sessions=0, records=0, messages=0, segments=0,
                        )
                    )  # fmt: skip
                await connection.execute(
                    update(archive_segments)
                    .where(segments.name == row.name)
                    .values(given_up_at=None)
                )
        return failed

    async def _note(self, erasure_id: int, segment: str, session_ids: AbstractSet[str]) -> bool:
        """Remove the sessions from the segment's index, and note the segment in the erasure.

        Returns whether it was given up: the erasure is then not pending because of it.
        """
        async with self._engine.begin() as connection:
            found = await connection.execute(
                select(archive_segments.c.given_up_at).where(archive_segments.c.name == segment)
            )
            is_given_up = found.scalar_one() is not None
            records = await _leave_index(connection, segment, session_ids)
            await add_counts(connection, erasure_id, records=records)
            await connection.execute(
                text(_GIVEN_UP if is_given_up else _LEFT),
                {"erasure_id": erasure_id, "segment": segment},
            )
        self._at_step("a segment was left")
        return is_given_up

    async def _rewrite(
        self, erasure_id: int, root: str, old: str, session_ids: AbstractSet[str]
    ) -> None:
        manifest = await asyncio.to_thread(read_manifest, root, old)
        gone = session_ids | await self._erased_in(manifest)
        await self._require_own(manifest, old, gone)
        new = f"segment-{secrets.token_hex(8)}"
        async with self._engine.begin() as connection:
            # As an archive run does: if this one is killed, the next removes what it wrote.
            await connection.execute(
                insert(archive_segments).values(
                    name=new, root=root, begun_at=text("clock_timestamp()")
                )
            )
        self._at_step("a segment was begun")
        try:
            kept = await asyncio.to_thread(without_sessions, root, manifest, gone, new)
        except (OperatorFault, HistoryUnreadable):
            with suppress(OperatorFault):  # else the next run removes it
                await asyncio.to_thread(remove_segment, root, new)
                # A folder whose disk is gone is empty: the files are there when it is back.
                if files_of(old)[1] in await asyncio.to_thread(names_in, root):
                    async with self._engine.begin() as connection:
                        await connection.execute(_delete_row(new))
            raise
        self._at_step("a segment was written")
        async with self._engine.begin() as connection:
            records = await _leave_index(connection, old, gone)
            if kept is None:
                await connection.execute(_delete_row(new))
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
            await connection.execute(
                update(erasures)
                .where(IS_PENDING)
                .values(given_up=func.array_remove(erasures.c.given_up, cast(old, Text)))
            )
        self._at_step("a segment was replaced")

    async def _erased_in(self, manifest: Manifest) -> AbstractSet[str]:
        """Sessions that were erased while the segment could not be rewritten.

        One that is still in the index is another erasure's, which has yet to come to it.
        """
        by_digest = {digest_of(each.session_id): each.session_id for each in manifest.blocks}
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(erased_sessions.c.digest).where(erased_sessions.c.digest.in_(by_digest))
            )
            erased = {by_digest[each] for each in found.scalars()}
        return erased - await self._in_index(manifest.name)

    async def _require_own(self, manifest: Manifest, name: str, gone: AbstractSet[str]) -> None:
        """Raise HistoryUnreadable if the manifest is another's: sessions would be lost."""
        there = {each.session_id for each in manifest.blocks} - gone
        if manifest.name != name or there != await self._in_index(name) - gone:
            raise HistoryUnreadable(
                f"the manifest of {name} does not list the sessions that Postgres has for it;"
                " restore the file that was written with it"
            )

    async def _in_index(self, segment: str) -> AbstractSet[str]:
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(archived_sessions.c.session_id).where(archived_sessions.c.segment == segment)
            )
            return set(found.scalars())


def _delete_row(new: str) -> Delete:
    """Of a segment that has no files."""
    return archive_segments.delete().where(archive_segments.c.name == new)


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
