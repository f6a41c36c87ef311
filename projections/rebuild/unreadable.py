"""Archived sessions of which a segment cannot be read, or was changed.

The tail leaves them in the list of what is yet to be folded, `later`, with the reason. There is no
cutover of a build that has one, unless it is asked for in spite of it (docs/decisions/0062).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import HistoryUnreadable, OperatorFault
from offhook.history.segments import require_hash
from offhook.projections.rebuild.build import write_build
from offhook.projections.views.stored.archive import Place


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """An archived session of which a segment cannot be read, or was changed."""

    archived: int  # records
    reason: str


def fault_of(place: Place) -> str:
    """Empty if the segment is as it was written, else what is wrong."""
    if place.sha256 is None:
        return ""
    try:
        require_hash(place.root, place.segment, place.sha256)
    except (OperatorFault, HistoryUnreadable) as error:
        return str(error)
    return ""


async def list_unreadable(
    connection: AsyncConnection,
    aside: str,
    session_ids: Sequence[str],
    unreadable: Mapping[str, Unreadable],
) -> None:
    """Note in `later` which of these sessions cannot be read, and which can be again."""
    await connection.execute(
        text(f"delete from {aside}.later where session_id = any(:session_ids)"),
        {"session_ids": session_ids},
    )
    for session_id, each in unreadable.items():
        await connection.execute(
            text(
                f"insert into {aside}.later (session_id, archived, unreadable)"
                " values (:session_id, :archived, :reason)"
            ),
            {"session_id": session_id, "archived": each.archived, "reason": each.reason},
        )


async def read_unreadable(connection: AsyncConnection, aside: str) -> dict[str, int]:
    """Why archived sessions cannot be read, and how many, of each reason. It names the segment."""
    found = await connection.execute(
        text(
            f"select unreadable, count(*) from {aside}.later where unreadable is not null"
            " group by unreadable order by count(*) desc, unreadable"
        )
    )
    return {reason: count for reason, count in found}


async def try_unreadable_again(connection: AsyncConnection, aside: str) -> None:
    """Have the tail read again what could not be read: it may have been restored."""
    tried = await connection.execute(
        text(f"update {aside}.later set unreadable = null where unreadable is not null")
    )
    if tried.rowcount:
        await write_build(connection, aside, state="finishing")


async def require_readable(connection: AsyncConnection, aside: str) -> None:
    """Raise OperatorFault if archived sessions could not be read."""
    if unreadable := await read_unreadable(connection, aside):
        raise OperatorFault(
            f"archived sessions are not in the rebuilt views ({sum(unreadable.values()):,}):"
            f" {next(iter(unreadable))}. Restore what is missing and run `offhook rebuild"
            " start`, or use --despite-unreadable: these sessions then keep their present rows"
        )
