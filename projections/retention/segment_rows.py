"""The rows of a segment and of its sessions, for archive runs and erasures; how it is deleted."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.history.segments import Block, Manifest, remove_segment
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


async def delete_segment(engine: AsyncEngine, root: str, name: str) -> None:
    """Delete a segment's file, then its row."""
    await asyncio.to_thread(remove_segment, root, name)
    async with engine.begin() as connection:
        await connection.execute(archive_segments.delete().where(archive_segments.c.name == name))
