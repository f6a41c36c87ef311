"""Records as a projector gets them, and the sessions that it parked."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.projections.views.stored.event_log import StoredRecord, read_stored
from tests.projections.story import NOON, Entry


def stored_records(entries: list[Entry], after_seq: int = 0) -> list[StoredRecord]:
    return [
        read_stored(
            seq=seq,
            session_id=entry.session_id,
            side=entry.side,
            type=entry.encoded.type,
            version=entry.encoded.version,
            stored_at=NOON,
            body=entry.encoded.body,
        )
        for seq, entry in enumerate(entries, start=after_seq + 1)
    ]


async def attempts_by_session(engine: AsyncEngine) -> dict[str, int]:
    """Parked session -> how many times it could not be folded or stored."""
    async with engine.connect() as connection:
        found = await connection.execute(text("select session_id, attempts from parked_sessions"))
        return {row.session_id: row.attempts for row in found}
