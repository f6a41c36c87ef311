"""Sessions in the tables of an earlier revision."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def insert_session(connection: AsyncConnection, session_id: str) -> None:
    """With what has no default since revision 0018."""
    await connection.execute(text(_SESSION), {"id": session_id})


_SESSION = """
    insert into sessions (session_id, status, leg_count, recording_count, parked, failed,
    first_seq, last_seq, first_stored_at, last_stored_at)
    values (:id, 'ended', 1, 0, false, false, 1, 2, now(), now())
"""
