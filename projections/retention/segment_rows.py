"""Rows of segments and their sessions, for archive runs and erasures; removes unused segments."""

import asyncio
from collections.abc import Callable

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.errors import OperatorFault
from offhook.history.files import names_in
from offhook.history.segments import Block, Manifest, files_of, remove_segment
from offhook.projections.views.stored.archive import archive_segments


def segment_values(manifest: Manifest) -> dict[str, object]:
    """What a registered segment's row says."""
    return {
        "sha256": manifest.sha256,
        "bytes": manifest.bytes,
        "records": manifest.records,
        "sessions": len(manifest.blocks),
        "first_seq": manifest.first_position,
        "last_seq": manifest.last_position,
    }


def session_values(segment: str, block: Block) -> dict[str, object]:
    """An archived session's row."""
    return {
        "session_id": block.session_id,
        "segment": segment,
        "byte_offset": block.offset,
        "byte_length": block.length,
        "records": block.records,
        "first_seq": block.first_position,
        "last_seq": block.last_position,
        "repeated": list(block.repeated),
    }


async def remove_unused(engine: AsyncEngine, at_removed: Callable[[], None]) -> None:
    """Remove the segments that a killed run has begun, or replaced: nothing refers to them.

    The row of one without files stays until its folder is there: its disk may not be mounted.
    Raises OperatorFault, which names one, once all are removed that can be. One that was given up
    is tried too, but not missed, and its row stays: its files may be copied back.
    """
    async with engine.connect() as connection:
        found = await connection.execute(
            select(
                archive_segments.c.name, archive_segments.c.root, archive_segments.c.given_up_at
            ).where(or_(archive_segments.c.archived_at.is_(None), archive_segments.c.sessions == 0))
        )
        unused = found.all()
    failed: OperatorFault | None = None
    for row in unused:
        try:
            # The run may have been killed before it wrote the files, or after they were removed.
            is_gone = await asyncio.to_thread(remove_segment, row.root, row.name) or (
                row.given_up_at is None and await _is_there(engine, row.root)
            )
        except OperatorFault as error:
            if row.given_up_at is None:
                failed = failed or OperatorFault(f"{row.name} cannot be removed: {error}")
            continue
        if is_gone:
            async with engine.begin() as connection:
                await connection.execute(
                    archive_segments.delete().where(archive_segments.c.name == row.name)
                )
            at_removed()
    if failed is not None:
        raise failed


async def _is_there(engine: AsyncEngine, root: str) -> bool:
    """Whether the folder has segments: all that are in use, but for those given up."""
    async with engine.connect() as connection:
        found = await connection.execute(
            select(archive_segments.c.name).where(
                archive_segments.c.root == root,
                archive_segments.c.archived_at.is_not(None),
                archive_segments.c.sessions > 0,
                archive_segments.c.given_up_at.is_(None),
            )
        )
        expected = {name for each in found.scalars() for name in files_of(each)}
    return bool(expected) and expected.issubset(await asyncio.to_thread(names_in, root))
